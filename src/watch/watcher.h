// The watcher: one thread that follows the captured traffic of every monitored endpoint, closes windows, measures them
// against the baseline of the live revision, joins labels that come late, and raises alerts.
//
// Exactly once: a window, the alerts that follow from it and the new reading position are one transaction; after a
// crash reading goes on from the stored position. A window holds rows of one revision: it begins anew when another goes
// live.
//
// Thread: construct and destroy from one thread; wake() from any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "blob/blob.h"
#include "store/store.h"
#include "watch/window.h"

namespace watch {

// Where requests come from; src/server adapts serve's capture and runtime. Called on the watcher's thread; may block.
class RequestSource {
 public:
  virtual ~RequestSource() = default;

  struct Batch {
    std::vector<Request> requests;  // oldest first, at most `limit`
    int64_t next_segment = 0, next_offset = 0;
  };
  // The same position gives the same requests in the same order, and later perhaps more of them.
  virtual base::Result<Batch> read(int64_t project, std::string_view endpoint, int64_t segment, int64_t offset,
                                   size_t limit) = 0;
  // The revision that answers now; none: nothing is live.
  virtual std::optional<int64_t> live_revision(int64_t project, std::string_view endpoint) = 0;
};

class Watcher {
 public:
  struct Options {
    int64_t idle_us = 250'000;        // how often capture is looked at while nobody wakes us
    int64_t least_pause_us = 20'000;  // between two passes, however often we are woken
    int64_t late_us = 2'000'000;      // a window by time closes this long after its end
  };

  Watcher(store::Store& store, blob::BlobStore& blobs, RequestSource& source, const base::Clock& clock,
          base::Registry& metrics, Options options);
  Watcher(store::Store& store, blob::BlobStore& blobs, RequestSource& source, const base::Clock& clock,
          base::Registry& metrics)
      : Watcher(store, blobs, source, clock, metrics, Options{}) {}
  ~Watcher();  // stops and joins; what was read but not closed is read again by the next
  Watcher(const Watcher&) = delete;

  void wake();  // new traffic, labels or monitors

  // One pass on the calling thread, for tests: with Options::idle_us = 0 there is no thread.
  void pass();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace watch
