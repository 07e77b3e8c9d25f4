#include "api/lathe/loop_json.h"

namespace api::lathe {

namespace {

void write_or_null(base::JsonWriter& w, std::string_view key, const std::string& text) {
  w.key(key);
  if (text.empty()) {
    w.null();
  } else {
    w.value(text);
  }
}

void write_work(base::JsonWriter& w, const PlannedWork& work) {
  const auto& task = work.task;
  w.begin_object()
      .field("purpose", task.purpose)
      .field("side", task.side)
      .field("part", task.part)
      .field("model", task.model.subject);
  write_or_null(w, "model_version", task.model.model_version);
  write_or_null(w, "transform", task.model.transform_digest);
  w.key("rows").begin_object().field("digest", work.rows.digest.hex()).field("size", work.rows.size).end_object();
  w.key("files").begin_array();
  for (const auto& file : work.files)
    w.begin_object().field("path", file.path).field("digest", file.digest.hex()).field("size", file.size).end_object();
  w.end_array().end_object();
}

void write_node(base::JsonWriter& w, const core::Node& node) {
  w.begin_object().field("kind", node.kind).field("id", node.id).end_object();
}

}  // namespace

void write_plan(base::JsonWriter& w, const loop::EvaluationPlan& plan, const std::vector<PlannedWork>& todo) {
  w.begin_object()
      .field("run", plan.run)
      .field("pipeline", plan.pipeline)
      .field("cause", plan.cause)
      .field("retraining", plan.retraining);
  w.field("metric", plan.config.evaluate.metric);
  w.field("calibrate", plan.config.model ? stats::name(plan.config.model->calibrate) : "none");
  w.key("data")
      .begin_object()
      .field("name", plan.data.name)
      .field("version", plan.data.id)
      .field("number", plan.data.number)
      .field("label", plan.data.label);
  w.key("features").begin_array();
  for (const auto& feature : plan.data.features) w.value(feature);
  w.end_array().end_object();
  w.key("candidates").begin_array();
  for (const auto& candidate : plan.candidates) {
    w.begin_object()
        .field("model", candidate.subject)
        .field("stage", candidate.stage)
        .field("run_id", candidate.run_id);
    for (const auto& e : plan.done) {
      if (e.purpose == "select" && e.subject == candidate.subject)
        w.field("value", e.value).field("low", e.low).field("high", e.high).field("part", e.part).field("rows", e.rows);
    }
    w.end_object();
  }
  w.end_array();
  write_or_null(w, "picked", plan.picked ? plan.picked->subject : "");
  write_or_null(w, "champion", plan.champion ? plan.champion->model_version : "");
  w.field("serves_already", plan.serves_already());
  w.key("todo").begin_array();
  for (const auto& work : todo) write_work(w, work);
  w.end_array().end_object();
}

void write_evaluation(base::JsonWriter& w, const loop::Evaluation& e, bool with_summary) {
  w.begin_object()
      .field("id", e.id)
      .field("run", e.run)
      .field("purpose", e.purpose)
      .field("side", e.side)
      .field("model", e.subject);
  write_or_null(w, "model_version", e.model_version);
  w.field("data_version", e.data_version)
      .field("part", e.part)
      .field("rows_sha256", e.rows_digest)
      .field("rows", e.rows);
  w.field("metric", e.metric)
      .field("value", e.value)
      .field("low", e.low)
      .field("high", e.high)
      .field("predictions", e.predictions)
      .field("created_us", e.created_us);
  if (with_summary) w.key("summary").raw(e.summary);
  w.end_object();
}

void write_verdict(base::JsonWriter& w, const loop::Verdict& v) {
  w.begin_object()
      .field("id", v.id)
      .field("run", v.run)
      .field("pipeline", v.pipeline)
      .field("environment", v.environment)
      .field("endpoint", v.endpoint);
  w.field("model", v.model).field("challenger", v.challenger);
  write_or_null(w, "champion", v.champion);
  w.field("champion_revision", v.champion_revision)
      .field("kind", v.kind)
      .field("passed", v.passed)
      .field("reason", v.reason)
      .field("at_us", v.at_us);
  w.key("numbers").raw(v.numbers).end_object();
}

void write_promotion(base::JsonWriter& w, const loop::Promotion& p) {
  w.begin_object()
      .field("endpoint", p.endpoint)
      .field("revision", p.revision)
      .field("previous", p.previous)
      .field("kind", p.kind);
  write_or_null(w, "verdict", p.verdict);
  w.field("model", p.model).field("version", p.version).field("actor", p.actor).field("at_us", p.at_us).end_object();
}

void write_retraining(base::JsonWriter& w, const loop::Retraining& r) {
  w.begin_object()
      .field("alert", r.alert)
      .field("endpoint", r.endpoint)
      .field("run", r.run)
      .field("labels", r.labels)
      .field("at_us", r.at_us)
      .end_object();
}

void write_lineage(base::JsonWriter& w, const loop::LineageGraph& graph) {
  w.begin_object().key("start");
  write_node(w, graph.start);
  w.key("nodes").begin_array();
  for (const auto& node : graph.nodes) {
    w.begin_object().field("kind", node.node.kind).field("id", node.node.id).key("facts").begin_object();
    for (const auto& [key, value] : node.facts) w.field(key, value);
    w.end_object().end_object();
  }
  w.end_array().key("edges").begin_array();
  for (const auto& edge : graph.edges) {
    w.begin_object().key("from");
    write_node(w, edge.from);
    w.key("to");
    write_node(w, edge.to);
    w.field("role", edge.role).field("at_us", edge.at_us).end_object();
  }
  w.end_array().field("truncated", graph.truncated).end_object();
}

}  // namespace api::lathe
