#include "base/trace.h"

#include <algorithm>

#include "base/clock.h"
#include "base/ids.h"

namespace base {
namespace {

constexpr char kHex[] = "0123456789abcdef";

void append_hex(std::string& out, const auto& bytes) {
  for (const uint8_t byte : bytes) out.append({kHex[byte >> 4], kHex[byte & 15]});
}

// Lower-case only, as the recommendation says; all zeros is no id.
bool read_hex(std::string_view text, auto& out) {
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t high = std::string_view(kHex).find(text[2 * i]);
    const size_t low = std::string_view(kHex).find(text[2 * i + 1]);
    if (high > 15 || low > 15) return false;
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return std::ranges::any_of(out, [](uint8_t byte) { return byte != 0; });
}

constexpr size_t kParentBytes = 55;

}  // namespace

std::string traceparent(const TraceContext& context) {
  std::string out = "00-";
  out.reserve(kParentBytes);
  append_hex(out, context.trace);
  out += '-';
  append_hex(out, context.span);
  return out += "-01";
}

bool parse_traceparent(std::string_view text, RemoteParent& out) {
  if (text.size() < kParentBytes || text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  std::array<uint8_t, 1> version{}, flags{};
  if (text.substr(0, 2) != "00" && !read_hex(text.substr(0, 2), version)) return false;
  // Version ff is none; a later one may add fields behind ours.
  if (version[0] == 0xff || (text.size() > kParentBytes && (version[0] == 0 || text[kParentBytes] != '-')))
    return false;
  if (!read_hex(text.substr(3, 32), out.trace) || !read_hex(text.substr(36, 16), out.span)) return false;
  const std::string_view flag_text = text.substr(53, 2);
  if (flag_text != "00" && !read_hex(flag_text, flags)) return false;
  out.sampled = (flags[0] & 1) != 0;
  return true;
}

SpanId new_span_id() {
  SpanId out;
  do {
    system_random().fill(out);
  } while (out == SpanId{});
  return out;
}

Span::Span(const TraceContext& parent, std::string_view name, SpanData::Kind kind) : tracer_(parent.tracer) {
  if (tracer_ == nullptr) return;
  data_.name = name;
  data_.kind = kind;
  data_.trace = parent.trace;
  data_.parent = parent.span;
  data_.span = new_span_id();
  data_.start_us = system_clock().wall_us();
}

Span::~Span() {
  if (tracer_ == nullptr) return;
  data_.end_us = std::max(data_.start_us, system_clock().wall_us());
  tracer_->record(std::move(data_));
}

void Span::set(std::string_view literal_key, SpanData::Value value) {
  if (tracer_ != nullptr) data_.attributes.emplace_back(literal_key, std::move(value));
}

void Span::fail(std::string_view why) {
  if (tracer_ == nullptr) return;
  data_.failed = true;
  data_.failure = why;
}

}  // namespace base
