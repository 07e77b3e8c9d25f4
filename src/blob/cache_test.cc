// What a store whose home is elsewhere keeps here: the cache of files, the log of touches, the row of the home.
#include "blob/cache.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/ids.h"
#include "blob/home.h"
#include "blob/migrations.h"
#include "blob/touch_log.h"
#include "store/testing.h"

namespace blob {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class CacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = *base::make_temp_dir(::testing::TempDir(), "lathe-cache-");
    open(1'000);
  }
  void TearDown() override { (void)base::remove_tree(dir_); }
  void open(int64_t budget) { cache_ = *Cache::open(dir_, budget); }

  BlobStore::LocalFile keep(const std::string& bytes) {
    TempFile file = *cache_->begin();
    EXPECT_TRUE(base::write_all(file.fd.get(), bytes));
    return *cache_->keep(std::move(file), base::sha256(bytes), static_cast<int64_t>(bytes.size()));
  }
  bool has(const std::string& bytes) { return cache_->hold(base::sha256(bytes)).has_value(); }
  size_t files() {
    size_t n = 0;
    for (const auto& entry : fs::recursive_directory_iterator(dir_)) n += entry.is_regular_file();
    return n;
  }

  base::Path dir_;
  std::shared_ptr<Cache> cache_;
  const std::string a_ = std::string(400, 'a'), b_ = std::string(400, 'b'), c_ = std::string(400, 'c');
};

TEST_F(CacheTest, TheLeastRecentlyUsedGoes) {
  keep(a_), keep(b_);
  EXPECT_TRUE(has(a_));
  keep(c_);
  EXPECT_FALSE(has(b_));
  EXPECT_TRUE(has(a_) && has(c_));
  EXPECT_EQ(files(), 2u);
}

TEST_F(CacheTest, AHeldFileStaysAndGoesWhenReleased) {
  std::optional<BlobStore::LocalFile> held = keep(a_);
  keep(b_);
  keep(c_);
  EXPECT_EQ(*base::read_file(held->path), a_);
  EXPECT_FALSE(has(b_)) << "another one made room";
  auto also = keep(b_);  // with a held and b held there is too much, and nothing that may go but c
  EXPECT_FALSE(has(c_));
  auto third = keep(c_);
  EXPECT_EQ(files(), 3u) << "over the budget rather than under somebody's feet";
  held.reset();
  EXPECT_EQ(files(), 2u);
}

TEST_F(CacheTest, AFileLargerThanTheBudgetLivesAsLongAsItsHolder) {
  std::optional<BlobStore::LocalFile> held = keep(std::string(2'000, 'x'));
  EXPECT_EQ(fs::file_size(held->path), 2'000u);
  EXPECT_FALSE(has(std::string(2'000, 'x')));
  held.reset();
  EXPECT_EQ(files(), 0u);
}

TEST_F(CacheTest, WhatIsDroppedIsNotFoundAgainButStaysOpen) {
  const auto held = keep(a_);
  const base::Fd fd = *base::open_file(held.path, O_RDONLY);
  cache_->drop(base::sha256(a_));
  EXPECT_FALSE(has(a_));
  char bytes[400];
  EXPECT_EQ(::read(fd.get(), bytes, sizeof bytes), 400);
  keep(a_);
  EXPECT_TRUE(has(a_));
}

TEST_F(CacheTest, FilesOfBeforeAreVerifiedAtTheirFirstUse) {
  keep(a_);
  const base::Path bad = keep(b_).path;
  cache_.reset();
  ASSERT_EQ(::chmod(bad.c_str(), 0644), 0);
  std::ofstream(bad) << std::string(400, 'x');
  open(1'000);
  EXPECT_EQ(cache_->size_of(base::sha256(a_)), 400);
  EXPECT_TRUE(has(a_));
  EXPECT_FALSE(has(b_));
  EXPECT_EQ(files(), 1u);
  open(100);  // a smaller budget holds from the start
  EXPECT_EQ(files(), 0u);
}

TEST_F(CacheTest, ManyThreadsReadWhatOthersEvict) {
  std::vector<std::jthread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        const std::string bytes(400, static_cast<char>('a' + (i * 7 + t) % 9));
        auto file = cache_->hold(base::sha256(bytes));
        if (!file) file = keep(bytes);
        const auto read = base::read_file(file->path);
        wrong += !read || *read != bytes;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(files(), 2u);
}

// --- touches --------------------------------------------------------------------------------------------------------

class TouchLogTest : public ::testing::Test {
 protected:
  void SetUp() override { dir_ = *base::make_temp_dir(::testing::TempDir(), "lathe-touch-"); }
  void TearDown() override { (void)base::remove_tree(dir_); }
  std::unique_ptr<TouchLog> open(int64_t now_us) { return *TouchLog::open(dir_ / "log", now_us); }
  base::Path dir_;
  const base::Digest a_ = base::sha256("a"), b_ = base::sha256("b");
};

TEST_F(TouchLogTest, TouchesOutliveAStartAndANewLogKnowsNothingOlder) {
  auto log = open(100);
  EXPECT_EQ(log->used_us(a_), 100) << "the floor: before it nothing is known";
  ASSERT_TRUE(log->touch(a_, 150) && log->touch(a_, 170) && log->touch(b_, 160));
  log = open(1'000);
  EXPECT_EQ(log->used_us(a_), 170);
  EXPECT_EQ(log->used_us(b_), 160);
  EXPECT_EQ(log->used_us(base::sha256("c")), 100);
}

TEST_F(TouchLogTest, ALineThatWasCutShortAndAnotherBootAreSafe) {
  ASSERT_TRUE(open(100)->touch(a_, 150));
  std::ofstream(dir_ / "log", std::ios::app) << b_.hex() << " 16";
  EXPECT_EQ(open(200)->used_us(b_), 100);
  std::string text = *base::read_file(dir_ / "log");
  text.replace(0, text.find('\n'), "lathe-touched 1 100 another-boot");
  std::ofstream(dir_ / "log") << text;
  EXPECT_EQ(open(300)->used_us(a_), 300) << "lines may be lost: from now on";
  std::ofstream(dir_ / "log") << "nonsense\n";
  EXPECT_EQ(open(400)->used_us(a_), 400);
}

TEST_F(TouchLogTest, ItForgetsTheOlderHalfTheSafeWay) {
  auto log = open(1);
  base::Digest digest;
  const auto nth = [&](size_t i) {
    for (size_t k = 0; k < 4; ++k) digest.bytes[k] = static_cast<uint8_t>(i >> (8 * k));
    return digest;
  };
  const size_t n = TouchLog::kMostEntries + 1;
  for (size_t i = 0; i < n; ++i) ASSERT_TRUE(log->touch(nth(i), static_cast<int64_t>(1'000 + i)));
  const auto newest = static_cast<int64_t>(1'000 + n - 1);
  EXPECT_EQ(log->used_us(nth(n - 1)), newest);
  EXPECT_GE(log->used_us(nth(0)), 1'000 + static_cast<int64_t>(n / 2)) << "never older than it was";
}

// --- home -----------------------------------------------------------------------------------------------------------

class OtherPlace final : public BlobStore {  // a folder that says it is elsewhere
 public:
  explicit OtherPlace(const base::Path& dir) : inner_(*BlobStore::open(dir)) {}
  base::Result<std::unique_ptr<BlobWriter>> begin(Hashes hashes) override { return inner_->begin(hashes); }
  base::Result<std::vector<BlobInfo>> finish_all(std::span<const std::unique_ptr<BlobWriter>> w) override {
    return inner_->finish_all(w);
  }
  base::Result<base::Fd> open_blob(const base::Digest& d) override { return inner_->open_blob(d); }
  base::Result<LocalFile> local_file(const base::Digest& d) override { return inner_->local_file(d); }
  base::Result<Source> open_range(const base::Digest& d, uint64_t first, uint64_t length) override {
    return inner_->open_range(d, first, length);
  }
  base::Result<int64_t> size_of(const base::Digest& d) const override { return inner_->size_of(d); }
  base::Result<void> remove(const base::Digest& d) override { return inner_->remove(d); }
  base::Result<void> for_each(const std::function<void(const Found&)>& visit) override {
    return inner_->for_each(visit);
  }
  base::Result<std::vector<std::optional<int64_t>>> touch(std::span<const base::Digest> d) override {
    return inner_->touch(d);
  }
  base::Result<bool> set_aside(const base::Digest& d, int64_t us) override { return inner_->set_aside(d, us); }
  base::Result<void> put_back(const base::Digest& d) override { return inner_->put_back(d); }
  base::Result<void> discard(const base::Digest& d) override { return inner_->discard(d); }
  Pin pin() override { return inner_->pin(); }
  std::string home() const override { return "s3://bucket/place"; }
  base::Result<void> claim(const std::string& id, bool take_over) override {
    if (!owner.empty() && owner != id && !take_over) return base::fail(base::Code::kConflict, "of another");
    owner = id;
    return {};
  }
  std::string owner;

 private:
  std::unique_ptr<BlobStore> inner_;
};

class HomeTest : public store::testing::EngineTest {
 protected:
  HomeTest() : EngineTest({migrations()}) {}
  void SetUp() override {
    EngineTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    folder_ = *BlobStore::open(dir_);
    place_ = std::make_unique<OtherPlace>(dir_ / "place");
  }
  void refer_to(const BlobInfo& info) {
    ASSERT_TRUE(write([&](store::Tx& tx) { return register_upload(tx, info); }));
  }
  base::Result<void> settle(BlobStore& blobs) { return settle_home(*store_, blobs, ctx(), dir_); }

  std::unique_ptr<BlobStore> folder_;
  std::unique_ptr<OtherPlace> place_;
};
INSTANTIATE_TEST_SUITE_P(Engines, HomeTest, store::testing::engines(), store::testing::engine_name);

TEST_P(HomeTest, AnEmptyStoreMayChooseAndAFilledOneMustSayWhereItIs) {
  ASSERT_TRUE(settle(*folder_));
  ASSERT_TRUE(settle(*place_)) << "nothing is lost yet";
  EXPECT_FALSE(place_->owner.empty());
  ASSERT_TRUE(settle(*folder_));
  refer_to(*folder_->put("abc"));
  const auto refused = settle(*place_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kConflict);
  EXPECT_THAT(refused.error().message, HasSubstr("lathe blobs copy --to s3://bucket/place"));
  EXPECT_FALSE(check_home(*store_, *place_, ctx(), dir_));
  EXPECT_TRUE(settle(*folder_) && check_home(*store_, *folder_, ctx(), dir_));
}

TEST_P(HomeTest, FilesMoveAndWhatIsMissingIsNamed) {
  ASSERT_TRUE(settle(*folder_));
  const BlobInfo a = *folder_->put("abc"), b = *folder_->put("defg");
  refer_to(a), refer_to(b), refer_to({.sha256 = base::sha256("lost"), .size = 4});
  ASSERT_TRUE(place_->put("abc"));
  const auto report = copy_blobs(*store_, *folder_, *place_, ctx());
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->copied, 1);
  EXPECT_EQ(report->bytes, 4);
  EXPECT_EQ(report->present, 1);
  EXPECT_THAT(report->missing, ::testing::ElementsAre(base::sha256("lost").hex()));
  EXPECT_EQ(*place_->get(b.sha256), "defg");
  ASSERT_TRUE(move_home(*store_, *place_, ctx(), dir_, false));
  EXPECT_TRUE(settle(*place_));
  EXPECT_FALSE(settle(*folder_));
}

TEST_P(HomeTest, ARestoredFolderOwnsNothing) {
  ASSERT_TRUE(settle(*place_));
  refer_to(*place_->put("abc"));
  const std::string owner = place_->owner;
  ASSERT_TRUE(base::write_file_durably(dir_ / kRestoredMark, ""));
  EXPECT_FALSE(settle(*place_)) << "the original may live";
  EXPECT_FALSE(move_home(*store_, *place_, ctx(), dir_, false));
  EXPECT_EQ(place_->owner, owner);
  ASSERT_TRUE(move_home(*store_, *place_, ctx(), dir_, true));
  EXPECT_NE(place_->owner, owner);
  EXPECT_TRUE(settle(*place_));
}

}  // namespace
}  // namespace blob
