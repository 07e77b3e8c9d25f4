#include "net/router.h"

#include <gtest/gtest.h>

namespace net {
namespace {

Route route(Method method, std::string pattern) {
  return {method, std::move(pattern), Protocol::kLathe, base::Permission::kRead, {}, nullptr};
}

std::string found(const RouteTable& table, Method method, std::string_view path) {
  const auto match = table.find(method, path);
  if (match.route == nullptr) return match.path_known ? "405" : "404";
  std::string out = match.route->pattern;
  for (const auto& [name, value] : match.params) out += " " + name + "=" + value;
  return out;
}

TEST(Router, LiteralsCapturesSuffixesAndRest) {
  RouteTable table;
  for (const char* pattern :
       {"/", "/v2/models/{name}", "/v2/models/{name}/infer", "/v2/models/stats", "/v1/models/{name}:predict",
        "/v1/models/{name}", "/files/{path...}", "/files/index", "/data/{a}/x/{b}"}) {
    table.add(route(Method::kGet, pattern));
  }
  table.add(route(Method::kPost, "/v2/models/{model}/infer"));
  EXPECT_EQ(found(table, Method::kGet, "/"), "/");
  EXPECT_EQ(found(table, Method::kGet, "/v2/models/digits"), "/v2/models/{name} name=digits");
  EXPECT_EQ(found(table, Method::kGet, "/v2/models/stats"), "/v2/models/stats");
  EXPECT_EQ(found(table, Method::kGet, "/v2/models/stats/infer"), "/v2/models/{name}/infer name=stats") << "backtracks";
  EXPECT_EQ(found(table, Method::kPost, "/v2/models/m/infer"), "/v2/models/{model}/infer model=m")
      << "own names per method";
  EXPECT_EQ(found(table, Method::kGet, "/v1/models/a:b:predict"), "/v1/models/{name}:predict name=a:b");
  EXPECT_EQ(found(table, Method::kGet, "/v1/models/a:explain"), "/v1/models/{name} name=a:explain");
  EXPECT_EQ(found(table, Method::kGet, "/v1/models/:predict"), "/v1/models/{name} name=:predict");
  EXPECT_EQ(found(table, Method::kGet, "/files/a/b/c"), "/files/{path...} path=a/b/c");
  EXPECT_EQ(found(table, Method::kGet, "/files/index"), "/files/index");
  EXPECT_EQ(found(table, Method::kGet, "/files/"), "404");
  EXPECT_EQ(found(table, Method::kGet, "/files"), "404");
  EXPECT_EQ(found(table, Method::kGet, "/data/1/x/2"), "/data/{a}/x/{b} a=1 b=2");
  EXPECT_EQ(found(table, Method::kGet, "/data/1/y/2"), "404");
  EXPECT_EQ(found(table, Method::kGet, "/v2/models//infer"), "404") << "a capture is never empty";
  EXPECT_EQ(found(table, Method::kHead, "/v2/models/stats"), "/v2/models/stats") << "HEAD is GET";
  EXPECT_EQ(found(table, Method::kDelete, "/v2/models/stats"), "405");
  EXPECT_EQ(found(table, Method::kGet, ""), "404");
}

TEST(Router, AFallbackClaimsNoPath) {
  RouteTable table;
  const auto add = [&](Method method, const char* pattern) {
    table.add({method, pattern, Protocol::kBento, base::Permission::kInfer, {}, nullptr});
  };
  add(Method::kGet, "/health");
  table.add_fallback({Method::kPost, "/{api}", Protocol::kBento, base::Permission::kInfer, {}, nullptr});
  EXPECT_FALSE(table.find(Method::kPost, "/a/b").path_known) << "one segment";
  EXPECT_EQ(found(table, Method::kPost, "/summarize"), "/{api} api=summarize");
  EXPECT_FALSE(table.find(Method::kGet, "/summarize").path_known) << "404, not 405";
  const auto theirs = table.find(Method::kPost, "/health");
  EXPECT_TRUE(theirs.path_known && theirs.route == nullptr) << "405: it is somebody else's";
}

TEST(Router, DeepPathsStayCheap) {
  RouteTable table;
  table.add(route(Method::kGet, "/{a}/{b}/x"));
  table.add(route(Method::kGet, "/files/{path...}"));
  std::string deep = "/files";
  for (int i = 0; i < 5000; ++i) deep += "/a";
  EXPECT_EQ(found(table, Method::kGet, deep).substr(0, 16), "/files/{path...}");
  EXPECT_EQ(found(table, Method::kGet, deep.substr(6)), "404");
}

TEST(Router, EveryReservedPrefixHasItsProtocol) {
  const std::pair<const char*, Protocol> expected[] = {{"/api/2.0/mlflow/runs/create", Protocol::kMlflow},
                                                       {"/api/3.0/mlflow/traces", Protocol::kMlflow},
                                                       {"/api/2.0/mlflow-artifacts/artifacts/1/a", Protocol::kMlflow},
                                                       {"/ajax-api/2.0/mlflow/runs/get", Protocol::kMlflow},
                                                       {"/graphql", Protocol::kMlflow},
                                                       {"/get-artifact", Protocol::kMlflow},
                                                       {"/model-versions/get-artifact", Protocol::kMlflow},
                                                       {"/v1/traces", Protocol::kMlflow},
                                                       {"/version", Protocol::kMlflowText},
                                                       {"/api/v2/dags", Protocol::kAirflow},
                                                       {"/ui/dags", Protocol::kAirflow},
                                                       {"/execution/task", Protocol::kAirflow},
                                                       {"/auth/token", Protocol::kAirflow},
                                                       {"/v2", Protocol::kInference},
                                                       {"/v2/models/m/infer", Protocol::kInference},
                                                       {"/inference.GRPCInferenceService/ModelInfer", Protocol::kGrpc},
                                                       {"/grpc.health.v1.Health/Check", Protocol::kGrpc},
                                                       {"/v1/models/m:predict", Protocol::kKserveV1},
                                                       {"/api/v1.0/predictions", Protocol::kSeldon},
                                                       {"/api/v0.1/feedback", Protocol::kSeldon},
                                                       {"/endpoints/digits/invocations", Protocol::kMlflowScoring},
                                                       {"/invocations", Protocol::kMlflowScoring},
                                                       {"/ping", Protocol::kMlflowScoring},
                                                       {"/schema.json", Protocol::kBento},
                                                       {"/hub/api", Protocol::kHub},
                                                       {"/user/ann/api/kernels", Protocol::kHub},
                                                       {"/api/lathe/v1/status", Protocol::kLathe},
                                                       {"/", Protocol::kPage},
                                                       {"/p/default", Protocol::kPage},
                                                       {"/admin", Protocol::kPage},
                                                       {"/health", Protocol::kOps},
                                                       {"/metrics", Protocol::kMetrics},
                                                       {"/v20", Protocol::kPage},
                                                       {"/versions", Protocol::kPage},
                                                       {"/healthz", Protocol::kOps}};
  for (const auto& [path, protocol] : expected) EXPECT_EQ(protocol_of(path), protocol) << path;
}

TEST(Groups, HaveTheProbesOfHealthAndWhatTheirNameSays) {
  const auto inference = parse_group("inference");
  ASSERT_TRUE(inference) << inference.error().message;
  EXPECT_TRUE(inference->contains(ProtocolSet{Protocol::kInference, Protocol::kGrpc, Protocol::kOps}));
  for (const Protocol other :
       {Protocol::kLathe, Protocol::kMlflow, Protocol::kPage, Protocol::kMetrics, Protocol::kHub})
    EXPECT_FALSE(inference->contains(other)) << name(other);
  EXPECT_TRUE(parse_group("inference+metrics")->contains(Protocol::kMetrics));
  EXPECT_EQ(parse_group("all"), ProtocolSet::all());
  for (const char* wrong : {"", "inferencing", "inference+", "+", "inference,ui"}) EXPECT_FALSE(parse_group(wrong));
}

TEST(Groups, EveryProtocolIsInOneOfThem) {
  const auto some = parse_group("inference+tracking+api+ui+airflow+metrics+plane");
  ASSERT_TRUE(some);
  for (size_t i = 0; i < kProtocols; ++i)
    EXPECT_TRUE(some->contains(static_cast<Protocol>(i))) << name(static_cast<Protocol>(i)) << " is in no group";
}

TEST(Groups, ATableOfSomeProtocolsKnowsNoPathOfTheOthers) {
  RouteTable routes;
  const auto add = [&](Method method, const char* pattern, Protocol protocol) {
    routes.add({method, pattern, protocol, base::Permission::kNone, {}, {}});
  };
  add(Method::kGet, "/v2/models/{model}", Protocol::kInference);
  add(Method::kPost, "/api/lathe/v1/apply", Protocol::kLathe);
  routes.add_fallback({Method::kGet, "/{path...}", Protocol::kPage, base::Permission::kNone, {}, {}});
  const RouteTable some = routes.only({Protocol::kInference});
  EXPECT_NE(some.find(Method::kGet, "/v2/models/m").route, nullptr);
  for (const char* path : {"/api/lathe/v1/apply", "/", "/p/default"}) {
    EXPECT_EQ(some.find(Method::kGet, path).route, nullptr) << path;
    EXPECT_FALSE(some.find(Method::kGet, path).path_known) << path << ": not even another method is served";
  }
  EXPECT_NE(routes.only(ProtocolSet::all()).find(Method::kGet, "/p/default").route, nullptr);
}

}  // namespace
}  // namespace net
