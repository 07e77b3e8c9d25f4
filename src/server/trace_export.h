// Sends the server's own traces to an OpenTelemetry collector: OTLP over HTTP, protobuf encoding (otlp.h). Spans wait
// in a bounded queue; one thread sends them in batches. Nothing that serves a request ever waits for the collector:
// past the queue's limit spans are dropped, and counted (lathe_trace_spans_total by outcome).
//
// Samplers are those of OpenTelemetry's specification, by their names. Thread: safe anywhere.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "base/trace.h"

namespace server {

struct TraceOptions {
  std::string endpoint;  // "http://collector:4318"; "/v1/traces" is added. "": tracing is off
  std::string service = "lathe";
  std::vector<std::pair<std::string, std::string>> headers;  // of each call, for collectors that want a key
  enum class Root : uint8_t { kAlways, kNever, kRatio };
  Root root = Root::kAlways;  // for a trace that begins here
  bool parent_based = true;   // one that goes on from elsewhere keeps its caller's choice
  double ratio = 1;
};

// "parentbased_traceidratio" and its like, with its argument. kInvalid names what is allowed.
base::Result<void> read_sampler(const std::string& name, const std::string& argument, TraceOptions& out);
// "key=value,key2=value2", percent-encoded values.
base::Result<void> read_headers(const std::string& text, TraceOptions& out);

class Sender;

class TraceExporter final : public base::Tracer {
 public:
  TraceExporter(TraceOptions options, base::Registry& metrics);
  ~TraceExporter() override;  // one last try with what waits

  base::TraceContext start(std::string_view traceparent_header) override;
  bool samples(const base::TraceId& trace) const override;
  void record(base::SpanData span) override;

 private:
  void run();
  bool send(const std::vector<base::SpanData>& batch, Sender& sender);

  const TraceOptions options_;
  base::Counter& sent_;
  base::Counter& dropped_;
  base::Counter& failed_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<base::SpanData> queue_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace server
