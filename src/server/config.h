// Settings of the server. Each has one value and knows where it came from: flag, then LATHE_… variable, then the
// configuration file (DIR/config.yaml, or --config FILE), then default. Thread: plain values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/log.h"
#include "base/result.h"

namespace server {

// What a setting is called everywhere: key "log_level", flag --log-level, variable LATHE_LOG_LEVEL.
struct SettingSpec {
  std::string_view key;
  std::string_view fallback;
  std::string_view help;
  bool in_file = true;
  std::string flag() const;
  std::string variable() const;
};
const std::vector<SettingSpec>& setting_specs();

struct Setting {
  std::string key;
  std::string value;   // for people: a password inside an address is hidden
  std::string source;  // "--listen", "LATHE_LISTEN", ".lathe/config.yaml:3", "default"
};

struct Config {
  base::Path dir;
  std::string address;  // to listen on
  uint16_t port = 0;
  std::string store_url;
  size_t threads = 1;
  base::log::Level log_level = base::log::Level::kInfo;
  bool log_json = false;
  bool mlflow_strict_source = true;  // see api/mlflow/mlflow.h
  std::vector<Setting> settings;  // all of them, in the order of setting_specs()
};

using Variables = std::map<std::string, std::string>;  // flags by key; environment by name
Variables environment();                               // LATHE_… of this process

base::Result<Config> load_config(const Variables& flags, const Variables& env);

}  // namespace server
