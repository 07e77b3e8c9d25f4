// What travels between a data plane and its control plane comes out as it went in, and what arrives twice is kept once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/clock.h"
#include "base/metrics.h"
#include "blob/migrations.h"
#include "core/migrations.h"
#include "plane/caller.h"
#include "plane/migrations.h"
#include "plane/planes.h"
#include "plane/snapshot.h"
#include "serve/capture.h"
#include "serve/capture_format.h"
#include "serve/migrations.h"
#include "store/testing.h"

namespace plane {
namespace {

using serve::CapturedRequest;
using ::testing::ElementsAre;

TEST(Snapshot, ComesOutAsItWentIn) {
  Snapshot in;
  in.position = {3, 17};
  in.project = 4;
  in.project_name = "vision";
  in.require_login = true;
  serve::Deployment deployment{.project = 4, .project_name = "vision"};
  deployment.endpoint = {.name = "digits", .environment = "production", .is_default = true, .live_revision = 2};
  deployment.endpoint.generation = 9;
  deployment.endpoint.capture = {.sample = 0.25, .redact = {"age"}, .keep_us = 5};
  deployment.endpoint.traffic = {.parts = {{2, 9000}, {1, 1000}}, .shadow = 3, .shadow_share = 50, .sticky = "x-user"};
  deployment.live = {.endpoint = "digits", .number = 2, .model_name = "m", .model_version = 7, .artifact_root = "r/2"};
  deployment.live.transform_digest = base::sha256("t").hex();
  deployment.others = {{.endpoint = "digits", .number = 1, .model_name = "m", .artifact_root = "r/1"}};
  in.deployments = {deployment};
  in.files["r/2"] = {{.root = "r/2", .path = "a/model.onnx", .size = 3, .digest = base::sha256("x")}};
  in.files["r/1"] = {
      {.root = "r/1", .path = "m", .size = 1, .location = blob::Location::kPlainFolder, .address = "/elsewhere/m"}};

  const auto out = snapshot_of_json(to_json(in));
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(out->position, in.position);
  EXPECT_EQ(out->project_name, "vision");
  EXPECT_TRUE(out->require_login);
  const serve::Deployment* found = out->find("digits");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(serve::to_json(*found), serve::to_json(deployment));
  EXPECT_EQ(found->endpoint.traffic, deployment.endpoint.traffic);
  EXPECT_EQ(found->endpoint.capture, deployment.endpoint.capture);
  EXPECT_EQ(out->files.at("r/2")[0].digest, base::sha256("x"));
  // A path of the control plane's machine is none of the plane's: it must not be read there.
  EXPECT_EQ(out->files.at("r/1")[0].location, blob::Location::kExternal);
  EXPECT_EQ(out->find("other"), nullptr);
  EXPECT_FALSE(snapshot_of_json("{}"));
  EXPECT_FALSE(snapshot_of_json("[1"));
}

TEST(Caller, ComesOutAsItWentIn) {
  const Caller app{.actor = {base::ActorKind::kService, "service:app", ""},
                   .in_project = true,
                   .permissions = {base::Permission::kInfer},
                   .expires_us = 12};
  const std::vector<std::optional<Caller>> in{std::nullopt, app};
  const auto out = callers_of_json(to_json(in));
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(*out, in);
}

class PlanesTest : public store::testing::EngineTest {
 protected:
  PlanesTest() : EngineTest({core::migrations(), blob::migrations(), serve::migrations(), migrations()}) {}

  base::Result<Plane> report(const std::string& id, const std::string& principal, std::optional<uint16_t> writer = {}) {
    auto context = ctx();
    context.actor.name = principal;
    return store_->write_blocking(context, [&](store::Tx& tx) {
      return record_report(tx, id, {.name = "edge", .started_us = 1, .writer = writer}, 77);
    });
  }
};

TEST_P(PlanesTest, ARowBelongsToWhoMadeItAndItsNumberIsItsOwn) {
  const std::string one = base::make_id("pn", base::system_random(), 1),
                    two = base::make_id("pn", base::system_random(), 2);
  const auto first = report(one, "service:edge");
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(report(one, "service:edge")->writer, first->writer);
  EXPECT_EQ(report(one, "service:other").error().code, base::Code::kForbidden);
  EXPECT_EQ(report("pn_x", "service:edge").error().code, base::Code::kInvalid);
  EXPECT_EQ(report(two, "service:other", 77).error().code, base::Code::kConflict) << "the server's own";
  EXPECT_EQ(report(two, "service:other", first->writer).error().code, base::Code::kConflict);
  ASSERT_TRUE(write([&](store::Tx& tx) { return forget_plane(tx, one); }));
  EXPECT_EQ(read([&](store::Tx& tx) { return get_plane(tx, one); }).error().code, base::Code::kNotFound);
  EXPECT_EQ(report(one, "service:edge", first->writer)->writer, first->writer) << "it was not gone after all";
}

TEST_P(PlanesTest, LagAndServedFiles) {
  const base::Digest digest = base::sha256("model");
  ASSERT_TRUE(write([&](store::Tx& tx) -> base::Result<void> {
    TRY(serve::ensure_endpoint(tx, "digits", "production"));
    TRY(blob::put_artifact(tx, {.root = "r", .path = "m.onnx", .size = 5, .digest = digest}));
    TRY(serve::add_revision(tx, {.endpoint = "digits", .model_name = "m", .model_version = 1, .artifact_root = "r"}));
    TRY(serve::set_live(tx, "digits", 1, 0, false));
    return {};
  }));
  EXPECT_TRUE(read([&](store::Tx& tx) { return is_served_file(tx, digest); }).value());
  EXPECT_FALSE(read([&](store::Tx& tx) { return is_served_file(tx, base::sha256("other")); }).value());
  const auto snapshot = read([](store::Tx& tx) { return take_snapshot(tx); });
  ASSERT_TRUE(snapshot) << snapshot.error().message;
  ASSERT_NE(snapshot->find("digits"), nullptr);
  EXPECT_EQ(snapshot->files.at("r").size(), 1);
  EXPECT_TRUE(read([&](store::Tx& tx) { return core::are_all_kept(tx, snapshot->position); }).value());

  Plane plane{.report = {.endpoints = {{.name = "digits", .revision = 1, .generation = 0}}}};
  const auto lag = [&] {
    return read([&](store::Tx& tx) -> base::Result<std::vector<EndpointLag>> { return lag_of(tx, plane); }).value();
  };
  ASSERT_EQ(lag().size(), 1);
  EXPECT_FALSE(lag()[0].current());
  plane.report.endpoints[0].generation = lag()[0].generation;
  EXPECT_TRUE(lag()[0].current());
  plane.report.endpoints.clear();
  EXPECT_FALSE(lag().at(0).current()) << "an endpoint that it does not have";
}

INSTANTIATE_TEST_SUITE_P(Engines, PlanesTest, store::testing::engines(), store::testing::engine_name);

TEST(Report, ComesOutAsItWentIn) {
  const Report in{.name = "edge",
                  .version = "1",
                  .address = "https://10.0.0.1:8000",
                  .started_us = 5,
                  .position = {0, 8},
                  .endpoints = {{.name = "digits", .revision = 2, .generation = 3, .problem = "p"}},
                  .captures_sent = 7,
                  .captures_lost = 1};
  const auto out = report_of_json(to_json(in));
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(to_json(*out), to_json(in));
  EXPECT_FALSE(report_of_json(R"({"name": ")" + std::string(300, 'x') + R"("})"));
}

class AdoptTest : public testing::Test {
 protected:
  AdoptTest() : dir_(base::make_temp_dir(std::filesystem::temp_directory_path(), "plane").value()) {}
  ~AdoptTest() override { (void)base::remove_tree(dir_); }

  // Captures `count` requests in a folder of its own and answers them, as they would be sent.
  std::vector<CapturedRequest> captured_elsewhere(size_t count) {
    auto capture = serve::Capture::open(dir_ / "plane", metrics_).value();
    for (size_t i = 0; i < count; ++i) {
      capture->record(CapturedRequest{.client_id = "c" + std::to_string(i),
                                      .at_us = base::system_clock().wall_us(),
                                      .duration_us = 3,
                                      .project = 1,
                                      .endpoint = "digits",
                                      .revision = 1 + static_cast<int64_t>(i % 2),
                                      .features = {"a", "b"},
                                      .rows = {1.5, static_cast<double>(i)},
                                      .labels = {"seven"},
                                      .scores = {0.5},
                                      .row_count = 1});
    }
    capture->flush();
    return capture->read(1, "digits", {}, count + 1).value().requests;
  }

  const base::Path dir_;
  base::Registry metrics_;
};

std::vector<std::string> ids_of(const std::vector<CapturedRequest>& requests) {
  std::vector<std::string> out;
  for (const CapturedRequest& one : requests) out.push_back(one.id);
  return out;
}

TEST_F(AdoptTest, AGraphsRecordsKeepTheWayTheyTook) {
  auto made = captured_elsewhere(1);
  made[0].routed = true;
  made[0].route = R"({"steps":[]})";
  const auto sent =
      serve::format::unpack_requests(serve::format::pack_requests(made), {.project = 1, .endpoint = "digits"});
  ASSERT_TRUE(sent) << sent.error().message;
  auto home = serve::Capture::open(dir_ / "home", metrics_).value();
  ASSERT_TRUE(home->adopt(*sent));
  const auto kept = home->find(made[0].id).value();
  ASSERT_TRUE(kept);
  EXPECT_TRUE(kept->routed);
  EXPECT_EQ(kept->route, made[0].route);
}

TEST_F(AdoptTest, KeepsEachOnceUnderItsIdAndFindsItAfterARestart) {
  const auto made = captured_elsewhere(20);
  ASSERT_EQ(made.size(), 20);
  const auto sent =
      serve::format::unpack_requests(serve::format::pack_requests(made), {.project = 5, .endpoint = "digits"});
  ASSERT_TRUE(sent) << sent.error().message;
  EXPECT_EQ(ids_of(*sent), ids_of(made));

  auto home = serve::Capture::open(dir_ / "home", metrics_).value();
  const std::span all(*sent);
  ASSERT_TRUE(home->adopt(all.first(12)));
  ASSERT_TRUE(home->adopt(all.first(15)));  // the answer was lost, and more was sent
  home.reset();
  home = serve::Capture::open(dir_ / "home", metrics_).value();
  ASSERT_TRUE(home->adopt(all));

  const auto kept = home->read(5, "digits", {}, 100).value().requests;
  EXPECT_EQ(ids_of(kept), ids_of(made)) << "each once, in its order";
  for (const CapturedRequest& one : made) {
    const auto found = home->find(one.id);
    ASSERT_TRUE(found && *found) << one.id;
    EXPECT_EQ((*found)->project, 5);
    EXPECT_EQ((*found)->client_id, one.client_id);
    EXPECT_EQ((*found)->rows, one.rows);
    EXPECT_EQ((*found)->labels, one.labels);
    EXPECT_EQ((*found)->revision, one.revision);
  }
  EXPECT_THAT(home->endpoints(), ElementsAre(std::pair<int64_t, std::string>(5, "digits")));
}

TEST_F(AdoptTest, KeepsWhatWasSampledAndRedactedThereAsItIs) {
  auto made = captured_elsewhere(1);
  made[0].sample = 1e-9;  // its id would hardly be drawn here
  made[0].redacted = {"age"};
  const auto sent =
      serve::format::unpack_requests(serve::format::pack_requests(made), {.project = 1, .endpoint = "digits"});
  ASSERT_TRUE(sent);
  auto home = serve::Capture::open(dir_ / "home", metrics_).value();
  ASSERT_TRUE(home->adopt(*sent));
  const auto kept = home->read(1, "digits", {}, 10).value().requests;
  ASSERT_EQ(kept.size(), 1);
  EXPECT_EQ(kept[0].sample, 1e-9);
  EXPECT_THAT(kept[0].redacted, ElementsAre("age"));
}

TEST(PackedRequests, WhatIsDamagedIsRefused) {
  const serve::format::FileHeader header{.project = 1, .endpoint = "digits"};
  const std::string good = serve::format::pack_requests(
      std::vector<CapturedRequest>{{.id = serve::prediction_id(base::Uuid{1}), .endpoint = "digits", .row_count = 0}});
  ASSERT_TRUE(serve::format::unpack_requests(good, header));
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] ^= 0x20;
    const auto read = serve::format::unpack_requests(bad, header);
    ASSERT_FALSE(read) << i;
    EXPECT_EQ(read.error().code, base::Code::kInvalid);
    const auto cut = serve::format::unpack_requests(good.substr(0, i), header);
    EXPECT_TRUE(!cut || cut->empty()) << i;
  }
}

}  // namespace
}  // namespace plane
