#include "loop/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/fs.h"
#include "base/json.h"
#include "loop/apply.h"
#include "loop/bundle.h"

namespace loop {
namespace {

using testing::HasSubstr;

constexpr std::string_view kDigits = R"(project: digits
data: {digits: {path: raw/*.csv, label: digit, feedback: true}}
stages:
  train:
    matrix: {model: [logreg, forest]}
    cmd: python train.py ${item.model}
    deps: [train.py, digits]
model: {name: digits, from: train}
evaluate: {metric: accuracy}
gate: {confidence: 0.95, max_regression: 0.02}
endpoint: {name: digits, environment: production}
monitor: {window: 200 rows, labels: feedback}
retrain: {on: [drift, "0 3 * * * Europe/Paris"], cooldown: 1m, min_labels: 200}
)";

base::Result<Config> parse(std::string text, std::map<std::string, std::string> files = {}) {
  files["lathe.yaml"] = text;
  return parse_config(text, "lathe.yaml", files);
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string error_of(std::string_view from, std::string_view to) {
  const auto config = parse(replaced(std::string(kDigits), from, to));
  return config ? "no error" : config.error().message;
}

TEST(Config, AnEndpointSaysHowItsModelIsRun) {
  const std::string text = replaced(std::string(kDigits), "endpoint: {name: digits, environment: production}",
                                    "endpoint:\n  name: digits\n  timeout: 5s\n  python: sklearn-1.3\n"
                                    "  batch: {max_size: 64, max_delay: 2ms, preferred: [16, 32], queue: 100}\n"
                                    "  workers: {min: 0, max: 4, memory_mb: 512, idle: 30s}\n"
                                    "environments: {staging: {endpoint: {timeout: 1s, workers: {max: 1}}}}");
  const auto config = parse(text);
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->environments.size(), 2U);
  serve::ServingSettings want{.min_workers = 0,
                              .max_workers = 4,
                              .memory_mb = 512,
                              .timeout_us = 5'000'000,
                              .idle_us = 30'000'000,
                              .max_rows = 64,
                              .preferred = std::vector<size_t>{16, 32},
                              .max_delay_us = 2000,
                              .queue = 100,
                              .python = "sklearn-1.3"};
  EXPECT_EQ(config->environments[0].serving, want);
  want.timeout_us = 1'000'000;
  want.max_workers = 1;
  EXPECT_EQ(config->environments[1].serving, want) << "what it does not say is said above";
  EXPECT_EQ(parse(std::string(kDigits))->environments[0].serving, serve::ServingSettings()) << "the model's word";
  const auto wrong = [](std::string_view endpoint) {
    return error_of("endpoint: {name: digits, environment: production}", endpoint);
  };
  EXPECT_THAT(wrong("endpoint: {timeout: 5ms}"), HasSubstr("endpoint.timeout: found 5ms; allowed: 10ms to 1h"));
  EXPECT_THAT(wrong("endpoint: {batch: {max_size: 8, preferred: [16]}}"), HasSubstr("endpoint.batch.preferred"));
  EXPECT_THAT(wrong("endpoint: {batch: {preferred: [x]}}"), HasSubstr("a list of whole numbers from 1 to 100000"));
  EXPECT_THAT(wrong("endpoint: {workers: {min: 3, max: 2}}"), HasSubstr("endpoint.workers.min: is 3"));
  EXPECT_THAT(wrong("endpoint: {worker: {min: 3}}"), HasSubstr("did you mean 'workers'"));
  EXPECT_THAT(wrong("endpoint: {workers: 3}"), HasSubstr("endpoint.workers"));
}

TEST(Config, TheDemosFileIsUnderstood) {
  const auto config = parse(std::string(kDigits));
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->project, "digits");
  EXPECT_EQ(config->experiment, "digits");
  EXPECT_EQ(config->evaluate.data, "digits");
  ASSERT_EQ(config->environments.size(), 1U);
  const auto& env = config->environments[0];
  EXPECT_EQ(env.endpoint, "digits");
  EXPECT_DOUBLE_EQ(env.gate.confidence, 0.95);
  EXPECT_EQ(env.gate.min, std::nullopt);
  EXPECT_EQ(env.monitor.window_rows, 200);
  EXPECT_TRUE(env.monitor.labels_from_feedback);
  EXPECT_EQ(env.retrain.alerts, std::vector<std::string>{"drift"});
  EXPECT_EQ(env.retrain.cron, "0 3 * * * Europe/Paris");
  EXPECT_EQ(env.retrain.cooldown_us, 60'000'000);
}

TEST(Config, EveryDefaultIsSaid) {
  const auto config = parse(std::string(kDigits));
  ASSERT_TRUE(config);
  const auto has = [&](const Setting& wanted) {
    return std::find(config->settings.begin(), config->settings.end(), wanted) != config->settings.end();
  };
  EXPECT_TRUE(has({"evaluate.select_on", "valid", 0}));
  EXPECT_TRUE(has({"gate.min_recent_rows", "50", 0}));
  EXPECT_TRUE(has({"monitor.psi", "0.25", 0}));
  EXPECT_TRUE(has({"gate.confidence", "0.95", 10}));
  EXPECT_TRUE(has({"experiment", "digits", 0}));
}

TEST(Config, ErrorsNameFileLineKeyFoundAndAllowed) {
  EXPECT_EQ(error_of("confidence: 0.95", "confidnce: 0.95"),
            "lathe.yaml:10: gate.confidnce: unknown key; did you mean 'confidence'? Allowed: confidence, "
            "max_regression, min, max, min_recent_rows, seed");
  EXPECT_EQ(error_of("confidence: 0.95", "confidence: high"),
            "lathe.yaml:10: gate.confidence: found the text 'high'; allowed: a number from 0.5 to 0.9999");
  EXPECT_THAT(error_of("confidence: 0.95", "confidence: 1.5"),
              HasSubstr("lathe.yaml:10: gate.confidence: found the number 1.5"));
  EXPECT_THAT(error_of("metric: accuracy", "metric: acuracy"),
              HasSubstr("lathe.yaml:9: evaluate.metric: found the text 'acuracy'"));
  EXPECT_THAT(error_of("metric: accuracy", "metric: acuracy"), HasSubstr("did you mean 'accuracy'?"));
  EXPECT_THAT(error_of("cooldown: 1m", "cooldown: soon"), HasSubstr("lathe.yaml:13: retrain.cooldown"));
  EXPECT_THAT(error_of("window: 200 rows", "window: 200"), HasSubstr("'200 rows'"));
  EXPECT_THAT(error_of("from: train", "from: trian"),
              HasSubstr("there is no stage 'trian'; allowed: train; did you mean 'train'?"));
  EXPECT_THAT(error_of("label: digit, ", ""), HasSubstr("lathe.yaml:2: data.digits.label: is missing"));
  EXPECT_THAT(error_of("raw/*.csv", "../raw/*.csv"), HasSubstr("must be a path within the project"));
  EXPECT_THAT(error_of("[drift, ", "[drfit, "), HasSubstr("did you mean 'drift'?"));
  EXPECT_THAT(error_of("project: digits", "project: 'a b'"), HasSubstr("lathe.yaml:1: project"));
  EXPECT_THAT(error_of("project: digits\n", ""), HasSubstr("project: is missing"));
}

TEST(Config, DuplicateKeysAndOldBooleansAreErrors) {
  EXPECT_THAT(error_of("feedback: true", "feedback: yes"), HasSubstr("lathe.yaml:2"));
  EXPECT_THAT(error_of("confidence: 0.95, ", "confidence: 0.95, confidence: 0.9, "), HasSubstr("appears twice"));
  EXPECT_THAT(error_of("feedback: true", "feedback: 1"), HasSubstr("allowed: true or false"));
}

TEST(Config, SectionsSayWhatTheyNeed) {
  EXPECT_THAT(error_of("endpoint: {name: digits, environment: production}\n", ""),
              HasSubstr("needs an 'endpoint' section"));
  EXPECT_THAT(error_of("model: {name: digits, from: train}\n", ""), HasSubstr("needs a 'model' section"));
  EXPECT_THAT(error_of("labels: feedback", "labels: none"), HasSubstr("set monitor.labels: feedback"));
  EXPECT_THAT(error_of(", feedback: true", ""), HasSubstr("set feedback: true"));
}

TEST(Config, EnvironmentsDifferOnlyInTheirOverrides) {
  auto text = replaced(std::string(kDigits), "environment: production", "environment: staging");
  const auto config =
      parse(text + "environments:\n  staging: {gate: {min: 0.9}}\n  production: {monitor: {window: 1h}}\n");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->environments.size(), 2U);
  EXPECT_EQ(config->environments[0].name, "staging");
  EXPECT_EQ(config->environments[0].endpoint, "digits-staging");
  EXPECT_EQ(config->environments[0].gate.min, 0.9);
  EXPECT_EQ(config->environments[1].endpoint, "digits");
  EXPECT_EQ(config->environments[1].gate.min, std::nullopt);
  EXPECT_EQ(config->environments[1].monitor.window_us, 3'600'000'000);
  EXPECT_FALSE(parse(text + "environments: {production: {gate: {minn: 1}}}\n"));
}

TEST(Config, StagesMayStandInDvcYaml) {
  const std::string dvc = "stages:\n  train:\n    cmd: python train.py\n    deps: [train.py, digits]\n";
  const std::string text = "project: p\ndata: {digits: {path: a.csv, label: kind}}\nmodel: {from: train}\n";
  const auto config = parse(text, {{"dvc.yaml", dvc}});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->stages.stages.size(), 1U);
  EXPECT_FALSE(parse(text + "stages: {train: {cmd: x, deps: [digits]}}\n", {{"dvc.yaml", dvc}}));
}

TEST(Config, ThePipelineIsFramedByLathesOwnSteps) {
  const auto config = parse(std::string(kDigits));
  ASSERT_TRUE(config);
  const auto spec = build_pipeline(*config);
  std::vector<std::string> names;
  for (const auto& stage : spec.stages) names.push_back(stage.name);
  EXPECT_EQ(names, (std::vector<std::string>{"prepare:digits", "train@logreg", "train@forest", "evaluate", "gate",
                                             "promote"}));
  EXPECT_TRUE(flow::check(spec)) << flow::check(spec).error().message;
  EXPECT_EQ(spec.cron_params.at("retrain"), "1");
}

TEST(Config, DurationsAreWholeNumbersWithAUnit) {
  EXPECT_EQ(parse_duration_us("90s"), 90'000'000);
  EXPECT_EQ(parse_duration_us("5ms"), 5'000);
  EXPECT_EQ(parse_duration_us("2w"), 1'209'600'000'000);
  EXPECT_EQ(parse_duration_us("1.5h"), std::nullopt);
  EXPECT_EQ(parse_duration_us("s"), std::nullopt);
  EXPECT_EQ(parse_duration_us("99999999999999d"), std::nullopt);
  EXPECT_EQ(format_duration(90'000'000), "90s");
}

// The published schema is the parser's own. After a change of the keys: LATHE_UPDATE=1 loop_test
// --gtest_filter=*Schema*
TEST(Config, PublishedSchemaIsTheParsers) {
  base::Path root = *base::executable_path();
  while (root.has_relative_path() && !std::filesystem::exists(root / "docs/formats/lathe.yaml.md"))
    root = root.parent_path();
  const base::Path file = root / "docs/formats/lathe.schema.json";
  if (std::getenv("LATHE_UPDATE") != nullptr) {
    ASSERT_TRUE(base::write_file_durably(file, config_schema()));
  }
  const auto published = base::read_file(file);
  ASSERT_TRUE(published) << published.error().message;
  EXPECT_EQ(*published, config_schema());
  EXPECT_TRUE(base::parse_json(config_schema()));
}

TEST(Bundle, IdIsOfThePathsBytesAndModes) {
  std::vector<BundleFile> files = {{"b", base::sha256("1"), 1, false}, {"a", base::sha256("2"), 1, false}};
  const auto id = bundle_id(files);
  std::swap(files[0], files[1]);
  EXPECT_EQ(bundle_id(files), id);
  files[0].executable = true;
  EXPECT_NE(bundle_id(files), id);
}

TEST(Bundle, RefusesPathsThatLeaveTheProject) {
  EXPECT_FALSE(check_bundle({{"../a", base::sha256("1"), 1, false}}));
  EXPECT_FALSE(check_bundle({{"/a", base::sha256("1"), 1, false}}));
  EXPECT_FALSE(check_bundle({{"a", base::sha256("1"), 1, false}, {"a", base::sha256("1"), 1, false}}));
  EXPECT_FALSE(check_bundle({}));
}

TEST(Bundle, OutsideGitCachesAreLeftOut) {
  const auto dir = base::make_temp_dir(std::filesystem::temp_directory_path(), "bundle-");
  ASSERT_TRUE(dir);
  for (const char* path : {"train.py", "sub/a.txt", ".lathe/address", "__pycache__/x.pyc", ".venv/bin/python"}) {
    ASSERT_TRUE(base::make_dirs((*dir / path).parent_path()));
    ASSERT_TRUE(base::write_file_durably(*dir / path, path));
  }
  const auto bundle = collect_bundle(*dir);
  ASSERT_TRUE(bundle) << bundle.error().message;
  std::vector<std::string> paths;
  for (const auto& file : bundle->files) paths.push_back(file.path);
  EXPECT_EQ(paths, (std::vector<std::string>{"sub/a.txt", "train.py"}));
  EXPECT_FALSE(bundle->git);
  std::ignore = base::remove_tree(*dir);
}

}  // namespace
}  // namespace loop
