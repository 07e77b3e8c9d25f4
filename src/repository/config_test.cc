#include "repository/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "repository/layout.h"

namespace repository {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kSimple = R"(name: "simple"
platform: "onnxruntime_onnx"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "label" data_type: TYPE_INT64 dims: [ ] reshape: { shape: [ ] } } ]
version_policy: { specific: { versions: [ 1, 3 ] } }
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 }
instance_group [ { count: 2 kind: KIND_CPU } ]
)";

std::string problem(std::string_view text, std::string_view folder = "simple") {
  const auto read = read_config(text, "config.pbtxt");
  if (!read) return read.error().message;
  const auto good = check_config(read->config, folder);
  return good ? "" : good.error().message;
}

TEST(Config, IsReadAsTritonWritesIt) {
  const auto read = read_config(kSimple, "config.pbtxt");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->config.max_batch_size(), 8);
  EXPECT_EQ(read->config.input(0).dims(0), 4);
  EXPECT_THAT(read->unknown, IsEmpty());
  EXPECT_EQ(problem(kSimple), "");
  EXPECT_THAT(not_acted_on(read->config, {}), ElementsAre("dynamic_batching"));
  EXPECT_THAT(not_acted_on(read->config, {.batches = true}), IsEmpty()) << "workers take batches";
}

TEST(Config, ErrorsSayFileLineAndColumn) {
  EXPECT_THAT(problem("name: \"simple\"\nmax_batch_size: eight\n"), HasSubstr("config.pbtxt:2:17"));
  EXPECT_THAT(problem("input [ { name: \"X\" "), HasSubstr("config.pbtxt:1:"));
  EXPECT_THAT(problem(std::string("name: \"a\xff\"")), HasSubstr("not UTF-8"));
  EXPECT_THAT(problem(std::string(kMaxConfigBytes + 1, ' ')), HasSubstr("at most"));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "optimization { cuda { graph_spec { ";
  EXPECT_NE(problem(deep), "");
}

TEST(Config, WhatWasReadCanBeWrittenAndReadAgain) {
  for (const std::string_view text : {
           R"(parameters { key: "a" value { string_value: "1" } } parameters { key: "a" value { string_value: "2" } })",
           R"(parameters { key: "" value { string_value: "\001" } } metric_tags { key: "m" } metric_tags { key: "m" })",
           R"(sequence_batching { control_input { control { kind: 99 fp32_false_true: [ inf, nan, 1e-45, 3.5e38 ] } } })",
           R"(dynamic_batching { priority_queue_policy { key: 18446744073709551615 value { timeout_action: -3 } } })",
           R"(model_metrics { metric_control { histogram_options { buckets: [ 5e-324, 1.7976931348623157e308, -0 ] } } })"}) {
    const auto read = read_config(text, "config.pbtxt");
    ASSERT_TRUE(read) << read.error().message;
    std::string json;
    base::JsonWriter writer(json);
    write_config(writer, read->config);
    EXPECT_TRUE(read_config_json(json)) << json << read_config_json(json).error().message;
  }
}

TEST(Config, UnknownFieldsAreNamed) {
  const auto read =
      read_config("name: \"simple\"\nmax_bach_size: 3\nfuture { a: 1 b { c: [1, 2] } }\n", "config.pbtxt");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_THAT(read->unknown, ElementsAre("max_bach_size (line 2)", "future (line 3)"));
}

TEST(Config, WhatCannotBeIsRefused) {
  EXPECT_THAT(problem("name: \"other\""), HasSubstr("its folder is called 'simple'"));
  EXPECT_THAT(problem("max_batch_size: -1"), HasSubstr("max_batch_size is -1"));
  EXPECT_THAT(problem("input { name: \"X\" dims: 4 }"), HasSubstr("has no data_type"));
  EXPECT_THAT(problem("input { name: \"X\" data_type: TYPE_FP32 dims: 0 }"), HasSubstr("a dimension is 0"));
  EXPECT_THAT(problem("input { name: \"X\" data_type: TYPE_FP32 dims: [4] reshape { shape: [5] } }"),
              HasSubstr("another number of elements"));
  EXPECT_THAT(problem("version_policy { latest { num_versions: 0 } }"), HasSubstr("num_versions is 0"));
  EXPECT_THAT(problem("default_model_filename: \"../../etc/passwd\""), HasSubstr("not the plain name"));
  EXPECT_THAT(problem("output { name: \"Y\" data_type: TYPE_FP32 dims: 1 label_filename: \"/etc/passwd\" }"),
              HasSubstr("not a plain relative path"));
  EXPECT_THAT(problem("model_warmup { name: \"w\" inputs { key: \"X\" value { data_type: TYPE_FP32 dims: 4 "
                      "input_data_file: \"../x\" } } }"),
              HasSubstr("not the plain name"));
  EXPECT_THAT(problem("platform: \"ensemble\""), HasSubstr("ensemble_scheduling is absent"));
}

TEST(Config, IsWrittenWithNumbersAsNumbers) {
  const auto read = read_config(kSimple, "config.pbtxt");
  ASSERT_TRUE(read);
  std::string text;
  base::JsonWriter json(text);
  write_config(json, read->config);
  EXPECT_THAT(text, HasSubstr(R"("dims":[4])"));
  EXPECT_THAT(text, HasSubstr(R"("version_policy":{"specific":{"versions":[1,3]}})"));
  EXPECT_THAT(text, HasSubstr(R"("max_queue_delay_microseconds":100)"));
  EXPECT_THAT(text, HasSubstr(R"("data_type":"TYPE_FP32")"));
  const auto again = read_config_json(text);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->config.SerializeAsString(), read->config.SerializeAsString());
}

TEST(Config, NamesOfModelsArePlain) {
  for (const char* good : {"iris", "a.b-c_d", "modèle", "x y"}) EXPECT_TRUE(check_model_name(good)) << good;
  for (const char* bad : {"", ".", "..", ".hidden", "a/b", "/a", "a\\b", "a\nb"})
    EXPECT_FALSE(check_model_name(bad)) << bad;
  EXPECT_FALSE(check_model_name(std::string(kMaxNameBytes + 1, 'a')));
}

TEST(Versions, FollowThePolicy) {
  ModelLayout layout;
  for (const int64_t v : {1, 2, 3, 10}) layout.versions[v] = std::to_string(v);
  const auto chosen = [&](std::string_view policy) {
    std::vector<int64_t> out;
    const auto versions = chosen_versions(read_config(policy, "c")->config, layout);
    if (versions) {
      for (const auto& entry : *versions) out.push_back(entry.first);
    }
    return out;
  };
  EXPECT_THAT(chosen(""), ElementsAre(10));
  EXPECT_THAT(chosen("version_policy { latest { num_versions: 2 } }"), ElementsAre(3, 10));
  EXPECT_THAT(chosen("version_policy { all { } }"), ElementsAre(1, 2, 3, 10));
  EXPECT_THAT(chosen("version_policy { specific { versions: [2, 7] } }"), ElementsAre(2));
  EXPECT_THAT(chosen("version_policy { specific { versions: [7] } }"), IsEmpty());
}

}  // namespace
}  // namespace repository
