#include "loop/evaluation.h"

#include <algorithm>

#include "base/json_writer.h"
#include "core/event.h"
#include "core/lineage.h"
#include "flow/flow.h"
#include "loop/apply.h"
#include "loop/regression.h"
#include "serve/endpoint.h"
#include "track/registry.h"

namespace loop {

namespace {

constexpr std::string_view kSelect =
    "SELECT id, run, purpose, side, subject, model_version, data_version, part, rows_digest, row_count, metric, value, "
    "low, high, summary, predictions, created_us, transform FROM loop_evaluations ";

Evaluation read_evaluation(store::Rows& rows) {
  return {.id = rows.str(0),
          .run = rows.str(1),
          .purpose = rows.str(2),
          .side = rows.str(3),
          .subject = rows.str(4),
          .model_version = rows.str(5),
          .data_version = rows.str(6),
          .part = rows.str(7),
          .rows_digest = rows.str(8),
          .rows = rows.i64(9),
          .metric = rows.str(10),
          .value = rows.f64(11),
          .low = rows.f64(12),
          .high = rows.f64(13),
          .summary = rows.str(14),
          .predictions = rows.str(15),
          .transform = rows.str(17),
          .created_us = rows.i64(16)};
}

// The data version that an attempt made (its outgoing edge) or read (incoming), of the set `name`.
base::Result<std::optional<data::DataVersion>> data_version_of(store::Tx& tx, std::string_view attempt,
                                                               std::string_view name, bool made) {
  const core::Node node{"attempt", std::string(attempt)};
  std::optional<data::DataVersion> found;
  for (const auto& edge : made ? core::edges_out_of(tx, node) : core::edges_into(tx, node)) {
    const auto& other = made ? edge.to : edge.from;
    if (other.kind != "data_version") continue;
    TRY_SET(auto version, data::get_version(tx, other.id));
    if (version.name == name) found = std::move(version);
  }
  return found;
}

base::Result<data::DataVersion> data_version_of_run(store::Tx& tx, std::string_view run, std::string_view name) {
  for (const auto& attempt : flow::attempts_of_group(tx, run, "prepare")) {
    TRY_SET(auto version, data_version_of(tx, attempt.attempt, name, true));
    if (version) return std::move(*version);
  }
  return base::not_found("the run has prepared no version of the data set '" + std::string(name) + "' yet");
}

// `raw`: the one that changes nothing, for a model that contains its own preparation: it names the raw columns all the
// same, so that the baseline and captured rows call them alike. "": a version without one.
base::Result<std::string> transform_of(store::Tx& tx, const data::DataVersion& version, bool raw) {
  const auto artifact = blob::get_artifact(tx, "data/" + version.id, raw ? "identity.json" : "transform.json");
  if (artifact) return artifact->digest.hex();
  if (artifact.error().code == base::Code::kNotFound) return std::string();
  return std::unexpected(artifact.error());
}

// Whether the stage reads the data set before its fitted transform, so that its models contain their own preparation.
bool reads_raw(const Config& config, std::string_view stage, std::string_view data) {
  for (const auto& s : config.stages.stages) {
    if (s.name != stage) continue;
    for (const auto& dep : s.data_deps) {
      if (dep.name == data) return dep.raw;
    }
  }
  return false;
}

base::Result<void> read_candidates(store::Tx& tx, EvaluationPlan& plan) {
  for (const auto& attempt : flow::attempts_of_group(tx, plan.run, plan.config.model->from)) {
    TRY_SET(const auto used, data_version_of(tx, attempt.attempt, plan.data.name, false));
    const bool raw = reads_raw(plan.config, attempt.stage, plan.data.name);
    TRY_SET(const std::string transform, transform_of(tx, used ? *used : plan.data, raw));
    for (const auto& model : track::logged_models_of_attempt(tx, attempt.attempt)) {
      plan.candidates.push_back({.subject = model.model_id,
                                 .artifact_root = model.artifact_root,
                                 .transform_digest = transform,
                                 .stage = attempt.stage,
                                 .run_id = model.source_run_id});
    }
  }
  if (plan.candidates.size() > kMaxCandidates) {
    return base::fail(base::Code::kTooLarge, "the run has " + std::to_string(plan.candidates.size()) +
                                                 " candidates; at most " + std::to_string(kMaxCandidates) +
                                                 " are compared");
  }
  if (plan.candidates.empty()) {
    return base::fail(base::Code::kConflict,
                      "the stage '" + plan.config.model->from +
                          "' logged no model that is ready; log one with mlflow's log_model in each of its runs");
  }
  return {};
}

base::Result<void> read_champion(store::Tx& tx, EvaluationPlan& plan) {
  const Environment* env = plan.environment();
  if (env == nullptr) return {};
  const auto endpoint = serve::get_endpoint(tx, env->endpoint);
  if (!endpoint || endpoint->live_revision == 0) return {};
  TRY_SET(const auto revision, serve::get_revision(tx, env->endpoint, endpoint->live_revision));
  TRY_SET(const auto version, track::get_model_version(tx, revision.model_name, revision.model_version));
  JudgedModel champion;
  champion.model_version = revision.model_name + "/" + std::to_string(revision.model_version);
  champion.subject = version.model_id.empty() ? champion.model_version : version.model_id;
  champion.artifact_root = revision.artifact_root;
  champion.transform_digest = revision.transform_digest;
  champion.run_id = version.run_id;
  plan.champion = std::move(champion);
  plan.champion_revision = revision.number;
  return {};
}

bool is_done(const EvaluationPlan& plan, std::string_view purpose, std::string_view side, std::string_view subject,
             std::string_view part) {
  return std::any_of(plan.done.begin(), plan.done.end(), [&](const Evaluation& e) {
    return e.purpose == purpose && e.side == side && e.subject == subject && e.part == part;
  });
}

void want(EvaluationPlan& plan, std::string_view purpose, std::string_view side, const JudgedModel& model,
          const std::string& part) {
  if (!is_done(plan, purpose, side, model.subject, part))
    plan.todo.push_back({model, std::string(purpose), std::string(side), part});
}

// The best value wins; the first trained of equals.
void pick(EvaluationPlan& plan) {
  double best = 0;
  for (const auto& candidate : plan.candidates) {
    for (const auto& e : plan.done) {
      if (e.purpose != "select" || e.subject != candidate.subject) continue;
      if (plan.picked && !is_better(e.metric, e.value, best)) continue;
      plan.picked = candidate, best = e.value;
      if (!e.transform.empty()) plan.picked->transform_digest = e.transform;  // from here on it is part of the version
    }
  }
}

}  // namespace

const Evaluation* EvaluationPlan::find(std::string_view purpose, std::string_view side, std::string_view part) const {
  for (const auto& e : done) {
    const auto& model = side == "champion" ? champion : picked;
    if (e.purpose == purpose && e.side == side && e.part == part && model && e.subject == model->subject) return &e;
  }
  return nullptr;
}

base::Result<EvaluationPlan> evaluation_plan(store::Tx& tx, std::string_view run_id) {
  TRY_SET(const auto run, flow::get_run(tx, run_id));
  TRY_SET(const auto applied, applied_of(tx, run.pipeline, run.bundle));
  EvaluationPlan plan;
  TRY_SET(plan.config, config_of(applied));
  if (!plan.config.model)
    return base::fail(base::Code::kConflict, "the pipeline '" + run.pipeline + "' declares no model to evaluate");
  plan.run = run.id;
  plan.pipeline = run.pipeline;
  plan.cause = run.cause;
  const auto retrain = run.params.find("retrain");
  plan.retraining = retrain != run.params.end() && retrain->second == "1";
  TRY_SET(plan.data, data_version_of_run(tx, run.id, plan.config.evaluate.data));
  TRY(read_candidates(tx, plan));
  TRY(read_champion(tx, plan));
  plan.done = list_evaluations(tx, run.id);

  const auto& rule = plan.config.evaluate;
  for (const auto& candidate : plan.candidates) want(plan, "select", "candidate", candidate, rule.select_on);
  if (!plan.todo.empty()) return plan;
  pick(plan);
  if (plan.environment() == nullptr || plan.serves_already()) return plan;
  std::vector<std::string> parts = {rule.test_on};
  if (const auto recent = plan.data.rows.find("recent");
      plan.retraining && plan.champion && recent != plan.data.rows.end() && recent->second > 0)
    parts.emplace_back("recent");
  for (const auto& part : parts) {
    want(plan, "gate", "challenger", *plan.picked, part);
    if (plan.champion) want(plan, "gate", "champion", *plan.champion, part);
  }
  return plan;
}

base::Result<Evaluation> store_evaluation(store::Tx& tx, const EvaluationPlan& plan, const EvaluationTask& task,
                                          const Scores& scores, std::string_view rows_digest,
                                          const blob::BlobInfo& predictions, std::string_view attempt,
                                          const std::optional<blob::BlobInfo>& transform) {
  Evaluation e{.id = tx.ctx().new_id("ev"),
               .run = plan.run,
               .purpose = task.purpose,
               .side = task.side,
               .subject = task.model.subject,
               .model_version = task.model.model_version,
               .data_version = plan.data.id,
               .part = task.part,
               .rows_digest = std::string(rows_digest),
               .rows = scores.rows,
               .metric = plan.config.evaluate.metric,
               .value = scores.value,
               .low = scores.low,
               .high = scores.high,
               .summary = scores.summary,
               .predictions = predictions.sha256.hex(),
               .transform = transform ? transform->sha256.hex() : "",
               .created_us = tx.now_us()};
  const int64_t made = tx.exec(
      "INSERT INTO loop_evaluations (project, id, run, attempt, purpose, side, subject, model_version, data_version, "
      "part, rows_digest, row_count, metric, value, low, high, summary, predictions, created_us, transform)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
      tx.project(), e.id, e.run, attempt, e.purpose, e.side, e.subject, e.model_version, e.data_version, e.part,
      e.rows_digest, e.rows, e.metric, e.value, e.low, e.high, e.summary, e.predictions, e.created_us, e.transform);
  TRY(tx.status());
  if (made == 0) {
    auto rows = tx.query(std::string(kSelect) +
                             "WHERE project = ? AND run = ? AND purpose = ? AND side = ? AND subject = ? AND part = ?",
                         tx.project(), e.run, e.purpose, e.side, e.subject, e.part);
    if (!rows.next()) return base::internal("an evaluation is neither new nor there");
    return read_evaluation(rows);
  }
  TRY(blob::hold_blob(tx, predictions, "evaluation", e.id));
  if (transform) TRY(blob::hold_blob(tx, *transform, "evaluation", e.id));
  core::add_edge(tx, {"data_version", e.data_version}, {"evaluation", e.id}, "input");
  if (e.subject.starts_with("m-")) core::add_edge(tx, {"logged_model", e.subject}, {"evaluation", e.id}, "judged");
  if (!e.model_version.empty()) core::add_edge(tx, {"model_version", e.model_version}, {"evaluation", e.id}, "judged");
  std::string body;
  base::JsonWriter(body)
      .begin_object()
      .field("run", e.run)
      .field("purpose", e.purpose)
      .field("side", e.side)
      .field("model", e.subject)
      .field("part", e.part)
      .field("metric", e.metric)
      .field("value", e.value)
      .end_object();
  core::emit(tx, "evaluation.stored", "evaluation", e.id, body);
  return e;
}

base::Result<Evaluation> get_evaluation(store::Tx& tx, std::string_view id) {
  auto rows = tx.query(std::string(kSelect) + "WHERE project = ? AND id = ?", tx.project(), id);
  if (!rows.next()) return base::not_found("there is no evaluation '" + std::string(id) + "'");
  return read_evaluation(rows);
}

std::vector<Evaluation> list_evaluations(store::Tx& tx, std::string_view run, size_t limit) {
  std::vector<Evaluation> out;
  auto rows = run.empty() ? tx.query(std::string(kSelect) + "WHERE project = ? ORDER BY id DESC LIMIT ?", tx.project(),
                                     static_cast<int64_t>(limit))
                          : tx.query(std::string(kSelect) + "WHERE project = ? AND run = ? ORDER BY id LIMIT ?",
                                     tx.project(), run, static_cast<int64_t>(limit));
  while (rows.next()) out.push_back(read_evaluation(rows));
  return out;
}

std::vector<Evaluation> evaluations_page(store::Tx& tx, std::string_view subject, std::string_view after,
                                         size_t limit) {
  std::vector<Evaluation> out;
  const auto most = static_cast<int64_t>(limit);
  const std::string before = after.empty() ? "ew" : std::string(after);  // ids begin with "ev"
  auto rows =
      subject.empty()
          ? tx.query(std::string(kSelect) + "WHERE project = ? AND id < ? ORDER BY id DESC LIMIT ?", tx.project(),
                     before, most)
          : tx.query(std::string(kSelect) + "WHERE project = ? AND subject = ? AND id < ? ORDER BY id DESC LIMIT ?",
                     tx.project(), subject, before, most);
  while (rows.next()) out.push_back(read_evaluation(rows));
  return out;
}

std::vector<Evaluation> evaluations_of_rows(store::Tx& tx, std::string_view rows_digest, size_t limit) {
  std::vector<Evaluation> out;
  auto rows = tx.query(std::string(kSelect) + "WHERE project = ? AND rows_digest = ? ORDER BY id DESC LIMIT ?",
                       tx.project(), rows_digest, static_cast<int64_t>(limit));
  while (rows.next()) out.push_back(read_evaluation(rows));
  return out;
}

base::Result<blob::Artifact> part_file(store::Tx& tx, std::string_view data_version, std::string_view part) {
  return blob::get_artifact(tx, "data/" + std::string(data_version), std::string(part) + ".csv");
}

}  // namespace loop
