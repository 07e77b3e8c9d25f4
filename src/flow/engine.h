// The engine: the world around the pure scheduler. One thread takes what happened (the executor's news, new and
// cancelled runs from flow_inbox, time), puts it through one transaction (flow/advance.h), and after the commit does
// what must happen outside. Everything it knows is in the store: after a restart it goes on from there, asking the
// executor about each attempt that was committed.
//
// Nothing is polled: the executor and the store's event listener wake it. Thread: construct and destroy on one thread;
// the rest is internal. Destroying it leaves running stages with the executor.
#pragma once

#include <memory>

#include "base/clock.h"
#include "base/metrics.h"
#include "flow/advance.h"
#include "flow/executor.h"
#include "store/store.h"

namespace flow {

class Engine {
 public:
  // `store` and `clock` outlive it; `metrics` may be null.
  Engine(store::Store& store, const base::Clock& clock, std::unique_ptr<Executor> executor, EngineOptions options,
         base::Registry* metrics);
  ~Engine();
  Engine(const Engine&) = delete;

  // Loads what is not over, adopts what runs, and begins. Call once.
  base::Result<void> start();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace flow
