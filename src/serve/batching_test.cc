// Batching: whose rows are whose, whatever the order, the errors and the sizes.
#include "serve/batching.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <semaphore>
#include <thread>

#include "base/clock.h"

namespace serve {
namespace {

using Seconds = std::chrono::duration<double>;

// y = 3x + 1 for each row; a negative x is refused.
class Triple final : public Model {
 public:
  size_t turns = 1;
  std::function<void(size_t rows)> before = [](size_t) {};
  std::function<void(double x)> seen = [](double) {};
  bool by_row = true;

  Triple() {
    inputs_ = {{"x", DataType::kFp64, {-1, 1}}};
    outputs_ = {{"y", DataType::kFp64, {-1, 1}}};
  }
  const std::vector<TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<TensorInfo>& outputs() const override { return outputs_; }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string_view platform() const override { return "test"; }
  bool waits() const override { return true; }
  size_t parallel() const override { return turns; }
  base::Result<std::vector<Tensor>> run(std::span<const Tensor> inputs) const override {
    const auto rows = static_cast<size_t>(inputs[0].shape[0]);
    before(rows);
    Tensor out{.name = "y", .type = DataType::kFp64, .shape = inputs[0].shape};
    for (size_t i = 0; i < rows; ++i) {
      const double x = number_at(inputs[0], i);
      seen(x);
      if (x < 0) return base::invalid("negative");
      append_number(out, 3 * x + 1);
    }
    if (!by_row) {  // one sum for all
      double sum = 0;
      for (size_t i = 0; i < rows; ++i) sum += number_at(out, i);
      out = {.name = "y", .type = DataType::kFp64, .shape = {1, 1}};
      append_number(out, sum);
    }
    return std::vector<Tensor>{out};
  }

 private:
  std::vector<TensorInfo> inputs_, outputs_;
  std::vector<std::string> classes_;
};

class Bare final : public Predictor {
 public:
  explicit Bare(const Model& model) : model_(model) {}
  const Model& model() const override { return model_; }
  const stats::Transform& transform() const override { return transform_; }
  bool applies_transform() const override { return false; }
  const std::vector<TensorInfo>& inputs() const override { return model_.inputs(); }
  const std::vector<TensorInfo>& outputs() const override { return model_.outputs(); }
  const std::vector<Feature>& features() const override { return features_; }
  bool features_named() const override { return false; }
  base::Result<std::vector<Tensor>> infer(std::span<const Tensor> in, const Call& call) const override {
    return model_.run_for(in, call);
  }
  base::Result<Prediction> predict(const stats::Table&) const override { return Prediction(); }
  base::Result<std::vector<Tensor>> tensors_of(const stats::Table&) const override { return std::vector<Tensor>(); }
  void rows_of(std::span<const Tensor>, RawRows&) const override {}
  Prediction read(std::span<const Tensor>) const override { return {}; }

 private:
  const Model& model_;
  stats::Transform transform_;
  std::vector<Feature> features_;
};

std::unique_ptr<Predictor> batched(const Model& model, const BatchOptions& options) {
  return make_batching(std::make_shared<const Bare>(model), options);
}

Tensor rows(const std::vector<double>& values) {
  Tensor tensor{.name = "x", .type = DataType::kFp64, .shape = {static_cast<int64_t>(values.size()), 1}};
  for (double value : values) append_number(tensor, value);
  return tensor;
}

base::Result<std::vector<Tensor>> ask(const Predictor& predictor, const std::vector<double>& values,
                                      const Call& call = {}) {
  const Tensor tensor = rows(values);
  return predictor.infer({&tensor, 1}, call);
}

// Any mix of requests, sizes, faults, turns and delays: each gets its own rows, and only who is at fault an error.
TEST(Batching, AnswersAreNeverMixed) {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    std::mt19937 random(seed);
    const auto upto = [](std::mt19937& from, unsigned most) { return from() % (most + 1); };
    Triple model;
    model.turns = 1 + upto(random, 2);
    model.by_row = upto(random, 5) != 0;
    model.before = [&](size_t n) { std::this_thread::sleep_for(std::chrono::microseconds((n * 7 + seed) % 200)); };
    BatchOptions options{.max_rows = 2 + upto(random, 30), .max_delay_us = upto(random, 1) ? 200 : 0, .queue = 1000};
    if (upto(random, 1)) options.preferred = {2, 4, 8};
    const auto predictor = batched(model, options);
    std::atomic<int> wrong = 0, asked = 0;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 own(seed * 100 + t);
        for (unsigned i = 0; i < 25; ++i, ++asked) {
          std::vector<double> values;
          for (unsigned r = 0, count = 1 + upto(own, 4); r < count; ++r) values.push_back(t * 1e6 + i * 1e3 + r);
          const bool fault = upto(own, 7) == 0;
          if (fault) values[upto(own, static_cast<unsigned>(values.size()) - 1)] = -1;
          const auto answer = ask(*predictor, values, {.priority = static_cast<uint32_t>(upto(own, 3))});
          if (fault || !answer) {
            if (!fault || answer) ++wrong;
            continue;
          }
          double sum = 0;
          for (size_t r = 0; r < values.size(); ++r) {
            if (model.by_row && number_at((*answer)[0], r) != 3 * values[r] + 1) ++wrong;
            sum += 3 * values[r] + 1;
          }
          if (!model.by_row && number_at((*answer)[0], 0) != sum) ++wrong;
          if (model.by_row && (*answer)[0].shape != std::vector<int64_t>{static_cast<int64_t>(values.size()), 1})
            ++wrong;
        }
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0) << "seed " << seed;
    EXPECT_EQ(asked, 150);
    EXPECT_EQ(predictor->batch_statistics()->requests, 150U);
  }
}

// Random priorities, timeouts, deadlines and policies: who is answered gets its own rows, who is told that its time in
// the queue was over was not run, and nobody waits for ever.
TEST(Batching, TimeoutsAndPrioritiesMixNothingAndRunNothingTwice) {
  for (unsigned seed = 1; seed <= 30; ++seed) {
    std::mt19937 random(seed);
    const auto upto = [](std::mt19937& from, unsigned most) { return from() % (most + 1); };
    Triple model;
    model.turns = 1 + upto(random, 1);
    model.before = [&](size_t n) { std::this_thread::sleep_for(std::chrono::microseconds((n * 13 + seed) % 400)); };
    std::mutex mutex;
    std::map<double, int> ran;
    model.seen = [&](double x) {
      std::lock_guard lock(mutex);
      ++ran[x];
    };
    const auto policy = [&] {
      return QueuePolicy{.queue = upto(random, 2) ? 0U : 2U,
                         .timeout_us = static_cast<int64_t>(upto(random, 1) * (50 + upto(random, 400))),
                         .delay = upto(random, 1) == 1,
                         .own_timeout = upto(random, 3) != 0};
    };
    BatchOptions options{.max_rows = 2 + upto(random, 10), .queue = 1000, .default_priority = 2, .priority_levels = 3};
    options.policy = policy();
    if (upto(random, 1)) options.policies[1] = policy();
    const auto predictor = batched(model, options);
    std::atomic<int> wrong = 0, answered = 0;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 own(seed * 100 + t);
        for (unsigned i = 0; i < 20; ++i) {
          std::vector<double> values;
          for (unsigned r = 0, count = 1 + upto(own, 2); r < count; ++r) values.push_back(t * 1e6 + i * 1e3 + r);
          Call call{.priority = static_cast<uint32_t>(upto(own, 4))};
          const int64_t now = base::system_clock().mono_us();
          if (upto(own, 2) == 0) call.begin_by_mono_us = now + upto(own, 500);
          if (upto(own, 3) == 0) call.deadline_mono_us = now + upto(own, 800);
          const auto answer = ask(*predictor, values, call);
          const auto times = [&] {
            std::lock_guard lock(mutex);
            return ran.contains(values[0]) ? ran[values[0]] : 0;
          }();
          if (!answer) {
            const base::Code code = answer.error().code;
            if (code != base::Code::kUnavailable && code != base::Code::kDeadline) ++wrong;
            if (code == base::Code::kUnavailable && times != 0) ++wrong;
            continue;
          }
          ++answered;
          if (times != 1) ++wrong;
          for (size_t r = 0; r < values.size(); ++r) wrong += number_at((*answer)[0], r) != 3 * values[r] + 1;
        }
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0) << "seed " << seed;
    EXPECT_GT(answered, 0) << "seed " << seed;
    EXPECT_TRUE(ask(*predictor, {7})) << "the model is idle, and its turn is free";
  }
}

// A model that is held until the test lets it go: what queues meanwhile is known.
struct Held {
  Triple model;
  std::counting_semaphore<> go{0};
  std::mutex mutex;
  std::vector<size_t> ran;
  Held() {
    model.before = [this](size_t n) {
      {
        std::lock_guard lock(mutex);
        ran.push_back(n);
      }
      go.acquire();
    };
  }
  size_t runs() {
    std::lock_guard lock(mutex);
    return ran.size();
  }
  void wait_for_runs(size_t n) {
    while (runs() < n) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
};

TEST(Batching, AnIdleModelRunsAtOnceAndTheQueueBecomesABatch) {
  Held held;
  const auto predictor = batched(held.model, {.max_rows = 8, .max_delay_us = 0});
  std::vector<std::thread> threads;
  threads.emplace_back([&] { EXPECT_TRUE(ask(*predictor, {1})); });
  held.wait_for_runs(1);
  for (int i = 0; i < 5; ++i)
    threads.emplace_back([&, i] { EXPECT_EQ(number_at((*ask(*predictor, {10.0 + i}))[0], 0), 31 + 3 * i); });
  while (predictor->batch_statistics()->requests < 6) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the last is in the queue
  held.go.release(2);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(held.ran, (std::vector<size_t>{1, 5}));
  EXPECT_GT(predictor->batch_statistics()->queue_ns, 0U);
}

TEST(Batching, ADelayIsNotForTheIdle) {
  Triple model;
  const auto predictor = batched(model, {.max_rows = 8, .max_delay_us = 5'000'000});
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(ask(*predictor, {1}));
  EXPECT_LT(Seconds(std::chrono::steady_clock::now() - start).count(), 2);
}

TEST(Batching, APreferredSizeIsTaken) {
  Held held;
  const auto predictor = batched(held.model, {.max_rows = 8, .preferred = {2, 4}});
  std::vector<std::thread> threads;
  threads.emplace_back([&] { EXPECT_TRUE(ask(*predictor, {1})); });
  held.wait_for_runs(1);
  for (int i = 0; i < 5; ++i) threads.emplace_back([&] { EXPECT_TRUE(ask(*predictor, {2})); });
  while (predictor->batch_statistics()->requests < 6) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  held.go.release(3);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(held.ran, (std::vector<size_t>{1, 4, 1}));
}

TEST(Batching, LateAndCancelledRequestsAreNotRunAndAFullQueueRefuses) {
  Held held;
  const auto predictor = batched(held.model, {.max_rows = 8, .queue = 2});
  std::vector<std::thread> threads;
  threads.emplace_back([&] { EXPECT_TRUE(ask(*predictor, {1})); });
  held.wait_for_runs(1);
  std::stop_source gone;
  threads.emplace_back([&] {
    const Call late{.deadline_mono_us = base::system_clock().mono_us() + 50'000};
    EXPECT_EQ(ask(*predictor, {2}, late).error().code, base::Code::kDeadline);
  });
  threads.emplace_back([&] {
    const Call left{.cancelled = gone.get_token()};
    EXPECT_EQ(ask(*predictor, {3}, left).error().code, base::Code::kCancelled);
  });
  while (predictor->batch_statistics()->requests < 3) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(ask(*predictor, {4}).error().code, base::Code::kUnavailable);
  gone.request_stop();
  threads[1].join();
  threads[2].join();
  held.go.release(1);
  threads[0].join();
  EXPECT_EQ(held.ran, (std::vector<size_t>{1}));
}

TEST(Batching, TheUrgentGoFirst) {
  Held held;
  const auto predictor = batched(held.model, {.max_rows = 2, .default_priority = 2});
  std::vector<std::thread> threads;
  threads.emplace_back([&] { EXPECT_TRUE(ask(*predictor, {1})); });
  held.wait_for_runs(1);
  const auto add = [&](std::vector<double> values, uint32_t priority, uint64_t expected) {
    threads.emplace_back([&, values, priority] { EXPECT_TRUE(ask(*predictor, values, {.priority = priority})); });
    while (predictor->batch_statistics()->requests < expected)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };
  add({1, 1, 1}, 3, 2);
  add({1, 1}, 0, 3);
  add({1}, 1, 4);
  held.go.release(4);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(held.ran, (std::vector<size_t>{1, 1, 2, 3}));
}

TEST(Batching, ATimeoutIsTheQueuesAndNotTheModels) {
  Held held;
  const auto predictor = batched(held.model, {.max_rows = 8});
  const auto by = [](int64_t us) { return Call{.begin_by_mono_us = base::system_clock().mono_us() + us}; };
  std::vector<std::thread> threads;
  threads.emplace_back([&] { EXPECT_TRUE(ask(*predictor, {1}, by(20'000))); });  // it began, however long it takes
  held.wait_for_runs(1);
  const auto late = ask(*predictor, {2}, by(50'000));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, base::Code::kUnavailable);
  EXPECT_EQ(late.error().message, kTimeoutExpired);
  held.go.release(1);
  threads[0].join();
  EXPECT_EQ(held.ran, (std::vector<size_t>{1}));
}

TEST(Batching, WhoIsDelayedComesBehindThoseInTime) {
  Held held;
  BatchOptions options{.max_rows = 2};
  options.policy.delay = true;
  const auto predictor = batched(held.model, options);
  std::vector<std::thread> threads;
  const auto add = [&](std::vector<double> values, uint64_t expected, int64_t timeout_us) {
    const Call call{.begin_by_mono_us = timeout_us ? base::system_clock().mono_us() + timeout_us : 0};
    threads.emplace_back([&, values, call] { EXPECT_TRUE(ask(*predictor, values, call)); });
    while (predictor->batch_statistics()->requests < expected)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };
  add({1}, 1, 0);
  held.wait_for_runs(1);
  add({1, 1, 1}, 2, 1);
  add({1, 1}, 3, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // the first of them has seen that it is late
  held.go.release(3);
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(held.ran, (std::vector<size_t>{1, 2, 3}));
}

TEST(Batching, EachPriorityHasItsOwnQueue) {
  Held held;
  BatchOptions options{.max_rows = 2, .queue = 100, .default_priority = 2, .priority_levels = 2};
  options.policy.queue = 1;
  const auto predictor = batched(held.model, options);
  std::vector<std::thread> threads;
  const auto add = [&](uint32_t priority, uint64_t expected) {
    threads.emplace_back([&, priority] { EXPECT_TRUE(ask(*predictor, {1}, {.priority = priority})); });
    while (predictor->batch_statistics()->requests < expected)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };
  add(2, 1);
  held.wait_for_runs(1);
  add(1, 2);
  add(2, 3);
  for (const uint32_t priority : {1U, 2U, 3U})  // beyond the levels is the default
    EXPECT_EQ(ask(*predictor, {1}, {.priority = priority}).error().code, base::Code::kUnavailable);
  held.go.release(3);
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace serve
