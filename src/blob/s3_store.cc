#include "blob/s3_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

#include "base/assert.h"
#include "base/json.h"
#include "base/log.h"
#include "base/parallel.h"
#include "blob/blob_hasher.h"
#include "blob/cache.h"
#include "blob/touch_log.h"
#include "s3/client.h"

namespace blob {
namespace {

constexpr uint64_t kStreamFrom = uint64_t{64} << 20;  // what is larger goes to its reader as it comes, past the cache
constexpr uint64_t kPieceBytes = uint64_t{8} << 20;   // of such a stream; held in memory
constexpr int kMostStreams = 64;                      // of them at once; past it: kTooMany
constexpr int64_t kSmallBytes = int64_t{8} << 20;     // uploaded without asking first whether it is there
constexpr int64_t kPartsFrom = int64_t{32} << 20;     // uploaded in parts, several at once
constexpr size_t kParallel = 8;                       // objects at once, of one call
constexpr int64_t kStaleUploadUs = 24 * int64_t{3'600'000'000};
constexpr int64_t kStaleDirectUs = 2 * kStaleUploadUs;  // of clients', whose rows live for a day
constexpr size_t kMarkerBytes = 64 << 10;
constexpr std::string_view kMarker = "lathe-store.json";

std::unexpected<base::Error> absent(const base::Digest& sha256, const s3::Client& client) {
  return base::not_found("blob " + sha256.hex() + " is not in " + client.address());
}

class S3Store;

class S3Writer final : public BlobWriter {
 public:
  S3Writer(S3Store& store, Hashes hashes, TempFile file) : store_(store), file_(std::move(file)), hasher_(hashes) {}
  ~S3Writer() override {
    if (!file_.path.empty()) ::unlink(file_.path.c_str());
  }
  base::Result<void> write(std::string_view bytes) override {
    ASSERT_ALWAYS(file_.fd);
    hasher_.update(bytes);
    return base::write_all(file_.fd.get(), bytes);
  }
  base::Result<BlobInfo> finish(const std::optional<base::Digest>& must_be) override;

  const BlobInfo& seal() { return hasher_.seal(); }
  const base::Path& path() const { return file_.path; }
  TempFile take() {
    TempFile out = std::move(file_);
    file_.path.clear();
    return out;
  }

 private:
  S3Store& store_;
  TempFile file_;  // path empty once it has gone to the cache
  BlobHasher hasher_;
};

// A range of an object in pieces. Of a whole one the last piece is given out only if all of them are its digest's.
class S3Reader final : public BlobReader {
 public:
  using Place = std::shared_ptr<void>;  // one of kMostStreams
  S3Reader(s3::Client& client, std::string key, const base::Digest& sha256, uint64_t first, uint64_t length, bool whole,
           Place place)
      : client_(client),
        key_(std::move(key)),
        sha256_(sha256),
        at_(first),
        left_(length),
        whole_(whole),
        place_(std::move(place)) {}

  base::Result<std::string> next() override {
    std::string piece;
    const uint64_t wanted = std::min(left_, kPieceBytes);
    if (wanted == 0) return piece;
    piece.reserve(wanted);
    TRY(client_.get(key_, at_, wanted, [&](std::string_view bytes) -> base::Result<void> {
      piece += bytes;
      return {};
    }));
    at_ += wanted;
    left_ -= wanted;
    if (!whole_) return piece;
    hasher_.update(piece);
    if (left_ > 0) return piece;
    if (const base::Digest found = hasher_.finish(); found != sha256_)
      return base::internal("blob " + sha256_.hex() + " is damaged in the bucket: its bytes have SHA-256 " +
                            found.hex());
    return piece;
  }

 private:
  s3::Client& client_;
  const std::string key_;
  const base::Digest sha256_;
  uint64_t at_, left_;
  const bool whole_;
  const Place place_;
  base::Hasher hasher_{base::HashAlgo::kSha256};
};

class S3Store final : public BlobStore, public DirectUploads {
 public:
  S3Store(std::unique_ptr<s3::Client> client, const S3StoreOptions& options, const base::Clock& clock)
      : client_(std::move(client)),
        prefix_(options.prefix.empty() ? "" : options.prefix + "/"),
        beside_server_(options.beside_server),
        clock_(clock) {}

  base::Result<void> prepare(const S3StoreOptions& options, base::Registry* metrics) {
    const base::Path dir = options.dir / "blobs" / (beside_server_ ? "beside" : "s3");
    TRY_SET(cache_, Cache::open(dir, beside_server_ ? 0 : options.cache_bytes, metrics));
    if (beside_server_) return {};
    TRY_SET(touched_, TouchLog::open(dir / "touched.log", clock_.wall_us()));
    return {};
  }

  base::Result<std::unique_ptr<BlobWriter>> begin(Hashes hashes) override {
    TRY_SET(TempFile file, cache_->begin());
    return std::make_unique<S3Writer>(*this, hashes, std::move(file));
  }

  base::Result<std::vector<BlobInfo>> finish_all(std::span<const std::unique_ptr<BlobWriter>> writers) override {
    std::vector<BlobInfo> infos(writers.size());
    TRY(base::for_each_parallel(writers.size(), kParallel, [&](size_t i) -> base::Result<void> {
      TRY_SET(infos[i], publish(static_cast<S3Writer&>(*writers[i])));
      return {};
    }));
    return infos;
  }

  base::Result<BlobInfo> publish(S3Writer& writer) {
    const BlobInfo info = writer.seal();
    const Uploading uploading(*this, info.sha256);
    if (touched_) TRY(touched_->touch(info.sha256, clock_.wall_us()));
    TRY(upload(writer.path(), info));
    (void)cache_->keep(writer.take(), info.sha256,
                       info.size);  // the next read is likely soon; without it, it is fetched
    return info;
  }

  base::Result<base::Fd> open_blob(const base::Digest& sha256) override {
    TRY_SET(const LocalFile file, local_file(sha256));
    return base::open_file(file.path, O_RDONLY);
  }

  base::Result<LocalFile> local_file(const base::Digest& sha256) override {
    if (auto held = cache_->hold(sha256)) return *held;
    std::unique_lock lock(mutex_);
    if (const auto under_way = fetches_.find(sha256); under_way != fetches_.end()) {
      const std::shared_ptr<Fetch> fetch = under_way->second;
      changed_.wait(lock, [&] { return fetch->outcome.has_value(); });
      return *fetch->outcome;
    }
    const auto fetch = std::make_shared<Fetch>();
    fetches_[sha256] = fetch;
    lock.unlock();
    auto outcome = download(sha256);
    lock.lock();
    fetch->outcome = outcome;
    fetches_.erase(sha256);
    changed_.notify_all();
    return outcome;
  }

  base::Result<Source> open_range(const base::Digest& sha256, uint64_t first, uint64_t length) override {
    if (auto held = cache_->hold(sha256)) {
      TRY_SET(base::Fd fd, base::open_file(held->path, O_RDONLY));
      return Source{std::move(fd), nullptr};
    }
    TRY_SET(const int64_t size, remote_size(sha256));
    const bool streamed = beside_server_ || size > static_cast<int64_t>(kStreamFrom) || size > cache_->budget();
    if (!streamed) {
      TRY_SET(base::Fd fd, open_blob(sha256));
      return Source{std::move(fd), nullptr};
    }
    const auto bytes = static_cast<uint64_t>(size);
    if (first > bytes || length > bytes - first) return base::internal("a range beyond the end of " + sha256.hex());
    const bool whole = first == 0 && length == bytes;
    if (streams_->fetch_add(1) >= kMostStreams) {
      --*streams_;
      return base::fail(base::Code::kTooMany, "more than " + std::to_string(kMostStreams) +
                                                  " large files are being read from the bucket; try again");
    }
    S3Reader::Place place(nullptr, [streams = streams_](void*) { --*streams; });
    return Source{{},
                  std::make_unique<S3Reader>(*client_, key_of(sha256), sha256, first, length, whole, std::move(place))};
  }

  base::Result<std::string> presigned(const base::Digest& sha256, int64_t seconds) {
    return client_->presigned("GET", key_of(sha256), seconds);
  }
  base::Result<int64_t> size_of(const base::Digest& sha256) const override {
    if (const auto cached = cache_->size_of(sha256)) return *cached;
    return remote_size(sha256);
  }

  base::Result<void> remove(const base::Digest& sha256) override {
    cache_->drop(sha256);
    return client_->remove(key_of(sha256));
  }

  base::Result<void> for_each(const std::function<void(const Found&)>& visit) override {
    const std::string prefix = prefix_ + "sha256/";
    return client_->for_each(prefix, [&](const s3::Object& object) {
      std::string hex = object.key.substr(prefix.size());
      if (hex.size() > 2 && hex[2] == '/') hex.erase(2, 1);
      const auto digest = base::Digest::from_hex(base::HashAlgo::kSha256, hex);
      if (!digest || key_of(*digest) != object.key) return;  // not ours
      const int64_t touched_us = touched_ ? touched_->used_us(*digest) : 0;
      visit({*digest, object.size, std::max(object.modified_us, touched_us)});
    });
  }

  base::Result<std::vector<std::optional<int64_t>>> touch(std::span<const base::Digest> digests) override {
    std::vector<std::optional<int64_t>> sizes(digests.size());
    TRY(base::for_each_parallel(digests.size(), kParallel, [&](size_t i) -> base::Result<void> {
      const Uploading referring(*this, digests[i]);  // no collection takes it while we look
      const auto size = size_of(digests[i]);
      if (!size)
        return size.error().code == base::Code::kNotFound ? base::Result<void>() : std::unexpected(size.error());
      sizes[i] = *size;
      return touched_ ? touched_->touch(digests[i], clock_.wall_us()) : base::Result<void>();
    }));
    return sizes;
  }

  // Nothing moves in the bucket: set aside is a note of this process, and the object goes at discard(). An upload in
  // between finds it still there and crosses the note out.
  base::Result<bool> set_aside(const base::Digest& sha256, int64_t before_us) override {
    if (!claimed_) TRY(claim(store_id_, false));  // could not be asked at the start
    const std::lock_guard lock(mutex_);
    if (*pins_ > 0 || uploading_.contains(sha256) || !touched_ || touched_->used_us(sha256) >= before_us) return false;
    aside_.insert(sha256);
    return true;
  }

  base::Result<void> put_back(const base::Digest& sha256) override {
    const std::lock_guard lock(mutex_);
    aside_.erase(sha256);
    return {};
  }

  base::Result<void> discard(const base::Digest& sha256) override {
    {
      const std::lock_guard lock(mutex_);
      if (aside_.erase(sha256) == 0) return {};  // uploaded or asked for meanwhile
      deleting_.insert(sha256);
    }
    auto removed = remove(sha256);
    const std::lock_guard lock(mutex_);
    deleting_.erase(sha256);
    changed_.notify_all();
    return removed;
  }

  Pin pin() override {
    const std::lock_guard lock(mutex_);
    ++*pins_;
    return Pin(nullptr, [pins = pins_](void*) { --*pins; });
  }

  std::string home() const override {
    return "s3://" + client_->options().bucket + (prefix_.empty() ? "" : "/" + prefix_.substr(0, prefix_.size() - 1));
  }
  base::Result<void> claim(const std::string& store_id, bool take_over) override;
  size_t parallel() const override { return kParallel; }
  void no_more_retries() override { client_->no_more_retries(); }

  base::Result<std::string> begin_upload(const std::string& name) override {
    return client_->begin_parts(incoming_key(name));
  }
  base::Result<std::string> part_url(const Upload& upload, int64_t number, int64_t seconds) override {
    return client_->presigned_part(incoming_key(upload.name), upload.remote, number, seconds);
  }
  base::Result<BlobInfo> complete_upload(const Upload& upload, const std::vector<std::string>& etags,
                                         uint64_t max_bytes) override;
  base::Result<void> drop_upload(const Upload& upload) override {
    TRY(client_->abort_parts(incoming_key(upload.name), upload.remote));
    return client_->remove(incoming_key(upload.name));
  }
  void drop_stale_uploads() override {
    if (const auto dropped = drop_unended(); !dropped)
      base::log::warn("unfinished uploads in the bucket cannot be looked for", {{"why", dropped.error().message}});
  }

 private:
  struct Fetch {
    std::optional<base::Result<LocalFile>> outcome;
  };

  // While one lives, the digest is not collected; one that is being deleted is waited for.
  class Uploading {
   public:
    Uploading(S3Store& store, const base::Digest& sha256) : store_(store), sha256_(sha256) {
      std::unique_lock lock(store.mutex_);
      store.changed_.wait(lock, [&] { return !store.deleting_.contains(sha256); });
      store.aside_.erase(sha256);
      store.uploading_.insert(sha256);
    }
    ~Uploading() {
      const std::lock_guard lock(store_.mutex_);
      store_.uploading_.erase(store_.uploading_.find(sha256_));
    }
    Uploading(const Uploading&) = delete;

   private:
    S3Store& store_;
    const base::Digest sha256_;
  };

  std::string key_of(const base::Digest& sha256) const {
    const std::string hex = sha256.hex();
    return prefix_ + "sha256/" + hex.substr(0, 2) + "/" + hex.substr(2);
  }

  base::Result<void> drop_unended();
  std::string incoming_key(const std::string& name) const { return prefix_ + "incoming/" + name; }

  base::Result<int64_t> remote_size(const base::Digest& sha256) const {
    const auto object = client_->head(key_of(sha256));
    if (object) return object->size;
    if (object.error().code == base::Code::kNotFound) return absent(sha256, *client_);
    return std::unexpected(object.error());
  }

  base::Result<void> upload(const base::Path& file, const BlobInfo& info) {
    const std::string key = key_of(info.sha256);
    const s3::Body body{.file = file, .size = static_cast<uint64_t>(info.size), .sha256 = info.sha256.hex()};
    if (info.size <= kSmallBytes) {
      TRY_SET(const bool written, client_->put(key, body, true));
      if (written) return {};
    }
    const auto there = remote_size(info.sha256);
    if (there && *there == info.size) return {};
    if (!there && there.error().code != base::Code::kNotFound) return std::unexpected(there.error());
    if (info.size >= kPartsFrom) return client_->put_file_in_parts(key, file, body.size);
    TRY(client_->put(key, body));
    return {};
  }

  base::Result<LocalFile> download(const base::Digest& sha256) {
    TRY_SET(TempFile file, cache_->begin());
    const auto fetched = [&]() -> base::Result<int64_t> {
      base::Hasher hasher(base::HashAlgo::kSha256);
      int64_t size = 0;
      const auto got = client_->get(key_of(sha256), 0, std::nullopt, [&](std::string_view bytes) {
        hasher.update(bytes);
        size += static_cast<int64_t>(bytes.size());
        return base::write_all(file.fd.get(), bytes);
      });
      if (!got && got.error().code == base::Code::kNotFound) return absent(sha256, *client_);
      TRY(got);
      if (const base::Digest found = hasher.finish(); found != sha256) {
        return base::internal("blob " + sha256.hex() + " is damaged in the bucket: its bytes have SHA-256 " +
                              found.hex());
      }
      return size;
    }();
    auto kept = fetched ? cache_->keep({std::move(file.fd), file.path}, sha256, *fetched)
                        : base::Result<LocalFile>(std::unexpected(fetched.error()));
    if (!kept) ::unlink(file.path.c_str());
    return kept;
  }

  const std::unique_ptr<s3::Client> client_;
  const std::string prefix_;  // "" or ending in '/'
  const bool beside_server_;
  const base::Clock& clock_;
  std::string store_id_;  // set by the first claim(), before other threads call
  std::atomic<bool> claimed_ = false;
  std::shared_ptr<Cache> cache_;
  std::unique_ptr<TouchLog> touched_;  // null beside a server

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<base::Digest, std::shared_ptr<Fetch>> fetches_;
  std::multiset<base::Digest> uploading_;
  std::set<base::Digest> aside_, deleting_;
  const std::shared_ptr<std::atomic<int>> pins_ = std::make_shared<std::atomic<int>>(0);
  const std::shared_ptr<std::atomic<int>> streams_ = std::make_shared<std::atomic<int>>(0);
};

base::Result<BlobInfo> S3Writer::finish(const std::optional<base::Digest>& must_be) {
  if (must_be && seal().sha256 != *must_be)
    return base::invalid("the bytes have SHA-256 " + seal().sha256.hex() + ", not " + must_be->hex());
  return store_.publish(*this);
}

base::Result<void> S3Store::claim(const std::string& store_id, bool take_over) {
  if (store_id_.empty()) store_id_ = store_id;
  const std::string key = prefix_ + std::string(kMarker);
  base::json::object marker;
  marker["format"] = 1;
  marker["store"] = store_id;
  const std::string text = base::to_text(marker) + "\n";
  for (const bool again : {false, true}) {
    auto found = client_->get_text(key, kMarkerBytes);
    if (!found && found.error().code != base::Code::kNotFound) return std::unexpected(found.error());
    if (found) {
      TRY_SET(const auto value, base::parse_json(*found));
      TRY_SET(const auto* const object, base::as_object(value, key));
      TRY_SET(const std::string owner, base::required_string(*object, "store"));
      if (owner == store_id) break;
      if (!take_over || again) {
        return base::fail(base::Code::kConflict, home() + " belongs to another Lathe store (" + owner +
                                                     "), whose garbage collection rules there; use another prefix, or "
                                                     "'lathe blobs copy --take-over' if that store is no more");
      }
    }
    TRY(client_->put(key, {.bytes = text}, !found));  // then read again: another server may have been faster
  }
  drop_stale_uploads();
  claimed_ = true;
  return {};
}

// The parts' object has no digest for a name yet: it is read once, here, and copied to its name within the bucket. It
// cannot change in between: an upload that was completed takes no more parts.
base::Result<BlobInfo> S3Store::complete_upload(const Upload& upload, const std::vector<std::string>& etags,
                                                uint64_t max_bytes) {
  const std::string from = incoming_key(upload.name);
  auto object = client_->head(from);
  if (!object && object.error().code == base::Code::kNotFound) {
    TRY(client_->complete_parts(from, upload.remote, etags, std::nullopt));
    object = client_->head(from);
  }
  TRY(object);
  const auto size = static_cast<uint64_t>(object->size);
  if (size > max_bytes) {
    return base::fail(base::Code::kTooLarge,
                      "the file has " + std::to_string(size) + " bytes, allowed are " + std::to_string(max_bytes));
  }
  base::Hasher hasher(base::HashAlgo::kSha256);
  TRY(client_->get(from, 0, size, [&](std::string_view bytes) -> base::Result<void> {
    hasher.update(bytes);
    return {};
  }));
  const BlobInfo info{.sha256 = hasher.finish(), .md5 = std::nullopt, .size = object->size};
  const Uploading uploading(*this, info.sha256);
  if (touched_) TRY(touched_->touch(info.sha256, clock_.wall_us()));
  const auto there = remote_size(info.sha256);
  if (there && *there == info.size) return info;
  if (!there && there.error().code != base::Code::kNotFound) return std::unexpected(there.error());
  TRY(client_->copy(from, key_of(info.sha256), size));
  return info;
}

base::Result<void> S3Store::drop_unended() {
  const int64_t now_us = clock_.wall_us();
  TRY_SET(const int64_t own, client_->abort_stale_uploads(prefix_ + "sha256/", now_us - kStaleUploadUs));
  TRY_SET(const int64_t clients, client_->abort_stale_uploads(prefix_ + "incoming/", now_us - kStaleDirectUs));
  std::vector<std::string> left;  // completed, and then a crash
  TRY(client_->for_each(prefix_ + "incoming/", [&](const s3::Object& object) {
    if (object.modified_us < now_us - kStaleDirectUs) left.push_back(object.key);
  }));
  for (const std::string& key : left) TRY(client_->remove(key));
  if (const auto dropped = own + clients + static_cast<int64_t>(left.size()); dropped > 0)
    base::log::info("unfinished uploads removed from the bucket", {{"uploads", dropped}});
  return {};
}

}  // namespace

base::Result<std::unique_ptr<BlobStore>> open_s3_store(std::unique_ptr<s3::Client> client, S3StoreOptions options,
                                                       const base::Clock& clock, base::Registry* metrics) {
  if (!options.prefix.empty() && !base::is_safe_relative_path(options.prefix))
    return base::invalid("'" + options.prefix + "' is not a prefix: a relative path without '..' and empty parts");
  auto store = std::make_unique<S3Store>(std::move(client), options, clock);
  TRY(store->prepare(options, metrics));
  return store;
}

DirectUploads* direct_uploads(BlobStore& store) { return dynamic_cast<S3Store*>(&store); }

base::Result<std::string> presigned(BlobStore& store, const base::Digest& sha256, int64_t seconds) {
  auto* const bucket = dynamic_cast<S3Store*>(&store);
  if (bucket != nullptr) return bucket->presigned(sha256, seconds);
  return base::fail(base::Code::kUnsupported, "the files of this store have no address of their own");
}

}  // namespace blob
