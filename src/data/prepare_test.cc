// The whole preparation on small files, through the real DuckDB.
#include "data/prepare.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>

#include "base/json.h"
#include "stats/table.h"

namespace data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Prepare : public testing::Test {
 protected:
  void SetUp() override { dir_ = *base::make_temp_dir(std::filesystem::temp_directory_path(), "lathe-prepare-"); }
  void TearDown() override { (void)base::remove_tree(dir_); }

  void write(const std::string& name, const std::string& text) { std::ofstream(dir_ / name, std::ios::binary) << text; }
  std::string read(const base::Path& file) { return *base::read_file(file); }

  // Each run in a fresh folder; `out_` is the newest one.
  base::Result<Prepared> run(const std::string& yaml, std::vector<std::string> patterns,
                             const std::string& label = "label") {
    out_ = dir_ / fmt::format("out{}", runs_++);
    std::filesystem::create_directory(out_);
    PrepareRequest request;
    for (const auto& pattern : patterns) request.patterns.push_back((dir_ / pattern).string());
    request.label = label;
    TRY_SET(request.spec, parse_prepare(yaml, "prepare.yaml", label));
    request.out_dir = out_;
    return prepare(request);
  }
  stats::Table table(const std::string& name) { return *stats::parse_csv(read(out_ / name)); }

  base::Path dir_, out_;
  int runs_ = 0;
};

std::string numbered_rows(int from, int to) {
  std::string out;
  for (int i = from; i < to; ++i)
    out += fmt::format("{},{},{},{}\n", i, std::sin(i), i % 5 == 0 ? "" : fmt::format("{}", i % 7), i % 3);
  return out;
}
const std::string kHeader = "id,wave,week,label\n";

TEST_F(Prepare, SplitsWithinToleranceAndLosesNothing) {
  write("a.csv", kHeader + numbered_rows(0, 3000));
  const auto done = run("split: {train: 0.6, valid: 0.2, test: 0.2, seed: 7}", {"a.csv"});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_NEAR(static_cast<double>(done->rows.at("train")), 1800, 100);
  EXPECT_NEAR(static_cast<double>(done->rows.at("valid")), 600, 80);
  EXPECT_EQ(done->rows.at("train") + done->rows.at("valid") + done->rows.at("test"), 3000);
  EXPECT_THAT(done->features, ElementsAre("id", "wave", "week"));
  std::set<double> ids;
  for (const char* part : {"train.csv", "valid.csv", "test.csv"}) {
    for (const double id : table(part).find("id")->numbers()) ids.insert(id);
  }
  EXPECT_EQ(ids.size(), 3000u);
  EXPECT_EQ(read(out_ / "rejects.csv"), "file,line,column,reason,row\n");
}

TEST_F(Prepare, TheSameRowsInAnyOrderGiveTheSameBytes) {
  write("a.csv", kHeader + numbered_rows(0, 400));
  write("b.csv", kHeader + numbered_rows(400, 900));
  const std::string yaml = "split: {seed: 3, stratify: true}\nmissing: {week: mean}\nscale: {'*': standard}\n";
  const auto first = run(yaml, {"a.csv", "b.csv"});
  ASSERT_TRUE(first) << first.error().message;
  const base::Path one = out_;
  // The same rows reversed, in other files, with the columns in another order.
  std::vector<std::string> lines;
  const auto all = *stats::parse_csv(kHeader + numbered_rows(0, 900));
  std::string x = "label,week,id,wave\n", y = x;
  for (size_t i = all.rows(); i-- > 0;) {
    std::string& to = i % 2 == 0 ? x : y;
    to += fmt::format("{},{},{},{}\n", stats::number_text(all.columns[3].numbers()[i]),
                      stats::number_text(all.columns[2].numbers()[i]), stats::number_text(all.columns[0].numbers()[i]),
                      stats::number_text(all.columns[1].numbers()[i]));
  }
  write("x.csv", x);
  write("y.csv", y);
  const auto second = run(yaml, {"x.csv", "y.csv"});
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(second->rows, first->rows);
  // Features keep the first file's order, so compare the sides by id…
  for (const char* part : {"train.csv", "valid.csv", "test.csv"}) {
    const auto a = *stats::parse_csv(read(one / part));
    const auto b = table(part);
    EXPECT_EQ(a.find("id")->numbers(), b.find("id")->numbers()) << part;
  }
  // … and with the same column order the same rows give the same bytes.
  write("p.csv", kHeader + numbered_rows(500, 900));
  write("q.csv", kHeader + numbered_rows(0, 500));
  const auto third = run(yaml, {"p.csv", "q.csv"});
  ASSERT_TRUE(third) << third.error().message;
  for (const std::string& file : third->files) EXPECT_EQ(read(one / file), read(out_ / file)) << file;
}

TEST_F(Prepare, ARowsSideDoesNotDependOnOtherRows) {
  write("few.csv", kHeader + numbered_rows(100, 300));
  write("many.csv", kHeader + numbered_rows(0, 2000));
  ASSERT_TRUE(run("split: {seed: 5}", {"few.csv"}));
  std::map<double, std::string> side;
  for (const char* part : {"train.csv", "valid.csv", "test.csv"}) {
    for (const double id : table(part).find("id")->numbers()) side[id] = part;
  }
  ASSERT_TRUE(run("split: {seed: 5}", {"many.csv"}));
  size_t checked = 0;
  for (const char* part : {"train.csv", "valid.csv", "test.csv"}) {
    for (const double id : table(part).find("id")->numbers()) {
      if (!side.contains(id)) continue;
      EXPECT_EQ(side[id], part);
      ++checked;
    }
  }
  EXPECT_EQ(checked, 200u);
}

TEST_F(Prepare, NoGroupAndNoCopySitsOnTwoSides) {
  std::string rows = "patient,x,label\n";
  for (int i = 0; i < 600; ++i) rows += fmt::format("p{},{},{}\n", i % 60, i, i % 2);
  write("g.csv", rows);
  const auto done = run("split: {group: patient, stratify: true, seed: 1}", {"g.csv"});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_THAT(done->features, ElementsAre("x"));
  std::map<std::string, std::set<std::string>> sides;
  for (const char* part : {"train.csv", "valid.csv", "test.csv"}) {
    const auto rows_of_part = table(part);
    for (const auto& patient : rows_of_part.find("patient")->texts()) sides[*patient].insert(part);
  }
  EXPECT_EQ(sides.size(), 60u);
  for (const auto& [patient, where] : sides) EXPECT_EQ(where.size(), 1u) << patient;
  EXPECT_EQ(table("export/train.csv").find("patient"), nullptr);

  // Without a group column rows with equal features are one, however their numbers are spelled.
  std::string copies = "x,label\n";
  for (int i = 0; i < 200; ++i) copies += fmt::format("{0},0\n{0}.0,1\n{0}e0,0\n", i);
  write("c.csv", copies);
  ASSERT_TRUE(run("", {"c.csv"}));
  std::map<double, std::set<std::string>> where;
  for (const char* part : {"train.csv", "valid.csv", "test.csv"}) {
    for (const double x : table(part).find("x")->numbers()) where[x].insert(part);
  }
  EXPECT_EQ(where.size(), 200u);
  for (const auto& [x, parts] : where) EXPECT_EQ(parts.size(), 1u) << x;
}

TEST_F(Prepare, StratifyKeepsEachLabelsShare) {
  std::string rows = "x,label\n";
  for (int i = 0; i < 1000; ++i) rows += fmt::format("{},{}\n", i, i < 900 ? "common" : "rare");
  write("s.csv", rows);
  const auto done = run("split: {train: 0.5, valid: 0.3, test: 0.2, stratify: label, seed: 11}", {"s.csv"});
  ASSERT_TRUE(done) << done.error().message;
  const std::pair<const char*, double> shares[] = {{"train.csv", 0.5}, {"valid.csv", 0.3}, {"test.csv", 0.2}};
  for (const auto& [part, share] : shares) {
    const auto rows_of_part = table(part);
    const auto rare = std::ranges::count(rows_of_part.find("label")->texts(), std::optional<std::string>("rare"));
    EXPECT_NEAR(static_cast<double>(rare), 100 * share, 1.01) << part;
    EXPECT_NEAR(static_cast<double>(rows_of_part.rows()), 1000 * share, 2.01) << part;
  }
}

TEST_F(Prepare, RejectsAreKeptWithReasons) {
  write("a.csv",
        "age,city,label\n30,Oslo,1\n-4,Oslo,0\nold,Bern,1\n44,Paris,1\n51,,0\n12,Oslo\n13,Bern,\n"
        "14,\"Bern,1\n15,\xFF,1\n?,Bern,0\n16.5,Bern,1\n");
  const auto done =
      run("columns: {age: {type: integer, min: 0}}\n"
          "rejects: {city: {one_of: [Oslo, Bern], not_null: true}}\n"
          "missing_values: ['?']\n"
          "split: {train: 1, valid: 0, test: 0}\n",
          {"a.csv"});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->rows.at("rejected"), 9);
  EXPECT_EQ(done->rows.at("train"), 2);
  const auto rejects = table("rejects.csv");
  std::vector<std::string> seen;
  for (size_t i = 0; i < rejects.rows(); ++i) {
    seen.push_back(fmt::format("{} {}: {}", rejects.find("line")->numbers()[i],
                               rejects.find("column")->texts()[i].value_or("-"), *rejects.find("reason")->texts()[i]));
  }
  EXPECT_THAT(
      seen, ElementsAre("3 age: -4 is below 0", "4 age: 'old' is not a number", "5 city: 'Paris' is none of Oslo, Bern",
                        "6 city: missing", "7 -: 2 fields where the header has 3", "8 label: missing",
                        "9 -: a quote that is never closed", "10 -: byte 0xFF is not UTF-8; save the file as UTF-8",
                        "12 age: 16.5 is not an integer"));
  EXPECT_EQ(*rejects.find("row")->texts()[7], "15,\uFFFD,1");
}

TEST_F(Prepare, DuplicatesAreCounted) {
  write("a.csv", "id,x,label\n1,5,0\n2,5,0\n3,5,1\n4,6,1\n4,7,1\n");
  auto done = run("drop_duplicates: true\nexclude: [id]\n", {"a.csv"});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->rows.at("duplicates"), 1);  // 5,0 twice
  done = run("drop_duplicates: [id]\nsplit: {train: 1, valid: 0, test: 0}\n", {"a.csv"});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->rows.at("duplicates"), 1);
  EXPECT_EQ(std::ranges::count(table("train.csv").find("x")->numbers(), 7), 0);  // the least row of id 4 stays
}

TEST_F(Prepare, TheTransformIsFittedOnTrainOnlyAndExported) {
  write("a.csv", kHeader + numbered_rows(0, 500));
  const auto done = run("missing: {week: median}\nscale: {id: minmax, wave: standard}\none_hot: [week]\n", {"a.csv"});
  ASSERT_TRUE(done) << done.error().message;
  const auto transform = stats::Transform::parse(read(out_ / "transform.json"));
  ASSERT_TRUE(transform) << transform.error().message;
  stats::TransformSpec spec;
  spec.fill = {{"week", stats::FillKind::kMedian, ""}};
  spec.scale = {{"id", stats::ScaleKind::kMinMax}, {"wave", stats::ScaleKind::kStandard}};
  spec.one_hot = {"week"};
  const auto expected = stats::Transform::fit(spec, table("train.csv"), {"id", "wave", "week"});
  EXPECT_EQ(transform->to_json(), expected->to_json());
  for (const char* part : {"train.csv", "valid.csv"}) {
    const auto raw = table(part);
    auto applied = *transform->apply(raw);
    applied.columns.push_back(*raw.find("label"));
    EXPECT_EQ(read(out_ / "export" / part), stats::to_csv(applied)) << part;
  }
  EXPECT_FALSE(std::filesystem::exists(out_ / "export" / "test.csv"));
}

TEST_F(Prepare, ProfileAndSchemaSayWhatIsThere) {
  write("a.csv", "x,name,label\n1,a,0\n2,b,1\n3,a,0\n4,,1\n,c,0\n");
  const auto done = run("split: {train: 1, valid: 0, test: 0}\ncolumns: {x: {type: number, max: 10}}\n", {"a.csv"});
  ASSERT_TRUE(done) << done.error().message;
  const auto profile = *base::parse_json(read(out_ / "profile.json"));
  const auto& x = profile.at("columns").at(0);
  EXPECT_EQ(x.at("count"), 4);
  EXPECT_EQ(x.at("missing"), 1);
  EXPECT_EQ(x.at("distinct"), 4);
  EXPECT_EQ(x.at("mean").to_number<double>(), 2.5);
  EXPECT_NEAR(x.at("std").to_number<double>(), std::sqrt(1.25), 1e-15);
  EXPECT_EQ(x.at("quantiles").at("0.5").to_number<double>(), 2.5);
  EXPECT_EQ(x.at("quantiles").at("0.25").to_number<double>(), 1.75);
  EXPECT_EQ(profile.at("columns").at(1).at("top").at(0).at("value"), "a");
  EXPECT_EQ(profile.at("parts").at("train").at("labels").at("1"), 2);
  const auto schema = *base::parse_json(read(out_ / "schema.json"));
  EXPECT_EQ(schema.at("columns").at(0).at("max").to_number<double>(), 10);
  EXPECT_EQ(schema.at("columns").at(2).at("role"), "label");
  EXPECT_EQ(base::to_text(schema.at("columns").at(1).at("values")), R"(["a","b","c"])");
}

TEST_F(Prepare, ErrorsSayWhatToChange) {
  write("a.csv", "x,label\n1,0\n");
  write("b.csv", "y,label\n1,0\n");
  write("empty.csv", "");
  write("bad.csv", "x,label\nfoo,0\nbar,1\n");
  auto message = [&](const std::string& yaml, std::vector<std::string> files, const std::string& label = "label") {
    const auto done = run(yaml, std::move(files), label);
    return done ? std::string("no error") : done.error().message;
  };
  EXPECT_THAT(message("", {"nothing*.csv"}), HasSubstr("no file matches"));
  EXPECT_THAT(message("", {"a.csv", "b.csv"}), HasSubstr("b.csv: column 'y' is not in"));
  EXPECT_THAT(message("", {"empty.csv"}), HasSubstr("empty.csv: the text is empty"));
  EXPECT_THAT(message("", {"a.csv"}, "digit"),
              HasSubstr("label: no file has a column 'digit'; the columns are x, label"));
  EXPECT_THAT(message("exclude: [x]", {"a.csv"}), HasSubstr("no features"));
  EXPECT_THAT(message("columns: {x: number}", {"bad.csv"}), HasSubstr("2 were rejected, the first is"));
  EXPECT_THAT(message("scale: {z: standard}", {"a.csv"}), HasSubstr("'z' is not a feature"));
}

TEST_F(Prepare, ParquetIsReadAsCsvIs) {
  write("a.csv", "x,name,flag,label\n1.5,a,1,0\n2,007,0,1\n,b,1,0\n");
  {
    const base::Path work = dir_ / "w";
    std::filesystem::create_directory(work);
    const auto db = DuckDb::open({work});
    ASSERT_TRUE(db) << db.error().message;
    const auto made = (*db)->run(
        "COPY (SELECT * FROM (VALUES (1.5::DOUBLE, 'a', true, 0::BIGINT), (2, '007', false, 1), (NULL, 'b', true, 0)) "
        "AS t(x, name, flag, label)) TO " +
        sql_text((dir_ / "a.parquet").string()) + " (FORMAT parquet)");
    ASSERT_TRUE(made) << made.error().message;
  }
  const std::string yaml = "split: {train: 1, valid: 0, test: 0}";
  ASSERT_TRUE(run(yaml, {"a.csv"}));
  const std::string csv = read(out_ / "train.csv");
  const auto done = run(yaml, {"a.parquet"});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(read(out_ / "train.csv"), csv);
}

class Retrain : public Prepare {
 protected:
  // A base version of rows x = 0…199 and the traffic given.
  base::Result<Prepared> again(const std::string& traffic, const std::string& yaml = "") {
    std::string rows = "x,y,label\n";
    for (int i = 0; i < 200; ++i) rows += fmt::format("{},{},{}\n", i, i * 0.1, i % 2);
    write("raw.csv", rows);
    const std::string fitted = yaml + "scale: {'*': standard}\n";
    auto base = run(fitted, {"raw.csv"});
    if (!base) return base;
    base_ = out_;
    write("traffic.ndjson", traffic);
    out_ = dir_ / "again";
    (void)base::remove_tree(out_);
    std::filesystem::create_directory(out_);
    RetrainRequest request;
    request.base_dir = base_, request.base_version = "v1", request.traffic = dir_ / "traffic.ndjson";
    request.endpoint = "digits", request.out_dir = out_;
    TRY_SET(request.spec, parse_prepare(fitted, "prepare.yaml", "label"));
    return prepare_again(request);
  }
  static std::string line(int id, double x, double y, const std::string& label, int64_t at_us = 5) {
    return fmt::format(R"({{"id":"pr_{}","row":0,"at_us":{},"features":{{"x":{},"y":{}}},"label":{}}})"
                       "\n",
                       id, at_us, x, y, label);
  }
  base::Path base_;
};

TEST_F(Retrain, TrafficIsSplitAndOldRowsStay) {
  std::string traffic;
  for (int i = 0; i < 1000; ++i) traffic += line(i, 1000 + i, i, "\"1\"");
  const auto done = again(traffic);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_NEAR(static_cast<double>(done->rows.at("recent")), 500, 60);
  EXPECT_EQ(done->rows.at("test"), static_cast<int64_t>(table("test.csv").rows()));
  EXPECT_EQ(read(out_ / "test.csv"), read(base_ / "test.csv"));
  const auto old_train = *stats::parse_csv(read(base_ / "train.csv"));
  const auto new_train = table("train.csv");
  const std::set<double> now(new_train.find("x")->numbers().begin(), new_train.find("x")->numbers().end());
  for (const double x : old_train.find("x")->numbers()) EXPECT_TRUE(now.contains(x));
  EXPECT_GT(new_train.rows(), old_train.rows() + 300);
  EXPECT_EQ(table("traffic.csv").rows(), 1000u);
  // The transform is fitted anew, on the new train.
  EXPECT_NE(read(out_ / "transform.json"), read(base_ / "transform.json"));
  const auto source = *base::parse_json(done->source);
  EXPECT_EQ(source.at("kind"), "retraining");
  EXPECT_EQ(source.at("base"), "v1");
  EXPECT_EQ(source.at("traffic").at("recent"), done->rows.at("recent"));
}

TEST_F(Retrain, RowsTheChampionKnowsNeverBecomeRecentAndTestRowsAreNeverTrainedOn) {
  std::string traffic;
  for (int i = 0; i < 200; ++i)
    traffic += line(i, i, static_cast<float>(i * 0.1), "0");  // as a client with FP32 sends them
  const auto done = again(traffic + line(999, 5000, 1, "1") + line(998, 5001, 1, "1") + line(997, 5002, 1, "0"));
  ASSERT_TRUE(done) << done.error().message;
  std::set<double> old_known, old_test;
  for (const char* part : {"train.csv", "valid.csv"}) {
    const auto rows = *stats::parse_csv(read(base_ / part));
    old_known.insert(rows.find("x")->numbers().begin(), rows.find("x")->numbers().end());
  }
  const auto test = *stats::parse_csv(read(base_ / "test.csv"));
  old_test.insert(test.find("x")->numbers().begin(), test.find("x")->numbers().end());
  for (const double x : table("recent.csv").find("x")->numbers()) EXPECT_FALSE(old_known.contains(x)) << x;
  for (const char* part : {"train.csv", "valid.csv"}) {
    for (const double x : table(part).find("x")->numbers()) EXPECT_FALSE(old_test.contains(x)) << x;
  }
}

TEST_F(Retrain, CopiesAreOneRowWithTheNewestLabelAndBadRowsAreRejected) {
  const auto done = again(line(1, 900, 1, "0", 10) + line(2, 900, 1, "1", 20) + line(3, 900, 1, "0", 15) +
                              line(4, 901, 1, "null") + "not json\n" + line(5, 902, 1, "\"cat\"") +
                              "{\"id\":\"pr_6\",\"row\":0,\"at_us\":1,\"features\":{\"x\":1},\"label\":1}\n",
                          "feedback: {train: 0, valid: 0, recent: 1}\n");
  ASSERT_TRUE(done) << done.error().message;
  const auto recent = table("recent.csv");
  ASSERT_EQ(recent.rows(), 1u);
  EXPECT_EQ(recent.find("label")->numbers()[0], 1);
  EXPECT_EQ(done->rows.at("rejected"), 4);
  EXPECT_THAT(read(out_ / "rejects.csv"), HasSubstr("traffic,6,label,'cat' is not a number"));
}

TEST_F(Retrain, WithoutNewRowsItSaysSo) {
  const auto done = again("");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, base::Code::kConflict);
  EXPECT_THAT(done.error().message, HasSubstr("nothing to retrain on"));
}

}  // namespace
}  // namespace data
