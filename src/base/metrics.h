// Counters, gauges and histograms of the server itself, rendered as Prometheus text (exposition format 0.0.4).
//
// A Registry is made at start and passed to whoever registers; instruments live as long as it. Updating one is a
// relaxed atomic add: no lock, no allocation. Thread: update and render anywhere; register at start-up.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace base {

class Counter {
 public:
  void add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

class Gauge {
 public:
  void set(int64_t v) { value_.store(v, std::memory_order_relaxed); }
  void add(int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// Fixed upper bounds, in the metric's unit.
class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds);
  void observe(double value);
  std::span<const double> bounds() const { return bounds_; }
  std::vector<uint64_t> counts() const;  // per bucket, not cumulative; the last one is past all bounds
  double sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  friend class Registry;
  std::vector<double> bounds_;
  std::vector<std::atomic<uint64_t>> buckets_;  // bounds_.size() + 1
  std::atomic<double> sum_{0};
};

class Registry {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;

  // The same (name, labels) answers the same instrument. Counter names end in _total.
  Counter& counter(std::string_view name, std::string_view help, Labels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, std::span<const double> bounds,
                       Labels labels = {});
  // A gauge read at render time.
  void gauge_fn(std::string_view name, std::string_view help, std::function<double()> read, Labels labels = {});
  std::string render() const;

 private:
  struct Series;
  struct Family;
  Series& series(std::string_view name, std::string_view help, int type, Labels labels);
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Family>> families_;

 public:
  Registry();
  ~Registry();
};

}  // namespace base
