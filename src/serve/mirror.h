// The mirror: copies of requests run on an endpoint's shadow revision, on a thread of its own and after the answer was
// made. It never slows a request (a full queue drops the copy, counted) and never fails one. Each answer is compared
// with the one that was given and captured with the role "shadow", its client_id the id of the primary's record.
//
// Thread: offer() from any; it copies, takes one short lock and never waits. take() from any. The destructor lets the
// copy at hand finish, drops the others and joins.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/ids.h"
#include "base/metrics.h"
#include "serve/capture.h"
#include "serve/model.h"

namespace serve {

struct LiveEndpoint;

inline constexpr size_t kMirrorQueueBytes = size_t{16} << 20;
inline constexpr size_t kMirrorQueueJobs = 2000;
inline constexpr std::string_view kShadowRole = "shadow";

// What copies showed, summed; kept by step of time in `endpoint_mirror`.
struct MirrorPoint {
  int64_t at_us = 0;
  int64_t revision = 0, shadow = 0;  // who answered, who was compared
  int64_t requests = 0, rows = 0;
  int64_t agreed = 0;     // rows with the same label
  int64_t failures = 0;   // requests that the shadow answered with an error
  int64_t dropped = 0;    // copies that found the queue full
  int64_t scored = 0;     // rows whose scores (or numeric answers) could be compared
  double difference = 0;  // absolute, summed over those
  double most = 0;        // the largest of them
  double seconds = 0;     // of the shadow's computation

  void add(const MirrorPoint& other);
};
// One answer against another; `scores` as capture keeps them, the highest of each row.
void compare_answers(MirrorPoint& point, std::span<const std::string> labels, std::span<const double> scores,
                     std::span<const std::string> other_labels, std::span<const double> other_scores);

class Mirror {
 public:
  Mirror(Capture& capture, base::Registry& metrics);
  ~Mirror();
  Mirror(const Mirror&) = delete;

  struct Answer {  // the primary's, borrowed
    base::Uuid id{};
    int64_t at_us = 0;
    std::span<const std::string> labels;
    std::span<const double> scores;
  };
  void offer(const LiveEndpoint& primary, std::shared_ptr<const LiveEndpoint> shadow, std::span<const Tensor> inputs,
             const Answer& answer);

  struct Comparison {
    int64_t project = 0;
    std::string endpoint;
    MirrorPoint point;  // at_us 0
  };
  std::vector<Comparison> take();  // since the last take
  void finish();                   // waits until all that was offered has run; for tests and at the end

 private:
  struct Job {
    std::shared_ptr<const LiveEndpoint> shadow;
    int64_t revision = 0;
    std::vector<Tensor> inputs;
    base::Uuid id{};
    int64_t at_us = 0;
    std::vector<std::string> labels;
    std::vector<double> scores;
    size_t bytes = 0;
  };
  void run(const std::stop_token& stop);
  void work(const Job& job);
  MirrorPoint& point_locked(const LiveEndpoint& shadow, int64_t revision);

  Capture& capture_;
  base::Counter& dropped_;
  std::mutex mutex_;
  std::condition_variable_any wake_, idle_;
  std::deque<Job> queue_;
  size_t queued_bytes_ = 0;
  bool working_ = false;
  std::map<std::tuple<int64_t, std::string, int64_t, int64_t>, MirrorPoint> points_;
  std::jthread thread_;  // last: it uses the others
};

// The highest score of each row, as capture and comparisons keep them.
void top_scores(const Prediction& prediction, std::vector<double>& top);

}  // namespace serve
