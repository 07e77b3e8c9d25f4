// Traces of the server's own work, in W3C Trace Context's terms: a request, a store write, a promotion, a stage's
// attempt are spans of one trace. Who makes a span knows nothing of where it goes: a Tracer takes it
// (server/trace_export.h sends it by OTLP), and where there is none a TraceContext is empty and nothing is measured.
//
// Thread: values; a Tracer is safe anywhere and never blocks.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace base {

class Tracer;

using TraceId = std::array<uint8_t, 16>;
using SpanId = std::array<uint8_t, 8>;

// The span that work belongs to; part of a Context. Empty (tracer null): not traced, by the sampler's choice or because
// tracing is off.
struct TraceContext {
  Tracer* tracer = nullptr;
  TraceId trace{};
  SpanId span{};
  explicit operator bool() const { return tracer != nullptr; }
};

// "00-<32 hex>-<16 hex>-01": header `traceparent`, and variable TRACEPARENT of a process.
std::string traceparent(const TraceContext& context);
struct RemoteParent {
  TraceId trace{};
  SpanId span{};
  bool sampled = false;
};
bool parse_traceparent(std::string_view text, RemoteParent& out);  // false: not one; a new trace begins

struct SpanData {
  enum class Kind : uint8_t { kInternal = 1, kServer = 2 };  // OTLP's numbers
  using Value = std::variant<std::string, int64_t>;
  std::string name;
  Kind kind = Kind::kInternal;
  TraceId trace{};
  SpanId span{};
  SpanId parent{};  // zeros: none
  int64_t start_us = 0;
  int64_t end_us = 0;
  std::vector<std::pair<std::string_view, Value>> attributes;  // keys are literals
  bool failed = false;
  std::string failure;
};

class Tracer {
 public:
  virtual ~Tracer() = default;
  // The parent of a request's span: a trace that begins here (no span yet), or goes on from a header. Empty if the
  // sampler leaves it out.
  virtual TraceContext start(std::string_view traceparent_header) = 0;
  virtual bool samples(const TraceId& trace) const = 0;  // would a trace with this id be kept?
  virtual void record(SpanData span) = 0;                // past the queue's limit it is dropped and counted
};

// A piece of work from its construction to its destruction. Does nothing under an empty parent.
class Span {
 public:
  Span(const TraceContext& parent, std::string_view name, SpanData::Kind kind = SpanData::Kind::kInternal);
  Span(const Span&) = delete;
  ~Span();
  TraceContext context() const { return {tracer_, data_.trace, data_.span}; }  // for work inside it
  void rename(std::string name) { data_.name = std::move(name); }
  void set(std::string_view literal_key, SpanData::Value value);
  void fail(std::string_view why);

 private:
  Tracer* tracer_;
  SpanData data_;
};

SpanId new_span_id();

}  // namespace base
