#include "api/mlflow/json.h"

namespace api::mlflow {

using base::JsonWriter;

namespace {

std::string_view stage(bool deleted) { return deleted ? "deleted" : "active"; }

void write_tag(JsonWriter& json, std::string_view key, std::string_view value) {
  json.begin_object().field("key", key).field("value", value).end_object();
}

void write_metrics(JsonWriter& json, const std::vector<track::Metric>& metrics) {
  if (metrics.empty()) return;
  json.key("metrics").begin_array();
  for (const track::Metric& metric : metrics) write(json, metric);
  json.end_array();
}

void write_inputs(JsonWriter& json, const track::Run& run) {
  json.key("inputs").begin_object();
  if (!run.datasets.empty()) {
    json.key("dataset_inputs").begin_array();
    for (const track::DatasetInput& input : run.datasets) {
      json.begin_object();
      write_tags(json, "tags", input.tags);
      const track::Dataset& dataset = input.dataset;
      json.key("dataset").begin_object().field("name", dataset.name).field("digest", dataset.digest);
      json.field("source_type", dataset.source_type).field("source", dataset.source);
      if (dataset.schema && !dataset.schema->empty()) json.field("schema", *dataset.schema);
      if (dataset.profile && !dataset.profile->empty()) json.field("profile", *dataset.profile);
      json.end_object().end_object();
    }
    json.end_array();
  }
  if (!run.model_inputs.empty()) {
    json.key("model_inputs").begin_array();
    for (const std::string& model : run.model_inputs) json.begin_object().field("model_id", model).end_object();
    json.end_array();
  }
  json.end_object();
}

void write_outputs(JsonWriter& json, const track::Run& run) {
  json.key("outputs").begin_object();
  if (!run.model_outputs.empty()) {
    json.key("model_outputs").begin_array();
    for (const track::ModelOutput& model : run.model_outputs) {
      json.begin_object().field("model_id", model.model_id).field("step", model.step).end_object();
    }
    json.end_array();
  }
  json.end_object();
}

}  // namespace

void write_tags(JsonWriter& json, std::string_view field, const track::Tags& tags) {
  if (tags.empty()) return;
  json.key(field).begin_array();
  for (const track::Tag& tag : tags) write_tag(json, tag.key, tag.value);
  json.end_array();
}

void write(JsonWriter& json, const track::Experiment& experiment) {
  json.begin_object();
  json.field("experiment_id", std::to_string(experiment.id)).field("name", experiment.name);
  json.field("artifact_location", experiment.artifact_location).field("lifecycle_stage", stage(experiment.deleted));
  if (experiment.updated_ms) json.field("last_update_time", experiment.updated_ms);
  if (experiment.created_ms) json.field("creation_time", experiment.created_ms);
  write_tags(json, "tags", experiment.tags);
  json.field("workspace", experiment.workspace).end_object();
}

void write(JsonWriter& json, const track::RunInfo& info) {
  json.begin_object().field("run_uuid", info.run_id).field("experiment_id", std::to_string(info.experiment));
  json.field("run_name", info.name).field("user_id", info.user_id).field("status", track::name(info.status));
  json.field("start_time", info.start_ms);
  if (info.end_ms && *info.end_ms) json.field("end_time", *info.end_ms);
  json.field("artifact_uri", info.artifact_uri).field("lifecycle_stage", stage(info.deleted));
  json.field("run_id", info.run_id).end_object();
}

void write(JsonWriter& json, const track::Run& run, bool with_outputs) {
  json.begin_object().key("info");
  write(json, run.info);
  json.key("data").begin_object();
  write_metrics(json, run.metrics);
  write_tags(json, "params", run.params);
  write_tags(json, "tags", run.tags);
  json.end_object();
  write_inputs(json, run);
  if (with_outputs) write_outputs(json, run);
  json.end_object();
}

void write(JsonWriter& json, const track::Metric& metric) {
  json.begin_object().field("key", metric.key).field("value", metric.value).field("timestamp", metric.at_ms);
  json.field("step", metric.step);
  if (!metric.dataset_name.empty()) json.field("dataset_name", metric.dataset_name);
  if (!metric.dataset_digest.empty()) json.field("dataset_digest", metric.dataset_digest);
  if (!metric.model_id.empty()) json.field("model_id", metric.model_id);
  if (!metric.run_id.empty()) json.field("run_id", metric.run_id);
  json.end_object();
}

void write(JsonWriter& json, const track::Model& model) {
  const track::ModelInfo& info = model.info;
  json.begin_object().key("info").begin_object();
  json.field("model_id", info.model_id).field("experiment_id", std::to_string(info.experiment));
  json.field("name", info.name).field("creation_timestamp_ms", info.created_ms);
  json.field("last_updated_timestamp_ms", info.updated_ms).field("artifact_uri", info.artifact_uri);
  json.field("status", track::name(info.status)).field("model_type", info.model_type);
  json.field("source_run_id", info.source_run_id);
  write_tags(json, "tags", model.tags);
  json.end_object().key("data").begin_object();
  write_tags(json, "params", model.params);
  write_metrics(json, model.metrics);
  json.end_object().end_object();
}

void write(JsonWriter& json, const track::ModelVersion& version) {
  json.begin_object().field("name", version.name).field("version", std::to_string(version.version));
  json.field("creation_timestamp", version.created_ms).field("last_updated_timestamp", version.updated_ms);
  json.field("current_stage", version.stage);
  if (version.description) json.field("description", *version.description);
  json.field("source", version.source).field("run_id", version.run_id).field("status", "READY");
  if (!version.tags.empty()) {
    json.key("tags").begin_array();
    for (const auto& [key, value] : version.tags) write_tag(json, key, value);
    json.end_array();
  }
  json.field("run_link", version.run_link);
  if (!version.aliases.empty()) {
    json.key("aliases").begin_array();
    for (const std::string& alias : version.aliases) json.value(alias);
    json.end_array();
  }
  json.end_object();  // as upstream, without model_id: the client asks the logged model's tags
}

void write(JsonWriter& json, const track::RegisteredModel& model) {
  json.begin_object().field("name", model.name).field("creation_timestamp", model.created_ms);
  json.field("last_updated_timestamp", model.updated_ms);
  if (model.description && !model.description->empty()) json.field("description", *model.description);
  if (!model.latest_versions.empty()) {
    json.key("latest_versions").begin_array();
    for (const track::ModelVersion& version : model.latest_versions) write(json, version);
    json.end_array();
  }
  write_tags(json, "tags", model.tags);
  if (!model.aliases.empty()) {
    json.key("aliases").begin_array();
    for (const auto& [alias, version] : model.aliases) {
      json.begin_object().field("alias", alias).field("version", std::to_string(version)).end_object();
    }
    json.end_array();
  }
  json.end_object();
}

}  // namespace api::mlflow
