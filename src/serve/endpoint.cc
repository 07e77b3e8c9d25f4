#include "serve/endpoint.h"

#include <algorithm>

#include "base/hash.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "blob/blob.h"
#include "core/audit.h"
#include "core/event.h"
#include "core/lineage.h"
#include "serve/graph.h"

namespace serve {
namespace {

constexpr size_t kMaxNameBytes = 100;

constexpr std::string_view kSelectEndpoint =
    "SELECT name, environment, is_default, live_revision, previous_revision, generation, capture, traffic, serving "
    "FROM endpoints WHERE project = ? AND name = ?";
constexpr std::string_view kSelectRevision =
    "SELECT endpoint, number, model_name, model_version, artifact_root, transform_digest, created_us, graph FROM "
    "revisions WHERE project = ? AND endpoint = ? AND number = ?";

std::string rule_json(const CaptureRule& rule) {
  if (rule == CaptureRule()) return "";
  std::string out;
  base::JsonWriter json(out);
  json.begin_object().field("sample", rule.sample).field("keep_us", rule.keep_us).key("redact").begin_array();
  for (const std::string& name : rule.redact) json.value(name);
  json.end_array().end_object();
  return out;
}

CaptureRule parse_rule(const std::string& text) {
  CaptureRule rule;
  if (text.empty()) return rule;
  const auto value = base::parse_json(text);
  const auto* object = value ? value->if_object() : nullptr;
  if (!object) return rule;
  if (const auto* sample = object->if_contains("sample"); sample && sample->is_number())
    rule.sample = sample->to_number<double>();
  if (const auto* keep = object->if_contains("keep_us"); keep && keep->is_int64()) rule.keep_us = keep->get_int64();
  if (const auto* redact = object->if_contains("redact"); redact && redact->is_array())
    for (const auto& name : redact->get_array())
      if (name.is_string()) rule.redact.emplace_back(name.get_string());
  return rule;
}

void write_revision(base::JsonWriter& json, const Revision& revision) {
  json.begin_object().field("number", revision.number).field("model", revision.model_name);
  json.field("version", revision.model_version).field("artifact_root", revision.artifact_root);
  json.field("transform", revision.transform_digest).field("created_us", revision.created_us);
  json.field("graph", revision.graph).end_object();
}

base::Result<Revision> read_revision(const base::json::value& value, const std::string& endpoint) {
  TRY_SET(const base::json::object* object, base::as_object(value, "a revision"));
  Revision out{.endpoint = endpoint};
  TRY_SET(out.number, base::required_int(*object, "number"));
  TRY_SET(out.model_name, base::required_string(*object, "model"));
  TRY_SET(out.model_version, base::required_int(*object, "version"));
  TRY_SET(out.artifact_root, base::required_string(*object, "artifact_root"));
  TRY_SET(out.transform_digest, base::required_string(*object, "transform"));
  TRY_SET(out.created_us, base::required_int(*object, "created_us"));
  TRY_SET(out.graph, base::required_string(*object, "graph"));
  return out;
}

Endpoint endpoint_of(store::Rows& rows) {
  return {.name = rows.str(0),
          .environment = rows.str(1),
          .is_default = rows.boolean(2),
          .live_revision = rows.i64(3),
          .previous_revision = rows.i64(4),
          .generation = rows.i64(5),
          .capture = parse_rule(rows.str(6)),
          .traffic = plan_of_json(rows.str(7)),
          // What a later version of Lathe wrote and this one does not know counts as unsaid.
          .serving = read_serving(rows.str(8)).value_or(ServingSettings())};
}

Revision revision_of(store::Rows& rows) {
  return {.endpoint = rows.str(0),
          .number = rows.i64(1),
          .model_name = rows.str(2),
          .model_version = rows.i64(3),
          .artifact_root = rows.str(4),
          .transform_digest = rows.str(5),
          .created_us = rows.i64(6),
          .graph = rows.str(7)};
}

base::Result<void> check_name(std::string_view name) {
  const bool plain = std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
  if (name.empty() || name.size() > kMaxNameBytes || !plain || name.front() == '.') {
    return base::invalid("endpoint name '" + std::string(name.substr(0, kMaxNameBytes)) +
                         "' is not allowed: letters, digits, '.', '_' and '-', at most 100, not beginning with '.'");
  }
  return {};
}

// The rows of the other revisions that the traffic plan names.
void add_others(store::Tx& tx, Deployment& deployment) {
  const TrafficPlan& plan = deployment.endpoint.traffic;
  std::vector<int64_t> numbers;
  for (const TrafficPart& part : plan.parts) numbers.push_back(part.revision);
  if (plan.shadow != 0) numbers.push_back(plan.shadow);
  for (const int64_t number : numbers) {
    if (number == deployment.live.number) continue;
    store::Rows rows = tx.query(kSelectRevision, deployment.project, deployment.endpoint.name, number);
    if (rows.next()) deployment.others.push_back(revision_of(rows));
  }
}

std::string node_id(std::string_view endpoint, int64_t number) {
  return std::string(endpoint) + "/" + std::to_string(number);
}

// Deleting a run or a data version must not pull the files from under what is deployed.
base::Result<void> hold_files(store::Tx& tx, const std::string& artifact_root, const std::string& transform,
                              const std::string& owner) {
  for (const blob::Artifact& file : blob::list_artifacts(tx, artifact_root)) {
    if (file.location != blob::Location::kBlob) continue;
    TRY_SET(const auto info, blob::find_blob(tx, file.digest));
    if (info) TRY(blob::hold_blob(tx, *info, "revision", owner));
  }
  if (transform.empty()) return {};
  TRY_SET(const base::Digest digest, base::Digest::from_hex(base::HashAlgo::kSha256, transform));
  TRY_SET(const auto info, blob::find_blob(tx, digest));
  if (!info) return base::not_found("the transform's blob " + transform + " is not stored");
  return blob::hold_blob(tx, *info, "revision", owner);
}

// What a graph names. An endpoint may get other revisions: which one answered stands with each prediction.
base::Result<void> hold_graph(store::Tx& tx, const std::string& text, const std::string& owner) {
  TRY_SET(const Graph graph, parse_graph(text));
  for (const GraphStep& step : graph.steps()) {
    if (!step.endpoint.empty()) {
      if (const auto of = get_endpoint(tx, step.endpoint); of && of->live_revision != 0)
        core::add_edge(tx, {"revision", node_id(of->name, of->live_revision)}, {"revision", owner}, "step");
    }
    if (step.model.empty()) continue;
    TRY(hold_files(tx, step.artifact_root, step.transform_digest, owner));
    core::add_edge(tx, {"model_version", step.model + "/" + std::to_string(step.version)}, {"revision", owner}, "step");
  }
  return tx.status();
}

// A revision begins to answer; a graph's steps were told when it was made.
void add_serves_edge(store::Tx& tx, const Revision& revision) {
  if (!revision.graph.empty()) return;
  core::add_edge(tx, {"model_version", revision.model_name + "/" + std::to_string(revision.model_version)},
                 {"revision", node_id(revision.endpoint, revision.number)}, "serves");
}

}  // namespace

Revision pinned_revision(const GraphStep& step) {
  return {.endpoint = "models:/" + step.model + "/" + std::to_string(step.version),
          .model_name = step.model,
          .model_version = step.version,
          .artifact_root = step.artifact_root,
          .transform_digest = step.transform_digest};
}

std::string to_json(const Deployment& deployment) {
  const Endpoint& endpoint = deployment.endpoint;
  std::string out;
  base::JsonWriter json(out);
  json.begin_object().field("project", deployment.project).field("project_name", deployment.project_name);
  json.field("name", endpoint.name).field("environment", endpoint.environment).field("default", endpoint.is_default);
  json.field("previous_revision", endpoint.previous_revision).field("generation", endpoint.generation);
  json.field("capture", rule_json(endpoint.capture)).field("traffic", to_json(endpoint.traffic));
  json.field("serving", to_json(endpoint.serving));
  json.key("live");
  write_revision(json, deployment.live);
  json.key("others").begin_array();
  for (const Revision& other : deployment.others) write_revision(json, other);
  json.end_array().end_object();
  return out;
}

base::Result<Deployment> deployment_of_json(std::string_view text) {
  TRY_SET(const base::json::value value, base::parse_json(text));
  TRY_SET(const base::json::object* object, base::as_object(value, "a deployment"));
  Deployment out;
  Endpoint& endpoint = out.endpoint;
  TRY_SET(out.project, base::required_int(*object, "project"));
  TRY_SET(out.project_name, base::required_string(*object, "project_name"));
  TRY_SET(endpoint.name, base::required_string(*object, "name"));
  TRY(check_name(endpoint.name));
  TRY_SET(endpoint.environment, base::required_string(*object, "environment"));
  TRY_SET(endpoint.is_default, base::required_bool(*object, "default"));
  TRY_SET(endpoint.previous_revision, base::required_int(*object, "previous_revision"));
  TRY_SET(endpoint.generation, base::required_int(*object, "generation"));
  TRY_SET(const std::string capture, base::required_string(*object, "capture"));
  TRY_SET(const std::string traffic, base::required_string(*object, "traffic"));
  endpoint.capture = parse_rule(capture);
  endpoint.traffic = plan_of_json(traffic);
  TRY_SET(const std::string serving, base::required_string(*object, "serving"));
  TRY_SET(endpoint.serving, read_serving(serving));
  const base::json::value* live = object->if_contains("live");
  if (live == nullptr) return base::invalid("a deployment without 'live'");
  TRY_SET(out.live, read_revision(*live, endpoint.name));
  endpoint.live_revision = out.live.number;
  TRY_SET(const base::json::array* others, base::required_array(*object, "others"));
  for (const base::json::value& other : *others) {
    TRY_SET(Revision revision, read_revision(other, endpoint.name));
    out.others.push_back(std::move(revision));
  }
  return out;
}

base::Result<Endpoint> ensure_endpoint(store::Tx& tx, std::string_view name, std::string_view environment) {
  TRY(check_name(name));
  const bool made = tx.exec(
                        "INSERT INTO endpoints (project, name, environment, created_us) VALUES (?, ?, ?, ?)"
                        " ON CONFLICT (project, name) DO NOTHING",
                        tx.project(), name, environment, tx.now_us()) > 0;
  if (made) {
    core::emit(tx, "endpoint.created", "endpoint", name);
  } else {
    tx.exec("UPDATE endpoints SET environment = ? WHERE project = ? AND name = ? AND environment <> ?", environment,
            tx.project(), name, environment);
  }
  return get_endpoint(tx, name);
}

base::Result<void> set_capture_rule(store::Tx& tx, std::string_view endpoint, const CaptureRule& rule) {
  if (!(rule.sample >= 0 && rule.sample <= 1) || rule.keep_us < 0)
    return base::invalid("capture's share must be from 0 to 1, and its retention not negative");
  const std::string text = rule_json(rule);
  if (tx.exec("UPDATE endpoints SET capture = ? WHERE project = ? AND name = ? AND capture <> ?", text, tx.project(),
              endpoint, text) > 0)
    core::emit(tx, "endpoint.changed", "endpoint", endpoint, text.empty() ? "{}" : text);
  return tx.status();
}

base::Result<void> set_serving(store::Tx& tx, std::string_view endpoint, const ServingSettings& settings) {
  const std::string text = to_json(settings);
  TRY(read_serving(text));  // its bounds
  if (tx.exec("UPDATE endpoints SET serving = ? WHERE project = ? AND name = ? AND serving <> ?", text, tx.project(),
              endpoint, text) > 0)
    core::emit(tx, "endpoint.changed", "endpoint", endpoint, text.empty() ? "{}" : text);
  return tx.status();
}

base::Result<void> set_default_endpoint(store::Tx& tx, std::string_view name) {
  tx.lock("endpoints", "default");
  TRY(get_endpoint(tx, name));
  tx.exec("UPDATE endpoints SET is_default = 0 WHERE project = ? AND name <> ?", tx.project(), name);
  tx.exec("UPDATE endpoints SET is_default = 1 WHERE project = ? AND name = ?", tx.project(), name);
  core::emit(tx, "endpoint.made_default", "endpoint", name);
  return tx.status();
}

base::Result<Endpoint> get_endpoint(store::Tx& tx, std::string_view name) {
  store::Rows rows = tx.query(kSelectEndpoint, tx.project(), name);
  if (!rows.next()) {
    TRY(tx.status());
    return base::not_found("endpoint '" + std::string(name) + "' does not exist");
  }
  return endpoint_of(rows);
}

std::vector<Endpoint> list_endpoints(store::Tx& tx) {
  std::vector<Endpoint> out;
  store::Rows rows = tx.query(
      "SELECT name, environment, is_default, live_revision, previous_revision, generation, capture, traffic, serving "
      "FROM endpoints WHERE project = ? ORDER BY name",
      tx.project());
  while (rows.next()) out.push_back(endpoint_of(rows));
  return out;
}

std::vector<Deployment> list_deployments(store::Tx& tx) {
  std::vector<Deployment> out;
  store::Rows rows = tx.query(
      "SELECT e.name, e.environment, e.is_default, e.live_revision, e.previous_revision, e.generation, e.capture, "
      "e.traffic, e.serving, e.project, r.model_name, r.model_version, r.artifact_root, r.transform_digest, "
      "r.created_us, p.name, r.graph FROM endpoints e JOIN projects p ON p.id = e.project JOIN revisions r ON "
      "r.project = e.project AND "
      "r.endpoint = e.name AND r.number = "
      "e.live_revision"
      " ORDER BY e.project, e.name");
  while (rows.next()) {
    Deployment deployment{.project = rows.i64(9), .project_name = rows.str(15), .endpoint = endpoint_of(rows)};
    deployment.live = {.endpoint = deployment.endpoint.name,
                       .number = deployment.endpoint.live_revision,
                       .model_name = rows.str(10),
                       .model_version = rows.i64(11),
                       .artifact_root = rows.str(12),
                       .transform_digest = rows.str(13),
                       .created_us = rows.i64(14),
                       .graph = rows.str(16)};
    out.push_back(std::move(deployment));
  }
  for (Deployment& deployment : out) add_others(tx, deployment);
  return out;
}

base::Result<Revision> add_revision(store::Tx& tx, const NewRevision& revision) {
  tx.lock("endpoint", revision.endpoint);
  TRY(get_endpoint(tx, revision.endpoint));
  const int64_t number = tx.query_i64("SELECT max(number) FROM revisions WHERE project = ? AND endpoint = ?",
                                      tx.project(), revision.endpoint)
                             .value_or(0) +
                         1;
  tx.exec(
      "INSERT INTO revisions (project, endpoint, number, model_name, model_version, artifact_root, transform_digest, "
      "created_us, graph)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      tx.project(), revision.endpoint, number, revision.model_name,
      revision.graph.empty() ? revision.model_version : number, revision.artifact_root, revision.transform_digest,
      tx.now_us(), revision.graph);
  const std::string owner = node_id(revision.endpoint, number);
  TRY(revision.graph.empty() ? hold_files(tx, revision.artifact_root, revision.transform_digest, owner)
                             : hold_graph(tx, revision.graph, owner));
  core::emit(tx, "revision.created", "revision", node_id(revision.endpoint, number));
  return get_revision(tx, revision.endpoint, number);
}

base::Result<Revision> get_revision(store::Tx& tx, std::string_view endpoint, int64_t number) {
  store::Rows rows = tx.query(kSelectRevision, tx.project(), endpoint, number);
  if (!rows.next()) {
    TRY(tx.status());
    return base::not_found("endpoint '" + std::string(endpoint) + "' has no revision " + std::to_string(number));
  }
  return revision_of(rows);
}

std::vector<Revision> list_revisions(store::Tx& tx, std::string_view endpoint) {
  std::vector<Revision> out;
  store::Rows rows = tx.query(
      "SELECT endpoint, number, model_name, model_version, artifact_root, transform_digest, created_us, graph FROM "
      "revisions WHERE project = ? AND endpoint = ? ORDER BY number DESC",
      tx.project(), endpoint);
  while (rows.next()) out.push_back(revision_of(rows));
  return out;
}

base::Result<Endpoint> set_traffic(store::Tx& tx, std::string_view endpoint, const TrafficPlan& wanted,
                                   int64_t expected_generation) {
  tx.lock("endpoint", endpoint);
  TRY_SET(const Endpoint before, get_endpoint(tx, endpoint));
  if (before.live_revision == 0)
    return base::fail(base::Code::kConflict,
                      "endpoint '" + std::string(endpoint) + "' serves nothing yet; there is no traffic to divide");
  if (before.generation != expected_generation)
    return base::fail(base::Code::kConflict, "endpoint '" + std::string(endpoint) +
                                                 "' was changed meanwhile (generation " +
                                                 std::to_string(before.generation) + ", not " +
                                                 std::to_string(expected_generation) + "): look at it again");
  TRY_SET(TrafficPlan plan, checked(wanted, before.live_revision));
  if (plan.bandit && plan.bandit->since_us == 0)
    plan.bandit->since_us = before.traffic.bandit ? before.traffic.bandit->since_us : tx.now_us();
  std::vector<int64_t> numbers;
  for (const TrafficPart& part : plan.parts) numbers.push_back(part.revision);
  if (plan.shadow != 0) numbers.push_back(plan.shadow);
  for (const int64_t number : numbers) {
    TRY_SET(const Revision revision, get_revision(tx, endpoint, number));
    if (number == before.live_revision || before.traffic.share_of(number, before.live_revision) > 0) continue;
    add_serves_edge(tx, revision);
  }
  tx.exec("UPDATE endpoints SET traffic = ?, generation = generation + 1 WHERE project = ? AND name = ?", to_json(plan),
          tx.project(), endpoint);
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("live", before.live_revision).key("weights").begin_object();
  if (plan.parts.empty()) json.field(std::to_string(before.live_revision), 100.0);
  for (const TrafficPart& part : plan.parts) json.field(std::to_string(part.revision), part.share / 100.0);
  json.end_object().field("shadow", plan.shadow).field("sticky", plan.sticky);
  json.field("before", describe(before.traffic, before.live_revision)).end_object();
  core::emit(tx, "endpoint.traffic", "endpoint", endpoint, body);
  core::audit(tx, "endpoint.traffic", "endpoint", endpoint, body);
  return get_endpoint(tx, endpoint);
}

base::Result<void> set_sticky(store::Tx& tx, std::string_view endpoint, std::string_view header) {
  tx.lock("endpoint", endpoint);
  TRY_SET(const Endpoint now, get_endpoint(tx, endpoint));
  TrafficPlan plan = now.traffic;
  plan.sticky = header;
  TRY_SET(plan, checked(plan, now.live_revision));
  if (plan == now.traffic) return {};
  const std::string text = to_json(plan);
  tx.exec("UPDATE endpoints SET traffic = ? WHERE project = ? AND name = ?", text, tx.project(), endpoint);
  core::emit(tx, "endpoint.changed", "endpoint", endpoint, text.empty() ? "{}" : text);
  return tx.status();
}

base::Result<Endpoint> set_live(store::Tx& tx, std::string_view endpoint, int64_t number, int64_t expected_live,
                                bool rollback) {
  tx.lock("endpoint", endpoint);
  TRY_SET(const Revision revision, get_revision(tx, endpoint, number));
  TRY_SET(const Endpoint before, get_endpoint(tx, endpoint));
  const std::string undivided = to_json({.sticky = before.traffic.sticky});
  if (tx.exec("UPDATE endpoints SET live_revision = ?, previous_revision = live_revision, traffic = ?, generation = "
              "generation + 1 WHERE project = ? AND name = ? AND live_revision = ?",
              number, undivided, tx.project(), endpoint, expected_live) == 0) {
    TRY_SET(const Endpoint now, get_endpoint(tx, endpoint));
    return base::fail(base::Code::kConflict, "endpoint '" + std::string(endpoint) + "' serves revision " +
                                                 std::to_string(now.live_revision) + " by now, not " +
                                                 std::to_string(expected_live) + ": judge against that one");
  }
  add_serves_edge(tx, revision);
  std::string body;
  base::JsonWriter(body)
      .begin_object()
      .field("revision", number)
      .field("previous", expected_live)
      .field("model", revision.model_name)
      .field("version", revision.model_version)
      .end_object();
  core::emit(tx, rollback ? "endpoint.rolled_back" : "endpoint.promoted", "endpoint", endpoint, body);
  return get_endpoint(tx, endpoint);
}

}  // namespace serve
