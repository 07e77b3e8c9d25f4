// Rcu<T>: one immutable value, read by many threads without a lock or a shared counter, replaced now and then. A reader
// announces in its own slot which value it looks at (a hazard pointer); a replaced value is freed once no slot names
// it.
//
// Thread: read() anywhere; a Guard stays on its thread and must be gone before the thread's coroutine suspends. store()
// and reclaim() from any thread that may block.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace serve {

template <class T>
class Rcu {
  struct Slot {
    alignas(64) std::atomic<const T*> reading{nullptr};
    int depth = 0;  // guards nested on one thread share the value of the outermost
  };

 public:
  class Guard {
   public:
    explicit Guard(Slot* slot) : slot_(slot) {}
    Guard(Guard&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
    Guard& operator=(Guard&&) = delete;
    ~Guard() {
      if (slot_ && --slot_->depth == 0) slot_->reading.store(nullptr, std::memory_order_release);
    }
    const T* get() const { return slot_->reading.load(std::memory_order_relaxed); }
    const T* operator->() const { return get(); }
    const T& operator*() const { return *get(); }

   private:
    Slot* slot_;
  };

  explicit Rcu(std::unique_ptr<const T> first) : current_(first.release()) {}
  Rcu(const Rcu&) = delete;
  ~Rcu() {  // no reader may be left
    delete current_.load();
    for (const T* old : retired_) delete old;
  }

  Guard read() const {
    Slot* slot = slot_here();
    if (slot->depth++ > 0) return Guard(slot);
    const T* value = current_.load(std::memory_order_acquire);
    for (;;) {
      slot->reading.store(value, std::memory_order_seq_cst);
      // If it is still current after it was announced, whoever replaces it from now on sees the announcement.
      const T* again = current_.load(std::memory_order_seq_cst);
      if (again == value) return Guard(slot);
      value = again;
    }
  }

  void store(std::unique_ptr<const T> next) {
    std::lock_guard lock(mutex_);
    retired_.push_back(current_.exchange(next.release(), std::memory_order_seq_cst));
    reclaim_locked();
  }
  // Frees what nobody reads any more; answers how many replaced values are still read.
  size_t reclaim() {
    std::lock_guard lock(mutex_);
    reclaim_locked();
    return retired_.size();
  }

 private:
  Slot* slot_here() const {
    struct Known {
      uint64_t instance;
      Slot* slot;
    };
    thread_local std::vector<Known> known;
    for (const Known& entry : known) {
      if (entry.instance == instance_) [[likely]]
        return entry.slot;
    }
    std::lock_guard lock(mutex_);
    slots_.push_back(std::make_unique<Slot>());
    known.push_back({instance_, slots_.back().get()});
    return slots_.back().get();
  }

  void reclaim_locked() {
    std::erase_if(retired_, [&](const T* old) {
      for (const auto& slot : slots_) {
        if (slot->reading.load(std::memory_order_seq_cst) == old) return false;
      }
      delete old;
      return true;
    });
  }

  static uint64_t next_instance() {
    static std::atomic<uint64_t> counter{0};
    return ++counter;
  }

  std::atomic<const T*> current_;
  const uint64_t instance_ = next_instance();  // never reused, unlike an address: a stale slot is never found
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<const T*> retired_;
};

}  // namespace serve
