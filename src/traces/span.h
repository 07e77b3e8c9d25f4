// A span as OTLP describes it, and the limits on what one request may bring.
//
// Values of attributes are JSON text, spaced and escaped as Python's json.dumps(ensure_ascii=False) writes it: that
// text is what is stored, searched and given back, and it equals what upstream stores. Thread: plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace traces {

inline constexpr size_t kOtlpBytes = size_t{64} << 20;  // of a request, unpacked
inline constexpr size_t kRequestSpans = 20'000;
inline constexpr size_t kSpanAttributes = 4096;  // of a span, an event, a link or a resource
inline constexpr size_t kSpanParts = 4096;       // events, and links, of a span
inline constexpr size_t kValueDepth = 32;        // nested lists and maps of a value
inline constexpr size_t kSpanNameBytes = 64 * 1024;

struct Attribute {
  std::string key;
  std::string json;
};
using Attributes = std::vector<Attribute>;

struct SpanEvent {
  std::string name;
  int64_t time_ns = 0;
  Attributes attributes;
};
struct SpanLink {
  std::string trace_id;  // 32 hex
  std::string span_id;   // 16 hex
  Attributes attributes;
};

enum class SpanStatus : uint8_t { kUnset, kOk, kError };

struct Span {
  std::string trace_id;   // 32 hex
  std::string span_id;    // 16 hex
  std::string parent_id;  // "": a root
  std::string name;
  int64_t start_ns = 0;
  int64_t end_ns = 0;  // 0: not ended
  SpanStatus status = SpanStatus::kUnset;
  std::string status_message;
  Attributes attributes;
  std::vector<SpanEvent> events;
  std::vector<SpanLink> links;
  size_t resource = 0;  // in SpanBatch::resources

  const std::string* find(std::string_view key) const;  // an attribute's JSON; null: it has none of that name
  void set(std::string_view key, std::string json);
};

struct SpanBatch {
  std::vector<Attributes> resources;
  std::vector<Span> spans;
};

// JSON text as Python writes it.
void append_python_string(std::string& out, std::string_view text);
std::string python_string(std::string_view text);
void append_python_double(std::string& out, double number);

}  // namespace traces
