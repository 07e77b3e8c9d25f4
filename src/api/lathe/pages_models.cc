#include "api/lathe/pages_models.h"

#include "api/lathe/errors.h"
#include "api/lathe/loop_json.h"
#include "api/lathe/page_args.h"
#include "api/lathe/routes.h"
#include "loop/model_view.h"
#include "track/validate.h"

namespace api::lathe {

namespace {

using store::Tx;

void write_optional(base::JsonWriter& w, std::string_view key, const std::optional<std::string>& text) {
  w.key(key);
  text ? w.value(*text) : w.null();
}

void write_deployed(base::JsonWriter& w, const std::vector<loop::Deployed>& all) {
  w.key("deployed").begin_array();
  for (const loop::Deployed& one : all) {
    w.begin_object().field("endpoint", one.endpoint).field("environment", one.environment);
    w.field("revision", one.revision).field("version", one.version).field("live", one.live);
    w.field("since_us", one.since_us).end_object();
  }
  w.end_array();
}

void write_evaluation_or_null(base::JsonWriter& w, const std::optional<loop::Evaluation>& evaluation) {
  w.key("evaluation");
  evaluation ? write_evaluation(w, *evaluation, false) : static_cast<void>(w.null());
}

void write_verdict_or_null(base::JsonWriter& w, const std::optional<loop::Verdict>& verdict) {
  w.key("verdict");
  verdict ? write_verdict(w, *verdict) : static_cast<void>(w.null());
}

void write_model(base::JsonWriter& w, const track::RegisteredModel& model) {  // fields of an open object
  w.field("name", model.name).field("created_ms", model.created_ms).field("updated_ms", model.updated_ms);
  write_optional(w, "description", model.description);
  w.key("aliases").begin_object();
  for (const auto& [alias, version] : model.aliases) w.field(alias, version);
  w.end_object().key("tags").begin_object();
  for (const track::Tag& tag : model.tags) w.field(tag.key, tag.value);
  w.end_object();
}

void write_version(base::JsonWriter& w, const loop::VersionSummary& summary) {
  const track::ModelVersion& v = summary.version;
  w.begin_object().field("name", v.name).field("version", v.version).field("source", v.source);
  w.field("run_id", v.run_id).field("run_name", summary.run_name).field("model_id", v.model_id);
  w.field("stage", v.stage).field("created_ms", v.created_ms).field("updated_ms", v.updated_ms);
  w.field("has_files", !v.artifact_root.empty());
  write_optional(w, "description", v.description);
  w.key("aliases").begin_array();
  for (const std::string& alias : v.aliases) w.value(alias);
  w.end_array().key("tags").begin_object();
  for (const auto& [key, value] : v.tags) w.field(key, value);
  w.end_object();
  write_deployed(w, summary.deployed);
  write_evaluation_or_null(w, summary.evaluation);
  write_verdict_or_null(w, summary.verdict);
  w.end_object();
}

template <class T, class Write>
void write_all(base::JsonWriter& w, std::string_view key, const std::vector<T>& all, Write write) {
  w.key(key).begin_array();
  for (const T& one : all) write(w, one);
  w.end_array();
}

// --- what an act would do --------------------------------------------------------------------------------------------

void write_serving(base::JsonWriter& w, std::string_view key, const loop::ServingModel& model) {
  w.key(key);
  if (model.model.empty()) {
    w.null();
    return;
  }
  w.begin_object().field("model", model.model).field("version", model.version).field("subject", model.subject);
  w.key("revision");
  model.revision ? w.value(model.revision) : w.null();
  w.end_object();
}

void write_preview(base::JsonWriter& w, const loop::ActPreview& preview) {
  w.begin_object().field("endpoint", preview.endpoint).field("environment", preview.environment);
  w.field("alias", preview.alias);
  write_serving(w, "now", preview.now);
  write_serving(w, "then", preview.then);
  w.field("registers", preview.registers);
  write_verdict_or_null(w, preview.verdict);
  w.key("already");
  preview.already ? write_promotion(w, *preview.already) : static_cast<void>(w.null());
  w.key("baseline");
  preview.baseline.id.empty() ? static_cast<void>(w.null()) : write_evaluation(w, preview.baseline, false);
  w.key("refusal");
  preview.refusal.empty() ? w.null() : w.value(preview.refusal);
  w.end_object();
}

// --- models ----------------------------------------------------------------------------------------------------------

base::Task<void> get_models(const LoopDoor& door, net::Request& request, net::Response& response) {
  PageArgs args(request);
  track::RegistrySearch search;
  search.filter = args.text("q");
  search.max_results = args.integer("limit", 200, 1, 500);
  search.page_token = args.text("after");
  search.order_by = {"name ASC"};
  if (const auto good = args.status(); !good) co_return fail(response, request, good.error());
  const auto found = co_await door.store.read(request.ctx, [&](Tx& tx) { return loop::list_models(tx, search); });
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().key("models").begin_array();
  for (const loop::ModelSummary& one : found->rows) {
    w.begin_object();
    write_model(w, one.model);
    w.field("versions", one.versions);
    w.key("latest");
    int64_t latest = 0;
    for (const auto& version : one.model.latest_versions) latest = std::max(latest, version.version);
    latest ? w.value(latest) : w.null();
    write_deployed(w, one.deployed);
    write_evaluation_or_null(w, one.evaluation);
    write_verdict_or_null(w, one.verdict);
    w.end_object();
  }
  w.end_array();
  if (!found->next_token.empty()) w.field("next", found->next_token);
  w.end_object();
  response.send_json(std::move(body));
}

base::Task<void> get_model(const LoopDoor& door, net::Request& request, net::Response& response) {
  PageArgs args(request);
  const std::string name(request.param("name"));
  const int64_t below = args.integer("below", 0, 1, INT64_MAX);
  const int64_t limit = args.integer("limit", 200, 1, 500);
  if (const auto good = args.status(); !good) co_return fail(response, request, good.error());
  const auto found = co_await door.store.read(
      request.ctx, [&](Tx& tx) { return loop::model_page(tx, name, below, static_cast<size_t>(limit)); });
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().key("model").begin_object();
  write_model(w, found->model);
  w.end_object().field("count", found->count);
  write_all(w, "versions", found->versions, write_version);
  write_all(w, "verdicts", found->verdicts, write_verdict);
  write_all(w, "promotions", found->promotions, write_promotion);
  write_all(w, "ready", found->ready, write_preview);
  w.end_object();
  response.send_json(std::move(body));
}

base::Task<void> get_version(const LoopDoor& door, net::Request& request, net::Response& response) {
  const std::string name(request.param("name"));
  const auto number = track::parse_version(request.param("version"));
  if (!number) co_return fail(response, request, number.error());
  const auto found =
      co_await door.store.read(request.ctx, [&](Tx& tx) { return loop::version_page(tx, name, *number); });
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().key("version");
  write_version(w, found->summary);
  write_all(w, "evaluations", found->evaluations,
            [](base::JsonWriter& out, const loop::Evaluation& e) { write_evaluation(out, e, false); });
  write_all(w, "verdicts", found->verdicts, write_verdict);
  write_all(w, "promotions", found->promotions, write_promotion);
  write_all(w, "ready", found->ready, write_preview);
  w.end_object();
  response.send_json(std::move(body));
}

base::Task<void> send_preview(const LoopDoor& door, net::Request& request, net::Response& response, auto preview) {
  const auto found = co_await door.store.read(request.ctx, preview);
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter w(body);
  write_preview(w, *found);
  response.send_json(std::move(body));
}

base::Task<void> get_promotion(const LoopDoor& door, net::Request& request, net::Response& response) {
  const PageArgs args(request);
  const loop::PromoteRequest asked{
      .verdict = args.text("verdict"), .pipeline = args.text("pipeline"), .environment = args.text("environment")};
  if (asked.verdict.empty() && (asked.pipeline.empty() || asked.environment.empty()))
    co_return fail(response, request,
                   {base::Code::kInvalid, "say what would be promoted: 'verdict', or 'pipeline' and 'environment'"});
  co_await send_preview(door, request, response, [&](Tx& tx) { return loop::preview_promotion(tx, asked); });
}

base::Task<void> get_rollback(const LoopDoor& door, net::Request& request, net::Response& response) {
  const std::string endpoint = PageArgs(request).text("endpoint");
  if (endpoint.empty()) co_return fail(response, request, {base::Code::kInvalid, "'endpoint' is missing: which one?"});
  co_await send_preview(door, request, response, [&](Tx& tx) { return loop::preview_rollback(tx, endpoint); });
}

}  // namespace

void add_pages_models_routes(net::RouteTable& routes, const LoopDoor& door) {
  const auto add = page_adder(routes, door);
  add("/models", get_models);
  add("/models/{name}", get_model);
  add("/models/{name}/{version}", get_version);
  add("/promotion", get_promotion);
  add("/rollback", get_rollback);
}

}  // namespace api::lathe
