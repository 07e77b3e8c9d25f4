#include "serve/batching.h"

#include <algorithm>
#include <array>
#include <bit>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

#include "base/clock.h"

namespace serve {
namespace {

using Outputs = std::vector<Tensor>;
using Answer = base::Result<Outputs>;

constexpr int64_t kLookUs = 100'000;  // how often a waiting request looks whether its client has gone
constexpr size_t kSizes = 16;         // powers of two

int64_t now_us() { return base::system_clock().mono_us(); }

// Rows of a request whose inputs all begin with the same dimension; 0: it is run alone.
size_t rows_of_inputs(std::span<const Tensor> inputs) {
  int64_t rows = 0;
  for (const Tensor& tensor : inputs) {
    if (tensor.shape.empty() || tensor.shape[0] <= 0) return 0;
    if (&tensor != &inputs[0] && tensor.shape[0] != rows) return 0;
    rows = tensor.shape[0];
  }
  return static_cast<size_t>(rows);
}

bool same_kind(std::span<const Tensor> a, std::span<const Tensor> b) {
  return std::ranges::equal(a, b, [](const Tensor& x, const Tensor& y) {
    return x.name == y.name && x.type == y.type && x.shape.size() == y.shape.size() &&
           std::equal(x.shape.begin() + 1, x.shape.end(), y.shape.begin() + 1);
  });
}

struct Item {
  std::vector<Tensor> inputs;  // its own: a follower whose time is over leaves while the batch still runs
  Call call;
  size_t rows = 0;
  uint32_t priority = 0;
  int64_t since_us = 0;
  int64_t begin_by_us = 0;  // 0: whenever
  bool delay = false;       // past it: behind the others
  bool delayed = false;
  bool lead = false;  // its turn
  std::optional<Answer> answer;
  std::string shown;
  std::condition_variable wake;
};
using ItemPtr = std::shared_ptr<Item>;

// Who waits no longer to be run, and why; its thread wakes and leaves by itself.
std::optional<base::Error> gone(const Item& item, int64_t now) {
  const auto past = [&](int64_t at_us) { return at_us != 0 && at_us < now; };
  if (past(item.call.deadline_mono_us))
    return base::Error{base::Code::kDeadline, "the request's time was over while it waited"};
  if (past(item.begin_by_us) && !item.delay) return base::Error{base::Code::kUnavailable, kTimeoutExpired};
  if (item.call.cancelled.stop_requested()) return base::Error{base::Code::kCancelled, "the client went away"};
  return std::nullopt;
}

Outputs join(std::span<const ItemPtr> items) {
  Outputs out = items[0]->inputs;
  for (const ItemPtr& item : items.subspan(1)) {
    for (size_t i = 0; i < out.size(); ++i) {
      const Tensor& more = item->inputs[i];
      out[i].shape[0] += more.shape[0];
      out[i].bytes += more.bytes;
      out[i].strings.insert(out[i].strings.end(), more.strings.begin(), more.strings.end());
    }
  }
  return out;
}

Outputs part(const Outputs& whole, size_t first, size_t rows, size_t total) {
  Outputs out;
  for (const Tensor& tensor : whole) {
    Tensor piece{.name = tensor.name, .type = tensor.type, .shape = tensor.shape};
    piece.shape[0] = static_cast<int64_t>(rows);
    if (tensor.type == DataType::kBytes) {
      const size_t each = tensor.strings.size() / total;
      const auto begin = tensor.strings.begin() + static_cast<std::ptrdiff_t>(first * each);
      piece.strings.assign(begin, begin + static_cast<std::ptrdiff_t>(rows * each));
    } else {
      const size_t each = tensor.bytes.size() / total;
      piece.bytes = tensor.bytes.substr(first * each, rows * each);
    }
    out.push_back(std::move(piece));
  }
  return out;
}

class BatchingPredictor final : public Predictor {
 public:
  BatchingPredictor(std::shared_ptr<const Predictor> inner, const BatchOptions& options)
      : inner_(std::move(inner)), options_(options), slots_(std::max<size_t>(inner_->model().parallel(), 1)) {}

  const Model& model() const override { return inner_->model(); }
  const stats::Transform& transform() const override { return inner_->transform(); }
  bool applies_transform() const override { return inner_->applies_transform(); }
  const std::vector<TensorInfo>& inputs() const override { return inner_->inputs(); }
  const std::vector<TensorInfo>& outputs() const override { return inner_->outputs(); }
  const std::vector<Feature>& features() const override { return inner_->features(); }
  bool features_named() const override { return inner_->features_named(); }
  base::Result<Prediction> predict(const stats::Table& raw) const override { return inner_->predict(raw); }
  base::Result<std::vector<Tensor>> tensors_of(const stats::Table& raw) const override {
    return inner_->tensors_of(raw);
  }
  void rows_of(std::span<const Tensor> given, RawRows& rows) const override { inner_->rows_of(given, rows); }
  Prediction read(std::span<const Tensor> given) const override { return inner_->read(given); }

  Answer infer(std::span<const Tensor> inputs, const Call& call) const override;
  std::optional<BatchStatistics> batch_statistics() const override;

 private:
  Answer wait(std::unique_lock<std::mutex>& lock, const ItemPtr& item) const;
  // Triton's words: none, or one beyond the levels, is the default.
  uint32_t level_of(uint32_t priority) const {
    const bool none = priority == 0 || (options_.priority_levels != 0 && priority > options_.priority_levels);
    return none ? options_.default_priority : priority;
  }
  const QueuePolicy& policy_of(uint32_t priority) const {
    const auto own = options_.policies.find(priority);
    return own == options_.policies.end() ? options_.policy : own->second;
  }
  void enqueue(const ItemPtr& item) const;
  void pass_turn() const;
  void lead(std::unique_lock<std::mutex>& lock, const ItemPtr& item) const;
  void grow(std::unique_lock<std::mutex>& lock, const ItemPtr& item) const;
  std::vector<ItemPtr> take_batch(const ItemPtr& first) const;
  void run_batch(std::span<const ItemPtr> items) const;
  Answer run_model(std::span<const Tensor> inputs, const Call& call, size_t rows) const;
  size_t waiting_rows(const ItemPtr& like) const;
  size_t target(size_t there) const;

  const std::shared_ptr<const Predictor> inner_;
  const BatchOptions options_;
  const size_t slots_;
  mutable std::mutex mutex_;
  mutable std::condition_variable arrived_;  // a leader waits for its batch to grow
  mutable std::deque<ItemPtr> queue_;        // by priority, then arrival
  mutable size_t running_ = 0;               // turns that are taken
  mutable bool by_row_ = true;               // answers have one row for each of the request's
  mutable uint64_t executions_ = 0, requests_ = 0, queue_us_ = 0;
  mutable std::array<uint64_t, kSizes> sizes_{};
};

Answer BatchingPredictor::run_model(std::span<const Tensor> inputs, const Call& call, size_t rows) const {
  {
    std::lock_guard lock(mutex_);
    ++executions_;
    ++sizes_[std::min<size_t>(std::bit_width(std::max<size_t>(rows, 1) - 1), kSizes - 1)];
  }
  return inner_->infer(inputs, call);
}

Answer BatchingPredictor::infer(std::span<const Tensor> inputs, const Call& call) const {
  const size_t rows = rows_of_inputs(inputs);
  std::unique_lock lock(mutex_);
  ++requests_;
  if (running_ < slots_) {  // who still queues is late and about to leave
    ++running_;
    lock.unlock();
    Answer answer = run_model(inputs, call, rows);
    lock.lock();
    pass_turn();
    return answer;
  }
  const uint32_t priority = level_of(call.priority);
  const QueuePolicy& policy = policy_of(priority);
  if (policy.queue != 0 && policy.queue <= static_cast<size_t>(std::ranges::count(
                                               queue_, priority, [](const ItemPtr& item) { return item->priority; })))
    return base::fail(base::Code::kUnavailable, "Exceeds maximum queue size of " + std::to_string(policy.queue));
  if (queue_.size() >= options_.queue) {
    return base::fail(base::Code::kUnavailable,
                      "the model is busy and " + std::to_string(options_.queue) + " requests wait for it; try again");
  }
  auto item = std::make_shared<Item>();
  item->inputs.assign(inputs.begin(), inputs.end());
  item->call = call;
  item->call.shown = nullptr;
  item->rows = rows;
  item->priority = priority;
  item->since_us = now_us();
  item->delay = policy.delay;
  if (policy.timeout_us > 0) item->begin_by_us = item->since_us + policy.timeout_us;
  if (const int64_t own_us = call.begin_by_mono_us; own_us != 0 && policy.own_timeout)
    item->begin_by_us = item->begin_by_us ? std::min(item->begin_by_us, own_us) : own_us;
  enqueue(item);
  Answer answer = wait(lock, item);
  if (call.shown) *call.shown = std::move(item->shown);
  return answer;
}

void BatchingPredictor::enqueue(const ItemPtr& item) const {
  const auto place = std::ranges::find_if(queue_, [&](const ItemPtr& other) {
    return std::pair(other->priority, other->delayed) > std::pair(item->priority, item->delayed);
  });
  queue_.insert(place, item);
  arrived_.notify_all();
}

Answer BatchingPredictor::wait(std::unique_lock<std::mutex>& lock, const ItemPtr& item) const {
  while (!item->answer) {
    if (item->lead) {
      lead(lock, item);
      continue;
    }
    const int64_t now = now_us();
    if (auto why = gone(*item, now)) {
      std::erase(queue_, item);  // or it is in a batch that runs: its rows are dropped
      return std::unexpected(std::move(*why));
    }
    if (item->begin_by_us != 0 && item->begin_by_us < now) {  // it is delayed
      item->begin_by_us = 0;
      item->delayed = true;
      if (std::erase(queue_, item) != 0) enqueue(item);
    }
    int64_t until_us = now + kLookUs;
    for (const int64_t at_us : {item->call.deadline_mono_us, item->begin_by_us})
      if (at_us != 0) until_us = std::min(until_us, at_us + 1);
    item->wake.wait_for(lock, std::chrono::microseconds(until_us - now));
  }
  return std::move(*item->answer);
}

// The first that waits leads next; without one the turn is free.
void BatchingPredictor::pass_turn() const {
  const int64_t now = now_us();
  const auto first = std::ranges::find_if(queue_, [&](const ItemPtr& item) { return !gone(*item, now); });
  if (first == queue_.end()) {
    --running_;
    return;
  }
  const ItemPtr next = *first;
  queue_.erase(first);
  next->lead = true;
  next->wake.notify_one();
}

size_t BatchingPredictor::waiting_rows(const ItemPtr& like) const {
  size_t rows = like->rows;
  for (const ItemPtr& item : queue_) {
    if (item->rows > 0 && same_kind(item->inputs, like->inputs) && item->call.params == like->call.params)
      rows += item->rows;
  }
  return rows;
}

// Of so many rows: as many as the model likes best.
size_t BatchingPredictor::target(size_t there) const {
  size_t best = 0;
  for (size_t size : options_.preferred) {
    if (size <= there && size <= options_.max_rows) best = std::max(best, size);
  }
  return best ? best : options_.max_rows;
}

// Waits for more, as long as the oldest of the batch may be delayed.
void BatchingPredictor::grow(std::unique_lock<std::mutex>& lock, const ItemPtr& item) const {
  const size_t full = options_.preferred.empty() ? options_.max_rows : *std::ranges::max_element(options_.preferred);
  while (waiting_rows(item) < full) {
    const int64_t left_us = item->since_us + options_.max_delay_us - now_us();
    if (left_us <= 0) return;
    arrived_.wait_for(lock, std::chrono::microseconds(left_us));
  }
}

std::vector<ItemPtr> BatchingPredictor::take_batch(const ItemPtr& first) const {
  std::vector<ItemPtr> batch = {first};
  if (first->rows == 0 || !by_row_) return batch;
  const size_t limit = target(waiting_rows(first));
  const int64_t now = now_us();
  size_t rows = first->rows;
  for (auto it = queue_.begin(); it != queue_.end() && rows < limit;) {
    const ItemPtr& item = *it;
    const bool fits = item->rows > 0 && rows + item->rows <= limit && same_kind(item->inputs, first->inputs) &&
                      item->call.params == first->call.params;
    if (!fits || gone(*item, now)) {
      ++it;
      continue;
    }
    rows += item->rows;
    batch.push_back(item);
    it = queue_.erase(it);
  }
  return batch;
}

void BatchingPredictor::lead(std::unique_lock<std::mutex>& lock, const ItemPtr& item) const {
  item->lead = false;
  if (auto why = gone(*item, now_us())) {
    item->answer = std::unexpected(std::move(*why));
    return pass_turn();
  }
  if (options_.max_delay_us > 0 && item->rows > 0 && by_row_) grow(lock, item);
  const std::vector<ItemPtr> batch = take_batch(item);
  const int64_t now = now_us();
  for (const ItemPtr& member : batch) {
    queue_us_ += static_cast<uint64_t>(std::max<int64_t>(now - member->since_us, 0));
    member->begin_by_us = 0;  // it begins
  }
  lock.unlock();
  run_batch(batch);
  lock.lock();
  for (const ItemPtr& member : batch) member->wake.notify_one();
  pass_turn();
}

// Answers every item; the lock is not held, and nobody else touches an item's answer until it is there.
void BatchingPredictor::run_batch(std::span<const ItemPtr> items) const {
  const auto give = [&](const ItemPtr& item, Answer answer, std::string shown) {
    std::lock_guard lock(mutex_);
    item->answer = std::move(answer);
    item->shown = std::move(shown);
  };
  if (items.size() == 1) {
    Call call = items[0]->call;
    if (call.deadline_mono_us && call.deadline_mono_us < now_us())  // of a batch that was refused and halved
      return give(items[0], base::fail(base::Code::kDeadline, "the request's time was over while it waited"), "");
    call.begin_by_mono_us = 0;
    std::string shown;
    call.shown = &shown;
    Answer answer = run_model(items[0]->inputs, call, items[0]->rows);
    return give(items[0], std::move(answer), std::move(shown));
  }
  Call call{.params = items[0]->call.params};
  size_t total = 0;
  for (const ItemPtr& item : items) {  // until the last of them has to be answered
    total += item->rows;
    const int64_t deadline_us = item->call.deadline_mono_us;
    const bool endless = deadline_us == 0 || (call.deadline_mono_us == 0 && item != items[0]);
    call.deadline_mono_us = endless ? 0 : std::max(call.deadline_mono_us, deadline_us);
  }
  std::string shown;
  call.shown = &shown;
  Answer answer = run_model(join(items), call, total);
  const bool refused =
      !answer && (answer.error().code == base::Code::kInvalid || answer.error().code == base::Code::kInternal);
  if (!answer && !refused) {
    for (const ItemPtr& item : items) give(item, std::unexpected(answer.error()), "");
    return;
  }
  if (refused) {
    run_batch(items.first(items.size() / 2));
    return run_batch(items.subspan(items.size() / 2));
  }
  const bool by_row = shown.empty() && std::ranges::all_of(*answer, [&](const Tensor& tensor) {
                        return !tensor.shape.empty() && tensor.shape[0] == static_cast<int64_t>(total);
                      });
  if (!by_row) {
    {
      std::lock_guard lock(mutex_);
      by_row_ = false;
    }
    for (const ItemPtr& item : items) run_batch({&item, 1});
    return;
  }
  size_t first = 0;
  for (const ItemPtr& item : items) {
    give(item, part(*answer, first, item->rows, total), "");
    first += item->rows;
  }
}

std::optional<BatchStatistics> BatchingPredictor::batch_statistics() const {
  std::lock_guard lock(mutex_);
  BatchStatistics out{.executions = executions_, .requests = requests_, .queue_ns = queue_us_ * 1000, .sizes = {}};
  for (size_t i = 0; i < kSizes; ++i) {
    if (sizes_[i]) out.sizes.emplace_back(size_t{1} << i, sizes_[i]);
  }
  return out;
}

}  // namespace

std::unique_ptr<Predictor> make_batching(std::shared_ptr<const Predictor> inner, const BatchOptions& options) {
  return std::make_unique<BatchingPredictor>(std::move(inner), options);
}

}  // namespace serve
