#include "track/uploads.h"

#include <cstdio>

#include "base/ids.h"

namespace track {
namespace {

constexpr int64_t kDroppedAtOnce = 20;

std::string root_of(std::string_view id) { return "upload/" + std::string(id); }

std::string part_name(int64_t number) {
  char name[16];
  std::snprintf(name, sizeof name, "%05lld", static_cast<long long>(number));
  return name;
}

}  // namespace

base::Result<Upload> begin_upload(store::Tx& tx, std::string_view path, int64_t parts) {
  if (parts < 1 || parts > kMaxUploadParts)
    return base::invalid("Invalid value " + std::to_string(parts) +
                         " for parameter 'num_parts' supplied: allowed are 1 to " + std::to_string(kMaxUploadParts));
  std::vector<std::string> old;
  {
    auto rows =
        tx.query("SELECT id FROM track_uploads WHERE project = ? AND created_us < ? ORDER BY created_us LIMIT ?",
                 tx.project(), tx.now_us() - kUploadUs, kDroppedAtOnce);
    while (rows.next()) old.push_back(rows.str(0));
  }
  for (const std::string& id : old) TRY(end_upload(tx, id));
  Upload upload{.id = base::random_hex(*tx.ctx().random, 16), .path = std::string(path), .parts = parts, .remote = ""};
  tx.exec("INSERT INTO track_uploads (project, id, path, parts, created_us) VALUES (?, ?, ?, ?, ?)", tx.project(),
          upload.id, upload.path, upload.parts, tx.now_us());
  TRY(tx.status());
  return upload;
}

base::Result<Upload> get_upload(store::Tx& tx, std::string_view id) {
  auto rows =
      tx.query("SELECT id, path, parts, remote FROM track_uploads WHERE project = ? AND id = ?", tx.project(), id);
  if (rows.next()) return Upload{rows.str(0), rows.str(1), rows.i64(2), rows.is_null(3) ? "" : rows.str(3)};
  TRY(tx.status());
  return base::not_found("No multipart upload with id '" + std::string(id.substr(0, 64)) +
                         "' is under way; it may be completed, aborted, or older than a day");
}

base::Result<void> note_remote(store::Tx& tx, std::string_view id, std::string_view remote) {
  tx.exec("UPDATE track_uploads SET remote = ? WHERE project = ? AND id = ?", remote, tx.project(), id);
  return tx.status();
}

base::Result<void> put_part(store::Tx& tx, std::string_view id, int64_t number, const blob::BlobInfo& info) {
  TRY_SET(const Upload upload, get_upload(tx, id));
  if (number < 1 || number > upload.parts)
    return base::invalid("part " + std::to_string(number) + " is not one of this upload's " +
                         std::to_string(upload.parts));
  TRY(blob::register_upload(tx, info));
  return blob::put_artifact(tx,
                            {.root = root_of(id), .path = part_name(number), .size = info.size, .digest = info.sha256});
}

base::Result<std::vector<blob::Artifact>> upload_parts(store::Tx& tx, const Upload& upload) {
  auto parts = blob::list_artifacts(tx, root_of(upload.id));
  TRY(tx.status());
  for (int64_t number = 1; number <= upload.parts; ++number) {
    const auto at = static_cast<size_t>(number - 1);
    if (at >= parts.size() || parts[at].path != part_name(number))
      return base::invalid("part " + std::to_string(number) + " of " + std::to_string(upload.parts) +
                           " has not been uploaded");
  }
  return parts;
}

base::Result<void> end_upload(store::Tx& tx, std::string_view id) {
  blob::delete_artifacts(tx, root_of(id), "");
  tx.exec("DELETE FROM track_uploads WHERE project = ? AND id = ?", tx.project(), id);
  return tx.status();
}

}  // namespace track
