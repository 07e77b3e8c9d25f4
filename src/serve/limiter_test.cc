// The limiter against a model of a server: so many slots, so long a run, requests that arrive whatever happens.
#include "serve/limiter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <thread>
#include <vector>

namespace serve {
namespace {

struct Outcome {
  double goodput = 0;  // of the capacity
  int64_t worst_us = 0;
  double shed = 0;  // of what arrived
};

// First come, first served by `slots`; arrivals at `load` times the capacity for `seconds`. What is told is of the
// second half: the first is the controller's to settle.
Outcome simulate(Limiter& limiter, uint32_t slots, int64_t run_us, double load, int64_t seconds, int64_t begin_us = 0) {
  const double gap_us = static_cast<double>(run_us) / slots / load;
  const int64_t end_us = begin_us + seconds * 1'000'000, from_us = (begin_us + end_us) / 2;
  std::vector<int64_t> free_us(slots, 0);
  std::deque<int64_t> inside;  // when each will leave, in order
  Outcome out;
  int64_t answered = 0, arrived = 0, refused = 0;
  for (auto at = static_cast<double>(begin_us); at < static_cast<double>(end_us); at += gap_us) {
    const auto now_us = static_cast<int64_t>(at);
    while (!inside.empty() && inside.front() <= now_us) {
      limiter.leave(inside.front());
      inside.pop_front();
    }
    arrived += now_us >= from_us;
    if (!limiter.enter()) {
      refused += now_us >= from_us;
      continue;
    }
    const auto slot = std::ranges::min_element(free_us);
    *slot = std::max(*slot, now_us) + run_us;
    inside.push_back(*slot);
    if (now_us < from_us) continue;
    ++answered;
    out.worst_us = std::max(out.worst_us, *slot - now_us);
  }
  out.goodput = static_cast<double>(answered * run_us) / slots / static_cast<double>(end_us - from_us);
  out.shed = static_cast<double>(refused) / static_cast<double>(arrived);
  return out;
}

// Whatever the model takes, at three times its capacity it stays busy, and who is let in is answered in bounded time.
TEST(LimiterTest, OverloadCostsNoGoodputAndAcceptedTimesAreBounded) {
  for (const uint32_t slots : {1U, 2U, 8U}) {
    for (const int64_t run_us : {2'000, 10'000, 50'000, 300'000, 1'000'000}) {
      Limiter limiter(slots, 288);
      const Outcome got = simulate(limiter, slots, run_us, 3, std::max<int64_t>(60, run_us / 2'000));
      SCOPED_TRACE(std::to_string(slots) + " slots of " + std::to_string(run_us) + " us, limit " +
                   std::to_string(limiter.limit()));
      EXPECT_GE(got.goodput, 0.95);
      EXPECT_GE(got.shed, 0.6);
      EXPECT_LE(got.worst_us, std::max<int64_t>(Limiter::kPatienceUs * 5 / 4, (Limiter::kTolerance + 1) * run_us));
    }
  }
}

TEST(LimiterTest, BelowTheCapacityNobodyIsRefused) {
  for (const int64_t run_us : {2'000, 50'000, 1'000'000}) {
    Limiter limiter(2, 288);
    EXPECT_EQ(simulate(limiter, 2, run_us, 0.8, 60).shed, 0) << run_us;
    EXPECT_EQ(limiter.limit(), 288U);
  }
}

TEST(LimiterTest, AfterAnOverloadTheLimitComesBackWhenItIsNeeded) {
  Limiter limiter(2, 288);
  simulate(limiter, 2, 100'000, 3, 60);
  const uint32_t tight = limiter.limit();
  EXPECT_LT(tight, 60U);
  while (limiter.in_flight() > 0) limiter.leave_unanswered();
  simulate(limiter, 2, 1'000, 3, 10, 60'000'000);  // a quicker version: 288 of them wait 144 ms
  EXPECT_EQ(limiter.limit(), 288U);
}

// A client's deadline or a crash says nothing of how long an answer takes.
TEST(LimiterTest, RequestsWithoutAnAnswerOnlyMakeRoom) {
  Limiter limiter(1, 4);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(limiter.enter());
    limiter.leave_unanswered();
  }
  EXPECT_EQ(limiter.limit(), 4U);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(limiter.enter());
  EXPECT_FALSE(limiter.enter());
  EXPECT_EQ(limiter.waiting(), 3U);
  limiter.leave_unanswered();
  EXPECT_TRUE(limiter.enter());
}

TEST(LimiterTest, AModelIsSlowWhenMostOfItsRunsAre) {
  Limiter limiter(1, 4);
  for (int i = 0; i < 100; ++i) limiter.ran(i % 4 == 0 ? 50'000 : 20);  // a thread that was held up now and then
  EXPECT_FALSE(limiter.slow());
  for (int i = 0; i < 20; ++i) limiter.ran(2'000);
  EXPECT_TRUE(limiter.slow());
  for (int i = 0; i < 20; ++i) limiter.ran(20);
  EXPECT_FALSE(limiter.slow());
}

TEST(LimiterTest, ManyThreadsLeaveNothingBehind) {
  Limiter limiter(2, 16);
  std::vector<std::thread> threads;
  std::atomic<uint32_t> inside = 0, over = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) {
        if (!limiter.enter()) continue;
        if (inside.fetch_add(1) + 1 > 16) ++over;
        inside.fetch_sub(1);
        if (i % 3 == 0) {
          limiter.leave_unanswered();
        } else {
          limiter.leave(i * 50);
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(limiter.in_flight(), 0U);
  EXPECT_EQ(over, 0U);
  EXPECT_GE(limiter.limit(), 4U);
}

}  // namespace
}  // namespace serve
