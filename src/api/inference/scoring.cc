#include <algorithm>
#include <array>

#include "api/inference/core.h"
#include "api/inference/rows_body.h"
#include "base/json_writer.h"
#include "serve/json_rows.h"

namespace api::inference {
namespace {

namespace json = base::json;
using serve::LiveEndpoint;
using serve::Tensor;

constexpr std::array<std::string_view, 4> kShapes = {"dataframe_split", "dataframe_records", "instances", "inputs"};

base::Result<std::vector<Tensor>> from_json(const serve::Predictor& predictor, std::string_view body) {
  TRY_SET(const json::value value, base::parse_json(body));
  TRY_SET(const json::object* object, base::as_object(value, "the body"));
  std::string_view found;
  for (std::string_view shape : kShapes) {
    if (!object->contains(shape)) continue;
    if (!found.empty()) return base::invalid("the body holds both '" + std::string(found) + "' and '" + std::string(shape) + "'; only one is allowed");
    found = shape;
  }
  if (found.empty()) {
    return base::invalid("the body must hold exactly one of dataframe_split, dataframe_records, instances, inputs");
  }
  const json::value& data = object->at(found);
  if (found == "instances") return from_instances(predictor, data);
  if (found == "inputs") return from_inputs(predictor, data);
  stats::Table table;
  if (found == "dataframe_split") {
    TRY_SET(const json::object* split, base::as_object(data, "'dataframe_split'"));
    TRY_SET(table, serve::table_from_split(*split));
  } else {
    if (!data.is_array()) return base::invalid("'dataframe_records' must be a list, found " + std::string(base::kind_name(data.kind())));
    TRY_SET(table, serve::table_from_records(data.as_array()));
  }
  if (table.rows() == 0) return base::invalid("'" + std::string(found) + "' holds no rows");
  return predictor.tensors_of(table);
}

base::Result<std::vector<Tensor>> parse(const serve::Predictor& predictor, std::string_view content_type, std::string_view body) {
  std::string type(content_type.substr(0, content_type.find(';')));
  std::ranges::transform(type, type.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  while (type.ends_with(' ')) type.pop_back();
  if (type == "text/csv") {
    TRY_SET(const stats::Table table, stats::parse_csv(body));
    if (table.rows() == 0) return base::invalid("the CSV holds no rows (its first line names the columns)");
    return predictor.tensors_of(table);
  }
  if (type != "application/json") {
    return base::invalid("Content-Type is '" + type + "'; allowed: application/json, text/csv");
  }
  return from_json(predictor, body);
}

base::Result<void> invoke(const Door& door, net::Request& request, net::Response& response, std::string& body) {
  TRY_SET(const Target target, find_target(door, request, request.param("name"), ""));
  const LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
  auto tensors = parse(*endpoint.predictor, request.header("content-type"), body);
  if (!tensors) {
    count_failure(endpoint);
    return std::unexpected(std::move(tensors).error());
  }
  TRY_SET(const Answer answer, run(door, endpoint, *tensors, request, "", response));
  std::string out = "{\"predictions\": ";
  append_predictions(out, answer);
  response.send_json(out += '}');
  return {};
}

// 200 when the default endpoint can answer (MLflow and SageMaker ask this before they send anything).
base::Result<void> ping(const Door& door, net::Request& request, net::Response& response) {
  TRY_SET(const Target target, find_target(door, request, "", ""));
  if (!target.endpoint->predictor) return std::unexpected(target.endpoint->problem);
  response.send(200, "application/json", "\n");
  return {};
}

}  // namespace

void add_scoring_routes(net::RouteTable& routes, const DoorPtr& door) {
  using base::Permission;
  using net::Method;
  constexpr auto kProtocol = net::Protocol::kMlflowScoring;
  constexpr net::RouteLimits kRows{.body_bytes = kRowsBody};
  routes.add({Method::kGet, "/ping", kProtocol, Permission::kInfer, {.body_bytes = 0}, without_body(door, kProtocol, ping)});
  for (const char* pattern : {"/invocations", "/endpoints/{name}/invocations"}) {
    routes.add({Method::kPost, pattern, kProtocol, Permission::kInfer, kRows, with_body(door, kProtocol, invoke)});
  }
}

}  // namespace api::inference
