// Follower: keeps a data plane equal to its control plane. One thread listens: it tails the events, has callers' rights
// looked at again the moment they change, and asks for a new snapshot when an endpoint changed or events are missing.
// One thread works: it fetches the snapshot, tries and loads what is new (serve's runtime does, as on any server),
// swaps, writes down what is served, and reports it. An endpoint whose new revision cannot be had keeps the old one
// and is tried again.
//
// Thread: construct and destroy from one.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"
#include "plane/control.h"
#include "plane/doorkeeper.h"
#include "plane/home.h"
#include "plane/shipper.h"
#include "plane/source.h"
#include "serve/runtime.h"

namespace plane {

class Follower {
 public:
  // All outlive it. `self`: name, version, address and start of the report; `certificates`: the files of its own.
  Follower(Control& control, Home& home, PlaneSource& source, serve::Runtime& runtime, Doorkeeper& doors,
           const Shipper& shipper, const base::Clock& clock, Report self, std::vector<base::Path> certificates);
  ~Follower();
  Follower(const Follower&) = delete;

  void apply(const Snapshot& wanted);  // blocks; before start()
  void start(bool in_touch);           // in_touch: what was applied is what the control plane said a moment ago

 private:
  void listen(const std::stop_token& stop);
  void hear(const Control::Heard& heard, bool& caught_up);
  void close_gap();
  void work(const std::stop_token& stop);
  bool renew();  // false: the control plane could not be asked, or some endpoint is still to be tried again
  void want();
  void report();
  void rest(const std::stop_token& stop, int64_t us);

  Control& control_;
  Home& home_;
  PlaneSource& source_;
  serve::Runtime& runtime_;
  Doorkeeper& doors_;
  const Shipper& shipper_;
  const base::Clock& clock_;
  const Report self_;
  const std::vector<base::Path> certificates_;
  std::map<std::string, std::string> problems_;  // by endpoint; the working thread's

  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool wanted_ = false;        // guarded by mutex_: a snapshot is due
  core::EventPosition heard_;  // guarded by mutex_
  std::jthread listener_, worker_;
};

}  // namespace plane
