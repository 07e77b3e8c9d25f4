#include "flow/cron.h"

#include <gtest/gtest.h>

#include "base/clock.h"

namespace flow {
namespace {

std::string next(std::string_view cron, std::string_view after) {
  const auto parsed = Cron::parse(cron);
  if (!parsed) return parsed.error().message;
  const auto at = parsed->next_after(*base::parse_iso8601(after));
  return at ? base::format_iso8601(*at).substr(0, 19) : "never";
}

TEST(Cron, FieldsStepsRangesAndNames) {
  EXPECT_EQ(next("0 3 * * *", "2026-01-01T03:00:00Z"), "2026-01-02T03:00:00");
  EXPECT_EQ(next("*/15 * * * *", "2026-01-01T03:14:59Z"), "2026-01-01T03:15:00");
  EXPECT_EQ(next("5-10/5,59 8 * * *", "2026-01-01T08:05:00Z"), "2026-01-01T08:10:00");
  EXPECT_EQ(next("0 0 * feb mon", "2026-01-01T00:00:00Z"), "2026-02-02T00:00:00");
  EXPECT_EQ(next("0 0 * * 7", "2026-01-01T00:00:00Z"), "2026-01-04T00:00:00");
  EXPECT_EQ(next("0 0 13 * fri", "2026-01-01T00:00:00Z"), "2026-01-02T00:00:00");  // either day field
  EXPECT_EQ(next("@monthly Europe/Paris", "2026-01-15T00:00:00Z"), "2026-01-31T23:00:00");
  EXPECT_EQ(next("0 0 29 2 *", "2026-03-01T00:00:00Z"), "2028-02-29T00:00:00");
  EXPECT_EQ(next("0 0 31 2 *", "2026-03-01T00:00:00Z"), "never");
}

TEST(Cron, ZonesFollowSummerTime) {
  EXPECT_EQ(next("0 3 * * * Europe/Paris", "2026-01-01T00:00:00Z"), "2026-01-01T02:00:00");
  EXPECT_EQ(next("0 3 * * * Europe/Paris", "2026-07-01T00:00:00Z"), "2026-07-01T01:00:00");
  EXPECT_EQ(next("30 9 * * * Asia/Kolkata", "2026-07-01T00:00:00Z"), "2026-07-01T04:00:00");
}

// Paris: on 2026-03-29 at 01:00 UTC 02:00 becomes 03:00; on 2026-10-25 at 01:00 UTC 03:00 becomes 02:00.
TEST(Cron, ATimeInTheGapFiresAtItsEndAndARepeatedTimeOnce) {
  EXPECT_EQ(next("30 2 * * * Europe/Paris", "2026-03-28T12:00:00Z"), "2026-03-29T01:00:00");
  EXPECT_EQ(next("30 2 * * * Europe/Paris", "2026-03-29T01:00:00Z"), "2026-03-30T00:30:00");
  EXPECT_EQ(next("30 2 * * * Europe/Paris", "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00");
  EXPECT_EQ(next("30 2 * * * Europe/Paris", "2026-10-25T00:30:00Z"), "2026-10-26T01:30:00");
}

TEST(Cron, EveryRealHourCountsWhereTheHourIsAStar) {
  EXPECT_EQ(next("30 * * * * Europe/Paris", "2026-10-25T00:30:00Z"), "2026-10-25T01:30:00");
  EXPECT_EQ(next("30 * * * * Europe/Paris", "2026-03-29T00:30:00Z"), "2026-03-29T01:30:00");
}

TEST(Cron, ErrorsSayWhatIsAllowed) {
  EXPECT_EQ(next("61 * * * *", "2026-01-01T00:00:00Z"),
            "cron: minute is '61'; allowed are *, numbers from 0 to 59, a-b, lists a,b and steps */n");
  EXPECT_NE(next("* * *", "2026-01-01T00:00:00Z").find("has 3 fields"), std::string::npos);
  EXPECT_NE(next("0 3 * * * Paris", "2026-01-01T00:00:00Z").find("'Paris' is not a time zone"), std::string::npos);
  EXPECT_NE(next("@never", "2026-01-01T00:00:00Z").find("@hourly"), std::string::npos);
  EXPECT_NE(next("*/0 * * * *", "2026-01-01T00:00:00Z").find("minute is"), std::string::npos);
}

}  // namespace
}  // namespace flow
