#include "api/mlflow/webhook_notice.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "base/json.h"
#include "base/json_writer.h"
#include "track/registered.h"

namespace api::mlflow {
namespace {

using base::JsonWriter;
using base::Result;
using core::Event;
using hooks::Notice;
using store::Tx;

// Tags by which a prompt is one; its receivers do not see them.
constexpr std::string_view kPromptType = "mlflow.prompt.type", kPromptText = "mlflow.prompt.text";

struct Kind {
  std::string_view event;   // in our log
  std::string_view model;   // as a webhook event of a model; "": there is none
  std::string_view prompt;  // … of a prompt
};
constexpr Kind kKinds[] = {
    {"registered_model.created", "registered_model.created", "prompt.created"},
    {"registered_model.tagged", "", "prompt_tag.set"},
    {"registered_model.untagged", "", "prompt_tag.deleted"},
    {"model_version.created", "model_version.created", "prompt_version.created"},
    {"model_version.tagged", "model_version_tag.set", "prompt_version_tag.set"},
    {"model_version.untagged", "model_version_tag.deleted", "prompt_version_tag.deleted"},
    {"alias.set", "model_version_alias.created", "prompt_alias.created"},
    {"alias.deleted", "model_version_alias.deleted", "prompt_alias.deleted"},
};

const Kind* find_kind(std::string_view event) {
  const auto* found = std::ranges::find(kKinds, event, &Kind::event);
  return found == std::end(kKinds) ? nullptr : found;
}

bool is_ours(std::string_view event) {
  return std::ranges::find(hooks::lathe_events(), event) != hooks::lathe_events().end();
}

struct Subject {
  std::string name;
  std::string version;  // "" of a model
  int64_t number() const {
    int64_t n = 0;
    std::from_chars(version.data(), version.data() + version.size(), n);
    return n;
  }
};

Subject subject_of(const Event& event) {
  if (event.subject_kind != "model_version") return {event.subject, ""};
  const size_t slash = event.subject.rfind('/');
  return {event.subject.substr(0, slash), event.subject.substr(slash + 1)};
}

std::string text_of(const base::json::object& body, std::string_view key) {
  const auto* found = body.if_contains(key);
  return found != nullptr && found->is_string() ? std::string(found->get_string()) : "";
}

template <class Tags>  // name → value, in any form of pairs
void write_tags(JsonWriter& json, const Tags& tags, bool prompt) {
  json.key("tags").begin_object();
  for (const auto& [key, value] : tags) {
    const bool hidden = prompt && (key == track::kPromptTag || key == kPromptType || key == kPromptText);
    if (!hidden) json.field(key, value);
  }
  json.end_object();
}

void write_text_or_null(JsonWriter& json, std::string_view key, std::string_view text) {
  json.key(key);
  if (!text.empty()) {
    json.value(text);
  } else {
    json.null();
  }
}

// As it was made, where the event says that; what was too long for the event, as it is now. What is gone since is told by
// its name alone: whoever listens hears of each event once more or less, never of none.
std::map<std::string, std::string> tags_of_birth(const base::json::object& body) {
  std::map<std::string, std::string> tags;
  for (const auto& tag : body.at("tags").as_object()) tags.emplace(tag.key(), tag.value().as_string());
  return tags;
}

Result<void> write_model(Tx& tx, JsonWriter& json, const Subject& subject, const base::json::object& body,
                         bool prompt) {
  if (body.contains("tags")) {
    write_tags(json, tags_of_birth(body), prompt);
    json.field("description", text_of(body, "description"));
    return {};
  }
  const auto model = track::get_registered_model(tx, subject.name);
  if (!model && model.error().code != base::Code::kNotFound) return std::unexpected(model.error());
  write_tags(json, model ? model->tags : track::Tags(), prompt);
  json.field("description", model && model->description ? *model->description : "");
  return {};
}

Result<void> write_version(Tx& tx, JsonWriter& json, const Subject& subject, const base::json::object& body,
                           bool prompt) {
  std::string source = text_of(body, "source"), description = text_of(body, "description");
  std::map<std::string, std::string> tags;
  if (body.contains("tags")) tags = tags_of_birth(body);
  if (!body.contains("tags") || !body.contains("source")) {
    auto version = track::get_model_version(tx, subject.name, subject.number());
    if (!version && version.error().code != base::Code::kNotFound) return std::unexpected(version.error());
    if (version) {
      source = version->source;
      if (!body.contains("tags")) {
        tags = std::move(version->tags);
        description = version->description.value_or("");
      }
    }
  }
  if (prompt) {
    write_text_or_null(json, "template", tags.contains(std::string(kPromptText)) ? tags[std::string(kPromptText)] : "");
  } else {
    json.field("source", source);
    write_text_or_null(json, "run_id", text_of(body, "run_id"));
  }
  write_tags(json, tags, prompt);
  write_text_or_null(json, "description", description);
  return {};
}

// A long value is not in the event: then the one that is there now.
Result<void> write_tag(Tx& tx, JsonWriter& json, const Subject& subject, const base::json::object& body,
                       bool with_value) {
  const std::string key = text_of(body, "key");
  json.field("key", key);
  if (!with_value) return {};
  std::string value = text_of(body, "value");
  if (!body.contains("value")) {
    if (subject.version.empty()) {
      const auto model = track::get_registered_model(tx, subject.name);
      if (model) {
        for (const auto& tag : model->tags) {
          if (tag.key == key) value = tag.value;
        }
      }
    } else if (const auto version = track::get_model_version(tx, subject.name, subject.number()); version) {
      if (const auto found = version->tags.find(key); found != version->tags.end()) value = found->second;
    }
  }
  json.field("value", value);
  return {};
}

Result<std::string> write_data(Tx& tx, const Event& event, const base::json::object& body, bool prompt) {
  const Subject subject = subject_of(event);
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("name", subject.name);
  if (event.kind == "alias.set" || event.kind == "alias.deleted") json.field("alias", text_of(body, "alias"));
  if (!subject.version.empty()) json.field("version", subject.version);
  if (event.kind == "registered_model.created") TRY(write_model(tx, json, subject, body, prompt));
  if (event.kind == "model_version.created") TRY(write_version(tx, json, subject, body, prompt));
  if (event.kind.ends_with(".tagged")) TRY(write_tag(tx, json, subject, body, true));
  if (event.kind.ends_with(".untagged")) TRY(write_tag(tx, json, subject, body, false));
  json.end_object();
  return out;
}

Result<std::optional<Notice>> notice_of(Tx& tx, const Event& event) {
  if (is_ours(event.kind)) {
    std::string data;
    JsonWriter(data).begin_object().field(event.subject_kind, event.subject).key("detail").raw(event.body).end_object();
    return Notice{event.kind, std::move(data)};
  }
  const Kind* kind = find_kind(event.kind);
  if (kind == nullptr) return std::nullopt;
  TRY_SET(const auto parsed, base::parse_json(event.body));
  if (!parsed.is_object()) return std::nullopt;
  const base::json::object& body = parsed.get_object();
  const bool prompt = body.contains("prompt");
  const std::string_view told = prompt ? kind->prompt : kind->model;
  if (told.empty() || hooks::listeners(tx, told).empty()) return std::nullopt;
  TRY_SET(std::string data, write_data(tx, event, body, prompt));
  return Notice{std::string(told), std::move(data)};
}

}  // namespace

hooks::Translator webhook_translator() {
  return {[](const Event& event) { return find_kind(event.kind) != nullptr || is_ours(event.kind); }, notice_of};
}

std::string example_data(std::string_view event) {
  const std::string_view entity = event.substr(0, event.find('.'));
  const std::string word = entity.starts_with("prompt") ? "prompt" : "model";
  const bool of_version = entity.find("version") != entity.npos || entity == "prompt_alias";
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  if (entity == "budget_policy") {
    json.field("budget_policy_id", "bp-abc123").field("budget_unit", "USD").field("budget_amount", 100.0);
    json.field("current_spend", 105.5).field("duration_unit", "MONTHS").field("duration_value", 1);
    json.field("target_scope", "ENDPOINT").field("workspace", "default").field("target_value", "ep-abc123");
    json.field("window_start", 1704067200000);
  } else if (is_ours(event)) {
    json.field(entity, "example").key("detail").begin_object().end_object();
  } else {
    json.field("name", "example_" + word);
    if (event.ends_with("alias.created") || event.ends_with("alias.deleted")) json.field("alias", "example_alias");
    if (of_version && event != "prompt_alias.deleted" && event != "model_version_alias.deleted")
      json.field("version", "1");
    if (event.ends_with("_tag.set")) json.field("key", "example_key").field("value", "example_value");
    if (event.ends_with("_tag.deleted")) json.field("key", "example_key");
    if (event == "prompt_version.created") json.field("template", "Hello {{name}}!");
    if (event == "model_version.created") json.field("source", "models:/123").field("run_id", "abcd1234abcd5678");
    if (event.ends_with(".created") && !event.ends_with("alias.created")) {
      json.key("tags").begin_object().field("example_key", "example_value").end_object();
      json.field("description", std::string(of_version ? "An example " : "An example ") +
                                    (entity == "registered_model" ? "registered model"
                                     : entity == "model_version"  ? "model version"
                                     : entity == "prompt_version" ? "prompt version"
                                                                  : "prompt"));
    }
  }
  json.end_object();
  return out;
}

}  // namespace api::mlflow
