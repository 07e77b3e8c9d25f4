#include "net/offload.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "base/assert.h"

namespace net {

struct Offload::Impl {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Work*> queue;
  std::vector<std::thread> threads;
  size_t limit = 0;
  bool stopping = false;

  void run() {
    for (;;) {
      Work* work = nullptr;
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return stopping || !queue.empty(); });
        if (queue.empty()) return;
        work = queue.front();
        queue.pop_front();
      }
      work->execute();
      work->finished();
    }
  }
};

Offload::Offload(size_t threads, size_t queue_limit) : impl_(std::make_unique<Impl>()) {
  impl_->limit = queue_limit;
  for (size_t i = 0; i < threads; ++i) impl_->threads.emplace_back([this] { impl_->run(); });
}

Offload::~Offload() {
  {
    std::lock_guard guard(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->changed.notify_all();
  for (auto& thread : impl_->threads) thread.join();
}

bool Offload::submit(Work* work) {
  ASSERT_ALWAYS(work->loop != nullptr);
  {
    std::lock_guard guard(impl_->mutex);
    if (impl_->queue.size() >= impl_->limit) return false;
    impl_->queue.push_back(work);
  }
  impl_->changed.notify_one();
  return true;
}

}  // namespace net
