// Registered models and prompts in an mlruns folder: models/<name>/{meta.yaml,tags,aliases,version-N}. Each model is
// written anew at every call, because aliases and descriptions change; its versions' files are copied once.
#include <algorithm>

#include "cli/export_mlflow.h"

namespace cli {
namespace {

constexpr std::string_view kModels = "models/";

std::string with_rest(const std::string& path, const std::string& rest) {
  return rest.empty() ? path : path + "/" + rest;
}

}  // namespace

void MlflowExport::registry(bool only_chosen) {
  std::string after;
  while (true) {
    const auto names = read([&](store::Tx& tx) { return track::registered_names_after(tx, after, kPage); });
    for (const std::string& name : names) {
      after = name;
      if (!is_one_name(name) || name.find_first_of(":%") != std::string::npos) {
        ++registered_.here;
        leave_out("registered model '" + name + "': a file store has no such names");
        continue;
      }
      one_registered(read([&](store::Tx& tx) { return track::whole_registered(tx, name); }), only_chosen);
    }
    if (names.size() < kPage) return;
  }
}

void MlflowExport::one_registered(const track::ImportedRegistered& from, bool only_chosen) {
  const track::RegisteredModel& model = from.model;
  std::vector<track::ImportedVersion> versions;
  for (const track::ImportedVersion& each : from.versions) {
    const auto owner = owner_of(each.version);
    if (!only_chosen || (owner && homes_.contains(owner->experiment))) versions.push_back(each);
  }
  if (only_chosen && versions.empty()) return;
  ++registered_.here;
  const auto alive = [](const auto& all) { return std::ranges::count(all, false, &track::ImportedVersion::deleted); };
  versions_.here += alive(versions);
  const std::string what = "registered model '" + model.name + "'";
  const std::string place = std::string(kModels) + model.name;
  const bool was_there = tree_.exists(place + "/meta.yaml");
  const std::string part = begin_part();
  for (const char* each : {"/tags", "/aliases"}) tree_.make_dirs(part + each);
  values(part + "/tags", model.tags, what + ": tag");
  std::string aliases = "{";
  for (const auto& [alias, version] : model.aliases) {
    const auto has = [&](const track::ImportedVersion& each) { return each.version.version == version; };
    if (std::ranges::none_of(versions, has)) continue;
    values(part + "/aliases", {{alias, std::to_string(version)}}, what + ": alias");
    aliases.append(aliases.size() > 1 ? ", " : "").append("? ").append(yaml_text(alias));
    aliases.append(" : ").append(yaml_text(std::to_string(version)));
  }
  for (const track::ImportedVersion& each : versions)
    one_version(each, part, tree_.exists(place + "/version-" + std::to_string(each.version.version)));
  YamlMap meta;
  meta.raw("aliases", aliases + "}").number("creation_timestamp", model.created_ms);
  meta.opt_text("description", model.description).number("last_updated_timestamp", model.updated_ms);
  meta.text("name", model.name);
  need(tree_.write(part + "/meta.yaml", meta.str()));
  flush();  // nothing else may wait while the old one goes
  tree_.sync();
  tree_.remove(place);
  tree_.move(part, place);
  ++registered_.there, registered_.written += was_there ? 0 : 1;
}

// A version's files lie in its run's or logged model's folder; those that changed there since, or that have none,
// beside the version.
void MlflowExport::one_version(const track::ImportedVersion& from, const std::string& dir, bool was_there) {
  const track::ModelVersion& version = from.version;
  const std::string own = dir + "/version-" + std::to_string(version.version);
  tree_.make_dirs(own);
  std::string storage = version.storage_uri;
  if (!from.deleted && !version.artifact_root.empty()) {
    const auto owner = owner_of(version);
    const bool is_model = owner && owner->path.find("/models/") != std::string::npos;
    const bool chosen = owner && homes_.contains(owner->experiment) && !(mlflow2_ && is_model);
    if (chosen && same_files(*owner, version.artifact_root)) {
      storage = tree_.uri(with_rest(owner->path, owner->rest));
    } else {
      copy_root(version.artifact_root, "", own + "/artifacts");
      storage =
          tree_.uri(std::string(kModels) + version.name + "/version-" + std::to_string(version.version) + "/artifacts");
    }
  }
  track::Tags tags;
  for (const auto& [key, value] : version.tags) tags.push_back({key, value});
  values(own + "/tags", tags, "model version " + version.name + "/" + std::to_string(version.version) + ": tag");
  YamlMap meta;
  meta.number("creation_timestamp", version.created_ms);
  meta.text("current_stage", from.deleted ? "Deleted_Internal" : version.stage);
  meta.opt_text("description", version.description).number("last_updated_timestamp", version.updated_ms);
  meta.text_or_null("model_id", version.model_id).text("name", version.name);
  meta.text_or_null("run_id", version.run_id).text_or_null("run_link", version.run_link);
  meta.text("source", version.source).text("status", "READY").raw("status_message", "null");
  meta.text("storage_location", storage).raw("user_id", "null").number("version", version.version);
  need(tree_.write(own + "/meta.yaml", meta.str()));
  if (!from.deleted) ++versions_.there, versions_.written += was_there ? 0 : 1;
}

std::optional<MlflowExport::Owner> MlflowExport::owner_of(const track::ModelVersion& version) {
  std::string uri = version.storage_uri;
  constexpr std::string_view kRuns = "runs:/", kArtifacts = "/artifacts";
  if (uri.starts_with(kRuns)) {
    const std::string rest = uri.substr(kRuns.size()), run_id = rest.substr(0, rest.find('/'));
    uri = read([&](store::Tx& tx) -> base::Result<std::string> {
      const auto run = track::get_run_info(tx, run_id);
      return run ? run->artifact_uri + rest.substr(run_id.size()) : "";
    });
  }
  const auto path = track::proxied_path(uri);
  if (!path) return std::nullopt;
  const track::ArtifactPlace place = track::artifact_place(*path);
  if (!place.root.ends_with(kArtifacts)) return std::nullopt;
  const std::string parent = place.root.substr(0, place.root.size() - kArtifacts.size());
  const std::string id = parent.substr(parent.rfind('/') + 1);
  const auto is_root = [&](const std::string& of) {
    const auto own = track::proxied_path(of);
    return own && track::artifact_place(*own).root == place.root && track::artifact_place(*own).path.empty();
  };
  return read([&](store::Tx& tx) -> base::Result<std::optional<Owner>> {
    if (const auto model = track::get_model(tx, id, true); model && is_root(model->info.artifact_uri)) {
      return Owner{std::to_string(model->info.experiment) + "/models/" + id + "/artifacts", place.root, place.path,
                   model->info.experiment};
    }
    if (const auto run = track::get_run_info(tx, id); run && is_root(run->artifact_uri)) {
      return Owner{std::to_string(run->experiment) + "/" + id + "/artifacts", place.root, place.path, run->experiment};
    }
    return std::optional<Owner>();
  });
}

bool MlflowExport::same_files(const Owner& owner, const std::string& root) {
  if (root == owner.root && owner.rest.empty()) return true;
  const auto list = [&](const std::string& from, const std::string& below) {
    return read([&](store::Tx& tx) -> base::Result<std::vector<blob::Artifact>> {
      return blob::list_artifacts(tx, from, below);
    });
  };
  const auto ours = list(root, ""), theirs = list(owner.root, owner.rest);
  const size_t skip = owner.rest.empty() ? 0 : owner.rest.size() + 1;
  return std::ranges::equal(ours, theirs, [&](const blob::Artifact& a, const blob::Artifact& b) {
    return a.digest == b.digest && b.path.size() >= skip && a.path == b.path.substr(skip);
  });
}

}  // namespace cli
