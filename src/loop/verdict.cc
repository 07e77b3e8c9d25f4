#include "loop/verdict.h"

#include "base/json_writer.h"
#include "core/event.h"
#include "core/lineage.h"

namespace loop {

namespace {

constexpr std::string_view kSelect =
    "SELECT id, run, pipeline, environment, endpoint, model, challenger, artifact_root, transform, champion, "
    "champion_revision, kind, passed, reason, numbers, created_us FROM loop_verdicts ";
constexpr size_t kMaxPredictionBytes = size_t{1} << 30;

Verdict read_verdict(store::Rows& rows) {
  return {.id = rows.str(0),
          .run = rows.str(1),
          .pipeline = rows.str(2),
          .environment = rows.str(3),
          .endpoint = rows.str(4),
          .model = rows.str(5),
          .challenger = rows.str(6),
          .artifact_root = rows.str(7),
          .transform_digest = rows.str(8),
          .champion = rows.str(9),
          .champion_revision = rows.i64(10),
          .kind = rows.str(11),
          .passed = rows.boolean(12),
          .reason = rows.str(13),
          .numbers = rows.str(14),
          .at_us = rows.i64(15)};
}

base::Result<ScoredRows> load_rows(blob::BlobStore& blobs, const Evaluation& e) {
  TRY_SET(const auto digest, base::Digest::from_hex(base::HashAlgo::kSha256, e.predictions));
  TRY_SET(const auto csv, blobs.get(digest, kMaxPredictionBytes));
  return read_predictions(csv);
}

base::Result<std::optional<GateRows>> load_part(const EvaluationPlan& plan, blob::BlobStore& blobs,
                                                std::string_view part) {
  const Evaluation* challenger = plan.find("gate", "challenger", part);
  if (challenger == nullptr) return std::optional<GateRows>();
  GateRows out{.data_version = challenger->data_version, .part = challenger->part, .digest = challenger->rows_digest};
  TRY_SET(auto rows, load_rows(blobs, *challenger));
  out.truth = std::move(rows.truth);
  out.challenger = std::move(rows.predicted);
  out.challenger_evaluation = challenger->id;
  if (const Evaluation* champion = plan.find("gate", "champion", part)) {
    TRY_SET(auto others, load_rows(blobs, *champion));
    if (others.truth != out.truth)
      return base::fail(base::Code::kConflict,
                        "challenger and champion were evaluated on different rows of " + out.part);
    out.champion = std::move(others.predicted);
    out.champion_evaluation = champion->id;
  }
  return std::optional(std::move(out));
}

}  // namespace

base::Result<GateInput> gate_input(const EvaluationPlan& plan, blob::BlobStore& blobs) {
  if (plan.environment() == nullptr)
    return base::fail(base::Code::kConflict,
                      "the pipeline '" + plan.pipeline + "' declares no endpoint; there is nothing to gate");
  if (!plan.todo.empty() || !plan.picked) {
    return base::fail(base::Code::kConflict, std::to_string(plan.todo.size()) + " evaluations of run " + plan.run +
                                                 " are still to be made; run its 'evaluate' stage first");
  }
  GateInput in;
  in.kind = !plan.champion ? GateKind::kFirst : plan.retraining ? GateKind::kRetraining : GateKind::kUpdate;
  in.rule = plan.environment()->gate;
  in.metric = plan.config.evaluate.metric;
  in.challenger = plan.picked->subject;
  if (plan.champion) in.champion = plan.champion->model_version;
  TRY_SET(auto test, load_part(plan, blobs, plan.config.evaluate.test_on));
  if (!test)
    return base::fail(base::Code::kConflict, "the challenger was not evaluated on " + plan.config.evaluate.test_on);
  in.test = std::move(*test);
  if (in.kind == GateKind::kRetraining) {
    TRY_SET(in.recent, load_part(plan, blobs, "recent"));
  }
  return in;
}

GateResult unchanged_result(const EvaluationPlan& plan) {
  GateResult out;
  out.reason = "not passed: the best candidate, " + plan.picked->subject + ", already serves as " +
               plan.champion->model_version + "; there is nothing to promote";
  base::JsonWriter(out.numbers)
      .begin_object()
      .field("kind", "unchanged")
      .field("challenger", plan.picked->subject)
      .field("champion", plan.champion->model_version)
      .field("passed", false)
      .end_object();
  return out;
}

base::Result<Verdict> store_verdict(store::Tx& tx, const EvaluationPlan& plan, std::string_view kind,
                                    const GateResult& result, std::string_view attempt) {
  const Environment& env = *plan.environment();
  Verdict v{.id = tx.ctx().new_id("vd"),
            .run = plan.run,
            .pipeline = plan.pipeline,
            .environment = env.name,
            .endpoint = env.endpoint,
            .model = plan.config.model->name,
            .challenger = plan.picked->subject,
            .artifact_root = plan.picked->artifact_root,
            .transform_digest = plan.picked->transform_digest,
            .champion = plan.champion ? plan.champion->model_version : "",
            .champion_revision = plan.champion_revision,
            .kind = std::string(kind),
            .passed = result.passed,
            .reason = result.reason,
            .numbers = result.numbers,
            .at_us = tx.now_us()};
  const int64_t made = tx.exec(
      "INSERT INTO loop_verdicts (project, id, run, attempt, pipeline, environment, endpoint, model, challenger, "
      "artifact_root, transform, champion, champion_revision, kind, passed, reason, numbers, created_us)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
      tx.project(), v.id, v.run, attempt, v.pipeline, v.environment, v.endpoint, v.model, v.challenger, v.artifact_root,
      v.transform_digest, v.champion, v.champion_revision, v.kind, v.passed, v.reason, v.numbers, v.at_us);
  TRY(tx.status());
  if (made == 0) {
    TRY_SET(auto stored, verdict_of_run(tx, v.run));
    if (!stored) return base::internal("a verdict is neither new nor there");
    return std::move(*stored);
  }
  for (const auto& e : plan.done) {
    if (e.purpose == "gate") core::add_edge(tx, {"evaluation", e.id}, {"verdict", v.id}, "input");
  }
  core::add_edge(tx, {"pipeline_run", v.run}, {"verdict", v.id}, "produced");
  std::string body;
  base::JsonWriter(body)
      .begin_object()
      .field("run", v.run)
      .field("endpoint", v.endpoint)
      .field("challenger", v.challenger)
      .field("champion", v.champion)
      .field("passed", v.passed)
      .field("reason", v.reason)
      .end_object();
  core::emit(tx, v.passed ? "verdict.passed" : "verdict.failed", "verdict", v.id, body);
  return v;
}

base::Result<Verdict> get_verdict(store::Tx& tx, std::string_view id) {
  auto rows = tx.query(std::string(kSelect) + "WHERE project = ? AND id = ?", tx.project(), id);
  if (!rows.next()) return base::not_found("there is no verdict '" + std::string(id) + "'");
  return read_verdict(rows);
}

base::Result<std::optional<Verdict>> verdict_of_run(store::Tx& tx, std::string_view run) {
  auto rows = tx.query(std::string(kSelect) + "WHERE project = ? AND run = ? ORDER BY id LIMIT 1", tx.project(), run);
  if (!rows.next()) return std::optional<Verdict>();
  return std::optional(read_verdict(rows));
}

std::vector<Verdict> list_verdicts(store::Tx& tx, std::string_view pipeline, size_t limit) {
  std::vector<Verdict> out;
  const auto most = static_cast<int64_t>(limit);
  auto rows = pipeline.empty()
                  ? tx.query(std::string(kSelect) + "WHERE project = ? ORDER BY id DESC LIMIT ?", tx.project(), most)
                  : tx.query(std::string(kSelect) + "WHERE project = ? AND pipeline = ? ORDER BY id DESC LIMIT ?",
                             tx.project(), pipeline, most);
  while (rows.next()) out.push_back(read_verdict(rows));
  return out;
}

namespace {

std::vector<Verdict> verdicts_where(store::Tx& tx, std::string_view column, std::string_view value, size_t limit) {
  std::vector<Verdict> out;
  auto rows =
      tx.query(std::string(kSelect) + "WHERE project = ? AND " + std::string(column) + " = ? ORDER BY id DESC LIMIT ?",
               tx.project(), value, static_cast<int64_t>(limit));
  while (rows.next()) out.push_back(read_verdict(rows));
  return out;
}

}  // namespace

std::vector<Verdict> verdicts_of_model(store::Tx& tx, std::string_view model, size_t limit) {
  return verdicts_where(tx, "model", model, limit);
}

std::vector<Verdict> verdicts_of_challenger(store::Tx& tx, std::string_view challenger, size_t limit) {
  return verdicts_where(tx, "challenger", challenger, limit);
}

}  // namespace loop
