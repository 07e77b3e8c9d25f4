#include "blob/blob.h"

#include <gtest/gtest.h>

#include "blob/migrations.h"
#include "core/migrations.h"
#include "core/event.h"
#include "core/identity.h"
#include "store/store.h"

namespace blob {
namespace {
TEST(Smoke, Works) {
  auto dir = base::make_temp_dir(testing::TempDir(), "store");
  ASSERT_TRUE(dir);
  store::ModuleMigrations modules[] = {core::migrations(), migrations()};
  auto s = store::Store::open({.url = "sqlite:" + (*dir / "lathe.db").string(), .holder = "test"}, modules);
  ASSERT_TRUE(s) << s.error().message;
  auto blobs = BlobStore::open(*dir);
  ASSERT_TRUE(blobs) << blobs.error().message;
  auto info = (*blobs)->put("hello");
  ASSERT_TRUE(info);
  auto ctx = base::Context::system(base::system_clock());
  auto put = (*s)->write_blocking(ctx, [&](store::Tx& tx) -> base::Result<std::string> {
    TRY(put_artifact(tx, {.root = "r", .path = "a/b", .size = 5, .digest = info->sha256}));
    core::emit(tx, "a.b", "a", "x");
    return core::mint_token(tx, {.principal = "user:ann", .kind = base::ActorKind::kUser});
  });
  ASSERT_TRUE(put) << put.error().message;
  auto who = (*s)->read_blocking(ctx, [&](store::Tx& tx) { return core::find_token(tx, *put); });
  ASSERT_TRUE(who && *who) << who.error().message;
  EXPECT_EQ((*who)->actor.name, "user:ann");
  auto list = (*s)->read_blocking(ctx, [&](store::Tx& tx) -> base::Result<std::vector<Artifact>> { return list_artifacts(tx, "r", "a"); });
  ASSERT_EQ(list->size(), 1u);
  EXPECT_EQ((*list)[0].digest, info->sha256);
}
}  // namespace
}  // namespace blob
