#include "cli/import_target.h"

#include <unistd.h>

#include <cerrno>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "blob/home.h"
#include "cli/api.h"
#include "core/project.h"
#include "core/users.h"
#include "server/blob_place.h"
#include "server/config.h"
#include "server/run.h"
#include "store/store.h"
#include "track/experiments.h"

namespace cli {
namespace {

constexpr size_t kFilesAtOnce = 128;                  // open ones
constexpr int64_t kBytesAtOnce = int64_t{256} << 20;  // between two flushes
constexpr size_t kReadBytes = size_t{1} << 20;
constexpr int64_t kActUs = int64_t{300} * 1'000'000;
constexpr int64_t kUploadUs = int64_t{3600} * 1'000'000;

// Reads a file to its end; answers its size.
template <class F>
int64_t read_all(const base::Fd& file, const std::string& path, F take) {
  std::string buffer(kReadBytes, '\0');
  int64_t size = 0;
  while (true) {
    const ssize_t n = ::read(file.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) need(base::Result<void>(base::errno_error(path, errno)));
    if (n == 0) return size;
    take(std::string_view(buffer.data(), static_cast<size_t>(n)));
    size += n;
  }
}

class StoreTarget final : public ImportTarget {
 public:
  StoreTarget(std::unique_ptr<store::Store> store, std::unique_ptr<blob::BlobStore> blobs, int64_t project)
      : store_(std::move(store)), blobs_(std::move(blobs)), project_(project) {}

  int64_t add_file(base::Fd file, const std::string& root, const std::string& path) override {
    Pending pending{root, path, need(blobs_->begin())};
    const int64_t size = read_all(file, path, [&](std::string_view bytes) { need(pending.writer->write(bytes)); });
    pending_bytes_ += size;
    pending_.push_back(std::move(pending));
    if (pending_.size() >= kFilesAtOnce || pending_bytes_ >= kBytesAtOnce) flush();
    return size;
  }

  void flush() override {
    if (pending_.empty()) return;
    std::vector<std::unique_ptr<blob::BlobWriter>> writers;
    for (Pending& pending : pending_) writers.push_back(std::move(pending.writer));
    const auto infos = need(blobs_->finish_all(writers));
    std::vector<track::ImportedFile> files;
    for (size_t i = 0; i < pending_.size(); ++i)
      files.push_back({std::move(pending_[i].root), std::move(pending_[i].path), infos[i]});
    need(store_->write_blocking(context(project_), [&](store::Tx& tx) { return track::import_files(tx, files); }));
    pending_.clear();
    pending_bytes_ = 0;
  }

 private:
  struct Pending {
    std::string root, path;
    std::unique_ptr<blob::BlobWriter> writer;
  };

  static base::Context context(int64_t project) {
    base::Context ctx = base::Context::system(base::system_clock(), "system:import");
    ctx.project = project;
    return ctx;
  }
  base::Result<std::string> do_act(std::string_view name, std::string question) override {
    TRY_SET(const takeover::OpenAct act, takeover::open_act(name, question));
    const auto ctx = context(act.of_server ? core::kServerProject : project_);
    return act.writes ? store_->write_blocking(ctx, act.run) : store_->read_blocking(ctx, act.run);
  }

  std::unique_ptr<store::Store> store_;
  std::unique_ptr<blob::BlobStore> blobs_;
  int64_t project_;
  std::vector<Pending> pending_;
  int64_t pending_bytes_ = 0;
};

class ServerTarget final : public ImportTarget {
 public:
  explicit ServerTarget(const Common& common) : api_(common) {}

  int64_t add_file(base::Fd file, const std::string& root, const std::string& path) override {
    base::Hasher hasher(base::HashAlgo::kSha256);
    const int64_t size = read_all(file, path, [&](std::string_view bytes) { hasher.update(bytes); });
    pending_bytes_ += size;
    pending_.push_back({std::move(file), {root, path, hasher.finish().hex()}});
    if (pending_.size() >= kFilesAtOnce || pending_bytes_ >= kBytesAtOnce) flush();
    return size;
  }

  // The same bytes are sent once, however many files have them.
  void flush() override {
    if (pending_.empty()) return;
    boost::json::array digests;
    for (const Pending& pending : pending_) digests.emplace_back(pending.row.sha256);
    const auto answer = api_.post("/blobs/missing", boost::json::object{{"digests", digests}});
    std::unordered_set<std::string> missing;
    for (const auto& digest : answer.at("missing").as_array()) missing.emplace(digest.as_string());
    std::vector<takeover::NewFile> rows;
    for (Pending& pending : pending_) {
      if (missing.erase(pending.row.sha256) > 0) {
        net::ClientRequest put{.method = "PUT", .timeout_us = kUploadUs};
        put.body_file = "/proc/self/fd/" + std::to_string(pending.file.get());
        api_.call(std::move(put), "/blobs/" + pending.row.sha256);
      }
      rows.push_back(std::move(pending.row));
    }
    ask(takeover::kFiles, rows);
    pending_.clear();
    pending_bytes_ = 0;
  }

 private:
  struct Pending {
    base::Fd file;  // whatever its name becomes
    takeover::NewFile row;
  };

  base::Result<std::string> do_act(std::string_view name, std::string question) override {
    net::ClientRequest request{.method = "POST", .timeout_us = kActUs};
    request.headers.emplace_back("Content-Type", "application/octet-stream");
    request.body = std::move(question);
    auto answer = api_.try_call(std::move(request), "/import/" + std::string(name));
    if (answer.status == 200) return std::move(answer.body);
    std::string message = "the server answered " + std::to_string(answer.status);
    if (const auto parsed = base::parse_json(answer.body); parsed && parsed->is_object()) {
      const auto* error = parsed->get_object().if_contains("error");
      if (error != nullptr && error->is_object()) message = text_of(error->get_object(), "message");
    }
    return base::fail(answer.status == 404 ? base::Code::kNotFound : base::Code::kInvalid, message);
  }

  Api api_;
  std::vector<Pending> pending_;
  int64_t pending_bytes_ = 0;
};

}  // namespace

std::unique_ptr<ImportTarget> import_into_server(const Common& common) {
  return std::make_unique<ServerTarget>(common);
}

base::Result<std::unique_ptr<ImportTarget>> import_into_store(const server::Config& config, const Common& common) {
  TRY(base::make_dirs(config.dir, 0700));
  TRY_SET(auto store, store::Store::open({.url = config.store_url, .holder = "lathe import"}, server::store_modules()));
  const auto ctx = base::Context::system(base::system_clock(), "system:import");
  TRY_SET(auto blobs, server::open_blobs(config, false));
  TRY(blob::settle_home(*store, *blobs, ctx, config.dir));
  TRY_SET(const auto project, store->write_blocking(ctx, [&](store::Tx& tx) -> base::Result<core::Project> {
    TRY(track::ensure_default_experiments(tx, config.default_artifact_root));
    return core::get_project(tx, common.project.empty() ? "default" : common.project);
  }));
  return std::unique_ptr<ImportTarget>(std::make_unique<StoreTarget>(std::move(store), std::move(blobs), project.id));
}

}  // namespace cli
