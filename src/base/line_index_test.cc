#include "base/line_index.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace base {
namespace {

class LineIndexTest : public ::testing::Test {
 protected:
  void SetUp() override { dir_ = *make_temp_dir(std::filesystem::temp_directory_path(), "line-index-"); }
  void TearDown() override { std::ignore = remove_tree(dir_); }

  void append(const std::string& text) {
    const auto fd = *open_file(path(), O_WRONLY | O_CREAT | O_APPEND);
    ASSERT_TRUE(write_all(fd.get(), text).has_value());
  }
  Path path() const { return dir_ / "file"; }

  Path dir_;
};

TEST_F(LineIndexTest, AFileThatIsNotThereHasNoLines) {
  LineIndexes indexes(false);
  const auto window = indexes.window("a", path(), 0, 10);
  ASSERT_TRUE(window.has_value());
  EXPECT_EQ(window->total, 0);
  EXPECT_TRUE(window->lines.empty());
}

TEST_F(LineIndexTest, WindowsAnywhereInALongFile) {
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "line " + std::to_string(i) + "\n";
  append(text);
  LineIndexes indexes(false);
  for (const int64_t from : {0, 1, 255, 256, 257, 5000, 9990}) {
    const auto window = *indexes.window("a", path(), from, 10);
    EXPECT_EQ(window.total, 10'000);
    ASSERT_EQ(window.lines.size(), 10u);
    EXPECT_EQ(window.lines.front(), "line " + std::to_string(from));
    EXPECT_EQ(window.lines.back(), "line " + std::to_string(from + 9));
  }
  EXPECT_EQ((*indexes.window("a", path(), -2, 10)).lines, (std::vector<std::string>{"line 9998", "line 9999"}));
  EXPECT_TRUE((*indexes.window("a", path(), 10'000, 10)).lines.empty());
}

TEST_F(LineIndexTest, FollowsAFileThatGrowsInTheMiddleOfALine) {
  LineIndexes indexes(false);
  append("one\ntw");
  auto window = *indexes.window("a", path(), 0, 10);
  EXPECT_EQ(window.lines, (std::vector<std::string>{"one", "tw"}));
  EXPECT_TRUE(window.open_end);
  append("o\nthree\n");
  window = *indexes.window("a", path(), 0, 10);
  EXPECT_EQ(window.lines, (std::vector<std::string>{"one", "two", "three"}));
  EXPECT_FALSE(window.open_end);
  EXPECT_EQ(window.bytes, 14);
}

TEST_F(LineIndexTest, ALineEndInsideQuotesIsPartOfTheRecord) {
  append("a,b\n\"x\ny\",1\n\"say \"\"hi\"\"\n\",2\nlast,3\n");
  LineIndexes indexes(true);
  const auto window = *indexes.window("a", path(), 0, 10);
  EXPECT_EQ(window.lines, (std::vector<std::string>{"a,b", "\"x\ny\",1", "\"say \"\"hi\"\"\n\",2", "last,3"}));
}

TEST_F(LineIndexTest, LongLinesAreCutAndWindowsBounded) {
  append(std::string(200'000, 'x') + "\nshort\n");
  LineIndexes indexes(false);
  auto window = *indexes.window("a", path(), 0, 10);
  EXPECT_EQ(window.total, 2);
  EXPECT_LT(window.lines[0].size(), kMaxLineBytes + 100);
  EXPECT_TRUE(window.lines[0].ends_with("[200000 bytes]"));
  EXPECT_EQ(window.lines[1], "short");
  std::string many;
  for (int i = 0; i < 200; ++i) many += std::string(50'000, 'y') + "\n";
  append(many);
  window = *indexes.window("a", path(), 2, 200);
  EXPECT_LT(window.lines.size(), 60u);
  EXPECT_GT(window.lines.size(), 30u);
}

TEST_F(LineIndexTest, SearchFindsLinesInAnyCaseUpToALimit) {
  append("Alpha\nbeta\nALPHABET\n\ngamma alpha");
  LineIndexes indexes(false);
  const auto has_alpha = [](std::string_view line) { return contains_in_any_case(line, lower_case("alPHa")); };
  const auto found = *indexes.search("a", path(), has_alpha, 10);
  EXPECT_EQ(found.lines, (std::vector<int64_t>{0, 2, 4}));
  EXPECT_EQ(found.total, 5);
  EXPECT_FALSE(found.truncated);
  EXPECT_TRUE((*indexes.search("a", path(), has_alpha, 2)).truncated);
}

}  // namespace
}  // namespace base
