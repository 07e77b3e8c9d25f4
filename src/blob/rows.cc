#include "blob/rows.h"

#include "blob/blob.h"
#include "blob/folder.h"

namespace blob {
namespace {

using detail::column;
using detail::digest_of;

// The paths of a folder, in byte order, lie between "folder/" and "folder0" ('0' follows '/').
struct FolderRange {
  explicit FolderRange(std::string_view folder) {
    while (folder.ends_with('/')) folder.remove_suffix(1);
    name = folder;
    first = name + "/";
    end = name + "0";
  }
  std::string name, first, end;
};

Artifact to_artifact(store::Rows& rows) {
  Artifact artifact;
  artifact.root = rows.str(0);
  artifact.path = rows.str(1);
  artifact.size = rows.i64(2);
  if (!rows.is_null(3)) artifact.digest = digest_of(base::HashAlgo::kSha256, rows.text(3));
  artifact.location = static_cast<Location>(rows.i64(4));
  artifact.address = rows.str(5);
  artifact.at_us = rows.i64(6);
  return artifact;
}

// One row a project: one project does not learn from another what exists.
void know_blob(store::Tx& tx, const base::Digest& sha256, const base::Digest* md5, int64_t size) {
  const store::Param md5_param = md5 ? store::Param(column(*md5)) : store::Param(nullptr);
  const store::Param params[] = {tx.project(), column(sha256), md5_param, size, tx.now_us()};
  tx.run(
      "INSERT INTO blobs (project, sha256, md5, size, created_us, unused_since_us) VALUES (?, ?, ?, ?, ?, 0)"
      " ON CONFLICT (project, sha256) DO UPDATE SET unused_since_us = 0, md5 = COALESCE(blobs.md5, excluded.md5)"
      " WHERE blobs.unused_since_us <> 0 OR (blobs.md5 IS NULL AND excluded.md5 IS NOT NULL)",
      params);
}

}  // namespace

base::Result<void> put_artifact(store::Tx& tx, const Artifact& artifact) {
  if (!base::is_safe_relative_path(artifact.path)) {
    return base::invalid("artifact path '" + artifact.path.substr(0, 200) +
                         "' is not allowed: a relative path without '..', empty parts or backslashes");
  }
  const bool in_blob = artifact.location == Location::kBlob;
  if (in_blob) know_blob(tx, artifact.digest, nullptr, artifact.size);
  const store::Param digest = in_blob ? store::Param(column(artifact.digest)) : store::Param(nullptr);
  const store::Param params[] = {tx.project(),     artifact.root,
                                 artifact.path,    artifact.size,
                                 digest,           static_cast<int>(artifact.location),
                                 artifact.address, artifact.at_us ? artifact.at_us : tx.now_us()};
  tx.run(
      "INSERT INTO artifacts (project, root, path, size, sha256, location, address, at_us)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (project, root, path) DO UPDATE SET size = excluded.size,"
      " sha256 = excluded.sha256, location = excluded.location, address = excluded.address, at_us = excluded.at_us",
      params);
  return tx.status();
}

base::Result<Artifact> get_artifact(store::Tx& tx, std::string_view root, std::string_view path) {
  store::Rows rows = tx.query(
      "SELECT root, path, size, sha256, location, address, at_us FROM artifacts"
      " WHERE project = ? AND root = ? AND path = ?",
      tx.project(), root, path);
  if (rows.next()) return to_artifact(rows);
  TRY(tx.status());
  return base::not_found("no file '" + std::string(path) + "' under " + std::string(root));
}

std::vector<Artifact> list_artifacts(store::Tx& tx, std::string_view root, std::string_view prefix) {
  const FolderRange folder(prefix);
  store::Rows rows = folder.name.empty()
                         ? tx.query(
                               "SELECT root, path, size, sha256, location, address, at_us FROM artifacts"
                               " WHERE project = ? AND root = ? ORDER BY path",
                               tx.project(), root)
                         : tx.query(
                               "SELECT root, path, size, sha256, location, address, at_us FROM artifacts"
                               " WHERE project = ? AND root = ? AND path >= ? AND path < ? ORDER BY path",
                               tx.project(), root, folder.first, folder.end);
  std::vector<Artifact> artifacts;
  while (rows.next()) artifacts.push_back(to_artifact(rows));
  return artifacts;
}

std::vector<FolderEntry> list_folder(store::Tx& tx, std::string_view root, std::string_view folder, size_t limit) {
  constexpr int64_t kRowsAtOnce = 100;
  const FolderRange range(folder);
  const std::string prefix = range.name.empty() ? "" : range.first, end = range.name.empty() ? "" : range.end;
  std::vector<FolderEntry> out;
  std::string from = prefix;
  for (bool more = true; more && out.size() < limit;) {
    store::Rows rows = tx.query(
        "SELECT path, size FROM artifacts WHERE project = ? AND root = ? AND path >= ? AND (path < ? OR ? = '')"
        " ORDER BY path LIMIT ?",
        tx.project(), root, from, end, end, kRowsAtOnce);
    more = false;
    while (out.size() < limit && rows.next()) {
      more = true;
      const std::string path = rows.str(0);
      const std::string_view below = std::string_view(path).substr(prefix.size());
      const size_t slash = below.find('/');
      out.push_back({std::string(below.substr(0, slash)), slash != std::string_view::npos, rows.i64(1)});
      from = path + '\x01';
      if (!out.back().is_folder) continue;
      out.back().size = 0;
      from = prefix + out.back().name + "0";  // behind all that lies below it: '0' follows '/'
      break;
    }
  }
  return out;
}

bool folder_exists(store::Tx& tx, std::string_view root, std::string_view folder) {
  return !list_folder(tx, root, folder, 1).empty();
}

std::vector<std::string> list_roots(store::Tx& tx, std::string_view folder) {
  const FolderRange below(folder);
  store::Rows rows =
      tx.query("SELECT DISTINCT root FROM artifacts WHERE project = ? AND root >= ? AND root < ? ORDER BY root",
               tx.project(), below.first, below.end);
  std::vector<std::string> roots;
  while (rows.next()) roots.push_back(rows.str(0));
  return roots;
}

int64_t delete_artifacts(store::Tx& tx, std::string_view root, std::string_view path_or_folder) {
  const FolderRange folder(path_or_folder);
  if (folder.name.empty()) return tx.exec("DELETE FROM artifacts WHERE project = ? AND root = ?", tx.project(), root);
  return tx.exec("DELETE FROM artifacts WHERE project = ? AND root = ? AND (path = ? OR (path >= ? AND path < ?))",
                 tx.project(), root, folder.name, folder.first, folder.end);
}

base::Result<void> hold_blob(store::Tx& tx, const BlobInfo& info, std::string_view owner_kind, std::string_view owner) {
  know_blob(tx, info.sha256, info.md5 ? &*info.md5 : nullptr, info.size);
  tx.exec(
      "INSERT INTO blob_refs (project, owner_kind, owner, sha256, at_us) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
      tx.project(), owner_kind, owner, column(info.sha256), tx.now_us());
  return tx.status();
}

base::Result<void> release_blobs(store::Tx& tx, std::string_view owner_kind, std::string_view owner) {
  tx.exec("DELETE FROM blob_refs WHERE project = ? AND owner_kind = ? AND owner = ?", tx.project(), owner_kind, owner);
  return tx.status();
}

base::Result<void> register_upload(store::Tx& tx, const BlobInfo& info) {
  know_blob(tx, info.sha256, info.md5 ? &*info.md5 : nullptr, info.size);
  return tx.status();
}

base::Result<std::optional<BlobInfo>> find_blob(store::Tx& tx, const base::Digest& sha256) {
  store::Rows rows =
      tx.query("SELECT md5, size FROM blobs WHERE project = ? AND sha256 = ?", tx.project(), column(sha256));
  if (!rows.next()) {
    TRY(tx.status());
    return std::nullopt;
  }
  BlobInfo info{.sha256 = sha256};
  if (!rows.is_null(0)) info.md5 = digest_of(base::HashAlgo::kMd5, rows.text(0));
  info.size = rows.i64(1);
  return info;
}

}  // namespace blob
