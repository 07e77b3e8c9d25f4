// Traffic: what each endpoint answered in each step of ten seconds, kept for two weeks: requests, failures, rows and
// how long the answers took (by the buckets of the metric lathe_inference_seconds). The sampler takes the differences
// of the runtime's own instruments, so the hot path pays nothing; an idle endpoint leaves no rows.
//
// Thread: TrafficSampler has one of its own; its destructor takes a last sample and joins. The rest are functions on a
// Tx.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "serve/runtime.h"
#include "store/store.h"

namespace serve {

inline constexpr int64_t kTrafficStepUs = 10'000'000;
inline constexpr int64_t kTrafficKeepUs = int64_t{14} * 86'400'000'000;
inline constexpr size_t kMaxTrafficPoints = 2000;  // of one answer

// Answers counted by how long they took; bucket i ends at bounds[i], the last one is open.
struct LatencyCounts {
  std::vector<double> bounds;  // seconds
  std::vector<uint64_t> counts;

  void add(const LatencyCounts& other);
  uint64_t total() const;
  // Linear within its bucket; nullopt without answers.
  std::optional<double> quantile(double share) const;
};

struct TrafficPoint {
  int64_t at_us = 0;  // where its step begins
  int64_t revision = 0;
  int64_t requests = 0, failures = 0, rows = 0;
  int64_t faults = 0;  // failures that were not the client's
  double seconds = 0;  // summed over the answers
  LatencyCounts latency;

  void add(const TrafficPoint& other);
};

// Steps of `step_us` (a multiple of kTrafficStepUs) in [from_us, to_us), oldest first; by revision within a step, where
// `by_revision`, else together (revision 0). Steps without a request are left out.
struct TrafficQuery {
  std::string endpoint;
  int64_t from_us = 0, to_us = 0;
  int64_t step_us = kTrafficStepUs;
  bool by_revision = false;
};
base::Result<std::vector<TrafficPoint>> traffic(store::Tx& tx, const TrafficQuery& query);
// What the mirror compared in [from_us, to_us), summed by who answered and who was compared.
base::Result<std::vector<MirrorPoint>> mirrored(store::Tx& tx, std::string_view endpoint, int64_t from_us,
                                                int64_t to_us);

class TrafficSampler {
 public:
  // `own_thread` false: samples are taken by hand, in tests.
  TrafficSampler(store::Store& store, Runtime& runtime, const base::Clock& clock, bool own_thread = true);
  ~TrafficSampler();
  TrafficSampler(const TrafficSampler&) = delete;

  // One sample on the calling thread; also what the thread does each kTrafficStepUs.
  void sample();

 private:
  struct Seen {
    int64_t project = 0;
    std::string endpoint;
    TrafficPoint totals;
    std::shared_ptr<const LiveEndpoint> live;
  };
  struct Row {
    int64_t project = 0;
    std::string endpoint;
    TrafficPoint point;
  };
  void run(const std::stop_token& stop);
  std::vector<Row> differences();
  void keep(const std::vector<Row>& rows);
  void keep_mirrored();

  store::Store& store_;
  Runtime& runtime_;
  const base::Clock& clock_;
  std::map<const base::Counter*, Seen>
      seen_;                 // by the instrument that counts requests: revisions of a version share it
  std::vector<Row> unkept_;  // of steps whose write failed; bounded, the oldest go
  std::vector<Mirror::Comparison> unkept_mirrored_;
  int64_t trimmed_us_ = 0;
  std::mutex mutex_;  // of wake_ only
  std::condition_variable_any wake_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace serve
