#include "blob/gc.h"

#include <vector>

#include "blob/rows.h"
#include "blob/s3_store.h"

namespace blob {
namespace {

using detail::column;
using detail::digest_of;

constexpr size_t kPage = 500;  // rows looked at, and changed, at once

struct Row {
  int64_t project = 0;
  base::Digest sha256;
  int64_t unused_since_us = 0;
  bool used = false;
};

constexpr std::string_view kPageSql =
    "SELECT project, sha256, unused_since_us,"
    " CASE WHEN EXISTS (SELECT 1 FROM artifacts a WHERE a.project = b.project AND a.sha256 = b.sha256)"
    " OR EXISTS (SELECT 1 FROM blob_refs r WHERE r.project = b.project AND r.sha256 = b.sha256) THEN 1 ELSE 0 END"
    " FROM blobs b WHERE (project, sha256) > (?, ?) ORDER BY project, sha256 LIMIT ?";

#define UNUSED_NOW                                                                                          \
  " AND NOT EXISTS (SELECT 1 FROM artifacts a WHERE a.project = blobs.project AND a.sha256 = blobs.sha256)" \
  " AND NOT EXISTS (SELECT 1 FROM blob_refs r WHERE r.project = blobs.project AND r.sha256 = blobs.sha256)"
constexpr std::string_view kMarkSql =
    "UPDATE blobs SET unused_since_us = ? WHERE project = ? AND sha256 = ? AND unused_since_us = 0" UNUSED_NOW;
constexpr std::string_view kForgetSql =
    "DELETE FROM blobs WHERE project = ? AND sha256 = ? AND unused_since_us > 0 AND unused_since_us <= ?" UNUSED_NOW;
#undef UNUSED_NOW

base::Result<std::vector<Row>> read_page(store::Tx& tx, const Row& after) {
  std::vector<Row> page;
  const store::Blob last = after.project == 0 ? store::Blob{} : column(after.sha256);
  store::Rows rows = tx.query(kPageSql, after.project, last, kPage);
  while (rows.next()) {
    page.push_back({rows.i64(0), digest_of(base::HashAlgo::kSha256, rows.text(1)), rows.i64(2), rows.boolean(3)});
  }
  TRY(tx.status());
  return page;
}

struct Changes {
  int64_t marked = 0, forgotten = 0;
};

base::Result<Changes> mark_and_forget(store::Tx& tx, const std::vector<Row>& page, int64_t before_us) {
  Changes changes;
  for (const Row& row : page) {
    if (row.used) continue;
    if (row.unused_since_us == 0) {
      changes.marked += tx.exec(kMarkSql, tx.now_us(), row.project, column(row.sha256));
    } else if (row.unused_since_us <= before_us) {
      changes.forgotten += tx.exec(kForgetSql, row.project, column(row.sha256), before_us);
    }
  }
  TRY(tx.status());
  return changes;
}

// Those that no project's row names.
base::Result<std::vector<BlobStore::Found>> unnamed(store::Tx& tx, const std::vector<BlobStore::Found>& files) {
  // On PostgreSQL: wait for transactions that are about to name one of them, and keep new ones off until we are
  // through.
  if (tx.backend() == store::Backend::kPostgres) tx.exec("LOCK TABLE blobs IN SHARE MODE");
  std::vector<BlobStore::Found> out;
  for (const BlobStore::Found& file : files) {
    if (!tx.query_i64("SELECT 1 FROM blobs WHERE sha256 = ? LIMIT 1", column(file.sha256))) out.push_back(file);
  }
  TRY(tx.status());
  return out;
}

base::Result<void> remove_files(store::Store& store, BlobStore& blobs, const base::Context& ctx,
                                const std::vector<BlobStore::Found>& old, int64_t before_us, GcReport& report) {
  TRY_SET(const auto candidates, store.write_blocking(ctx, [&](store::Tx& tx) { return unnamed(tx, old); }));
  std::vector<BlobStore::Found> aside;
  for (const BlobStore::Found& file : candidates) {
    if (ctx.cancelled.stop_requested()) break;  // what is aside is put back below
    TRY_SET(const bool went, blobs.set_aside(file.sha256, before_us));
    if (went) aside.push_back(file);
  }
  if (aside.empty()) return {};
  auto still = store.write_blocking(ctx, [&](store::Tx& tx) { return unnamed(tx, aside); });
  if (!still) {
    for (const BlobStore::Found& file : aside) TRY(blobs.put_back(file.sha256));
    return std::unexpected(std::move(still).error());
  }
  auto gone = still->begin();
  for (const BlobStore::Found& file : aside) {  // `still` is a subsequence of `aside`
    if (gone == still->end() || gone->sha256 != file.sha256) {
      TRY(blobs.put_back(file.sha256));
      continue;
    }
    ++gone;
    TRY(blobs.discard(file.sha256));
    ++report.removed;
    report.bytes += file.size;
  }
  return {};
}

}  // namespace

base::Result<GcReport> collect_garbage(store::Store& store, BlobStore& blobs, const base::Context& ctx,
                                       int64_t grace_us) {
  GcReport report;
  const int64_t before_us = ctx.now_us - grace_us;
  for (Row last;;) {
    TRY_SET(const auto page, store.read_blocking(ctx, [&](store::Tx& tx) { return read_page(tx, last); }));
    if (page.empty()) break;
    last = page.back();
    TRY_SET(const Changes changes,
            store.write_blocking(ctx, [&](store::Tx& tx) { return mark_and_forget(tx, page, before_us); }));
    report.marked += changes.marked;
    report.forgotten += changes.forgotten;
  }
  std::vector<BlobStore::Found> old;
  TRY(blobs.for_each([&](const BlobStore::Found& file) {
    if (file.used_us < before_us) old.push_back(file);
  }));
  for (size_t at = 0; at < old.size(); at += kPage) {
    const auto first = old.begin() + static_cast<ptrdiff_t>(at);
    const std::vector<BlobStore::Found> step(first, first + static_cast<ptrdiff_t>(std::min(kPage, old.size() - at)));
    TRY(remove_files(store, blobs, ctx, step, before_us, report));
  }
  if (DirectUploads* const bucket = direct_uploads(blobs)) bucket->drop_stale_uploads();
  return report;
}

}  // namespace blob
