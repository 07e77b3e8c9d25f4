#include "track/lost.h"

#include "core/event.h"
#include "track/keys.h"
#include "track/runs.h"

namespace track {

using base::Result;

namespace {

void set_status(store::Tx& tx, int64_t row, RunStatus status, std::optional<int64_t> end_ms) {
  tx.exec("UPDATE track_runs SET status = ?, end_ms = ? WHERE project = ? AND id = ?", static_cast<int64_t>(status),
          end_ms, tx.project(), row);
}

bool has_lost_tag(store::Tx& tx, int64_t row) {
  const auto key = find_key(tx, kLostTag);
  return key &&
         tx.query_i64("SELECT 1 FROM track_tags WHERE project = ? AND run = ? AND key_id = ?", tx.project(), row, *key);
}

}  // namespace

Result<std::vector<RunningRun>> running_runs(store::Tx& tx, int64_t row, int64_t limit) {
  std::vector<RunningRun> out;
  auto rows = tx.query(
      "SELECT id, project, run_id FROM track_runs WHERE id > ? AND status = ? AND deleted = 0 ORDER BY id LIMIT ?", row,
      static_cast<int64_t>(RunStatus::kRunning), limit);
  while (rows.next()) out.push_back({rows.i64(0), rows.i64(1), rows.str(2)});
  TRY(tx.status());
  return out;
}

Result<Liveness> liveness(store::Tx& tx, std::string_view run_id) {
  const auto run = get_run_info(tx, run_id);
  TRY(tx.status());
  if (!run || run->deleted) return Liveness::kEnded;
  if (run->status == RunStatus::kRunning) return Liveness::kRunning;
  return has_lost_tag(tx, run->row) ? Liveness::kLost : Liveness::kEnded;
}

Result<void> mark_lost(store::Tx& tx, std::string_view run_id) {
  TRY_SET(const Liveness now, liveness(tx, run_id));
  if (now != Liveness::kRunning) return {};
  TRY_SET(const RunInfo run, get_run_info(tx, run_id));
  set_status(tx, run.row, RunStatus::kFailed, now_ms(tx));
  const Tag tag{std::string(kLostTag), std::to_string(now_ms(tx))};
  tx.exec(
      "INSERT INTO track_tags (project, run, key_id, exp, value) VALUES (?, ?, ?, ?, ?) "
      "ON CONFLICT (project, run, key_id) DO UPDATE SET value = excluded.value",
      tx.project(), run.row, key_id(tx, tag.key), run.experiment, tag.value);
  core::emit(tx, "run.lost", "run", run.run_id, "{\"status\":\"FAILED\"}");
  return tx.status();
}

Result<void> mark_found(store::Tx& tx, std::string_view run_id) {
  TRY_SET(const Liveness now, liveness(tx, run_id));
  if (now != Liveness::kLost) return {};
  TRY_SET(const RunInfo run, get_run_info(tx, run_id));
  // Only what the mark did is undone: a client that has ended its run meanwhile keeps its own word.
  if (run.status == RunStatus::kFailed) set_status(tx, run.row, RunStatus::kRunning, std::nullopt);
  tx.exec("DELETE FROM track_tags WHERE project = ? AND run = ? AND key_id = ?", tx.project(), run.row,
          key_id(tx, kLostTag));
  core::emit(tx, "run.found", "run", run.run_id, "{\"status\":\"RUNNING\"}");
  return tx.status();
}

}  // namespace track
