#include "flow/browse.h"

#include <algorithm>
#include <unordered_set>

#include "base/clock.h"
#include "flow/spec_json.h"

namespace flow {
namespace {

constexpr size_t kNamed = 3;  // stages that a reason names

base::Result<int64_t> row_of(store::Tx& tx, std::string_view run) {
  const auto row = tx.query_i64("SELECT id FROM flow_runs WHERE project = ? AND public_id = ?", tx.project(), run);
  TRY(tx.status());
  if (!row) return base::not_found("no pipeline run has the id '" + std::string(run) + "'");
  return *row;
}

AttemptRow read_attempt(store::Rows& rows) {
  AttemptRow out{.id = rows.str(0), .stage = rows.str(1), .detail = rows.str(3)};
  if (const auto outcome = rows.opt_i64(2)) out.outcome = static_cast<Outcome>(*outcome);
  out.started_us = rows.i64(4);
  out.ended_us = rows.i64(5);
  return out;
}

std::string upstream_text(const std::vector<std::string>& missing) {
  std::string out = "waits for ";
  for (size_t i = 0; i < std::min(missing.size(), kNamed); ++i) out += (i ? ", " : "") + missing[i];
  if (missing.size() > kNamed) out += " and " + std::to_string(missing.size() - kNamed) + " more";
  return out;
}

}  // namespace

base::Result<PipelineCard> pipeline_card(store::Tx& tx, std::string_view pipeline, size_t runs) {
  PipelineCard card;
  {
    store::Rows rows =
        tx.query("SELECT spec, changed_us, cron_next_us FROM flow_pipelines WHERE project = ? AND name = ?",
                 tx.project(), pipeline);
    if (!rows.next()) {
      TRY(tx.status());
      return base::not_found("no pipeline is named '" + std::string(pipeline) + "'; `lathe apply` makes one");
    }
    TRY_SET(card.spec, spec_from_json(rows.text(0)));
    card.changed_us = rows.i64(1);
    card.cron_next_us = rows.opt_i64(2);
  }
  card.runs = list_runs(tx, pipeline, runs);
  card.run_count =
      tx.query_i64("SELECT count(*) FROM flow_runs WHERE project = ? AND pipeline = ?", tx.project(), pipeline)
          .value_or(0);
  TRY(tx.status());
  return card;
}

Progress progress_of(store::Tx& tx, std::string_view run) {
  Progress out;
  store::Rows rows = tx.query(
      "SELECT s.result, count(*) FROM flow_runs r JOIN flow_stages s ON s.project = r.project AND s.run = r.id WHERE "
      "r.project = ? AND r.public_id = ? GROUP BY s.result",
      tx.project(), run);
  while (rows.next()) {
    const auto state = static_cast<State>(rows.i64(0));
    const int64_t n = rows.i64(1);
    out.stages += n;
    if (state == State::kRunning) out.running += n;
    if (state == State::kSucceeded || state == State::kSkipped) out.done += n;
    if (state == State::kFailed) out.failed += n;
  }
  return out;
}

std::vector<PipelineRun> runs_before(store::Tx& tx, std::string_view pipeline, int64_t before_number, size_t limit) {
  if (before_number <= 0) return list_runs(tx, pipeline, limit);
  std::vector<std::string> ids;
  {
    store::Rows rows = tx.query(
        "SELECT public_id FROM flow_runs WHERE project = ? AND pipeline = ? AND number < ? ORDER BY number DESC LIMIT "
        "?",
        tx.project(), pipeline, before_number, limit);
    while (rows.next()) ids.push_back(rows.str(0));
  }
  std::vector<PipelineRun> runs;
  for (const std::string& id : ids)
    if (auto run = get_run(tx, id)) runs.push_back(std::move(*run));
  return runs;
}

base::Result<PipelineRun> run_by_number(store::Tx& tx, std::string_view pipeline, int64_t number) {
  std::string id;
  {
    store::Rows rows = tx.query("SELECT public_id FROM flow_runs WHERE project = ? AND pipeline = ? AND number = ?",
                                tx.project(), pipeline, number);
    if (!rows.next()) {
      TRY(tx.status());
      return base::not_found("pipeline '" + std::string(pipeline) + "' has no run " + std::to_string(number));
    }
    id = rows.str(0);
  }
  return get_run(tx, id);
}

base::Result<RunSpec> run_spec(store::Tx& tx, std::string_view run) {
  store::Rows rows =
      tx.query("SELECT spec, forced, cancelled FROM flow_runs WHERE project = ? AND public_id = ?", tx.project(), run);
  if (!rows.next()) {
    TRY(tx.status());
    return base::not_found("no pipeline run has the id '" + std::string(run) + "'");
  }
  RunSpec out;
  TRY_SET(out.spec, spec_from_json(rows.text(0)));
  out.forced = rows.boolean(1);
  out.cancel_requested = rows.i64(2) != 0;
  return out;
}

std::vector<AttemptRow> list_attempts(store::Tx& tx, std::string_view run) {
  std::vector<AttemptRow> out;
  const auto row = row_of(tx, run);
  if (!row) return out;
  store::Rows rows = tx.query(
      "SELECT a.public_id, s.name, a.outcome, a.detail, a.started_us, a.ended_us FROM flow_attempts a JOIN flow_stages "
      "s ON s.project = a.project AND s.run = a.run AND s.stage = a.stage WHERE a.project = ? AND a.run = ? ORDER BY "
      "a.stage, a.started_us, a.public_id",
      tx.project(), *row);
  while (rows.next()) out.push_back(read_attempt(rows));
  return out;
}

base::Result<AttemptRow> get_attempt(store::Tx& tx, std::string_view attempt) {
  store::Rows rows = tx.query(
      "SELECT a.public_id, s.name, a.outcome, a.detail, a.started_us, a.ended_us FROM flow_attempts a JOIN flow_stages "
      "s ON s.project = a.project AND s.run = a.run AND s.stage = a.stage WHERE a.project = ? AND a.public_id = ?",
      tx.project(), attempt);
  if (rows.next()) return read_attempt(rows);
  TRY(tx.status());
  return base::not_found("no attempt has the id '" + std::string(attempt) + "'");
}

std::map<std::string, std::string> waits(store::Tx& tx, std::string_view run) {
  std::map<std::string, std::string> out;
  const auto row = row_of(tx, run);
  const auto found = run_spec(tx, run);
  if (!row || !found) return out;
  struct Place {
    Phase phase;
    State result;
    int64_t not_before_us;
  };
  std::map<std::string, Place> places;
  {
    store::Rows rows = tx.query(
        "SELECT name, phase, result, not_before_us FROM flow_stages WHERE project = ? AND run = ?", tx.project(), *row);
    while (rows.next())
      places[rows.str(0)] = {static_cast<Phase>(rows.i64(1)), static_cast<State>(rows.i64(2)), rows.i64(3)};
  }
  for (const StageSpec& stage : found->spec.stages) {
    const Place& place = places[stage.name];
    switch (place.phase) {
      case Phase::kWaiting: {
        std::vector<std::string> missing;
        for (const std::string& up : stage.after) {
          const State result = places[up].result;
          if (result != State::kSucceeded && result != State::kSkipped) missing.push_back(up);
        }
        out[stage.name] = missing.empty() ? "is about to be looked at" : upstream_text(missing);
        break;
      }
      case Phase::kDeciding: out[stage.name] = "its inputs are compared with earlier runs"; break;
      case Phase::kReady: out[stage.name] = "waits for a free slot"; break;
      case Phase::kBackoff: out[stage.name] = "is tried again at " + base::format_iso8601(place.not_before_us); break;
      case Phase::kKilling: out[stage.name] = "is being ended"; break;
      case Phase::kRunning:
      case Phase::kDone: break;
    }
  }
  return out;
}

base::Result<Grid> grid(store::Tx& tx, std::string_view pipeline, int64_t before_number, size_t runs) {
  Grid out;
  std::unordered_set<std::string> known;
  size_t cells = 0;
  for (PipelineRun& run : runs_before(tx, pipeline, before_number, runs)) {
    auto stages = list_stages(tx, run.id);
    cells += stages.size();
    if (cells > kMaxGridCells && !out.runs.empty()) break;
    for (const StageRow& stage : stages)
      if (known.insert(stage.name).second) out.stages.push_back(stage.name);
    out.runs.push_back(std::move(run));
    out.stages_of.push_back(std::move(stages));
  }
  TRY(tx.status());
  return out;
}

}  // namespace flow
