#include "plane/snapshot.h"

#include <algorithm>

#include "base/json.h"
#include "base/json_writer.h"
#include "core/event_text.h"
#include "serve/graph.h"

namespace plane {
namespace {

void write_files(base::JsonWriter& json, const std::vector<blob::Artifact>& files) {
  json.begin_array();
  for (const blob::Artifact& file : files) {
    json.begin_object().field("path", file.path).field("size", file.size);
    if (file.location == blob::Location::kBlob) {
      json.field("sha256", file.digest.hex());
    } else {
      json.field("address", file.address);  // the plane cannot fetch it, and says so
    }
    json.end_object();
  }
  json.end_array();
}

base::Result<std::vector<blob::Artifact>> read_files(std::string_view root, const base::json::value& value) {
  if (!value.is_array()) return base::invalid("the files of a model must be an array");
  std::vector<blob::Artifact> out;
  for (const base::json::value& entry : value.get_array()) {
    TRY_SET(const base::json::object* object, base::as_object(entry, "a file"));
    blob::Artifact file{.root = std::string(root)};
    TRY_SET(file.path, base::required_string(*object, "path"));
    TRY_SET(file.size, base::required_int(*object, "size"));
    TRY_SET(const auto sha256, base::optional_string(*object, "sha256"));
    if (sha256) {
      TRY_SET(file.digest, base::Digest::from_hex(base::HashAlgo::kSha256, *sha256));
    } else {
      file.location = blob::Location::kExternal;
      TRY_SET(file.address, base::required_string(*object, "address"));
    }
    out.push_back(std::move(file));
  }
  return out;
}

}  // namespace

const serve::Deployment* Snapshot::find(std::string_view endpoint) const {
  const auto found =
      std::ranges::find_if(deployments, [&](const serve::Deployment& d) { return d.endpoint.name == endpoint; });
  return found == deployments.end() ? nullptr : &*found;
}

std::string to_json(const Snapshot& snapshot) {
  std::string out;
  base::JsonWriter json(out);
  json.begin_object().field("position", core::to_text(snapshot.position));
  json.field("project", snapshot.project).field("project_name", snapshot.project_name);
  json.field("require_login", snapshot.require_login).key("deployments").begin_array();
  for (const serve::Deployment& deployment : snapshot.deployments) json.raw(serve::to_json(deployment));
  json.end_array().key("files").begin_object();
  for (const auto& [root, files] : snapshot.files) {
    json.key(root);
    write_files(json, files);
  }
  json.end_object().end_object();
  return out;
}

base::Result<Snapshot> snapshot_of_json(std::string_view text) {
  TRY_SET(const base::json::value value, base::parse_json(text));
  TRY_SET(const base::json::object* object, base::as_object(value, "the snapshot"));
  Snapshot out;
  TRY_SET(const std::string position, base::required_string(*object, "position"));
  TRY_SET(out.position, core::parse_event_position(position));
  TRY_SET(out.project, base::required_int(*object, "project"));
  TRY_SET(out.project_name, base::required_string(*object, "project_name"));
  TRY_SET(out.require_login, base::required_bool(*object, "require_login"));
  TRY_SET(const base::json::array* deployments, base::required_array(*object, "deployments"));
  for (const base::json::value& entry : *deployments) {
    TRY_SET(serve::Deployment deployment, serve::deployment_of_json(base::to_text(entry)));
    out.deployments.push_back(std::move(deployment));
  }
  TRY_SET(const base::json::object* files, base::required_object(*object, "files"));
  for (const auto& [root, list] : *files) {
    TRY_SET(out.files[std::string(root)], read_files(root, list));
  }
  return out;
}

base::Result<Snapshot> take_snapshot(store::Tx& tx) {
  Snapshot out;
  out.project = tx.project();
  // First: what is read after it may hold more than it says, never less.
  TRY_SET(out.position, core::newest_position(tx));
  {
    store::Rows rows = tx.query("SELECT name FROM projects WHERE id = ?", tx.project());
    if (rows.next()) out.project_name = rows.str(0);
  }
  for (serve::Deployment& deployment : serve::list_deployments(tx)) {
    if (deployment.project != tx.project()) continue;
    const auto add_files = [&](const std::string& root) {
      if (!root.empty() && !out.files.contains(root)) out.files[root] = blob::list_artifacts(tx, root);
    };
    const auto add_revision = [&](const serve::Revision& revision) -> base::Result<void> {
      add_files(revision.artifact_root);
      if (revision.graph.empty()) return {};
      TRY_SET(const serve::Graph graph, serve::parse_graph(revision.graph));
      for (const serve::GraphStep& step : graph.steps()) add_files(step.artifact_root);
      return {};
    };
    TRY(add_revision(deployment.live));
    for (const serve::Revision& other : deployment.others) TRY(add_revision(other));
    out.deployments.push_back(std::move(deployment));
  }
  TRY(tx.status());
  return out;
}

base::Result<bool> is_served_file(store::Tx& tx, const base::Digest& sha256) {
  const std::string_view bytes(reinterpret_cast<const char*>(sha256.bytes.data()), sha256.size());
  const auto found = tx.query_i64(
      "SELECT 1 FROM artifacts a JOIN revisions r ON r.project = a.project AND r.artifact_root = a.root"
      " WHERE a.project = ? AND a.sha256 = ? LIMIT 1",
      tx.project(), store::Blob{bytes});
  // Transforms, and what a graph's steps are made of: both are held by the revision.
  const auto held =
      found
          ? found
          : tx.query_i64("SELECT 1 FROM blob_refs WHERE project = ? AND sha256 = ? AND owner_kind = 'revision' LIMIT 1",
                         tx.project(), store::Blob{bytes});
  TRY(tx.status());
  return held.has_value();
}

}  // namespace plane
