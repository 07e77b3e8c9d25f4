// Follows the events of runs and marks those that are RUNNING and silent for longer than the operator has said
// (run_lost_after_minutes), track/lost.h. Silence counts from the server's start at the earliest.
// Thread: one of its own; the destructor stops it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "core/event.h"
#include "store/store.h"

namespace server {

class RunWatch {
 public:
  RunWatch(store::Store& store, const base::Clock& clock, int64_t after_us);
  RunWatch(const RunWatch&) = delete;

 private:
  using Key = std::pair<int64_t, std::string>;  // project, run

  void run(const std::stop_token& stop);
  base::Result<void> begin(const base::Context& ctx);
  base::Result<void> follow(const base::Context& ctx);
  base::Result<void> hear(const base::Context& ctx, const core::Event& event);
  base::Result<void> mark_silent(const base::Context& ctx);

  store::Store& store_;
  const base::Clock& clock_;
  const int64_t after_us_;
  bool begun_ = false;
  core::EventPosition position_;
  std::map<Key, int64_t> heard_us_;  // of runs that are RUNNING
  std::mutex mutex_;
  std::condition_variable_any wake_;  // by the stop request only
  std::jthread thread_;               // last: it uses the others
};

}  // namespace server
