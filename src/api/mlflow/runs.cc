#include "track/runs.h"

#include "api/mlflow/door.h"
#include "api/mlflow/json.h"
#include "track/search.h"

namespace api::mlflow {

namespace json = base::json;
using base::JsonWriter;
using base::Result;
using net::Method;
using store::Tx;

namespace {

track::NewRun parse_create(Args& args) {
  track::NewRun run;
  run.experiment_id = args.text("experiment_id");
  run.start_ms = args.integer("start_time").value_or(0);
  run.name = args.text("run_name");
  run.user_id = args.text("user_id");
  run.tags = args.unique_tags("tags");
  return run;
}

std::string parse_run_id(Args& args) { return args.run_id(); }

std::optional<track::RunStatus> parse_status(Args& args) {
  static constexpr std::string_view kNames[] = {"RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"};
  const auto number = args.choice("status", kNames, 1);
  return number ? track::run_status(*number) : std::nullopt;
}

track::RunUpdate parse_update(Args& args) {
  track::RunUpdate update;
  update.run_id = args.run_id();
  update.end_ms = args.integer("end_time");
  update.status = parse_status(args);
  update.name = args.optional_text("run_name");
  return update;
}

track::Batch parse_param(Args& args) {
  track::Batch batch{.run_id = args.run_id(), .metrics = {}, .params = {}, .tags = {}, .single = true};
  std::string key = args.required_text("key");
  batch.params.push_back({std::move(key), args.text("value")});
  return batch;
}

track::Batch parse_tag(Args& args) {
  track::Batch batch{.run_id = args.run_id(), .metrics = {}, .params = {}, .tags = {}, .single = true};
  std::string key = args.required_text("key");
  batch.tags.push_back({std::move(key), args.text("value")});
  return batch;
}

track::Metric parse_metric_in(Args& args, const json::object& object, std::string_view where) {
  track::Metric metric;
  metric.key = args.text_in(object, "key", where, true);
  metric.value = args.number_in(object, "value", where);
  const auto at_ms = args.integer_in(object, "timestamp", where);
  if (!at_ms) args.missing(where.empty() ? "timestamp" : std::string(where) + ".timestamp");
  metric.at_ms = at_ms.value_or(0);
  metric.step = args.integer_in(object, "step", where).value_or(0);
  metric.model_id = args.text_in(object, "model_id", where, false);
  metric.dataset_name = args.text_in(object, "dataset_name", where, false);
  metric.dataset_digest = args.text_in(object, "dataset_digest", where, false);
  if (metric.dataset_name.empty() != metric.dataset_digest.empty())
    args.fail({base::Code::kInvalid, "Both dataset_name and dataset_digest must be provided if one is provided"});
  return metric;
}

track::Batch parse_metric(Args& args) {
  track::Batch batch{.run_id = args.run_id(), .metrics = {}, .params = {}, .tags = {}, .single = true};
  batch.metrics.push_back(parse_metric_in(args, args.root(), ""));
  return batch;
}

track::Batch parse_batch(Args& args) {
  track::Batch batch{.run_id = args.run_id(), .metrics = {}, .params = {}, .tags = {}, .single = false};
  const auto metrics = args.objects("metrics");
  batch.metrics.reserve(metrics.size());
  for (size_t i = 0; i < metrics.size() && !args.error(); ++i) {
    batch.metrics.push_back(parse_metric_in(args, *metrics[i], "metrics[" + std::to_string(i) + "]"));
  }
  batch.params = args.tags("params");
  batch.tags = args.tags("tags");
  return batch;
}

struct TagKey {
  std::string run_id, key;
};

track::DatasetInput parse_dataset(Args& args, const json::object& object, const std::string& where) {
  track::DatasetInput input;
  const json::value* dataset = object.if_contains("dataset");
  if (!dataset || !dataset->is_object()) {
    args.fail({base::Code::kInvalid, "Dataset cannot be None"});
    return input;
  }
  const json::object& fields = dataset->as_object();
  const std::string path = where + ".dataset";
  input.dataset.name = args.text_in(fields, "name", path, true);
  input.dataset.digest = args.text_in(fields, "digest", path, true);
  input.dataset.source_type = args.text_in(fields, "source_type", path, true);
  input.dataset.source = args.text_in(fields, "source", path, true);
  input.dataset.schema = args.optional_text_in(fields, "schema", path);
  input.dataset.profile = args.optional_text_in(fields, "profile", path);
  const json::value* tags = object.if_contains("tags");
  if (!tags || tags->is_null()) return input;
  if (!tags->is_array()) {
    args.wrong(where + ".tags", *tags);
    return input;
  }
  for (const json::value& tag : tags->as_array()) {
    const std::string tag_path = where + ".tags[" + std::to_string(input.tags.size()) + "]";
    if (!tag.is_object()) {
      args.wrong(tag_path, tag);
      return input;
    }
    std::string key = args.text_in(tag.as_object(), "key", tag_path, true);
    input.tags.push_back({std::move(key), args.text_in(tag.as_object(), "value", tag_path, false)});
  }
  return input;
}

track::RunInputs parse_inputs(Args& args) {
  track::RunInputs inputs;
  inputs.run_id = args.run_id();
  const auto datasets = args.objects("datasets");
  for (size_t i = 0; i < datasets.size(); ++i) {
    inputs.datasets.push_back(parse_dataset(args, *datasets[i], "datasets[" + std::to_string(i) + "]"));
  }
  const auto models = args.objects("models");
  for (size_t i = 0; i < models.size(); ++i) {
    inputs.models.push_back(args.text_in(*models[i], "model_id", "models[" + std::to_string(i) + "]", true));
  }
  return inputs;
}

track::RunOutputs parse_outputs(Args& args) {
  track::RunOutputs outputs;
  outputs.run_id = args.run_id();
  const auto models = args.objects("models");
  if (!args.has("models")) args.missing("models");
  for (size_t i = 0; i < models.size(); ++i) {
    const std::string where = "models[" + std::to_string(i) + "]";
    std::string id = args.text_in(*models[i], "model_id", where, true);
    outputs.models.push_back({std::move(id), args.integer_in(*models[i], "step", where).value_or(0)});
  }
  return outputs;
}

// runs/log-model of clients before MLflow 3: the run keeps the models' descriptions in a tag, a JSON list.
struct LoggedModelJson {
  std::string run_id;
  std::string entry;
};

LoggedModelJson parse_log_model(Args& args) {
  LoggedModelJson in{.run_id = args.run_id(), .entry = ""};
  const std::string text = args.required_text("model_json");
  if (args.error()) return in;
  const auto model = base::parse_json(text);
  if (!model || !model->is_object()) {
    args.fail({base::Code::kInvalid, "Malformed model info. \n " + text + " \n is not a valid JSON."});
    return in;
  }
  std::string missing;
  for (const std::string_view field : {"artifact_path", "flavors", "utc_time_created", "run_id"}) {
    if (!model->as_object().contains(field)) missing.append(missing.empty() ? "'" : ", '").append(field).append("'");
  }
  if (!missing.empty()) {
    args.fail({base::Code::kInvalid, "Model json is missing mandatory fields: {" + missing + "}"});
    return in;
  }
  json::object kept;
  // What upstream keeps of a model in the tag.
  for (const std::string_view field : {"run_id", "artifact_path", "utc_time_created", "model_uuid", "flavors"}) {
    if (const json::value* value = model->as_object().if_contains(field)) kept[field] = *value;
  }
  in.entry = base::to_text(kept);
  return in;
}

Result<void> log_model(Tx& tx, const LoggedModelJson& in) {
  constexpr std::string_view kTag = "mlflow.log-model.history";
  TRY_SET(const track::Run run, track::get_run(tx, in.run_id));
  json::array list;
  for (const track::Tag& tag : run.tags) {
    if (tag.key != kTag) continue;
    const auto before = base::parse_json(tag.value);
    if (before && before->is_array()) list = before->as_array();
  }
  TRY_SET(json::value entry, base::parse_json(in.entry));
  list.push_back(std::move(entry));
  return track::log_batch(tx, {.run_id = in.run_id,
                               .metrics = {},
                               .params = {},
                               .tags = {{std::string(kTag), base::to_text(json::value(list))}},
                               .single = true});
}

track::RunSearch parse_search(Args& args) {
  track::RunSearch search;
  search.experiment_ids = args.texts("experiment_ids");
  search.filter = args.text("filter");
  search.view = parse_view(args, "run_view_type");
  search.max_results = args.integer("max_results").value_or(1000);
  search.order_by = args.texts("order_by");
  search.page_token = args.text("page_token");
  if (search.max_results > track::kMaxRunsPage) {
    args.fail({base::Code::kInvalid, "Invalid value " + std::to_string(search.max_results) +
                                         " for parameter 'max_results' supplied: it must be at most " +
                                         std::to_string(track::kMaxRunsPage) + "." + std::string(kSeeDocs)});
  }
  return search;
}

void render_page(JsonWriter& out, const track::Page<track::Run>& page) {
  if (!page.rows.empty()) {
    out.key("runs").begin_array();
    for (const track::Run& run : page.rows) write(out, run);
    out.end_array();
  }
  if (!page.next_token.empty()) out.field("next_page_token", page.next_token);
}

}  // namespace

void add_run_routes(Door& door) {
  door.write(Method::kPost, "runs/create", parse_create, track::create_run, [](JsonWriter& out, const track::Run& run) {
    out.key("run");
    write(out, run, false);
  });
  door.write(Method::kPost, "runs/update", parse_update, track::update_run,
             [](JsonWriter& out, const track::RunInfo& info) {
               out.key("run_info");
               write(out, info);
             });
  door.write(Method::kPost, "runs/delete", parse_run_id, track::delete_run);
  door.write(Method::kPost, "runs/restore", parse_run_id, track::restore_run);
  door.point(Method::kGet, "runs/get", parse_run_id, track::get_run, [](JsonWriter& out, const track::Run& run) {
    out.key("run");
    write(out, run);
  });
  door.write(Method::kPost, "runs/log-metric", parse_metric, track::log_batch);
  door.write(Method::kPost, "runs/log-parameter", parse_param, track::log_batch);
  door.write(Method::kPost, "runs/set-tag", parse_tag, track::log_batch);
  door.write(Method::kPost, "runs/log-batch", parse_batch, track::log_batch);
  door.write(
      Method::kPost, "runs/delete-tag", [](Args& args) -> TagKey { return {args.run_id(), args.required_text("key")}; },
      [](Tx& tx, const TagKey& in) { return track::delete_run_tag(tx, in.run_id, in.key); });
  door.write(Method::kPost, "runs/log-inputs", parse_inputs, track::log_inputs, Nothing{}, kInputsBody);
  door.write(Method::kPost, "runs/outputs", parse_outputs, track::log_outputs);
  door.write(Method::kPost, "runs/log-model", parse_log_model, log_model);
  door.read(Method::kPost, "runs/search", parse_search, track::search_runs, render_page);
}

}  // namespace api::mlflow
