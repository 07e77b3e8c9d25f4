#include "serve/mirror.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/clock.h"
#include "serve/runtime.h"

namespace serve {
namespace {

constexpr int kBackgroundNice = 10;  // whoever waits for an answer comes first

std::optional<double> number_in(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

size_t bytes_of(std::span<const Tensor> inputs) {
  size_t bytes = 0;
  for (const Tensor& tensor : inputs) {
    bytes += tensor.bytes.size() + sizeof tensor;
    for (const std::string& text : tensor.strings) bytes += text.size() + sizeof text;
  }
  return bytes;
}

}  // namespace

void MirrorPoint::add(const MirrorPoint& other) {
  requests += other.requests;
  rows += other.rows;
  agreed += other.agreed;
  failures += other.failures;
  dropped += other.dropped;
  scored += other.scored;
  difference += other.difference;
  most = std::max(most, other.most);
  seconds += other.seconds;
}

void top_scores(const Prediction& prediction, std::vector<double>& top) {
  top.clear();
  const size_t rows = prediction.labels.size();
  if (rows == 0 || prediction.scores.empty()) return;
  const size_t width = prediction.scores.size() / rows;
  for (size_t row = 0; row < rows; ++row) {
    const auto begin = prediction.scores.begin() + static_cast<std::ptrdiff_t>(row * width);
    top.push_back(*std::max_element(begin, begin + static_cast<std::ptrdiff_t>(width)));
  }
}

void compare_answers(MirrorPoint& point, std::span<const std::string> labels, std::span<const double> scores,
                     std::span<const std::string> other_labels, std::span<const double> other_scores) {
  const size_t rows = std::min(labels.size(), other_labels.size());
  point.rows += static_cast<int64_t>(std::max(labels.size(), other_labels.size()));
  for (size_t row = 0; row < rows; ++row) {
    point.agreed += labels[row] == other_labels[row];
    std::optional<double> mine, other;
    if (row < scores.size() && row < other_scores.size()) {
      mine = scores[row], other = other_scores[row];
    } else if (scores.empty() && other_scores.empty()) {  // a regression: the answer is the number
      mine = number_in(labels[row]), other = number_in(other_labels[row]);
    }
    if (!mine || !other || !std::isfinite(*mine - *other)) continue;
    const double difference = std::abs(*mine - *other);
    ++point.scored;
    point.difference += difference;
    point.most = std::max(point.most, difference);
  }
}

Mirror::Mirror(Capture& capture, base::Registry& metrics)
    : capture_(capture),
      dropped_(
          metrics.counter("lathe_mirror_dropped_total", "Copies for a shadow revision that found its queue full.")),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

Mirror::~Mirror() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

// The caller holds mutex_.
MirrorPoint& Mirror::point_locked(const LiveEndpoint& shadow, int64_t revision) {
  MirrorPoint& point = points_[{shadow.project, shadow.name, revision, shadow.revision.number}];
  point.revision = revision;
  point.shadow = shadow.revision.number;
  return point;
}

void Mirror::offer(const LiveEndpoint& primary, std::shared_ptr<const LiveEndpoint> shadow,
                   std::span<const Tensor> inputs, const Answer& answer) {
  const size_t bytes = bytes_of(inputs);
  {  // Before anything is copied: what will not fit costs nothing.
    std::lock_guard lock(mutex_);
    if (queue_.size() >= kMirrorQueueJobs || queued_bytes_ + bytes > kMirrorQueueBytes) {
      dropped_.add();
      ++point_locked(*shadow, primary.revision.number).dropped;
      return;
    }
    queued_bytes_ += bytes;
  }
  Job job{.shadow = std::move(shadow),
          .revision = primary.revision.number,
          .inputs = {inputs.begin(), inputs.end()},
          .id = answer.id,
          .at_us = answer.at_us,
          .labels = {answer.labels.begin(), answer.labels.end()},
          .scores = {answer.scores.begin(), answer.scores.end()},
          .bytes = bytes};
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void Mirror::run(const std::stop_token& stop) {
  // Linux keeps a nice value per thread.
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kBackgroundNice);
  std::unique_lock lock(mutex_);
  while (wake_.wait(lock, stop, [&] { return !queue_.empty(); })) {
    if (stop.stop_requested()) break;
    const Job job = std::move(queue_.front());
    queue_.pop_front();
    working_ = true;
    lock.unlock();
    work(job);
    lock.lock();
    queued_bytes_ -= job.bytes;
    working_ = false;
    if (queue_.empty()) idle_.notify_all();
  }
}

void Mirror::work(const Job& job) {
  const LiveEndpoint& shadow = *job.shadow;
  MirrorPoint point{.requests = 1};
  const int64_t start_us = base::system_clock().mono_us();
  const auto outputs = shadow.predictor->infer(job.inputs);
  const int64_t duration_us = std::max<int64_t>(base::system_clock().mono_us() - start_us, 1);
  if (!outputs) {
    point.failures = 1;
    point.rows = static_cast<int64_t>(job.labels.size());
  } else {
    const Prediction prediction = shadow.predictor->read(*outputs);
    std::vector<double> scores;
    top_scores(prediction, scores);
    compare_answers(point, job.labels, job.scores, prediction.labels, scores);
    point.seconds = static_cast<double>(duration_us) * 1e-6;
    const std::string primary = prediction_id(job.id);
    capture_.record(*shadow.capture, {.id = capture_.new_id(*shadow.capture, job.at_us),
                                      .client_id = primary,
                                      .at_us = job.at_us,
                                      .duration_us = duration_us,
                                      .row_count = static_cast<uint32_t>(prediction.labels.size()),
                                      .labels = prediction.labels,
                                      .scores = scores,
                                      .sampled_by = &job.id});
  }
  std::lock_guard lock(mutex_);
  point_locked(shadow, job.revision).add(point);
}

std::vector<Mirror::Comparison> Mirror::take() {
  std::lock_guard lock(mutex_);
  std::vector<Comparison> out;
  for (auto& [key, point] : points_) out.push_back({std::get<0>(key), std::get<1>(key), point});
  points_.clear();
  return out;
}

void Mirror::finish() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [&] { return queue_.empty() && !working_; });
}

}  // namespace serve
