#include <algorithm>
#include <array>

#include "api/mlflow/door.h"
#include "api/mlflow/json.h"
#include "net/text.h"
#include "track/registered.h"
#include "track/search.h"
#include "track/validate.h"

namespace api::mlflow {

using base::JsonWriter;
using base::Result;
using net::Method;
using store::Tx;

namespace {

struct ModelIn {
  std::string name;
  std::optional<std::string> description;
  track::Tags tags;
};

ModelIn parse_new_model(Args& args) {
  ModelIn in{.name = args.required_text("name"), .description = {}, .tags = args.tags("tags")};
  in.description = args.text("description");
  return in;
}

std::string parse_name(Args& args) { return args.required_text("name"); }

struct Named {  // a model, one of its versions, and a word about it
  std::string name;
  int64_t version = 0;
  std::string key;  // tag key or alias
  std::string value;
};

int64_t read_version_number(Args& args) {
  const std::string text = args.required_text("version");
  if (args.error()) return 0;
  const auto version = track::parse_version(text);
  if (!version) args.fail(version.error());
  return version.value_or(0);
}

Named parse_version(Args& args) {
  return {.name = args.required_text("name"), .version = read_version_number(args), .key = "", .value = ""};
}

// name, key and value first and the version's number last: upstream misses parameters before it reads numbers.
Named parse_version_tag(Args& args) {
  Named in{.name = args.required_text("name"), .version = 0, .key = "", .value = ""};
  if (args.text("version").empty()) args.missing("version");
  in.key = args.required_text("key");
  in.value = args.text("value");
  in.version = read_version_number(args);
  return in;
}

Named parse_alias(Args& args) {
  Named in{.name = args.required_text("name"), .version = 0, .key = args.required_text("alias"), .value = ""};
  in.version = read_version_number(args);
  return in;
}

Named parse_name_and_alias(Args& args) {
  return {.name = args.required_text("name"), .version = 0, .key = args.required_text("alias"), .value = ""};
}

Named parse_model_tag(Args& args) {
  return {
      .name = args.required_text("name"), .version = 0, .key = args.required_text("key"), .value = args.text("value")};
}

void render_model(JsonWriter& json, const track::RegisteredModel& model) {
  json.key("registered_model");
  write(json, model);
}

void render_version(JsonWriter& json, const track::ModelVersion& version) {
  json.key("model_version");
  write(json, version);
}

void render_versions(JsonWriter& json, const std::vector<track::ModelVersion>& versions) {
  if (versions.empty()) return;
  json.key("model_versions").begin_array();
  for (const track::ModelVersion& version : versions) write(json, version);
  json.end_array();
}

constexpr std::array<std::string_view, 2> kPromptSources = {"dummy-source", "prompt-template"};

// In upstream's order: the operator's rule, a prompt's placeholder, hosts.
void check_source(Args& args, const track::VersionRequest& request, const LocationPolicy& policy) {
  const std::string& source = request.version.source;
  const auto prompt = request.version.tags.find(std::string(track::kPromptTag));
  const bool is_prompt = prompt != request.version.tags.end() && net::equals_ignoring_case(prompt->second, "true");
  if (const auto fits = policy.check_source(source); !fits) return args.fail(fits.error());
  if (is_prompt && std::ranges::find(kPromptSources, source) == kPromptSources.end()) {
    return args.fail({base::Code::kInvalid,
                      "Invalid prompt source: '" + source + "'. Prompt sources must use an MLflow placeholder."});
  }
  if (const auto fits = policy.check_scheme(source, "source"); !fits) args.fail(fits.error());
}

track::VersionRequest parse_new_version(Args& args, bool strict, const LocationPolicy& policy) {
  track::VersionRequest request;
  request.strict = strict;
  request.version.name = args.required_text("name");
  request.version.source = args.required_text("source");
  request.has_run_id = args.has("run_id");
  request.version.run_id = args.text("run_id");
  for (track::Tag& tag : args.tags("tags")) request.version.tags[std::move(tag.key)] = std::move(tag.value);
  request.version.run_link = args.text("run_link");
  request.version.description = args.text("description");
  request.has_model_id = args.has("model_id");
  request.version.model_id = args.text("model_id");
  if (!args.error()) check_source(args, request, policy);
  return request;
}

struct Latest {
  std::string name;
  std::vector<std::string> stages;
};

Latest parse_latest(Args& args) { return {args.required_text("name"), args.texts("stages")}; }

struct Stage {
  Named version;
  std::string stage;
  bool archive_existing = false;
};

Stage parse_stage(Args& args) {
  Stage in;
  in.version.name = args.required_text("name");
  if (args.text("version").empty()) args.missing("version");
  in.stage = args.required_text("stage");
  in.archive_existing = args.boolean("archive_existing_versions").value_or(false);
  in.version.version = read_version_number(args);
  return in;
}

track::RegistrySearch parse_search(Args& args, int64_t otherwise, int64_t most) {
  track::RegistrySearch search;
  search.filter = args.text("filter");
  search.max_results = args.integer("max_results").value_or(otherwise);
  search.order_by = args.texts("order_by");
  search.page_token = args.text("page_token");
  if (search.max_results > most) {
    args.fail({base::Code::kInvalid, "Invalid value " + std::to_string(search.max_results) +
                                         " for parameter 'max_results' supplied: it must be at most " +
                                         std::to_string(most) + "." + std::string(kSeeDocs)});
  }
  return search;
}

void add_model_routes(Door& door) {
  door.write(
      Method::kPost, "registered-models/create", parse_new_model,
      [](Tx& tx, const ModelIn& in) { return track::create_registered_model(tx, in.name, in.description, in.tags); },
      render_model);
  door.point(Method::kGet, "registered-models/get", parse_name, track::get_registered_model, render_model);
  door.write(
      Method::kPost, "registered-models/rename",
      [](Args& args) -> Named {
        return {.name = args.required_text("name"), .version = 0, .key = args.required_text("new_name"), .value = ""};
      },
      [](Tx& tx, const Named& in) { return track::rename_registered_model(tx, in.name, in.key); }, render_model);
  door.write(
      Method::kPatch, "registered-models/update",
      [](Args& args) -> ModelIn { return {args.required_text("name"), args.text("description"), {}}; },
      [](Tx& tx, const ModelIn& in) { return track::describe_registered_model(tx, in.name, in.description); },
      render_model);
  door.write(Method::kDelete, "registered-models/delete", parse_name, track::delete_registered_model);
  door.write(Method::kPost, "registered-models/set-tag", parse_model_tag,
             [](Tx& tx, const Named& in) { return track::set_registered_tag(tx, in.name, {in.key, in.value}); });
  door.write(Method::kDelete, "registered-models/delete-tag", parse_model_tag,
             [](Tx& tx, const Named& in) { return track::delete_registered_tag(tx, in.name, in.key); });
  const auto search = [](Args& args) { return parse_search(args, 100, track::kMaxRegisteredPage); };
  const auto render = [](JsonWriter& json, const track::Page<track::RegisteredModel>& page) {
    if (!page.rows.empty()) {
      json.key("registered_models").begin_array();
      for (const track::RegisteredModel& model : page.rows) write(json, model);
      json.end_array();
    }
    if (!page.next_token.empty()) json.field("next_page_token", page.next_token);
  };
  door.read(Method::kGet, "registered-models/search", search, track::search_registered_models, render);
  const auto latest = [](Tx& tx, const Latest& in) { return track::latest_versions(tx, in.name, in.stages); };
  door.read(Method::kGet, "registered-models/get-latest-versions", parse_latest, latest, render_versions);
  door.read(Method::kPost, "registered-models/get-latest-versions", parse_latest, latest, render_versions);
}

// "latest" is no alias that anybody sets: it is the highest version.
Result<track::ModelVersion> latest_of_all(Tx& tx, const std::string& name) {
  TRY_SET(auto versions, track::latest_versions(tx, name, {}));
  if (versions.empty()) return base::not_found("Latest version not found for model " + name + ".");
  return std::move(*std::ranges::max_element(versions, {}, &track::ModelVersion::version));
}

void add_alias_routes(Door& door) {
  door.write(Method::kPost, "registered-models/alias", parse_alias,
             [](Tx& tx, const Named& in) { return track::set_alias(tx, in.name, in.key, in.version); });
  door.write(Method::kDelete, "registered-models/alias", parse_name_and_alias,
             [](Tx& tx, const Named& in) { return track::delete_alias(tx, in.name, in.key); });
  door.point(
      Method::kGet, "registered-models/alias", parse_name_and_alias,
      [](Tx& tx, const Named& in) -> Result<track::ModelVersion> {
        if (net::equals_ignoring_case(in.key, "latest")) return latest_of_all(tx, in.name);
        TRY_SET(auto version, track::version_by_alias(tx, in.name, in.key));
        if (!version) return base::invalid("Registered model alias " + in.key + " not found.");
        return std::move(*version);
      },
      render_version);
}

void add_version_routes(Door& door) {
  door.write(
      Method::kPost, "model-versions/create",
      [options = door.options()](Args& args) {
        return parse_new_version(args, options.strict_source, *options.locations);
      },
      track::register_version, render_version);
  door.point(
      Method::kGet, "model-versions/get", parse_version,
      [](Tx& tx, const Named& in) { return track::get_model_version(tx, in.name, in.version); }, render_version);
  struct Describe {
    Named version;
    std::optional<std::string> description;
  };
  door.write(
      Method::kPatch, "model-versions/update",
      [](Args& args) -> Describe { return {parse_version(args), args.optional_text("description")}; },
      [](Tx& tx, const Describe& in) {
        return track::describe_version(tx, in.version.name, in.version.version, in.description);
      },
      render_version);
  door.write(
      Method::kPost, "model-versions/transition-stage", parse_stage,
      [](Tx& tx, const Stage& in) {
        return track::transition_stage(tx, in.version.name, in.version.version, in.stage, in.archive_existing);
      },
      render_version);
  door.write(Method::kDelete, "model-versions/delete", parse_version,
             [](Tx& tx, const Named& in) { return track::delete_version(tx, in.name, in.version); });
  door.write(Method::kPost, "model-versions/set-tag", parse_version_tag,
             [](Tx& tx, const Named& in) { return track::set_version_tag(tx, in.name, in.version, in.key, in.value); });
  door.write(Method::kDelete, "model-versions/delete-tag", parse_version_tag,
             [](Tx& tx, const Named& in) { return track::delete_version_tag(tx, in.name, in.version, in.key); });
  door.point(
      Method::kGet, "model-versions/get-download-uri", parse_version,
      [](Tx& tx, const Named& in) { return track::get_model_version(tx, in.name, in.version); },
      [](JsonWriter& json, const track::ModelVersion& version) {
        json.field("artifact_uri", version.storage_uri.empty() ? version.source : version.storage_uri);
      });
  door.read(
      Method::kGet, "model-versions/search",
      [](Args& args) { return parse_search(args, 10'000, track::kMaxVersionsPage); }, track::search_versions,
      [](JsonWriter& json, const track::Page<track::ModelVersion>& page) {
        render_versions(json, page.rows);
        if (!page.next_token.empty()) json.field("next_page_token", page.next_token);
      });
}

}  // namespace

void add_registry_routes(Door& door) {
  add_model_routes(door);
  add_alias_routes(door);
  add_version_routes(door);
}

}  // namespace api::mlflow
