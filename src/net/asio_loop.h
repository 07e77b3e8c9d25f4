// AsioLoop: base::Loop over one io_context. One thread runs it.
//
// Thread: run() on one thread; resume(), post() and stop() from any; after() and cancel() on the loop's thread.
// Ownership: whoever owns the loop outlives everything that waits on it; what is still suspended when the loop is
// destroyed is never resumed, so a server drains first.
#pragma once

#include <memory>

#include "base/loop.h"

namespace net {

class AsioLoop final : public base::Loop {
 public:
  AsioLoop();
  ~AsioLoop() override;

  void run();   // until stop()
  void stop();

  void resume(std::vector<std::coroutine_handle<>> handles) override;
  void post(std::move_only_function<void()> work) override;
  TimerId after(int64_t delay_us, std::move_only_function<void()> work) override;
  void cancel(TimerId timer) override;

  struct Impl;
  Impl& impl() { return *impl_; }  // net's own .cc files (asio_internal.h)

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace net
