// One run, several side by side, and their curves.
#include <array>
#include <charconv>
#include <cmath>

#include "api/lathe/errors.h"
#include "api/lathe/page_args.h"
#include "api/lathe/pages_runs.h"
#include "api/lathe/pages_runs_json.h"
#include "api/lathe/routes.h"
#include "flow/flow.h"
#include "track/curves.h"
#include "track/experiments.h"
#include "track/history_search.h"

namespace api::lathe {

namespace {

constexpr int64_t kShownChildren = 200, kShownModels = 200;

using store::Tx;

// --- one run ---------------------------------------------------------------------------------------------------------

struct LoggedModel {
  track::ModelInfo info;
  std::vector<track::ModelVersion> versions;
};
struct RunPage {
  track::Run run;
  std::string experiment;
  std::vector<track::MetricSummary> metrics;
  std::vector<LoggedModel> models;
  std::vector<track::ModelVersion> versions;  // registered from the run itself
  std::vector<track::RunInfo> children;
  std::optional<track::RunInfo> parent;
  std::optional<flow::AttemptInfo> attempt;
  bool lost = false;
};

base::Result<RunPage> read_run(Tx& tx, std::string_view id) {
  RunPage out;
  TRY_SET(out.run, track::get_run(tx, id));
  const track::RunInfo& info = out.run.info;
  TRY_SET(const auto experiment, track::get_experiment(tx, std::to_string(info.experiment)));
  out.experiment = experiment.name;
  out.metrics = track::metric_summaries(tx, info);
  for (track::ModelInfo& model : track::models_of_run(tx, info.run_id, kShownModels)) {
    auto versions = track::versions_of(tx, "", model.model_id);
    out.models.push_back({std::move(model), std::move(versions)});
  }
  for (track::ModelVersion& version : track::versions_of(tx, info.run_id, "")) {
    if (version.model_id.empty()) out.versions.push_back(std::move(version));
  }
  out.children = track::child_runs(tx, info.run_id, kShownChildren);
  for (const track::Tag& tag : out.run.tags) {
    if (tag.key != "mlflow.parentRunId") continue;
    if (auto parent = track::get_run_info(tx, tag.value)) out.parent = std::move(*parent);
  }
  if (!info.attempt.empty()) {
    if (auto attempt = flow::past_attempt_info(tx, info.attempt)) out.attempt = std::move(*attempt);
    out.lost = is_lost(tx, info);
  }
  TRY(tx.status());
  return out;
}

void write_pairs(base::JsonWriter& w, std::string_view name, const track::Tags& pairs) {
  w.key(name).begin_array();
  for (const track::Tag& pair : pairs) w.begin_object().field("key", pair.key).field("value", pair.value).end_object();
  w.end_array();
}

void write_number(base::JsonWriter& w, std::string_view name, const std::optional<double>& value) {
  w.key(name);
  value ? w.value(*value) : w.null();
}

void write_metrics(base::JsonWriter& w, const std::vector<track::MetricSummary>& metrics) {
  w.key("metrics").begin_array();
  for (const track::MetricSummary& metric : metrics) {
    w.begin_object().field("key", metric.key).field("last", metric.last).field("step", metric.step);
    w.field("at_ms", metric.at_ms);
    write_number(w, "min", metric.least);
    write_number(w, "max", metric.greatest);
    w.end_object();
  }
  w.end_array();
}

void write_versions(base::JsonWriter& w, const std::vector<track::ModelVersion>& versions) {
  w.key("versions").begin_array();
  for (const track::ModelVersion& version : versions) {
    w.begin_object().field("name", version.name).field("version", version.version).key("aliases").begin_array();
    for (const std::string& alias : version.aliases) w.value(alias);
    w.end_array().end_object();
  }
  w.end_array();
}

void write_models(base::JsonWriter& w, const std::vector<LoggedModel>& models) {
  w.key("models").begin_array();
  for (const LoggedModel& model : models) {
    w.begin_object().field("id", model.info.model_id).field("name", model.info.name);
    w.field("type", model.info.model_type).field("status", track::name(model.info.status));
    w.field("created_ms", model.info.created_ms);
    write_versions(w, model.versions);
    w.end_object();
  }
  w.end_array();
}

constexpr size_t kShownSchema = 64 * 1024;  // of one data set; a longer one is left out

void write_datasets(base::JsonWriter& w, const std::vector<track::DatasetInput>& inputs, bool whole) {
  w.key("datasets").begin_array();
  for (const track::DatasetInput& input : inputs) {
    const track::Dataset& d = input.dataset;
    w.begin_object().field("name", d.name).field("digest", d.digest).field("source_type", d.source_type);
    w.field("source", d.source);
    if (whole && d.schema && d.schema->size() <= kShownSchema) w.field("schema", *d.schema);
    if (whole && d.profile && d.profile->size() <= kShownSchema) w.field("profile", *d.profile);
    for (const track::Tag& tag : input.tags) {
      if (tag.key == "mlflow.data.context") w.field("context", tag.value);
    }
    w.end_object();
  }
  w.end_array();
}

void write_infos(base::JsonWriter& w, std::string_view name, const std::vector<track::RunInfo>& infos) {
  w.key(name).begin_array();
  for (const track::RunInfo& info : infos) {
    w.begin_object();
    write_run_info(w, info);
    w.end_object();
  }
  w.end_array();
}

base::Task<void> get_run(const PageDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("id"));
  const auto found = co_await door.store.read(request.ctx, [&](Tx& tx) { return read_run(tx, id); });
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().key("run").begin_object();
  write_run_info(w, found->run.info);
  if (found->lost) w.field("lost", true);
  w.field("artifact_uri", found->run.info.artifact_uri).field("experiment_name", found->experiment).end_object();
  write_pairs(w, "params", found->run.params);
  write_pairs(w, "tags", found->run.tags);
  write_metrics(w, found->metrics);
  write_datasets(w, found->run.datasets, true);
  write_models(w, found->models);
  write_versions(w, found->versions);
  write_infos(w, "children", found->children);
  if (found->parent) {
    w.key("parent").begin_object();
    write_run_info(w, *found->parent);
    w.end_object();
  }
  if (const auto& attempt = found->attempt) {
    w.key("stage").begin_object().field("pipeline", attempt->pipeline).field("pipeline_run", attempt->run);
    w.field("stage", attempt->stage).field("attempt", attempt->attempt).field("bundle", attempt->bundle).end_object();
  }
  w.end_object();
  response.send_json(std::move(body));
}

// --- side by side ----------------------------------------------------------------------------------------------------

struct Compared {
  track::Run run;
  std::vector<track::MetricSummary> metrics;
  bool lost = false;
};

base::Task<void> get_compare(const PageDoor& door, net::Request& request, net::Response& response) {
  const auto ids = request.query_values("id");
  if (ids.empty() || ids.size() > track::kMaxCompared)
    co_return fail(response, request,
                   {base::Code::kInvalid, "'id' names " + std::to_string(ids.size()) + " runs; from 1 to " +
                                              std::to_string(track::kMaxCompared) + " can be compared"});
  auto read = [&](Tx& tx) -> base::Result<std::vector<Compared>> {
    std::vector<Compared> out;
    for (const std::string& id : ids) {
      auto run = track::get_run(tx, id);
      if (!run && run.error().code == base::Code::kNotFound) continue;
      if (!run) return std::unexpected(run.error());
      auto metrics = track::metric_summaries(tx, run->info);
      const bool lost = is_lost(tx, run->info);
      out.push_back({std::move(*run), std::move(metrics), lost});
    }
    TRY(tx.status());
    return out;
  };
  const auto found = co_await door.store.read(request.ctx, read);
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().key("runs").begin_array();
  for (const Compared& one : *found) {
    w.begin_object();
    write_run_info(w, one.run.info);
    if (one.lost) w.field("lost", true);
    write_pairs(w, "params", one.run.params);
    write_pairs(w, "tags", one.run.tags);
    write_metrics(w, one.metrics);
    write_datasets(w, one.run.datasets, false);
    w.end_object();
  }
  w.end_array().end_object();
  response.send_json(std::move(body));
}

// --- curves ----------------------------------------------------------------------------------------------------------

// Numbers for drawing: a float's digits are more than a screen has.
void append_drawn(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "null";
    return;
  }
  char digits[32];
  const auto shown = std::clamp<double>(value, -3.4028234e38, 3.4028234e38);
  const auto end = std::to_chars(digits, digits + sizeof digits, static_cast<float>(shown)).ptr;
  out.append(digits, end);
}

template <class Append>
void write_list(base::JsonWriter& w, std::string_view name, const track::Curve& curve, Append append) {
  std::string list = "[";
  for (const track::CurvePoint& point : curve.points) {
    if (list.size() > 1) list += ',';
    append(list, point);
  }
  w.key(name).raw(list + "]");
}

void write_curve(base::JsonWriter& w, const track::Curve& curve, bool smoothed) {
  w.begin_object().field("run", curve.run_id).field("key", curve.key).field("start_ms", curve.start_ms);
  w.field("total", curve.total).field("nans", curve.nans).field("sampled", curve.sampled).field("cut", curve.cut);
  write_list(w, "step", curve, [](std::string& out, const auto& p) { out += std::to_string(p.step); });
  write_list(w, "at_ms", curve, [](std::string& out, const auto& p) { out += std::to_string(p.at_ms); });
  write_list(w, "value", curve, [](std::string& out, const auto& p) { append_drawn(out, p.value); });
  if (smoothed) write_list(w, "smooth", curve, [](std::string& out, const auto& p) { append_drawn(out, p.smooth); });
  w.end_object();
}

base::Task<void> get_curves(const PageDoor& door, net::Request& request, net::Response& response) {
  static constexpr std::array<std::string_view, 2> kAxes = {"step", "time"};
  PageArgs args(request);
  track::CurveQuery query;
  query.run_ids = args.texts("run");
  query.keys = args.texts("key");
  query.axis = args.choice("axis", kAxes) == "step" ? track::CurveAxis::kStep : track::CurveAxis::kTime;
  query.pixels = args.integer("pixels", 800, 1, track::kMaxPixels);
  query.from = args.integer("from");
  query.to = args.integer("to");
  query.smooth = args.number("smooth", 0);
  if (const auto good = args.status(); !good) co_return fail(response, request, good.error());
  const auto found = co_await door.store.read(request.ctx, [&](Tx& tx) { return track::curves(tx, query); });
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().key("curves").begin_array();
  for (const track::Curve& curve : *found) write_curve(w, curve, query.smooth > 0);
  w.end_array().end_object();
  response.send_json(std::move(body));
}

base::Task<void> get_history(const PageDoor& door, net::Request& request, net::Response& response) {
  PageArgs args(request);
  track::HistorySearch search{.run_id = args.text("run"),
                              .keys = args.texts("key"),
                              .filter = args.text("q"),
                              .max_results = args.integer("limit", 1000, 1, track::kMaxHistoryMatches)};
  if (const auto good = args.status(); !good) co_return fail(response, request, good.error());
  const auto found = co_await door.store.read(request.ctx, [&](Tx& tx) { return track::search_history(tx, search); });
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().key("points").begin_array();
  for (const track::Metric& point : found->points) {
    w.begin_object().field("key", point.key).field("step", point.step).field("at_ms", point.at_ms);
    w.field("value", point.value).end_object();
  }
  w.end_array().field("scanned", found->scanned).field("more", found->more).end_object();
  response.send_json(std::move(body));
}

}  // namespace

bool is_lost(store::Tx& tx, const track::RunInfo& info) {
  return info.status == track::RunStatus::kRunning && !info.attempt.empty() && flow::attempt_ended(tx, info.attempt);
}

void add_pages_run_routes(net::RouteTable& routes, const PageDoor& door) {
  const auto add = page_adder(routes, door);
  add("/runs/curves", get_curves);
  add("/runs/compare", get_compare);
  add("/runs/history", get_history);
  add("/runs/{id}", get_run);
}

}  // namespace api::lathe
