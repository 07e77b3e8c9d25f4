#include "blob/fsck.h"

#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <set>

#include "base/parallel.h"
#include "blob/rows.h"

namespace blob {
namespace {

using detail::column;
using detail::digest_of;

constexpr size_t kPage = 1'000;
constexpr size_t kReadBytes = 1 << 20;

struct Row {
  int64_t project = 0;
  BlobInfo info;
};

base::Result<std::vector<Row>> read_page(store::Tx& tx, const Row& after) {
  std::vector<Row> page;
  const store::Blob last = after.project == 0 ? store::Blob{} : column(after.info.sha256);
  store::Rows rows = tx.query(
      "SELECT project, sha256, md5, size FROM blobs WHERE (project, sha256) > (?, ?) ORDER BY project, sha256 LIMIT ?",
      after.project, last, kPage);
  while (rows.next()) {
    Row row{.project = rows.i64(0)};
    row.info.sha256 = digest_of(base::HashAlgo::kSha256, rows.text(1));
    if (!rows.is_null(2)) row.info.md5 = digest_of(base::HashAlgo::kMd5, rows.text(2));
    row.info.size = rows.i64(3);
    page.push_back(row);
  }
  TRY(tx.status());
  return page;
}

base::Result<BlobStore::Source> open_whole(BlobStore& blobs, const base::Digest& sha256) {
  TRY_SET(const int64_t size, blobs.size_of(sha256));
  return blobs.open_range(sha256, 0, static_cast<uint64_t>(size));
}

base::Result<std::string_view> next_piece(const BlobStore::Source& source, std::string& buffer) {
  if (source.reader) {
    TRY_SET(buffer, source.reader->next());
    return buffer;
  }
  while (true) {
    const ssize_t n = ::read(source.fd.get(), buffer.data(), buffer.size());
    if (n >= 0) return std::string_view(buffer.data(), static_cast<size_t>(n));
    if (errno != EINTR) return base::errno_error("read", errno);
  }
}

base::Result<BlobInfo> read_through(const BlobStore::Source& source, std::string& buffer) {
  base::Hasher sha256(base::HashAlgo::kSha256), md5(base::HashAlgo::kMd5);
  BlobInfo info;
  while (true) {
    TRY_SET(const std::string_view piece, next_piece(source, buffer));
    if (piece.empty()) break;
    sha256.update(piece);
    md5.update(piece);
    info.size += static_cast<int64_t>(piece.size());
  }
  info.sha256 = sha256.finish();
  info.md5 = md5.finish();
  return info;
}

base::Result<bool> still_known(store::Store& store, const base::Context& ctx, const Row& row) {
  return store.read_blocking(ctx, [&](store::Tx& tx) -> base::Result<bool> {
    return tx.query_i64("SELECT 1 FROM blobs WHERE project = ? AND sha256 = ?", row.project, column(row.info.sha256))
        .has_value();
  });
}

// "artifact data/7/train.csv", for the fault's sentence; "" when nothing refers to it.
std::string referrer(store::Store& store, const base::Context& ctx, const Row& row) {
  auto found = store.read_blocking(ctx, [&](store::Tx& tx) -> base::Result<std::string> {
    store::Rows artifacts = tx.query("SELECT root, path FROM artifacts WHERE project = ? AND sha256 = ? LIMIT 1",
                                     row.project, column(row.info.sha256));
    if (artifacts.next()) return " (" + artifacts.str(0) + "/" + artifacts.str(1) + ")";
    store::Rows owners = tx.query("SELECT owner_kind, owner FROM blob_refs WHERE project = ? AND sha256 = ? LIMIT 1",
                                  row.project, column(row.info.sha256));
    return owners.next() ? " (" + owners.str(0) + " " + owners.str(1) + ")" : "";
  });
  return found.value_or("");
}

base::Result<void> check_blob(store::Store& store, BlobStore& blobs, const base::Context& ctx, const Row& row,
                              std::mutex& mutex, FsckReport& report) {
  const auto fault = [&](std::string_view what) {
    const std::lock_guard lock(mutex);
    report.faults.push_back("blob " + row.info.sha256.hex() + referrer(store, ctx, row) + " " + std::string(what));
  };
  const auto source = open_whole(blobs, row.info.sha256);
  if (!source && source.error().code == base::Code::kNotFound) {
    TRY_SET(const bool known, still_known(store, ctx, row));  // else collected meanwhile
    if (known) fault("is missing");
    return {};
  }
  if (!source) return fault("cannot be opened: " + source.error().message), base::Result<void>();
  const auto most = static_cast<size_t>(std::max<int64_t>(row.info.size, 0)) + 1;
  std::string buffer(source->fd ? std::min(kReadBytes, most) : 0, '\0');
  auto found = read_through(*source, buffer);
  if (!found) return fault("cannot be read: " + found.error().message), base::Result<void>();
  {
    const std::lock_guard lock(mutex);
    ++report.blobs;
    report.bytes += found->size;
  }
  if (found->size != row.info.size) {
    fault("has " + std::to_string(found->size) + " bytes instead of " + std::to_string(row.info.size));
  } else if (found->sha256 != row.info.sha256) {
    fault("is corrupt: its bytes have SHA-256 " + found->sha256.hex());
  } else if (row.info.md5 && found->md5 != row.info.md5) {
    fault("has MD5 " + found->md5_hex() + ", the database says " + row.info.md5_hex());
  }
  return {};
}

// Rows that refer to a blob which has no row.
base::Result<void> check_references(store::Store& store, const base::Context& ctx, FsckReport& report) {
  TRY_SET(const auto dangling, store.read_blocking(ctx, [](store::Tx& tx) -> base::Result<std::vector<std::string>> {
    std::vector<std::string> out;
    store::Rows rows = tx.query(
        "SELECT root, path FROM artifacts a WHERE a.sha256 IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM blobs b WHERE b.project = a.project AND b.sha256 = a.sha256) LIMIT 100");
    while (rows.next())
      out.push_back("artifact " + rows.str(0) + "/" + rows.str(1) + " names a blob that nobody knows");
    TRY(tx.status());
    return out;
  }));
  report.faults.insert(report.faults.end(), dangling.begin(), dangling.end());
  return {};
}

}  // namespace

base::Result<FsckReport> check_store(store::Store& store, BlobStore& blobs, const base::Context& ctx, bool with_files) {
  FsckReport report;
  TRY_SET(report.faults, store.check_database());
  TRY(check_references(store, ctx, report));
  if (!with_files) return report;
  std::set<base::Digest> seen;
  std::mutex mutex;
  for (Row last;;) {
    TRY_SET(const auto page, store.read_blocking(ctx, [&](store::Tx& tx) { return read_page(tx, last); }));
    if (page.empty()) break;
    last = page.back();
    std::vector<Row> fresh;
    for (const Row& row : page) {
      if (seen.insert(row.info.sha256).second) fresh.push_back(row);
    }
    TRY(base::for_each_parallel(fresh.size(), blobs.parallel(),
                                [&](size_t i) { return check_blob(store, blobs, ctx, fresh[i], mutex, report); }));
  }
  TRY(blobs.for_each([&](const BlobStore::Found& file) {
    if (seen.contains(file.sha256)) return;
    ++report.orphans;
    report.orphan_bytes += file.size;
  }));
  return report;
}

}  // namespace blob
