#include "hooks/hooks.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>

#include "core/migrations.h"
#include "hooks/courier.h"
#include "hooks/deliveries.h"
#include "hooks/migrations.h"
#include "hooks/public_address.h"
#include "hooks/secret.h"
#include "store/testing.h"

namespace hooks {
namespace {

using base::Code;
using base::Result;
using store::Tx;
using testing::ElementsAre;
using testing::HasSubstr;

bool reaches(const char* text) {
  sockaddr_storage storage{};
  auto* four = reinterpret_cast<sockaddr_in*>(&storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
  } else {
    EXPECT_EQ(inet_pton(AF_INET6, text, &six->sin6_addr), 1) << text;
    six->sin6_family = AF_INET6;
  }
  return is_public(reinterpret_cast<const sockaddr&>(storage));
}

TEST(PublicAddress, OnlyWhatEverybodyReaches) {
  for (const char* yes :
       {"1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.1", "100.63.0.1", "100.128.0.1", "198.17.0.1", "198.20.0.1",
        "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"})
    EXPECT_TRUE(reaches(yes)) << yes;
  for (const char* no : {"0.0.0.0",
                         "0.1.2.3",
                         "10.1.2.3",
                         "100.64.0.1",
                         "127.0.0.1",
                         "127.255.255.254",
                         "169.254.169.254",
                         "172.16.0.1",
                         "172.31.255.255",
                         "192.0.0.8",
                         "192.0.2.1",
                         "192.168.1.1",
                         "198.18.0.1",
                         "198.51.100.1",
                         "203.0.113.9",
                         "224.0.0.1",
                         "239.255.255.250",
                         "240.0.0.1",
                         "255.255.255.255",
                         "::",
                         "::1",
                         "::7f00:1",
                         "::ffff:127.0.0.1",
                         "::ffff:10.0.0.1",
                         "::ffff:169.254.169.254",
                         "64:ff9b::7f00:1",
                         "64:ff9b:1::1",
                         "100::1",
                         "2001::1",
                         "2001:db8::1",
                         "2002:7f00:1::1",
                         "2002:a00:1::1",
                         "fc00::1",
                         "fd12:3456::1",
                         "fe80::1",
                         "fec0::1",
                         "ff02::1",
                         "3fff::1"})
    EXPECT_FALSE(reaches(no)) << no;
  sockaddr_storage local{};
  local.ss_family = AF_UNIX;
  EXPECT_FALSE(is_public(reinterpret_cast<const sockaddr&>(local)));
}

TEST(PublicAddress, ANameThatLeadsHomeIsRefused) {
  const auto checked = check_host_is_public("localhost");
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message, HasSubstr("must not resolve to a non-public IP address"));
  for (const char* trick : {"127.1", "0x7f000001", "2130706433", "0"})
    EXPECT_FALSE(check_host_is_public(trick)) << trick;
}

TEST(Url, WhatAWebhookMayBe) {
  const std::vector<std::string> schemes = {"https"};
  EXPECT_EQ(check_url("https://user:pw@example.org:8443/a?b#c", schemes)->host, "example.org");
  EXPECT_EQ(check_url("HTTPS://[2606:4700::1]/x", schemes)->host, "2606:4700::1");
  EXPECT_EQ(check_url("https://good.example@evil.example/", schemes)->host, "evil.example");
  for (const char* bad : {"", "   ", "http://example.org", "ftp://example.org", "https://", "https:///x", "example.org",
                          "https://a b/", "https://a\\@b/", "https://a\r\nX: y", "javascript:alert(1)"})
    EXPECT_FALSE(check_url(bad, schemes)) << bad;
  EXPECT_FALSE(check_url("https://" + std::string(kUrlBytes, 'a'), schemes));
  EXPECT_THAT(check_url("http://a.b", schemes).error().message,
              HasSubstr("Invalid webhook URL scheme: 'http'. Allowed schemes are: https."));
}

TEST(Secret, IsSignedAsStandardWebhooksSays) {
  // Computed with Python's hmac: base64(hmac_sha256(b"s3cret", b"id.1700000000.{}"))
  EXPECT_EQ(sign("s3cret", "id", "1700000000", "{}"), "v1,E1jT1gXbthS5zn30uBh7ToafsgF7EE2I1cmPPlN15rY=");
}

TEST(Secret, IsSealedForItsHookAlone) {
  const auto sealer = Sealer::make("a key", "");
  ASSERT_TRUE(sealer);
  const auto sealed = sealer->seal("s3cret", "hook-1", base::system_random());
  ASSERT_TRUE(sealed);
  EXPECT_EQ(sealed->find("s3cret"), std::string::npos);
  EXPECT_EQ(*sealer->open(*sealed, "hook-1"), "s3cret");
  EXPECT_FALSE(sealer->open(*sealed, "hook-2"));
  std::string bent = *sealed;
  bent[bent.size() / 2] ^= 1;
  EXPECT_FALSE(sealer->open(bent, "hook-1"));
  EXPECT_FALSE(Sealer::make("another key", "")->open(*sealed, "hook-1"));
  EXPECT_FALSE(sealer->open("short", "hook-1"));
  EXPECT_EQ(*sealer->seal("", "hook-1", base::system_random()), "");
}

TEST(Secret, ItsKeyFileIsMadeOnceAndForItsOwner) {
  const auto dir = base::make_temp_dir(std::filesystem::temp_directory_path(), "hooks-");
  ASSERT_TRUE(dir);
  const base::Path file = *dir / "webhooks.key";
  const auto sealed = Sealer::make("", file)->seal("s3cret", "x", base::system_random());
  ASSERT_TRUE(sealed);
  EXPECT_EQ(*Sealer::make("", file)->open(*sealed, "x"), "s3cret");
  EXPECT_EQ(std::filesystem::status(file).permissions() & std::filesystem::perms::all, std::filesystem::perms(0600));
  ASSERT_TRUE(base::write_file_durably(file, "short"));
  EXPECT_FALSE(Sealer::make("", file));
  ASSERT_TRUE(base::remove_tree(*dir));
}

// --- on both engines ------------------------------------------------------------------------------------------------

class HooksTest : public store::testing::EngineTest {
 protected:
  HooksTest() : EngineTest({core::migrations(), migrations()}) {}

  template <class F>
  auto run(F f) {
    return store_->write_blocking(base::Context::system(clock_), f);
  }
  Hook make(const std::string& name, std::vector<std::string> events = {"registered_model.created"}) {
    const std::string id = make_uuid4(base::system_random());
    auto made = run([&](Tx& tx) {
      return create_hook(
          tx, id, {.name = name, .description = {}, .url = "https://example.org", .active = true, .events = events},
          "");
    });
    EXPECT_TRUE(made) << made.error().message;
    return made ? *made : Hook{};
  }
  base::ManualClock clock_;
};

TEST_P(HooksTest, AHookIsKeptAsItWasGiven) {
  const Hook hook = make("a", {"prompt.created", "alert.raised"});
  EXPECT_EQ(hook.id.size(), 36u);
  EXPECT_EQ(hook.id[14], '4');
  EXPECT_THAT(hook.events, ElementsAre("prompt.created", "alert.raised"));
  const auto changed = run([&](Tx& tx) {
    return change_hook(
        tx, hook.id,
        {.name = {}, .description = "d", .url = {}, .active = false, .events = std::vector<std::string>{"alert.ended"}},
        "sealed");
  });
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->name, "a");
  EXPECT_EQ(changed->description, "d");
  EXPECT_EQ(changed->sealed_secret, "sealed");
  EXPECT_THAT(changed->events, ElementsAre("alert.ended"));
  EXPECT_TRUE(run([&](Tx& tx) -> Result<void> {
    EXPECT_TRUE(listeners(tx, "alert.ended").empty());  // it is switched off
    EXPECT_TRUE(listeners(tx, "prompt.created").empty());
    return {};
  }));
  EXPECT_TRUE(run([&](Tx& tx) { return delete_hook(tx, hook.id); }));
  const auto gone = run([&](Tx& tx) { return get_hook(tx, hook.id); });
  EXPECT_EQ(gone.error().code, Code::kNotFound);
  EXPECT_EQ(gone.error().message, "Webhook with ID " + hook.id + " not found.");
}

TEST_P(HooksTest, AnotherProjectsHookIsNotThere) {
  const Hook hook = make("a");
  auto ctx = base::Context::system(clock_);
  ctx.project = 7;
  const auto other = store_->write_blocking(ctx, [&](Tx& tx) -> Result<Hook> {
    EXPECT_EQ(queue_deliveries(tx, "registered_model.created", "{}").value(), 0);
    return get_hook(tx, hook.id);
  });
  EXPECT_EQ(other.error().code, Code::kNotFound);
}

TEST_P(HooksTest, BadNamesAndEventsAreNamed) {
  const auto attempt = [&](std::string name, std::vector<std::string> events) {
    return run([&](Tx& tx) {
      return create_hook(tx, "id",
                         {.name = name, .description = {}, .url = "https://x", .active = true, .events = events}, "");
    });
  };
  for (const char* bad : {"", "-a", "a-", "a b", "ä"})
    EXPECT_EQ(attempt(bad, {"prompt.created"}).error().code, Code::kInvalid);
  EXPECT_FALSE(attempt(std::string(64, 'a'), {"prompt.created"}));
  EXPECT_THAT(attempt("a", {"no.such"}).error().message, HasSubstr("allowed: registered_model.created"));
  EXPECT_FALSE(attempt("a", {}));
  EXPECT_TRUE(attempt(std::string(63, 'a'), {"prompt.created"}));
}

TEST_P(HooksTest, ADeliveryWaitsIsGivenUpAndSentAgain) {
  const Hook hook = make("a");
  EXPECT_EQ(run([](Tx& tx) { return queue_deliveries(tx, "registered_model.created", R"({"n":1})"); }).value(), 1);
  std::vector<Due> due;
  const auto look = [&] {
    EXPECT_TRUE(run([&](Tx& tx) -> Result<void> {
      due = due_deliveries(tx, 16, 100);
      return {};
    }));
    return due.size();
  };
  ASSERT_EQ(look(), 1u);
  const std::string id = due[0].id;
  const auto later = clock_.wall_us() + 5'000'000;
  EXPECT_TRUE(run([&](Tx& tx) { return finish_attempt(tx, id, {DeliveryState::kWaiting, later, 503, "busy"}); }));
  EXPECT_EQ(look(), 0u);
  EXPECT_FALSE(run([&](Tx& tx) { return begin_attempt(tx, id); })->has_value());  // not yet
  clock_.advance_us(5'000'001);
  EXPECT_EQ(look(), 1u);
  EXPECT_EQ(run([&](Tx& tx) { return send_again(tx, id); }).error().code, Code::kConflict);
  EXPECT_TRUE(run([&](Tx& tx) { return finish_attempt(tx, id, {DeliveryState::kDead, 0, 404, "\xff gone"}); }));
  EXPECT_EQ(look(), 0u);
  const auto dead = run([&](Tx& tx) {
    return list_deliveries(
        tx, {.state = DeliveryState::kDead, .hook = hook.id, .before_us = 0, .before_id = "", .limit = 10});
  });
  ASSERT_EQ(dead->size(), 1u);
  EXPECT_EQ(dead->front().attempts, 2);
  EXPECT_EQ(dead->front().error, "");  // it began with a byte that is no text
  EXPECT_EQ(dead->front().body, R"({"n":1})");
  EXPECT_TRUE(run([&](Tx& tx) { return send_again(tx, id); }));
  EXPECT_EQ(look(), 1u);
  EXPECT_TRUE(run([&](Tx& tx) { return delete_hook(tx, hook.id); }));
  EXPECT_EQ(look(), 0u);
  EXPECT_EQ(run([](Tx& tx) { return trim_deliveries(tx); }).value(), 1);
}

TEST_P(HooksTest, OneHooksQueueLeavesRoomForOthers) {
  make("many");
  make("few", {"prompt.created"});
  EXPECT_TRUE(run([](Tx& tx) -> Result<void> {
    for (int i = 0; i < 50; ++i) TRY(queue_deliveries(tx, "registered_model.created", "{}"));
    TRY(queue_deliveries(tx, "prompt.created", "{}"));
    const auto due = due_deliveries(tx, 4, 100);
    EXPECT_EQ(due.size(), 5u);
    std::set<std::string> hooks;
    for (const Due& one : due) hooks.insert(one.hook);
    EXPECT_EQ(hooks.size(), 2u);
    return {};
  }));
}

TEST_P(HooksTest, ACourierDeliversRetriesAndGivesUp) {
  struct Seen {
    std::mutex mutex;
    std::vector<Parcel> parcels;
  } seen;
  std::atomic<int> failures = 2;
  const auto post = [&](const Parcel& parcel) -> Result<Answer> {
    const std::lock_guard lock(seen.mutex);
    seen.parcels.push_back(parcel);
    if (parcel.body.find("poison") != std::string::npos) return Answer{400, "no", {}};
    if (failures-- > 0) return base::fail(Code::kUnavailable, "connection refused");
    return Answer{204, "", {}};
  };
  Translator translator{[](const core::Event& event) { return event.kind == "thing.made"; },
                        [](Tx&, const core::Event& event) -> Result<std::optional<Notice>> {
                          return Notice{"prompt.created", "{\"name\":\"" + event.subject + "\"}"};
                        }};
  make("a", {"prompt.created"});
  base::Registry metrics;
  const auto count = [&](DeliveryState state) {
    return store_
        ->read_blocking(base::Context::system(base::system_clock()),
                        [&](Tx& tx) {
                          return list_deliveries(
                              tx, {.state = state, .hook = "", .before_us = 0, .before_id = "", .limit = 10});
                        })
        ->size();
  };
  {
    Courier courier(*store_, base::system_clock(), metrics, {}, *Sealer::make("k", ""), post, translator);
    for (const char* name : {"good", "poison"}) {
      EXPECT_TRUE(store_->write_blocking(base::Context::system(base::system_clock()), [&](Tx& tx) -> Result<void> {
        core::emit(tx, "thing.made", "thing", name);
        core::emit(tx, "thing.ignored", "thing", name);
        return {};
      }));
    }
    for (int i = 0; i < 1000 && count(DeliveryState::kDelivered) + count(DeliveryState::kDead) < 2; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(count(DeliveryState::kDelivered), 1u);
  EXPECT_EQ(count(DeliveryState::kDead), 1u);
  std::set<std::string> ids;
  for (const Parcel& parcel : seen.parcels) {
    if (parcel.body.find("good") == std::string::npos) continue;
    EXPECT_THAT(parcel.body, HasSubstr(R"({"entity":"prompt","action":"created","timestamp":")"));
    ids.insert(parcel.headers[2].second);
  }
  EXPECT_EQ(ids.size(), 1u) << "the id is the same at every attempt";
}

INSTANTIATE_TEST_SUITE_P(Engines, HooksTest, store::testing::engines(), store::testing::engine_name);

}  // namespace
}  // namespace hooks
