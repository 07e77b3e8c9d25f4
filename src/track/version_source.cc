#include "track/version_source.h"

#include <algorithm>
#include <vector>

#include "track/models.h"
#include "track/runs.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

std::string_view scheme_of(std::string_view uri) {
  const size_t colon = uri.find(':');
  if (colon == uri.npos || colon == 0) return {};
  const std::string_view scheme = uri.substr(0, colon);
  return std::ranges::all_of(scheme,
                             [](char c) {
                               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                      c == '+' || c == '-' || c == '.';
                             })
             ? scheme
             : std::string_view();
}

bool is_local(std::string_view source) {
  const std::string_view scheme = scheme_of(source);
  return scheme.empty() || scheme == "file";
}

bool within(std::string_view source, std::string_view root) {
  return !root.empty() && source.starts_with(root) && (source.size() == root.size() || source[root.size()] == '/');
}

std::unexpected<base::Error> wrong_owner(std::string_view source, std::string_view id_name) {
  return invalid("Invalid model version source: '" + std::string(source) + "'. The " + std::string(id_name) +
                 " request parameter must identify the resource that contains the source.");
}

std::unexpected<base::Error> local_outside(std::string_view source, std::string_view id_name) {
  return invalid("Invalid model version source: '" + std::string(source) +
                 "'. To use a local path as a model version source, the " + std::string(id_name) +
                 " request parameter has to be specified and the local path has to be contained within the artifact "
                 "directory of the run specified by the " +
                 std::string(id_name) + ".");
}

// Percent-encoding is peeled off until nothing changes, so that "%252e%252e" hides nothing.
std::string unquoted(std::string text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  for (bool changed = true; changed;) {
    changed = false;
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
        out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
        i += 2;
        changed = true;
      } else {
        out += text[i];
      }
    }
    text = std::move(out);
  }
  return text;
}

Result<void> check_no_relative_parts(const std::string& source) {
  const std::string plain = unquoted(source);
  bool bad = plain.find('\0') != plain.npos;
  for (size_t at = 0; at <= plain.size() && !bad;) {
    const size_t slash = std::min(plain.find('/', at), plain.size());
    const std::string_view part = std::string_view(plain).substr(at, slash - at);
    bad = part == ".." || part == ".";
    at = slash + 1;
  }
  if (!bad) return {};
  return invalid("Invalid model version source: '" + source +
                 "'. If supplying a source as an http, https, local file path, ftp, objectstore, or mlflow-artifacts "
                 "uri, an absolute path must be provided without relative path references present. Please provide an "
                 "absolute path.");
}

struct ModelUri {  // models:/m-…, models:/name/3, models:/name/latest, models:/name@alias
  std::string model_id, name, version, alias;
};

Result<ModelUri> parse_model_uri(const std::string& source) {
  const std::string_view text = source;
  std::string_view rest = text.substr(std::string_view("models:").size());
  if (rest.starts_with("//")) return wrong_owner(source, "model_id");  // another registry
  while (rest.starts_with('/')) rest.remove_prefix(1);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  ModelUri uri;
  if (const size_t slash = rest.rfind('/'); slash != rest.npos) {
    uri.name = rest.substr(0, slash);
    uri.version = rest.substr(slash + 1);
  } else if (const size_t at = rest.rfind('@'); at != rest.npos) {
    uri.name = rest.substr(0, at);
    uri.alias = rest.substr(at + 1);
  } else {
    uri.model_id = rest;
  }
  if (uri.model_id.empty() && uri.name.empty()) return wrong_owner(source, "model_id");
  return uri;
}

Result<ModelVersion> version_of_uri(store::Tx& tx, const ModelUri& uri) {
  if (!uri.alias.empty()) {
    TRY_SET(auto found, version_by_alias(tx, uri.name, uri.alias));
    if (!found) return invalid("Registered model alias " + uri.alias + " not found.");
    return std::move(*found);
  }
  if (const auto number = parse_version(uri.version)) return get_model_version(tx, uri.name, *number);
  const bool newest = uri.version == "latest" || uri.version == "Latest";
  TRY_SET(auto versions, latest_versions(tx, uri.name, newest ? std::vector<std::string>{} : std::vector{uri.version}));
  if (versions.empty()) {
    return base::not_found("No versions of model with name '" + uri.name + "' and stage '" + uri.version + "' found");
  }
  return *std::ranges::max_element(versions, {}, &ModelVersion::version);
}

Result<void> check_in_model(store::Tx& tx, const VersionSource& s, const std::optional<ModelUri>& uri) {
  const auto model = get_model(tx, s.model_id);
  const std::string_view root = model ? std::string_view(model->info.artifact_uri) : std::string_view();
  if (is_local(s.source)) {
    TRY(check_no_relative_parts(s.source));
    return model && within(s.source, root) ? Result<void>() : local_outside(s.source, "model_id");
  }
  TRY(check_no_relative_parts(s.source));
  if (uri && !uri->model_id.empty() && uri->model_id != s.model_id) return wrong_owner(s.source, "model_id");
  if (scheme_of(s.source) == "runs") return wrong_owner(s.source, "model_id");
  const auto ours = proxied_path(s.source);
  if (ours && !within(*ours, proxied_path(root).value_or(""))) return wrong_owner(s.source, "model_id");
  return {};
}

Result<void> check_in_run(store::Tx& tx, const VersionSource& s, const std::optional<ModelUri>& uri, bool strict) {
  if (is_local(s.source)) {
    TRY(check_no_relative_parts(s.source));
    const auto run = get_run_info(tx, s.run_id);
    return run && within(s.source, run->artifact_uri) ? Result<void>() : local_outside(s.source, "run_id");
  }
  TRY(check_no_relative_parts(s.source));
  if (scheme_of(s.source) == "runs") {
    std::string_view rest = std::string_view(s.source).substr(5);
    if (rest.starts_with("//")) return wrong_owner(s.source, "run_id");
    while (rest.starts_with('/')) rest.remove_prefix(1);
    if (strict && (s.run_id.empty() || rest.substr(0, rest.find('/')) != s.run_id))
      return wrong_owner(s.source, "run_id");
  }
  if (uri && !uri->model_id.empty()) return wrong_owner(s.source, "model_id");
  if (const auto ours = proxied_path(s.source)) {
    const auto run = get_run_info(tx, s.run_id);
    if (!run || !within(*ours, proxied_path(run->artifact_uri).value_or(""))) return wrong_owner(s.source, "run_id");
  }
  return {};
}

// Where the files of an accepted source are: a run's folder, a logged model's, another version's, or as written.
Result<void> locate(store::Tx& tx, VersionSource& s, const std::optional<ModelUri>& uri,
                    const std::optional<ModelVersion>& from) {
  s.storage_uri = s.source;
  std::string files = s.source;
  if (from) {
    s.storage_uri = files = from->storage_uri;
    if (!from->artifact_root.empty()) s.place = ArtifactPlace{from->artifact_root, ""};
  } else if (uri) {
    TRY_SET(const Model model, get_model(tx, uri->model_id));
    s.storage_uri = files = model.info.artifact_uri;
    if (s.run_id.empty()) s.run_id = model.info.source_run_id;
  } else if (scheme_of(s.source) == "runs") {
    const size_t id_at = s.source.find_first_not_of('/', 5);
    const size_t slash = id_at == s.source.npos ? id_at : s.source.find('/', id_at);
    const std::string id = id_at == s.source.npos ? "" : s.source.substr(id_at, slash - id_at);
    if (const auto run = get_run_info(tx, id)) {
      files = run->artifact_uri + (slash == s.source.npos ? "" : s.source.substr(slash));
    }
  }
  if (!s.place) {
    if (const auto path = proxied_path(files)) s.place = artifact_place(*path);
  }
  if (s.run_id.empty() && !s.model_id.empty()) {
    const auto model = get_model(tx, s.model_id);
    if (!model && !from) return std::unexpected(model.error());  // another version stands for its files by itself
    if (model) s.run_id = model->info.source_run_id;
  }
  return {};
}

bool names_prompt(const std::map<std::string, std::string>& tags) {
  const auto tag = tags.find(std::string(kPromptTag));
  return tag != tags.end() && tag->second == "true";
}

}  // namespace

Result<VersionSource> resolve_source(store::Tx& tx, const VersionRequest& request) {
  const NewModelVersion& given = request.version;
  VersionSource s{
      .source = given.source, .storage_uri = "", .run_id = given.run_id, .model_id = given.model_id, .place = {}};
  if (names_prompt(given.tags)) {  // a prompt's text is a tag; its source is a placeholder
    s.storage_uri = s.source;
    return s;
  }
  std::optional<ModelUri> uri;
  std::optional<ModelVersion> from;
  if (scheme_of(s.source) == "models") {
    TRY_SET(uri, parse_model_uri(s.source));
    if (uri->model_id.empty()) {
      TRY_SET(from, version_of_uri(tx, *uri));
      if ((request.has_run_id && s.run_id != from->run_id) || (request.has_model_id && s.model_id != from->model_id)) {
        return invalid("Invalid model version source: '" + s.source +
                       "'. The run_id and model_id request parameters must match the referenced model version.");
      }
      s.source = "models:/" + from->name + "/" + std::to_string(from->version);
      s.run_id = from->run_id;
      s.model_id = from->model_id;
    }
  }
  if (!from) TRY(s.model_id.empty() ? check_in_run(tx, s, uri, request.strict) : check_in_model(tx, s, uri));
  TRY(locate(tx, s, uri && !uri->model_id.empty() ? uri : std::nullopt, from));
  return s;
}

}  // namespace track
