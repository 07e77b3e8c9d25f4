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
#include "hooks/courier.h"
#include "net/address.h"
#include "server/listeners.h"
#include "server/trace_export.h"

namespace server {

// What a setting is called everywhere: key "log_level", flag --log-level, variable LATHE_LOG_LEVEL.
struct SettingSpec {
  std::string_view key;
  std::string_view fallback;
  std::string_view help;
  bool in_file = true;
  std::string_view also = {};  // variables that other programs call the same thing by, first to last; ours wins
  bool repeats = false;        // the flag may be given again: its values are joined by ','
  std::string flag() const;
  std::string variable() const;
};
const std::vector<SettingSpec>& setting_specs();

struct Setting {
  std::string key;
  std::string value;   // for people: a password inside an address is hidden
  std::string source;  // "--listen", "LATHE_LISTEN", ".lathe/config.yaml:3", "default"
};

// How a bucket is reached; its keys come from AWS's own variables and files (s3/credentials.h), never from here.
struct S3Settings {
  std::string endpoint;
  std::string region;
  std::string addressing;  // "auto", "path", "virtual"
  std::string profile;
  bool metadata = false;
  base::Path ca_file;
  int64_t cache_bytes = 0;
};

struct Config {
  base::Path dir;
  std::vector<Listener> listeners;  // at least one, and one that serves whatever runs here
  base::Path tls_cert;              // both or neither
  base::Path tls_key;
  base::Path tls_client_ca;                // "": clients are asked for no certificate
  bool tls_clients_must = false;           // on every TLS listener; else data planes alone
  std::vector<net::AddressRange> proxies;  // behind_proxy
  std::string url;                         // as others reach this server; "": made from the listener
  std::string store_url;
  std::string blobs;  // "folder" or "s3://bucket/prefix"
  S3Settings s3;
  size_t threads = 1;
  base::log::Level log_level = base::log::Level::kInfo;
  bool log_json = false;
  std::vector<std::string> allowed_hosts;  // names under which a browser may reach the server
  bool require_login = false;
  TraceOptions traces;
  bool mlflow_strict_source = true;   // see api/mlflow/mlflow.h
  std::string default_artifact_root;  // new experiments' files lie below it
  std::string artifacts_destination;  // proxied files lie there as plain files, too; "": they do not
  std::string mlflow_source_regex;
  std::vector<std::string> mlflow_host_schemes;
  int64_t purge_deleted_us = 0;         // how long what was deleted is kept; 0: until somebody removes it
  int64_t lost_after_us = 0;            // a run that is RUNNING and silent for so long is marked; 0: never
  int64_t capture_archive_us = 0;       // 0: never
  std::vector<base::Path> python_envs;  // folders of Python environments that models may name
  bool python_build = false;            // environments are built from models' requirements.txt
  uint64_t model_memory = 0;            // bytes of models in memory; 0: all stay
  hooks::Policy webhooks;
  std::string webhook_key;        // text that the secrets' key is made of; "": a key file of our own
  std::vector<Setting> settings;  // all of them, in the order of setting_specs()
};

using Variables = std::map<std::string, std::string>;  // flags by key; environment by name
Variables environment();                               // LATHE_… of this process, and what a setting is also called by
base::Result<std::string> read_blob_place(std::string_view text);  // "folder", or a bucket and prefix in one spelling

base::Result<Config> load_config(const Variables& flags, const Variables& env);

}  // namespace server
