#include "serve/response_cache.h"

#include <algorithm>

#include "base/clock.h"
#include "serve/predictor_filter.h"

namespace serve {
namespace {

constexpr size_t kEntryBytes = 256;  // of bookkeeping

size_t bytes_of(const ResponseCache::Answer& answer) {
  size_t bytes = kEntryBytes + answer.shown.size();
  for (const Tensor& tensor : answer.outputs) {
    bytes += sizeof(Tensor) + tensor.name.size() + tensor.bytes.size() + tensor.shape.size() * sizeof(int64_t);
    for (const std::string& text : tensor.strings) bytes += sizeof(std::string) + text.size();
  }
  return bytes;
}

// Lengths stand before what they are of, so that no two requests hash alike by where one part ends.
std::string key_of(uint64_t owner, std::span<const Tensor> inputs, const std::string& params) {
  base::Hasher hasher(base::HashAlgo::kSha256);
  const auto number = [&](uint64_t value) { hasher.update({reinterpret_cast<const char*>(&value), sizeof value}); };
  const auto text = [&](std::string_view value) {
    number(value.size());
    hasher.update(value);
  };
  number(owner);
  text(params);
  std::vector<const Tensor*> ordered;  // inputs may come in any order
  for (const Tensor& tensor : inputs) ordered.push_back(&tensor);
  std::ranges::sort(ordered, {}, [](const Tensor* tensor) { return std::string_view(tensor->name); });
  for (const Tensor* tensor : ordered) {
    text(tensor->name);
    number(static_cast<uint64_t>(tensor->type));
    number(tensor->shape.size());
    for (const int64_t dim : tensor->shape) number(static_cast<uint64_t>(dim));
    text(tensor->bytes);
    number(tensor->strings.size());
    for (const std::string& value : tensor->strings) text(value);
  }
  const base::Digest digest = hasher.finish();
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.size()};
}

class CachedPredictor final : public PredictorFilter {
 public:
  CachedPredictor(std::shared_ptr<const Predictor> inner, std::shared_ptr<ResponseCache> cache)
      : PredictorFilter(std::move(inner)), cache_(std::move(cache)), owner_(cache_->new_owner()) {}

  base::Result<std::vector<Tensor>> infer(std::span<const Tensor> inputs, const Call& call) const override {
    const int64_t began_us = now_us();
    const std::string key = key_of(owner_, inputs, call.params);
    if (const auto known = cache_->find(key)) {
      if (call.shown) *call.shown = known->shown;
      count(hits_, hit_us_, now_us() - began_us);
      return known->outputs;
    }
    const int64_t looked_us = now_us() - began_us;
    std::string shown;
    Call inner_call = call;
    inner_call.shown = &shown;
    auto outputs = inner_->infer(inputs, inner_call);
    const int64_t answered_us = now_us();
    if (outputs) cache_->put(key, {*outputs, shown});
    if (call.shown) *call.shown = std::move(shown);
    count(misses_, miss_us_, looked_us + now_us() - answered_us);
    return outputs;
  }
  std::optional<CacheStatistics> cache_statistics() const override {
    return CacheStatistics{.hits = hits_, .misses = misses_, .hit_us = hit_us_, .miss_us = miss_us_};
  }

 private:
  static int64_t now_us() { return base::system_clock().mono_us(); }
  static void count(std::atomic<uint64_t>& number, std::atomic<uint64_t>& sum_us, int64_t us) {
    number.fetch_add(1, std::memory_order_relaxed);
    sum_us.fetch_add(static_cast<uint64_t>(std::max<int64_t>(us, 0)), std::memory_order_relaxed);
  }

  const std::shared_ptr<ResponseCache> cache_;
  const uint64_t owner_;
  mutable std::atomic<uint64_t> hits_{0}, misses_{0}, hit_us_{0}, miss_us_{0};
};

}  // namespace

std::shared_ptr<const ResponseCache::Answer> ResponseCache::find(const std::string& key) {
  std::lock_guard lock(mutex_);
  const auto found = places_.find(key);
  if (found == places_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->answer;
}

void ResponseCache::put(const std::string& key, Answer answer) {
  const size_t bytes = bytes_of(answer);
  if (bytes > limit_) return;
  auto kept = std::make_shared<const Answer>(std::move(answer));
  std::lock_guard lock(mutex_);
  if (places_.contains(key)) return;  // somebody asked the same meanwhile
  entries_.push_front({key, std::move(kept), bytes});
  places_.emplace(key, entries_.begin());
  bytes_ += bytes;
  while (bytes_ > limit_) {
    bytes_ -= entries_.back().bytes;
    places_.erase(entries_.back().key);
    entries_.pop_back();
  }
}

size_t ResponseCache::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

std::unique_ptr<Predictor> make_cached(std::shared_ptr<const Predictor> inner, std::shared_ptr<ResponseCache> cache) {
  return std::make_unique<CachedPredictor>(std::move(inner), std::move(cache));
}

}  // namespace serve
