#include "flow/live_run.h"

#include <unordered_map>

#include "flow/spec_json.h"

namespace flow {
namespace {

constexpr int64_t kCancelTaken = 2;  // flow_runs.cancelled

base::Result<void> build_graph(const PipelineSpec& spec, RunState& state) {
  std::unordered_map<std::string_view, uint32_t> index;
  for (uint32_t i = 0; i < spec.stages.size(); ++i) index.emplace(spec.stages[i].name, i);
  state.max_parallel = spec.max_parallel;
  state.stages.resize(spec.stages.size());
  for (size_t i = 0; i < spec.stages.size(); ++i) {
    const StageSpec& from = spec.stages[i];
    StageState& to = state.stages[i];
    to.slots = from.resources.cpus;
    to.retries = from.retries;
    to.retry_delay_us = from.retry_delay_us;
    to.timeout_us = from.timeout_us;
    for (const std::string& up : from.after) {
      const auto found = index.find(up);
      if (found == index.end())
        return base::internal("stage '" + from.name + "' comes after '" + up + "', which its run does not have");
      to.upstream.push_back(found->second);
    }
  }
  return {};
}

base::Result<void> read_stages(store::Tx& tx, const RunFacts& facts, RunState& state) {
  store::Rows rows = tx.query(
      "SELECT stage, phase, result, attempt, reason, tries, losses, not_before_us, started_us, ended_us FROM "
      "flow_stages "
      "WHERE project = ? AND run = ? ORDER BY stage",
      facts.project, facts.row);
  while (rows.next()) {
    const auto i = static_cast<size_t>(rows.i64(0));
    if (i >= state.stages.size()) return base::internal("a run has more stages than its pipeline");
    StageState& stage = state.stages[i];
    stage.phase = static_cast<Phase>(rows.i64(1));
    stage.result = static_cast<State>(rows.i64(2));
    stage.attempt = rows.str(3);
    stage.reason = rows.str(4);
    stage.tries = static_cast<int>(rows.i64(5));
    stage.losses = static_cast<int>(rows.i64(6));
    stage.not_before_us = rows.i64(7);
    stage.started_us = rows.i64(8);
    stage.ended_us = rows.i64(9);
  }
  return tx.status();
}

}  // namespace

base::Result<LiveRun> load_run(store::Tx& tx, int64_t row) {
  auto facts = std::make_shared<RunFacts>();
  LiveRun live;
  {
    store::Rows rows = tx.query(
        "SELECT project, public_id, pipeline, number, bundle, cause, params, spec, forced, state, cancelled, version, "
        "created_us, "
        "ended_us FROM flow_runs WHERE id = ?",
        row);
    if (!rows.next()) {
      TRY(tx.status());
      return base::not_found("pipeline run " + std::to_string(row) + " is gone");
    }
    facts->row = row;
    facts->project = rows.i64(0);
    facts->run.id = rows.str(1);
    facts->run.pipeline = rows.str(2);
    facts->run.number = rows.i64(3);
    facts->run.bundle = rows.str(4);
    facts->run.cause = rows.str(5);
    TRY_SET(facts->run.params, map_from_json(rows.text(6)));
    TRY_SET(facts->spec, spec_from_json(rows.text(7)));
    facts->forced = rows.boolean(8);
    live.state.state = static_cast<State>(rows.i64(9));
    live.state.cancelled = rows.i64(10) == kCancelTaken;
    live.cancel_asked = rows.i64(10) != 0 && !live.state.cancelled;
    live.version = rows.i64(11);
    facts->run.created_us = rows.i64(12);
    live.state.ended_us = rows.i64(13);
  }
  TRY(build_graph(facts->spec, live.state));
  TRY(read_stages(tx, *facts, live.state));
  live.facts = std::move(facts);
  return live;
}

base::Result<std::vector<int64_t>> live_run_rows(store::Tx& tx) {
  std::vector<int64_t> out;
  store::Rows rows = tx.query("SELECT id FROM flow_runs WHERE ended_us = 0 ORDER BY id");
  while (rows.next()) out.push_back(rows.i64(0));
  TRY(tx.status());
  return out;
}

base::Result<void> save_run(store::Tx& tx, LiveRun& live) {
  const RunState& state = live.state;
  // Until the engine takes a cancel up, the asking stays in the row.
  const int64_t changed = tx.exec(
      "UPDATE flow_runs SET version = version + 1, state = ?, ended_us = ?, cancelled = CASE WHEN ? = 1 THEN 2 ELSE "
      "cancelled END "
      "WHERE id = ? AND version = ?",
      static_cast<int>(state.state), state.ended_us, state.cancelled, live.facts->row, live.version);
  TRY(tx.status());
  if (changed == 0)
    return base::fail(base::Code::kConflict, "pipeline run " + live.facts->run.id + " was moved by somebody else");
  live.version += 1;
  return {};
}

void save_stage(store::Tx& tx, const RunFacts& facts, uint32_t stage, const StageState& s) {
  tx.exec(
      "UPDATE flow_stages SET phase = ?, result = ?, attempt = ?, reason = ?, tries = ?, losses = ?, not_before_us = "
      "?, started_us = ?, "
      "ended_us = ? WHERE project = ? AND run = ? AND stage = ?",
      static_cast<int>(s.phase), static_cast<int>(s.result), s.attempt, s.reason, s.tries, s.losses, s.not_before_us,
      s.started_us, s.ended_us, facts.project, facts.row, stage);
}

}  // namespace flow
