#include "serve/endpoint.h"

#include <algorithm>

#include "base/hash.h"
#include "base/json_writer.h"
#include "blob/blob.h"
#include "core/event.h"
#include "core/lineage.h"

namespace serve {
namespace {

constexpr size_t kMaxNameBytes = 100;

constexpr std::string_view kSelectEndpoint =
    "SELECT name, environment, is_default, live_revision, previous_revision, generation FROM endpoints"
    " WHERE project = ? AND name = ?";
constexpr std::string_view kSelectRevision =
    "SELECT endpoint, number, model_name, model_version, artifact_root, transform_digest, created_us FROM revisions"
    " WHERE project = ? AND endpoint = ? AND number = ?";

Endpoint endpoint_of(store::Rows& rows) {
  return {.name = rows.str(0),
          .environment = rows.str(1),
          .is_default = rows.boolean(2),
          .live_revision = rows.i64(3),
          .previous_revision = rows.i64(4),
          .generation = rows.i64(5)};
}

Revision revision_of(store::Rows& rows) {
  return {.endpoint = rows.str(0),
          .number = rows.i64(1),
          .model_name = rows.str(2),
          .model_version = rows.i64(3),
          .artifact_root = rows.str(4),
          .transform_digest = rows.str(5),
          .created_us = rows.i64(6)};
}

base::Result<void> check_name(std::string_view name) {
  const bool plain = std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
  if (name.empty() || name.size() > kMaxNameBytes || !plain || name.front() == '.') {
    return base::invalid("endpoint name '" + std::string(name.substr(0, kMaxNameBytes)) +
                         "' is not allowed: letters, digits, '.', '_' and '-', at most 100, not beginning with '.'");
  }
  return {};
}

std::string node_id(std::string_view endpoint, int64_t number) { return std::string(endpoint) + "/" + std::to_string(number); }

// Deleting a run or a data version must not pull the files from under what is deployed.
base::Result<void> hold_files(store::Tx& tx, const NewRevision& revision, const std::string& owner) {
  for (const blob::Artifact& file : blob::list_artifacts(tx, revision.artifact_root)) {
    if (file.location != blob::Location::kBlob) continue;
    TRY_SET(const auto info, blob::find_blob(tx, file.digest));
    if (info) TRY(blob::hold_blob(tx, *info, "revision", owner));
  }
  if (revision.transform_digest.empty()) return {};
  TRY_SET(const base::Digest digest, base::Digest::from_hex(base::HashAlgo::kSha256, revision.transform_digest));
  TRY_SET(const auto info, blob::find_blob(tx, digest));
  if (!info) return base::not_found("the transform's blob " + revision.transform_digest + " is not stored");
  return blob::hold_blob(tx, *info, "revision", owner);
}

}  // namespace

base::Result<Endpoint> ensure_endpoint(store::Tx& tx, std::string_view name, std::string_view environment) {
  TRY(check_name(name));
  const bool made = tx.exec(
                        "INSERT INTO endpoints (project, name, environment, created_us) VALUES (?, ?, ?, ?)"
                        " ON CONFLICT (project, name) DO NOTHING",
                        tx.project(), name, environment, tx.now_us()) > 0;
  if (made) {
    core::emit(tx, "endpoint.created", "endpoint", name);
  } else {
    tx.exec("UPDATE endpoints SET environment = ? WHERE project = ? AND name = ? AND environment <> ?", environment,
            tx.project(), name, environment);
  }
  return get_endpoint(tx, name);
}

base::Result<void> set_default_endpoint(store::Tx& tx, std::string_view name) {
  tx.lock("endpoints", "default");
  TRY(get_endpoint(tx, name));
  tx.exec("UPDATE endpoints SET is_default = 0 WHERE project = ? AND name <> ?", tx.project(), name);
  tx.exec("UPDATE endpoints SET is_default = 1 WHERE project = ? AND name = ?", tx.project(), name);
  core::emit(tx, "endpoint.made_default", "endpoint", name);
  return tx.status();
}

base::Result<Endpoint> get_endpoint(store::Tx& tx, std::string_view name) {
  store::Rows rows = tx.query(kSelectEndpoint, tx.project(), name);
  if (!rows.next()) {
    TRY(tx.status());
    return base::not_found("endpoint '" + std::string(name) + "' does not exist");
  }
  return endpoint_of(rows);
}

std::vector<Endpoint> list_endpoints(store::Tx& tx) {
  std::vector<Endpoint> out;
  store::Rows rows = tx.query(
      "SELECT name, environment, is_default, live_revision, previous_revision, generation FROM endpoints"
      " WHERE project = ? ORDER BY name",
      tx.project());
  while (rows.next()) out.push_back(endpoint_of(rows));
  return out;
}

std::vector<Deployment> list_deployments(store::Tx& tx) {
  std::vector<Deployment> out;
  store::Rows rows = tx.query(
      "SELECT e.name, e.environment, e.is_default, e.live_revision, e.previous_revision, e.generation, e.project,"
      " r.model_name, r.model_version, r.artifact_root, r.transform_digest, r.created_us"
      " FROM endpoints e JOIN revisions r ON r.project = e.project AND r.endpoint = e.name AND r.number = e.live_revision"
      " ORDER BY e.project, e.name");
  while (rows.next()) {
    Deployment deployment{.project = rows.i64(6), .endpoint = endpoint_of(rows)};
    deployment.live = {.endpoint = deployment.endpoint.name,
                       .number = deployment.endpoint.live_revision,
                       .model_name = rows.str(7),
                       .model_version = rows.i64(8),
                       .artifact_root = rows.str(9),
                       .transform_digest = rows.str(10),
                       .created_us = rows.i64(11)};
    out.push_back(std::move(deployment));
  }
  return out;
}

base::Result<Revision> add_revision(store::Tx& tx, const NewRevision& revision) {
  tx.lock("endpoint", revision.endpoint);
  TRY(get_endpoint(tx, revision.endpoint));
  const int64_t number =
      tx.query_i64("SELECT max(number) FROM revisions WHERE project = ? AND endpoint = ?", tx.project(), revision.endpoint)
          .value_or(0) + 1;
  tx.exec(
      "INSERT INTO revisions (project, endpoint, number, model_name, model_version, artifact_root, transform_digest, created_us)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      tx.project(), revision.endpoint, number, revision.model_name, revision.model_version, revision.artifact_root,
      revision.transform_digest, tx.now_us());
  TRY(hold_files(tx, revision, node_id(revision.endpoint, number)));
  core::emit(tx, "revision.created", "revision", node_id(revision.endpoint, number));
  return get_revision(tx, revision.endpoint, number);
}

base::Result<Revision> get_revision(store::Tx& tx, std::string_view endpoint, int64_t number) {
  store::Rows rows = tx.query(kSelectRevision, tx.project(), endpoint, number);
  if (!rows.next()) {
    TRY(tx.status());
    return base::not_found("endpoint '" + std::string(endpoint) + "' has no revision " + std::to_string(number));
  }
  return revision_of(rows);
}

std::vector<Revision> list_revisions(store::Tx& tx, std::string_view endpoint) {
  std::vector<Revision> out;
  store::Rows rows = tx.query(
      "SELECT endpoint, number, model_name, model_version, artifact_root, transform_digest, created_us FROM revisions"
      " WHERE project = ? AND endpoint = ? ORDER BY number DESC",
      tx.project(), endpoint);
  while (rows.next()) out.push_back(revision_of(rows));
  return out;
}

base::Result<Endpoint> set_live(store::Tx& tx, std::string_view endpoint, int64_t number, int64_t expected_live, bool rollback) {
  tx.lock("endpoint", endpoint);
  TRY_SET(const Revision revision, get_revision(tx, endpoint, number));
  if (tx.exec("UPDATE endpoints SET live_revision = ?, previous_revision = live_revision, generation = generation + 1"
              " WHERE project = ? AND name = ? AND live_revision = ?",
              number, tx.project(), endpoint, expected_live) == 0) {
    TRY_SET(const Endpoint now, get_endpoint(tx, endpoint));
    return base::fail(base::Code::kConflict, "endpoint '" + std::string(endpoint) + "' serves revision " +
                                                 std::to_string(now.live_revision) + " by now, not " +
                                                 std::to_string(expected_live) + ": judge against that one");
  }
  core::add_edge(tx, {"model_version", revision.model_name + "/" + std::to_string(revision.model_version)},
                 {"revision", node_id(endpoint, number)}, "serves");
  std::string body;
  base::JsonWriter(body)
      .begin_object()
      .field("revision", number)
      .field("previous", expected_live)
      .field("model", revision.model_name)
      .field("version", revision.model_version)
      .end_object();
  core::emit(tx, rollback ? "endpoint.rolled_back" : "endpoint.promoted", "endpoint", endpoint, body);
  return get_endpoint(tx, endpoint);
}

}  // namespace serve
