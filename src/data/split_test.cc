#include "data/split.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/ids.h"

namespace data {
namespace {

std::string canonical(std::string_view value) {
  std::string out;
  append_canonical(out, value);
  return out;
}

TEST(Split, CanonicalValues) {
  EXPECT_EQ(canonical("1"), canonical("1.0"));
  EXPECT_EQ(canonical("1e3"), canonical("1000"));
  EXPECT_EQ(canonical("-0"), canonical("0"));
  EXPECT_EQ(canonical("0.1"), canonical("0.10000000149011612"));  // 0.1 after a trip through single precision
  EXPECT_NE(canonical("0.1"), canonical("0.1001"));
  EXPECT_EQ(canonical("Oslo"), "Oslo");
  EXPECT_NE(canonical("1e300"), canonical("2e300"));  // beyond single precision: not all infinite
}

TEST(Split, FeatureKeyIgnoresTheOrderOfColumns) {
  const std::vector<std::string> ab = {"a", "b"}, ba = {"b", "a"};
  FeatureKey first(ab), second(ba);
  const std::string_view x[] = {"1", "2"}, y[] = {"2", "1"};
  EXPECT_EQ(first.bytes(x), second.bytes(y));
  const std::string swapped(first.bytes(y));
  EXPECT_NE(first.bytes(x), swapped);
}

// Frozen for ever: a data set prepared by an old Lathe is split the same by a new one.
TEST(Split, HashesNeverChange) {
  EXPECT_EQ(features_hash(0,
                          "a\x1F"
                          "1\x1E"),
            11750384894592532731ULL);
  EXPECT_EQ(group_hash(42, "p7"), 5195426639065586825ULL);
}

TEST(Split, PartsFollowTheFractions) {
  const Fractions fractions{0.5, 0.25, 0.25};
  EXPECT_EQ(part_at(0, fractions), Part::kTrain);
  EXPECT_EQ(part_at(0.4999, fractions), Part::kTrain);
  EXPECT_EQ(part_at(0.5, fractions), Part::kValid);
  EXPECT_EQ(part_at(0.75, fractions), Part::kTest);
  EXPECT_EQ(part_at(0.99999999, {0.9, 0.1, 0}), Part::kValid);
  EXPECT_EQ(part_at(0.99999999, {1, 0, 0}), Part::kTrain);
  int counts[3] = {};
  for (int i = 0; i < 20000; ++i)
    ++counts[static_cast<int>(part_at(unit(group_hash(1, std::to_string(i))), fractions))];
  EXPECT_NEAR(counts[0], 10000, 300);
  EXPECT_NEAR(counts[1], 5000, 250);
}

TEST(Split, StratifiedSidesDoNotDependOnOrder) {
  std::vector<StratifiedGroup> groups;
  base::SeededRandom random(3);
  for (int i = 0; i < 500; ++i)
    groups.push_back({random.next(), static_cast<uint32_t>(i % 3 == 0), 1 + i % 4, Part::kTrain});
  const std::vector<std::string> strata = {"no", "yes"};
  auto shuffled = groups;
  std::ranges::reverse(shuffled);
  const Fractions fractions{0.6, 0.2, 0.2};
  assign_stratified(groups, strata, 9, fractions);
  assign_stratified(shuffled, strata, 9, fractions);
  int64_t rows[2][3] = {}, total[2] = {};
  for (size_t i = 0; i < groups.size(); ++i) {
    EXPECT_EQ(groups[i].hash, shuffled[i].hash);
    EXPECT_EQ(groups[i].part, shuffled[i].part);
    rows[groups[i].stratum][static_cast<int>(groups[i].part)] += groups[i].rows;
    total[groups[i].stratum] += groups[i].rows;
  }
  for (int s = 0; s < 2; ++s) {
    EXPECT_NEAR(static_cast<double>(rows[s][0]), 0.6 * static_cast<double>(total[s]), 5);
    EXPECT_NEAR(static_cast<double>(rows[s][1]), 0.2 * static_cast<double>(total[s]), 5);
  }
}

}  // namespace
}  // namespace data
