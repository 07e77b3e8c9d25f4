#include "server/otlp.h"

#include "base/utf8.h"

namespace server {
namespace {

// A message being written: fields appended in any order. Numbers are those of opentelemetry/proto/trace/v1/trace.proto.
class Message {
 public:
  void varint_field(uint32_t number, uint64_t value) {
    varint(number << 3);
    varint(value);
  }
  void fixed64_field(uint32_t number, uint64_t value) {
    varint(number << 3 | 1);
    for (int i = 0; i < 8; ++i) bytes_.push_back(static_cast<char>(value >> (8 * i)));
  }
  void bytes_field(uint32_t number, std::string_view value) {
    varint(number << 3 | 2);
    varint(value.size());
    bytes_.append(value);
  }
  void message_field(uint32_t number, const Message& value) { bytes_field(number, value.bytes_); }
  std::string take() { return std::move(bytes_); }

 private:
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<char>(value | 0x80));
    bytes_.push_back(static_cast<char>(value));
  }
  std::string bytes_;
};

std::string_view bytes_of(const auto& id) { return {reinterpret_cast<const char*>(id.data()), id.size()}; }

// Protobuf's strings are UTF-8, and nobody reads a long one: a path that a client made up is neither by nature.
constexpr size_t kTextBytes = 1024;
std::string_view text_of(std::string_view text) {
  text = text.substr(0, kTextBytes);
  return text.substr(0, base::utf8_valid_prefix(text));
}

Message attribute(std::string_view key, const base::SpanData::Value& value) {
  Message any;
  if (const auto* text = std::get_if<std::string>(&value)) {
    any.bytes_field(1, text_of(std::string_view(*text)));
  } else {
    any.varint_field(3, static_cast<uint64_t>(std::get<int64_t>(value)));
  }
  Message out;
  out.bytes_field(1, key);
  out.message_field(2, any);
  return out;
}

Message span_of(const base::SpanData& span) {
  Message out;
  out.bytes_field(1, bytes_of(span.trace));
  out.bytes_field(2, bytes_of(span.span));
  if (span.parent != base::SpanId{}) out.bytes_field(4, bytes_of(span.parent));
  out.bytes_field(5, text_of(std::string_view(span.name)));
  out.varint_field(6, static_cast<uint64_t>(span.kind));
  out.fixed64_field(7, static_cast<uint64_t>(span.start_us) * 1000);
  out.fixed64_field(8, static_cast<uint64_t>(span.end_us) * 1000);
  for (const auto& [key, value] : span.attributes) out.message_field(9, attribute(key, value));
  if (span.failed) {
    Message status;
    status.bytes_field(2, text_of(std::string_view(span.failure)));
    status.varint_field(3, 2);  // STATUS_CODE_ERROR
    out.message_field(15, status);
  }
  return out;
}

}  // namespace

std::string otlp_request(std::span<const base::SpanData> spans, std::string_view service, std::string_view version,
                         std::string_view instance) {
  Message resource;
  resource.message_field(1, attribute("service.name", std::string(service)));
  resource.message_field(1, attribute("service.version", std::string(version)));
  resource.message_field(1, attribute("service.instance.id", std::string(instance)));
  Message scope;
  scope.bytes_field(1, "lathe");
  scope.bytes_field(2, version);
  Message scope_spans;
  scope_spans.message_field(1, scope);
  for (const base::SpanData& span : spans) scope_spans.message_field(2, span_of(span));
  Message resource_spans;
  resource_spans.message_field(1, resource);
  resource_spans.message_field(2, scope_spans);
  Message request;
  request.message_field(1, resource_spans);
  return request.take();
}

}  // namespace server
