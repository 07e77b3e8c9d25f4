// Triton's extensions of the Open Inference Protocol over REST: configuration, statistics, repository, trace and log
// settings, shared memory. What Triton lets a client change and this server does not is refused as Triton refuses it
// when it was started that way.
#include "api/inference/core.h"
#include "api/inference/shared_memory.h"
#include "api/inference/triton_settings.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "repository/config.h"

namespace api::inference {
namespace {

using serve::LiveEndpoint;

base::Result<void> config(const Door& door, net::Request& request, net::Response& response) {
  TRY_SET(const Target target,
          find_target(door, request, request.param("model"), request.param("version"), Purpose::kDescribe));
  if (!target.endpoint->predictor) return std::unexpected(target.endpoint->problem);
  std::string body;
  base::JsonWriter json(body);
  repository::write_config(json, repository::config_of(*target.endpoint));
  response.send_json(std::move(body));
  return {};
}

void write_duration(base::JsonWriter& json, std::string_view key, uint64_t count, uint64_t ns) {
  json.key(key).begin_object().field("count", count).field("ns", ns).end_object();
}

void write_statistics(base::JsonWriter& json, const LiveEndpoint& endpoint) {
  const auto numbers = serve::statistics_of(endpoint);
  json.begin_object().field("name", endpoint.name).field("version", endpoint.version);
  json.field("last_inference", uint64_t{0}).field("inference_count", numbers.rows);
  json.field("execution_count", numbers.executions).key("inference_stats").begin_object();
  write_duration(json, "success", numbers.succeeded, numbers.ns);
  write_duration(json, "fail", numbers.failed, 0);
  write_duration(json, "compute_infer", numbers.succeeded, numbers.ns);
  write_duration(json, "queue", numbers.queued, numbers.queue_ns);
  // Reading and writing are not measured apart.
  for (std::string_view part : {"compute_input", "compute_output"}) write_duration(json, part, numbers.succeeded, 0);
  write_duration(json, "cache_hit", numbers.cache.hits, numbers.cache.hit_us * 1000);
  write_duration(json, "cache_miss", numbers.cache.misses, numbers.cache.miss_us * 1000);
  json.end_object().key("batch_stats").begin_array();
  for (const auto& [size, count] : numbers.batches) {
    json.begin_object().field("batch_size", static_cast<uint64_t>(size)).key("compute_infer").begin_object();
    json.field("count", count).field("ns", uint64_t{0}).end_object().end_object();
  }
  json.end_array().end_object();
}

base::Result<void> statistics(const Door& door, net::Request& request, net::Response& response) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("model_stats").begin_array();
  if (const std::string_view model = request.param("model"); !model.empty()) {
    TRY_SET(const Target target, find_target(door, request, model, request.param("version"), Purpose::kLook));
    write_statistics(json, *target.endpoint);
  } else {
    const auto pin = door.runtime.pin();
    for (const auto& endpoint : pin->endpoints) {
      if (endpoint->project == request.ctx.project) write_statistics(json, *endpoint);
    }
  }
  json.end_array().end_object();
  response.send_json(std::move(body));
  return {};
}

// Body: none, or {"ready": true} for those only that can answer.
base::Result<void> repository_index(const Door& door, net::Request& request, net::Response& response,
                                    std::string_view sent) {
  bool ready_only = false;
  if (!sent.empty()) {
    TRY_SET(const base::json::value value, base::parse_json(sent));
    TRY_SET(const base::json::object* object, base::as_object(value, "the body"));
    if (const auto* ready = object->if_contains("ready")) {
      if (!ready->is_bool()) return base::invalid("'ready' must be true or false");
      ready_only = ready->as_bool();
    }
  }
  std::string body;
  base::JsonWriter json(body);
  json.begin_array();
  for (const auto& model : index_of(door, request, ready_only)) {
    json.begin_object().field("name", model.name);
    if (!model.version.empty()) json.field("version", model.version);
    if (!model.state.empty()) json.field("state", model.state);
    if (!model.reason.empty()) json.field("reason", model.reason);
    json.end_object();
  }
  json.end_array();
  response.send_json(std::move(body));
  return {};
}

// The parameters of a load or unload request, if it has a body.
base::Result<base::json::object> control_parameters(std::string_view body) {
  if (body.empty()) return base::json::object();
  TRY_SET(const base::json::value value, base::parse_json(body));
  TRY_SET(const base::json::object* object, base::as_object(value, "the body"));
  const auto* parameters = object->if_contains("parameters");
  if (!parameters) return base::json::object();
  TRY_SET(const base::json::object* found, base::as_object(*parameters, "'parameters'"));
  return *found;
}

base::Result<void> load(const Door& door, net::Request& request, net::Response& response, std::string_view body) {
  TRY_SET(const base::json::object parameters, control_parameters(body));
  std::optional<std::string> config;
  for (const auto& [key, value] : parameters) {
    if (key != "config") return std::unexpected(refused_parameter(key));
    if (!value.is_string()) return base::invalid("parameter 'config' must be the configuration's JSON as a string");
    config = std::string(value.as_string());
  }
  TRY(load_model(door, request.param("model"), config));
  response.send(200, "", "");
  return {};
}

base::Result<void> unload(const Door& door, net::Request& request, net::Response& response, std::string_view body) {
  TRY_SET(const base::json::object parameters, control_parameters(body));
  bool dependents = false;
  for (const auto& [key, value] : parameters) {
    if (key != "unload_dependents") return std::unexpected(refused_parameter(key));
    if (!value.is_bool()) return base::invalid("parameter 'unload_dependents' must be true or false");
    dependents = value.as_bool();
  }
  TRY(unload_model(door, request.param("model"), dependents));
  response.send(200, "", "");
  return {};
}

base::Result<void> trace_setting(const Door& door, net::Request& request, net::Response& response) {
  if (const std::string_view model = request.param("model"); !model.empty())
    TRY(find_target(door, request, model, "", Purpose::kLook));
  std::string body;
  base::JsonWriter json(body);
  json.begin_object();
  for (const auto& [name, value] : kTraceSettings) {
    if (name == "trace_level") {
      json.key(name).begin_array().value(value).end_array();
    } else {
      json.field(name, value);
    }
  }
  json.end_object();
  response.send_json(std::move(body));
  return {};
}

base::Result<void> refuse_trace_setting(const Door&, net::Request&, net::Response&, std::string_view) {
  return base::fail(base::Code::kUnsupported, std::string(kNoTraceSettings));
}

base::Result<void> log_settings(const Door&, net::Request&, net::Response& response) {
  const LogState now = log_settings_now();
  std::string body;
  base::JsonWriter(body)
      .begin_object()
      .field("log_file", "")
      .field("log_info", now.info)
      .field("log_warning", now.warning)
      .field("log_error", true)
      .field("log_verbose_level", now.verbose ? 1 : 0)
      .field("log_format", kLogFormat)
      .end_object();
  response.send_json(std::move(body));
  return {};
}

base::Result<void> change_log_settings(const Door& door, net::Request& request, net::Response& response,
                                       std::string_view sent) {
  TRY_SET(const base::json::value value, base::parse_json(sent));
  TRY_SET(const base::json::object* object, base::as_object(value, "the body"));
  LogChange change;
  for (const auto& [name, wanted] : *object) {
    if (wanted.is_bool()) {
      TRY(change.set(name, wanted.get_bool()));
    } else if (wanted.is_int64()) {
      TRY(change.set(name, wanted.get_int64()));
    } else if (wanted.is_string()) {
      TRY(change.set(name, std::string_view(wanted.get_string())));
    } else {
      return base::invalid("'" + std::string(std::string_view(name).substr(0, 80)) +
                           "' must be a boolean, a whole number or text");
    }
  }
  TRY(change.apply(request));
  return log_settings(door, request, response);
}

// --- shared memory

void write_region(base::JsonWriter& json, const SharedRegions::Info& info) {
  json.begin_object().field("name", info.name).field("key", info.key).field("offset", info.offset);
  json.field("byte_size", info.bytes).end_object();
}

base::Result<void> region_status(const Door& door, net::Request& request, net::Response& response) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_array();
  if (const std::string_view name = request.param("region"); !name.empty()) {
    TRY_SET(const auto info, door.regions->find(request.ctx.project, name));
    write_region(json, info);
  } else {
    for (const auto& info : door.regions->list(request.ctx.project)) write_region(json, info);
  }
  json.end_array();
  response.send_json(std::move(body));
  return {};
}

base::Result<uint64_t> whole_number(const base::json::object& object, std::string_view key) {
  TRY_SET(const int64_t number, base::required_int(object, key));
  if (number < 0) return base::invalid("'" + std::string(key) + "' is negative");
  return static_cast<uint64_t>(number);
}

base::Result<void> register_region(const Door& door, net::Request& request, net::Response& response,
                                   std::string_view sent) {
  TRY(check_shares_memory(request));
  TRY_SET(const base::json::value value, base::parse_json(sent));
  TRY_SET(const base::json::object* object, base::as_object(value, "the body"));
  SharedRegions::Info info{.name = std::string(request.param("region"))};
  TRY_SET(info.key, base::required_string(*object, "key"));
  if (object->contains("offset")) {
    TRY_SET(info.offset, whole_number(*object, "offset"));
  }
  TRY_SET(info.bytes, whole_number(*object, "byte_size"));
  TRY(door.regions->add(request.ctx.project, std::move(info)));
  response.send(200, "", "");
  return {};
}

base::Result<void> unregister_region(const Door& door, net::Request& request, net::Response& response,
                                     std::string_view) {
  TRY(check_shares_memory(request));
  if (const std::string_view name = request.param("region"); !name.empty()) {
    door.regions->remove(request.ctx.project, name);
  } else {
    door.regions->remove_all(request.ctx.project);
  }
  response.send(200, "", "");
  return {};
}

// Of CUDA memory no region is ever registered.
base::Result<void> no_regions(const Door&, net::Request& request, net::Response& response) {
  if (const std::string_view region = request.param("region"); !region.empty())
    return base::invalid("unable to find shared memory region '" + std::string(region.substr(0, 80)) + "'");
  response.send_json("[]");
  return {};
}

base::Result<void> refuse_region(const Door&, net::Request&, net::Response&, std::string_view) {
  return base::fail(base::Code::kUnsupported, "CUDA shared memory is not offered; system shared memory is");
}

base::Result<void> forget_regions(const Door&, net::Request&, net::Response& response, std::string_view) {
  response.send(200, "", "");  // there are none left
  return {};
}

base::Result<void> refuse_generate(const Door& door, net::Request& request, net::Response&, std::string_view) {
  TRY(find_target(door, request, request.param("model"), request.param("version"), Purpose::kLook));
  return base::fail(base::Code::kUnsupported, "generate is not offered: models here answer whole tensors, with infer");
}

}  // namespace

void add_triton_routes(net::RouteTable& routes, const DoorPtr& door) {
  using net::Method;
  constexpr auto kProtocol = net::Protocol::kInference;
  constexpr auto kAsk = base::Permission::kInfer;
  const auto get = [&](const std::string& pattern, PlainHandler handler) {
    routes.add(
        {Method::kGet, pattern, kProtocol, kAsk, {.body_bytes = 0}, without_body(door, kProtocol, std::move(handler))});
  };
  const auto post = [&](const std::string& pattern, BodyHandler handler) {
    routes.add({Method::kPost, pattern, kProtocol, kAsk, {}, with_body(door, kProtocol, std::move(handler))});
  };
  for (const std::string model : {"/v2/models/{model}", "/v2/models/{model}/versions/{version}"}) {
    get(model + "/config", config);
    get(model + "/stats", statistics);
    post(model + "/generate", refuse_generate);
    post(model + "/generate_stream", refuse_generate);
  }
  get("/v2/models/stats", statistics);
  post("/v2/repository/index", repository_index);
  for (const auto& [verb, handler] : {std::pair<const char*, BodyHandler>{"load", load}, {"unload", unload}}) {
    routes.add({Method::kPost,
                std::string("/v2/repository/models/{model}/") + verb,
                kProtocol,
                base::Permission::kAdmin,
                {.body_bytes = kControlBody, .deadline_us = kControlUs},
                with_body(door, kProtocol, handler)});
  }
  for (const std::string pattern : {"/v2/trace/setting", "/v2/models/{model}/trace/setting"}) {
    get(pattern, trace_setting);
    post(pattern, refuse_trace_setting);
  }
  get("/v2/logging", log_settings);
  post("/v2/logging", change_log_settings);
  get("/v2/systemsharedmemory/status", region_status);
  get("/v2/systemsharedmemory/region/{region}/status", region_status);
  post("/v2/systemsharedmemory/region/{region}/register", register_region);
  post("/v2/systemsharedmemory/region/{region}/unregister", unregister_region);
  post("/v2/systemsharedmemory/unregister", unregister_region);
  get("/v2/cudasharedmemory/status", no_regions);
  get("/v2/cudasharedmemory/region/{region}/status", no_regions);
  post("/v2/cudasharedmemory/region/{region}/register", refuse_region);
  post("/v2/cudasharedmemory/region/{region}/unregister", forget_regions);
  post("/v2/cudasharedmemory/unregister", forget_regions);
}

}  // namespace api::inference
