#include "base/pack.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace base {
namespace {

enum class Colour : uint8_t { kRed, kBlue };
bool known_enum(Colour colour) { return colour <= Colour::kBlue; }

struct Inner {
  std::string name;
  double value = 0;
  std::optional<int64_t> at;
};
struct Outer {
  int64_t id = 0;
  bool flag = false;
  Colour colour = Colour::kRed;
  std::vector<Inner> inner;
  std::map<std::string, int64_t> map;
  std::vector<std::pair<std::string, std::optional<std::string>>> pairs;
};
struct Other {
  int64_t id = 0;
  std::string name;
};
struct Bytes {
  int8_t small = 0;
};
struct Wide {
  int64_t small = 0;
};

Outer sample() {
  Outer out;
  out.id = std::numeric_limits<int64_t>::min();
  out.flag = true;
  out.colour = Colour::kBlue;
  out.inner = {{"a", std::nan(""), 5}, {std::string("\0b", 2), -0.0, std::nullopt}};
  out.map = {{"x", -1}, {"y", std::numeric_limits<int64_t>::max()}};
  out.pairs = {{"k", "v"}, {"", std::nullopt}};
  return out;
}

TEST(Pack, WhatIsPackedIsUnpacked) {
  const auto back = unpack<Outer>(pack(sample()));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->id, std::numeric_limits<int64_t>::min());
  EXPECT_TRUE(back->flag);
  EXPECT_EQ(back->colour, Colour::kBlue);
  ASSERT_EQ(back->inner.size(), 2u);
  EXPECT_TRUE(std::isnan(back->inner[0].value));
  EXPECT_EQ(back->inner[0].at, 5);
  EXPECT_EQ(back->inner[1].name, std::string("\0b", 2));
  EXPECT_TRUE(std::signbit(back->inner[1].value));
  EXPECT_EQ(back->map, sample().map);
  EXPECT_EQ(back->pairs, sample().pairs);
}

TEST(Pack, AnotherShapeIsRefused) {
  const auto back = unpack<Other>(pack(sample()));
  ASSERT_FALSE(back);
  EXPECT_NE(back.error().message.find("another version"), std::string::npos);
  EXPECT_FALSE(unpack<Outer>("")) << "no bytes";
}

TEST(Pack, WhatDoesNotFitIsRefused) {
  EXPECT_EQ(unpack<Bytes>(pack(Wide{-128})).value().small, -128);
  EXPECT_FALSE(unpack<Bytes>(pack(Wide{128})));
  EXPECT_FALSE(unpack<Colour>(pack(static_cast<Colour>(7)))) << "no such colour";
}

TEST(Pack, DamagedBytesAreRefusedOrReadAsSomethingWhole) {
  const std::string whole = pack(sample());
  for (size_t length = 0; length < whole.size(); ++length) EXPECT_FALSE(unpack<Outer>(whole.substr(0, length)));
  EXPECT_FALSE(unpack<Outer>(whole + '\0')) << "more than was packed";
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = whole;
    for (size_t i = 0; i <= random() % 4; ++i) bytes[8 + random() % (bytes.size() - 8)] = static_cast<char>(random());
    const auto back = unpack<Outer>(bytes);
    if (back) EXPECT_LE(back->inner.size(), bytes.size());
  }
}

}  // namespace
}  // namespace base
