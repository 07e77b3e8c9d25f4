// MetricWatch: follows the events of projects that have rules on metrics (track/metric_rules.h) and raises their
// alerts. Whoever logs points waits for nothing: runs that were written to are looked at afterwards, each once however
// many batches it sent meanwhile, in read transactions; only a crossing costs a write. Where there is no rule, it
// sleeps.
//
// It keeps no position: after a start it looks at every run that is RUNNING or ended within a day, and what is raised
// already stays one row. So a crash loses no alert, and none is raised twice.
//
// Thread: one of its own; changed() is safe anywhere.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "core/event.h"
#include "store/store.h"
#include "track/metric_rules.h"

namespace server {

class MetricWatch {
 public:
  MetricWatch(store::Store& store, const base::Clock& clock);
  ~MetricWatch();
  MetricWatch(const MetricWatch&) = delete;

  void changed();  // a rule was made or deleted here

 private:
  struct Project {
    std::vector<track::MetricRule> rules;
    std::set<int64_t> seen;  // rules whose experiment's runs have been looked at
    core::EventPosition position;
    std::map<std::string, int64_t> heard_us;  // runs that logged points, by this server's clock
    int64_t next_stalled_us = 0;
  };

  void run(const std::stop_token& stop);
  void wait(const std::stop_token& stop);
  base::Result<void> load(const base::Context& ctx);
  base::Result<void> look_back(const base::Context& ctx, Project& project, const track::MetricRule& rule);
  base::Result<void> follow(const base::Context& ctx, Project& project);
  base::Result<void> look_at(const base::Context& ctx, Project& project, const std::set<std::string>& runs);
  base::Result<void> find_stalled(const base::Context& ctx, Project& project);

  store::Store& store_;
  const base::Clock& clock_;
  std::map<int64_t, Project> projects_;
  int64_t loaded_us_ = 0;
  std::atomic<bool> follows_ = false;  // some project has a rule
  std::mutex mutex_;
  bool written_ = false, changed_ = true;  // under mutex_
  std::condition_variable_any wake_;
  uint64_t listener_ = 0;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace server
