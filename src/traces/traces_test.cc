// Traces, spans, assessments, searches and what belongs to them, on both engines.
#include "traces/traces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cmath>

#include "blob/migrations.h"
#include "core/event.h"
#include "core/migrations.h"
#include "store/packed_text.h"
#include "store/testing.h"
#include "traces/datasets.h"
#include "traces/issues.h"
#include "traces/label_schemas.h"
#include "traces/migrations.h"
#include "traces/review_queues.h"
#include "traces/scorers.h"
#include "traces/search.h"
#include "traces/span_log.h"
#include "traces/statistics.h"
#include "track/experiments.h"
#include "track/migrations.h"
#include "track/runs.h"

namespace traces {
namespace {

using base::Code;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr int64_t kSecond = 1'000'000'000;

class TracesTest : public store::testing::EngineTest {
 protected:
  TracesTest() : EngineTest({core::migrations(), blob::migrations(), track::migrations(), migrations()}) {}

  // "1" → "tr-00…01"
  static std::string id(char digit) { return "tr-" + std::string(31, '0') + digit; }

  TraceInfo start(char digit, track::Tags tags = {}, track::Tags metadata = {}, int64_t start_ms = 1000) {
    NewTrace trace;
    trace.trace_id = id(digit);
    trace.experiment_id = "0";
    trace.start_ms = start_ms;
    trace.duration_ms = 250;
    trace.state = "OK";
    trace.tags = std::move(tags);
    trace.metadata = std::move(metadata);
    return ok([&](store::Tx& tx) { return start_trace(tx, trace); });
  }
  static Span span(char trace, char number, std::string parent = "") {
    Span out;
    out.trace_id = id(trace).substr(3);
    out.span_id = std::string(15, '0') + number;
    if (!parent.empty()) out.parent_id = std::string(15, '0') + parent;
    out.name = "span " + std::string(1, number);
    out.start_ns = kSecond;
    out.end_ns = 3 * kSecond;
    out.status = SpanStatus::kOk;
    return out;
  }
  void log(std::vector<Span> spans, Attributes resource = {}) {
    SpanLog batch{"0", prepare_spans({{std::move(resource)}, std::move(spans)}, GetParam()), ""};
    done([&](store::Tx& tx) { return log_spans(tx, batch); });
  }
  Trace trace(char digit) {
    return ok([&](store::Tx& tx) { return get_trace(tx, id(digit)); });
  }
  Assessment assess(char digit, std::string name, std::string value, AssessmentKind kind = AssessmentKind::kFeedback,
                    track::Tags metadata = {}) {
    Assessment given;
    given.trace_id = id(digit);
    given.name = std::move(name);
    given.value = std::move(value);
    given.kind = kind;
    given.metadata = std::move(metadata);
    return ok([&](store::Tx& tx) { return create_assessment(tx, given); });
  }
  // The last digits of the traces that a search finds, page by page.
  std::string find(std::string filter, std::vector<std::string> order = {}, int64_t page_size = 2) {
    std::string out;
    TraceSearch search{{"0"}, std::move(filter), page_size, std::move(order), ""};
    for (int pages = 0; pages < 50; ++pages) {
      auto page = read([&](store::Tx& tx) { return search_traces(tx, search); });
      EXPECT_TRUE(page) << search.filter << ": " << page.error().message;
      if (!page) return out;
      for (const TraceInfo& info : page->rows) out += info.trace_id.back();
      if (page->next_token.empty()) return out;
      search.page_token = page->next_token;
    }
    ADD_FAILURE() << "the pages never end";
    return out;
  }
  std::string wrong(std::string filter) {
    const TraceSearch search{{"0"}, std::move(filter), 10, {}, ""};
    const auto page = read([&](store::Tx& tx) { return search_traces(tx, search); });
    EXPECT_FALSE(page) << search.filter;
    EXPECT_TRUE(page || page.error().code == Code::kInvalid);
    return page ? "" : page.error().message;
  }
};
INSTANTIATE_TEST_SUITE_P(Engines, TracesTest, store::testing::engines(), store::testing::engine_name);

TEST_P(TracesTest, AnInfoComesBackAsItWasTold) {
  const TraceInfo info =
      start('1', {{"mlflow.traceName", "chat"}, {"team", "a"}},
            {{"mlflow.trace.session", "s"},
             {"mlflow.trace.tokenUsage", R"({"input_tokens": 3, "output_tokens": 4, "total_tokens": 7})"},
             {"k", "v"}});
  EXPECT_EQ(info.state, "OK");
  EXPECT_EQ(*info.tag("mlflow.traceName"), "chat");
  EXPECT_EQ(*info.tag("mlflow.artifactLocation"), "mlflow-artifacts:/0/traces/" + id('1') + "/artifacts");
  EXPECT_EQ(*info.meta("mlflow.trace.session"), "s");
  EXPECT_EQ(*info.meta("mlflow.trace.tokenUsage"), R"({"input_tokens": 3, "output_tokens": 4, "total_tokens": 7})");
  EXPECT_EQ(*info.meta("mlflow.trace.infoFinalized"), "true");
  EXPECT_EQ(info.tag("mlflow.trace.spansLocation"), nullptr);
  EXPECT_EQ(refused([](store::Tx& tx) { return get_trace_info(tx, "tr-no"); }).code, Code::kNotFound);
  NewTrace stray{.trace_id = "tr-x", .experiment_id = "99"};
  EXPECT_EQ(refused([&](store::Tx& tx) { return start_trace(tx, stray); }).code, Code::kNotFound);
}

TEST_P(TracesTest, SpansFirstOrInfoFirstMakeTheSameTrace) {
  const auto tell = [&](char digit) {
    start(digit, {{"mlflow.traceName", "n"}}, {{"mlflow.trace.sizeStats", R"({"num_spans": 2})"}});
  };
  const auto send = [&](char digit) {
    Span root = span(digit, '1');
    root.attributes = {{"mlflow.spanInputs", R"({"q": "hi"})"}, {"mlflow.spanType", "\"CHAIN\""}};
    log({std::move(root), span(digit, '2', "1")}, {{"service.name", "\"shop\""}, {"telemetry.sdk.name", "\"x\""}});
  };
  tell('1'), send('1');
  send('2'), tell('2');
  for (const char digit : {'1', '2'}) {
    const Trace found = trace(digit);
    EXPECT_EQ(found.info.start_ms, 1000) << digit;
    EXPECT_EQ(found.info.duration_ms, 250) << "what the client said at the end stands";
    EXPECT_EQ(*found.info.tag("mlflow.trace.spansLocation"), "TRACKING_STORE");
    EXPECT_EQ(*found.info.tag("service.name"), "shop");
    EXPECT_EQ(found.info.tag("telemetry.sdk.name"), nullptr);
    EXPECT_EQ(found.info.request_preview, R"({"q": "hi"})");
    ASSERT_EQ(found.spans.size(), 2U);
    EXPECT_THAT(found.spans[0], HasSubstr(R"("parent_span_id": null)"));
    EXPECT_THAT(found.spans[0], HasSubstr(R"("mlflow.spanInputs": "{\"q\": \"hi\"}")"));
    EXPECT_TRUE(found.whole);
  }
}

TEST_P(TracesTest, SpansAloneMakeATraceAndGrowIt) {
  Span late = span('1', '2', "1");
  late.end_ns = 9 * kSecond;
  log({late});
  Trace found = trace('1');
  EXPECT_EQ(found.info.state, "IN_PROGRESS");
  EXPECT_EQ(found.info.start_ms, 1000);
  EXPECT_EQ(found.info.duration_ms, 8000);
  Span root = span('1', '1');
  root.start_ns = kSecond / 2;
  root.status = SpanStatus::kError;
  log({root});
  found = trace('1');
  EXPECT_EQ(found.info.state, "ERROR");
  EXPECT_EQ(found.info.start_ms, 500);
  EXPECT_EQ(found.info.duration_ms, 8500);
  log({root});  // the same span again replaces itself
  EXPECT_EQ(trace('1').spans.size(), 2U);
}

TEST_P(TracesTest, TokensAreSummedOverTheTopmostSpansThatKnowThem) {
  const std::string usage = R"({"input_tokens": 10, "output_tokens": 5, "total_tokens": 15})";
  Span parent = span('1', '1'), child = span('1', '2', "1"), other = span('1', '3', "1");
  parent.attributes = {{"mlflow.chat.tokenUsage", usage}};  // sums up its children already
  child.attributes = other.attributes = {{"mlflow.chat.tokenUsage", usage}};
  log({child});
  EXPECT_EQ(*trace('1').info.meta("mlflow.trace.tokenUsage"), usage);
  log({other});
  EXPECT_EQ(*trace('1').info.meta("mlflow.trace.tokenUsage"),
            R"({"input_tokens": 20, "output_tokens": 10, "total_tokens": 30})");
  log({parent});
  EXPECT_EQ(*trace('1').info.meta("mlflow.trace.tokenUsage"), usage);
}

TEST_P(TracesTest, OtherLibrariesWordsAreTranslated) {
  Span chat = span('1', '1');
  chat.attributes = {{"gen_ai.operation.name", "\"chat\""},   {"gen_ai.usage.input_tokens", "11"},
                     {"gen_ai.usage.output_tokens", "2"},     {"gen_ai.request.model", "\"m-1\""},
                     {"gen_ai.provider.name", "\"someone\""}, {"gen_ai.input.messages", R"("[{\"role\": \"user\"}]")"}};
  log({chat});
  const Trace found = trace('1');
  EXPECT_THAT(found.spans[0], HasSubstr(R"("mlflow.spanType": "\"CHAT_MODEL\"")"));
  EXPECT_THAT(found.spans[0], HasSubstr(R"("mlflow.llm.model": "\"m-1\"")"));
  EXPECT_EQ(*found.info.meta("mlflow.trace.tokenUsage"),
            R"({"input_tokens": 11, "output_tokens": 2, "total_tokens": 13})");
}

TEST_P(TracesTest, SearchKnowsEveryField) {
  start('1', {{"mlflow.traceName", "chat"}, {"team", "a"}}, {{"mlflow.trace.session", "s1"}, {"k", "v"}}, 1000);
  start('2', {{"mlflow.traceName", "plan"}, {"team", "b"}}, {{"mlflow.sourceRun", "r1"}}, 2000);
  start('3', {}, {}, 3000);
  Span first = span('1', '1'), second = span('1', '2', "1"), third = span('2', '1');
  first.attributes = {{"mlflow.spanType", "\"LLM\""}, {"colour", "\"blue\""}, {"n", "7"}};
  second.attributes = {{"mlflow.spanType", "\"TOOL\""}, {"text", "\"snöwman é\""}};
  third.attributes = {{"mlflow.spanType", "\"TOOL\""}};
  log({first, second, third});
  EXPECT_EQ(find(""), "321") << "the newest first";
  EXPECT_EQ(find("status = 'OK'"), "321");
  EXPECT_EQ(find("timestamp_ms > 1000 AND timestamp_ms < 3000"), "2");
  EXPECT_EQ(find("trace.execution_time >= 250 AND end_time_ms <= 2250"), "21");
  EXPECT_EQ(find("name = 'chat'"), "1");
  EXPECT_EQ(find("name IN ('chat', 'plan')"), "21");
  EXPECT_EQ(find("name RLIKE '^ch.t$'"), "1");
  EXPECT_EQ(find("tags.team != 'a'"), "2") << "a trace without the tag has no other value either";
  EXPECT_EQ(find("tags.team IS NULL"), "3");
  EXPECT_EQ(find("tags.team RLIKE '[ab]'"), "21");
  EXPECT_EQ(find("metadata.k = 'v'"), "1");
  EXPECT_EQ(find("metadata.mlflow.trace.session = 's1'"), "1");
  EXPECT_EQ(find("run_id = 'r1'"), "2");
  EXPECT_EQ(find("span.type = 'TOOL'"), "21");
  EXPECT_EQ(find("span.type = 'LLM' AND span.name = 'span 1'"), "1");
  EXPECT_EQ(find("span.type = 'LLM' AND span.name = 'span 2'"), "") << "of one span, not of two";
  EXPECT_EQ(find("span.attributes.colour = 'blue'"), "1");
  EXPECT_EQ(find("span.attributes.n = '7'"), "1");
  EXPECT_EQ(find("span.attributes.colour != 'blue'"), "");
  EXPECT_EQ(find("span.attributes.colour LIKE '%lu%'"), "1");
  EXPECT_EQ(find("span.attributes.colour RLIKE '^bl'"), "1");
  EXPECT_EQ(find("span.content LIKE '%snöwman%'"), "1");
  EXPECT_EQ(find("text ILIKE '%SPAN 2%'"), "1");
  EXPECT_EQ(find("name = 'chat' OR name = 'plan'"), "21");
  EXPECT_EQ(find("NOT name = 'chat'"), "32") << "beyond upstream";
  EXPECT_EQ(find("", {"timestamp_ms ASC"}), "123");
  EXPECT_EQ(find("", {"name ASC"}), "123") << "what has no name comes last";
  EXPECT_EQ(find("", {"name DESC"}), "213");
  EXPECT_EQ(find("", {"tags.team DESC"}, 1), "213");
  EXPECT_THAT(wrong("bogus = 'x'"), HasSubstr("Invalid attribute key 'bogus'"));
  EXPECT_THAT(wrong("span.bogus = 'x'"), HasSubstr("Invalid span attribute 'bogus'"));
  EXPECT_THAT(wrong("name RLIKE '('"), HasSubstr("regular expression"));
  EXPECT_THAT(wrong("feedback.x > 'a'"), HasSubstr("numeric"));
  EXPECT_THAT(wrong("prompt LIKE 'a/1'"), HasSubstr("Only '=' is supported"));
  EXPECT_THAT(wrong("issue.name = 'x'"), HasSubstr("Invalid issue attribute"));
}

TEST_P(TracesTest, AssessmentsAreFoundOverriddenAndRestored) {
  start('1', {}, {{"mlflow.trace.session", "s"}}, 1000);
  start('2', {}, {{"mlflow.trace.session", "s"}}, 2000);
  start('3', {}, {}, 3000);
  const Assessment good = assess('1', "good", "true");
  assess('1', "score", "0.5");
  assess('2', "answer", "\"yes\"", AssessmentKind::kExpectation);
  assess('1', "mood", "\"fine\"", AssessmentKind::kFeedback, {{"mlflow.trace.session", "s"}});
  EXPECT_EQ(find("feedback.good = 'true'"), "1");
  EXPECT_EQ(find("feedback.good != 'true'"), "");
  EXPECT_EQ(find("feedback.score > 0.4"), "1");
  EXPECT_EQ(find("feedback.good > 0.4"), "") << "true is no number";
  EXPECT_EQ(find("expectation.answer = 'yes'"), "2");
  EXPECT_EQ(find("feedback.answer IS NULL"), "321");
  EXPECT_EQ(find("feedback.mood = 'fine'"), "21") << "it is said of the session";
  Assessment better;
  better.trace_id = id('1');
  better.name = "good";
  better.value = "false";
  better.overrides = good.assessment_id;
  better = ok([&](store::Tx& tx) { return create_assessment(tx, better); });
  EXPECT_EQ(find("feedback.good = 'true'"), "");
  EXPECT_EQ(find("feedback.good = 'false'"), "1");
  done([&](store::Tx& tx) { return delete_assessment(tx, id('1'), better.assessment_id); });
  done([&](store::Tx& tx) { return delete_assessment(tx, id('1'), better.assessment_id); });
  EXPECT_EQ(find("feedback.good = 'true'"), "1");

  AssessmentUpdate update{.trace_id = id('1'), .assessment_id = good.assessment_id};
  update.rationale = "because";
  update.metadata = track::Tags{{"a", "b"}};
  const Assessment changed = ok([&](store::Tx& tx) { return update_assessment(tx, update); });
  EXPECT_EQ(changed.value, "true");
  EXPECT_EQ(changed.rationale, "because");
  update.kind = AssessmentKind::kExpectation;
  EXPECT_EQ(refused([&](store::Tx& tx) { return update_assessment(tx, update); }).code, Code::kInvalid);
  Assessment stolen = good;
  stolen.trace_id = id('2');
  EXPECT_EQ(refused([&](store::Tx& tx) { return create_assessment(tx, stolen); }).code, Code::kInvalid)
      << "an id of another trace";
}

TEST_P(TracesTest, TagsLinksAndBatches) {
  start('1'), start('2', {}, {}, 2000);
  done([&](store::Tx& tx) { return set_trace_tag(tx, id('1'), {"mlflow.traceName", "new"}); });
  done([&](store::Tx& tx) { return set_trace_tag(tx, id('1'), {"a", std::string(9000, 'x')}); });
  const TraceInfo info = ok([&](store::Tx& tx) { return get_trace_info(tx, id('1')); });
  EXPECT_EQ(*info.tag("mlflow.traceName"), "new");
  EXPECT_EQ(info.tag("a")->size(), 8000U);
  done([&](store::Tx& tx) { return delete_trace_tag(tx, id('1'), "a"); });
  EXPECT_EQ(refused([&](store::Tx& tx) { return delete_trace_tag(tx, id('1'), "a"); }).code, Code::kNotFound);
  EXPECT_EQ(refused([&](store::Tx& tx) { return set_trace_tag(tx, id('1'), {"a/../b", "x"}); }).code, Code::kInvalid);

  const std::string run = ok([](store::Tx& tx) { return track::create_run(tx, {}); }).info.run_id;
  const TraceRunLink link{{id('1'), "tr-no"}, run};
  done([&](store::Tx& tx) { return link_traces_to_run(tx, link); });
  done([&](store::Tx& tx) { return link_traces_to_run(tx, link); });
  EXPECT_EQ(find("run_id = '" + run + "'"), "1");
  const TraceRunLink many{std::vector<std::string>(101, "x"), run};
  EXPECT_EQ(refused([&](store::Tx& tx) { return link_traces_to_run(tx, many); }).code, Code::kInvalid);
  const TracePromptLink prompts{id('2'), {{"greet", "3"}}};
  done([&](store::Tx& tx) { return link_prompts_to_trace(tx, prompts); });
  EXPECT_EQ(find("prompt = 'greet/3'"), "2");

  const BatchGet get{{id('2'), "tr-no", id('1'), id('2')}, std::nullopt};
  const auto infos = ok([&](store::Tx& tx) { return batch_get_infos(tx, get); });
  ASSERT_EQ(infos.size(), 2U);
  EXPECT_EQ(infos[0].trace_id, id('2'));
  const BatchGet elsewhere{{id('1')}, std::vector<std::string>{"7"}};
  EXPECT_THAT(ok([&](store::Tx& tx) { return batch_get_infos(tx, elsewhere); }), IsEmpty());
  EXPECT_THAT(ok([&](store::Tx& tx) { return batch_get_traces(tx, get); }), IsEmpty()) << "none has its spans yet";
}

TEST_P(TracesTest, DeletionGoesOldestFirstAndTakesAllOfATrace) {
  for (const char digit : {'1', '2', '3'}) {
    start(digit, {{"t", "x"}}, {}, 1000 * (digit - '0'));
    log({span(digit, '1'), span(digit, '2', "1")});
    assess(digit, "good", "true");
  }
  TraceDeletion old{.experiment_id = "0", .max_start_ms = 2000, .max_traces = 1};
  const DeletionStep step = ok([&](store::Tx& tx) { return delete_traces_step(tx, old); });
  EXPECT_EQ(step.deleted, 1);
  EXPECT_FALSE(step.more);
  EXPECT_EQ(find(""), "32");
  TraceDeletion named{.experiment_id = "0", .trace_ids = {id('3'), "tr-no"}};
  EXPECT_EQ(ok([&](store::Tx& tx) { return delete_traces_step(tx, named); }).deleted, 1);
  EXPECT_EQ(find(""), "2");
  const auto left = ok([](store::Tx& tx) -> base::Result<int64_t> {
    return *tx.query_i64("SELECT COUNT(*) FROM trace_spans") +
           *tx.query_i64("SELECT COUNT(*) FROM trace_assessments") * 10 +
           *tx.query_i64("SELECT COUNT(*) FROM trace_tags WHERE key = 't'") * 100;
  });
  EXPECT_EQ(left, 2 + 10 + 100);
  TraceDeletion nothing{.experiment_id = "0"};
  EXPECT_EQ(refused([&](store::Tx& tx) { return delete_traces_step(tx, nothing); }).code, Code::kInvalid);
}

TEST_P(TracesTest, ProjectsDoNotSeeEachOther) {
  start('1');
  log({span('1', '1')});
  assess('1', "good", "true");
  auto other = ctx();
  other.project = 77;
  const auto elsewhere = [&](auto f) { return store_->read_blocking(other, std::move(f)); };
  EXPECT_FALSE(elsewhere([](store::Tx& tx) { return get_trace(tx, id('1')); }));
  const TraceSearch search{{"0"}, "", 10, {}, ""};
  EXPECT_THAT(elsewhere([&](store::Tx& tx) { return search_traces(tx, search); })->rows, IsEmpty());
  const BatchGet get{{id('1')}, std::nullopt};
  EXPECT_THAT(*elsewhere([&](store::Tx& tx) { return batch_get_traces(tx, get); }), IsEmpty());
}

TEST_P(TracesTest, FiguresAndCorrelation) {
  for (const char digit : {'1', '2', '3', '4'}) {
    start(digit, {{"mlflow.traceName", digit < '3' ? "a" : "b"}}, {{"mlflow.trace.session", digit < '4' ? "s" : "t"}},
          60'000 * (digit - '0'));
  }
  done([&](store::Tx& tx) { return set_trace_tag(tx, id('1'), {"team", "x"}); });
  FigureQuery query{.experiment_ids = {"0"}, .metric = "trace_count", .aggregations = {{Aggregate::kCount}}};
  query.dimensions = {"trace_name"};
  auto points = ok([&](store::Tx& tx) { return figures(tx, query); });
  ASSERT_EQ(points.size(), 2U);
  EXPECT_EQ(points[0].dimensions[0].second, "a");
  EXPECT_EQ(points[0].values[0].second, 2);
  query.filters = {"trace.tag.team = 'x'"};
  EXPECT_EQ(ok([&](store::Tx& tx) { return figures(tx, query); }).size(), 1U);
  query = {.experiment_ids = {"0"}, .metric = "session_count", .aggregations = {{Aggregate::kCount}}};
  EXPECT_EQ(ok([&](store::Tx& tx) { return figures(tx, query); })[0].values[0].second, 2);
  query = {.experiment_ids = {"0"},
           .metric = "latency",
           .aggregations = {{Aggregate::kAvg}, {Aggregate::kPercentile, 95}},
           .interval_s = 120,
           .from_ms = 0,
           .to_ms = 200'000};
  points = ok([&](store::Tx& tx) { return figures(tx, query); });
  ASSERT_EQ(points.size(), 2U) << "0 to 2 minutes, 2 to 4";
  EXPECT_EQ(points[0].dimensions[0].second, "1970-01-01T00:00:00+00:00");
  EXPECT_EQ(points[0].values[1].first, "P95.0");
  query.metric = "bogus";
  EXPECT_EQ(refused([&](store::Tx& tx) { return figures(tx, query); }).code, Code::kInvalid);
  EXPECT_DOUBLE_EQ(percentile({1, 2, 3, 4}, 50), 2.5);

  const CorrelationQuery both{{"0"}, "name = 'a'", "tags.team = 'x'", ""};
  const Correlation found = ok([&](store::Tx& tx) { return correlate(tx, both); });
  EXPECT_EQ(found.joint, 1);
  EXPECT_EQ(found.total, 4);
  EXPECT_NEAR(found.npmi, 0.5, 1e-12);  // log(1·4 / (2·1)) / -log(1/4)
  EXPECT_TRUE(std::isnan(npmi_of(0, 0, 3, 10).npmi));
  EXPECT_EQ(npmi_of(0, 2, 3, 10).npmi, -1);
}

TEST_P(TracesTest, EvaluationDatasetsMergeRecordsByTheirInputs) {
  const NewEvalDataset fresh{"set", {"0"}, {{"mlflow.user", "ann"}}};
  const EvalDataset made = ok([&](store::Tx& tx) { return create_dataset(tx, fresh); });
  EXPECT_EQ(made.created_by, "ann");
  EXPECT_THAT(made.experiment_ids, ElementsAre("0"));
  EvalRecord first{.inputs = R"({"q":"x","n":1})", .expectations = R"({"a":1})"};
  EvalRecord again{
      .inputs = R"({"n":1,"q":"x"})", .outputs = "\"o\"", .expectations = R"({"b":2.5})", .has_outputs = true};
  const RecordUpsert upsert{made.dataset_id, {first, again, {.inputs = R"({"q":"é"})"}}};
  const Upserted counts = ok([&](store::Tx& tx) { return upsert_records(tx, upsert); });
  EXPECT_EQ(counts.inserted, 2);
  EXPECT_EQ(counts.updated, 1);
  const EvalDataset after = ok([&](store::Tx& tx) { return get_dataset(tx, made.dataset_id); });
  EXPECT_EQ(after.record_count, 2);
  EXPECT_EQ(
      *after.schema,
      R"({"inputs": {"q": "string", "n": "integer"}, "outputs": "string", "expectations": {"a": "integer", "b": "float"}, "version": "1.0"})");
  RecordPageQuery query{made.dataset_id, 1, ""};
  std::string all;
  for (int pages = 0; pages < 5; ++pages) {
    const RecordPage page = ok([&](store::Tx& tx) { return read_records(tx, query); });
    all += page.json;
    if (page.next_token.empty()) break;
    query.page_token = page.next_token;
  }
  EXPECT_THAT(all, HasSubstr(R"("expectations": {"a": 1, "b": 2.5})"));
  EXPECT_THAT(all, HasSubstr("é"));
  query.page_token = "nonsense";
  EXPECT_EQ(refused([&](store::Tx& tx) { return read_records(tx, query); }).code, Code::kInvalid);
  const DatasetSearch search{.experiment_ids = {"0"}, .filter = "name LIKE 's%' AND tags.mlflow.user = 'ann'"};
  EXPECT_EQ(ok([&](store::Tx& tx) { return search_datasets(tx, search); }).rows.size(), 1U);
  done([&](store::Tx& tx) { return delete_dataset(tx, made.dataset_id); });
  done([&](store::Tx& tx) { return delete_dataset(tx, made.dataset_id); });
  EXPECT_EQ(refused([&](store::Tx& tx) { return get_dataset(tx, made.dataset_id); }).code, Code::kNotFound);
}

TEST_P(TracesTest, ScorersHaveVersionsAndCarryNoCode) {
  const NewScorer scorer{"0", "judge", R"({"name": "judge"})"};
  EXPECT_EQ(ok([&](store::Tx& tx) { return register_scorer(tx, scorer); }).version, 1);
  EXPECT_EQ(ok([&](store::Tx& tx) { return register_scorer(tx, scorer); }).version, 2);
  ScorerName name{"0", "judge", 1};
  done([&](store::Tx& tx) { return delete_scorer(tx, name); });
  EXPECT_EQ(ok([&](store::Tx& tx) { return register_scorer(tx, scorer); }).version, 3) << "a number is never reused";
  EXPECT_EQ(ok([](store::Tx& tx) { return list_scorers(tx, {"0", std::nullopt}); }).size(), 1U);
  const NewScorer code{"0", "bad", R"({"parts": [{"call_source": "import os"}]})"};
  EXPECT_EQ(refused([&](store::Tx& tx) { return register_scorer(tx, code); }).code, Code::kInvalid);
}

TEST_P(TracesTest, IssuesComeWorstFirst) {
  const auto make = [&](std::string text, std::optional<std::string> severity) {
    NewIssue issue{"0", {}};
    issue.issue.name = text;
    issue.issue.description = "d";
    issue.issue.severity = std::move(severity);
    return ok([&](store::Tx& tx) { return create_issue(tx, issue); });
  };
  make("low", "low"), make("none", std::nullopt);
  const Issue high = make("high", "high");
  start('1');
  assess('1', high.issue_id, R"({"issue_name": "high"})", AssessmentKind::kIssue);
  IssueSearch search{.experiment_id = "0", .max_results = 1, .with_trace_count = true};
  std::string names;
  for (int pages = 0; pages < 5; ++pages) {
    const auto page = ok([&](store::Tx& tx) { return search_issues(tx, search); });
    for (const Issue& issue : page.rows) names += issue.name + std::to_string(issue.trace_count.value_or(-1)) + " ";
    if (page.next_token.empty()) break;
    search.page_token = page.next_token;
  }
  EXPECT_EQ(names, "high1 low0 none0 ");
  EXPECT_EQ(find("issue.id = '" + high.issue_id + "'"), "1");
  const IssueUpdate odd{.issue_id = high.issue_id, .status = "bogus"};
  EXPECT_EQ(refused([&](store::Tx& tx) { return update_issue(tx, odd); }).code, Code::kInvalid);
}

TEST_P(TracesTest, QueuesAskTheQuestionsOfTheirExperiment) {
  NewLabelSchema question{.experiment_id = "0", .name = "Is it right?", .type = 1};
  question.input.kind = LabelInput::Kind::kPassFail;
  question.input.positive = "yes";
  question.input.negative = "no";
  const LabelSchema made = ok([&](store::Tx& tx) { return create_label_schema(tx, question); });
  EXPECT_EQ(refused([&](store::Tx& tx) { return create_label_schema(tx, question); }).code, Code::kAlreadyExists);
  const auto listed = ok([](store::Tx& tx) { return list_label_schemas(tx, {"0", 100, ""}); });
  ASSERT_EQ(listed.rows.size(), 2U) << "and the default one";
  const std::string standard = listed.rows[1].schema_id;
  EXPECT_TRUE(ok([&](store::Tx& tx) { return get_label_schema(tx, standard); }).is_default);
  EXPECT_EQ(refused([&](store::Tx& tx) { return delete_label_schema(tx, standard); }).code, Code::kInvalid);

  NewReviewQueue fresh{"0", "First", QueueType::kCustom, {"Bob ", "amy", "bob"}, {made.schema_id, standard}};
  const ReviewQueue queue = ok([&](store::Tx& tx) { return create_review_queue(tx, fresh); });
  EXPECT_THAT(queue.users, ElementsAre("amy", "bob"));
  fresh.name = "FIRST";
  EXPECT_EQ(refused([&](store::Tx& tx) { return create_review_queue(tx, fresh); }).code, Code::kAlreadyExists);
  const UserQueue own{"0", "Ann"};
  const std::string first = ok([&](store::Tx& tx) { return get_or_create_user_queue(tx, own); }).queue_id;
  EXPECT_EQ(ok([&](store::Tx& tx) { return get_or_create_user_queue(tx, own); }).queue_id, first);

  start('1');
  const QueueItems stray{queue.queue_id, {"tr-no"}}, items{queue.queue_id, {id('1'), " " + id('1')}};
  EXPECT_EQ(refused([&](store::Tx& tx) { return add_review_items(tx, stray); }).code, Code::kNotFound);
  EXPECT_EQ(ok([&](store::Tx& tx) { return add_review_items(tx, items); }).size(), 1U);
  ItemStatus status{queue.queue_id, id('1'), ReviewStatus::kComplete, std::nullopt};
  EXPECT_EQ(refused([&](store::Tx& tx) { return set_review_item_status(tx, status); }).code, Code::kInvalid);
  status.completed_by = "Amy";
  EXPECT_EQ(ok([&](store::Tx& tx) { return set_review_item_status(tx, status); }).completed_by, "amy");
  status.completed_by = "other";
  EXPECT_EQ(ok([&](store::Tx& tx) { return set_review_item_status(tx, status); }).completed_by, "amy");
  const QueueUpdate questions{.queue_id = queue.queue_id, .schema_ids = std::vector<std::string>()};
  EXPECT_THAT(refused([&](store::Tx& tx) { return update_review_queue(tx, questions); }).message, HasSubstr("locked"));
  const TraceDeletion gone{.experiment_id = "0", .trace_ids = {id('1')}};
  EXPECT_EQ(ok([&](store::Tx& tx) { return delete_traces_step(tx, gone); }).deleted, 1);
  EXPECT_THAT(ok([&](store::Tx& tx) { return list_review_items(tx, {queue.queue_id}); }).rows, IsEmpty());
}

TEST(PackedText, ComesBackAndRefusesDamage) {
  for (const std::string text :
       {std::string(), std::string("short"), std::string(10'000, 'x'), std::string("é\n\"") + std::string(300, 'y')}) {
    for (const auto backend : {store::Backend::kSqlite, store::Backend::kPostgres}) {
      EXPECT_EQ(*store::unpack_text(backend, store::pack_text(backend, text)), text);
    }
  }
  std::string packed = store::pack_text(store::Backend::kSqlite, std::string(10'000, 'x'));
  EXPECT_LT(packed.size(), 200U);
  packed[6] ^= 0x55;
  EXPECT_FALSE(store::unpack_text(store::Backend::kSqlite, packed));
  EXPECT_FALSE(store::unpack_text(store::Backend::kSqlite, ""));
  EXPECT_FALSE(store::unpack_text(store::Backend::kSqlite, std::string("z\xff\xff\xff\xff", 5)));
}

}  // namespace
}  // namespace traces
