#include "server/config.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <set>
#include <thread>

#include "base/yaml.h"

extern char** environ;

namespace server {
namespace {

constexpr size_t kMaxThreads = 64;
constexpr size_t kMaxListeners = 16;

// A setting as it was found, before it is understood.
struct Found {
  std::string value;
  std::string source;
};

base::Result<Variables> read_file_settings(const base::Path& file, bool must_exist, Variables& sources) {
  Variables values;
  auto text = base::read_file(file, 1 << 20);
  if (!text) {
    if (text.error().code == base::Code::kNotFound && !must_exist) return values;
    return std::unexpected(std::move(text).error());
  }
  TRY_SET(const base::yaml::Node root, base::yaml::parse(*text, file.string()));
  if (root.is_null()) return values;
  const auto where = [&](int line) { return file.string() + ":" + std::to_string(line); };
  if (!root.is_map())
    return base::invalid(where(root.line) + ": expected settings (key: value), found " + root.describe());
  for (const auto& [key, node, line] : root.entries) {
    const auto& specs = setting_specs();
    const auto spec =
        std::ranges::find_if(specs, [&name = key](const SettingSpec& s) { return s.in_file && s.key == name; });
    if (spec == specs.end()) {
      std::string allowed;
      for (const auto& s : specs) {
        if (s.in_file) allowed.append(allowed.empty() ? "" : ", ").append(s.key);
      }
      return base::invalid(where(line) + ": unknown setting '" + key + "'; allowed: " + allowed);
    }
    if (!node.is_scalar())
      return base::invalid(where(node.line) + ": " + key + " must be one value, found " + node.describe());
    values[key] = node.scalar;
    sources[key] = where(line);
  }
  return values;
}

std::unexpected<base::Error> bad(const Found& found, std::string_view key, std::string_view allowed) {
  return base::invalid(std::string(key) + " (from " + found.source + ") is '" + found.value +
                       "'; allowed: " + std::string(allowed));
}

base::Result<uint64_t> number(const Found& found, std::string_view key, uint64_t least, uint64_t most) {
  uint64_t n = 0;
  const char* end = found.value.data() + found.value.size();
  const auto [stop, ec] = std::from_chars(found.value.data(), end, n);
  if (ec != std::errc() || stop != end || n < least || n > most) {
    return bad(found, key, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return n;
}

// What stages, notebooks and the command line ask of the server that started them.
constexpr net::ProtocolSet kHome{net::Protocol::kLathe, net::Protocol::kMlflow, net::Protocol::kMlflowText};

// "127.0.0.1:8000,0.0.0.0:8001=inference"
base::Result<void> understand_listen(const Found& found, Config& config) {
  std::string_view rest = found.value;
  do {
    const size_t comma = std::min(rest.find(','), rest.size());
    std::string_view one = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    while (one.starts_with(' ')) one.remove_prefix(1);
    while (one.ends_with(' ')) one.remove_suffix(1);
    auto listener = parse_listener(one, !config.tls_cert.empty());
    if (!listener) return base::invalid("listen (from " + found.source + ") is " + listener.error().message);
    config.listeners.push_back(std::move(*listener));
  } while (!rest.empty());
  if (config.listeners.size() > kMaxListeners)
    return base::invalid("listen (from " + found.source + ") names " + std::to_string(config.listeners.size()) +
                         " listeners; at most " + std::to_string(kMaxListeners) + " are allowed");
  if (std::ranges::any_of(config.listeners, [](const Listener& l) { return l.protocols.contains(kHome); })) return {};
  return base::invalid("listen (from " + found.source + ") is '" + found.value +
                       "': no listener serves all that stages and the command line need; add one with all protocols, "
                       "such as --listen 127.0.0.1:8000");
}

base::Result<void> understand_tls(const Found& cert, const Found& key, Config& config) {
  if (cert.value.empty() != key.value.empty()) {
    const bool has_cert = key.value.empty();
    return base::invalid(std::string(has_cert ? "tls_cert" : "tls_key") + " (from " + (has_cert ? cert : key).source +
                         ") is given without " + (has_cert ? "tls_key" : "tls_cert") + "; TLS needs both");
  }
  config.tls_cert = cert.value;
  config.tls_key = key.value;
  return {};
}

base::Result<void> understand_client_ca(const Found& ca, const Found& must, Config& config) {
  config.tls_client_ca = ca.value;
  config.tls_clients_must = must.value == "all";
  if (must.value != "all" && must.value != "planes") return bad(must, "tls_client_auth", "planes, all");
  if (!ca.value.empty() && config.tls_cert.empty())
    return base::invalid("tls_client_ca (from " + ca.source + ") is given without tls_cert and tls_key");
  if (ca.value.empty() && config.tls_clients_must)
    return base::invalid("tls_client_auth (from " + must.source + ") is 'all' without a tls_client_ca");
  return {};
}

base::Result<void> understand_proxies(const Found& found, Config& config) {
  auto ranges = net::parse_ranges(found.value);
  if (!ranges) {
    return bad(found, "behind_proxy",
               "addresses of the proxies that stand before this server, such as 127.0.0.1 or 10.0.0.0/8,10.1.2.3");
  }
  config.proxies = std::move(*ranges);
  return {};
}

// Secrets do not travel in the clear: what other machines reach speaks TLS, or stands behind something that does.
base::Result<void> understand_exposure(const Found& listen, const Config& config) {
  for (const Listener& listener : config.listeners) {
    if (net::is_loopback(listener.address) || listener.tls || !config.proxies.empty()) continue;
    return base::invalid("listen is '" + listener.text + "' (from " + listen.source +
                         "), which other machines reach; that wants TLS (--tls-cert, --tls-key) or a proxy in front "
                         "that speaks it (--behind-proxy ADDRESSES), and a user (lathe user add)");
  }
  return {};
}

base::Result<void> understand_url(const Found& found, Config& config) {
  config.url = found.value;
  while (config.url.ends_with('/')) config.url.pop_back();
  if (config.url.empty()) return {};
  const size_t scheme = config.url.starts_with("https://") ? 8 : config.url.starts_with("http://") ? 7 : 0;
  if (scheme == 0 || config.url.size() == scheme || config.url.find_first_of("/?#@ \t", scheme) != std::string::npos)
    return bad(found, "url", "http://HOST[:PORT] or https://HOST[:PORT]");
  return {};
}

base::Result<void> understand_store(const Found& found, Config& config) {
  const std::string& url = found.value;
  if (url == "sqlite") {
    config.store_url = "sqlite:" + (config.dir / "lathe.db").string();
  } else if (url.starts_with("postgresql://") || url.starts_with("postgres://") ||
             (url.starts_with("sqlite:") && url.size() > 7)) {
    config.store_url = url;
  } else {
    return bad(found, "store", "sqlite, sqlite:FILE or postgresql://…");
  }
  return {};
}

base::Result<bool> understand_switch(const Found& found, std::string_view key) {
  if (found.value != "0" && found.value != "1") return bad(found, key, "0, 1");
  return found.value == "1";
}

base::Result<void> understand_s3(const Variables& values, const Variables& sources, Config& config) {
  const auto found = [&](const char* key) { return Found{values.at(key), sources.at(key)}; };
  auto place = read_blob_place(values.at("blobs"));
  if (!place) return bad(found("blobs"), "blobs", "folder, or s3://BUCKET/PREFIX");
  config.blobs = std::move(*place);
  S3Settings& s3 = config.s3;
  s3.endpoint = values.at("s3_endpoint");
  while (s3.endpoint.ends_with('/')) s3.endpoint.pop_back();
  const size_t scheme = s3.endpoint.starts_with("https://") ? 8 : s3.endpoint.starts_with("http://") ? 7 : 0;
  const bool good = s3.endpoint.empty() || (scheme > 0 && s3.endpoint.size() > scheme &&
                                            s3.endpoint.find_first_of("/?#@ \t", scheme) == std::string::npos);
  // What the environment says to others is no reason to refuse a store that is not there.
  if (!good && config.blobs != "folder") return bad(found("s3_endpoint"), "s3_endpoint", "http[s]://HOST[:PORT]");
  s3.region = values.at("s3_region");
  s3.addressing = values.at("s3_addressing");
  if (s3.addressing != "auto" && s3.addressing != "path" && s3.addressing != "virtual")
    return bad(found("s3_addressing"), "s3_addressing", "auto, path, virtual");
  s3.profile = values.at("s3_profile");
  s3.ca_file = values.at("s3_ca");
  TRY_SET(s3.metadata, understand_switch(found("s3_metadata"), "s3_metadata"));
  TRY_SET(const uint64_t cache, number(found("s3_cache_mib"), "s3_cache_mib", 0, uint64_t{1} << 30));
  s3.cache_bytes = static_cast<int64_t>(cache) << 20;
  return {};
}

// "lathe.example.org, *.ml.example.org": names as a browser sends them, without a port.
base::Result<void> understand_hosts(const Found& found, Config& config) {
  std::string_view rest = found.value;
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    std::string host(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    std::erase(host, ' ');
    if (host.empty()) continue;
    std::ranges::transform(host, host.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const size_t from = host.starts_with("*.") ? 2 : 0;
    const bool name = std::all_of(host.begin() + static_cast<std::ptrdiff_t>(from), host.end(),
                                  [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '.'; });
    if (host != "*" && (!name || host.size() == from))
      return bad(found, "allowed_host", "names without a port, such as lathe.example.org,*.ml.example.org, or *");
    config.allowed_hosts.push_back(std::move(host));
  }
  return {};
}

base::Result<void> understand_models(const Variables& values, const Variables& sources, Config& config) {
  const auto found = [&](const char* key) { return Found{values.at(key), sources.at(key)}; };
  std::string_view rest = values.at("python_envs");
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const base::Path folder(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    std::error_code error;
    if (!folder.is_absolute() || !std::filesystem::is_directory(folder, error))
      return bad(found("python_envs"), "python_envs", "absolute paths of folders that are there");
    config.python_envs.push_back(folder);
  }
  TRY_SET(config.python_build, understand_switch(found("python_build"), "python_build"));
  TRY_SET(const uint64_t memory, number(found("model_memory_mib"), "model_memory_mib", 0, uint64_t{1} << 30));
  config.model_memory = memory << 20;
  return {};
}

base::Result<void> understand_traces(const Variables& values, const Variables& sources, Config& config) {
  TraceOptions& traces = config.traces;
  traces.endpoint = values.at("otlp_endpoint");
  while (traces.endpoint.ends_with('/')) traces.endpoint.pop_back();
  if (!traces.endpoint.empty() && !traces.endpoint.starts_with("http://") && !traces.endpoint.starts_with("https://"))
    return bad({values.at("otlp_endpoint"), sources.at("otlp_endpoint")}, "otlp_endpoint",
               "http://HOST:4318 or https://…");
  if (traces.endpoint.empty()) return {};  // what the environment says to others is no reason to refuse
  traces.service = values.at("otlp_service");
  if (auto read = read_sampler(values.at("otlp_sampler"), values.at("otlp_sampler_arg"), traces); !read)
    return base::invalid("otlp_sampler (from " + sources.at("otlp_sampler") + "): " + read.error().message);
  if (auto read = read_headers(values.at("otlp_headers"), traces); !read)
    return base::invalid("otlp_headers (from " + sources.at("otlp_headers") + "): " + read.error().message);
  return {};
}

base::Result<void> understand_webhooks(const Variables& values, const Variables& sources, Config& config) {
  const auto found = [&](const char* key) { return Found{values.at(key), sources.at(key)}; };
  config.webhooks.schemes.clear();
  std::string_view rest = values.at("webhook_schemes");
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    std::string scheme(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    std::erase(scheme, ' ');
    if (scheme != "https" && scheme != "http") return bad(found("webhook_schemes"), "webhook_schemes", "https, http");
    config.webhooks.schemes.push_back(std::move(scheme));
  }
  std::string yes = values.at("webhook_private_ips");  // a switch as MLflow's users write it
  std::ranges::transform(yes, yes.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (yes != "0" && yes != "1" && yes != "true" && yes != "false")
    return bad(found("webhook_private_ips"), "webhook_private_ips", "0, 1, false, true");
  config.webhooks.allow_private = yes == "1" || yes == "true";
  TRY_SET(const uint64_t timeout_s, number(found("webhook_timeout_s"), "webhook_timeout_s", 1, 300));
  config.webhooks.timeout_us = static_cast<int64_t>(timeout_s) * 1'000'000;
  TRY_SET(const uint64_t retries, number(found("webhook_retries"), "webhook_retries", 0, 100));
  config.webhooks.max_retries = static_cast<int64_t>(retries);
  config.webhook_key = values.at("webhook_key");
  return {};
}

base::Result<void> understand_mlflow(const Variables& values, const Variables& sources, Config& config) {
  const auto found = [&](const char* key) { return Found{values.at(key), sources.at(key)}; };
  std::string root = values.at("default_artifact_root");
  const bool is_uri = root.find(":/") != root.npos;
  if (root.find_first_of("#?;") != root.npos || (!is_uri && !root.starts_with('/'))) {
    return bad(
        found("default_artifact_root"), "default_artifact_root",
        "an absolute folder or a URI without query and fragment, such as mlflow-artifacts:/ or s3://bucket/path");
  }
  config.default_artifact_root = std::move(root);
  std::string destination = values.at("artifacts_destination");
  if (!destination.empty() && !destination.starts_with("file:/")) {
    if (destination.find(":/") != destination.npos)
      return bad(found("artifacts_destination"), "artifacts_destination",
                 "a folder or file:///…; for a bucket use --blobs s3://BUCKET/PREFIX");
    destination = std::filesystem::absolute(destination).lexically_normal().string();
  }
  config.artifacts_destination = std::move(destination);
  config.mlflow_source_regex = values.at("mlflow_source_regex");
  std::string_view rest = values.at("mlflow_host_schemes");
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    std::string scheme(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    std::erase(scheme, ' ');
    std::ranges::transform(scheme, scheme.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (!scheme.empty()) config.mlflow_host_schemes.push_back(std::move(scheme));
  }
  TRY_SET(const uint64_t days, number(found("purge_deleted_after_days"), "purge_deleted_after_days", 0, 36'500));
  config.purge_deleted_us = static_cast<int64_t>(days) * 86'400'000'000;
  TRY_SET(const uint64_t lost, number(found("run_lost_after_minutes"), "run_lost_after_minutes", 0, 525'600));
  config.lost_after_us = static_cast<int64_t>(lost) * 60'000'000;
  return {};
}

std::string hide_password(const std::string& url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string::npos) return url;
  const size_t at = url.find('@', scheme);
  const size_t colon = url.find(':', scheme + 3);
  if (at == std::string::npos || colon == std::string::npos || colon > at) return url;
  return url.substr(0, colon + 1) + "***" + url.substr(at);
}

base::Result<void> understand(const Variables& values, const Variables& sources, Config& config) {
  const auto found = [&](const char* key) { return Found{values.at(key), sources.at(key)}; };
  if (values.at("dir").empty()) return bad(found("dir"), "dir", "a folder");
  config.dir = values.at("dir");
  TRY(understand_tls(found("tls_cert"), found("tls_key"), config));
  TRY(understand_client_ca(found("tls_client_ca"), found("tls_client_auth"), config));
  TRY(understand_listen(found("listen"), config));
  TRY(understand_proxies(found("behind_proxy"), config));
  TRY(understand_exposure(found("listen"), config));
  TRY(understand_url(found("url"), config));
  TRY(understand_store(found("store"), config));
  if (values.at("threads") == "auto") {
    config.threads = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, 16);
  } else {
    TRY_SET(config.threads, number(found("threads"), "threads", 1, kMaxThreads));
  }
  const std::string& level = values.at("log_level");
  if (level == "debug")
    config.log_level = base::log::Level::kDebug;
  else if (level == "info")
    config.log_level = base::log::Level::kInfo;
  else if (level == "warn")
    config.log_level = base::log::Level::kWarn;
  else if (level == "error")
    config.log_level = base::log::Level::kError;
  else
    return bad(found("log_level"), "log_level", "debug, info, warn, error");
  const std::string& format = values.at("log_format");
  if (format != "text" && format != "json") return bad(found("log_format"), "log_format", "text, json");
  config.log_json = format == "json";
  TRY(understand_hosts(found("allowed_host"), config));
  TRY_SET(config.require_login, understand_switch(found("require_login"), "require_login"));
  TRY_SET(config.mlflow_strict_source, understand_switch(found("mlflow_strict_source"), "mlflow_strict_source"));
  TRY_SET(const uint64_t archive, number(found("capture_archive_s"), "capture_archive_s", 0, 31'536'000));
  config.capture_archive_us = static_cast<int64_t>(archive) * 1'000'000;
  TRY(understand_models(values, sources, config));
  TRY(understand_webhooks(values, sources, config));
  TRY(understand_mlflow(values, sources, config));
  TRY(understand_s3(values, sources, config));
  return understand_traces(values, sources, config);
}

// The variables of spec.also, one after the other.
std::vector<std::string> other_names(const SettingSpec& spec) {
  std::vector<std::string> names;
  for (std::string_view rest = spec.also; !rest.empty();) {
    const size_t space = std::min(rest.find(' '), rest.size());
    names.emplace_back(rest.substr(0, space));
    rest.remove_prefix(std::min(space + 1, rest.size()));
  }
  return names;
}

}  // namespace

base::Result<std::string> read_blob_place(std::string_view text) {
  if (text == "folder") return std::string(text);
  constexpr std::string_view kScheme = "s3://";
  if (!text.starts_with(kScheme)) return base::invalid("'" + std::string(text) + "' is neither folder nor s3://…");
  std::string_view rest = text.substr(kScheme.size());
  while (rest.ends_with('/')) rest.remove_suffix(1);
  const auto printable = [](unsigned char c) { return c > ' ' && c != 0x7f && c != '?' && c != '#' && c != '@'; };
  if (!base::is_safe_relative_path(rest) || !std::ranges::all_of(rest, printable))
    return base::invalid("'" + std::string(text) + "' is not s3://BUCKET/PREFIX");
  return std::string(kScheme) + std::string(rest);
}

std::string SettingSpec::flag() const {
  std::string out = "--" + std::string(key);
  std::ranges::replace(out, '_', '-');
  return out;
}

std::string SettingSpec::variable() const {
  std::string out = "LATHE_";
  for (char c : key) out += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

const std::vector<SettingSpec>& setting_specs() {
  static const std::vector<SettingSpec> specs = {
      {"dir", ".lathe", "folder that holds all state", false},
      {"config", "", "configuration file; default: config.yaml in the folder, if there is one", false},
      {"listen",
       "127.0.0.1:8000",
       "ADDRESS:PORT[=GROUP], may be repeated; port 0: any free one; groups: all, inference, tracking, api, ui, "
       "airflow, metrics, plane, a+b; beyond this machine only with a user, and TLS or --behind-proxy",
       true,
       {},
       true},
      {"tls_cert", "", "PEM file: this server's certificate, then its issuers; read again when it changes"},
      {"tls_key", "", "PEM file: the certificate's private key, without a passphrase"},
      {"tls_client_ca", "", "PEM file: authorities of clients' certificates; data planes then must show one"},
      {"tls_client_auth", "planes", "who must show a certificate of tls_client_ca: planes, or all (on TLS listeners)"},
      {"behind_proxy", "",
       "addresses of proxies in front, whose X-Forwarded-* headers are believed: 10.0.0.0/8,127.0.0.1"},
      {"url", "", "how clients and stages reach this server: https://lathe.example.org; default: made from listen"},
      {"allowed_host", "",
       "names under which browsers may reach this server, besides localhost: a.example.org,*.b.org"},
      {"require_login", "0", "1: also whoever runs the server must log in; 0: on this machine he is its administrator"},
      {"store", "sqlite", "sqlite, sqlite:FILE or postgresql://…"},
      {"blobs", "folder", "where files are kept: folder, or s3://BUCKET/PREFIX (keys: AWS's own variables and files)"},
      {"s3_endpoint", "", "an S3 server that is not AWS's: http[s]://HOST[:PORT]", true,
       "AWS_ENDPOINT_URL_S3 AWS_ENDPOINT_URL"},
      {"s3_region", "us-east-1", "region of the bucket", true, "AWS_REGION AWS_DEFAULT_REGION"},
      {"s3_addressing", "auto", "bucket in the path or in the host's name: path, virtual; auto: path beside AWS"},
      {"s3_profile", "", "profile of the shared credentials file, then the only source of keys"},
      {"s3_metadata", "0", "1: keys may come from the container's or instance's metadata service"},
      {"s3_ca", "", "PEM file: authorities to trust instead of the system's", true, "AWS_CA_BUNDLE"},
      {"s3_cache_mib", "10240", "MiB of files of the bucket that are kept in the folder"},
      {"threads", "auto", "threads that answer requests; auto: one per core"},
      {"log_level", "info", "debug, info, warn or error"},
      {"log_format", "text", "text (for people) or json (for machines)"},
      {"mlflow_strict_source", "1", "1: a model version's runs:/ source needs its run_id (MLflow 3.17); 0: not (3.12)"},
      {"default_artifact_root", "mlflow-artifacts:/",
       "where files of new experiments lie: mlflow-artifacts:/ (in this server), a folder or URI that clients reach",
       true, "MLFLOW_DEFAULT_ARTIFACT_ROOT"},
      {"artifacts_destination", "", "folder where proxied files also lie as plain files; none: in the store alone",
       true, "MLFLOW_ARTIFACTS_DESTINATION"},
      {"mlflow_source_regex", "", "a model version's source must match this regular expression; none: any", true,
       "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX"},
      {"mlflow_host_schemes", "", "schemes that name a host (http,hdfs,…) and are accepted for files all the same",
       true, "MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES"},
      {"purge_deleted_after_days", "0",
       "days after which deleted runs, logged models and experiments go for good; 0: by 'lathe gc' only"},
      {"run_lost_after_minutes", "0",
       "minutes of silence after which a RUNNING run is marked FAILED and lost; 0: never"},
      {"otlp_endpoint", "",
       "OpenTelemetry collector that gets our own traces, such as http://127.0.0.1:4318; none: off", true,
       "OTEL_EXPORTER_OTLP_ENDPOINT"},
      {"otlp_service", "lathe", "our name in traces", true, "OTEL_SERVICE_NAME"},
      {"otlp_sampler", "parentbased_always_on", "which requests are traced, by OpenTelemetry's names of samplers", true,
       "OTEL_TRACES_SAMPLER"},
      {"otlp_sampler_arg", "1", "share of traces kept by traceidratio, from 0 to 1", true, "OTEL_TRACES_SAMPLER_ARG"},
      {"otlp_headers", "", "key=value,… sent to the collector with each call", true, "OTEL_EXPORTER_OTLP_HEADERS"},
      {"capture_archive_s", "600", "seconds after its last request that a capture segment becomes Parquet; 0: never"},
      {"python_envs", "", "folders of Python environments (FOLDER/NAME/bin/python) that models may name", true, "",
       true},
      {"python_build", "0",
       "1: build a model's Python environment from its requirements.txt (pip, with its variables)"},
      {"model_memory_mib", "0", "MiB of models in memory, loaded at their first request; 0: all, at once"},
      {"webhook_schemes", "https", "what webhook URLs may begin with: https, http", true,
       "MLFLOW_WEBHOOK_ALLOWED_SCHEMES"},
      {"webhook_private_ips", "0", "1: webhooks may reach private and local addresses, too", true,
       "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS"},
      {"webhook_timeout_s", "30", "seconds that a webhook's receiver has to answer", true,
       "MLFLOW_WEBHOOK_REQUEST_TIMEOUT"},
      {"webhook_retries", "8", "how often a failed delivery of a webhook is tried again", true,
       "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES"},
      {"webhook_key", "", "text whose key seals the secrets of webhooks; default: webhooks.key in the folder", true,
       "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"},
  };
  return specs;
}

Variables environment() {
  std::set<std::string, std::less<>> others;
  for (const auto& spec : setting_specs()) {
    for (std::string& name : other_names(spec)) others.insert(std::move(name));
  }
  Variables out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == text.npos) continue;
    const std::string_view name = text.substr(0, equals);
    if (name.starts_with("LATHE_") || name.starts_with("OTEL_") || others.contains(name))
      out.emplace(name, text.substr(equals + 1));
  }
  return out;
}

base::Result<Config> load_config(const Variables& flags, const Variables& env) {
  Variables values;
  Variables sources;
  const auto take = [&](const SettingSpec& spec) {
    if (auto flag = flags.find(std::string(spec.key)); flag != flags.end()) {
      values[std::string(spec.key)] = flag->second;
      sources[std::string(spec.key)] = spec.flag();
    } else if (auto variable = env.find(spec.variable()); variable != env.end()) {
      values[std::string(spec.key)] = variable->second;
      sources[std::string(spec.key)] = spec.variable();
    } else {
      for (const std::string& name : other_names(spec)) {
        const auto other = env.find(name);
        if (other == env.end()) continue;
        values[std::string(spec.key)] = other->second;
        sources[std::string(spec.key)] = name;
        break;
      }
    }
  };
  for (const auto& spec : setting_specs()) {
    values[std::string(spec.key)] = spec.fallback;
    sources[std::string(spec.key)] = "default";
    if (!spec.in_file) take(spec);
  }
  base::Path file = values["config"];
  const bool named = !file.empty();
  if (!named) file = base::Path(values["dir"]) / "config.yaml";
  TRY_SET(const Variables from_file, read_file_settings(file, named, sources));
  for (const auto& [key, value] : from_file) values[key] = value;
  for (const auto& spec : setting_specs()) {
    if (spec.in_file) take(spec);
  }
  Config config;
  TRY(understand(values, sources, config));
  for (const auto& spec : setting_specs()) {
    const std::string key(spec.key);
    std::string shown = key == "store" ? hide_password(config.store_url) : values[key];
    if ((key == "otlp_headers" || key == "webhook_key") && !shown.empty()) shown = "***";
    config.settings.push_back({key, std::move(shown), sources[key]});
  }
  return config;
}

}  // namespace server
