#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <thread>

#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/ids.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/process.h"
#include "base/yaml.h"

namespace base {

uint32_t crc32c_by_table(std::string_view bytes, uint32_t seed);  // of hash.cc

namespace {

using testing::HasSubstr;

TEST(Result, TryReturnsTheErrorAndKeepsTheValue) {
  const auto half = [](int n) -> Result<int> { return n % 2 ? Result<int>(invalid("odd")) : Result<int>(n / 2); };
  const auto quarter = [&](int n) -> Result<int> {
    TRY_SET(int h, half(n));
    TRY_SET(int q, half(h));
    return q;
  };
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).error().message, "odd");
}

TEST(Result, CopiesOfABooleanResultKeepItsError) {
  Result<bool> no = invalid("no");
  Result<bool> copy = no;
  EXPECT_FALSE(copy.has_value());
}

Task<int> add_later(int a, int b) {
  co_await sleep_us(1000);
  co_return a + b;
}

TEST(Loop, RunBlockingRunsTimersAndChildren) {
  EXPECT_EQ(run_blocking(add_later(2, 3)), 5);
  int sum = 0;
  const auto child = [](int& into, int n) -> Task<void> {
    co_await sleep_us(n);
    into += n;
  };
  const auto parent = [&]() -> Task<void> {
    TaskScope scope;
    for (int i = 1; i <= 3; ++i) scope.spawn(child(sum, i));
    co_await scope.join();
  };
  run_blocking(parent());
  EXPECT_EQ(sum, 6);
}

TEST(Loop, HandlesPostedFromAnotherThreadResumeHere) {
  struct FromThread {
    std::thread& thread;
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> h) {
      thread = std::thread([loop = Loop::current(), h] { loop->resume({h}); });
    }
    void await_resume() {}
  };
  std::thread thread;
  const auto task = [&]() -> Task<bool> {
    const auto before = std::this_thread::get_id();
    co_await FromThread{thread};
    co_return before == std::this_thread::get_id();
  };
  EXPECT_TRUE(run_blocking(task()));
  thread.join();
}

TEST(Loop, AnExceptionReachesTheCaller) {
  const auto thrower = []() -> Task<int> {
    co_await sleep_us(10);
    throw std::runtime_error("x");
  };
  EXPECT_THROW(run_blocking(thrower()), std::runtime_error);
}

TEST(Clock, TimesGoThereAndBack) {
  EXPECT_EQ(format_iso8601(1'795'562'397'123'456), "2026-11-24T23:19:57.123456Z");
  EXPECT_EQ(*parse_iso8601("2026-11-24T23:19:57.123456Z"), 1'795'562'397'123'456);
  EXPECT_EQ(*parse_iso8601("2026-11-25T00:19:57+01:00"), 1'795'562'397'000'000);
  for (auto bad : {"", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-24T23:19:57", "2026-11-24T24:19:57Z",
                   "2026-11-24T23:19:57.Z"}) {
    EXPECT_FALSE(parse_iso8601(bad)) << bad;
  }
}

TEST(Ids, TextOrderIsTimeOrderAndKindsAreRead) {
  SeededRandom random(7);
  const auto early = make_id("ds", random, 1'000'000'000), late = make_id("ds", random, 2'000'000'000);
  EXPECT_LT(early, late);
  EXPECT_EQ(id_kind(early), "ds");
  EXPECT_EQ(id_kind("m-0123"), "");
  Uuid id = make_uuid7(random, 1'795'562'397'123'456), back;
  ASSERT_TRUE(from_base32(to_base32(id), back));
  EXPECT_EQ(id, back);
  EXPECT_EQ(uuid7_ms(id), 1'795'562'397'123);
  EXPECT_FALSE(from_base32("8zzzzzzzzzzzzzzzzzzzzzzzzz", back)) << "more than 128 bits";
}

TEST(Ids, SeededSequenceIsForEver) {
  SeededRandom a(42), b(42);
  EXPECT_EQ(a.next(), 1546998764402558742u);  // xoshiro256** after splitmix64(42)
  b.next();
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(a.next(), b.next());
    EXPECT_LT(a.below(7), 7u);
    b.below(7);
  }
}

TEST(Hash, KnownVectors) {
  EXPECT_EQ(sha256("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(md5("abc").hex(), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c("6789", crc32c("12345")), 0xe3069283u);
  std::string text;
  for (int i = 0; i < 40; ++i, text += static_cast<char>(i * 37)) EXPECT_EQ(crc32c(text, 7), crc32c_by_table(text, 7));
  EXPECT_EQ(*base64_decode(base64_encode("any carnal pleas")), "any carnal pleas");
  EXPECT_EQ(*base64_decode("YQ=="), "a");
  EXPECT_FALSE(base64_decode("YQ="));
  EXPECT_EQ(Digest::from_hex(HashAlgo::kSha256, sha256("abc").hex())->hex(), sha256("abc").hex());
  EXPECT_FALSE(Digest::from_hex(HashAlgo::kMd5, "zz0150983cd24fb0d6963f7d28e17f72"));
}

TEST(Json, ErrorsSayWhatWasFound) {
  auto value = parse_json(R"({"name": "a", "n": 3.0, "deep": {"x": [1]}})");
  ASSERT_TRUE(value) << value.error().message;
  const auto& object = value->as_object();
  EXPECT_EQ(*required_int(object, "n"), 3);
  EXPECT_THAT(required_int(object, "name").error().message, HasSubstr("must be an integer, found a string"));
  EXPECT_THAT(required_string(object, "nope").error().message, HasSubstr("'nope' is missing"));
  EXPECT_THAT(parse_json("{\"a\": }").error().message, HasSubstr("byte"));
  EXPECT_THAT(parse_json("1 2").error().message, HasSubstr("extra"));
  EXPECT_THAT(parse_json(std::string(100, '[')).error().message, HasSubstr("nested deeper"));
  EXPECT_FALSE(parse_json("[NaN]"));
  EXPECT_FALSE(parse_json(""));
}

TEST(Json, DoublesAreExact) {
  SeededRandom random(7);
  std::string text = "[";
  std::vector<double> numbers = {0.0014121054456817299, 5e-324, 1.7976931348623157e308, 0.1, 9007199254740993.0};
  while (numbers.size() < 5000) {
    const double number = std::bit_cast<double>(random.next());
    if (std::isfinite(number)) numbers.push_back(number);
  }
  for (const double number : numbers) {
    if (text.size() > 1) text += ',';
    append_double(text, number);
  }
  const auto back = parse_json(text + "]");
  ASSERT_TRUE(back) << back.error().message;
  for (size_t i = 0; i < numbers.size(); ++i) EXPECT_EQ(back->get_array()[i].to_number<double>(), numbers[i]);
  EXPECT_EQ(*parse_json("1e-400"), json::value(0.0));
  EXPECT_FALSE(parse_json("1e999"));
  EXPECT_EQ(*parse_json("-12"), json::value(-12));
}

TEST(JsonWriter, PlacesCommasAndEscapes) {
  std::string out;
  JsonWriter w(out);
  w.begin_object()
      .field("a", 1)
      .field("b", "x\"\n\x01")
      .key("c")
      .begin_array()
      .value(0.1)
      .value(2.0)
      .value(NAN)
      .null()
      .end_array();
  w.field("d", true).key("e").begin_object().end_object().end_object();
  EXPECT_EQ(out, R"({"a":1,"b":"x\"\n\u0001","c":[0.1,2.0,"NaN",null],"d":true,"e":{}})");
  out.clear();
  JsonWriter(out).value(std::numeric_limits<double>::max());
  EXPECT_EQ(std::stod(out), std::numeric_limits<double>::max());
}

TEST(Yaml, KeepsLinesAndKinds) {
  auto node = yaml::parse("a: 1\nb:\n  - x\n  - 'yes'\nc: {d: 2.5, e: }\n", "f.yaml");
  ASSERT_TRUE(node) << node.error().message;
  EXPECT_EQ(node->find("a")->as_int(), 1);
  EXPECT_EQ(node->find("b")->items[1].scalar, "yes");
  EXPECT_EQ(node->find("b")->items[1].line, 4);
  EXPECT_EQ(node->find("c")->find("d")->as_double(), 2.5);
  EXPECT_TRUE(node->find("c")->find("e")->is_null());
  EXPECT_EQ(node->entries[2].line, 5);
}

TEST(Yaml, RefusesWithFileAndLine) {
  const auto why = [](std::string_view text) { return yaml::parse(text, "f.yaml").error().message; };
  EXPECT_THAT(why("a: 1\na: 2\n"), HasSubstr("f.yaml:2: the key 'a' appears twice"));
  EXPECT_THAT(why("a: yes\n"), HasSubstr("'yes'"));
  EXPECT_THAT(why("a: [1, 2\n"), HasSubstr("f.yaml:"));
  EXPECT_THAT(why("a: 1\n---\nb: 2\n"), HasSubstr("more than one document"));
  EXPECT_THAT(why("? [x]\n: 1\n"), HasSubstr("a key must be plain text"));
  EXPECT_THAT(why("a: !!python/object:os.system x\n"), HasSubstr("tag"));
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "[";
  EXPECT_THAT(why(deep + std::string(100, ']')), HasSubstr("nested deeper"));
}

TEST(Yaml, AliasBombIsCapped) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 10; ++i) {
    const auto prev = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + prev;
    for (int k = 0; k < 9; ++k) bomb += "," + prev;
    bomb += "]\n";
  }
  EXPECT_THAT(yaml::parse(bomb, "f.yaml").error().message, HasSubstr("aliases count"));
}

TEST(Fs, SafePathsAndDurableWrites) {
  for (auto good : {"a", "a/b.c", "a b/ü"}) EXPECT_TRUE(is_safe_relative_path(good)) << good;
  for (auto bad : {"", "/a", "a//b", "../a", "a/..", "a/./b", "a\\b", "a/"})
    EXPECT_FALSE(is_safe_relative_path(bad)) << bad;
  const Path dir = *make_temp_dir(std::filesystem::temp_directory_path(), "base_test.");
  ASSERT_TRUE(write_file_durably(dir / "x", "one"));
  ASSERT_TRUE(write_file_durably(dir / "x", "two"));
  EXPECT_EQ(*read_file(dir / "x"), "two");
  EXPECT_EQ(read_file(dir / "x", 2).error().code, Code::kTooLarge);
  EXPECT_EQ(read_file(dir / "y").error().code, Code::kNotFound);
  auto lock = FileLock::acquire(dir / "lock", "pid 7");
  ASSERT_TRUE(lock);
  EXPECT_THAT(FileLock::acquire(dir / "lock", "me").error().message, HasSubstr("pid 7"));
  ASSERT_TRUE(remove_tree(dir));
}

TEST(Process, CapturesBothStreamsAndEnds) {
  auto echo = run_child({.argv = {"/bin/sh", "-c", "cat; echo err >&2; exit 3"}, .stdin_bytes = "hello"});
  ASSERT_TRUE(echo);
  EXPECT_EQ(echo->out, "hello");
  EXPECT_EQ(echo->err, "err\n");
  EXPECT_EQ(echo->exit_code, 3);
  auto killed = run_child({.argv = {"/bin/sh", "-c", "kill -SEGV $$"}});
  EXPECT_THAT(killed->describe(), HasSubstr("signal 11"));
  auto slow = run_child({.argv = {"/bin/sleep", "60"}, .timeout_us = 50'000});
  EXPECT_TRUE(slow->timed_out);
  auto big = run_child({.argv = {"/bin/sh", "-c", "head -c 100000 /dev/zero"}, .max_output_bytes = 1000});
  EXPECT_TRUE(big->truncated);
  EXPECT_EQ(big->out.size(), 1000u);
  EXPECT_FALSE(run_child({.argv = {"/no/such/program"}}));
}

TEST(Metrics, RendersPrometheusText) {
  Registry registry;
  registry.counter("lathe_x_total", "Things.", {{"kind", "a\"b"}}).add(3);
  constexpr double bounds[] = {1, 2};
  auto& histogram = registry.histogram("lathe_seconds", "Times.", bounds);
  histogram.observe(0.5);
  histogram.observe(2);
  histogram.observe(9);
  const std::string text = registry.render();
  EXPECT_THAT(text, HasSubstr("# TYPE lathe_x_total counter\nlathe_x_total{kind=\"a\\\"b\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("lathe_seconds_bucket{le=\"2\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("lathe_seconds_bucket{le=\"+Inf\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("lathe_seconds_sum 11.5\n"));
}

}  // namespace
}  // namespace base
