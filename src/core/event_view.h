// What a transaction sees of the event log, so that what was read in one can be brought up to another. Thread: values,
// and functions on a Tx.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace core {

// What one transaction sees of the log. Two of them tell what has been written in between.
struct EventView {
  int64_t at_us = 0;             // the transaction's time
  int64_t end = 0;               // SQLite: its newest event; PostgreSQL: transactions from this on are not seen …
  std::vector<int64_t> running;  // … nor these, in order
  bool same_as(const EventView& other) const { return end == other.end && running == other.running; }
  bool sees_all_of(const EventView& older) const;
};
base::Result<EventView> event_view(store::Tx& tx);
struct EventSubject {
  std::string kind, subject_kind, subject;
};
// What the events of tx's project tell of that `older`, which tx's view sees all of, did not see (on PostgreSQL perhaps
// some that it did); each once. Nothing if there are more than `limit` events, or `older` is too old for all to be kept
// still.
base::Result<std::optional<std::vector<EventSubject>>> events_since(store::Tx& tx, const EventView& older,
                                                                    size_t limit);

}  // namespace core
