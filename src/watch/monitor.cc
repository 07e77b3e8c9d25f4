#include <cmath>

#include "base/hash.h"
#include "core/audit.h"
#include "core/event.h"
#include "core/lineage.h"
#include "watch/record.h"
#include "watch/watch.h"

namespace watch {
namespace {

base::Result<void> check(const MonitorSpec& spec) {
  const auto bad = [&](std::string what) {
    return base::invalid("monitor of endpoint '" + spec.endpoint + "': " + what);
  };
  if (spec.endpoint.empty()) return base::invalid("a monitor needs the name of an endpoint");
  if ((spec.window_rows > 0) == (spec.window_us > 0)) return bad("a window is either a number of rows or a time");
  if (spec.window_rows != 0 && (spec.window_rows < kMinWindowRows || spec.window_rows > kMaxWindowRows)) {
    return bad("a window of " + std::to_string(spec.window_rows) + " rows; allowed: " + std::to_string(kMinWindowRows) +
               " to " + std::to_string(kMaxWindowRows));
  }
  if (spec.window_us < 0 || (spec.window_us > 0 && spec.window_us < kMinWindowUs))
    return bad("a window lasts at least one second");
  if (!(spec.ks_alpha > 0 && spec.ks_alpha < 1)) return bad("ks_alpha must lie between 0 and 1");
  if (!(spec.psi_threshold > 0) || !std::isfinite(spec.psi_threshold)) return bad("psi_threshold must be above 0");
  if (!(spec.drifted_share > 0 && spec.drifted_share <= 1)) return bad("drifted_share must be above 0 and at most 1");
  if (spec.consecutive < 1 || spec.consecutive > 100) return bad("consecutive must be 1 to 100");
  return {};
}

constexpr std::string_view kSpecColumns =
    "SELECT project, endpoint, window_rows, window_us, labels_from_feedback, ks_alpha, psi_threshold, drifted_share,"
    " consecutive, read_segment, read_offset, read_skip FROM monitors ";

MonitorState read_state(store::Rows& rows) {
  MonitorState state{.project = rows.i64(0)};
  state.spec = {.endpoint = rows.str(1),
                .window_rows = rows.i64(2),
                .window_us = rows.i64(3),
                .labels_from_feedback = rows.boolean(4),
                .ks_alpha = rows.f64(5),
                .psi_threshold = rows.f64(6),
                .drifted_share = rows.f64(7),
                .consecutive = static_cast<int>(rows.i64(8))};
  state.position = {rows.i64(9), rows.i64(10), rows.i64(11)};
  return state;
}

}  // namespace

base::Result<void> put_monitor(store::Tx& tx, const MonitorSpec& spec) {
  TRY(check(spec));
  TRY_SET(const auto before, get_monitor(tx, spec.endpoint));
  if (before == spec) return {};
  tx.exec(
      "INSERT INTO monitors (project, endpoint, window_rows, window_us, labels_from_feedback, ks_alpha, psi_threshold,"
      " drifted_share, consecutive, changed_us, read_segment, read_offset, read_skip, next_number)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 1)"
      " ON CONFLICT (project, endpoint) DO UPDATE SET window_rows = excluded.window_rows, window_us = "
      "excluded.window_us,"
      " labels_from_feedback = excluded.labels_from_feedback, ks_alpha = excluded.ks_alpha,"
      " psi_threshold = excluded.psi_threshold, drifted_share = excluded.drifted_share,"
      " consecutive = excluded.consecutive, changed_us = excluded.changed_us",
      tx.project(), spec.endpoint, spec.window_rows, spec.window_us, spec.labels_from_feedback, spec.ks_alpha,
      spec.psi_threshold, spec.drifted_share, spec.consecutive, tx.now_us());
  core::emit(tx, "monitor.changed", "monitor", spec.endpoint);
  core::audit(tx, "monitor.changed", "monitor", spec.endpoint);
  return tx.status();
}

base::Result<std::optional<MonitorSpec>> get_monitor(store::Tx& tx, std::string_view endpoint) {
  const std::string sql = std::string(kSpecColumns) + "WHERE project = ? AND endpoint = ?";
  store::Rows rows = tx.query(sql, tx.project(), endpoint);
  if (rows.next()) return read_state(rows).spec;
  TRY(tx.status());
  return std::nullopt;
}

std::vector<MonitorSpec> list_monitors(store::Tx& tx) {
  std::vector<MonitorSpec> monitors;
  store::Rows rows = tx.query(std::string(kSpecColumns) + "WHERE project = ? ORDER BY endpoint", tx.project());
  while (rows.next()) monitors.push_back(read_state(rows).spec);
  return monitors;
}

bool remove_monitor(store::Tx& tx, std::string_view endpoint) {
  if (tx.exec("DELETE FROM monitors WHERE project = ? AND endpoint = ?", tx.project(), endpoint) == 0) return false;
  core::emit(tx, "monitor.removed", "monitor", endpoint);
  core::audit(tx, "monitor.removed", "monitor", endpoint);
  return true;
}

std::vector<MonitorState> monitors_of_all_projects(store::Tx& tx) {
  std::vector<MonitorState> monitors;
  store::Rows rows = tx.query(std::string(kSpecColumns) + "ORDER BY project, endpoint");
  while (rows.next()) monitors.push_back(read_state(rows));
  return monitors;
}

base::Result<void> set_baseline(store::Tx& tx, std::string_view endpoint, int64_t revision,
                                std::string_view profile_digest, std::string_view evaluation) {
  TRY(base::Digest::from_hex(base::HashAlgo::kSha256, profile_digest));
  tx.exec(
      "INSERT INTO baselines (project, endpoint, revision, profile, evaluation, set_us) VALUES (?, ?, ?, ?, ?, ?)"
      " ON CONFLICT (project, endpoint, revision) DO UPDATE SET profile = excluded.profile,"
      " evaluation = excluded.evaluation, set_us = excluded.set_us",
      tx.project(), endpoint, revision, profile_digest, evaluation, tx.now_us());
  const std::string id = std::string(endpoint) + "/" + std::to_string(revision);
  if (!evaluation.empty()) core::add_edge(tx, {"evaluation", std::string(evaluation)}, {"revision", id}, "baseline");
  core::emit(tx, "baseline.set", "revision", id);
  return end_alerts_of_other_revisions(tx, endpoint, revision);
}

std::optional<Baseline> get_baseline(store::Tx& tx, std::string_view endpoint, int64_t revision) {
  store::Rows rows = tx.query(
      "SELECT endpoint, revision, profile, evaluation, set_us FROM baselines WHERE project = ? AND endpoint = ? AND "
      "revision = ?",
      tx.project(), endpoint, revision);
  if (!rows.next()) return std::nullopt;
  return Baseline{rows.str(0), rows.i64(1), rows.str(2), rows.str(3), rows.i64(4)};
}

}  // namespace watch
