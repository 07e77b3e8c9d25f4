// lathe serve: models of a folder or of a repository in Triton's layout, with the flags of tritonserver, the
// environment of containers, and no control plane; or a data plane of one (serve_plane.h).
#include "server/serve_models.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <thread>

#include "base/log.h"
#include "cli/command.h"
#include "cli/serve_plane.h"
#include "net/address.h"

namespace cli {
namespace {

constexpr int kMaxPort = 65535;
constexpr uint64_t kMaxPollSeconds = 86'400;

// What was given, as it was given; "" or nothing: not at all.
struct Given {
  std::string model_dir, model_name;
  std::vector<std::string> repositories, stores, load_models, allowed_hosts;
  std::string mode = "none", address, http_address, grpc_address, metrics_address;
  std::string allow_http = "true", allow_grpc = "true", allow_metrics = "true";
  int http_port = -1, grpc_port = -1, metrics_port = -1;
  uint64_t poll_seconds = 15;
  std::string strict_readiness = "true", exit_on_error = "true", memory_budget;
  std::string network, models_below, default_model;
  std::vector<std::string> python_envs;
  std::string python_build;
  std::vector<std::string> cache_config;
  std::string cache_bytes;
  std::string threads = "auto", log_level = "info", log_format = "text";
  std::string tls_cert, tls_key;
  PlaneFlags plane;
  std::vector<std::string> passed_over;  // tritonserver's flags that mean nothing here
};

// tritonserver's flags that say how its own parts work: read, so that its users' command lines run, and named once.
constexpr std::string_view kPassedOver[] = {"log-verbose",
                                            "log-info",
                                            "log-warning",
                                            "log-error",
                                            "log-file",
                                            "id",
                                            "http-thread-count",
                                            "exit-timeout-secs",
                                            "backend-directory",
                                            "backend-config",
                                            "repoagent-directory",
                                            "disable-auto-complete-config",
                                            "strict-model-config",
                                            "min-supported-compute-capability",
                                            "pinned-memory-pool-byte-size",
                                            "cuda-memory-pool-byte-size",
                                            "cache-directory",
                                            "rate-limit",
                                            "rate-limit-resource",
                                            "metrics-config",
                                            "metrics-interval-ms",
                                            "allow-gpu-metrics",
                                            "allow-cpu-metrics",
                                            "model-load-thread-count",
                                            "model-load-retry-count",
                                            "buffer-manager-thread-count",
                                            "trace-config",
                                            "http-header-forward-pattern",
                                            "grpc-header-forward-pattern",
                                            "grpc-infer-allocation-pool-size",
                                            "grpc-keepalive-time",
                                            "grpc-keepalive-timeout",
                                            "host-policy",
                                            "reuse-http-port",
                                            "reuse-grpc-port"};

[[noreturn]] void usage(const std::string& message) { throw Failure(kUsage, message); }

bool truth(const std::string& flag, const std::string& text) {
  std::string word = text;
  std::ranges::transform(word, word.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (word == "true" || word == "1" || word == "on" || word == "yes") return true;
  if (word == "false" || word == "0" || word == "off" || word == "no") return false;
  usage(flag + " is '" + text + "'; allowed: true, false");
}

// "512MiB", "2GiB", "1000000"
uint64_t read_bytes(const char* flag, const std::string& text) {
  if (text.empty()) return 0;
  char* end = nullptr;
  errno = 0;
  const unsigned long long number = std::strtoull(text.c_str(), &end, 10);
  const std::string unit(end);
  const int shift = unit.empty() || unit == "B" ? 0 : unit == "KiB" ? 10 : unit == "MiB" ? 20 : unit == "GiB" ? 30 : -1;
  if (!std::isdigit(static_cast<unsigned char>(text[0])) || errno != 0 || shift < 0 || number == 0 ||
      number > (uint64_t{1} << 50 >> shift))
    usage(std::string(flag) + " is '" + text + "'; allowed: a number of bytes, or of KiB, MiB or GiB (2GiB)");
  return uint64_t{number} << shift;
}

// Triton's --cache-config local,size=1048576, or its elder --response-cache-byte-size.
uint64_t read_cache(const Given& given) {
  uint64_t bytes = read_bytes("--response-cache-byte-size", given.cache_bytes);
  for (const std::string& text : given.cache_config) {
    const size_t comma = text.find(',');
    const std::string setting = comma == text.npos ? "" : text.substr(comma + 1);
    if (text.substr(0, comma) != "local" || !setting.starts_with("size="))
      usage("--cache-config is '" + text + "'; allowed: local,size=BYTES");
    bytes = read_bytes("--cache-config local,size", setting.substr(5));
  }
  return bytes;
}

std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

int read_port(const char* what, int given, int fallback) {
  const int port = given >= 0 ? given : fallback;
  if (port > kMaxPort)
    usage(std::string(what) + " is " + std::to_string(port) + "; allowed: 0 (any free one) to 65535");
  return port;
}

// The name that clients use for the only model: its folder's, unless that says nothing.
std::string name_of(const base::Path& folder) {
  std::error_code error;
  base::Path whole = std::filesystem::weakly_canonical(folder, error);
  if (error) whole = folder;
  const std::string name =
      whole.filename().empty() ? whole.parent_path().filename().string() : whole.filename().string();
  return name.empty() || name.front() == '.' ? "model" : name;
}

// Vertex AI puts a model into a bucket; whoever starts the container there copies it first.
std::string local_path(const char* variable, std::string place) {
  if (place.starts_with("file://")) place.erase(0, 7);
  if (place.contains("://"))
    usage(std::string(variable) + " is '" + place + "'; models are read from folders: copy it, and name its folder");
  return place;
}

// What the platform asks and where, beside the routes that are there anyway.
std::string route_of(const char* variable) {
  const std::string route = env(variable);
  if (route.empty() || (route.starts_with('/') && route.find_first_of("{}?# ") == route.npos)) return route;
  usage(std::string(variable) + " is '" + route + "'; allowed: a path that begins with '/'");
}

void choose_models(const Given& given, server::ServeOptions& out) {
  auto& repository = out.repository;
  repository.roots.assign(given.repositories.begin(), given.repositories.end());
  repository.roots.insert(repository.roots.end(), given.stores.begin(), given.stores.end());
  repository.added_below = given.models_below;
  repository.default_model = given.default_model;
  std::string folder = given.model_dir, name = given.model_name;
  if (folder.empty() && repository.roots.empty()) {
    folder = local_path("AIP_STORAGE_URI", env("AIP_STORAGE_URI"));
    if (const std::string base = env("MODEL_BASE_PATH"); folder.empty() && !base.empty()) {  // TensorFlow Serving's
      if (name.empty()) name = env("MODEL_NAME").empty() ? "model" : env("MODEL_NAME");
      folder = base + "/" + name;
    }
  }
  const bool many = env("SAGEMAKER_MULTI_MODEL") == "true";
  if (many && repository.added_below.empty()) repository.added_below = "/opt/ml/models";
  std::error_code error;
  if (folder.empty() && repository.roots.empty() && !many && std::filesystem::is_directory("/opt/ml/model", error))
    folder = "/opt/ml/model";  // where SageMaker puts the model of a container
  if (!folder.empty() && !repository.roots.empty()) usage("give MODEL_DIR or --model-repository, not both");
  if (folder.empty() && repository.roots.empty() && repository.added_below.empty())
    usage("give the folder of a model (lathe serve MODEL_DIR) or of many (--model-repository DIR)");
  if (!folder.empty()) repository.models.emplace_back(name.empty() ? name_of(folder) : name, folder);
}

server::Listener listener(std::string address, int port, net::ProtocolSet protocols, bool tls) {
  if (address == "localhost") address = "127.0.0.1";
  if (address.contains('/') || !net::AddressRange::parse(address))
    usage("the address '" + address + "' is none; allowed: an IPv4 or IPv6 address such as 127.0.0.1 or 0.0.0.0");
  return {.text = address + ":" + std::to_string(port),
          .address = address,
          .port = static_cast<uint16_t>(port),
          .protocols = protocols,
          .tls = tls};
}

// Triton's three ports for a repository, the one port of containers for a model; others where they are asked for.
void choose_listeners(const Given& given, bool single, int rest_port, bool anywhere, server::ProcessOptions& out) {
  using net::Protocol;
  const bool tls = !given.tls_cert.empty();
  if (tls == given.tls_key.empty()) usage("TLS needs both --tls-cert and --tls-key");
  const std::string common = !given.address.empty() ? given.address : anywhere ? "0.0.0.0" : "127.0.0.1";
  const auto at = [&](const std::string& own) { return own.empty() ? common : own; };
  const bool grpc = truth("--allow-grpc", given.allow_grpc) && (!single || given.grpc_port >= 0);
  const bool metrics = truth("--allow-metrics", given.allow_metrics) && (!single || given.metrics_port >= 0);
  if (truth("--allow-http", given.allow_http)) {
    net::ProtocolSet protocols = *net::parse_group("inference");
    if (!metrics && truth("--allow-metrics", given.allow_metrics))
      protocols = protocols | net::ProtocolSet{Protocol::kMetrics};
    int fallback = rest_port;
    for (const char* variable : {"SAGEMAKER_BIND_TO_PORT", "AIP_HTTP_PORT"}) {
      const std::string bound = env(variable);
      if (bound.empty()) continue;
      fallback = 0;
      const auto [end, error] = std::from_chars(bound.data(), bound.data() + bound.size(), fallback);
      if (error != std::errc() || end != bound.data() + bound.size() || fallback < 1 || fallback > kMaxPort)
        usage(std::string(variable) + " is '" + bound + "'; allowed: 1 to 65535");
    }
    out.listeners.push_back(
        listener(at(given.http_address), read_port("--http-port", given.http_port, fallback), protocols, tls));
  }
  if (grpc)
    out.listeners.push_back(listener(at(given.grpc_address), read_port("--grpc-port", given.grpc_port, 8001),
                                     {Protocol::kGrpc, Protocol::kOps}, tls));
  if (metrics)
    out.listeners.push_back(listener(at(given.metrics_address), read_port("--metrics-port", given.metrics_port, 8002),
                                     {Protocol::kMetrics, Protocol::kOps}, tls));
  if (out.listeners.empty()) usage("--allow-http, --allow-grpc and --allow-metrics leave nothing to listen for");
}

void check_exposure(const server::ServeOptions& options) {
  for (const auto& l : options.listeners) {
    if (net::is_loopback(l.address) || options.network != server::NetworkAccess::kNone) continue;
    usage("other machines reach " + l.text +
          ", and nobody logs in here; say what they may do: --network-access infer "
          "(ask models) or --network-access control (change what is served, too)");
  }
}

void understand_process(const Given& given, server::ProcessOptions& out) {
  out.tls_cert = given.tls_cert;
  out.tls_key = given.tls_key;
  out.allowed_hosts = given.allowed_hosts;
  out.threads = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, 16);
  if (given.threads != "auto") {
    const int threads = std::atoi(given.threads.c_str());
    if (threads < 1 || threads > 64) usage("--threads is '" + given.threads + "'; allowed: auto, 1 to 64");
    out.threads = static_cast<size_t>(threads);
  }
  using base::log::Level;
  const std::pair<const char*, Level> levels[] = {
      {"debug", Level::kDebug}, {"info", Level::kInfo}, {"warn", Level::kWarn}, {"error", Level::kError}};
  const auto* level =
      std::ranges::find(levels, given.log_level, [](const auto& l) { return std::string_view(l.first); });
  if (level == std::end(levels)) usage("--log-level is '" + given.log_level + "'; allowed: debug, info, warn, error");
  out.log_level = level->second;
  if (given.log_format != "text" && given.log_format != "json")
    usage("--log-format is '" + given.log_format + "'; allowed: text, json");
  out.log_json = given.log_format == "json";
}

server::PlaneOptions understand_plane(const Given& given, const Common& common) {
  if (!given.model_dir.empty() || !given.repositories.empty() || !given.stores.empty())
    usage("--control says what is served; MODEL_DIR and --model-repository do not go with it");
  if (!given.network.empty() && given.network != "none")
    usage("callers log in with a token of the control plane; --network-access does not go with --control");
  server::PlaneOptions out;
  choose_listeners(given, true, 8000, false, out);
  understand_process(given, out);
  understand(given.plane, common, out);
  return out;
}

server::ServeOptions understand(const Given& given) {
  server::ServeOptions out;
  const std::string network = given.network.empty() ? env("LATHE_NETWORK_ACCESS") : given.network;
  if (network == "infer")
    out.network = server::NetworkAccess::kInfer;
  else if (network == "control")
    out.network = server::NetworkAccess::kControl;
  else if (!network.empty() && network != "none")
    usage("--network-access is '" + network + "'; allowed: none, infer, control");
  choose_models(given, out);
  const bool single = out.repository.roots.empty();
  choose_listeners(given, single, single ? 8080 : 8000, out.network != server::NetworkAccess::kNone, out);
  check_exposure(out);
  auto& repository = out.repository;
  if (given.mode == "poll")
    repository.mode = repository::Mode::kPoll;
  else if (given.mode == "explicit")
    repository.mode = repository::Mode::kExplicit;
  else if (given.mode != "none")
    usage("--model-control-mode is '" + given.mode + "'; allowed: none, poll, explicit");
  if (!given.load_models.empty() && repository.mode != repository::Mode::kExplicit)
    usage("--load-model needs --model-control-mode=explicit");
  repository.load_at_start = given.load_models;
  if (given.poll_seconds < 1 || given.poll_seconds > kMaxPollSeconds)
    usage("--repository-poll-secs is " + std::to_string(given.poll_seconds) + "; allowed: 1 to 86400");
  repository.poll_us = static_cast<int64_t>(given.poll_seconds) * 1'000'000;
  repository.strict_readiness = truth("--strict-readiness", given.strict_readiness);
  repository.exit_on_error = truth("--exit-on-error", given.exit_on_error);
  repository.memory_budget = read_bytes("--model-memory-budget", given.memory_budget);
  repository.cache_bytes = read_cache(given);
  repository.python_roots.assign(given.python_envs.begin(), given.python_envs.end());
  repository.python_build = given.python_build;
  out.health_route = route_of("AIP_HEALTH_ROUTE");
  out.predict_route = route_of("AIP_PREDICT_ROUTE");
  understand_process(given, out);
  if (out.allowed_hosts.empty() && out.network != server::NetworkAccess::kNone) out.allowed_hosts.emplace_back("*");
  return out;
}

void add_flags(CLI::App& serve, Given& given) {
  serve.add_option("MODEL_DIR", given.model_dir,
                   "folder of one model: MLflow's, one with a model's file, or one of a repository");
  serve.add_option("--model-name", given.model_name, "what MODEL_DIR's model is called [its folder's name]");
  serve.add_option("--model-repository", given.repositories, "folder of models in Triton's layout; may be repeated");
  serve.add_option("--model-control-mode", given.mode,
                   "none: all models, once; poll: what changes is loaded anew; explicit: on request [none]");
  serve.add_option("--load-model", given.load_models, "explicit: load at start; may be repeated; '*': all");
  serve.add_option("--repository-poll-secs", given.poll_seconds, "poll: seconds between two looks [15]");
  serve.add_option("--default-model", given.default_model, "model that /invocations asks, where there are several")
      ->envname("SAGEMAKER_TRITON_DEFAULT_MODEL_NAME");
  serve.add_option(
      "--models-below", given.models_below,
      "folder below which POST /models may take models from [none; /opt/ml/models if SAGEMAKER_MULTI_MODEL is true]");
  serve.add_option("--model-memory-budget", given.memory_budget,
                   "load models at their first request, and keep so many bytes of files (2GiB) [all models, at start]");
  serve.add_option("--cache-config", given.cache_config,
                   "local,size=BYTES: keep answers of models with response_cache [none are kept]");
  serve.add_option("--response-cache-byte-size", given.cache_bytes)->group("");
  serve.add_option("--python-envs", given.python_envs,
                   "folder of Python environments (FOLDER/NAME/bin/python) that models may name; may be repeated");
  serve.add_option("--python-build", given.python_build,
                   "folder in which Python environments are built from models' requirements.txt [none are]");
  serve.add_option("--strict-readiness", given.strict_readiness, "true: ready when every model is [true]");
  serve.add_option("--exit-on-error", given.exit_on_error, "true: do not start if a model cannot be loaded [true]");
  serve.add_option("--address", given.address, "to listen on [127.0.0.1; 0.0.0.0 with --network-access]");
  serve.add_option("--http-port", given.http_port,
                   "REST; 0: any free one [8000; of MODEL_DIR 8080, or AIP_HTTP_PORT or SAGEMAKER_BIND_TO_PORT]");
  serve.add_option("--grpc-port", given.grpc_port,
                   "gRPC, which the REST port speaks as well [8001; of MODEL_DIR none]");
  serve.add_option("--metrics-port", given.metrics_port, "/metrics [8002; of MODEL_DIR the REST port]");
  serve.add_option("--http-address", given.http_address, "of the REST port alone");
  serve.add_option("--grpc-address", given.grpc_address, "of the gRPC port alone");
  serve.add_option("--metrics-address", given.metrics_address, "of the metrics port alone");
  serve.add_option("--allow-http", given.allow_http, "[true]");
  serve.add_option("--allow-grpc", given.allow_grpc, "[true]");
  serve.add_option("--allow-metrics", given.allow_metrics, "[true]");
  serve.add_option("--network-access", given.network,
                   "what other machines may do without a login: none, infer, control [none]; LATHE_NETWORK_ACCESS");
  add_plane_flags(serve, given.plane);
  serve.add_option("--allowed-host", given.allowed_hosts,
                   "name under which browsers may reach us, besides localhost; may be repeated");
  serve.add_option("--tls-cert", given.tls_cert, "PEM file: certificate, then its issuers");
  serve.add_option("--tls-key", given.tls_key, "PEM file: its private key");
  serve.add_option("--threads", given.threads, "threads of a port [auto: one per core]");
  serve.add_option("--log-level", given.log_level, "debug, info, warn or error [info]");
  serve.add_option("--log-format", given.log_format, "text or json [text]");
  // The same by the names that others give them.
  serve.add_option("--model-dir,--model_dir", given.model_dir)->group("");
  serve.add_option("--model_name", given.model_name)->group("");
  serve.add_option("--model-store", given.stores)->type_size(1)->allow_extra_args(false)->group("");
  serve.add_option("--http_port", given.http_port)->group("");
  serve.add_option("--grpc_port", given.grpc_port)->group("");
  for (const std::string_view name : kPassedOver) {
    serve
        .add_option_function<std::string>("--" + std::string(name),
                                          [&given, name](const std::string&) { given.passed_over.emplace_back(name); })
        ->group("");
  }
  serve.get_option("--model-repository")->type_size(1)->allow_extra_args(false);
  serve.get_option("--load-model")->type_size(1)->allow_extra_args(false);
  serve.get_option("--cache-config")->type_size(1)->allow_extra_args(false);
  serve.get_option("--python-envs")->type_size(1)->allow_extra_args(false);
  serve.get_option("--allowed-host")->type_size(1)->allow_extra_args(false);
}

}  // namespace

void add_serve_models_command(CLI::App& app, Common& common) {
  auto* serve = app.add_subcommand("serve", "Serve models of a folder, or the endpoints of a control plane elsewhere");
  auto given = std::make_shared<Given>();
  add_flags(*serve, *given);
  serve->callback([given, &common] {
    if (!given->plane.control.empty()) {
      common.exit_code = server::serve_plane(understand_plane(*given, common));
      return;
    }
    const server::ServeOptions options = understand(*given);
    if (!given->passed_over.empty()) {
      std::string names;
      for (const auto& name : given->passed_over) names += (names.empty() ? "--" : ", --") + name;
      base::log::warn("flags that say nothing to this server", {{"flags", names}});
    }
    common.exit_code = server::serve_models(options);
  });
}

}  // namespace cli
