// The layout beyond 4 GiB, which no test can download: the fields as APPNOTE.TXT has them. Small archives are opened by
// Python's zipfile in tests/api.
#include "api/mlflow/zip.h"

#include <gtest/gtest.h>

namespace api::mlflow {
namespace {

uint64_t number(std::string_view bytes, size_t at, size_t width) {
  uint64_t out = 0;
  for (size_t i = width; i-- > 0;) out = (out << 8) | static_cast<uint8_t>(bytes[at + i]);
  return out;
}

TEST(Zip, CrcIsTheUsualOne) {
  Crc32 crc;
  crc.add("1234");
  crc.add("56789");
  EXPECT_EQ(crc.value(), 0xCBF43926u);
  Crc32 slices;
  slices.add("123456789");
  EXPECT_EQ(slices.value(), 0xCBF43926u);
}

TEST(Zip, SmallArchivesAreAsLongAsTheySay) {
  ZipLayout zip;
  zip.add("a", 3);
  zip.add("b/c", 0);
  const uint64_t length = zip.local_header(0, 1).size() + 3 + zip.local_header(1, 0).size() + zip.end().size();
  EXPECT_EQ(zip.size(), length);
}

TEST(Zip, LargeEntriesSpeakZip64) {
  ZipLayout zip;
  const uint64_t huge = uint64_t{5} << 30;
  zip.add("huge", huge);
  zip.add("after", 1);
  const std::string first = zip.local_header(0, 7), second = zip.local_header(1, 8), end = zip.end();
  EXPECT_EQ(zip.size(), first.size() + huge + second.size() + 1 + end.size());
  EXPECT_EQ(number(first, 18, 4), 0xFFFFFFFFu);
  EXPECT_EQ(number(first, 30 + 4 + 4, 8), huge);
  const size_t after = 46 + 4 + 28;  // the second central header
  EXPECT_EQ(number(end, after, 4), 0x02014B50u);
  EXPECT_EQ(number(end, after + 42, 4), 0xFFFFFFFFu);
  EXPECT_EQ(number(end, after + 46 + 5 + 4 + 16, 8), first.size() + huge);
  EXPECT_EQ(number(end, end.size() - 22 - 20 - 56, 4), 0x06064B50u);
  EXPECT_EQ(number(end, end.size() - 22 - 20 + 8, 8), first.size() + huge + second.size() + 1 + (end.size() - 22 - 76));
}

}  // namespace
}  // namespace api::mlflow
