// The client, the offload pool, broadcasts, small text tools.
#include <gtest/gtest.h>

#include <thread>

#include "net/broadcast.h"
#include "net/client.h"
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
  for (const char* bad : {"\xff", "\xc3", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\x80"}) EXPECT_FALSE(is_utf8(bad));
}

TEST(ClientTest, CallsAgainstTheServer) {
  TestServer test;
  test.route(Method::kPost, "/echo", [](Request& request, Response& response) -> base::Task<void> {
    auto body = co_await request.read_body();
    response.header("X-Type", std::string(request.header("content-type")));
    response.send(201, "text/plain", *body);
  }, {.body_bytes = 4 << 20});
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
