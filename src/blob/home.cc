#include "blob/home.h"

#include <unistd.h>

#include <mutex>
#include <set>
#include <string>

#include "base/ids.h"
#include "base/log.h"
#include "base/parallel.h"
#include "blob/rows.h"

namespace blob {
namespace {

constexpr size_t kPage = 5'000;
constexpr size_t kReadBytes = 1 << 20;

base::Result<std::optional<Home>> home_row(store::Tx& tx) {
  store::Rows rows = tx.query("SELECT home, store_id FROM blob_home WHERE one = 1");
  std::optional<Home> found;
  if (rows.next()) found = Home{rows.str(0), rows.str(1)};
  TRY(tx.status());
  return found;
}

base::Result<void> write_home(store::Tx& tx, const Home& home) {
  tx.exec(
      "INSERT INTO blob_home (one, home, store_id, at_us) VALUES (1, ?, ?, ?) ON CONFLICT (one) DO UPDATE SET"
      " home = excluded.home, store_id = excluded.store_id, at_us = excluded.at_us",
      home.home, home.store_id, tx.now_us());
  return tx.status();
}

std::unexpected<base::Error> elsewhere(const std::string& known, const std::string& asked) {
  return base::fail(base::Code::kConflict, "this store's blobs are at home in " + known +
                                               ", the settings say blobs: " + asked + "; set blobs: " + known +
                                               ", or move them with 'lathe blobs copy --to " + asked + "'");
}

base::Result<bool> has_blobs(store::Store& store, const base::Context& ctx) {
  return store.read_blocking(ctx, [](store::Tx& tx) -> base::Result<bool> {
    const bool any = tx.query_i64("SELECT 1 FROM blobs LIMIT 1").has_value();
    TRY(tx.status());
    return any;
  });
}

base::Result<void> copy_one(BlobStore& from, BlobStore& to, const BlobStore::Found& blob) {
  TRY_SET(const auto source, from.open_range(blob.sha256, 0, static_cast<uint64_t>(blob.size)));
  TRY_SET(const auto writer, to.begin());
  std::string buffer(source.fd ? kReadBytes : 0, '\0');
  while (true) {
    std::string_view piece;
    if (source.fd) {
      const ssize_t n = ::read(source.fd.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return base::errno_error(blob.sha256.hex(), errno);
      piece = {buffer.data(), static_cast<size_t>(n)};
    } else {
      TRY_SET(buffer, source.reader->next());
      piece = buffer;
    }
    if (piece.empty()) break;
    TRY(writer->write(piece));
  }
  TRY(writer->finish(blob.sha256));
  return {};
}

base::Result<std::vector<std::string>> missing_from(store::Store& store, const std::set<base::Digest>& there,
                                                    const base::Context& ctx) {
  std::vector<std::string> missing;
  std::optional<base::Digest> last;
  while (true) {
    TRY_SET(const auto page, store.read_blocking(ctx, [&](store::Tx& tx) -> base::Result<std::vector<base::Digest>> {
      std::vector<base::Digest> out;
      const store::Blob after = last ? detail::column(*last) : store::Blob{};
      store::Rows rows =
          tx.query("SELECT DISTINCT sha256 FROM blobs WHERE sha256 > ? ORDER BY sha256 LIMIT ?", after, kPage);
      while (rows.next()) out.push_back(detail::digest_of(base::HashAlgo::kSha256, rows.text(0)));
      TRY(tx.status());
      return out;
    }));
    if (page.empty()) return missing;
    last = page.back();
    for (const base::Digest& digest : page) {
      if (!there.contains(digest)) missing.push_back(digest.hex());
    }
  }
}

}  // namespace

base::Result<std::optional<Home>> read_home(store::Store& store, const base::Context& ctx, const base::Path& dir) {
  if (::access((dir / kRestoredMark).c_str(), F_OK) == 0) return std::nullopt;
  return store.read_blocking(ctx, home_row);
}

base::Result<void> settle_home(store::Store& store, BlobStore& blobs, const base::Context& ctx, const base::Path& dir) {
  TRY_SET(auto known, read_home(store, ctx, dir));
  if (!known || known->home != blobs.home()) {
    const std::string before = known ? known->home : "folder";  // what never saying it has always meant
    TRY_SET(const bool any, has_blobs(store, ctx));
    if (any && blobs.home() != before) return elsewhere(before, blobs.home());
    const bool same_name = known.has_value();
    known = Home{blobs.home(), same_name ? known->store_id : base::make_id("bs", *ctx.random, ctx.now_us)};
    // The row first: a place that was claimed under a name which nobody knows would belong to nobody.
    TRY(store.write_blocking(ctx, [&](store::Tx& tx) { return write_home(tx, *known); }));
    ::unlink((dir / kRestoredMark).c_str());
    return blobs.claim(known->store_id, false);
  }
  auto claimed = blobs.claim(known->store_id, false);
  if (claimed || claimed.error().code != base::Code::kUnavailable) return claimed;
  // What is served from here need not wait for it; until it was asked, nothing is collected there.
  base::log::warn("the place of the blobs cannot be reached",
                  {{"home", known->home}, {"why", claimed.error().message}});
  return {};
}

base::Result<void> check_home(store::Store& store, const BlobStore& blobs, const base::Context& ctx,
                              const base::Path& dir) {
  const auto known = read_home(store, ctx, dir);
  const std::string home = known && *known ? (**known).home : "folder";  // no such table: of an older version
  if (home != blobs.home()) return elsewhere(home, blobs.home());
  return {};
}

base::Result<CopyReport> copy_blobs(store::Store& store, BlobStore& from, BlobStore& to, const base::Context& ctx) {
  CopyReport report;
  std::set<base::Digest> there;
  TRY(to.for_each([&](const BlobStore::Found& blob) { there.insert(blob.sha256); }));
  std::vector<BlobStore::Found> wanted;
  TRY(from.for_each([&](const BlobStore::Found& blob) {
    if (there.contains(blob.sha256)) {
      ++report.present;
    } else {
      wanted.push_back(blob);
    }
  }));
  std::mutex mutex;
  TRY(base::for_each_parallel(wanted.size(), std::max(from.parallel(), to.parallel()),
                              [&](size_t i) -> base::Result<void> {
                                auto done = copy_one(from, to, wanted[i]);
                                if (!done && done.error().code == base::Code::kNotFound) return {};  // collected
                                TRY(done);
                                const std::lock_guard lock(mutex);
                                there.insert(wanted[i].sha256);
                                ++report.copied;
                                report.bytes += wanted[i].size;
                                return {};
                              }));
  TRY_SET(report.missing, missing_from(store, there, ctx));
  return report;
}

base::Result<void> move_home(store::Store& store, BlobStore& to, const base::Context& ctx, const base::Path& dir,
                             bool take_over) {
  TRY_SET(const auto known, read_home(store, ctx, dir));
  const Home home{to.home(), known ? known->store_id : base::make_id("bs", *ctx.random, ctx.now_us)};
  TRY(to.claim(home.store_id, take_over));
  TRY(store.write_blocking(ctx, [&](store::Tx& tx) { return write_home(tx, home); }));
  ::unlink((dir / kRestoredMark).c_str());
  return {};
}

}  // namespace blob
