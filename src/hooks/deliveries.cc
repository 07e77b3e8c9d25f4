#include "hooks/deliveries.h"

#include <array>

#include "base/json_writer.h"
#include "base/utf8.h"
#include "core/audit.h"
#include "core/event.h"
#include "hooks/hooks.h"

namespace hooks {

using base::Result;

namespace {

constexpr int64_t kTrimStep = 5'000;  // rows removed by one call
constexpr auto kWaiting = static_cast<int64_t>(DeliveryState::kWaiting);
constexpr auto kDead = static_cast<int64_t>(DeliveryState::kDead);

void record(store::Tx& tx, std::string_view kind, std::string_view id, std::string_view hook, std::string_view event) {
  std::string body;
  base::JsonWriter(body).begin_object().field("webhook", hook).field("event", event).end_object();
  core::emit(tx, kind, "webhook_delivery", id, body);
}

Delivery read_delivery(const store::Tx& tx, store::Rows& rows) {
  Delivery d;
  d.project = tx.project();
  d.id = rows.str(0);
  d.hook = rows.str(1);
  d.hook_name = rows.str(2);
  d.event = rows.str(3);
  d.state = static_cast<DeliveryState>(rows.i64(4));
  d.attempts = rows.i64(5);
  d.created_us = rows.i64(6);
  d.due_us = rows.i64(7);
  d.finished_us = rows.i64(8);
  d.status = rows.i64(9);
  d.error = rows.str(10);
  d.body = rows.str(11);
  return d;
}

}  // namespace

std::string_view name(DeliveryState state) {
  static constexpr std::array<std::string_view, 3> kNames = {"waiting", "delivered", "dead"};
  return kNames[static_cast<size_t>(state)];
}

Result<int64_t> queue_deliveries(store::Tx& tx, std::string_view event, std::string_view body) {
  const std::vector<std::string> hooks = listeners(tx, event);
  for (const std::string& hook : hooks) {
    const std::string id = make_uuid4(*tx.ctx().random);
    const bool full = tx.query_i64("SELECT COUNT(*) FROM hook_deliveries WHERE project = ? AND hook = ? AND state = ?",
                                   tx.project(), hook, kWaiting)
                          .value_or(0) >= kWaitingPerHook;
    tx.exec(
        "INSERT INTO hook_deliveries (project, id, hook, event, state, attempts, created_us, due_us, finished_us, "
        "status, error, body) VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, 0, ?, ?)",
        tx.project(), id, hook, event, full ? kDead : kWaiting, tx.now_us(), tx.now_us(), full ? tx.now_us() : 0,
        full ? "too many deliveries of this webhook are waiting" : "", body);
    record(tx, full ? "webhook_delivery.dead" : "webhook_delivery.queued", id, hook, event);
  }
  TRY(tx.status());
  return static_cast<int64_t>(hooks.size());
}

std::vector<Due> due_deliveries(store::Tx& tx, int64_t per_hook, int64_t limit) {
  std::vector<Due> out;
  auto rows = tx.query(
      "SELECT project, id, hook FROM (SELECT d.project, d.id, d.hook, d.due_us, ROW_NUMBER() OVER "
      "(PARTITION BY d.project, d.hook ORDER BY d.due_us, d.created_us, d.id) AS place FROM hook_deliveries d "
      "JOIN hooks h ON h.project = d.project AND h.id = d.hook WHERE d.state = 0 AND d.due_us <= ?) ranked "
      "WHERE place <= ? ORDER BY due_us, place LIMIT ?",
      tx.now_us(), per_hook, limit);
  while (rows.next()) out.push_back({rows.i64(0), rows.str(1), rows.str(2)});
  return out;
}

std::optional<int64_t> next_due_us(store::Tx& tx) {
  return tx.query_i64("SELECT due_us FROM hook_deliveries WHERE state = 0 AND due_us > ? ORDER BY due_us LIMIT 1",
                      tx.now_us());
}

Result<std::optional<Attempt>> begin_attempt(store::Tx& tx, std::string_view id) {
  std::optional<Attempt> attempt;
  auto rows = tx.query(
      "SELECT d.id, d.hook, h.name, d.event, d.state, d.attempts, d.created_us, d.due_us, d.finished_us, d.status, "
      "d.error, d.body, h.url, h.secret, h.active FROM hook_deliveries d "
      "JOIN hooks h ON h.project = d.project AND h.id = d.hook WHERE d.project = ? AND d.id = ? AND d.state = 0 "
      "AND d.due_us <= ?",
      tx.project(), id, tx.now_us());
  if (rows.next()) attempt = Attempt{read_delivery(tx, rows), rows.str(12), rows.str(13), rows.boolean(14)};
  TRY(tx.status());
  return attempt;
}

Result<void> finish_attempt(store::Tx& tx, std::string_view id, const Outcome& outcome) {
  TRY_SET(const auto attempt, begin_attempt(tx, id));
  if (!attempt) return {};
  const bool again = outcome.state == DeliveryState::kWaiting;
  std::string error = outcome.error.substr(0, kErrorBytes);  // an answer's bytes: whatever the receiver sent
  std::erase(error, '\0');
  error.resize(base::utf8_valid_prefix(error));
  tx.exec(
      "UPDATE hook_deliveries SET state = ?, attempts = attempts + 1, due_us = ?, finished_us = ?, status = ?, "
      "error = ? WHERE project = ? AND id = ? AND state = 0",
      static_cast<int64_t>(outcome.state), again ? outcome.due_us : attempt->delivery.due_us, again ? 0 : tx.now_us(),
      outcome.status, error, tx.project(), id);
  if (!again) {
    record(tx, outcome.state == DeliveryState::kDead ? "webhook_delivery.dead" : "webhook_delivery.delivered", id,
           attempt->delivery.hook, attempt->delivery.event);
  }
  return tx.status();
}

Result<void> send_again(store::Tx& tx, std::string_view id) {
  TRY_SET(const Delivery delivery, get_delivery(tx, id));
  const int64_t changed = tx.exec(
      "UPDATE hook_deliveries SET state = 0, attempts = 0, due_us = ?, finished_us = 0 WHERE project = ? AND id = ? "
      "AND state = ?",
      tx.now_us(), tx.project(), id, kDead);
  if (changed == 0) {
    return base::fail(base::Code::kConflict, "delivery " + std::string(id) + " is " +
                                                 std::string(name(delivery.state)) + "; only a dead one is sent again");
  }
  record(tx, "webhook_delivery.queued", id, delivery.hook, delivery.event);
  core::audit(tx, "webhook_delivery.sent_again", "webhook_delivery", id);
  return {};
}

Result<std::vector<Delivery>> list_deliveries(store::Tx& tx, const DeliveryQuery& query) {
  std::string sql =
      "SELECT d.id, d.hook, h.name, d.event, d.state, d.attempts, d.created_us, d.due_us, d.finished_us, d.status, "
      "d.error, d.body FROM hook_deliveries d JOIN hooks h ON h.project = d.project AND h.id = d.hook "
      "WHERE d.project = ?";
  std::vector<store::Param> params = {tx.project()};
  if (!query.hook.empty()) {
    sql += " AND d.hook = ?";
    params.emplace_back(query.hook);
  }
  if (query.state) {
    sql += " AND d.state = ?";
    params.emplace_back(static_cast<int64_t>(*query.state));
  }
  if (!query.before_id.empty()) {
    sql += " AND (d.created_us, d.id) < (?, ?)";
    params.emplace_back(query.before_us);
    params.emplace_back(query.before_id);
  }
  sql += " ORDER BY d.created_us DESC, d.id DESC LIMIT ?";
  params.emplace_back(query.limit);
  std::vector<Delivery> out;
  auto rows = tx.open(sql, params);
  while (rows.next()) out.push_back(read_delivery(tx, rows));
  TRY(tx.status());
  return out;
}

Result<Delivery> get_delivery(store::Tx& tx, std::string_view id) {
  auto rows = tx.query(
      "SELECT d.id, d.hook, h.name, d.event, d.state, d.attempts, d.created_us, d.due_us, d.finished_us, d.status, "
      "d.error, d.body FROM hook_deliveries d JOIN hooks h ON h.project = d.project AND h.id = d.hook "
      "WHERE d.project = ? AND d.id = ?",
      tx.project(), id);
  if (rows.next()) return read_delivery(tx, rows);
  TRY(tx.status());
  return base::not_found("there is no webhook delivery " + std::string(id));
}

DeliveryCounts count_deliveries(store::Tx& tx, std::string_view hook) {
  DeliveryCounts counts;
  auto rows = tx.query("SELECT state, COUNT(*) FROM hook_deliveries WHERE project = ? AND hook = ? GROUP BY state",
                       tx.project(), hook);
  while (rows.next()) {
    const auto state = static_cast<DeliveryState>(rows.i64(0));
    (state == DeliveryState::kWaiting ? counts.waiting
     : state == DeliveryState::kDead  ? counts.dead
                                      : counts.delivered) = rows.i64(1);
  }
  return counts;
}

Result<int64_t> trim_deliveries(store::Tx& tx) {
  int64_t removed = tx.exec(
      "DELETE FROM hook_deliveries WHERE (project, id) IN (SELECT project, id FROM hook_deliveries WHERE state > 0 "
      "AND finished_us < ? LIMIT ?)",
      tx.now_us() - kKeepFinishedUs, kTrimStep);
  removed += tx.exec(
      "DELETE FROM hook_deliveries WHERE (project, id) IN (SELECT d.project, d.id FROM hook_deliveries d "
      "WHERE NOT EXISTS (SELECT 1 FROM hooks h WHERE h.project = d.project AND h.id = d.hook) LIMIT ?)",
      kTrimStep);
  removed += tx.exec(
      "DELETE FROM hook_deliveries WHERE (project, id) IN (SELECT project, id FROM (SELECT project, id, ROW_NUMBER() "
      "OVER (PARTITION BY project, hook ORDER BY finished_us DESC, id) AS place FROM hook_deliveries WHERE state > 0) "
      "ranked WHERE place > ? LIMIT ?)",
      kFinishedPerHook, kTrimStep);
  TRY(tx.status());
  return removed;
}

}  // namespace hooks
