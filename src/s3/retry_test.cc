#include "s3/retry.h"

#include <gmock/gmock.h>

#include <vector>

namespace s3 {
namespace {

constexpr int64_t kSecond = 1'000'000;

TEST(Backoff, WaitsGrowAtRandomAndEnd) {
  base::SeededRandom random(1);
  std::vector<int64_t> sums(7);
  for (int round = 0; round < 400; ++round) {
    Backoff backoff({}, random);
    for (size_t i = 0; i < sums.size(); ++i) {
      const auto wait = backoff.next(0, 0);
      ASSERT_TRUE(wait);
      EXPECT_LE(*wait, 100'000 << i);
      EXPECT_GE(*wait, 0);
      sums[i] += *wait;
    }
    EXPECT_FALSE(backoff.next(0, 0)) << "eight attempts are seven waits";
  }
  for (size_t i = 0; i < sums.size(); ++i) {  // the mean of full jitter is half of its bound
    const auto mean = static_cast<double>(sums[i]) / 400, half = static_cast<double>(50'000 << i);
    EXPECT_NEAR(mean / half, 1, 0.15) << i;
  }
}

TEST(Backoff, TheServersWishIsTheLeastAndTimeIsBounded) {
  base::SeededRandom random(2);
  Backoff backoff({}, random);
  EXPECT_GE(backoff.next(0, 5 * kSecond).value(), 5 * kSecond);
  EXPECT_FALSE(backoff.next(58 * kSecond, 5 * kSecond)) << "past the total";
  EXPECT_TRUE(backoff.next(1 * kSecond, 0));
}

TEST(Backoff, ProgressBeginsTheCountAgain) {
  base::SeededRandom random(3);
  Backoff backoff({.attempts = 2}, random);
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(backoff.next(0, 0)) << i;
    backoff.progressed();
  }
  ASSERT_TRUE(backoff.next(0, 0));
  EXPECT_FALSE(backoff.next(0, 0));
}

TEST(RetryAfter, SecondsDatesAndNonsense) {
  const int64_t now = 784'111'777 * kSecond;  // Sun, 06 Nov 1994 08:49:37 GMT
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), now);
  EXPECT_EQ(parse_retry_after("7", now), 7 * kSecond);
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:57 GMT", now), 20 * kSecond);
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:07 GMT", now), 0);
  EXPECT_EQ(parse_retry_after("999999999", now), 3'600 * kSecond);
  for (const char* text : {"", "soon", "-5", "7s"}) EXPECT_EQ(parse_retry_after(text, now), 0) << text;
}

}  // namespace
}  // namespace s3
