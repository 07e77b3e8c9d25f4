#include "api/lathe/loop.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "api/lathe/errors.h"
#include "api/lathe/loop_json.h"
#include "api/lathe/pages_lineage.h"
#include "api/lathe/routes.h"
#include "base/json.h"
#include "base/limits.h"
#include "flow/flow.h"
#include "net/access.h"
#include "serve/capture.h"
#include "stats/table.h"

namespace api::lathe {
namespace {

constexpr net::RouteLimits kPredictionsBody{.body_bytes = 256 * base::limits::kMiB, .deadline_us = 300'000'000};
constexpr net::RouteLimits kSlow{.body_bytes = base::limits::kSmallBody,
                                 .deadline_us = 300'000'000};  // a model is loaded and tried
constexpr size_t kMaxListed = 500;
constexpr size_t kMaxPartBytes = size_t{1} << 30;

base::Result<size_t> limit_of(const net::Request& request) {
  const auto text = request.query_value("limit");
  if (!text) return size_t{50};
  size_t n = 0;
  const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), n);
  if (ec != std::errc() || end != text->data() + text->size() || n == 0 || n > kMaxListed) {
    return base::invalid("limit is '" + *text + "'; it must be a whole number from 1 to " + std::to_string(kMaxListed));
  }
  return n;
}

// The run that a step works for: its token's, or the one a person names. A stage's token may only do its own step.
base::Result<std::string> run_of(store::Tx& tx, std::string_view named, std::string_view step) {
  const auto& actor = tx.ctx().actor;
  if (actor.attempt.empty()) {
    if (named.empty()) return base::invalid("which run is missing: give its id, as in ?run=pl_…");
    return std::string(named);
  }
  TRY_SET(const auto info, flow::attempt_info(tx, actor.attempt));
  if (info.stage != step)
    return base::fail(base::Code::kForbidden,
                      "stage '" + info.stage + "' of a run may not do what its '" + std::string(step) + "' stage does");
  if (!named.empty() && named != info.run)
    return base::fail(base::Code::kForbidden, "an attempt speaks for its own run " + info.run);
  return info.run;
}

struct ReadPlan {
  loop::EvaluationPlan plan;
  std::vector<PlannedWork> todo;
};
base::Result<ReadPlan> read_plan(store::Tx& tx, std::string_view run) {
  ReadPlan out;
  TRY_SET(out.plan, loop::evaluation_plan(tx, run));
  for (const auto& task : out.plan.todo) {
    PlannedWork work{.task = task, .files = blob::list_artifacts(tx, task.model.artifact_root)};
    TRY_SET(work.rows, loop::part_file(tx, out.plan.data.id, task.part));
    out.todo.push_back(std::move(work));
  }
  return out;
}

base::Task<void> get_plan(const LoopDoor& door, net::Request& request, net::Response& response) {
  const std::string named = request.query_value("run").value_or("");
  auto read = [&](store::Tx& tx) -> base::Result<ReadPlan> {
    TRY_SET(const auto run, run_of(tx, named, "evaluate"));
    return read_plan(tx, run);
  };
  const auto found = co_await door.store.read(request.ctx, read);
  if (!found) co_return fail(response, request, found.error());
  std::string out;
  base::JsonWriter w(out);
  write_plan(w, found->plan, found->todo);
  response.send_json(std::move(out));
}

// --- evaluations ----------------------------------------------------------------------------------------------------

struct EvaluationRequest {
  std::string run, purpose, side, part, model;
  loop::Predictions predictions;
};

base::Result<std::string> label_text(const base::json::value& value) {
  if (value.is_string()) return std::string(value.get_string());
  if (value.is_int64()) return std::to_string(value.get_int64());
  if (value.is_number()) return stats::number_text(value.to_number<double>());
  if (value.is_bool()) return std::string(value.get_bool() ? "True" : "False");
  return base::invalid("a label must be a string or a number, found " + std::string(base::kind_name(value.kind())));
}

base::Result<std::vector<std::string>> label_list(const base::json::array& array) {
  std::vector<std::string> out;
  out.reserve(array.size());
  for (const auto& value : array) {
    TRY_SET(auto text, label_text(value));
    out.push_back(std::move(text));
  }
  return out;
}

base::Result<EvaluationRequest> parse_evaluation(std::string_view body) {
  TRY_SET(const auto value, base::parse_json(body));
  TRY_SET(const auto* object, base::as_object(value, "the body"));
  EvaluationRequest out;
  TRY_SET(auto run, base::optional_string(*object, "run"));
  out.run = run.value_or("");
  TRY_SET(out.purpose, base::required_string(*object, "purpose"));
  TRY_SET(out.side, base::required_string(*object, "side"));
  TRY_SET(out.part, base::required_string(*object, "part"));
  TRY_SET(out.model, base::required_string(*object, "model"));
  TRY_SET(const auto* predicted, base::required_array(*object, "predictions"));
  TRY_SET(out.predictions.predicted, label_list(*predicted));
  if (object->contains("classes")) {
    TRY_SET(const auto* classes, base::required_array(*object, "classes"));
    TRY_SET(out.predictions.classes, label_list(*classes));
  }
  if (object->contains("scores")) {
    TRY_SET(const auto* scores, base::required_array(*object, "scores"));
    for (const auto& score : *scores) {
      if (!score.is_number()) return base::invalid("field 'scores' must hold numbers only, row by row");
      out.predictions.scores.push_back(score.to_number<double>());
    }
  }
  return out;
}

struct Measured {
  loop::Scores scores;
  blob::BlobInfo predictions;
  std::optional<blob::BlobInfo> transform;
};

// Every candidate's scores on the part that selects are what its calibration is fitted on: the gate's rows see the
// version as it would serve.
base::Result<std::optional<blob::BlobInfo>> fit_answers(blob::BlobStore& blobs, const ReadPlan& plan,
                                                        const PlannedWork& work, const stats::Table& table,
                                                        const loop::Predictions& predictions) {
  const loop::ModelConfig& model = *plan.plan.config.model;
  const bool asked = model.calibrate != stats::CalibrationKind::kNone || !model.thresholds.empty();
  if (work.task.purpose != "select" || !asked) return std::nullopt;
  stats::Transform transform;
  if (!work.task.model.transform_digest.empty()) {
    TRY_SET(const auto digest, base::Digest::from_hex(base::HashAlgo::kSha256, work.task.model.transform_digest));
    TRY_SET(const auto text, blobs.get(digest, kMaxPartBytes));
    TRY_SET(transform, stats::Transform::parse(text));
  }
  auto fitted = loop::with_answer_rule(std::move(transform), model, table, plan.plan.data.label, predictions);
  if (!fitted) return std::unexpected(std::move(fitted).error().within("model " + work.task.model.subject));
  TRY_SET(auto stored, blobs.put(fitted->to_json()));
  return std::optional(std::move(stored));
}

base::Result<Measured> measure(blob::BlobStore& blobs, const ReadPlan& plan, const PlannedWork& work,
                               const loop::Predictions& predictions) {
  TRY_SET(const auto csv, blobs.get(work.rows.digest, kMaxPartBytes));
  TRY_SET(const auto table, stats::parse_csv(csv));
  loop::ScoringRule rule{.evaluate = plan.plan.config.evaluate};
  if (const auto* env = plan.plan.environment())
    rule.confidence = env->gate.confidence, rule.seed = static_cast<uint64_t>(env->gate.seed);
  Measured out;
  TRY_SET(out.scores, loop::score(rule, table, plan.plan.data.label, predictions));
  TRY_SET(out.predictions, blobs.put(out.scores.predictions_csv));
  TRY_SET(out.transform, fit_answers(blobs, plan, work, table, predictions));
  return out;
}

void send_evaluation(net::Response& response, const loop::Evaluation& evaluation, int status) {
  std::string out;
  base::JsonWriter w(out);
  write_evaluation(w, evaluation, true);
  response.send_json(std::move(out), status);
}

base::Task<void> post_evaluation(const LoopDoor& door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto wanted = parse_evaluation(*body);
  if (!wanted) co_return fail(response, request, wanted.error());
  const auto same = [&](const auto& other, std::string_view model) {
    return other.purpose == wanted->purpose && other.side == wanted->side && other.part == wanted->part &&
           model == wanted->model;
  };
  auto read = [&](store::Tx& tx) -> base::Result<ReadPlan> {
    TRY_SET(const auto run, run_of(tx, wanted->run, "evaluate"));
    return read_plan(tx, run);
  };
  const auto plan = co_await door.store.read(request.ctx, read);
  if (!plan) co_return fail(response, request, plan.error());
  for (const auto& done : plan->plan.done) {
    if (same(done, done.subject)) co_return send_evaluation(response, done, 200);  // said before
  }
  const auto work = std::find_if(plan->todo.begin(), plan->todo.end(),
                                 [&](const PlannedWork& w) { return same(w.task, w.task.model.subject); });
  if (work == plan->todo.end()) {
    co_return fail(response, request,
                   {base::Code::kConflict, "the run's plan does not ask for " + wanted->model + " on " + wanted->part +
                                               " now; read GET /evaluation-plan"});
  }
  const auto measured =
      co_await door.offload.run([&] { return measure(door.blobs, *plan, *work, wanted->predictions); });
  if (!measured) co_return fail(response, request, measured.error());
  const auto stored = co_await door.store.write(request.ctx, [&](store::Tx& tx) {
    return loop::store_evaluation(tx, plan->plan, work->task, measured->scores, work->rows.digest.hex(),
                                  measured->predictions, tx.ctx().actor.attempt, measured->transform);
  });
  if (!stored) co_return fail(response, request, stored.error());
  send_evaluation(response, *stored, 201);
}

base::Task<void> get_evaluation(const LoopDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("id"));
  const auto found = co_await door.store.read(request.ctx, [&](store::Tx& tx) { return loop::get_evaluation(tx, id); });
  if (!found) co_return fail(response, request, found.error());
  send_evaluation(response, *found, 200);
}

// Reads a list and answers {"<name>": […]}.
template <class Read, class Write>
base::Task<void> send_list(const LoopDoor& door, net::Request& request, net::Response& response, std::string_view name,
                           Read read, Write write) {
  const auto limit = limit_of(request);
  if (!limit) co_return fail(response, request, limit.error());
  auto in_tx = [&](store::Tx& tx) -> base::Result<decltype(read(tx, *limit))> {
    auto out = read(tx, *limit);
    TRY(tx.status());
    return out;
  };
  const auto all = co_await door.store.read(request.ctx, in_tx);
  if (!all) co_return fail(response, request, all.error());
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().key(name).begin_array();
  for (const auto& one : *all) write(w, one);
  w.end_array().end_object();
  response.send_json(std::move(out));
}

base::Task<void> list_evaluations(const LoopDoor& door, net::Request& request, net::Response& response) {
  const std::string run = request.query_value("run").value_or("");
  return send_list(
      door, request, response, "evaluations",
      [run](store::Tx& tx, size_t limit) { return loop::list_evaluations(tx, run, limit); },
      [](base::JsonWriter& w, const loop::Evaluation& e) { write_evaluation(w, e, false); });
}

// --- verdicts -------------------------------------------------------------------------------------------------------

base::Result<std::string> optional_field(std::string_view body, std::string_view key) {
  if (body.empty()) return std::string();
  TRY_SET(const auto value, base::parse_json(body));
  TRY_SET(const auto* object, base::as_object(value, "the body"));
  TRY_SET(auto text, base::optional_string(*object, key));
  return text.value_or("");
}

void send_verdict(net::Response& response, const loop::Verdict& verdict, int status) {
  std::string out;
  base::JsonWriter w(out);
  write_verdict(w, verdict);
  response.send_json(std::move(out), status);
}

struct Judged {
  std::string kind;
  loop::GateResult result;
};
base::Result<Judged> judge(blob::BlobStore& blobs, const loop::EvaluationPlan& plan) {
  if (plan.serves_already()) return Judged{"unchanged", loop::unchanged_result(plan)};
  TRY_SET(const auto input, loop::gate_input(plan, blobs));
  TRY_SET(auto result, loop::judge(input));
  return Judged{std::string(loop::name(input.kind)), std::move(result)};
}

base::Task<void> post_verdict(const LoopDoor& door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto named = optional_field(*body, "run");
  if (!named) co_return fail(response, request, named.error());
  struct Found {
    loop::EvaluationPlan plan;
    std::optional<loop::Verdict> verdict;
  };
  auto read = [&](store::Tx& tx) -> base::Result<Found> {
    TRY_SET(const auto run, run_of(tx, *named, "gate"));
    Found out;
    TRY_SET(out.verdict, loop::verdict_of_run(tx, run));
    if (out.verdict) return out;
    TRY_SET(out.plan, loop::evaluation_plan(tx, run));
    return out;
  };
  const auto found = co_await door.store.read(request.ctx, read);
  if (!found) co_return fail(response, request, found.error());
  if (found->verdict) co_return send_verdict(response, *found->verdict, 200);
  const auto judged = co_await door.offload.run([&] { return judge(door.blobs, found->plan); });
  if (!judged) co_return fail(response, request, judged.error());
  const auto stored = co_await door.store.write(request.ctx, [&](store::Tx& tx) {
    return loop::store_verdict(tx, found->plan, judged->kind, judged->result, tx.ctx().actor.attempt);
  });
  if (!stored) co_return fail(response, request, stored.error());
  send_verdict(response, *stored, 201);
}

base::Task<void> get_verdict(const LoopDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("id"));
  const auto found = co_await door.store.read(request.ctx, [&](store::Tx& tx) { return loop::get_verdict(tx, id); });
  if (!found) co_return fail(response, request, found.error());
  send_verdict(response, *found, 200);
}

base::Task<void> list_verdicts(const LoopDoor& door, net::Request& request, net::Response& response) {
  const std::string pipeline = request.query_value("pipeline").value_or("");
  const std::string run = request.query_value("run").value_or("");
  auto read = [pipeline, run](store::Tx& tx, size_t limit) {
    if (run.empty()) return loop::list_verdicts(tx, pipeline, limit);
    std::vector<loop::Verdict> out;
    if (auto one = loop::verdict_of_run(tx, run); one && *one) out.push_back(std::move(**one));
    return out;
  };
  return send_list(door, request, response, "verdicts", read, write_verdict);
}

// --- promotion, rollback --------------------------------------------------------------------------------------------

void send_promotion(net::Response& response, const loop::Promotion& promotion) {
  std::string out;
  base::JsonWriter w(out);
  write_promotion(w, promotion);
  response.send_json(std::move(out));
}

base::Result<loop::PromoteRequest> parse_promote(std::string_view body) {
  loop::PromoteRequest out;
  TRY_SET(out.verdict, optional_field(body, "verdict"));
  TRY_SET(out.pipeline, optional_field(body, "pipeline"));
  TRY_SET(out.environment, optional_field(body, "environment"));
  if (body.empty()) return out;
  TRY_SET(const auto value, base::parse_json(body));
  const auto* traffic = value.as_object().if_contains("traffic");
  if (!traffic || traffic->is_null()) return out;
  if (!traffic->is_number()) return base::invalid("'traffic' must be a percentage");
  TRY_SET(out.share, serve::share_of_percent(traffic->to_number<double>()));
  return out;
}

base::Task<void> post_promotion(const LoopDoor& door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  auto wanted = parse_promote(*body);
  if (!wanted) co_return fail(response, request, wanted.error());
  if (!request.ctx.actor.attempt.empty()) {  // a run's own promote stage: its own verdict, to where it is about
    auto own = [&](store::Tx& tx) -> base::Result<loop::PromoteRequest> {
      TRY_SET(const auto run, run_of(tx, "", "promote"));
      TRY_SET(const auto verdict, loop::verdict_of_run(tx, run));
      if (!verdict) return base::fail(base::Code::kConflict, "run " + run + " has no verdict yet");
      return loop::PromoteRequest{.verdict = verdict->id};
    };
    wanted = co_await door.store.read(request.ctx, own);
    if (!wanted) co_return fail(response, request, wanted.error());
  } else if (wanted->verdict.empty() && (wanted->pipeline.empty() || wanted->environment.empty())) {
    co_return fail(response, request,
                   {base::Code::kInvalid, "say what to promote: 'verdict', or 'pipeline' and 'environment'"});
  }
  // A run was started by somebody who may run code.
  wanted->may_run_code = !request.ctx.actor.attempt.empty() ||
                         (request.grant && request.grant->permissions.has(base::Permission::kRunCode));
  loop::Promoter promoter(door.store, door.blobs, door.runtime);
  const auto done = co_await door.offload.run([&] { return promoter.promote(request.ctx, *wanted); });
  if (!done) co_return fail(response, request, done.error());
  send_promotion(response, *done);
}

base::Task<void> post_rollback(const LoopDoor& door, net::Request& request, net::Response& response) {
  const std::string name(request.param("name"));
  loop::Promoter promoter(door.store, door.blobs, door.runtime);
  const auto done = co_await door.offload.run([&] { return promoter.rollback(request.ctx, name); });
  if (!done) co_return fail(response, request, done.error());
  send_promotion(response, *done);
}

base::Task<void> list_promotions(const LoopDoor& door, net::Request& request, net::Response& response) {
  const std::string endpoint = request.query_value("endpoint").value_or("");
  return send_list(
      door, request, response, "promotions",
      [endpoint](store::Tx& tx, size_t limit) { return loop::list_promotions(tx, endpoint, limit); }, write_promotion);
}

base::Task<void> list_retrainings(const LoopDoor& door, net::Request& request, net::Response& response) {
  const std::string endpoint = request.query_value("endpoint").value_or("");
  return send_list(
      door, request, response, "retrainings",
      [endpoint](store::Tx& tx, size_t limit) { return loop::list_retrainings(tx, endpoint, limit); },
      write_retraining);
}

// --- lineage --------------------------------------------------------------------------------------------------------

base::Task<void> get_lineage(const LoopDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("id"));
  const std::string said = request.query_value("direction").value_or("upstream");
  if (said != "upstream" && said != "downstream") {
    co_return fail(response, request,
                   {base::Code::kInvalid, "direction is '" + said + "'; allowed: upstream, downstream"});
  }
  const auto direction = said == "upstream" ? core::Direction::kUpstream : core::Direction::kDownstream;
  const auto node = co_await door.store.read(request.ctx, [&](store::Tx& tx) { return loop::find_node(tx, id); });
  if (!node) co_return fail(response, request, node.error());
  auto extra = co_await prediction_edges(door.runtime, door.offload, request.ctx.project, *node);
  if (!extra) co_return fail(response, request, extra.error());
  if (direction == core::Direction::kDownstream) extra->clear();
  const auto graph =
      co_await door.store.read(request.ctx, [&](store::Tx& tx) { return loop::lineage(tx, *node, direction, *extra); });
  if (!graph) co_return fail(response, request, graph.error());
  std::string out;
  base::JsonWriter w(out);
  write_lineage(w, *graph);
  response.send_json(std::move(out));
}

}  // namespace

void add_loop_routes(net::RouteTable& routes, const LoopDoor& door) {
  using base::Permission;
  using net::Method;
  const auto add = route_adder(routes, door);
  add(Method::kGet, "/evaluation-plan", Permission::kRead, kNoBody, get_plan);
  add(Method::kPost, "/evaluations", Permission::kWrite, kPredictionsBody, post_evaluation);
  add(Method::kGet, "/evaluations", Permission::kRead, kNoBody, list_evaluations);
  add(Method::kGet, "/evaluations/{id}", Permission::kRead, kNoBody, get_evaluation);
  add(Method::kPost, "/verdicts", Permission::kWrite, kSlow, post_verdict);
  add(Method::kGet, "/verdicts", Permission::kRead, kNoBody, list_verdicts);
  add(Method::kGet, "/verdicts/{id}", Permission::kRead, kNoBody, get_verdict);
  add(Method::kPost, "/promotions", Permission::kWrite, kSlow, post_promotion);
  add(Method::kGet, "/promotions", Permission::kRead, kNoBody, list_promotions);
  add(Method::kPost, "/endpoints/{name}/rollback", Permission::kRunCode, kSlow, post_rollback);
  add(Method::kGet, "/retrainings", Permission::kRead, kNoBody, list_retrainings);
  add(Method::kGet, "/lineage/{id...}", Permission::kRead, kNoBody, get_lineage);
}

}  // namespace api::lathe
