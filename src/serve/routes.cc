#include "serve/routes.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <thread>
#include <tuple>

namespace serve {
namespace {

// Fine enough that a percentile read from the buckets is off by less than a fifth.
constexpr std::array kLatencyBounds = {0.00002, 0.00003, 0.00005, 0.00007, 0.0001, 0.00015, 0.0002, 0.0003,
                                       0.0005,  0.0007,  0.001,   0.0015,  0.002,  0.003,   0.005,  0.007,
                                       0.01,    0.015,   0.02,    0.03,    0.05,   0.07,    0.1,    0.15,
                                       0.2,     0.3,     0.5,     0.7,     1.0,    2.0,     5.0,    10.0};

using Key = std::pair<int64_t, std::string_view>;

struct ByKey {
  static Key of(const LivePtr& endpoint) { return {endpoint->project, endpoint->name}; }
  bool operator()(const LivePtr& a, const Key& b) const { return of(a) < b; }
  bool operator()(const Key& a, const LivePtr& b) const { return a < of(b); }
};

int64_t number_of(const LivePtr& endpoint) {
  int64_t number = 0;
  std::from_chars(endpoint->version.data(), endpoint->version.data() + endpoint->version.size(), number);
  return number;
}

void append_label(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
}

}  // namespace

const LivePtr* RouteSnapshot::find(int64_t project, std::string_view name, std::string_view version) const {
  if (name.empty()) {
    for (const LivePtr& endpoint : defaults) {
      if (endpoint->project == project && (version.empty() || endpoint->version == version)) return &endpoint;
    }
    return nullptr;
  }
  const Key key(project, name);
  const LivePtr* newest = nullptr;
  for (auto at = std::lower_bound(endpoints.begin(), endpoints.end(), key, ByKey()); at != endpoints.end(); ++at) {
    if ((*at)->project != project || (*at)->name != name) break;
    if (version.empty() ? (*at)->ready() : (*at)->version == version) return &*at;
    if (version.empty() && !newest) newest = &*at;
  }
  return newest;
}

std::vector<LivePtr> RouteSnapshot::versions(int64_t project, std::string_view name) const {
  const auto [from, to] = std::equal_range(endpoints.begin(), endpoints.end(), Key(project, name), ByKey());
  return {from, to};
}

void RouteSnapshot::sort() {
  std::ranges::sort(endpoints, [](const LivePtr& a, const LivePtr& b) {
    return std::tuple(a->project, std::string_view(a->name), -number_of(a)) <
           std::tuple(b->project, std::string_view(b->name), -number_of(b));
  });
}

LivePtr Routes::route(int64_t project, std::string_view name) const {
  const Pin now = pin();
  const LivePtr* found = now->find(project, name);
  return found ? *found : nullptr;
}

std::vector<LivePtr> Routes::loaded() const {
  const Pin now = pin();
  std::vector<LivePtr> out = now->endpoints;
  for (const auto& endpoint : now->endpoints) {
    if (!endpoint->split) continue;
    for (const LiveSplit::Part& part : endpoint->split->parts)
      if (part.target) out.push_back(part.target);
  }
  return out;
}

const LivePtr& choose(const LivePtr& endpoint, std::string_view key) {
  const LiveSplit& split = *endpoint->split;
  const uint32_t place = place_of(key, split.salt);
  for (const LiveSplit::Part& part : split.parts) {
    if (place < part.upto) return part.target ? part.target : endpoint;
  }
  return endpoint;
}

const LivePtr* find_revision(const LivePtr& endpoint, int64_t number) {
  if (endpoint->revision.number == number) return &endpoint;
  if (endpoint->split) {
    for (const LiveSplit::Part& part : endpoint->split->parts)
      if (part.target && part.target->revision.number == number) return &part.target;
  }
  return nullptr;
}

const LivePtr* find_version(const LivePtr& endpoint, std::string_view version) {
  if (endpoint->version == version) return &endpoint;
  if (endpoint->split) {
    for (const LiveSplit::Part& part : endpoint->split->parts)
      if (part.target && part.target->version == version) return &part.target;
  }
  return nullptr;
}

base::Result<LivePtr> ruled(const LiveRules& rules, const HeaderSource& header, const RawRows* rows) {
  std::vector<std::string> headers;
  for (const std::string& name : rules.headers) headers.push_back(header_value(header(name)));
  Places left(rows ? std::max<size_t>(rows->count, 1) : 1);
  for (uint32_t i = 0; i < left.size(); ++i) left[i] = i;
  const size_t all = left.size();
  for (const LiveRules::Rule& rule : rules.rules) {
    TRY_SET(const Places taken, rule.when.holds({.raw = rows, .headers = headers}, left));
    if (taken.empty()) continue;
    if (taken.size() != all)
      return base::invalid("row " + std::to_string(taken[0]) + " is for revision " + std::to_string(rule.revision) +
                           " by a rule of the endpoint's traffic, and other rows are not: send them apart");
    return rule.target.lock();
  }
  return LivePtr();
}

bool Routes::ready() const {
  const Pin now = pin();
  return std::ranges::all_of(now->endpoints, [](const LivePtr& endpoint) { return endpoint->ready(); });
}

base::Result<LivePtr> Routes::warm(const LiveEndpoint& cold, int64_t) {
  return base::internal("endpoint '" + cold.name + "' has nobody who loads it");
}

EndpointStatistics statistics_of(const LiveEndpoint& endpoint) {
  EndpointStatistics out;
  out.failed = endpoint.failures->value();
  out.succeeded = endpoint.requests->value() - std::min(out.failed, endpoint.requests->value());
  out.rows = endpoint.rows->value();
  out.ns = static_cast<uint64_t>(std::max(endpoint.seconds->sum(), 0.0) * 1e9);
  out.executions = out.queued = out.succeeded;
  out.waiting = endpoint.limiter ? endpoint.limiter->waiting() : 0;
  if (const auto batched = endpoint.predictor ? endpoint.predictor->batch_statistics() : std::nullopt) {
    out.executions = batched->executions;
    out.queued = batched->requests;
    out.queue_ns = batched->queue_ns;
    out.batches = batched->sizes;
  }
  if (const auto cached = endpoint.predictor ? endpoint.predictor->cache_statistics() : std::nullopt)
    out.cache = *cached;
  return out;
}

std::shared_ptr<Limiter> make_limiter(const Predictor& predictor) {
  const size_t cores = std::max(std::thread::hardware_concurrency(), 1U);
  const size_t slots = predictor.waits() ? std::max<size_t>(predictor.model().parallel(), 1) : cores;
  const size_t rows = std::max<size_t>(predictor.waits() ? predictor.model().batching().max_rows : 1, 1);
  return std::make_shared<Limiter>(static_cast<uint32_t>(std::min<size_t>(slots * rows, kMostInHouse)), kMostInHouse);
}

size_t body_limit(const Predictor& predictor) {
  constexpr size_t kBesideTensors = 64 * base::limits::kKiB;
  constexpr size_t kElementBytes = 128;  // as text, with its column's name
  size_t elements = 0;
  for (const TensorInfo& info : predictor.inputs()) {
    size_t count = 1;
    for (size_t i = 0; i < info.shape.size(); ++i) {
      int64_t dim = info.shape[i];
      if (dim < 0 && i == 0) dim = static_cast<int64_t>(predictor.model().max_batch());
      if (dim <= 0 || info.type == DataType::kBytes) return base::limits::kInferBody;
      count *= static_cast<size_t>(dim);
      if (count > base::limits::kInferBody) return base::limits::kInferBody;
    }
    elements += count;
  }
  return std::min(kBesideTensors + elements * kElementBytes, base::limits::kInferBody);
}

void set_predictor(LiveEndpoint& endpoint, std::shared_ptr<const Predictor> predictor, std::shared_ptr<Limiter> limiter,
                   base::Registry& metrics, const base::Registry::Labels& labels) {
  endpoint.waits = predictor->waits();
  endpoint.body_bytes = body_limit(*predictor);
  const auto gauge = [&](const char* name, const char* help, uint32_t (Limiter::*read)() const) {
    metrics.gauge_fn(
        name, help,
        [weak = std::weak_ptr<Limiter>(limiter), read]() -> double {
          const auto now = weak.lock();
          return now ? ((*now).*read)() : 0;
        },
        labels);
  };
  gauge("lathe_inference_limit", "Requests that may be in the house at once, off the loops.", &Limiter::limit);
  gauge("lathe_inference_in_flight", "Requests in the house now, off the loops.", &Limiter::in_flight);
  endpoint.predictor = std::move(predictor);
  endpoint.limiter = std::move(limiter);
}

void add_instruments(LiveEndpoint& endpoint, base::Registry& metrics, const base::Registry::Labels& labels) {
  endpoint.requests = &metrics.counter("lathe_inference_requests_total", "Inference requests answered.", labels);
  endpoint.failures =
      &metrics.counter("lathe_inference_failures_total", "Inference requests answered with an error.", labels);
  endpoint.faults = &metrics.counter("lathe_inference_faults_total",
                                     "Inference requests whose error was the model's, not the client's.", labels);
  endpoint.refused = &metrics.counter("lathe_inference_refused_total",
                                      "Inference requests refused because there were too many.", labels);
  endpoint.rows = &metrics.counter("lathe_inference_rows_total", "Rows predicted.", labels);
  endpoint.seconds =
      &metrics.histogram("lathe_inference_seconds", "Computation of an answered request.", kLatencyBounds, labels);
}

StepMeters step_meters(std::string path, base::Registry& metrics, const base::Registry::Labels& labels) {
  base::Registry::Labels of_step = labels;
  of_step.emplace_back("step", path);
  return {
      .path = std::move(path),
      .requests = &metrics.counter("lathe_graph_step_requests_total", "Requests that came to a graph's step.", of_step),
      .failures = &metrics.counter("lathe_graph_step_failures_total", "Those of them that it failed.", of_step),
      .rows = &metrics.counter("lathe_graph_step_rows_total", "Rows that a graph's step answered.", of_step),
      .seconds =
          &metrics.histogram("lathe_graph_step_seconds", "Computation of a graph's step.", kLatencyBounds, of_step)};
}

void add_waiting_instruments(LiveEndpoint& endpoint, base::Registry& metrics, const base::Registry::Labels& labels) {
  const auto gauge = [&](const char* name, const char* help) { return &metrics.gauge(name, help, labels); };
  endpoint.waiting = {
      .workers = gauge("lathe_inference_workers", "Workers of a Python model that are ready."),
      .busy = gauge("lathe_inference_workers_busy", "Requests that workers run now."),
      .waiting = gauge("lathe_inference_waiting", "Requests that wait for a worker."),
      .crashed = gauge("lathe_inference_worker_failures", "Workers that failed since the model was loaded."),
      .executions = gauge("lathe_inference_executions", "Runs of a batched model since it was loaded."),
      .queue_us = gauge("lathe_inference_queue_us", "Time that requests waited for their batch, together."),
      .least = gauge("lathe_inference_workers_min", "Workers that are kept however idle they are."),
      .most = gauge("lathe_inference_workers_max", "Workers at most."),
      .started = gauge("lathe_inference_workers_started", "Workers started since the model was loaded."),
      .waited = gauge("lathe_inference_waits", "Requests that had to wait for a worker since the model was loaded."),
      .wait_us = gauge("lathe_inference_wait_us", "Time that those waited, together.")};
}

void publish_waiting(const LiveEndpoint& endpoint) {
  const LiveEndpoint::Waiting& to = endpoint.waiting;
  if (!to.workers || !endpoint.predictor) return;
  const auto set = [](base::Gauge* gauge, uint64_t value) { gauge->set(static_cast<int64_t>(value)); };
  if (const auto counts = endpoint.predictor->model().workers()) {
    set(to.workers, counts->workers);
    set(to.busy, counts->busy);
    set(to.waiting, counts->waiting);
    set(to.crashed, counts->crashed);
    set(to.started, counts->started);
    set(to.waited, counts->waited);
    set(to.wait_us, counts->wait_us);
  }
  if (const auto limits = endpoint.predictor->model().limits()) {
    set(to.least, limits->min_workers);
    set(to.most, limits->max_workers);
  }
  if (const auto batched = endpoint.predictor->batch_statistics()) {
    set(to.executions, batched->executions);
    set(to.queue_us, batched->queue_ns / 1000);
  }
}

void append_triton_metrics(std::string& out, const std::vector<LivePtr>& endpoints) {
  struct Family {
    std::string_view name, help;
    uint64_t (*value)(const EndpointStatistics&);
  };
  using Numbers = const EndpointStatistics&;
  constexpr auto none = [](Numbers) -> uint64_t { return 0; };
  const Family families[] = {
      {"nv_inference_request_success", "Requests answered", [](Numbers n) { return n.succeeded; }},
      {"nv_inference_request_failure", "Requests answered with an error", [](Numbers n) { return n.failed; }},
      {"nv_inference_count", "Rows predicted", [](Numbers n) { return n.rows; }},
      {"nv_inference_exec_count", "Runs of the model", [](Numbers n) { return n.executions; }},
      {"nv_inference_request_duration_us", "Time of answered requests", [](Numbers n) { return n.ns / 1000; }},
      {"nv_inference_queue_duration_us", "Time in queues", [](Numbers n) { return n.queue_ns / 1000; }},
      {"nv_inference_compute_input_duration_us", "Time to prepare inputs", none},
      {"nv_inference_compute_infer_duration_us", "Time in the model", [](Numbers n) { return n.ns / 1000; }},
      {"nv_inference_compute_output_duration_us", "Time to take outputs", none},
      {"nv_cache_num_hits_per_model", "Requests answered from the response cache",
       [](Numbers n) { return n.cache.hits; }},
      {"nv_cache_num_misses_per_model", "Requests looked for in vain", [](Numbers n) { return n.cache.misses; }},
      {"nv_cache_hit_duration_per_model", "Time of looking, of hits", [](Numbers n) { return n.cache.hit_us; }},
      {"nv_cache_miss_duration_per_model", "Time of looking and keeping, of misses",
       [](Numbers n) { return n.cache.miss_us; }},
      {"nv_inference_pending_request_count", "Requests in queues", [](Numbers n) { return n.waiting; }},
  };
  std::vector<EndpointStatistics> numbers;
  for (const LivePtr& endpoint : endpoints) numbers.push_back(statistics_of(*endpoint));
  for (const Family& family : families) {
    const bool gauge = family.name == "nv_inference_pending_request_count";
    out.append("# HELP ").append(family.name).append(" ").append(family.help).append("\n# TYPE ").append(family.name);
    out.append(gauge ? " gauge\n" : " counter\n");
    for (size_t i = 0; i < endpoints.size(); ++i) {
      out.append(family.name).append("{model=\"");
      append_label(out, endpoints[i]->name);
      out.append("\",version=\"");
      append_label(out, endpoints[i]->version);
      out.append("\"} ").append(std::to_string(family.value(numbers[i]))).append("\n");
    }
  }
}

}  // namespace serve
