// The JSON Schema of lathe.yaml, rendered from the same tables that the parser reads.
#include "base/json_writer.h"
#include "flow/dvc_yaml.h"
#include "loop/config.h"
#include "loop/config_keys.h"
#include "loop/config_reader.h"

namespace loop {
namespace {

constexpr std::string_view kNamePattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$";
constexpr std::string_view kDurationPattern = "^[0-9]+(ms|s|m|h|d|w)$";
constexpr std::string_view kWindowPattern = "^([0-9]+ ?rows?|[0-9]+(ms|s|m|h|d|w))$";

// dvc.yaml's stage keys and Lathe's additions: (name, schema). Their meaning is flow's to judge.
struct StageKey {
  std::string_view name;
  std::string_view schema;
};
constexpr std::string_view kText = R"({"type":"string"})";
constexpr std::string_view kAny = "{}";
constexpr std::string_view kTextOrList = R"({"type":["string","array"],"items":{"type":"string"}})";
constexpr std::string_view kItems = R"({"type":"array","items":{"type":["string","object"]}})";
constexpr StageKey kStageKeys[] = {
    {"cmd", kTextOrList},
    {"wdir", kText},
    {"deps", kItems},
    {"params", kItems},
    {"outs", kItems},
    {"metrics", kItems},
    {"plots", kItems},
    {"desc", kText},
    {"meta", kAny},
    {"frozen", R"({"type":"boolean"})"},
    {"always_changed", R"({"type":"boolean"})"},
    {"vars", R"({"type":"array"})"},
    {"foreach", R"({"type":["array","object","string"]})"},
    {"do", R"({"type":"object"})"},
    {"matrix", R"({"type":"object"})"},
    {"tune", R"({"type":"object"})"},
    {"retries", R"({"type":"integer","minimum":0})"},
    {"retry_delay", kText},
    {"timeout", kText},
    {"memory", R"({"type":["string","integer"]})"},
    {"cpus", R"({"type":"integer","minimum":1})"},
    {"env", R"({"type":"object"})"},
};

void write_pattern(base::JsonWriter& w, std::string_view pattern) {
  w.field("type", "string").field("pattern", pattern);
}

void write_default(base::JsonWriter& w, const Key& key) {
  if (key.fallback.empty()) return;
  w.key("default");
  switch (key.type) {
    case KeyType::kBool:
    case KeyType::kNumber:
    case KeyType::kInteger: w.raw(key.fallback); break;
    case KeyType::kTriggers: w.begin_array().value(key.fallback.substr(1, key.fallback.size() - 2)).end_array(); break;
    default: w.value(key.fallback);
  }
}

void write_type(base::JsonWriter& w, const Key& key) {
  switch (key.type) {
    case KeyType::kName: write_pattern(w, kNamePattern); break;
    case KeyType::kText: w.field("type", "string").field("minLength", 1); break;
    case KeyType::kBool: w.field("type", "boolean"); break;
    case KeyType::kNumber: w.field("type", "number").field("minimum", key.least).field("maximum", key.most); break;
    case KeyType::kInteger:
      w.field("type", "integer")
          .field("minimum", static_cast<int64_t>(key.least))
          .field("maximum", static_cast<int64_t>(key.most));
      break;
    case KeyType::kDuration: write_pattern(w, kDurationPattern); break;
    case KeyType::kWindow: write_pattern(w, kWindowPattern); break;
    case KeyType::kChoice:
      w.key("enum").begin_array();
      for (const auto& choice : split_choices(key.choices)) w.value(choice);
      w.end_array();
      break;
    case KeyType::kPercents:
      w.field("type", "array").key("items").begin_object().field("type", "number");
      w.field("exclusiveMinimum", int64_t{0}).field("exclusiveMaximum", int64_t{100}).end_object();
      break;
    case KeyType::kIntegers:
      w.field("type", "array").key("items").begin_object().field("type", "integer");
      w.field("minimum", static_cast<int64_t>(key.least)).field("maximum", static_cast<int64_t>(key.most)).end_object();
      break;
    case KeyType::kShares:
      w.field("type", "object").key("additionalProperties").begin_object().field("type", "number");
      w.field("minimum", int64_t{0}).field("maximum", int64_t{1}).end_object();
      break;
    case KeyType::kPaths:
    case KeyType::kTriggers: w.key("type").begin_array().value("string").value("array").end_array(); [[fallthrough]];
    case KeyType::kNames:
      if (key.type == KeyType::kNames) w.field("type", "array");
      w.key("items").begin_object().field("type", "string").field("minLength", 1).end_object();
      break;
  }
}

void write_keys(base::JsonWriter& w, std::span<const Key> keys) {
  for (const Key& key : keys) {
    w.key(key.name).begin_object().field("description", key.about);
    write_type(w, key);
    write_default(w, key);
    w.end_object();
  }
}

void write_object(base::JsonWriter& w, std::string_view about, std::span<const Key> keys, bool with_required,
                  std::span<const SectionInfo> parts = {}) {
  w.begin_object().field("description", about).field("type", "object").field("additionalProperties", false);
  w.key("properties").begin_object();
  write_keys(w, keys);
  for (const SectionInfo& part : parts) {
    w.key(part.name);
    write_object(w, part.about, part.keys, true);
  }
  w.end_object();
  std::string required;
  base::JsonWriter names(required);
  names.begin_array();
  bool any = false;
  for (const Key& key : keys) {
    if (key.required) names.value(key.name), any = true;
  }
  names.end_array();
  if (any && with_required) w.key("required").raw(required);
  w.end_object();
}

void write_stages(base::JsonWriter& w) {
  w.key("stages").begin_object().field("description",
                                       "Stages in dvc.yaml's grammar; absent: a dvc.yaml beside this file.");
  w.field("type", "object").key("additionalProperties").begin_object();
  w.field("type", "object").field("additionalProperties", false).key("properties").begin_object();
  for (const auto& key : kStageKeys) w.key(key.name).raw(key.schema);
  w.end_object().end_object().end_object();
  for (std::string_view key : flow::kDvcTopKeys) {
    if (key != "stages") w.key(key).begin_object().field("description", "As in dvc.yaml.").end_object();
  }
}

void write_environments(base::JsonWriter& w) {
  w.key("environments")
      .begin_object()
      .field("description", "What an environment says differently.")
      .field("type", "object");
  w.key("additionalProperties").begin_object();
  w.key("type").begin_array().value("object").value("null").end_array().field("additionalProperties", false);
  w.key("properties").begin_object();
  w.key("endpoint");
  write_object(w, "Where the model answers in this environment.", kEnvironmentEndpointKeys, true, kEndpointParts);
  for (const auto& section : kSections) {
    if (section.name != "gate" && section.name != "rollout" && section.name != "capture" && section.name != "monitor" &&
        section.name != "retrain")
      continue;
    w.key(section.name);
    write_object(w, section.about, section.keys, false);
  }
  w.end_object().end_object().end_object();
}

// An object whose keys are a table's and one more, which it must have.
void begin_with(base::JsonWriter& w, std::string_view about, std::span<const Key> keys, std::string_view more) {
  w.begin_object().field("description", about).field("type", "object").field("additionalProperties", false);
  w.key("required").begin_array();
  for (const Key& key : keys)
    if (key.required) w.value(key.name);
  w.value(more).end_array().key("properties").begin_object();
  write_keys(w, keys);
}

void write_graphs(base::JsonWriter& w) {
  w.key("graphs").begin_object().field("description", "Endpoints that are made of others, by name.");
  w.field("type", "object").key("additionalProperties");
  begin_with(w, "An inference graph.", kGraphKeys, "nodes");
  w.key("columns").begin_object().field("description",
                                        "Columns of the request that conditions read and no model takes.");
  w.field("type", "object").key("additionalProperties").raw(R"({"enum":["text","number"]})").end_object();
  w.key("nodes").begin_object().field("description", "Its nodes by name; a request begins at 'root'.");
  w.field("type", "object").key("required").begin_array().value("root").end_array().key("additionalProperties");
  begin_with(w, "A node.", kGraphNodeKeys, "steps");
  w.key("steps").begin_object().field("type", "array").field("minItems", 1).key("items");
  write_object(w, "A step.", kGraphStepKeys, false);
  w.end_object().end_object().end_object().end_object();  // steps, its properties, the node, nodes
  w.end_object().end_object().end_object();               // properties, the graph, graphs
}

// Two-space indentation for people and diffs; the writer above is compact.
std::string pretty(std::string_view json) {
  std::string out;
  int depth = 0;
  bool in_text = false;
  const auto new_line = [&] { out.append("\n").append(static_cast<size_t>(depth) * 2, ' '); };
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_text) {
      out += c;
      if (c == '\\') out += json[++i];
      if (c == '"') in_text = false;
    } else if (c == '"') {
      out += c, in_text = true;
    } else if (c == '{' || c == '[') {
      out += c;
      if (json[i + 1] == '}' || json[i + 1] == ']') {
        out += json[++i];
      } else {
        ++depth, new_line();
      }
    } else if (c == '}' || c == ']') {
      --depth, new_line(), out += c;
    } else if (c == ',') {
      out += c, new_line();
    } else {
      out += c;
      if (c == ':') out += ' ';
    }
  }
  return out + "\n";
}

}  // namespace

std::string config_schema() {
  std::string json;
  base::JsonWriter w(json);
  w.begin_object().field("$schema", "https://json-schema.org/draft/2020-12/schema").field("title", "lathe.yaml");
  w.field("type", "object").field("additionalProperties", false).key("properties").begin_object();
  write_keys(w, kTopKeys);
  w.key("data")
      .begin_object()
      .field("description", "Data sets by name.")
      .field("type", "object")
      .key("additionalProperties");
  write_object(w, "One data set.", kDataKeys, true);
  w.end_object();
  write_stages(w);
  for (const auto& section : kSections) {
    w.key(section.name);
    write_object(w, section.about, section.keys, true,
                 section.name == "endpoint" ? std::span(kEndpointParts) : std::span<const SectionInfo>());
  }
  write_environments(w);
  write_graphs(w);
  w.end_object();
  w.key("required").begin_array().value("project").end_array();
  w.end_object();
  return pretty(json);
}

}  // namespace loop
