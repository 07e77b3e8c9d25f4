#include "api/mlflow/door.h"
#include "api/mlflow/json.h"
#include "track/models.h"
#include "track/search.h"

namespace api::mlflow {

using base::JsonWriter;
using net::Method;
using store::Tx;

namespace {

track::NewModel parse_create(Args& args) {
  track::NewModel model;
  model.experiment_id = args.required_text("experiment_id");
  model.name = args.text("name");
  model.model_type = args.text("model_type");
  model.source_run_id = args.text("source_run_id");
  model.params = args.unique_tags("params");
  model.tags = args.unique_tags("tags");
  return model;
}

struct ModelCall {
  std::string model_id;
  track::Tags tags;
  std::string key;
  bool allow_deleted = false;
  track::ModelStatus status = track::ModelStatus::kUnspecified;
};

ModelCall parse_id(Args& args) {
  ModelCall in;
  in.model_id = args.path_param("model_id");
  return in;
}

// The path says which model; upstream wants its id in the body as well.
ModelCall parse_id_in_both(Args& args) {
  args.required_text("model_id");
  return parse_id(args);
}

ModelCall parse_finalize(Args& args) {
  ModelCall in = parse_id_in_both(args);
  static constexpr std::string_view kNames[] = {"LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY",
                                                "LOGGED_MODEL_UPLOAD_FAILED"};
  if (!args.has("status")) args.missing("status");
  if (const auto number = args.choice("status", kNames, 1)) in.status = static_cast<track::ModelStatus>(*number);
  return in;
}

track::ModelSearch parse_search(Args& args) {
  track::ModelSearch search;
  search.experiment_ids = args.texts("experiment_ids");
  if (search.experiment_ids.empty() && !args.has("experiment_ids")) args.missing("experiment_ids");
  search.filter = args.text("filter");
  const auto datasets = args.objects("datasets");
  for (size_t i = 0; i < datasets.size(); ++i) {
    const std::string where = "datasets[" + std::to_string(i) + "]";
    search.datasets.push_back({args.text_in(*datasets[i], "dataset_name", where, false),
                               args.text_in(*datasets[i], "dataset_digest", where, false)});
  }
  if (const auto limit = args.integer("max_results"); limit && *limit != 0) search.max_results = *limit;
  const auto order = args.objects("order_by");
  for (size_t i = 0; i < order.size(); ++i) {
    const std::string where = "order_by[" + std::to_string(i) + "]";
    track::ModelOrder& by = search.order_by.emplace_back();
    by.field = args.text_in(*order[i], "field_name", where, true);
    by.ascending = args.boolean_in(*order[i], "ascending", where, true);
    by.dataset_name = args.text_in(*order[i], "dataset_name", where, false);
    by.dataset_digest = args.text_in(*order[i], "dataset_digest", where, false);
  }
  search.page_token = args.text("page_token");
  return search;
}

void render_model(JsonWriter& out, const track::Model& model) {
  out.key("model");
  write(out, model);
}

void render_page(JsonWriter& out, const track::Page<track::Model>& page) {
  if (!page.rows.empty()) {
    out.key("models").begin_array();
    for (const track::Model& model : page.rows) write(out, model);
    out.end_array();
  }
  if (!page.next_token.empty()) out.field("next_page_token", page.next_token);
}

}  // namespace

void add_logged_model_routes(Door& door) {
  door.write(Method::kPost, "logged-models", parse_create, track::create_model, render_model);
  door.read(Method::kPost, "logged-models/search", parse_search, track::search_models, render_page);
  door.point(
      Method::kGet, "logged-models/{model_id}",
      [](Args& args) {
        ModelCall in = parse_id(args);
        in.allow_deleted = args.boolean("allow_deleted").value_or(false);
        return in;
      },
      [](Tx& tx, const ModelCall& in) { return track::get_model(tx, in.model_id, in.allow_deleted); }, render_model);
  door.write(
      Method::kPatch, "logged-models/{model_id}", parse_finalize,
      [](Tx& tx, const ModelCall& in) { return track::finalize_model(tx, in.model_id, in.status); }, render_model);
  door.write(Method::kDelete, "logged-models/{model_id}", parse_id,
             [](Tx& tx, const ModelCall& in) { return track::delete_model(tx, in.model_id); });
  door.write(
      Method::kPatch, "logged-models/{model_id}/tags",
      [](Args& args) {
        ModelCall in = parse_id(args);
        in.tags = args.tags("tags");
        return in;
      },
      [](Tx& tx, const ModelCall& in) { return track::set_model_tags(tx, in.model_id, in.tags); });
  door.write(
      Method::kDelete, "logged-models/{model_id}/tags/{key...}",
      [](Args& args) {
        ModelCall in = parse_id(args);
        in.key = args.path_param("key");
        return in;
      },
      [](Tx& tx, const ModelCall& in) { return track::delete_model_tag(tx, in.model_id, in.key); });
  door.write(
      Method::kPost, "logged-models/{model_id}/params",
      [](Args& args) {
        ModelCall in = parse_id_in_both(args);
        in.tags = args.tags("params");
        return in;
      },
      [](Tx& tx, const ModelCall& in) { return track::log_model_params(tx, in.model_id, in.tags); });
}

}  // namespace api::mlflow
