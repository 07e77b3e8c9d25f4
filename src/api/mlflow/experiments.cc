#include "track/experiments.h"

#include "api/mlflow/door.h"
#include "api/mlflow/json.h"
#include "track/search.h"

namespace api::mlflow {

using base::JsonWriter;
using base::Result;
using net::Method;
using store::Tx;

namespace {

constexpr int64_t kDefaultPage = 400;  // of a search without max_results

track::NewExperiment parse_create(Args& args, const LocationPolicy& policy, const std::string& root) {
  track::NewExperiment experiment{.name = args.required_text("name"),
                                  .artifact_location = args.text("artifact_location"),
                                  .default_root = {},
                                  .tags = args.unique_tags("tags")};
  if (experiment.artifact_location.empty()) experiment.default_root = root;
  const auto fits = policy.check_scheme(experiment.artifact_location, "artifact_location");
  if (!fits) args.fail(fits.error());
  return experiment;
}

std::string parse_id(Args& args) { return args.required_text("experiment_id"); }

void render_experiment(JsonWriter& json, const track::Experiment& experiment) {
  json.key("experiment");
  write(json, experiment);
}

struct Rename {
  std::string id, name;
};

struct TagOf {
  std::string id;
  track::Tag tag;
};

track::ExperimentSearch parse_search(Args& args, bool from_query) {
  track::ExperimentSearch search;
  search.view = parse_view(args, "view_type");
  search.max_results = args.integer("max_results").value_or(from_query ? kDefaultPage : 0);
  search.order_by = args.texts("order_by");
  search.filter = args.text("filter");
  search.page_token = args.text("page_token");
  return search;
}

void render_page(JsonWriter& json, const track::Page<track::Experiment>& page) {
  if (!page.rows.empty()) {
    json.key("experiments").begin_array();
    for (const track::Experiment& experiment : page.rows) write(json, experiment);
    json.end_array();
  }
  if (!page.next_token.empty()) json.field("next_page_token", page.next_token);
}

void render_datasets(JsonWriter& json, const std::vector<track::DatasetSummary>& datasets) {
  if (datasets.empty()) return;
  json.key("dataset_summaries").begin_array();
  for (const track::DatasetSummary& dataset : datasets) {
    json.begin_object().field("experiment_id", std::to_string(dataset.experiment)).field("name", dataset.name);
    json.field("digest", dataset.digest);
    if (!dataset.context.empty()) json.field("context", dataset.context);
    json.end_object();
  }
  json.end_array();
}

std::vector<std::string> parse_dataset_search(Args& args) {
  constexpr size_t kMaxExperiments = 20;
  auto ids = args.texts("experiment_ids");
  if (ids.empty()) {
    args.fail({base::Code::kInvalid, "SearchDatasets request must specify at least one experiment_id."});
  } else if (ids.size() > kMaxExperiments) {
    args.fail({base::Code::kInvalid, "SearchDatasets request cannot specify more than 20 experiment_ids. Received " +
                                         std::to_string(ids.size()) + " experiment_ids."});
  }
  return ids;
}

}  // namespace

void add_experiment_routes(Door& door) {
  door.write(
      Method::kPost, "experiments/create",
      [options = door.options()](Args& args) {
        return parse_create(args, *options.locations, options.default_artifact_root);
      },
      track::create_experiment, [](JsonWriter& json, int64_t id) { json.field("experiment_id", std::to_string(id)); });
  door.point(Method::kGet, "experiments/get", parse_id, track::get_experiment, render_experiment);
  door.point(
      Method::kGet, "experiments/get-by-name", [](Args& args) { return args.required_text("experiment_name"); },
      track::get_experiment_by_name, render_experiment);
  door.write(Method::kPost, "experiments/delete", parse_id, track::delete_experiment);
  door.write(Method::kPost, "experiments/restore", parse_id, track::restore_experiment);
  door.write(
      Method::kPost, "experiments/update",
      [](Args& args) -> Rename { return {args.required_text("experiment_id"), args.required_text("new_name")}; },
      [](Tx& tx, const Rename& in) { return track::rename_experiment(tx, in.id, in.name); });
  door.write(
      Method::kPost, "experiments/set-experiment-tag",
      [](Args& args) -> TagOf {
        return {args.required_text("experiment_id"), {args.required_text("key"), args.text("value")}};
      },
      [](Tx& tx, const TagOf& in) { return track::set_experiment_tag(tx, in.id, in.tag); });
  door.write(
      Method::kPost, "experiments/delete-experiment-tag",
      [](Args& args) -> TagOf { return {args.required_text("experiment_id"), {args.required_text("key"), ""}}; },
      [](Tx& tx, const TagOf& in) { return track::delete_experiment_tag(tx, in.id, in.tag.key); });
  door.read(
      Method::kPost, "experiments/search", [](Args& args) { return parse_search(args, false); },
      track::search_experiments, render_page);
  door.read(
      Method::kGet, "experiments/search", [](Args& args) { return parse_search(args, true); },
      track::search_experiments, render_page);
  door.read(Method::kPost, "experiments/search-datasets", parse_dataset_search, track::search_datasets,
            render_datasets);
}

}  // namespace api::mlflow
