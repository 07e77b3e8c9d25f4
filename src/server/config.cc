#include "server/config.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <thread>

#include "base/yaml.h"

extern char** environ;

namespace server {
namespace {

constexpr size_t kMaxThreads = 64;

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
  if (!root.is_map()) return base::invalid(where(root.line) + ": expected settings (key: value), found " + root.describe());
  for (const auto& [key, node, line] : root.entries) {
    const auto& specs = setting_specs();
    const auto spec = std::ranges::find_if(specs, [&name = key](const SettingSpec& s) { return s.in_file && s.key == name; });
    if (spec == specs.end()) {
      std::string allowed;
      for (const auto& s : specs) {
        if (s.in_file) allowed.append(allowed.empty() ? "" : ", ").append(s.key);
      }
      return base::invalid(where(line) + ": unknown setting '" + key + "'; allowed: " + allowed);
    }
    if (!node.is_scalar()) return base::invalid(where(node.line) + ": " + key + " must be one value, found " + node.describe());
    values[key] = node.scalar;
    sources[key] = where(line);
  }
  return values;
}

std::unexpected<base::Error> bad(const Found& found, std::string_view key, std::string_view allowed) {
  return base::invalid(std::string(key) + " (from " + found.source + ") is '" + found.value + "'; allowed: " + std::string(allowed));
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

base::Result<void> understand_listen(const Found& found, Config& config) {
  const std::string& text = found.value;
  const size_t colon = text.rfind(':');
  constexpr std::string_view kForm = "ADDRESS:PORT such as 127.0.0.1:8000 or [::1]:0 (port 0: any free one)";
  if (colon == std::string::npos || colon == 0) return bad(found, "listen", kForm);
  std::string host = text.substr(0, colon);
  if (host.front() == '[') {
    if (host.back() != ']') return bad(found, "listen", kForm);
    host = host.substr(1, host.size() - 2);
  }
  auto port = number({text.substr(colon + 1), found.source}, "listen", 0, 65535);
  if (!port) return bad(found, "listen", kForm);
  config.address = host == "localhost" ? "127.0.0.1" : host;
  config.port = static_cast<uint16_t>(*port);
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
  TRY(understand_listen(found("listen"), config));
  TRY(understand_store(found("store"), config));
  if (values.at("threads") == "auto") {
    config.threads = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, 16);
  } else {
    TRY_SET(config.threads, number(found("threads"), "threads", 1, kMaxThreads));
  }
  const std::string& level = values.at("log_level");
  if (level == "debug") config.log_level = base::log::Level::kDebug;
  else if (level == "info") config.log_level = base::log::Level::kInfo;
  else if (level == "warn") config.log_level = base::log::Level::kWarn;
  else if (level == "error") config.log_level = base::log::Level::kError;
  else return bad(found("log_level"), "log_level", "debug, info, warn, error");
  const std::string& format = values.at("log_format");
  if (format != "text" && format != "json") return bad(found("log_format"), "log_format", "text, json");
  config.log_json = format == "json";
  const std::string& strict = values.at("mlflow_strict_source");
  if (strict != "0" && strict != "1") return bad(found("mlflow_strict_source"), "mlflow_strict_source", "0, 1");
  config.mlflow_strict_source = strict == "1";
  return {};
}

}  // namespace

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
      {"listen", "127.0.0.1:8000", "address and port; port 0: any free one"},
      {"store", "sqlite", "sqlite, sqlite:FILE or postgresql://…"},
      {"threads", "auto", "threads that answer requests; auto: one per core"},
      {"log_level", "info", "debug, info, warn or error"},
      {"log_format", "text", "text (for people) or json (for machines)"},
      {"mlflow_strict_source", "1", "1: a model version's runs:/ source needs its run_id (MLflow 3.17); 0: not (3.12)"},
  };
  return specs;
}

Variables environment() {
  Variables out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (text.starts_with("LATHE_") && equals != text.npos) out.emplace(text.substr(0, equals), text.substr(equals + 1));
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
    config.settings.push_back({key, key == "store" ? hide_password(config.store_url) : values[key], sources[key]});
  }
  return config;
}

}  // namespace server
