#include "blob/plain_folder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

namespace blob {
namespace {

namespace fs = std::filesystem;

class PlainFolderTest : public testing::Test {
 protected:
  PlainFolderTest()
      : dir_(*base::make_temp_dir(fs::temp_directory_path(), "plain-")), folder_(*PlainFolder::open(dir_ / "root")) {
    std::ofstream(dir_ / "secret") << "secret";
    fs::create_directories(dir_ / "outside");
    std::ofstream(dir_ / "outside" / "file") << "outside";
  }
  ~PlainFolderTest() override { fs::remove_all(dir_); }

  base::Result<void> put(std::string_view path, std::string_view text) {
    std::ofstream(dir_ / "from") << text;
    const auto fd = base::open_file(dir_ / "from", O_RDONLY);
    return folder_->put(path, *fd);
  }
  std::string read(std::string_view path) {
    const auto fd = folder_->open_file(path);
    if (!fd) return "error: " + fd.error().message;
    std::string out(100, 0);
    out.resize(static_cast<size_t>(std::max<ssize_t>(0, ::read(fd->get(), out.data(), out.size()))));
    return out;
  }

  base::Path dir_;
  std::shared_ptr<const PlainFolder> folder_;
};

TEST_F(PlainFolderTest, FilesLieUnderTheirOwnPaths) {
  ASSERT_TRUE(put("1/run/artifacts/a.txt", "hello"));
  EXPECT_TRUE(fs::is_regular_file(dir_ / "root/1/run/artifacts/a.txt"));
  EXPECT_EQ(read("1/run/artifacts/a.txt"), "hello");
  ASSERT_TRUE(put("1/run/artifacts/a.txt", "again"));
  EXPECT_EQ(read("1/run/artifacts/a.txt"), "again");
  const auto entries = folder_->list("1/run/artifacts");
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 1U);
  EXPECT_EQ(entries->front().name, "a.txt");
  EXPECT_EQ(entries->front().size, 5);
  EXPECT_EQ(folder_->list("")->size(), 1U);  // not the uploads
  EXPECT_TRUE(fs::is_empty(dir_ / "root/.lathe-uploads"));
}

TEST_F(PlainFolderTest, NothingLeadsOut) {
  fs::create_symlink(dir_ / "secret", dir_ / "root/link");
  fs::create_directory_symlink(dir_ / "outside", dir_ / "root/folder");
  fs::create_symlink("../secret", dir_ / "root/relative");
  fs::create_symlink("/proc/self/root", dir_ / "root/magic");
  for (const char* path : {"link", "folder/file", "relative", "magic/etc/passwd", "folder"}) {
    EXPECT_FALSE(folder_->open_file(path)) << path;
    EXPECT_FALSE(folder_->find(path)) << path;
  }
  for (const char* path : {"../secret", "/etc/passwd", "a/../../secret", "", ".", "a//b", ".lathe-uploads/x"})
    EXPECT_FALSE(folder_->open_file(path)) << path;
  EXPECT_TRUE(folder_->list("folder")->empty());
  EXPECT_TRUE(folder_->list("")->empty());
  EXPECT_FALSE(put("folder/new", "x"));
  EXPECT_FALSE(fs::exists(dir_ / "outside/new"));
  ASSERT_TRUE(put("link", "mine"));  // takes the link's place
  EXPECT_EQ(read("link"), "mine");
  std::ifstream secret(dir_ / "secret");
  std::string text;
  secret >> text;
  EXPECT_EQ(text, "secret");
}

TEST_F(PlainFolderTest, RemovingDoesNotFollowLinks) {
  ASSERT_TRUE(put("1/a/b", "x"));
  ASSERT_TRUE(put("1/c", "x"));
  fs::create_directory_symlink(dir_ / "outside", dir_ / "root/1/a/out");
  ASSERT_TRUE(folder_->remove("1/a"));
  EXPECT_FALSE(fs::exists(dir_ / "root/1/a"));
  EXPECT_TRUE(fs::exists(dir_ / "outside/file"));
  EXPECT_EQ(read("1/c"), "x");
  EXPECT_TRUE(folder_->remove("1/none"));
  EXPECT_TRUE(folder_->remove("none/none"));
  EXPECT_FALSE(folder_->remove(""));
  EXPECT_FALSE(folder_->remove("../outside"));
}

TEST_F(PlainFolderTest, WhatIsNoFileIsNotThere) {
  ASSERT_EQ(::mkfifo((dir_ / "root/pipe").c_str(), 0600), 0);
  EXPECT_FALSE(folder_->open_file("pipe"));  // and does not wait for a writer
  EXPECT_FALSE(folder_->find("pipe"));
  ASSERT_TRUE(put("a/b", "x"));
  EXPECT_FALSE(put("a/b/c", "x"));
  EXPECT_FALSE(put("a", "x"));
  EXPECT_FALSE(folder_->open_file("a"));
}

}  // namespace
}  // namespace blob
