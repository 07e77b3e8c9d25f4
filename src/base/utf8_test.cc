#include "base/utf8.h"

#include <gtest/gtest.h>

namespace base {
namespace {

TEST(Utf8, AcceptsWhatRfc3629Accepts) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("plain ASCII, longer than eight bytes"));
  EXPECT_TRUE(is_utf8("Größe, 数字, \xF0\x9F\x98\x80"));
  EXPECT_TRUE(is_utf8("\xF4\x8F\xBF\xBF"));  // U+10FFFF
  EXPECT_TRUE(is_utf8(std::string_view("a\0b", 3)));
}

TEST(Utf8, TellsWhereTheFirstBadByteIs) {
  EXPECT_EQ(utf8_valid_prefix("abc\xFF"), 3u);
  EXPECT_EQ(utf8_valid_prefix("0123456789\xE4 latin-1"), 10u);
  EXPECT_EQ(utf8_valid_prefix("\xC0\xAF"), 0u);          // overlong
  EXPECT_EQ(utf8_valid_prefix("\xE0\x80\xAF"), 0u);      // overlong
  EXPECT_EQ(utf8_valid_prefix("a\xED\xA0\x80"), 1u);     // surrogate
  EXPECT_EQ(utf8_valid_prefix("\xF4\x90\x80\x80"), 0u);  // above U+10FFFF
  EXPECT_EQ(utf8_valid_prefix("ok\xE2\x82"), 2u);        // cut short
}

}  // namespace
}  // namespace base
