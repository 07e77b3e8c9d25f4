// Upkeep: what a server does once an hour so that its folder does not grow for ever: old events are trimmed, blobs that
// nobody refers to are collected. What fails is logged and tried again an hour later.
// Thread: one of its own; the destructor stops it at once, in the middle of a pass too.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <thread>

#include "base/clock.h"
#include "blob/blob.h"
#include "blob/gc.h"
#include "blob/plain_folder.h"
#include "store/store.h"

namespace server {

class Upkeep {
 public:
  struct Options {
    int64_t first_us = 60'000'000;  // after the start, whose seconds belong to the users
    int64_t every_us = 3'600'000'000;
    int64_t keep_events_us = 7 * int64_t{24} * 3'600'000'000;  // what SSE clients and consumers can go back to
    int64_t grace_us = blob::kGraceUs;
    int64_t purge_deleted_us = 0;  // deleted runs, models and experiments go for good after so long; 0: never
    std::shared_ptr<const blob::PlainFolder> destination;  // plain files of what is purged go too; null: there are none
  };

  Upkeep(store::Store& store, blob::BlobStore& blobs, const base::Clock& clock, const Options& options);
  Upkeep(const Upkeep&) = delete;

 private:
  void run(const std::stop_token& stop);
  void pass(const std::stop_token& stop);

  store::Store& store_;
  blob::BlobStore& blobs_;
  const base::Clock& clock_;
  const Options options_;
  std::mutex mutex_;
  std::condition_variable_any wake_;  // by the stop request only
  std::jthread thread_;               // last: it uses the others
};

}  // namespace server
