#include "core/recent.h"

#include <algorithm>
#include <array>

namespace core {
namespace {

constexpr std::array<std::string_view, 22> kNoise = {
    "run.logged",
    "run.updated",
    "run.inputs_logged",
    "run.outputs_logged",
    "run.untagged",
    "artifact.stored",
    "artifact.deleted",
    "logged_model.created",
    "logged_model.finalized",
    "logged_model.tagged",
    "logged_model.params_logged",
    "principal.revoked",
    "window.labelled",
    "window.closed",
    "bundle.created",
    "stage.started",
    "stage.upstream-failed",
    "stage.succeeded",
    "pipeline_run.created",
    "revision.created",
    "baseline.set",

    "monitor.changed",
};

bool is_wanted(const std::string& kind, const std::vector<std::string>& kinds) {
  if (kinds.empty()) return std::ranges::find(kNoise, std::string_view(kind)) == kNoise.end();
  const std::string_view head = std::string_view(kind).substr(0, kind.find('.'));
  return std::ranges::find(kinds, head) != kinds.end();
}

}  // namespace

base::Result<RecentEvents> recent_events(store::Tx& tx, int64_t before, const std::vector<std::string>& kinds,
                                         size_t limit) {
  RecentEvents out;
  if (before <= 0) before = tx.query_i64("SELECT max(seq) FROM events").value_or(0) + 1;
  const int64_t oldest = std::max<int64_t>(0, before - kRecentScan);
  store::Rows rows = tx.query(
      "SELECT xid, seq, project, at_us, kind, subject_kind, subject, actor, body FROM events"
      " WHERE seq < ? AND seq >= ? AND project = ? ORDER BY seq DESC",
      before, oldest, tx.project());
  while (rows.next()) {
    if (!is_wanted(rows.str(4), kinds)) continue;
    if (out.events.size() == limit) {
      out.next_before = out.events.back().position.seq;
      break;
    }
    out.events.push_back({{rows.i64(0), rows.i64(1)},
                          rows.i64(2),
                          rows.i64(3),
                          rows.str(4),
                          rows.str(5),
                          rows.str(6),
                          rows.str(7),
                          rows.str(8)});
  }
  TRY(tx.status());
  if (out.next_before == 0 && oldest > 1) out.next_before = oldest;
  return out;
}

}  // namespace core
