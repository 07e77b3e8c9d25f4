#include "serve/capture.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <thread>

#include "base/clock.h"
#include "serve/capture_format.h"

namespace serve {
namespace {

namespace fs = std::filesystem;

class CaptureTest : public testing::Test {
 protected:
  CaptureTest() : dir_(base::make_temp_dir(fs::temp_directory_path(), "capture").value()) {}
  ~CaptureTest() override { (void)base::remove_tree(dir_); }

  std::unique_ptr<Capture> open(Capture::Options options = {}) {
    return Capture::open(dir_, metrics_, options).value();
  }
  // Now: what is a month old, retention would take.
  static inline const int64_t start_us = base::system_clock().wall_us();

  static CapturedRequest request(double value, std::string endpoint = "digits", int64_t revision = 1) {
    return {.client_id = "client-7",
            .at_us = start_us + static_cast<int64_t>(value),
            .project = 1,
            .endpoint = std::move(endpoint),
            .revision = revision,
            .features = {"a", "b"},
            .rows = {value, std::nan("")},
            .labels = {std::to_string(static_cast<int>(value))},
            .scores = {0.5},
            .row_count = 1};
  }
  std::vector<fs::path> segments() {
    std::vector<fs::path> out;
    for (const auto& entry : fs::recursive_directory_iterator(dir_)) {
      if (entry.path().extension() == ".cap") out.push_back(entry.path());
    }
    std::ranges::sort(out);
    return out;
  }
  uint64_t counter(const char* name, base::Registry::Labels labels = {}) {
    return metrics_.counter(name, "", std::move(labels)).value();
  }

  base::Path dir_;
  base::Registry metrics_;
};

TEST_F(CaptureTest, WhatIsRecordedIsReadInOrder) {
  auto capture = open();
  std::vector<std::string> ids;
  for (int i = 0; i < 100; ++i) ids.push_back(capture->record(request(i)));
  capture->record(request(7, "other"));
  capture->flush();
  auto batch = capture->read(1, "digits", {}, 60);
  ASSERT_TRUE(batch);
  ASSERT_EQ(batch->requests.size(), 60u);
  const CapturedRequest& first = batch->requests[0];
  EXPECT_EQ(first.id, ids[0]);
  EXPECT_EQ(first.client_id, "client-7");
  EXPECT_EQ(first.features, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(first.rows[0], 0);
  EXPECT_TRUE(std::isnan(first.rows[1]));
  EXPECT_EQ(first.labels, (std::vector<std::string>{"0"}));
  EXPECT_EQ(first.scores, (std::vector<double>{0.5}));
  auto rest = capture->read(1, "digits", batch->next, 1000);
  ASSERT_EQ(rest->requests.size(), 40u);
  EXPECT_EQ(rest->requests[0].id, ids[60]);
  EXPECT_TRUE(capture->read(1, "digits", rest->next, 10)->requests.empty());
  EXPECT_EQ(capture->read(1, "other", {}, 10)->requests.size(), 1u);
  EXPECT_TRUE(capture->read(2, "digits", {}, 10)->requests.empty());
}

TEST_F(CaptureTest, TheNewestComeFirstPageByPageOverSegments) {
  Capture::Options options;
  options.segment_bytes = 2000;
  auto capture = open(options);
  std::vector<std::string> ids;
  for (int i = 0; i < 200; ++i) {
    auto one = request(i);
    one.duration_us = i + 1;
    ids.push_back(capture->record(one));
    if (i % 30 == 0) capture->flush();
  }
  capture->flush();
  const auto all = [](const CapturedRequest&) { return true; };
  for (const size_t limit : {1u, 7u, 64u, 1000u}) {
    std::vector<std::string> found;
    CapturePosition at = Capture::kNow;
    do {
      const auto page = capture->read_newest(1, "digits", at, limit, 100'000, all);
      ASSERT_TRUE(page);
      ASSERT_EQ(page->places.size(), page->requests.size());
      for (const auto& one : page->requests) found.push_back(one.id);
      at = page->next;
    } while (at != CapturePosition{});
    std::ranges::reverse(found);
    EXPECT_EQ(found, ids) << limit;
  }
  const auto newest = capture->read_newest(1, "digits", Capture::kNow, 3, 100'000, all);
  EXPECT_EQ(newest->requests[0].duration_us, 200);
  // Any place is one to go on from.
  const auto older = capture->read_newest(1, "digits", newest->places[1], 1, 100'000, all);
  EXPECT_EQ(older->requests[0].id, ids[197]);
  const auto even = [](const CapturedRequest& r) { return static_cast<int>(r.rows[0]) % 50 == 0; };
  const auto few = capture->read_newest(1, "digits", Capture::kNow, 10, 100'000, even);
  EXPECT_EQ(few->requests.size(), 4u);
  EXPECT_EQ(few->scanned, 200u);
  EXPECT_EQ(few->next, CapturePosition{});
  const auto cut = capture->read_newest(1, "digits", Capture::kNow, 10, 20, even);
  EXPECT_LT(cut->scanned, 100u);
  EXPECT_NE(cut->next, CapturePosition{});
}

TEST_F(CaptureTest, AnIdFindsItsRecord) {
  Capture::Options options;
  options.segment_bytes = 2000;
  auto capture = open(options);
  std::vector<std::string> ids;
  for (int i = 0; i < 200; ++i) {
    ids.push_back(capture->record(request(i)));
    if (i % 10 == 0) capture->flush();
  }
  capture->flush();
  EXPECT_GT(segments().size(), 5u);
  for (size_t i = 0; i < ids.size(); i += 17) {
    auto found = capture->find(ids[i]);
    ASSERT_TRUE(found && *found) << i;
    EXPECT_EQ((*found)->rows[0], static_cast<double>(i));
  }
  auto wanted = ids;
  wanted.insert(wanted.begin() + 50, "pr_nonsense");
  const auto all = capture->find(wanted);
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    ASSERT_EQ((*all)[i].has_value(), i != 50) << i;
    if (i != 50) EXPECT_EQ((*all)[i]->id, wanted[i]);
  }
  EXPECT_FALSE(capture->find("pr_nonsense"));
  EXPECT_EQ(*capture->find(prediction_id(base::make_uuid7(base::system_random(), 1))), std::nullopt);
}

TEST_F(CaptureTest, TextFeaturesAndRevisionsShareASegment) {
  auto capture = open();
  CapturedRequest mixed = request(1, "digits", 2);
  mixed.features = {"size"};
  mixed.rows = {1.5, 2.5};
  mixed.text_features = {"colour", "shape"};
  mixed.texts = {"red", "round", "", "caf\xc3\xa9"};
  mixed.labels = {"x", "y"};
  mixed.scores = {};
  mixed.row_count = 2;
  capture->record(request(0));
  capture->record(mixed);
  capture->flush();
  auto batch = capture->read(1, "digits", {}, 10);
  ASSERT_EQ(batch->requests.size(), 2u);
  EXPECT_EQ(batch->requests[1].revision, 2);
  EXPECT_EQ(batch->requests[1].texts, mixed.texts);
  EXPECT_EQ(batch->requests[1].text_features, mixed.text_features);
  EXPECT_EQ(segments().size(), 1u);
}

TEST_F(CaptureTest, ReopenedItGoesOn) {
  std::string id;
  CapturePosition next;
  {
    auto capture = open();
    id = capture->record(request(1));
    capture->flush();
    next = capture->read(1, "digits", {}, 10)->next;
  }
  auto capture = open();
  EXPECT_TRUE(capture->find(id)->has_value());
  EXPECT_TRUE(capture->read(1, "digits", next, 10)->requests.empty());
  const std::string second = capture->record(request(2));
  capture->flush();
  EXPECT_GT(second, id);
  auto batch = capture->read(1, "digits", next, 10);
  ASSERT_EQ(batch->requests.size(), 1u);
  EXPECT_EQ(batch->requests[0].id, second);
  EXPECT_EQ(capture->read(1, "digits", {}, 10)->requests.size(), 2u);
}

// A crash leaves a file without its footer, cut anywhere: every whole record survives, the rest is cut off.
TEST_F(CaptureTest, TornTailsAreCutOff) {
  {
    auto capture = open();
    for (int i = 0; i < 20; ++i) capture->record(request(i));
  }
  const fs::path file = segments().at(0);
  const std::string whole = base::read_file(file).value();
  const size_t footer = *format::decode_trailer(std::string_view(whole).substr(whole.size() - format::kTrailerBytes));
  for (size_t size : {footer, footer - 1, footer - 50, footer - 200, whole.size() - 3, size_t{40}, size_t{0}}) {
    ASSERT_TRUE(base::write_file_durably(file, std::string_view(whole).substr(0, size)));
    {
      auto capture = open();
      const auto batch = capture->read(1, "digits", {}, 100);
      ASSERT_TRUE(batch);
      const size_t lost = size >= footer ? 0 : (footer - size + 143) / 144;  // about 144 bytes a record here
      EXPECT_LE(batch->requests.size(), 20u - std::min<size_t>(lost, 20) + 1);
      if (size >= footer) EXPECT_EQ(batch->requests.size(), 20u);
      for (size_t i = 0; i < batch->requests.size(); ++i) EXPECT_EQ(batch->requests[i].rows[0], static_cast<double>(i));
    }
    for (const auto& other : segments()) {
      if (other != file) fs::remove(other);
    }
  }
  EXPECT_GT(counter("lathe_capture_cut_bytes_total"), 0u);
}

TEST_F(CaptureTest, DamageInTheMiddleLosesOnlyWhatFollows) {
  auto capture = open();
  for (int i = 0; i < 20; ++i) capture->record(request(i));
  capture->flush();
  const fs::path file = segments().at(0);
  {
    base::Fd fd = base::open_file(file, O_RDWR).value();
    ASSERT_EQ(::pwrite(fd.get(), "X", 1, 1500), 1);
  }
  auto batch = capture->read(1, "digits", {}, 100);
  ASSERT_TRUE(batch);
  EXPECT_GT(batch->requests.size(), 2u);
  EXPECT_LT(batch->requests.size(), 20u);
  EXPECT_TRUE(capture->read(1, "digits", batch->next, 100)->requests.empty());
}

TEST_F(CaptureTest, PastItsLimitsARecordIsDroppedAndCounted) {
  Capture::Options options;
  options.ring_bytes = 4096;
  options.record_bytes = 2048;
  auto capture = open(options);
  CapturedRequest large = request(1);
  large.rows.assign(2 * 500, 1.0);
  large.row_count = 500;
  capture->record(large);
  EXPECT_EQ(counter("lathe_capture_dropped_total", {{"reason", "too_large"}}), 1u);
  const int sent = 20'000;
  for (int i = 0; i < sent; ++i) capture->record(request(i));
  capture->flush();
  const uint64_t kept = counter("lathe_capture_records_total");
  const uint64_t dropped = counter("lathe_capture_dropped_total", {{"reason", "queue_full"}});
  EXPECT_EQ(kept + dropped, static_cast<uint64_t>(sent));
  EXPECT_GT(dropped, 0u);
  EXPECT_EQ(capture->read(1, "digits", {}, 100'000)->requests.size(), kept);
}

TEST_F(CaptureTest, ManyThreadsLoseNothingAndMintNoIdTwice) {
  Capture::Options options;
  options.segment_bytes = 50'000;
  auto capture = open(options);
  constexpr int kThreads = 4, kEach = 2000;
  std::vector<std::vector<std::string>> ids(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i)
        ids[static_cast<size_t>(t)].push_back(capture->record(request(i, "ep" + std::to_string(i % 3))));
    });
  }
  for (auto& thread : threads) thread.join();
  capture->flush();
  std::set<std::string> all, read;
  for (const auto& list : ids) all.insert(list.begin(), list.end());
  EXPECT_EQ(all.size(), size_t{kThreads} * kEach);
  for (int e = 0; e < 3; ++e) {
    for (const auto& one : capture->read(1, "ep" + std::to_string(e), {}, 100'000)->requests) read.insert(one.id);
  }
  EXPECT_EQ(read, all);
}

TEST_F(CaptureTest, RetentionTakesTheOldest) {
  Capture::Options options;
  options.segment_bytes = 2000;
  {
    auto capture = open(options);
    for (int i = 0; i < 200; ++i) {
      capture->record(request(i));
      if (i % 10 == 0) capture->flush();
    }
  }
  const size_t before = segments().size();
  options.keep_bytes = 6000;
  options.keep_us = int64_t{1} << 60;
  auto capture = open(options);
  capture->flush();
  EXPECT_LT(segments().size(), before);
  auto batch = capture->read(1, "digits", {}, 1000);
  ASSERT_FALSE(batch->requests.empty());
  EXPECT_EQ(batch->requests.back().rows[0], 199);
  EXPECT_GT(batch->requests.front().rows[0], 100);
}

TEST_F(CaptureTest, SeekFindsATime) {
  Capture::Options options;
  options.segment_bytes = 1000;
  auto capture = open(options);
  for (int i = 0; i < 50; ++i) {
    capture->record(request(i));
    capture->flush();
  }
  const CapturePosition from = capture->seek(1, "digits", request(30).at_us);
  auto batch = capture->read(1, "digits", from, 1);
  EXPECT_LE(batch->requests[0].rows[0], 30);
  EXPECT_GT(batch->requests[0].rows[0], 15);
  EXPECT_TRUE(capture->read(1, "digits", capture->seek(1, "digits", request(99).at_us), 10)->requests.empty());
}

TEST_F(CaptureTest, WhatIsRedactedIsNowhereOnDisk) {
  auto capture = open();
  const CaptureSource source{.project = 1,
                             .endpoint = "digits",
                             .revision = 1,
                             .features = {"a", "b", "c"},
                             .text_features = {"name", "town"}};
  CaptureStream& stream = capture->stream(source, {.redact = {"b", "name", "client_id"}});
  const std::vector<double> rows = {1, 4711.25, 3, 4, 4711.25, 6};
  const std::vector<std::string> texts = {"Ada Secret", "Paris", "Ada Secret", "Rome"}, labels = {"x", "y"};
  capture->record(stream, {.id = capture->new_id(stream, start_us),
                           .client_id = "Client Secret",
                           .at_us = start_us,
                           .row_count = 2,
                           .rows = rows,
                           .texts = texts,
                           .labels = labels});
  capture->flush();
  const auto batch = capture->read(1, "digits", {}, 10);
  ASSERT_EQ(batch->requests.size(), 1u);
  const CapturedRequest& kept = batch->requests[0];
  EXPECT_EQ(kept.features, (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(kept.rows, (std::vector<double>{1, 3, 4, 6}));
  EXPECT_EQ(kept.text_features, (std::vector<std::string>{"town"}));
  EXPECT_EQ(kept.texts, (std::vector<std::string>{"Paris", "Rome"}));
  EXPECT_EQ(kept.redacted, (std::vector<std::string>{"b", "name", "client_id"}));
  EXPECT_EQ(kept.client_id, "");
  const std::string bytes = base::read_file(segments().at(0)).value();
  const double secret = 4711.25;
  EXPECT_EQ(bytes.find("Secret"), std::string::npos);
  EXPECT_EQ(bytes.find(std::string(reinterpret_cast<const char*>(&secret), sizeof secret)), std::string::npos);
}

TEST_F(CaptureTest, ASampledShareIsKeptAndSaysSo) {
  Capture::Options options;
  options.ring_bytes = size_t{4} << 20;
  auto capture = open(options);
  const CaptureSource source{.project = 1, .endpoint = "digits", .revision = 1, .features = {"a"}};
  CaptureStream& stream = capture->stream(source, {.sample = 0.25});
  const std::vector<double> row = {1};
  const std::vector<std::string> label = {"x"};
  constexpr int kSent = 20'000;
  for (int i = 0; i < kSent; ++i)
    capture->record(stream, {.id = capture->new_id(stream, start_us + i * 10),
                             .at_us = start_us + i * 10,
                             .row_count = 1,
                             .rows = row,
                             .labels = label});
  capture->flush();
  const auto batch = capture->read(1, "digits", {}, kSent);
  const auto kept = static_cast<double>(batch->requests.size());
  EXPECT_NEAR(kept, kSent * 0.25, 4 * std::sqrt(kSent * 0.25 * 0.75));  // 4 standard deviations
  EXPECT_EQ(kept + static_cast<double>(counter("lathe_capture_sampled_out_total")), kSent);
  EXPECT_EQ(batch->requests[0].sample, 0.25);
}

TEST(CaptureFormat, IdsCarryTheirPlace) {
  const format::IdParts parts{.writer = 0x2abc, .segment = 0xabcdef, .slot = 0x42, .sequence = 0x0fedcba9};
  const base::Uuid id = format::make_id(1'700'000'000'123'000, parts);
  EXPECT_EQ(id[6] >> 4, 7);
  EXPECT_EQ(id[8] >> 6, 2);
  EXPECT_EQ(base::uuid7_ms(id), 1'700'000'000'123);
  const format::IdParts back = format::parse_id(id);
  EXPECT_EQ(back.writer, parts.writer);
  EXPECT_EQ(back.segment, parts.segment);
  EXPECT_EQ(back.slot, parts.slot);
  EXPECT_EQ(back.sequence, parts.sequence);
}

TEST(CaptureFormat, AGraphsRecordsSayTheirWay) {
  const CaptureSource source{.features = {"a"}, .routed = true};
  const std::vector<double> rows = {1.5}, scores = {0.5};
  const std::vector<std::string> labels = {"yes"};
  for (const std::string_view route : {std::string_view(R"({"steps":[]})"), std::string_view()}) {
    const CaptureRecord record{.row_count = 1, .rows = rows, .labels = labels, .scores = scores, .route = route};
    std::string payload(format::request_bytes(record), '\0');
    format::encode_request(record, payload.data());
    const auto back = format::decode_request(payload, source);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->route, route);
    EXPECT_TRUE(back->routed);
    EXPECT_EQ(format::decode_request(payload, {.features = {"a"}}).has_value(), route.empty());
  }
  uint32_t number = 0;
  EXPECT_TRUE(format::decode_source(format::encode_source(3, source), {}, number)->routed);
}

TEST(CaptureFormat, DamagedPayloadsAreRefused) {
  const CaptureSource source{.project = 1, .endpoint = "e", .revision = 1, .features = {"a", "b"}};
  const std::vector<double> rows = {1, 2};
  const std::vector<std::string> labels = {"x"};
  const CaptureRecord record{.row_count = 1, .rows = rows, .labels = labels};
  std::string payload(format::request_bytes(record), 0);
  format::encode_request(record, payload.data());
  ASSERT_TRUE(format::decode_request(payload, source));
  for (size_t i = 0; i < payload.size(); ++i) EXPECT_FALSE(format::decode_request(payload.substr(0, i), source));
  for (size_t i = 32; i < 56; ++i) {
    std::string changed = payload;
    changed[i] = '\xff';
    (void)format::decode_request(changed, source);
  }
}

}  // namespace
}  // namespace serve
