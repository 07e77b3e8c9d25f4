#include "blob/backup.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <set>

#include "base/ids.h"
#include "base/json.h"
#include "blob/home.h"
#include "blob/rows.h"
#include "blob/tar.h"

namespace blob {
namespace {

using base::json::object;

constexpr int64_t kFormat = 1;
constexpr std::string_view kManifest = "lathe-backup.json";
constexpr std::string_view kEnd = "lathe-backup.end";
constexpr std::string_view kBlobPrefix = "blobs/sha256/";
constexpr int64_t kMaxManifest = 16 << 20;
constexpr size_t kPage = 5'000;
constexpr size_t kCopyBytes = 1 << 20;

std::string blob_name(const base::Digest& digest) {
  const std::string hex = digest.hex();
  return std::string(kBlobPrefix) + hex.substr(0, 2) + "/" + hex.substr(2);
}

std::string manifest_text(const BackupInfo& info) {
  object manifest;
  manifest["format"] = kFormat;
  manifest["lathe"] = info.version;
  manifest["created_us"] = info.created_us;
  manifest["with_blobs"] = info.with_blobs;
  manifest["database_bytes"] = info.database_bytes;
  manifest["database_sha256"] = info.database_sha256;
  manifest["blobs"] = info.blobs;
  manifest["blob_bytes"] = info.blob_bytes;
  manifest["missing"] = base::json::array(info.missing.begin(), info.missing.end());
  return base::to_text(manifest) + "\n";
}

base::Result<BackupInfo> parse_manifest(std::string_view text) {
  TRY_SET(const auto value, base::parse_json(text));
  TRY_SET(const object* const manifest, base::as_object(value, "the backup's manifest"));
  TRY_SET(const int64_t format, base::required_int(*manifest, "format"));
  if (format != kFormat) {
    return base::fail(base::Code::kUnsupported, "the backup has format " + std::to_string(format) +
                                                    "; this Lathe reads format " + std::to_string(kFormat));
  }
  BackupInfo info;
  TRY_SET(info.version, base::required_string(*manifest, "lathe"));
  TRY_SET(info.created_us, base::required_int(*manifest, "created_us"));
  TRY_SET(info.with_blobs, base::required_bool(*manifest, "with_blobs"));
  TRY_SET(info.database_bytes, base::required_int(*manifest, "database_bytes"));
  TRY_SET(info.database_sha256, base::required_string(*manifest, "database_sha256"));
  TRY_SET(info.blobs, base::required_int(*manifest, "blobs"));
  TRY_SET(info.blob_bytes, base::required_int(*manifest, "blob_bytes"));
  TRY_SET(const auto* const missing, base::required_array(*manifest, "missing"));
  for (const auto& digest : *missing) {
    if (digest.is_string()) info.missing.emplace_back(digest.as_string());
  }
  return info;
}

// --- making one -----------------------------------------------------------------------------------------------------

struct Listed {
  base::Digest sha256;
  int64_t size = 0;
};

// The blobs that a copied database names, each once.
base::Result<std::vector<Listed>> blobs_named_by(const base::Path& database) {
  TRY_SET(const auto copy,
          store::Store::open({.url = "sqlite:" + database.string(), .readers = 1, .read_only = true}, {}));
  std::vector<Listed> all;
  while (true) {
    auto page = copy->read_blocking(base::Context(), [&](store::Tx& tx) -> base::Result<std::vector<Listed>> {
      std::vector<Listed> out;
      const store::Blob last = all.empty() ? store::Blob{} : detail::column(all.back().sha256);
      store::Rows rows = tx.query(
          "SELECT sha256, min(size) FROM blobs WHERE sha256 > ? GROUP BY sha256 ORDER BY sha256 LIMIT ?", last, kPage);
      while (rows.next()) out.push_back({detail::digest_of(base::HashAlgo::kSha256, rows.text(0)), rows.i64(1)});
      TRY(tx.status());
      return out;
    });
    if (!page) return std::unexpected(std::move(page).error());
    if (page->empty()) return all;
    all.insert(all.end(), page->begin(), page->end());
  }
}

class TarBackup final : public Backup {
 public:
  TarBackup(BlobStore& blobs, BlobStore::Pin pin) : blobs_(blobs), pin_(std::move(pin)) {}

  base::Result<void> prepare(store::Store& store, const base::Clock& clock, const Options& options) {
    info_.created_us = clock.wall_us();
    info_.version = options.version;
    info_.with_blobs = options.with_blobs;
    const base::Path copy = options.dir / ("backup-" + base::random_hex(base::system_random(), 6) + ".db");
    auto copied = copy_database(store, copy, options.with_blobs);
    std::error_code ignored;
    std::filesystem::remove(copy, ignored);  // it lives on as our descriptor
    TRY(copied);
    TRY(leave_out_missing());
    info_.blobs = static_cast<int64_t>(list_.size());
    for (const Listed& blob : list_) info_.blob_bytes += blob.size;
    measure();
    return {};
  }

  const BackupInfo& info() const override { return info_; }
  int64_t size() const override { return size_; }

  base::Result<size_t> read(std::span<char> into) override {
    size_t done = 0;
    while (done < into.size()) {
      if (text_at_ < text_.size()) {
        const size_t n = std::min(into.size() - done, text_.size() - text_at_);
        std::copy_n(text_.data() + text_at_, n, into.data() + done);
        text_at_ += n;
        done += n;
      } else if (reader_ && file_left_ > 0) {
        TRY_SET(std::string piece, reader_->next());
        if (piece.empty() || static_cast<int64_t>(piece.size()) > file_left_)
          return base::internal(member_ + " is not as long as the database says; run `lathe fsck`");
        file_left_ -= static_cast<int64_t>(piece.size());
        if (file_left_ == 0) piece.append(static_cast<size_t>(tar::padding(file_size_)), '\0');
        set_text(std::move(piece));
      } else if (file_left_ > 0) {
        const size_t most = std::min<size_t>(into.size() - done, static_cast<size_t>(file_left_));
        const ssize_t n = ::read(file_.get(), into.data() + done, most);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return base::errno_error(member_, errno);
        if (n == 0) return base::internal(member_ + " is shorter than the database says; run `lathe fsck`");
        file_left_ -= n;
        done += static_cast<size_t>(n);
        if (file_left_ == 0) set_text(std::string(static_cast<size_t>(tar::padding(file_size_)), '\0'));
      } else {
        TRY_SET(const bool more, next_member());
        if (!more) break;
      }
    }
    return done;
  }

 private:
  base::Result<void> copy_database(store::Store& store, const base::Path& copy, bool with_blobs) {
    TRY(store.backup_database(copy.string()));
    if (with_blobs) {
      TRY_SET(list_, blobs_named_by(copy));
    }
    TRY_SET(database_, base::open_file(copy, O_RDONLY));
    base::Hasher hasher(base::HashAlgo::kSha256);
    std::string buffer(kCopyBytes, '\0');
    for (ssize_t n = 0; (n = ::read(database_.get(), buffer.data(), buffer.size())) > 0; info_.database_bytes += n) {
      hasher.update({buffer.data(), static_cast<size_t>(n)});
    }
    info_.database_sha256 = hasher.finish().hex();
    if (::lseek(database_.get(), 0, SEEK_SET) != 0) return base::errno_error(copy.string(), errno);
    return {};
  }

  base::Result<void> leave_out_missing() {
    std::set<base::Digest> there;  // of many, one listing is quicker than a question each where the blobs are remote
    if (blobs_.parallel() > 1) TRY(blobs_.for_each([&](const BlobStore::Found& found) { there.insert(found.sha256); }));
    std::erase_if(list_, [&](const Listed& blob) {
      if (blobs_.parallel() > 1 ? there.contains(blob.sha256) : blobs_.exists(blob.sha256)) return false;
      info_.missing.push_back(blob.sha256.hex());
      return true;
    });
    return {};
  }

  void measure() {
    const auto member = [](int64_t size) { return static_cast<int64_t>(tar::kBlock) + size + tar::padding(size); };
    size_ = member(static_cast<int64_t>(manifest_text(info_).size())) + member(info_.database_bytes) + member(0) +
            static_cast<int64_t>(tar::end().size());
    for (const Listed& blob : list_) size_ += member(blob.size);
  }

  void set_text(std::string text) { text_ = std::move(text), text_at_ = 0; }
  void set_file(std::string name, base::Fd fd, int64_t size) {
    set_text(tar::header({name, size}));
    member_ = std::move(name);
    file_ = std::move(fd);
    reader_.reset();
    file_size_ = file_left_ = size;
  }

  // manifest, database, blobs…, the mark of the end, tar's own end
  base::Result<bool> next_member() {
    const size_t index = next_++;
    if (index == 0) {
      const std::string manifest = manifest_text(info_);
      const auto size = static_cast<int64_t>(manifest.size());
      set_text(tar::header({std::string(kManifest), size}) + manifest +
               std::string(static_cast<size_t>(tar::padding(size)), '\0'));
    } else if (index == 1) {
      set_file(std::string(kDatabaseFile), std::move(database_), info_.database_bytes);
    } else if (index - 2 < list_.size()) {
      const Listed& blob = list_[index - 2];
      TRY_SET(auto source, blobs_.open_range(blob.sha256, 0, static_cast<uint64_t>(blob.size)));
      set_file(blob_name(blob.sha256), std::move(source.fd), blob.size);
      reader_ = std::move(source.reader);
    } else if (index - 2 == list_.size()) {
      set_text(tar::header({std::string(kEnd), 0}) + tar::end());
    } else {
      return false;
    }
    return true;
  }

  BlobStore& blobs_;
  const BlobStore::Pin pin_;
  BackupInfo info_;
  std::vector<Listed> list_;
  base::Fd database_;
  int64_t size_ = 0;

  size_t next_ = 0;   // member
  std::string text_;  // to give out first: a header, padding, a small member
  size_t text_at_ = 0;
  std::string member_;
  base::Fd file_;                       // then the rest of this,
  std::unique_ptr<BlobReader> reader_;  // or of this
  int64_t file_size_ = 0, file_left_ = 0;
};

// --- reading one ----------------------------------------------------------------------------------------------------

// Where the members of a backup go; either may be absent: then they are only checked.
struct Target {
  base::Path database;
  BlobStore* blobs = nullptr;
};

class Reader {
 public:
  explicit Reader(base::Fd file) : file_(std::move(file)), buffer_(kCopyBytes, '\0') {}

  base::Result<BackupInfo> read(const Target& target) {
    TRY_SET(auto first, next());
    if (!first || first->name != kManifest || first->size > kMaxManifest)
      return base::invalid("it is not a backup of Lathe");
    std::string manifest;
    TRY(content(*first, [&](std::string_view bytes) {
      manifest += bytes;
      return base::Result<void>();
    }));
    TRY_SET(BackupInfo info, parse_manifest(manifest));
    TRY_SET(auto database, next());
    if (!database || database->name != kDatabaseFile || database->size != info.database_bytes) {
      return base::invalid("the backup has no database where it should be");
    }
    TRY_SET(const base::Digest found, read_database(*database, target));
    if (found.hex() != info.database_sha256) return base::invalid("the database is damaged in the backup");
    TRY(read_blobs(info, target));
    return info;
  }

 private:
  base::Result<base::Digest> read_database(const tar::Member& member, const Target& target) {
    base::Hasher hasher(base::HashAlgo::kSha256);
    base::Fd out;
    if (!target.database.empty()) {
      TRY_SET(out, base::open_file(target.database, O_WRONLY | O_CREAT | O_EXCL, 0644));
    }
    TRY(content(member, [&](std::string_view bytes) {
      hasher.update(bytes);
      return out ? base::write_all(out.get(), bytes) : base::Result<void>();
    }));
    if (out && ::fsync(out.get()) != 0) return base::errno_error(target.database.string(), errno);
    return hasher.finish();
  }

  base::Result<void> read_blobs(const BackupInfo& info, const Target& target) {
    int64_t blobs = 0;
    while (true) {
      TRY_SET(auto member, next());
      if (!member) return base::invalid("the backup ends too early");
      if (member->name == kEnd) break;
      TRY(read_blob(*member, target));
      ++blobs;
    }
    if (blobs == info.blobs) return flush(target, 1);
    return base::invalid("the backup has " + std::to_string(blobs) + " blobs; its manifest says " +
                         std::to_string(info.blobs));
  }

  base::Result<void> read_blob(const tar::Member& member, const Target& target) {
    std::string hex;
    if (member.name.starts_with(kBlobPrefix)) hex = member.name.substr(kBlobPrefix.size());
    std::erase(hex, '/');
    auto digest = base::Digest::from_hex(base::HashAlgo::kSha256, hex);
    if (!digest || blob_name(*digest) != member.name)
      return base::invalid("the backup has a member '" + member.name + "' that does not belong there");
    if (target.blobs == nullptr) {
      base::Hasher hasher(base::HashAlgo::kSha256);
      TRY(content(member, [&](std::string_view bytes) {
        hasher.update(bytes);
        return base::Result<void>();
      }));
      if (hasher.finish() != *digest) return base::invalid("blob " + digest->hex() + " is damaged in the backup");
      return {};
    }
    TRY_SET(auto writer, target.blobs->begin());
    TRY(content(member, [&](std::string_view bytes) { return writer->write(bytes); }));
    waiting_.push_back(std::move(writer));
    expected_.push_back(*digest);
    return flush(target, kBatch);
  }

  // Finishes blobs many at a time: a disk flush each would take hours.
  base::Result<void> flush(const Target& target, size_t from) {
    if (waiting_.empty() || waiting_.size() < from) return {};
    TRY_SET(const auto infos, target.blobs->finish_all(waiting_));
    for (size_t i = 0; i < infos.size(); ++i) {
      if (infos[i].sha256 != expected_[i])
        return base::invalid("blob " + expected_[i].hex() + " is damaged in the backup");
    }
    waiting_.clear();
    expected_.clear();
    return {};
  }

  base::Result<std::optional<tar::Member>> next() {
    TRY(fill(tar::kBlock));
    return tar::parse_header({buffer_.data(), tar::kBlock});
  }

  template <class Sink>
  base::Result<void> content(const tar::Member& member, Sink sink) {
    for (int64_t left = member.size; left > 0;) {
      const size_t n = std::min<size_t>(buffer_.size(), static_cast<size_t>(left));
      TRY(fill(n));
      TRY(sink(std::string_view(buffer_.data(), n)));
      left -= static_cast<int64_t>(n);
    }
    return fill(static_cast<size_t>(tar::padding(member.size)));
  }

  base::Result<void> fill(size_t size) {
    for (size_t have = 0; have < size;) {
      const ssize_t n = ::read(file_.get(), buffer_.data() + have, size - have);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return base::errno_error("read", errno);
      if (n == 0) return base::invalid("the backup ends too early");
      have += static_cast<size_t>(n);
    }
    return {};
  }

  static constexpr size_t kBatch = 128;
  base::Fd file_;
  std::string buffer_;
  std::vector<std::unique_ptr<BlobWriter>> waiting_;
  std::vector<base::Digest> expected_;
};

base::Result<BackupInfo> read_backup(const base::Path& file, const Target& target) {
  TRY_SET(base::Fd fd, base::open_file(file, O_RDONLY));
  auto info = Reader(std::move(fd)).read(target);
  if (!info) return std::unexpected(std::move(info).error().within(file.string()));
  return info;
}

base::Result<void> refuse_used(const base::Path& dir) {
  std::error_code error;
  if (!std::filesystem::exists(dir, error)) return {};
  if (!std::filesystem::is_directory(dir, error)) return base::invalid(dir.string() + " is not a folder");
  if (std::filesystem::is_empty(dir, error)) return {};
  return base::fail(base::Code::kConflict,
                    dir.string() + " is not empty: a backup is restored into a new or empty folder");
}

}  // namespace

base::Result<std::unique_ptr<Backup>> Backup::begin(store::Store& store, BlobStore& blobs, const base::Clock& clock,
                                                    const Options& options) {
  auto backup = std::make_unique<TarBackup>(blobs, blobs.pin());
  TRY(backup->prepare(store, clock, options));
  return backup;
}

base::Result<BackupInfo> verify_backup(const base::Path& file) { return read_backup(file, {}); }

base::Result<BackupInfo> restore_backup(const base::Path& file, const base::Path& dir) {
  const base::Path target = std::filesystem::absolute(dir).lexically_normal();
  const base::Path place = target.has_filename() ? target : target.parent_path();  // "x/" is x
  TRY(refuse_used(place));
  TRY(base::make_dirs(place.parent_path()));
  TRY_SET(const base::Path temp, base::make_temp_dir(place.parent_path(), place.filename().string() + ".restoring-"));
  const auto work = [&]() -> base::Result<BackupInfo> {
    TRY_SET(const auto blobs, BlobStore::open(temp));
    TRY_SET(const BackupInfo info, read_backup(file, {temp / kDatabaseFile, blobs.get()}));
    TRY(base::write_file_durably(temp / kRestoredMark, "see docs/design/blobs-s3.md\n"));
    TRY(base::fsync_dir(temp));
    // Over an empty folder rename puts the new one in its place; a folder that was filled meanwhile is refused.
    if (::rename(temp.c_str(), place.c_str()) != 0) return base::errno_error(place.string(), errno);
    TRY(base::fsync_dir(place.parent_path()));
    return info;
  };
  auto info = work();
  if (!info) (void)base::remove_tree(temp);
  return info;
}

}  // namespace blob
