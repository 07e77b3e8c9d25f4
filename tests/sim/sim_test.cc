#include <gtest/gtest.h>

#include "world.h"

TEST(FlowSim, TwoHundredWorldsKeepTheRules) {
  sim::Report all;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const sim::Report report = sim::run_world(seed);
    EXPECT_EQ(report.violation, "") << "seed " << seed;
    all.attempts += report.attempts, all.crashes += report.crashes, all.conflicts += report.conflicts;
  }
  // The faults did happen.
  EXPECT_GT(all.attempts, 1000u);
  EXPECT_GT(all.crashes, 200u);
  EXPECT_GT(all.conflicts, 0u);
}

TEST(FlowSim, TheSameSeedIsTheSameHistory) {
  const sim::Report a = sim::run_world(7), b = sim::run_world(7);
  EXPECT_EQ(a.steps, b.steps);
  EXPECT_EQ(a.attempts, b.attempts);
}
