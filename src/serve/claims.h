// One thread works at a name at a time (loads it, unloads it); others wait for it, not beyond their deadline.
// Thread: safe anywhere. A Claim is let go by its owner, before the Claims go.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/result.h"

namespace serve {

class Claims {
 public:
  class Claim {
   public:
    Claim(Claim&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), name_(std::move(other.name_)) {}
    Claim& operator=(Claim&&) = delete;
    ~Claim() {
      if (!owner_) return;
      {
        std::lock_guard lock(owner_->mutex_);
        owner_->names_.erase(name_);
      }
      owner_->free_.notify_all();
    }

   private:
    friend class Claims;
    Claim(Claims& owner, std::string name) : owner_(&owner), name_(std::move(name)) {}
    Claims* owner_;
    std::string name_;
  };

  // kDeadline when `deadline_mono_us` (0: ten minutes from now) has passed before the name was free.
  base::Result<Claim> take(std::string name, int64_t deadline_mono_us = 0) {
    std::unique_lock lock(mutex_);
    const int64_t left_us = deadline_mono_us == 0 ? kLongestUs : deadline_mono_us - base::system_clock().mono_us();
    if (!free_.wait_for(lock, std::chrono::microseconds(std::max<int64_t>(left_us, 0)),
                        [&] { return !names_.contains(name); }))
      return base::fail(base::Code::kDeadline, "model '" + name + "' is being loaded; the request's time is over");
    names_.insert(name);
    return Claim(*this, std::move(name));
  }
  bool taken(std::string_view name) const {
    std::lock_guard lock(mutex_);
    return names_.contains(name);
  }

 private:
  static constexpr int64_t kLongestUs = 600'000'000;  // that one load waits for another of the same name
  mutable std::mutex mutex_;
  std::condition_variable free_;
  std::set<std::string, std::less<>> names_;
};

}  // namespace serve
