#include "server/trace_export.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "base/ids.h"
#include "base/limits.h"
#include "base/log.h"
#include "net/client.h"
#include "net/http.h"
#include "server/otlp.h"
#include "server/version.h"

namespace server {
namespace {

constexpr size_t kQueuedSpans = 8192;
constexpr size_t kBatchSpans = 512;
constexpr auto kBatchWait = std::chrono::seconds(1);
constexpr int64_t kCallUs = 2'000'000;  // also the longest that going down waits for a collector
constexpr auto kLongestBackoff = std::chrono::seconds(30);
constexpr std::string_view kSamplers =
    "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio";

std::string instance_name() {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  return std::string(host) + ":" + std::to_string(getpid());
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

base::Result<void> read_sampler(const std::string& name, const std::string& argument, TraceOptions& out) {
  std::string_view rule = name;
  constexpr std::string_view kParentBased = "parentbased_";
  out.parent_based = rule.starts_with(kParentBased);
  if (out.parent_based) rule.remove_prefix(kParentBased.size());
  if (rule == "always_on") {
    out.root = TraceOptions::Root::kAlways;
  } else if (rule == "always_off") {
    out.root = TraceOptions::Root::kNever;
  } else if (rule == "traceidratio") {
    out.root = TraceOptions::Root::kRatio;
    const auto [end, ec] = std::from_chars(argument.data(), argument.data() + argument.size(), out.ratio);
    if (ec != std::errc() || end != argument.data() + argument.size() || !(out.ratio >= 0 && out.ratio <= 1))
      return base::invalid("the sampler's ratio is '" + argument + "'; allowed: a number from 0 to 1");
  } else {
    return base::invalid("the sampler is '" + name + "'; allowed: " + std::string(kSamplers));
  }
  return {};
}

base::Result<void> read_headers(const std::string& text, TraceOptions& out) {
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    const size_t equals = item.find('=');
    const std::string_view name = trimmed(item.substr(0, equals));
    const auto value =
        equals == item.npos ? std::nullopt : net::percent_decode(trimmed(item.substr(equals + 1)), false);
    const bool plain =
        value && value->find_first_of("\r\n") == value->npos && name.find_first_of("\r\n: ") == name.npos;
    if (name.empty() || !plain)
      return base::invalid("the collector's headers must look like key=value,key2=value2 (values percent-encoded)");
    out.headers.emplace_back(name, *value);
  }
  return {};
}

// What the sending thread holds on to.
class Sender {
 public:
  net::Client client;
  std::string instance = instance_name();
  bool complained = false;  // once for each time that the collector goes away
};

TraceExporter::TraceExporter(TraceOptions options, base::Registry& metrics)
    : options_(std::move(options)),
      sent_(metrics.counter("lathe_trace_spans_total", "Spans of our own traces, by what became of them",
                            {{"outcome", "sent"}})),
      dropped_(metrics.counter("lathe_trace_spans_total", "Spans of our own traces, by what became of them",
                               {{"outcome", "dropped"}})),
      failed_(metrics.counter("lathe_trace_spans_total", "Spans of our own traces, by what became of them",
                              {{"outcome", "failed"}})),
      thread_([this] { run(); }) {}

TraceExporter::~TraceExporter() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

base::TraceContext TraceExporter::start(std::string_view header) {
  base::RemoteParent parent;
  if (!header.empty() && base::parse_traceparent(header, parent)) {
    const bool keep = options_.parent_based ? parent.sampled : samples(parent.trace);
    return keep ? base::TraceContext{this, parent.trace, parent.span} : base::TraceContext{};
  }
  base::TraceContext root{this, {}, {}};
  base::system_random().fill(root.trace);
  return samples(root.trace) ? root : base::TraceContext{};
}

bool TraceExporter::samples(const base::TraceId& trace) const {
  if (options_.root != TraceOptions::Root::kRatio) return options_.root == TraceOptions::Root::kAlways;
  uint64_t low = 0;  // as OpenTelemetry's samplers do: the last eight bytes against the ratio, so that all agree
  for (size_t i = 8; i < trace.size(); ++i) low = low << 8 | trace[i];
  return static_cast<double>(low >> 1) < options_.ratio * 0x1p63;
}

void TraceExporter::record(base::SpanData span) {
  bool full_batch = false;
  {
    std::lock_guard lock(mutex_);
    if (queue_.size() >= kQueuedSpans) return dropped_.add();
    queue_.push_back(std::move(span));
    full_batch = queue_.size() == kBatchSpans;
  }
  if (full_batch) wake_.notify_one();
}

void TraceExporter::run() {
  Sender sender;
  auto backoff = kBatchWait;
  for (;;) {
    std::vector<base::SpanData> batch;
    bool last = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, backoff, [&] { return stop_ || (backoff == kBatchWait && queue_.size() >= kBatchSpans); });
      last = stop_;
      const size_t n = std::min(queue_.size(), kBatchSpans);
      batch.assign(std::make_move_iterator(queue_.begin()),
                   std::make_move_iterator(queue_.begin() + static_cast<ptrdiff_t>(n)));
      queue_.erase(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(n));
    }
    const bool good = batch.empty() || send(batch, sender);
    if (last) return;
    backoff = good ? kBatchWait : std::min<std::chrono::seconds>(backoff * 2, kLongestBackoff);
  }
}

bool TraceExporter::send(const std::vector<base::SpanData>& batch, Sender& sender) {
  net::ClientRequest request;
  request.method = "POST";
  request.url = options_.endpoint + "/v1/traces";
  request.headers = options_.headers;
  request.headers.emplace_back("Content-Type", "application/x-protobuf");
  request.body = otlp_request(batch, options_.service, kVersion, sender.instance);
  request.timeout_us = kCallUs;
  request.max_answer_bytes = size_t{64} << 10;
  const auto answer = sender.client.call(request);
  if (answer && answer->status / 100 == 2) {
    sent_.add(batch.size());
    sender.complained = false;
    return true;
  }
  failed_.add(batch.size());
  if (!std::exchange(sender.complained, true)) {
    base::log::warn(
        "the trace collector does not take spans",
        {{"url", request.url}, {"why", answer ? "HTTP " + std::to_string(answer->status) : answer.error().message}});
  }
  return false;
}

}  // namespace server
