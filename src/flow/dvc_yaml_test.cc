#include "flow/dvc_yaml.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "flow/dvc_text.h"

namespace flow {
namespace {

base::Result<PipelineSpec> parse(std::string_view text, std::map<std::string, std::string> files = {}) {
  TRY_SET(const base::yaml::Node root, base::yaml::parse(text, "dvc.yaml"));
  return parse_stages(root, {.file = "dvc.yaml", .data_sets = {"digits"}, .files = std::move(files)});
}

std::vector<std::string> names(const base::Result<PipelineSpec>& spec) {
  std::vector<std::string> out;
  if (!spec) return {spec.error().message};
  for (const StageSpec& stage : spec->stages) out.push_back(stage.name);
  return out;
}

std::string error_of(std::string_view text, std::map<std::string, std::string> files = {}) {
  const auto spec = parse(text, std::move(files));
  return spec ? "(no error)" : spec.error().message;
}

using Names = std::vector<std::string>;

TEST(DvcYaml, AStageWithAllItsKeys) {
  const auto spec = parse(R"(
stages:
  prep:
    cmd: [python prep.py, "echo done # comment"]
    wdir: src
    desc: makes it
    deps: [prep.py, ../raw]
    outs:
      - ../data/clean.csv
      - cache/: {cache: false, desc: scratch}
    metrics: [m.json: {cache: false}]
    plots: [curve.csv: {x: step, y: loss}]
    params: [lr, net.depth, other.yaml: [a], json.json:]
    always_changed: true
    timeout: 90s
    retries: 2
    retry_delay: 1.5 m
    memory: 2GiB
    cpus: 2
    env: {OMP_NUM_THREADS: 1}
  train:
    cmd: python train.py
    deps: [data/clean.csv, digits, train.py]
    frozen: false
)",
                          {{"params.yaml", "lr: 1e-3\nnet: {depth: 3}\n"},
                           {"src/params.yaml", "lr: 1e-3\nnet: {depth: 3}\n"},
                           {"src/other.yaml", "a: yes\n"},
                           {"src/json.json", R"({"k": [1, 2.50]})"}});
  ASSERT_TRUE(spec) << spec.error().message;
  const StageSpec& prep = spec->stages[0];
  EXPECT_EQ(prep.cmd, "(python prep.py\n) &&\n(echo done # comment\n)");
  EXPECT_EQ(prep.cmd_list, (Names{"python prep.py", "echo done # comment"}));
  EXPECT_EQ(prep.wdir, "src");
  EXPECT_EQ(prep.file_deps, (Names{"src/prep.py", "raw"}));
  EXPECT_EQ(prep.outs, (Names{"data/clean.csv", "src/cache", "src/curve.csv"}));
  EXPECT_EQ(prep.metrics, (Names{"src/m.json"}));
  EXPECT_EQ(prep.params,
            (std::map<std::string, std::string>{
                {"lr", "0.001"}, {"net.depth", "3"}, {"other.yaml:a", "yes"}, {"json.json:k", "[1, 2.5]"}}));
  EXPECT_TRUE(prep.always);
  EXPECT_EQ(prep.timeout_us, 90'000'000);
  EXPECT_EQ(prep.retries, 2);
  EXPECT_EQ(prep.retry_delay_us, 90'000'000);
  EXPECT_EQ(prep.resources.memory_bytes, int64_t{2} << 30);
  EXPECT_EQ(prep.resources.cpus, 2);
  EXPECT_EQ(prep.env.at("OMP_NUM_THREADS"), "1");
  const StageSpec& train = spec->stages[1];
  EXPECT_EQ(train.after, (Names{"prep"}));
  EXPECT_EQ(train.file_deps, (Names{"data/clean.csv", "train.py"}));
  ASSERT_EQ(train.data_deps.size(), 1u);
  EXPECT_EQ(train.data_deps[0].name, "digits");
  EXPECT_FALSE(train.data_deps[0].raw);
}

TEST(DvcYaml, InterpolationKeepsTypesAndTurnsMapsIntoFlags) {
  const auto spec = parse(
      R"(
vars:
  - extra.yaml:path
  - {opts: {lr: 0.1, deep: {x: 1}, go: true, no: false, l: [1, two words]}, name: m}
stages:
  a:
    cmd: run ${opts} --n ${epochs} \${HOME} ${list[1].v}
    vars: [{name: inner}]
    deps: ["${path}", "src/${name}.py"]
    frozen: ${flag}
)",
      {{"params.yaml", "epochs: 3\nflag: true\nlist: [{v: 1}, {v: 2}]\n"}, {"extra.yaml", "path: raw\nunused: 1\n"}});
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->stages[0].cmd, "run --lr 0.1 --deep.x 1 --go --l 1 'two words' --n 3 ${HOME} 2");
  EXPECT_EQ(spec->stages[0].file_deps, (Names{"raw", "src/inner.py"}));
  EXPECT_TRUE(spec->stages[0].frozen);
}

TEST(DvcYaml, ForeachAndMatrixNames) {
  EXPECT_EQ(names(parse("stages:\n  a:\n    foreach: [x, 2]\n    do: {cmd: \"echo ${item}\"}\n")),
            (Names{"a@x", "a@2"}));
  EXPECT_EQ(
      names(parse("stages:\n  a:\n    foreach: {uk: {e: 1}, us: {e: 2}}\n    do: {cmd: \"echo ${key} ${item.e}\"}\n")),
      (Names{"a@uk", "a@us"}));
  EXPECT_EQ(names(parse("stages:\n  a:\n    foreach: [{e: 1}, {e: 2}]\n    do: {cmd: \"echo ${item.e}\"}\n")),
            (Names{"a@0", "a@1"}));
  const auto spec = parse(
      "stages:\n  a:\n    matrix: {model: [cnn, xgb], f: \"${fs}\"}\n    cmd: t ${item.model} ${item.f} ${key}\n    "
      "outs: [\"${key}.pkl\"]\n",
      {{"params.yaml", "fs: [1, 2]"}});
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(names(spec), (Names{"a@cnn-1", "a@cnn-2", "a@xgb-1", "a@xgb-2"}));
  EXPECT_EQ(spec->stages[2].cmd, "t xgb 1 xgb-1");
  EXPECT_EQ(spec->stages[2].group, "a");
  EXPECT_EQ(spec->stages[2].env.at("LATHE_PARAM_MODEL"), "xgb");
  EXPECT_EQ(spec->stages[3].outs, (Names{"xgb-2.pkl"}));
}

TEST(DvcYaml, TuneIsSeededAndWithinItsRanges) {
  const std::string text =
      "stages:\n  t:\n    matrix: {m: [a]}\n    cmd: t ${item.c} ${item.d} ${item.k}\n"
      "    tune: {n: 20, seed: 7, params: {c: {log_uniform: [0.01, 10]}, d: {int: [1, 3]}, k: {choice: [p, q]}}}\n";
  const auto spec = parse(text);
  ASSERT_TRUE(spec) << spec.error().message;
  ASSERT_EQ(spec->stages.size(), 20u);
  EXPECT_EQ(spec->stages[0].name, "t@a-t1");
  EXPECT_EQ(spec->stages[19].name, "t@a-t20");
  bool differs = false;
  for (const StageSpec& stage : spec->stages) {
    const double c = std::stod(stage.env.at("LATHE_PARAM_C"));
    EXPECT_TRUE(c >= 0.01 && c <= 10) << c;
    const int d = std::stoi(stage.env.at("LATHE_PARAM_D"));
    EXPECT_TRUE(d >= 1 && d <= 3);
    differs |= stage.cmd != spec->stages[0].cmd;
  }
  EXPECT_TRUE(differs);
  const auto again = parse(text);
  for (size_t i = 0; i < 20; ++i) EXPECT_EQ(again->stages[i].cmd, spec->stages[i].cmd);

  const auto grid = parse(
      "stages:\n  t:\n    cmd: t ${item.d} ${item.u}\n    tune: {method: grid, params: {d: {int: [1, 2]}, u: {uniform: "
      "[0, 1], points: 3}}}\n");
  ASSERT_TRUE(grid) << grid.error().message;
  ASSERT_EQ(grid->stages.size(), 6u);
  EXPECT_EQ(grid->stages[4].cmd, "t 2 0.5");
}

TEST(DvcYaml, ErrorsNameFileLineKeyFoundAndAllowed) {
  EXPECT_EQ(error_of("stages:\n  a:\n    cmd: x\n    dep: [b]\n").substr(0, 56),
            "dvc.yaml:4: stages.a.dep: is unknown; allowed: cmd, wdir");
  EXPECT_EQ(error_of("stages:\n  a: {deps: [b]}\n"), "dvc.yaml:2: stages.a.cmd: is missing; a stage needs a command");
  EXPECT_EQ(error_of("stages:\n  a: {cmd: x, deps: b}\n"),
            "dvc.yaml:2: stages.a.deps: found the text 'b'; allowed: a list");
  EXPECT_EQ(error_of("stages:\n  a: {cmd: x, outs: [../../b]}\n"),
            "dvc.yaml:2: stages.a.outs: found '../../b'; allowed: a path inside the project");
  EXPECT_EQ(error_of("stages:\n  a: {cmd: x, deps: [\"digits:test\"]}\n"),
            "dvc.yaml:2: stages.a.deps: found 'digits:test'; allowed: 'digits' or 'digits:raw'");
  EXPECT_EQ(error_of("stages:\n  a: {cmd: \"x ${lr}\"}\n", {{"params.yaml", "epochs: 1"}}),
            "dvc.yaml:2: stages.a.cmd: found ${lr}, which is not defined; known are epochs (from params.yaml, vars, "
            "and item in foreach and matrix)");
  EXPECT_EQ(error_of("stages:\n  a: {cmd: x, params: [lr]}\n", {{"params.yaml", "epochs: 1"}}),
            "dvc.yaml:2: stages.a.params: 'lr' is not in 'params.yaml'");
  EXPECT_EQ(error_of("stages:\n  a: {cmd: x, timeout: soon}\n"),
            "dvc.yaml:2: stages.a.timeout: found the text 'soon'; allowed: a duration such as 90s, 30m, 2h");
  EXPECT_EQ(error_of("stages:\n  a: {cmd: x, matrix: {m: 3}}\n"),
            "dvc.yaml:2: stages.a.matrix.m: found the number 3; allowed: a list of values");
  EXPECT_NE(
      error_of("stages:\n  a: {cmd: x, matrix: {m: [1, 2]}, outs: [o]}\n").find("for example with ${item} in the path"),
      std::string::npos);
  EXPECT_NE(error_of("stages: []\n").find("allowed: a map from names to stages"), std::string::npos);
}

TEST(DvcYaml, ACycleIsFoundByCheck) {
  auto spec = parse("stages:\n  a: {cmd: x, deps: [q], outs: [p]}\n  b: {cmd: x, deps: [p], outs: [q]}\n");
  ASSERT_TRUE(spec) << spec.error().message;
  spec->name = "p";
  const auto checked = check(*spec);
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().message.find("depends on itself"), std::string::npos);
}

TEST(DvcText, ScalarsAreQuotedWhereTheyWouldReadBackAsSomethingElse) {
  EXPECT_EQ(yaml_scalar("python a.py --x 1"), "python a.py --x 1");
  EXPECT_EQ(yaml_scalar("010"), "'010'");
  EXPECT_EQ(yaml_scalar("a: b"), "'a: b'");
  EXPECT_EQ(yaml_scalar("it's # x"), "'it''s # x'");
  EXPECT_EQ(yaml_scalar("two\nlines"), "\"two\\nlines\"");
  EXPECT_EQ(yaml_scalar(""), "''");
  std::string out;
  append_ascii_json(out, "é😀");
  EXPECT_EQ(out, "\"\\u00e9\\ud83d\\ude00\"");
}

}  // namespace
}  // namespace flow
