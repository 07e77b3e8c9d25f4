// POST and GET /graphql: the queries of MLflow's browser. A query is held against the schema, its root fields are
// answered by the same functions of src/track as the REST routes, in one read, and the answers are cut to what was
// picked. All of it reads, mutations too.
#include <charconv>

#include "api/mlflow/artifact_tree.h"
#include "api/mlflow/door.h"
#include "api/mlflow/graphql_schema.h"
#include "api/mlflow/json.h"
#include "base/json.h"
#include "track/artifact_root.h"
#include "track/experiments.h"
#include "track/search.h"

namespace api::mlflow {
namespace {

using base::JsonWriter;
using base::Result;
using graphql::Call;
using graphql::RootCall;
using store::Tx;
namespace json = base::json;

constexpr size_t kBody = size_t{256} << 10;
constexpr int64_t kRunsWithVersions = 1000;  // runs of one answer whose model versions are looked up
constexpr int64_t kMaxSampledPoints = 2500;

using Limits = const base::ResourceAccess*;

std::string text_in(const json::object& input, std::string_view name) {
  const auto* found = input.if_contains(name);
  return found != nullptr && found->is_string() ? std::string(found->get_string()) : "";
}
std::vector<std::string> texts_in(const json::object& input, std::string_view name) {
  std::vector<std::string> out;
  if (const auto* found = input.if_contains(name); found != nullptr && found->is_array()) {
    for (const auto& item : found->get_array()) out.emplace_back(item.get_string());
  }
  return out;
}
std::optional<int64_t> number_in(const json::object& input, std::string_view name) {
  const auto* found = input.if_contains(name);
  return found != nullptr && found->is_int64() ? std::optional(found->get_int64()) : std::nullopt;
}
std::string run_id_in(const json::object& input) {
  std::string id = text_in(input, "run_id");
  return id.empty() ? text_in(input, "run_uuid") : id;
}

// One function of track under the caller's limits, as the route of the same meaning has it.
template <class Act, class In>
auto within(Tx& tx, Limits limits, const Claims& claims, const Act& act, const In& in) -> decltype(act(tx, in)) {
  return limits == nullptr ? act(tx, in) : act_within(tx, *limits, claims, act, in);
}

Claims claims_on(Target target) {
  Claims claims;
  claims.target = target;
  return claims;
}

Result<std::string> experiment_answer(Tx& tx, Limits limits, const json::object& input) {
  const std::string id = text_in(input, "experiment_id");
  Claims claims = claims_on(Target::kExperiment);
  claims.add(Subject::kExperiment, Need::kRead, id);
  TRY_SET(const auto experiment, within(tx, limits, claims, track::get_experiment, id));
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().key("experiment");
  write(writer, experiment);
  writer.end_object();
  return out;
}

Result<track::Page<track::ModelVersion>> search_versions(Tx& tx, Limits limits, const track::RegistrySearch& search) {
  return within(tx, limits, claims_on(Target::kRowByRow), track::search_versions, search);
}

// A run as REST writes it, and beside it what only GraphQL has.
Result<void> write_run(Tx& tx, Limits limits, JsonWriter& writer, const track::Run& run, bool experiment,
                       bool versions) {
  std::string text;
  JsonWriter plain(text);
  write(plain, run);
  TRY_SET(auto value, base::parse_json(text));
  json::object& object = value.get_object();
  if (experiment) {
    TRY_SET(const auto found, track::get_experiment(tx, std::to_string(run.info.experiment)));
    std::string more;
    JsonWriter w(more);
    write(w, found);
    TRY_SET(object["experiment"], base::parse_json(more));
  }
  if (versions) {
    track::RegistrySearch search;
    search.filter = "run_id='" + run.info.run_id + "'";
    TRY_SET(const auto page, search_versions(tx, limits, search));
    std::string more;
    JsonWriter w(more);
    w.begin_array();
    for (const track::ModelVersion& version : page.rows) write(w, version);
    w.end_array();
    TRY_SET(object["model_versions"], base::parse_json(more));
  }
  writer.raw(base::to_text(value));
  return {};
}

Result<std::string> run_answer(Tx& tx, Limits limits, const RootCall& call) {
  const std::string id = run_id_in(call.input);
  Claims claims = claims_on(Target::kRun);
  claims.add(Subject::kRun, Need::kRead, id);
  TRY_SET(const track::Run run, within(tx, limits, claims, track::get_run, id));
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().key("run");
  TRY(write_run(tx, limits, writer, run, call.picks("run", "experiment", ""), call.picks("run", "modelVersions", "")));
  writer.end_object();
  return out;
}

Result<std::string> runs_answer(Tx& tx, Limits limits, const RootCall& call) {
  track::RunSearch search;
  search.experiment_ids = texts_in(call.input, "experiment_ids");
  search.filter = text_in(call.input, "filter");
  const std::string view = text_in(call.input, "run_view_type");
  search.view = view == "DELETED_ONLY" ? track::View::kDeleted
                : view == "ALL"        ? track::View::kAll
                                       : track::View::kActive;
  search.max_results = number_in(call.input, "max_results").value_or(1000);
  search.order_by = texts_in(call.input, "order_by");
  search.page_token = text_in(call.input, "page_token");
  const bool experiment = call.picks("runs", "experiment", ""), versions = call.picks("runs", "modelVersions", "");
  if ((experiment || versions) && search.max_results > kRunsWithVersions)
    return base::invalid("maxResults is at most " + std::to_string(kRunsWithVersions) +
                         " when the runs' experiment or modelVersions are asked for");
  TRY_SET(const auto page, within(tx, limits, claims_on(Target::kExperiments), track::search_runs, search));
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().key("runs").begin_array();
  for (const track::Run& run : page.rows) TRY(write_run(tx, limits, writer, run, experiment, versions));
  writer.end_array();
  if (!page.next_token.empty()) writer.field("next_page_token", page.next_token);
  writer.end_object();
  return out;
}

Result<std::string> versions_answer(Tx& tx, Limits limits, const json::object& input) {
  track::RegistrySearch search;
  search.filter = text_in(input, "filter");
  search.max_results = number_in(input, "max_results").value_or(10'000);
  if (search.max_results < 0 || search.max_results > track::kMaxVersionsPage) {
    return base::invalid("Invalid value for max_results. It must be at most " +
                         std::to_string(track::kMaxVersionsPage) + ", but got " + std::to_string(search.max_results));
  }
  search.order_by = texts_in(input, "order_by");
  search.page_token = text_in(input, "page_token");
  TRY_SET(const auto page, search_versions(tx, limits, search));
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().key("model_versions").begin_array();
  for (const track::ModelVersion& version : page.rows) write(writer, version);
  writer.end_array();
  if (!page.next_token.empty()) writer.field("next_page_token", page.next_token);
  writer.end_object();
  return out;
}

Result<std::string> datasets_answer(Tx& tx, Limits limits, const json::object& input) {
  const auto ids = texts_in(input, "experiment_ids");
  if (ids.empty() || ids.size() > 20)
    return base::invalid("SearchDatasets request must specify from 1 to 20 experiment_ids; received " +
                         std::to_string(ids.size()));
  TRY_SET(const auto found, within(tx, limits, claims_on(Target::kExperiments), track::search_datasets, ids));
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().key("dataset_summaries").begin_array();
  for (const auto& one : found) {
    writer.begin_object().field("experiment_id", std::to_string(one.experiment)).field("name", one.name);
    writer.field("digest", one.digest).field("context", one.context).end_object();
  }
  writer.end_array().end_object();
  return out;
}

Result<std::string> history_answer(Tx& tx, Limits limits, const json::object& input) {
  track::IntervalQuery query;
  query.run_ids = texts_in(input, "run_ids");
  query.key = text_in(input, "metric_key");
  query.start_step = number_in(input, "start_step");
  query.end_step = number_in(input, "end_step");
  query.max_points = number_in(input, "max_results").value_or(kMaxSampledPoints);
  if (query.run_ids.empty() || query.run_ids.size() > track::kMaxBulkRuns)
    return base::invalid("GetMetricHistoryBulkInterval request must specify from 1 to " +
                         std::to_string(track::kMaxBulkRuns) + " run_ids; received " +
                         std::to_string(query.run_ids.size()));
  if (query.max_points < 1 || query.max_points > kMaxSampledPoints)
    return base::invalid("max_results must be between 1 and " + std::to_string(kMaxSampledPoints) + ".");
  if (query.start_step.has_value() != query.end_step.has_value())
    return base::invalid("If either start step or end step are specified, both must be specified.");
  if (query.start_step && *query.start_step > *query.end_step)
    return base::invalid("end_step must be greater than start_step. Found start_step=" +
                         std::to_string(*query.start_step) + " and end_step=" + std::to_string(*query.end_step) + ".");
  Claims claims = claims_on(Target::kRuns);
  for (const std::string& id : query.run_ids) claims.add(Subject::kRun, Need::kRead, id);
  TRY_SET(const auto points, within(tx, limits, claims, track::metric_history_sampled, query));
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().key("metrics").begin_array();
  for (const track::Metric& point : points) write(writer, point);
  writer.end_array().end_object();
  return out;
}

Result<std::string> files_answer(Tx& tx, Limits limits, const json::object& input) {
  const std::string id = run_id_in(input);
  Claims claims = claims_on(Target::kRun);
  claims.add(Subject::kRun, Need::kRead, id);
  TRY_SET(const track::RunInfo run, within(tx, limits, claims, track::get_run_info, id));
  TRY_SET(const std::string below, safe_path(text_in(input, "path")));
  const auto root = track::proxied_path(run.artifact_uri);
  if (!root) return base::invalid("The artifacts are at " + run.artifact_uri + "; ask there.");
  const std::string folder = below.empty() ? *root : root->empty() ? below : *root + "/" + below;
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().field("root_uri", run.artifact_uri).key("files").begin_array();
  for (const Entry& entry : list_folder(tx, folder)) {
    writer.begin_object().field("path", below.empty() ? entry.name : below + "/" + entry.name);
    writer.field("is_dir", entry.is_dir);
    if (!entry.is_dir) writer.field("file_size", entry.size);
    writer.end_object();
  }
  writer.end_array().end_object();
  return out;
}

Result<std::string> answer_of(Tx& tx, Limits limits, const RootCall& call) {
  switch (call.root->call) {
    case Call::kGetExperiment: return experiment_answer(tx, limits, call.input);
    case Call::kGetRun: return run_answer(tx, limits, call);
    case Call::kSearchRuns: return runs_answer(tx, limits, call);
    case Call::kSearchVersions: return versions_answer(tx, limits, call.input);
    case Call::kSearchDatasets: return datasets_answer(tx, limits, call.input);
    case Call::kHistory: return history_answer(tx, limits, call.input);
    case Call::kListArtifacts: return files_answer(tx, limits, call.input);
    case Call::kTest: break;
  }
  std::string out;
  JsonWriter(out).begin_object().field("output", text_in(call.input, "text")).end_object();
  return out;
}

// {"data": …, "errors": …} of a whole plan. A field that fails is null, and its reason is told.
Result<std::string> answer_all(Tx& tx, Limits limits, const graphql::Plan& plan) {
  std::string out;
  JsonWriter writer(out);
  std::vector<std::string> errors;
  writer.begin_object().key("data").begin_object();
  for (const RootCall& call : plan.calls) {
    writer.key(call.key);
    if (call.root == nullptr) {
      writer.value(plan.type);
      continue;
    }
    const auto text = answer_of(tx, limits, call);
    TRY(tx.status());
    if (!text) {
      errors.push_back(text.error().message);
      writer.null();
      continue;
    }
    TRY_SET(const auto data, base::parse_json(*text));
    project(writer, *call.root->answer, data.get_object(), call.below);
  }
  writer.end_object().key("errors");
  if (errors.empty()) {
    writer.null();
  } else {
    writer.begin_array();
    for (const std::string& error : errors) writer.value(error);
    writer.end_array();
  }
  writer.end_object();
  return out;
}

void refuse(net::Response& response, const base::Error& error) {
  std::string out;
  JsonWriter(out)
      .begin_object()
      .key("data")
      .null()
      .key("errors")
      .begin_array()
      .value(error.message)
      .end_array()
      .end_object();
  response.send_json(std::move(out));
}

struct Asked {
  std::string query, operation;
  json::object variables;
};

Result<json::object> variables_of(const json::value* given) {
  if (given == nullptr || given->is_null()) return json::object();
  if (given->is_object()) return given->get_object();
  if (given->is_string()) {  // in a query string
    TRY_SET(auto parsed, base::parse_json(given->get_string()));
    if (parsed.is_object()) return std::move(parsed.get_object());
  }
  return base::invalid("Variables must be an object");
}

base::Task<void> run(store::Store& store, net::Request& request, net::Response& response) {
  Args args(request);
  Asked asked;
  const json::value* variables = nullptr;
  json::value from_query;
  if (Args::in_body(request)) {
    if (const auto good = check_content_type(request); !good) co_return fail(response, good.error());
    const auto body = co_await request.read_body();
    if (!body) co_return fail(response, body.error());
    args.take_body(*body);
    variables = args.root().if_contains("variables");
  } else if (auto text = args.optional_text("variables")) {
    from_query = json::value(json::string(*text));
    variables = &from_query;
  }
  asked.query = args.required_text("query");
  asked.operation = args.text("operationName");
  if (args.error()) co_return fail(response, *args.error());
  auto given = variables_of(variables);
  if (!given) co_return refuse(response, given.error());
  const auto document = graphql::parse(asked.query);
  if (!document) co_return refuse(response, document.error());
  const auto plan = graphql::plan(*document, asked.operation, *given);
  if (!plan) co_return refuse(response, plan.error());
  const auto limits = limits_of(request);
  auto job = [&](Tx& tx) { return answer_all(tx, limits.get(), *plan); };
  auto answer = co_await store.read(request.ctx, job);
  if (!answer) co_return fail(response, answer.error());
  response.send_json(std::move(*answer));
}

}  // namespace

void add_graphql_route(Door& door) {
  for (const auto method : {net::Method::kPost, net::Method::kGet}) {
    door.add(method, "/graphql", base::Permission::kRead, {.body_bytes = kBody},
             [store = &door.store()](net::Request& request, net::Response& response) {
               return run(*store, request, response);
             });
  }
}

}  // namespace api::mlflow
