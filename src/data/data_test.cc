#include "data/data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "blob/migrations.h"
#include "core/event.h"
#include "core/lineage.h"
#include "core/migrations.h"
#include "data/migrations.h"
#include "store/store.h"

namespace data {
namespace {

class DataRows : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = *base::make_temp_dir(testing::TempDir(), "lathe-data-");
    static const store::ModuleMigrations modules[] = {core::migrations(), blob::migrations(), migrations()};
    auto opened = store::Store::open(
        {.url = "sqlite:" + (dir_ / "lathe.db").string(), .sync_full = false, .holder = "test"}, modules);
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
    blobs_ = *blob::BlobStore::open(dir_);
    ctx_ = base::Context::system(base::system_clock());
  }
  void TearDown() override {
    store_.reset();
    (void)base::remove_tree(dir_);
  }

  NewDataVersion made_of(const std::string& train) {
    NewDataVersion version;
    version.name = "digits", version.label = "y", version.features = {"a", "b"}, version.rows = {{"train", 2}};
    for (const auto& [path, text] :
         {std::pair{std::string("train.csv"), train}, {std::string("export/train.csv"), train}}) {
      const auto info = *blobs_->put(text);
      version.files.push_back({.path = path, .size = info.size, .digest = info.sha256});
    }
    version.raw_files = {"raw/a.csv@" + base::sha256(train).hex()};
    return version;
  }
  auto create(const NewDataVersion& version) {
    return store_->write_blocking(ctx_, [&](store::Tx& tx) { return create_version(tx, version); });
  }

  base::Path dir_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<blob::BlobStore> blobs_;
  base::Context ctx_;
};

TEST_F(DataRows, TheSameBytesAreTheSameVersion) {
  const auto one = create(made_of("a,b,y\n1,2,0\n"));
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(one->number, 1);
  EXPECT_EQ(one->id.size(), 64u);
  ctx_.now_us += 1;
  const auto two = create(made_of("a,b,y\n3,4,1\n"));
  EXPECT_EQ(two->number, 2);
  ctx_.now_us += 1;
  ctx_.actor = {base::ActorKind::kAttempt, "attempt:at_1", "at_1"};
  const auto again = create(made_of("a,b,y\n1,2,0\n"));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->id, one->id);
  EXPECT_EQ(again->number, 1);
  const auto checked = store_->read_blocking(ctx_, [&](store::Tx& tx) -> base::Result<void> {
    TRY_SET(const auto newest, newest_version(tx, "digits"));
    EXPECT_EQ(newest->id, one->id);  // made last
    EXPECT_EQ(list_versions(tx, "digits").size(), 2u);
    EXPECT_EQ(list_newest(tx).size(), 1u);
    const auto files = version_files(tx, one->id);
    EXPECT_EQ(files.size(), 2u);
    EXPECT_EQ(core::edges_into(tx, {"data_version", one->id}).size(),
              2u);  // the file, and the attempt that made it again
    TRY_SET(const auto events, core::read_events(tx, {}, 100));
    EXPECT_EQ(std::ranges::count(events, std::string("data_version.created"), &core::Event::kind), 2);
    return {};
  });
  EXPECT_TRUE(checked) << checked.error().message;
}

TEST_F(DataRows, VersionsAreFoundByNumberIdPrefixAndLatest) {
  const auto one = create(made_of("1"));
  ctx_.now_us += 1;
  const auto two = create(made_of("2"));
  const auto checked = store_->read_blocking(ctx_, [&](store::Tx& tx) -> base::Result<void> {
    for (const std::string& which : {std::string("1"), one->id, one->id.substr(0, 8)}) {
      TRY_SET(const auto version, find_version(tx, "digits", which));
      EXPECT_EQ(version.id, one->id) << which;
      EXPECT_EQ(version.features, (std::vector<std::string>{"a", "b"}));
      EXPECT_EQ(version.rows.at("train"), 2);
    }
    TRY_SET(const auto latest, find_version(tx, "digits", "latest"));
    EXPECT_EQ(latest.id, two->id);
    EXPECT_EQ(find_version(tx, "digits", "3").error().code, base::Code::kNotFound);
    EXPECT_EQ(find_version(tx, "cats", "latest").error().code, base::Code::kNotFound);
    EXPECT_EQ(find_version(tx, "digits", "zzzzzz").error().code, base::Code::kNotFound);
    EXPECT_EQ(get_version(tx, one->id.substr(0, 8)).error().code, base::Code::kNotFound);
    return {};
  });
  EXPECT_TRUE(checked) << checked.error().message;
}

TEST_F(DataRows, BadVersionsAreRefused) {
  auto code = [&](const NewDataVersion& version) { return create(version).error().code; };
  NewDataVersion version = made_of("1");
  version.name = "../x";
  EXPECT_EQ(code(version), base::Code::kInvalid);
  version = made_of("1");
  version.files[0].path = "/etc/passwd";
  EXPECT_EQ(code(version), base::Code::kInvalid);
  version.files[0].path = version.files[1].path;
  EXPECT_EQ(code(version), base::Code::kInvalid);
  version = made_of("1");
  version.files.clear();
  EXPECT_EQ(code(version), base::Code::kInvalid);
  version = made_of("1");
  version.base_version = std::string(64, 'a');
  EXPECT_EQ(code(version), base::Code::kNotFound);
}

TEST_F(DataRows, TheManifestDoesNotDependOnTheOrderOfFiles) {
  auto version = made_of("1");
  const std::string id = manifest_id(version.files);
  std::ranges::reverse(version.files);
  EXPECT_EQ(manifest_id(version.files), id);
  version.files[0].path = "other.csv";
  EXPECT_NE(manifest_id(version.files), id);
}

}  // namespace
}  // namespace data
