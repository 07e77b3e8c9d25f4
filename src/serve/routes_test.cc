#include "serve/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace serve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

LivePtr live(int64_t project, const char* name, const char* version, base::Registry* metrics = nullptr) {
  auto out = std::make_shared<LiveEndpoint>();
  out->project = project;
  out->name = name;
  out->version = version;
  out->cold = true;  // can answer
  if (metrics) add_instruments(*out, *metrics, {{"model", name}, {"version", version}});
  return out;
}

TEST(Routes, ANameIsItsNewestVersionUnlessOneIsAskedFor) {
  RouteSnapshot routes;
  routes.endpoints = {live(1, "b", "2"), live(1, "a", "9"), live(2, "a", "1"), live(1, "a", "10"), live(1, "a", "1")};
  routes.sort();
  EXPECT_EQ((*routes.find(1, "a"))->version, "10");
  EXPECT_EQ((*routes.find(1, "a", "9"))->version, "9");
  EXPECT_EQ((*routes.find(2, "a"))->version, "1");
  EXPECT_EQ(routes.find(1, "a", "2"), nullptr);
  EXPECT_EQ(routes.find(1, "c"), nullptr);
  EXPECT_EQ(routes.find(3, "a"), nullptr);
  std::vector<std::string> versions;
  for (const LivePtr& each : routes.versions(1, "a")) versions.push_back(each->version);
  EXPECT_THAT(versions, ElementsAre("10", "9", "1"));
  auto broken = std::make_shared<LiveEndpoint>(*live(1, "a", "11"));
  broken->cold = false;
  routes.endpoints.push_back(broken);
  routes.sort();
  EXPECT_EQ((*routes.find(1, "a"))->version, "10") << "the newest that can answer";
  EXPECT_EQ((*routes.find(1, "a", "11"))->version, "11");
  EXPECT_EQ(routes.find(1, ""), nullptr) << "nothing is the default";
  routes.defaults = {*routes.find(1, "b")};
  EXPECT_EQ((*routes.find(1, ""))->name, "b");
  EXPECT_EQ(routes.find(1, "", "7"), nullptr);
}

TEST(Routes, TritonsNamesTellTheSameNumbers) {
  base::Registry metrics;
  const LivePtr one = live(1, "a\"b\\c\n", "1", &metrics);
  one->requests->add(5);
  one->failures->add(2);
  one->rows->add(30);
  one->seconds->observe(0.25);
  std::string text;
  append_triton_metrics(text, {one});
  EXPECT_THAT(text, HasSubstr("nv_inference_request_success{model=\"a\\\"b\\\\c\\n\",version=\"1\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("nv_inference_request_failure{model=\"a\\\"b\\\\c\\n\",version=\"1\"} 2\n"));
  EXPECT_THAT(text, HasSubstr(",version=\"1\"} 30\n"));
  EXPECT_THAT(text,
              HasSubstr("nv_inference_compute_infer_duration_us{model=\"a\\\"b\\\\c\\n\",version=\"1\"} 250000\n"));
}

}  // namespace
}  // namespace serve
