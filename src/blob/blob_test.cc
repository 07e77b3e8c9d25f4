// Blobs: files, rows, garbage collection, the check, backups. What touches the database runs on every engine.
#include "blob/blob.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "blob/backup.h"
#include "blob/fsck.h"
#include "blob/gc.h"
#include "blob/migrations.h"
#include "blob/tar.h"
#include "store/testing.h"

namespace blob {
namespace {

namespace fs = std::filesystem;
using base::Code;
using base::Result;
using store::Tx;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

size_t files_in(const base::Path& dir) {
  size_t n = 0;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) n += entry.is_regular_file();
  return n;
}

// --- files ----------------------------------------------------------------------------------------------------------

class LocalStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = *base::make_temp_dir(::testing::TempDir(), "lathe-blob-");
    blobs_ = std::move(*BlobStore::open(dir_));
  }
  void TearDown() override { (void)base::remove_tree(dir_); }

  base::Path dir_;
  std::unique_ptr<BlobStore> blobs_;
};

TEST_F(LocalStoreTest, BytesComeBackWithBothDigests) {
  auto info = blobs_->put("abc");
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->sha256.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(info->md5_hex(), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(info->size, 3);
  EXPECT_EQ(*blobs_->get(info->sha256), "abc");
  struct stat found;
  ASSERT_EQ(::stat(blobs_->local_file(info->sha256)->path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0444u);
  EXPECT_EQ(*blobs_->get(blobs_->put("")->sha256), "");
}

TEST_F(LocalStoreTest, TheSameBytesAreKeptOnce) {
  ASSERT_TRUE(blobs_->put("abc") && blobs_->put("abc"));
  EXPECT_EQ(files_in(dir_ / "blobs"), 1u);
}

TEST_F(LocalStoreTest, WhatIsAbsentIsNotFound) {
  const base::Digest digest = base::sha256("nothing");
  EXPECT_EQ(blobs_->get(digest).error().code, Code::kNotFound);
  EXPECT_EQ(blobs_->open_blob(digest).error().code, Code::kNotFound);
  EXPECT_FALSE(blobs_->exists(digest));
  EXPECT_TRUE(blobs_->remove(digest));
}

TEST_F(LocalStoreTest, OtherBytesThanAnnouncedLeaveNothing) {
  {
    auto writer = std::move(*blobs_->begin());
    ASSERT_TRUE(writer->write("abd"));
    auto refused = writer->finish(base::sha256("abc"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kInvalid);
  }
  EXPECT_EQ(files_in(dir_ / "blobs"), 0u);
}

TEST_F(LocalStoreTest, AnUnfinishedWriterLeavesNothing) {
  {
    ASSERT_TRUE((*blobs_->begin())->write("abc"));
  }
  EXPECT_EQ(files_in(dir_ / "blobs"), 0u);
}

TEST_F(LocalStoreTest, ATornFileIsReplacedByAWholeOne) {
  const auto info = *blobs_->put("whole");
  ASSERT_EQ(::chmod(blobs_->local_file(info.sha256)->path.c_str(), 0644), 0);
  fs::resize_file(blobs_->local_file(info.sha256)->path, 2);
  ASSERT_TRUE(blobs_->put("whole"));
  EXPECT_EQ(*blobs_->get(info.sha256), "whole");
}

TEST_F(LocalStoreTest, ManyFilesComeBackInOrder) {
  std::vector<base::Path> files;
  for (int i = 0; i < 300; ++i) {
    files.push_back(dir_ / ("f" + std::to_string(i)));
    std::ofstream(files.back()) << "content " << i % 290;
  }
  auto infos = blobs_->put_files(files);
  ASSERT_TRUE(infos) << infos.error().message;
  ASSERT_EQ(infos->size(), 300u);
  for (int i = 0; i < 300; ++i)
    EXPECT_EQ(*blobs_->get((*infos)[static_cast<size_t>(i)].sha256), "content " + std::to_string(i % 290));
  EXPECT_EQ(files_in(dir_ / "blobs"), 290u);
}

// A crash leaves temporary files: the next opening removes them, but not those of a writer that lives.
TEST_F(LocalStoreTest, LeftoversOfACrashGoAndLivingWritersStay) {
  std::ofstream(dir_ / "blobs" / "tmp" / "left-by-a-crash") << "half";
  auto living = std::move(*blobs_->begin());
  ASSERT_TRUE(living->write("living"));
  auto second = BlobStore::open(dir_);
  ASSERT_TRUE(second);
  EXPECT_FALSE(fs::exists(dir_ / "blobs" / "tmp" / "left-by-a-crash"));
  auto info = living->finish();
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(*blobs_->get(info->sha256), "living");
}

TEST_F(LocalStoreTest, ACollectionCutShortGivesItsBlobsBack) {
  const auto info = *blobs_->put("abc");
  ASSERT_TRUE(*blobs_->set_aside(info.sha256, INT64_MAX));
  EXPECT_FALSE(blobs_->exists(info.sha256));
  blobs_ = std::move(*BlobStore::open(dir_));
  EXPECT_EQ(*blobs_->get(info.sha256), "abc");
}

TEST_F(LocalStoreTest, SetAsideSparesWhatIsInUse) {
  const auto info = *blobs_->put("abc");
  EXPECT_FALSE(*blobs_->set_aside(info.sha256, 0));  // touched since
  {
    const BlobStore::Pin pin = blobs_->pin();
    EXPECT_FALSE(*blobs_->set_aside(info.sha256, INT64_MAX));
  }
  EXPECT_TRUE(*blobs_->set_aside(info.sha256, INT64_MAX));
  ASSERT_TRUE(blobs_->put("abc"));  // uploaded anew meanwhile: that one stays
  ASSERT_TRUE(blobs_->put_back(info.sha256));
  EXPECT_EQ(*blobs_->get(info.sha256), "abc");
  EXPECT_EQ(files_in(dir_ / "blobs"), 1u);
}

TEST_F(LocalStoreTest, ConcurrentUploadsOfTheSameBytesAllSucceed) {
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) good += blobs_->put("content " + std::to_string(i)).has_value();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 80);
  EXPECT_EQ(files_in(dir_ / "blobs"), 10u);
}

// --- rows, garbage collection, check --------------------------------------------------------------------------------

class BlobRowsTest : public store::testing::EngineTest {
 protected:
  BlobRowsTest() : EngineTest({migrations()}) {}
  void SetUp() override {
    EngineTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    blobs_ = std::move(*BlobStore::open(dir_));
  }

  BlobInfo put_as(std::string bytes, std::string path, std::string root = "data/1") {
    const BlobInfo info = *blobs_->put(bytes);
    auto done = write([&](Tx& tx) -> Result<int> {
      TRY(put_artifact(tx, {.root = root, .path = path, .size = info.size, .digest = info.sha256}));
      return 0;
    });
    EXPECT_TRUE(done) << done.error().message;
    return info;
  }
  std::vector<std::string> paths(std::string root, std::string prefix = "") {
    auto found = read([&](Tx& tx) -> Result<std::vector<std::string>> {
      std::vector<std::string> out;
      for (const Artifact& artifact : list_artifacts(tx, root, prefix)) out.push_back(artifact.path);
      return out;
    });
    return found.value_or(std::vector<std::string>{});
  }
  // As if so much time had passed: files are as old as the clock of the collection says.
  GcReport collect(int64_t hours_from_now, int64_t grace_us = 3'600'000'000) {
    auto later = ctx();
    later.now_us += hours_from_now * 3'600'000'000;
    auto report = collect_garbage(*store_, *blobs_, later, grace_us);
    EXPECT_TRUE(report) << report.error().message;
    return report.value_or(GcReport{});
  }
  FsckReport check() {
    auto report = check_store(*store_, *blobs_, ctx());
    EXPECT_TRUE(report) << report.error().message;
    return report.value_or(FsckReport{});
  }

  std::unique_ptr<BlobStore> blobs_;
};
INSTANTIATE_TEST_SUITE_P(Engines, BlobRowsTest, store::testing::engines(), store::testing::engine_name);

TEST_P(BlobRowsTest, ArtifactsAreListedByFolderAndReplaced) {
  for (const char* path : {"model/MLmodel", "model/data/x.bin", "model-2/y", "model.txt", "a"}) put_as(path, path);
  EXPECT_THAT(paths("data/1"), ElementsAre("a", "model-2/y", "model.txt", "model/MLmodel", "model/data/x.bin"));
  EXPECT_THAT(paths("data/1", "model"), ElementsAre("model/MLmodel", "model/data/x.bin"));
  EXPECT_THAT(paths("data/1", "model/"), ElementsAre("model/MLmodel", "model/data/x.bin"));
  EXPECT_TRUE(paths("data").empty());
  const BlobInfo other = put_as("other bytes", "a");
  auto a = read([](Tx& tx) { return get_artifact(tx, "data/1", "a"); });
  EXPECT_EQ(a->digest, other.sha256);
  EXPECT_EQ(a->size, 11);
  auto none = read([](Tx& tx) { return get_artifact(tx, "data/1", "b"); });
  EXPECT_EQ(none.error().code, Code::kNotFound);
  auto gone = write([](Tx& tx) -> Result<int64_t> { return delete_artifacts(tx, "data/1", "model"); });
  EXPECT_EQ(*gone, 2);
  EXPECT_THAT(paths("data/1"), ElementsAre("a", "model-2/y", "model.txt"));
}

TEST_P(BlobRowsTest, UnsafePathsAreRefused) {
  for (const char* path : {"", "/etc/passwd", "../x", "a/../b", "a//b", "a\\b", "."}) {
    auto refused = write([&](Tx& tx) -> Result<int> {
      TRY(put_artifact(tx, {.root = "r", .path = path, .digest = base::sha256("x")}));
      return 0;
    });
    ASSERT_FALSE(refused) << path;
    EXPECT_EQ(refused.error().code, Code::kInvalid);
  }
}

TEST_P(BlobRowsTest, AProjectKnowsOnlyItsOwnBlobs) {
  const BlobInfo info = put_as("abc", "a");
  const auto known_in = [&](int64_t project) {
    auto context = ctx();
    context.project = project;
    return store_->read_blocking(context, [&](Tx& tx) { return find_blob(tx, info.sha256); })->has_value();
  };
  EXPECT_TRUE(known_in(1));
  EXPECT_FALSE(known_in(2));
}

TEST_P(BlobRowsTest, HoldingRemembersTheMd5) {
  const BlobInfo info = put_as("abc", "a");  // an artifact's row does not know it
  ASSERT_TRUE(write([&](Tx& tx) -> Result<int> {
    TRY(hold_blob(tx, info, "bundle", "b1"));
    TRY(hold_blob(tx, info, "bundle", "b1"));
    return 0;
  }));
  auto found = read([&](Tx& tx) { return find_blob(tx, info.sha256); });
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->md5, info.md5);
  EXPECT_EQ((*found)->size, 3);
}

TEST_P(BlobRowsTest, GarbageGoesAfterTheGracePeriodOnly) {
  const BlobInfo kept = put_as("kept", "kept"), held = *blobs_->put("held"), dropped = put_as("dropped", "dropped");
  ASSERT_TRUE(write([&](Tx& tx) -> Result<int> {
    TRY(hold_blob(tx, held, "bundle", "b1"));
    delete_artifacts(tx, "data/1", "dropped");
    return 0;
  }));
  EXPECT_EQ(collect(2).marked, 1);  // seen unused for the first time
  EXPECT_TRUE(blobs_->exists(dropped.sha256));
  EXPECT_EQ(collect(2).forgotten, 0);  // not for long enough
  const GcReport report = collect(4);
  EXPECT_EQ(report.forgotten, 1);
  EXPECT_EQ(report.removed, 1);
  EXPECT_EQ(report.bytes, 7);
  EXPECT_FALSE(blobs_->exists(dropped.sha256));
  EXPECT_TRUE(blobs_->exists(kept.sha256) && blobs_->exists(held.sha256));
  ASSERT_TRUE(write([](Tx& tx) -> Result<int> {
    TRY(release_blobs(tx, "bundle", "b1"));
    return 0;
  }));
  collect(6);
  collect(8);
  EXPECT_FALSE(blobs_->exists(held.sha256));
  EXPECT_TRUE(check().sound());
}

TEST_P(BlobRowsTest, ACancelledCollectionLeavesEverything) {
  const BlobInfo dropped = *blobs_->put("dropped");
  std::stop_source stop;
  stop.request_stop();
  auto context = ctx();
  context.now_us += 48 * int64_t{3'600'000'000};
  context.cancelled = stop.get_token();
  const auto report = collect_garbage(*store_, *blobs_, context, 0);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Code::kCancelled);
  EXPECT_TRUE(blobs_->exists(dropped.sha256));
}

TEST_P(BlobRowsTest, WhatIsUsedAgainIsNoGarbage) {
  const BlobInfo info = put_as("abc", "a");
  ASSERT_TRUE(write([](Tx& tx) -> Result<int64_t> { return delete_artifacts(tx, "data/1", ""); }));
  EXPECT_EQ(collect(2).marked, 1);
  put_as("abc", "again");
  ASSERT_TRUE(write([](Tx& tx) -> Result<int64_t> { return delete_artifacts(tx, "data/1", ""); }));
  EXPECT_EQ(collect(4).forgotten, 0);  // the mark was taken off: the period begins anew
  EXPECT_TRUE(blobs_->exists(info.sha256));
}

TEST_P(BlobRowsTest, AnUploadThatNobodyNamedGoesAfterTheGracePeriod) {
  const BlobInfo info = *blobs_->put("abc");
  EXPECT_EQ(collect(0).removed, 0);
  EXPECT_EQ(collect(2).removed, 1);
  EXPECT_FALSE(blobs_->exists(info.sha256));
}

// Uploads and their rows race with collections whose grace period is nearly nothing; whatever was named must be there.
TEST_P(BlobRowsTest, CollectionNeverTakesWhatAnUploadJustNamed) {
  std::atomic<bool> stop{false};
  std::thread collector([&] {
    while (!stop) collect(0, 2'000'000);
  });
  for (int round = 0; round < 6; ++round) {
    for (int i = 0; i < 10; ++i)
      put_as("content " + std::to_string(i), "f" + std::to_string(i), "data/" + std::to_string(round));
    ASSERT_TRUE(write(
        [&](Tx& tx) -> Result<int64_t> { return delete_artifacts(tx, "data/" + std::to_string(round - 1), ""); }));
  }
  stop = true;
  collector.join();
  for (const std::string& path : paths("data/5")) {
    auto artifact = read([&](Tx& tx) { return get_artifact(tx, "data/5", path); });
    EXPECT_TRUE(blobs_->exists(artifact->digest)) << path;
  }
  EXPECT_EQ(paths("data/5").size(), 10u);
  EXPECT_TRUE(check().sound());
}

TEST_P(BlobRowsTest, TheCheckNamesWhatIsWrong) {
  put_as("good", "good");
  const BlobInfo missing = put_as("missing", "missing"), rotten = put_as("rotten", "rotten"),
                 torn = put_as("torn", "torn");
  ASSERT_TRUE(blobs_->put("orphan"));
  EXPECT_TRUE(check().sound());
  ASSERT_TRUE(blobs_->remove(missing.sha256));
  ::chmod(blobs_->local_file(rotten.sha256)->path.c_str(), 0644);
  std::ofstream(blobs_->local_file(rotten.sha256)->path) << "rotteN";
  ::chmod(blobs_->local_file(torn.sha256)->path.c_str(), 0644);
  fs::resize_file(blobs_->local_file(torn.sha256)->path, 1);
  const FsckReport report = check();
  EXPECT_EQ(report.blobs, 3);
  EXPECT_EQ(report.orphans, 1);
  EXPECT_THAT(report.faults, ::testing::UnorderedElementsAre(
                                 ::testing::AllOf(HasSubstr(missing.sha256.hex()), HasSubstr("data/1/missing"),
                                                  HasSubstr("is missing")),
                                 ::testing::AllOf(HasSubstr(rotten.sha256.hex()), HasSubstr("corrupt")),
                                 ::testing::AllOf(HasSubstr(torn.sha256.hex()), HasSubstr("1 bytes instead of 4"))));
}

// --- backups --------------------------------------------------------------------------------------------------------

TEST(Tar, HeadersComeBackAndDamageIsSeen) {
  for (const int64_t size : {int64_t{0}, int64_t{511}, int64_t{8} << 30, int64_t{1} << 45}) {
    const std::string block = tar::header({"blobs/sha256/ab/cd", size});
    auto member = tar::parse_header(block);
    ASSERT_TRUE(member && *member);
    EXPECT_EQ((*member)->name, "blobs/sha256/ab/cd");
    EXPECT_EQ((*member)->size, size);
    std::string damaged = block;
    damaged[3] ^= 1;
    EXPECT_FALSE(tar::parse_header(damaged));
  }
  EXPECT_EQ(*tar::parse_header(std::string(512, '\0')), std::nullopt);
}

class BackupTest : public BlobRowsTest {
 protected:
  base::Path make(bool with_blobs = true) {
    auto backup =
        Backup::begin(*store_, *blobs_, base::system_clock(), {.dir = dir_, .version = "1", .with_blobs = with_blobs});
    EXPECT_TRUE(backup) << backup.error().message;
    std::ofstream out(dir_ / "backup.tar", std::ios::binary);
    std::string buffer(777, '\0');  // no multiple of anything
    int64_t size = 0;
    while (true) {
      const auto n = (*backup)->read(buffer);
      EXPECT_TRUE(n) << n.error().message;
      if (!n || *n == 0) break;
      out.write(buffer.data(), static_cast<std::streamsize>(*n));
      size += static_cast<int64_t>(*n);
    }
    EXPECT_EQ(size, (*backup)->size());
    return dir_ / "backup.tar";
  }
  FsckReport check_folder(const base::Path& dir, bool with_files = true) {
    const auto store = store::Store::open({.url = "sqlite:" + (dir / kDatabaseFile).string(), .read_only = true}, {});
    EXPECT_TRUE(store) << store.error().message;
    const auto blobs = BlobStore::open(dir);
    return *check_store(**store, **blobs, ctx(), with_files);
  }
};
INSTANTIATE_TEST_SUITE_P(Engines, BackupTest, ::testing::Values(store::Backend::kSqlite), store::testing::engine_name);

TEST_P(BackupTest, ComesBackWholeAndSound) {
  std::vector<BlobInfo> infos;
  for (int i = 0; i < 60; ++i)
    infos.push_back(put_as(std::string(static_cast<size_t>(i * 37), static_cast<char>(i)), "f" + std::to_string(i)));
  const base::Path file = make();
  auto info = restore_backup(file, dir_ / "restored");
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->blobs, 60);
  const FsckReport report = check_folder(dir_ / "restored");
  EXPECT_THAT(report.faults, ElementsAre());
  EXPECT_EQ(report.blobs, 60);
  auto again = BlobStore::open(dir_ / "restored");
  EXPECT_EQ(*(*again)->get(infos[50].sha256), std::string(50 * 37, static_cast<char>(50)));
  EXPECT_EQ(files_in(dir_ / "restored" / "blobs" / "tmp"), 0u);
}

TEST_P(BackupTest, IsConsistentWhileWritersAndTheCollectorGoOn) {
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) {
      put_as("content " + std::to_string(i), "f" + std::to_string(i % 20));
      if (i % 7 == 0)
        (void)write(
            [&](Tx& tx) -> Result<int64_t> { return delete_artifacts(tx, "data/1", "f" + std::to_string(i % 20)); });
    }
  });
  std::thread collector([&] {
    while (!stop) collect(0, 1'000'000);
  });
  for (int round = 0; round < 3; ++round) {
    const base::Path file = make();
    const base::Path target = dir_ / ("restored" + std::to_string(round));
    auto info = restore_backup(file, target);
    ASSERT_TRUE(info) << info.error().message;
    EXPECT_THAT(info->missing, ElementsAre());
    EXPECT_THAT(check_folder(target).faults, ElementsAre());
  }
  stop = true;
  writer.join();
  collector.join();
}

TEST_P(BackupTest, CanLeaveTheBlobsOut) {
  put_as("abc", "a");
  auto info = restore_backup(make(/*with_blobs=*/false), dir_ / "restored");
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_FALSE(info->with_blobs);
  EXPECT_TRUE(check_folder(dir_ / "restored", /*with_files=*/false).sound());
  EXPECT_EQ(check_folder(dir_ / "restored").faults.size(), 1u);
}

TEST_P(BackupTest, AFolderInUseIsRefused) {
  const base::Path file = make();
  auto refused = restore_backup(file, dir_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kConflict);
  fs::create_directory(dir_ / "empty");
  EXPECT_TRUE(restore_backup(file, dir_ / "empty"));
}

TEST_P(BackupTest, DamageAnywhereIsSeenAndLeavesNothing) {
  put_as("some content that is long enough to be hit", "a");
  const base::Path file = make();
  const std::string whole = *base::read_file(file);
  const auto refused = [&](const std::string& bytes) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
    return !restore_backup(file, dir_ / "restored") && !fs::exists(dir_ / "restored") && !verify_backup(file);
  };
  for (const double where : {0.0, 0.01, 0.5, 0.9})
    EXPECT_TRUE(refused(whole.substr(0, static_cast<size_t>(where * static_cast<double>(whole.size())))));
  const size_t blob = whole.find("some content");
  const size_t database = whole.find("SQLite format");
  for (const size_t at : {blob + 3, database + 200, size_t{1}}) {
    std::string damaged = whole;
    damaged[at] ^= 1;
    EXPECT_TRUE(refused(damaged)) << at;
  }
  EXPECT_TRUE(refused("not a backup at all"));
  EXPECT_FALSE(refused(whole));
}

TEST_P(BackupTest, ABlobThatTheStoreHasLostIsNamed) {
  const BlobInfo lost = put_as("lost", "lost");
  put_as("here", "here");
  ASSERT_TRUE(blobs_->remove(lost.sha256));
  auto info = restore_backup(make(), dir_ / "restored");
  ASSERT_TRUE(info);
  EXPECT_THAT(info->missing, ElementsAre(lost.sha256.hex()));
}

}  // namespace
}  // namespace blob
