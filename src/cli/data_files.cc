#include "cli/data_files.h"

#include <fcntl.h>

#include <unordered_set>

#include "base/hash.h"
#include "base/json.h"
#include "net/http.h"

namespace cli {
namespace {

constexpr int64_t kTransferUs = int64_t{3600} * 1'000'000;
constexpr size_t kReadBytes = size_t{1} << 20;

[[noreturn]] void refuse(const base::Error& error) { throw Failure(kRefused, error.message); }

UploadedFile describe(const base::Path& dir, const std::string& path) {
  const auto fd = base::open_file(dir / path, O_RDONLY);
  if (!fd) refuse(fd.error());
  base::Hasher hasher(base::HashAlgo::kSha256);
  std::string buffer(kReadBytes, '\0');
  UploadedFile file{path, "", 0};
  while (true) {
    const ssize_t n = ::read(fd->get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) refuse(base::errno_error(path, errno).error());
    if (n == 0) break;
    hasher.update({buffer.data(), static_cast<size_t>(n)});
    file.size += n;
  }
  file.digest = hasher.finish().hex();
  return file;
}

}  // namespace

ScratchDir::ScratchDir(std::string_view prefix) {
  auto made = base::make_temp_dir(std::filesystem::temp_directory_path(), prefix);
  if (!made) refuse(made.error());
  path_ = std::move(*made);
}
ScratchDir::~ScratchDir() { std::ignore = base::remove_tree(path_); }

std::vector<UploadedFile> upload(Api& api, const base::Path& dir, const std::vector<std::string>& paths) {
  std::vector<UploadedFile> files;
  boost::json::array digests;
  for (const std::string& path : paths) {
    files.push_back(describe(dir, path));
    digests.emplace_back(files.back().digest);
  }
  const auto answer = api.post("/blobs/missing", boost::json::object{{"digests", digests}});
  std::unordered_set<std::string> missing;
  for (const auto& digest : answer.at("missing").as_array()) missing.emplace(digest.as_string());
  for (const UploadedFile& file : files) {
    if (missing.erase(file.digest) == 0) continue;
    net::ClientRequest put;
    put.method = "PUT";
    put.body_file = dir / file.path;
    put.timeout_us = kTransferUs;
    api.call(std::move(put), "/blobs/" + file.digest);
  }
  return files;
}

void download(Api& api, const std::string& name, const std::string& version, const std::string& path,
              const base::Path& to) {
  if (auto made = base::make_dirs(to.parent_path()); !made) refuse(made.error());
  const auto fd = base::open_file(to, O_WRONLY | O_CREAT | O_TRUNC);
  if (!fd) refuse(fd.error());
  std::optional<base::Error> failed;
  api.stream("/data/" + net::percent_encode(name) + "/versions/" + net::percent_encode(version) + "/files/" + path,
             [&](std::string_view bytes) {
               auto written = base::write_all(fd->get(), bytes);
               if (!written) failed = written.error();
               return !failed;
             });
  if (failed) refuse(*failed);
}

}  // namespace cli
