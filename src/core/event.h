// Events: every change leaves one in its own transaction (outbox); whoever reacts follows this log. Nobody calls
// across.
//
// Order: SQLite by seq. On PostgreSQL seq is not commit order, so rows carry their transaction id and readers see only
// what lies below the oldest running transaction, ordered by (transaction, seq): nothing is skipped.
// Delivery: at least once; effects are idempotent by seq, or advance the consumer's position in the same transaction.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/store.h"

namespace core {

// A point of the log: events up to and including it have been seen. Text form "<xid>.<seq>" is SSE's Last-Event-ID.
struct EventPosition {
  int64_t xid = 0;  // 0 on SQLite
  int64_t seq = 0;
  auto operator<=>(const EventPosition&) const = default;
};

struct Event {
  EventPosition position;
  int64_t project = 0;
  int64_t at_us = 0;
  std::string kind;  // "<subject kind>.<past participle>": "run.created", "alert.raised", "endpoint.promoted"
  std::string subject_kind;
  std::string subject;  // public id
  std::string actor;
  std::string body;  // JSON object, small: ids and numbers, never payloads
};

// Appends one event in the caller's transaction. `body` is a JSON object ("{}" if nothing to add).
void emit(store::Tx& tx, std::string_view kind, std::string_view subject_kind, std::string_view subject,
          std::string_view body = "{}");

// Up to `limit` events after `after`, oldest first. project 0: all projects.
base::Result<std::vector<Event>> read_events(store::Tx& tx, EventPosition after, size_t limit, int64_t project = 0);
base::Result<EventPosition> newest_position(store::Tx& tx);
// Whether every event after `after` can still be read. False when some were trimmed, or when this log never was that
// far (a restored backup); now and then false for nothing: whoever asks starts again from a snapshot.
base::Result<bool> are_all_kept(store::Tx& tx, EventPosition after);

// A durable reader: its position is a row, advanced in the transaction of its effect. One thread of its own.
class Consumer {
 public:
  // Runs in a write transaction of project event.project, actor "system:<name>"; may be run again. An error is logged
  // and retried with backoff (0.1 s to 30 s): a handler turns what will never work into a note and success.
  using Handler = std::function<base::Result<void>(store::Tx&, const Event&)>;
  // Whether an event is worth a transaction; empty: all are. Events passed over cost no write: their position is kept
  // in memory and stored now and then.
  using Wants = std::function<bool(const Event&)>;

  // A new consumer begins at the newest event, or at the oldest kept one when `from_start`. Its name belongs in the
  // list that src/server hands to forget_consumers_except.
  Consumer(store::Store& store, const base::Clock& clock, std::string name, Handler handler, bool from_start = false,
           Wants wants = {});
  ~Consumer();  // stops and joins
  Consumer(const Consumer&) = delete;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Trims events that all durable consumers have passed and that are older than keep_us. Answers how many went.
base::Result<int64_t> trim_events(store::Tx& tx, int64_t keep_us);

// Drops the positions of consumers that no code runs any more: they would hold trimming back for ever. Before the first
// Consumer of a server begins. Answers the names that went.
base::Result<std::vector<std::string>> forget_consumers_except(store::Tx& tx, std::span<const std::string_view> in_use);

}  // namespace core
