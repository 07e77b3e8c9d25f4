// BlobStore in a local folder:
//   blobs/sha256/<2 hex>/<62 hex>   the blobs, read-only
//   blobs/tmp/                      being written; each holds a flock, so that leftovers of a crash are told from work
//   blobs/aside/                    set aside by garbage collection, about to go
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <set>

#include "base/assert.h"
#include "base/log.h"
#include "blob/blob.h"
#include "blob/blob_hasher.h"
#include "blob/temp_file.h"

namespace blob {
namespace {

namespace fs = std::filesystem;

constexpr size_t kCopyBytes = 256 << 10;
constexpr size_t kBatchFiles = 256;                     // temporary files open at once
constexpr int64_t kBeginBytes = int64_t{8} << 20;       // of an upload: the disk is told to begin with so many
constexpr uint64_t kReadAheadFrom = uint64_t{1} << 20;  // bytes of an answer
constexpr size_t kSyncFsFrom = 32;                      // from so many on, one syncfs is cheaper than an fsync each

int64_t mtime_us(const struct stat& info) {
  return int64_t{info.st_mtim.tv_sec} * 1'000'000 + info.st_mtim.tv_nsec / 1000;
}

std::unexpected<base::Error> absent(const base::Digest& sha256) {
  return base::not_found("blob " + sha256.hex() + " is not here");
}

class LocalStore;

class LocalWriter final : public BlobWriter {
 public:
  LocalWriter(LocalStore& store, Hashes hashes, base::Fd fd, base::Path path)
      : store_(store), fd_(std::move(fd)), path_(std::move(path)), hasher_(hashes) {}
  ~LocalWriter() override { drop(); }

  base::Result<void> write(std::string_view bytes) override {
    ASSERT_ALWAYS(fd_);
    hasher_.update(bytes);
    TRY(base::write_all(fd_.get(), bytes));
    // The disk begins while the rest still comes: then little is left to wait for at the end. A hint, so no error.
    if (hasher_.size() - begun_ >= kBeginBytes) {
      ::sync_file_range(fd_.get(), begun_, hasher_.size() - begun_, SYNC_FILE_RANGE_WRITE);
      begun_ = hasher_.size();
    }
    return {};
  }
  base::Result<BlobInfo> finish(const std::optional<base::Digest>& must_be) override;

  // The steps of finish(), for many at once.
  const BlobInfo& seal() { return hasher_.seal(); }
  base::Result<void> sync() {
    if (::fsync(fd_.get()) != 0) return base::errno_error(path_.string(), errno);
    return {};
  }
  const base::Path& path() const { return path_; }
  int fd() const { return fd_.get(); }
  void moved() { path_.clear(), fd_.reset(); }
  void drop() {
    if (!path_.empty()) ::unlink(path_.c_str());
    moved();
  }

 private:
  LocalStore& store_;
  base::Fd fd_;
  base::Path path_;  // empty once it has moved to its place
  BlobHasher hasher_;
  int64_t begun_ = 0;  // up to here the disk was told to begin
};

class LocalStore final : public BlobStore {
 public:
  explicit LocalStore(const base::Path& dir)
      : root_(dir / "blobs" / "sha256"), tmp_(dir / "blobs" / "tmp"), aside_(dir / "blobs" / "aside") {}

  base::Result<void> prepare() {
    for (const base::Path& dir : {root_, tmp_, aside_}) TRY(base::make_dirs(dir));
    TRY(base::fsync_dir(root_.parent_path()));
    TRY(remove_leftovers(tmp_));
    return recover_aside();
  }

  base::Result<std::unique_ptr<BlobWriter>> begin(Hashes hashes) override {
    TRY_SET(TempFile file, make_temp_file(tmp_));
    return std::make_unique<LocalWriter>(*this, hashes, std::move(file.fd), std::move(file.path));
  }

  base::Result<std::vector<BlobInfo>> finish_all(std::span<const std::unique_ptr<BlobWriter>> writers) override {
    std::vector<LocalWriter*> locals;
    for (const auto& writer : writers) locals.push_back(static_cast<LocalWriter*>(writer.get()));
    return finish(locals);
  }

  base::Result<std::vector<BlobInfo>> finish(std::span<LocalWriter* const> writers) {
    if (writers.size() >= kSyncFsFrom) {
      TRY(sync_file_system());
    } else {
      for (LocalWriter* writer : writers) TRY(writer->sync());
    }
    std::vector<BlobInfo> infos;
    std::set<base::Path> folders;
    for (LocalWriter* writer : writers) {
      infos.push_back(writer->seal());
      TRY(place(*writer, infos.back(), folders));
    }
    if (folders.size() >= kSyncFsFrom) {
      TRY(sync_file_system());
    } else {
      for (const base::Path& folder : folders) TRY(base::fsync_dir(folder));
    }
    return infos;
  }

  base::Path path_of(const base::Digest& sha256) const {
    const std::string hex = sha256.hex();
    return root_ / hex.substr(0, 2) / hex.substr(2);
  }

  base::Result<base::Fd> open_blob(const base::Digest& sha256) override {
    auto fd = base::open_file(path_of(sha256), O_RDONLY);
    if (!fd && fd.error().code == base::Code::kNotFound) return absent(sha256);
    return fd;
  }

  base::Result<LocalFile> local_file(const base::Digest& sha256) override {
    LocalFile file{path_of(sha256), nullptr};
    if (::access(file.path.c_str(), F_OK) != 0) return absent(sha256);
    return file;
  }

  base::Result<Source> open_range(const base::Digest& sha256, uint64_t first, uint64_t length) override {
    TRY_SET(base::Fd fd, open_blob(sha256));
    // It is read in order: the kernel may look further ahead. A hint, so no error.
    if (length >= kReadAheadFrom)
      ::posix_fadvise(fd.get(), static_cast<off_t>(first), static_cast<off_t>(length), POSIX_FADV_SEQUENTIAL);
    return Source{std::move(fd), nullptr};
  }

  base::Result<int64_t> size_of(const base::Digest& sha256) const override {
    const base::Path path = path_of(sha256);
    struct stat info;
    if (::stat(path.c_str(), &info) == 0) return info.st_size;
    if (errno == ENOENT) return absent(sha256);
    return base::errno_error(path.string(), errno);
  }

  base::Result<void> remove(const base::Digest& sha256) override {
    const base::Path path = path_of(sha256);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return base::errno_error(path.string(), errno);
    return {};
  }

  base::Result<void> for_each(const std::function<void(const Found&)>& visit) override {
    std::error_code error;
    for (fs::recursive_directory_iterator at(root_, error), end; !error && at != end; at.increment(error)) {
      struct stat info;
      const base::Path& path = at->path();
      if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
      auto digest = base::Digest::from_hex(base::HashAlgo::kSha256,
                                           path.parent_path().filename().string() + path.filename().string());
      if (digest) visit({*digest, info.st_size, mtime_us(info)});
    }
    if (error) return base::errno_error(root_.string(), error.value());
    return {};
  }

  base::Result<std::vector<std::optional<int64_t>>> touch(std::span<const base::Digest> digests) override {
    std::vector<std::optional<int64_t>> sizes;
    for (const base::Digest& digest : digests) {
      const base::Path path = path_of(digest);
      struct stat info;
      std::lock_guard lock(place_mutex_);
      const bool here = ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0) == 0 && ::stat(path.c_str(), &info) == 0;
      sizes.push_back(here ? std::optional<int64_t>(info.st_size) : std::nullopt);
    }
    return sizes;
  }

  base::Result<bool> set_aside(const base::Digest& sha256, int64_t before_us) override {
    const base::Path path = path_of(sha256);
    std::lock_guard lock(place_mutex_);
    struct stat info;
    if (*pins_ > 0 || ::stat(path.c_str(), &info) != 0 || mtime_us(info) >= before_us) return false;
    if (::rename(path.c_str(), (aside_ / sha256.hex()).c_str()) != 0) return base::errno_error(path.string(), errno);
    return true;
  }

  base::Result<void> put_back(const base::Digest& sha256) override {
    const base::Path path = path_of(sha256), from = aside_ / sha256.hex();
    std::lock_guard lock(place_mutex_);
    if (::access(path.c_str(), F_OK) == 0) {  // uploaded again meanwhile
      ::unlink(from.c_str());
      return {};
    }
    if (::rename(from.c_str(), path.c_str()) != 0) return base::errno_error(path.string(), errno);
    return base::fsync_dir(path.parent_path());
  }

  base::Result<void> discard(const base::Digest& sha256) override {
    const base::Path path = aside_ / sha256.hex();
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return base::errno_error(path.string(), errno);
    return {};
  }

  Pin pin() override {
    std::lock_guard lock(place_mutex_);
    ++*pins_;
    return Pin(nullptr, [pins = pins_](void*) { --*pins; });
  }

 private:
  // Moves a sealed and synced file to its place; `folders` are what must be synced before it counts as durable.
  base::Result<void> place(LocalWriter& writer, const BlobInfo& info, std::set<base::Path>& folders) {
    const base::Path path = path_of(info.sha256);
    const base::Path folder = path.parent_path();
    if (::mkdir(folder.c_str(), 0755) == 0) {
      folders.insert(root_);
    } else if (errno != EEXIST) {
      return base::errno_error(folder.string(), errno);
    }
    folders.insert(folder);  // also for a file that was there: its writer may not have synced the folder yet
    std::lock_guard lock(place_mutex_);
    struct stat found;
    const bool known = ::stat(path.c_str(), &found) == 0 && found.st_size == info.size;
    if (known && ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0) == 0) {
      writer.drop();
      return {};
    }
    if (::fchmod(writer.fd(), 0444) != 0) return base::errno_error(writer.path().string(), errno);
    if (::rename(writer.path().c_str(), path.c_str()) != 0) return base::errno_error(path.string(), errno);
    writer.moved();
    return {};
  }

  base::Result<void> sync_file_system() {
    TRY_SET(base::Fd fd, base::open_file(root_, O_RDONLY | O_DIRECTORY));
    if (::syncfs(fd.get()) != 0) return base::errno_error(root_.string(), errno);
    return {};
  }

  // A collection that a crash cut short: whether the rows went is not known here, so the blobs come back and are judged
  // again.
  base::Result<void> recover_aside() {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(aside_, error)) {
      if (auto digest = base::Digest::from_hex(base::HashAlgo::kSha256, entry.path().filename().string())) {
        TRY(put_back(*digest));
      }
    }
    if (error) return base::errno_error(aside_.string(), error.value());
    return {};
  }

  const base::Path root_, tmp_, aside_;
  std::mutex place_mutex_;  // "is it there?" and what follows from the answer
  const std::shared_ptr<std::atomic<int>> pins_ = std::make_shared<std::atomic<int>>(0);
};

base::Result<BlobInfo> LocalWriter::finish(const std::optional<base::Digest>& must_be) {
  if (must_be && seal().sha256 != *must_be) {
    return base::invalid("the bytes have SHA-256 " + seal().sha256.hex() + ", not " + must_be->hex());
  }
  LocalWriter* self[] = {this};
  TRY_SET(auto infos, store_.finish(self));
  return infos[0];
}

base::Result<void> copy_into(BlobWriter& writer, const base::Path& file) {
  TRY_SET(base::Fd fd, base::open_file(file, O_RDONLY));
  std::string buffer(kCopyBytes, '\0');
  while (true) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::errno_error(file.string(), errno);
    if (n == 0) return {};
    TRY(writer.write({buffer.data(), static_cast<size_t>(n)}));
  }
}

}  // namespace

base::Result<std::unique_ptr<BlobStore>> BlobStore::open(const base::Path& dir) {
  auto store = std::make_unique<LocalStore>(dir);
  TRY(store->prepare());
  return store;
}

base::Result<BlobInfo> BlobStore::put(std::string_view bytes) {
  TRY_SET(auto writer, begin());
  TRY(writer->write(bytes));
  return writer->finish();
}

base::Result<BlobInfo> BlobStore::put_file(const base::Path& file) {
  TRY_SET(auto writer, begin());
  TRY(copy_into(*writer, file));
  return writer->finish();
}

base::Result<std::vector<BlobInfo>> BlobStore::put_files(std::span<const base::Path> files) {
  std::vector<BlobInfo> infos;
  while (!files.empty()) {
    std::vector<std::unique_ptr<BlobWriter>> writers;
    for (const base::Path& file : files.first(std::min(files.size(), kBatchFiles))) {
      TRY_SET(auto writer, begin());
      TRY(copy_into(*writer, file));
      writers.push_back(std::move(writer));
    }
    TRY_SET(const auto finished, finish_all(writers));
    infos.insert(infos.end(), finished.begin(), finished.end());
    files = files.subspan(writers.size());
  }
  return infos;
}

base::Result<std::string> BlobStore::get(const base::Digest& sha256, size_t max_bytes) {
  TRY_SET(const LocalFile file, local_file(sha256));
  auto bytes = base::read_file(file.path, max_bytes);
  if (!bytes && bytes.error().code == base::Code::kNotFound) return absent(sha256);
  return bytes;
}

}  // namespace blob
