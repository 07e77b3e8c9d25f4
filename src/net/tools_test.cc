// The client, the offload pool, broadcasts, small text tools.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <semaphore>
#include <thread>
#include <vector>

#include "net/broadcast.h"
#include "net/client.h"
#include "net/lanes.h"
#include "net/offload.h"
#include "net/test_internal.h"
#include "net/text.h"

namespace net {
namespace {

TEST(Text, PercentAndUtf8) {
  EXPECT_EQ(percent_decode("a%20b+c", false), "a b+c");
  EXPECT_EQ(percent_decode("a%20b+c", true), "a b c");
  EXPECT_EQ(percent_decode("%C3%A9", false), "é");
  for (const char* bad : {"%", "%1", "%zz", "%00", "a%-1"}) EXPECT_FALSE(percent_decode(bad, false)) << bad;
  EXPECT_EQ(percent_encode("a b/é~"), "a%20b%2F%C3%A9~");
  EXPECT_TRUE(is_utf8("aé€😀"));
  for (const char* bad : {"\xff", "\xc3", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\x80"})
    EXPECT_FALSE(is_utf8(bad));
}

TEST(ClientTest, CallsAgainstTheServer) {
  TestServer test;
  test.route(Method::kPost, "/echo",
             [](Request& request, Response& response) -> base::Task<void> {
               auto body = co_await request.read_body();
               response.header("X-Type", std::string(request.header("content-type")));
               response.send(201, "text/plain", *body);
             },
             {.body_bytes = 4 << 20});
  test.start();
  Client client;
  ClientRequest request;
  const std::string root = "http://127.0.0.1:" + std::to_string(test.port());
  request.method = "POST";
  request.url = root + "/echo";
  request.headers = {{"Content-Type", "text/x"}};
  request.body = std::string(300'000, 'b');
  for (int i = 0; i < 2; ++i) {
    auto answer = client.call(request);
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->status, 201);
    EXPECT_EQ(answer->body, request.body);
    EXPECT_EQ(answer->header("x-type"), "text/x");
  }
  request.max_answer_bytes = 10;
  EXPECT_EQ(client.call(request).error().code, base::Code::kTooLarge);
  request.max_answer_bytes = 1 << 20;
  request.body.assign(5 << 20, 'b');
  auto refused = client.call(request);
  ASSERT_TRUE(refused) << refused.error().message;
  EXPECT_EQ(refused->status, 413) << "the refusal is seen although the body was not taken";
  size_t streamed = 0;
  request.body.assign(100'000, 'c');
  ASSERT_TRUE(client.stream(request, [&](std::string_view bytes) { return (streamed += bytes.size()) < 50'000; }));
  EXPECT_GE(streamed, 50'000U);
  test.server->drain(1'000'000);
  EXPECT_EQ(client.call(request).error().code, base::Code::kUnavailable);
}

base::Task<void> offload_some(Offload& pool, int& sum, std::thread::id& where) {
  for (int i = 0; i < 10; ++i) {
    auto work = [i, &where]() -> base::Result<int> {
      where = std::this_thread::get_id();
      return i;
    };
    auto n = co_await pool.run(work);
    if (n) sum += *n;
  }
}

TEST(OffloadTest, RunsElsewhereAndResumesHere) {
  Offload pool(2);
  int sum = 0;
  std::thread::id where;
  base::run_blocking(offload_some(pool, sum, where));
  EXPECT_EQ(sum, 45);
  EXPECT_NE(where, std::this_thread::get_id());
}

base::Task<void> begin_some(Offload& pool, int& sum, int& order) {
  auto add = [&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return base::Result<int>(++sum);
  };
  Offload::Begun first(pool, add);
  order = sum;  // it has not waited
  const auto one = co_await first;
  Offload::Begun second(pool, add);
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  const auto two = co_await second;  // long done
  if (!one || !two || *one != 1 || *two != 2) sum = -1;
}

TEST(OffloadTest, BegunWorkGoesOnMeanwhile) {
  Offload pool(1);
  int sum = 0, order = -1;
  base::run_blocking(begin_some(pool, sum, order));
  EXPECT_EQ(sum, 2);
  EXPECT_EQ(order, 0);
}

base::Task<void> drop_some(Offload& pool, int& sum) {
  auto add = [&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return base::Result<int>(++sum);
  };
  const Offload::Begun dropped(pool, add);  // its frame goes: it is waited for
  co_return;
}

TEST(OffloadTest, BegunWorkThatNobodyAwaitsIsWaitedFor) {
  Offload pool(1);
  int sum = 0;
  base::run_blocking(drop_some(pool, sum));
  EXPECT_EQ(sum, 1);
}

TEST(OffloadTest, RefusesPastItsQueue) {
  Offload pool(1, 0);
  base::Code code{};
  auto ask = [&]() -> base::Task<void> {
    auto nothing = []() -> base::Result<int> { return 1; };
    auto n = co_await pool.run(nothing);
    code = n.error().code;
  };
  base::run_blocking(ask());
  EXPECT_EQ(code, base::Code::kTooMany);
}

base::Task<void> run_lane(Lanes& lanes, uint64_t lane, std::atomic<int>& at_once, std::atomic<int>& most,
                          int& refused) {
  auto work = [&]() -> base::Result<void> {
    const int now = ++at_once;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    usleep(20'000);
    --at_once;
    return {};
  };
  if (!co_await lanes.run(lane, work)) ++refused;
}

TEST(LanesTest, ALaneHasNoMoreThanItsShare) {
  Lanes lanes({.threads = 3, .lane_threads = 2, .lane_queue = 4});
  std::atomic<int> first = 0, first_most = 0, second = 0, second_most = 0;
  int refused = 0;
  auto all = [&]() -> base::Task<void> {
    base::TaskScope scope;
    for (int i = 0; i < 10; ++i) scope.spawn(run_lane(lanes, 1, first, first_most, refused));
    for (int i = 0; i < 2; ++i) scope.spawn(run_lane(lanes, 2, second, second_most, refused));
    co_await scope.join();
  };
  const auto start = std::chrono::steady_clock::now();
  base::run_blocking(all());
  EXPECT_EQ(first_most, 2);
  EXPECT_GE(second_most, 1);
  EXPECT_GE(refused, 4) << "of ten at once two run and four wait";
  EXPECT_LE(refused, 6);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(LanesTest, TheUrgentGoFirstAndAPlaceMayAskForFewerThreads) {
  Lanes lanes({.threads = 4, .lane_threads = 4, .lane_queue = 100});
  std::mutex mutex;
  std::vector<int> order;
  std::atomic<int> at_once = 0, most = 0;
  std::counting_semaphore<> go{0};
  base::run_blocking([&]() -> base::Task<void> {
    base::TaskScope scope;
    const auto add = [&](uint32_t priority, int number) -> base::Task<void> {
      auto work = [&, number]() -> base::Result<void> {
        most = std::max(most.load(), ++at_once);
        if (number == 0) go.acquire();
        std::lock_guard lock(mutex);
        order.push_back(number);
        --at_once;
        return {};
      };
      EXPECT_TRUE(co_await lanes.run({.lane = 1, .threads = 1, .priority = priority}, std::move(work)));
    };
    scope.spawn(add(1, 0));
    scope.spawn(add(2, 3));
    scope.spawn(add(3, 5));
    scope.spawn(add(2, 4));
    scope.spawn(add(1, 1));
    scope.spawn(add(1, 2));
    go.release();
    co_await scope.join();
  }());
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(most, 1);
}

TEST(LanesTest, EveryPieceRunsOnce) {
  Lanes lanes({.threads = 4, .lane_threads = 2, .lane_queue = 1000});
  std::atomic<int> ran = 0;
  auto one = [&](uint64_t lane) -> base::Task<void> {
    auto work = [&]() -> base::Result<void> {
      ++ran;
      return {};
    };
    std::ignore = co_await lanes.run(lane, work);
  };
  auto all = [&]() -> base::Task<void> {
    base::TaskScope scope;
    for (uint64_t i = 0; i < 500; ++i) scope.spawn(one(i % 7));
    co_await scope.join();
  };
  base::run_blocking(all());
  EXPECT_EQ(ran, 500);
}

base::Task<void> wait_for_news(Broadcast& news, std::stop_token cancelled, int64_t timeout_us, int& rounds) {
  const uint64_t seen = news.version();
  co_await news.wait(seen, timeout_us, std::move(cancelled));
  ++rounds;
}

TEST(BroadcastTest, WakesByNewsTimeoutAndCancel) {
  Broadcast news;
  int rounds = 0;
  std::thread other([&] {
    usleep(20'000);
    news.notify();
  });
  base::run_blocking(wait_for_news(news, {}, 10'000'000, rounds));
  other.join();
  base::run_blocking(wait_for_news(news, {}, 1'000, rounds));
  std::stop_source stop;
  std::thread stopper([&] {
    usleep(20'000);
    stop.request_stop();
  });
  base::run_blocking(wait_for_news(news, stop.get_token(), 10'000'000, rounds));
  stopper.join();
  base::run_blocking(wait_for_news(news, stop.get_token(), 10'000'000, rounds));
  EXPECT_EQ(rounds, 4);
}

}  // namespace
}  // namespace net
