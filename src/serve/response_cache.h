// Answers that were given before, kept by what was asked: one cache for all models that want it, bounded by bytes, the
// least recently used go first. A key is the SHA-256 of the model's own number, the inputs and the params, so that a
// model that is loaded anew finds nothing of its former self.
//
// Thread: safe anywhere; a hit costs one short lock and a copy of the answer.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "serve/model.h"

namespace serve {

class ResponseCache {
 public:
  struct Answer {
    std::vector<Tensor> outputs;
    std::string shown;
  };
  explicit ResponseCache(size_t bytes) : limit_(bytes) {}

  uint64_t new_owner() { return ++owners_; }
  std::shared_ptr<const Answer> find(const std::string& key);
  // Not kept if it is larger than the whole cache.
  void put(const std::string& key, Answer answer);
  size_t bytes() const;

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const Answer> answer;
    size_t bytes = 0;
  };
  const size_t limit_;
  std::atomic<uint64_t> owners_{0};
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // most recently used first
  std::unordered_map<std::string, std::list<Entry>::iterator> places_;
  size_t bytes_ = 0;
};

// `inner` asked only for what is not in the cache. Errors are not kept.
std::unique_ptr<Predictor> make_cached(std::shared_ptr<const Predictor> inner, std::shared_ptr<ResponseCache> cache);

}  // namespace serve
