#include "traces/otlp.h"

#include <zlib.h>

#include <array>

#include "base/hash.h"
#include "base/utf8.h"
#include "traces/wire.h"

namespace traces {

using base::invalid;
using base::Result;

namespace {

std::unexpected<base::Error> malformed(std::string_view what) {
  return invalid("Invalid OpenTelemetry format: " + std::string(what));
}

Result<std::string> text_of(std::string_view bytes, std::string_view what) {
  if (!base::is_utf8(bytes)) return malformed(std::string(what) + " is not valid UTF-8");
  return std::string(bytes);
}

std::string hex_of(std::string_view bytes) {
  return base::to_hex({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

// An id of exactly `size` bytes, or of none where it may be absent.
Result<std::string> id_of(std::string_view bytes, size_t size, std::string_view what) {
  if (bytes.size() != size) {
    return malformed(std::string(what) + " has " + std::to_string(bytes.size()) + " bytes; it must have " +
                     std::to_string(size));
  }
  if (bytes.find_first_not_of('\0') == bytes.npos) return malformed(std::string(what) + " is all zeros");
  return hex_of(bytes);
}

Result<int64_t> time_of(uint64_t nanoseconds) {
  if (nanoseconds > INT64_MAX) return malformed("a time is later than the year 2262");
  return static_cast<int64_t>(nanoseconds);
}

Result<void> check_count(size_t count, size_t most, std::string_view what) {
  if (count < most) return {};
  return base::fail(base::Code::kTooLarge,
                    "Invalid OpenTelemetry format: more than " + std::to_string(most) + " " + std::string(what));
}

// AnyValue → JSON text. The depth bounds the recursion.
Result<void> append_value(std::string& out, std::string_view bytes, size_t depth);

Result<void> append_list(std::string& out, std::string_view bytes, size_t depth) {
  WireReader reader(bytes);
  out += '[';
  bool first = true;
  while (reader.next()) {
    if (reader.field() != 1 || !reader.is_bytes()) continue;
    if (!first) out += ", ";
    first = false;
    TRY(append_value(out, reader.bytes(), depth));
  }
  out += ']';
  return reader.failed() ? Result<void>(malformed("a list is cut off")) : Result<void>();
}

struct KeyValue {
  std::string_view key, value;
};

Result<KeyValue> read_key_value(std::string_view bytes) {
  WireReader reader(bytes);
  KeyValue out;
  while (reader.next()) {
    if (reader.field() == 1 && reader.is_bytes()) out.key = reader.bytes();
    if (reader.field() == 2 && reader.is_bytes()) out.value = reader.bytes();
  }
  if (reader.failed()) return malformed("an attribute is cut off");
  if (!base::is_utf8(out.key)) return malformed("an attribute's name is not valid UTF-8");
  return out;
}

Result<void> append_map(std::string& out, std::string_view bytes, size_t depth) {
  WireReader reader(bytes);
  out += '{';
  bool first = true;
  while (reader.next()) {
    if (reader.field() != 1 || !reader.is_bytes()) continue;
    if (!first) out += ", ";
    first = false;
    TRY_SET(const KeyValue entry, read_key_value(reader.bytes()));
    append_python_string(out, entry.key);
    out += ": ";
    TRY(append_value(out, entry.value, depth));
  }
  out += '}';
  return reader.failed() ? Result<void>(malformed("a map is cut off")) : Result<void>();
}

Result<void> append_value(std::string& out, std::string_view bytes, size_t depth) {
  if (depth >= kValueDepth) {
    return malformed("a value is nested deeper than " + std::to_string(kValueDepth) + " levels");
  }
  // The last member of a oneof wins: what was written before it is taken back.
  const size_t begin = out.size();
  out += "null";
  WireReader reader(bytes);
  while (reader.next()) {
    const uint32_t field = reader.field();
    const bool known = (field == 1 && reader.is_bytes()) || (field == 2 && reader.is_varint()) ||
                       (field == 3 && reader.is_varint()) || (field == 4 && reader.is_fixed64()) ||
                       (field >= 5 && field <= 7 && reader.is_bytes());
    if (!known) continue;
    out.resize(begin);
    switch (field) {
      case 1:
        if (!base::is_utf8(reader.bytes())) return malformed("a text is not valid UTF-8");
        append_python_string(out, reader.bytes());
        break;
      case 2: out += reader.number() != 0 ? "true" : "false"; break;
      case 3: out += std::to_string(static_cast<int64_t>(reader.number())); break;
      case 4: append_python_double(out, reader.real()); break;
      case 5: TRY(append_list(out, reader.bytes(), depth + 1)); break;
      case 6: TRY(append_map(out, reader.bytes(), depth + 1)); break;
      default: append_python_string(out, base::base64_encode(reader.bytes()));
    }
  }
  if (reader.failed()) return malformed("a value is cut off");
  return {};
}

Result<void> add_attribute(Attributes& out, std::string_view bytes) {
  TRY(check_count(out.size(), kSpanAttributes, "attributes"));
  TRY_SET(const KeyValue entry, read_key_value(bytes));
  Attribute& added = out.emplace_back();
  added.key = entry.key;
  return append_value(added.json, entry.value, 0);
}

Result<SpanEvent> read_event(std::string_view bytes) {
  WireReader reader(bytes);
  SpanEvent out;
  while (reader.next()) {
    if (reader.field() == 1 && reader.is_fixed64()) {
      TRY_SET(out.time_ns, time_of(reader.number()));
    } else if (reader.field() == 2 && reader.is_bytes()) {
      TRY_SET(out.name, text_of(reader.bytes(), "an event's name"));
    } else if (reader.field() == 3 && reader.is_bytes()) {
      TRY(add_attribute(out.attributes, reader.bytes()));
    }
  }
  if (reader.failed()) return malformed("an event is cut off");
  return out;
}

Result<SpanLink> read_link(std::string_view bytes) {
  WireReader reader(bytes);
  SpanLink out;
  while (reader.next()) {
    if (!reader.is_bytes()) continue;
    if (reader.field() == 1) {
      TRY_SET(out.trace_id, id_of(reader.bytes(), 16, "a link's trace_id"));
    } else if (reader.field() == 2) {
      TRY_SET(out.span_id, id_of(reader.bytes(), 8, "a link's span_id"));
    } else if (reader.field() == 4) {
      TRY(add_attribute(out.attributes, reader.bytes()));
    }
  }
  if (reader.failed()) return malformed("a link is cut off");
  return out;
}

Result<void> read_status(std::string_view bytes, Span& out) {
  WireReader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 2 && reader.is_bytes()) {
      TRY_SET(out.status_message, text_of(reader.bytes(), "a status"));
    } else if (reader.field() == 3 && reader.is_varint()) {
      out.status = reader.number() == 1   ? SpanStatus::kOk
                   : reader.number() == 2 ? SpanStatus::kError
                                          : SpanStatus::kUnset;
    }
  }
  return reader.failed() ? Result<void>(malformed("a status is cut off")) : Result<void>();
}

Result<void> read_span_bytes(WireReader& reader, Span& out) {
  switch (reader.field()) {
    case 1: {
      TRY_SET(out.trace_id, id_of(reader.bytes(), 16, "a span's trace_id"));
      return {};
    }
    case 2: {
      TRY_SET(out.span_id, id_of(reader.bytes(), 8, "a span's span_id"));
      return {};
    }
    case 4:
      out.parent_id.clear();
      if (reader.bytes().find_first_not_of('\0') == std::string_view::npos) return {};
      {
        TRY_SET(out.parent_id, id_of(reader.bytes(), 8, "a span's parent_span_id"));
      }
      return {};
    case 5: {
      TRY_SET(out.name, text_of(reader.bytes(), "a span's name"));
      return {};
    }
    case 9: return add_attribute(out.attributes, reader.bytes());
    case 11: {
      TRY(check_count(out.events.size(), kSpanParts, "events of a span"));
      TRY_SET(out.events.emplace_back(), read_event(reader.bytes()));
      return {};
    }
    case 13: {
      TRY(check_count(out.links.size(), kSpanParts, "links of a span"));
      TRY_SET(out.links.emplace_back(), read_link(reader.bytes()));
      return {};
    }
    case 15: return read_status(reader.bytes(), out);
    default: return {};
  }
}

Result<Span> read_span(std::string_view bytes) {
  WireReader reader(bytes);
  Span out;
  while (reader.next()) {
    if (reader.is_bytes()) {
      TRY(read_span_bytes(reader, out));
    } else if (reader.is_fixed64() && reader.field() == 7) {
      TRY_SET(out.start_ns, time_of(reader.number()));
    } else if (reader.is_fixed64() && reader.field() == 8) {
      TRY_SET(out.end_ns, time_of(reader.number()));
    }
  }
  if (reader.failed()) return malformed("a span is cut off");
  if (out.trace_id.empty() || out.span_id.empty()) return malformed("a span has no trace_id or no span_id");
  if (out.name.size() > kSpanNameBytes) return malformed("a span's name is too long");
  return out;
}

Result<void> read_scope_spans(std::string_view bytes, size_t resource, SpanBatch& out) {
  WireReader reader(bytes);
  while (reader.next()) {
    if (reader.field() != 2 || !reader.is_bytes()) continue;
    TRY(check_count(out.spans.size(), kRequestSpans, "spans in one request"));
    TRY_SET(Span span, read_span(reader.bytes()));
    span.resource = resource;
    out.spans.push_back(std::move(span));
  }
  return reader.failed() ? Result<void>(malformed("a scope's spans are cut off")) : Result<void>();
}

Result<void> read_resource(std::string_view bytes, Attributes& out) {
  WireReader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 1 && reader.is_bytes()) TRY(add_attribute(out, reader.bytes()));
  }
  return reader.failed() ? Result<void>(malformed("a resource is cut off")) : Result<void>();
}

Result<void> read_resource_spans(std::string_view bytes, SpanBatch& out) {
  TRY(check_count(out.resources.size(), kRequestSpans, "resources in one request"));
  const size_t resource = out.resources.size();
  out.resources.emplace_back();
  WireReader reader(bytes);
  while (reader.next()) {
    if (!reader.is_bytes()) continue;
    if (reader.field() == 1) TRY(read_resource(reader.bytes(), out.resources[resource]));
    if (reader.field() == 2) TRY(read_scope_spans(reader.bytes(), resource, out));
  }
  return reader.failed() ? Result<void>(malformed("a resource's spans are cut off")) : Result<void>();
}

// Inflates with a bound; `window` says which header zlib expects.
Result<std::string> inflate_all(std::string_view body, int window) {
  z_stream stream{};
  if (inflateInit2(&stream, window) != Z_OK) return base::internal("zlib cannot start");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  std::string out;
  std::array<char, 64 * 1024> piece;
  int code = Z_OK;
  while (code == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = piece.size();
    code = inflate(&stream, Z_NO_FLUSH);
    out.append(piece.data(), piece.size() - stream.avail_out);
    if (out.size() > kOtlpBytes) break;
  }
  inflateEnd(&stream);
  if (out.size() > kOtlpBytes) {
    return base::fail(base::Code::kTooLarge,
                      "the unpacked body has more than " + std::to_string(kOtlpBytes) + " bytes");
  }
  if (code != Z_STREAM_END) return invalid("the body is not a whole compressed stream");
  return out;
}

}  // namespace

Result<SpanBatch> decode_otlp(std::string_view bytes) {
  if (bytes.size() > kOtlpBytes) return base::fail(base::Code::kTooLarge, "the request is too large");
  SpanBatch out;
  WireReader reader(bytes);
  while (reader.next()) {
    if (reader.field() == 1 && reader.is_bytes()) TRY(read_resource_spans(reader.bytes(), out));
  }
  if (reader.failed()) return malformed("the message is cut off");
  if (out.resources.empty()) return malformed("no spans found");
  return out;
}

Result<std::string> decompress(std::string_view body, std::string_view encoding) {
  if (encoding.empty() || encoding == "identity") return std::string(body);
  constexpr int kGzip = 16 + MAX_WBITS;
  if (encoding == "gzip") {
    auto out = inflate_all(body, kGzip);
    if (!out) return std::unexpected(std::move(out).error().within("Failed to decompress gzip payload"));
    return out;
  }
  if (encoding == "deflate") {
    auto out = inflate_all(body, MAX_WBITS);
    if (!out && out.error().code == base::Code::kInvalid) out = inflate_all(body, -MAX_WBITS);
    if (!out) return std::unexpected(std::move(out).error().within("Failed to decompress deflate payload"));
    return out;
  }
  return invalid("Unsupported Content-Encoding: " + std::string(encoding.substr(0, 100)) +
                 "; allowed are identity, gzip and deflate");
}

}  // namespace traces
