// Folders as one file: GET artifacts/zip of a run's or a logged model's folder, streamed as a zip archive.
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "api/mlflow/artifact_tree.h"
#include "api/mlflow/door.h"
#include "api/mlflow/media_type.h"
#include "api/mlflow/receive.h"
#include "api/mlflow/zip.h"
#include "track/artifact_root.h"
#include "track/models.h"
#include "track/runs.h"

namespace api::mlflow {

namespace {

using base::Result;
using store::Tx;

constexpr size_t kMaxFiles = 100'000;  // of one archive: their names and places are held in memory
constexpr size_t kReadBytes = size_t{1} << 20;

struct Folder {
  std::string name;  // of the archive, without ".zip"
  std::vector<blob::Artifact> files;
  size_t cut = 0;  // bytes of each path that lie above the folder
};

struct Where {
  std::string run_id, model_id, path;
};

Where parse(Args& args) {
  Where where{.run_id = args.run_id(false), .model_id = args.text("model_id"), .path = args.text("path")};
  if (where.run_id.empty() == where.model_id.empty()) {
    args.fail({base::Code::kInvalid, "name either a run_id or a model_id"});
  }
  return where;
}

Result<Folder> find(Tx& tx, const Where& where) {
  std::string uri, id = where.run_id;
  if (!where.run_id.empty()) {
    TRY_SET(const track::RunInfo run, track::get_run_info(tx, where.run_id));
    uri = run.artifact_uri;
  } else {
    TRY_SET(const track::Model model, track::get_model(tx, where.model_id));
    uri = model.info.artifact_uri;
    id = where.model_id;
  }
  const auto root = track::proxied_path(uri);
  if (!root) return base::invalid("The artifacts are at " + uri + ", which is not in this server's artifact store.");
  TRY_SET(const std::string below, safe_path(where.path));
  const track::ArtifactPlace place = track::artifact_place(below.empty() ? *root : *root + "/" + below);
  Folder folder;
  folder.name = below.empty() ? id : below.substr(below.rfind('/') + 1);
  folder.files = blob::list_artifacts(tx, place.root, place.path);
  folder.cut = place.path.empty() ? 0 : place.path.size() + 1;
  std::erase_if(folder.files, [&](const blob::Artifact& file) { return file.path.size() < folder.cut; });
  if (folder.files.empty()) return base::not_found("No such folder: '" + below + "'");
  if (folder.files.size() > kMaxFiles) {
    return base::invalid("the folder has " + std::to_string(folder.files.size()) + " files; at most " +
                         std::to_string(kMaxFiles) + " go into one archive");
  }
  for (const blob::Artifact& file : folder.files) {
    if (file.location == blob::Location::kBlob) continue;
    return base::fail(base::Code::kUnsupported, "'" + file.path + "' is not in the server's own store");
  }
  return folder;
}

Result<uint32_t> crc_of(int fd, uint64_t size) {
  Crc32 crc;
  std::string buffer(kReadBytes, 0);
  for (uint64_t at = 0; at < size;) {
    const ssize_t n = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(at));
    if (n < 0) return base::errno_error("reading an artifact", errno);
    if (n == 0) return base::internal("an artifact is shorter than it was");
    crc.add({buffer.data(), static_cast<size_t>(n)});
    at += static_cast<uint64_t>(n);
  }
  return crc.value();
}

// Each file is read twice: its checksum stands before its bytes, which then go from the disk to the socket.
base::Task<void> send(Shared shared, net::Request& request, net::Response& response) {
  Args args(request);
  const Where where = parse(args);
  if (args.error()) co_return fail(response, *args.error());
  const auto folder = co_await shared.store->read(request.ctx, [&](Tx& tx) { return find(tx, where); });
  if (!folder) co_return fail(response, folder.error());
  ZipLayout zip;
  for (const blob::Artifact& file : folder->files) {
    zip.add(file.path.substr(folder->cut), static_cast<uint64_t>(file.size));
  }
  response.header("Content-Disposition", attachment_header(folder->name + ".zip"));
  if (!co_await response.begin(200, "application/zip", zip.size())) co_return;
  for (size_t i = 0; i < folder->files.size(); ++i) {
    const blob::Artifact& file = folder->files[i];
    const auto size = static_cast<uint64_t>(file.size);
    uint32_t crc = 0;
    auto open = [&]() -> Result<base::Fd> {
      TRY_SET(base::Fd fd, shared.blobs->open_blob(file.digest));
      TRY_SET(crc, crc_of(fd.get(), size));
      return fd;
    };
    // The answer has begun: from here on a failure can only end the connection.
    const auto fd = co_await shared.offload->run(open);
    if (!fd || !co_await response.write(zip.local_header(i, crc))) co_return;
    if (size > 0 && !co_await response.send_file(fd->get(), 0, size)) co_return;
  }
  if (!co_await response.write(zip.end())) co_return;
  std::ignore = co_await response.end();
}

}  // namespace

void add_folder_zip_routes(Door& door) {
  const Shared shared = shared_of(door);
  door.add(net::Method::kGet, "artifacts/zip", base::Permission::kRead, {.body_bytes = 0, .deadline_us = 0},
           [shared](net::Request& request, net::Response& response) { return send(shared, request, response); });
}

}  // namespace api::mlflow
