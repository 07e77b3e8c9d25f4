#include "flow/spec_json.h"

#include "base/json.h"

namespace flow {
namespace {

namespace json = base::json;
using base::JsonWriter;

void write_list(JsonWriter& w, std::string_view key, const std::vector<std::string>& list) {
  if (list.empty()) return;
  w.key(key).begin_array();
  for (const std::string& item : list) w.value(item);
  w.end_array();
}

void write_map(JsonWriter& w, std::string_view key, const TextMap& map) {
  if (map.empty()) return;
  w.key(key).begin_object();
  for (const auto& [k, v] : map) w.field(k, v);
  w.end_object();
}

void write_stage(JsonWriter& w, const StageSpec& s) {
  w.begin_object().field("name", s.name).field("group", s.group).field("cmd", s.cmd);
  write_list(w, "cmd_list", s.cmd_list);
  if (!s.desc.empty()) w.field("desc", s.desc);
  if (!s.wdir.empty()) w.field("wdir", s.wdir);
  write_list(w, "after", s.after);
  write_list(w, "deps", s.file_deps);
  if (!s.data_deps.empty()) {
    w.key("data").begin_array();
    for (const auto& d : s.data_deps) {
      w.begin_object().field("name", d.name).field("raw", d.raw);
      write_list(w, "parts", d.parts);
      w.end_object();
    }
    w.end_array();
  }
  write_list(w, "outs", s.outs);
  write_list(w, "metrics", s.metrics);
  write_list(w, "uncached", s.uncached);
  write_map(w, "params", s.params);
  write_map(w, "env", s.env);
  if (s.timeout_us) w.field("timeout_us", s.timeout_us);
  if (s.retries) w.field("retries", s.retries).field("retry_delay_us", s.retry_delay_us);
  if (s.resources.memory_bytes) w.field("memory_bytes", s.resources.memory_bytes);
  if (s.resources.cpus != 1) w.field("cpus", s.resources.cpus);
  if (s.always) w.field("always", true);
  if (s.frozen) w.field("frozen", true);
  if (s.internal) w.field("internal", true);
  w.end_object();
}

// Reading our own rows: a missing or odd field keeps its default.
std::string text_of(const json::object& o, std::string_view key) {
  const json::value* v = o.if_contains(key);
  return v && v->is_string() ? std::string(v->get_string()) : std::string();
}
int64_t int_of(const json::object& o, std::string_view key, int64_t otherwise) {
  const json::value* v = o.if_contains(key);
  if (v && v->is_int64()) return v->get_int64();
  if (v && v->is_uint64()) return static_cast<int64_t>(v->get_uint64());
  return otherwise;
}
bool bool_of(const json::object& o, std::string_view key) {
  const json::value* v = o.if_contains(key);
  return v && v->is_bool() && v->get_bool();
}
std::vector<std::string> list_of(const json::object& o, std::string_view key) {
  std::vector<std::string> out;
  const json::value* v = o.if_contains(key);
  if (v && v->is_array())
    for (const json::value& item : v->get_array())
      if (item.is_string()) out.emplace_back(item.get_string());
  return out;
}
TextMap map_of(const json::value* v) {
  TextMap out;
  if (v && v->is_object())
    for (const auto& [k, item] : v->get_object())
      if (item.is_string()) out.emplace(std::string(k), std::string(item.get_string()));
  return out;
}

StageSpec read_stage(const json::object& o) {
  StageSpec s;
  s.name = text_of(o, "name");
  s.group = text_of(o, "group");
  s.cmd = text_of(o, "cmd");
  s.cmd_list = list_of(o, "cmd_list");
  s.desc = text_of(o, "desc");
  s.wdir = text_of(o, "wdir");
  s.after = list_of(o, "after");
  s.file_deps = list_of(o, "deps");
  if (const json::value* data = o.if_contains("data"); data && data->is_array())
    for (const json::value& item : data->get_array())
      if (item.is_object()) {
        const json::object& d = item.get_object();
        s.data_deps.push_back({.name = text_of(d, "name"), .parts = list_of(d, "parts"), .raw = bool_of(d, "raw")});
      }
  s.outs = list_of(o, "outs");
  s.metrics = list_of(o, "metrics");
  s.uncached = list_of(o, "uncached");
  s.params = map_of(o.if_contains("params"));
  s.env = map_of(o.if_contains("env"));
  s.timeout_us = int_of(o, "timeout_us", 0);
  s.retries = static_cast<int>(int_of(o, "retries", 0));
  s.retry_delay_us = int_of(o, "retry_delay_us", s.retry_delay_us);
  s.resources.memory_bytes = int_of(o, "memory_bytes", 0);
  s.resources.cpus = int_of(o, "cpus", 1);
  s.always = bool_of(o, "always");
  s.frozen = bool_of(o, "frozen");
  s.internal = bool_of(o, "internal");
  return s;
}

}  // namespace

std::string spec_to_json(const PipelineSpec& spec) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().field("name", spec.name).field("bundle", spec.bundle).field("experiment", spec.experiment);
  if (spec.max_parallel) w.field("max_parallel", spec.max_parallel);
  if (!spec.cron.empty()) w.field("cron", spec.cron);
  write_map(w, "cron_params", spec.cron_params);
  w.key("stages").begin_array();
  for (const StageSpec& stage : spec.stages) write_stage(w, stage);
  w.end_array().end_object();
  return out;
}

base::Result<PipelineSpec> spec_from_json(std::string_view text) {
  TRY_SET(const json::value value, base::parse_json(text));
  TRY_SET(const json::object* o, base::as_object(value, "the pipeline"));
  PipelineSpec spec;
  spec.name = text_of(*o, "name");
  spec.bundle = text_of(*o, "bundle");
  spec.experiment = text_of(*o, "experiment");
  spec.max_parallel = int_of(*o, "max_parallel", 0);
  spec.cron = text_of(*o, "cron");
  spec.cron_params = map_of(o->if_contains("cron_params"));
  TRY_SET(const json::array* stages, base::required_array(*o, "stages"));
  for (const json::value& stage : *stages) {
    TRY_SET(const json::object* so, base::as_object(stage, "a stage"));
    spec.stages.push_back(read_stage(*so));
  }
  return spec;
}

std::string map_to_json(const TextMap& map) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  for (const auto& [k, v] : map) w.field(k, v);
  w.end_object();
  return out;
}

base::Result<TextMap> map_from_json(std::string_view text) {
  TRY_SET(const json::value value, base::parse_json(text));
  return map_of(&value);
}

}  // namespace flow
