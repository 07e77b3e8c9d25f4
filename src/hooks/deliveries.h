// Deliveries: one event on its way to one hook. A row waits until it is taken, or given up: then it is a dead letter,
// which somebody may send again. Rows of a hook that is gone are nobody's, and trim() removes them.
//
// The body is made once, when the event is read, and is the same at every attempt, as is the id: a receiver that sees
// an id again has seen the event before.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace hooks {

inline constexpr int64_t kWaitingPerHook = 10'000;  // past it a new delivery is a dead letter at once
inline constexpr int64_t kFinishedPerHook = 2'000;  // kept per hook, delivered and dead together; the oldest go
inline constexpr int64_t kKeepFinishedUs = 30 * int64_t{24} * 3'600'000'000;
inline constexpr size_t kErrorBytes = 500;  // of an answer or reason that is kept

enum class DeliveryState : uint8_t { kWaiting, kDelivered, kDead };
std::string_view name(DeliveryState state);  // "waiting", "delivered", "dead"

struct Delivery {
  int64_t project = 0;
  std::string id;
  std::string hook;
  std::string hook_name;
  std::string event;
  DeliveryState state = DeliveryState::kWaiting;
  int64_t attempts = 0;
  int64_t created_us = 0;
  int64_t due_us = 0;
  int64_t finished_us = 0;
  int64_t status = 0;  // of the last answer; 0: there was none
  std::string error;   // why the last attempt failed
  std::string body;
};

// One row for each hook that listens to `event`. Answers how many. In the transaction of the event's consumer.
base::Result<int64_t> queue_deliveries(store::Tx& tx, std::string_view event, std::string_view body);

// Of all projects: those that are due, at most `per_hook` of one hook, the longest waiting first.
struct Due {
  int64_t project = 0;
  std::string id;
  std::string hook;
};
std::vector<Due> due_deliveries(store::Tx& tx, int64_t per_hook, int64_t limit);
std::optional<int64_t> next_due_us(store::Tx& tx);  // when the next one is, of all that wait

// What an attempt needs to know; none: it is not due any more.
struct Attempt {
  Delivery delivery;
  std::string url;
  std::string sealed_secret;
  bool active = true;
};
base::Result<std::optional<Attempt>> begin_attempt(store::Tx& tx, std::string_view id);

// What became of an attempt. Nothing, when the delivery is no longer waiting.
struct Outcome {
  DeliveryState state = DeliveryState::kDelivered;  // kWaiting: again, at due_us
  int64_t due_us = 0;
  int64_t status = 0;
  std::string error;
};
base::Result<void> finish_attempt(store::Tx& tx, std::string_view id, const Outcome& outcome);

// A dead letter waits again, with all its attempts before it. kConflict when it is not one.
base::Result<void> send_again(store::Tx& tx, std::string_view id);

struct DeliveryQuery {
  std::optional<DeliveryState> state;
  std::string hook;  // "": all
  int64_t before_us = 0;
  std::string before_id;  // keyset; "": from the newest
  int64_t limit = 100;
};
base::Result<std::vector<Delivery>> list_deliveries(store::Tx& tx, const DeliveryQuery& query);
base::Result<Delivery> get_delivery(store::Tx& tx, std::string_view id);

struct DeliveryCounts {
  int64_t waiting = 0, delivered = 0, dead = 0;
};
DeliveryCounts count_deliveries(store::Tx& tx, std::string_view hook);

// Of all projects, in steps: what is old, too many, or nobody's. Answers how many went; 0: done.
base::Result<int64_t> trim_deliveries(store::Tx& tx);

}  // namespace hooks
