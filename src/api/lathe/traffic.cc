#include "api/lathe/traffic.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "api/lathe/errors.h"
#include "api/lathe/page_args.h"
#include "api/lathe/page_text.h"
#include "api/lathe/routes.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "loop/bandit.h"
#include "loop/graphs.h"
#include "loop/promote.h"
#include "loop/roller.h"
#include "loop/verdict.h"
#include "serve/replay.h"
#include "serve/traffic.h"
#include "stats/compare.h"
#include "stats/metrics.h"
#include "track/registry.h"
#include "watch/watch.h"

namespace api::lathe {
namespace {

using base::Result;
using base::Task;

constexpr int64_t kDayUs = 86'400'000'000;
constexpr size_t kMirroredRequests = 5000;  // newest ones whose labels are compared
constexpr size_t kMaxScanned = 40'000;
constexpr size_t kMaxLabels = 5000;
constexpr size_t kDefaultReplay = 1000;
constexpr net::RouteLimits kSlow{.body_bytes = base::limits::kSmallBody, .deadline_us = 300'000'000};

// --- what came of it -------------------------------------------------------------------------------------------------

// Rows that both the one who answered and the shadow predicted, and whose truth is known.
struct Paired {
  int64_t revision = 0, shadow = 0;
  int64_t rows = 0, primary_correct = 0, shadow_correct = 0;
  int64_t primary_only = 0, shadow_only = 0;
};

struct Numbers {
  serve::Endpoint endpoint;
  std::vector<serve::Revision> revisions;  // all of the endpoint
  std::map<int64_t, serve::TrafficPoint> traffic;
  std::map<int64_t, loop::RevisionLabels> labels;
  std::vector<serve::MirrorPoint> mirrored;
  std::vector<loop::Rollout> rollouts;
  std::vector<loop::BanditDecision> decisions;
  std::optional<Paired> paired;
};

Result<std::optional<Paired>> paired_labels(const LoopDoor& door, const base::Context& ctx, const std::string& name,
                                            int64_t shadow, int64_t since_us) {
  if (shadow == 0) return std::nullopt;
  const auto wanted = [&](const serve::CapturedRequest& r) {
    return r.role == serve::kShadowRole && r.revision == shadow && r.at_us >= since_us;
  };
  TRY_SET(const auto copies, door.runtime.capture().read_newest(ctx.project, name, serve::Capture::kNow,
                                                                kMirroredRequests, kMaxScanned, wanted));
  if (copies.requests.empty()) return std::nullopt;
  TRY_SET(const auto labels, door.store.read_blocking(ctx, [&](store::Tx& tx) -> Result<std::vector<watch::Feedback>> {
    auto found = watch::labels_since(tx, name, since_us, kMaxLabels);
    TRY(tx.status());
    return found;
  }));
  std::map<std::string, std::vector<const watch::Feedback*>> by_prediction;
  for (const auto& label : labels) by_prediction[label.prediction].push_back(&label);
  std::vector<std::string> ids;
  std::vector<const serve::CapturedRequest*> of;
  for (const auto& copy : copies.requests) {
    if (!by_prediction.contains(copy.client_id)) continue;
    ids.push_back(copy.client_id);
    of.push_back(&copy);
  }
  Paired out{.shadow = shadow};
  if (ids.empty()) return out;
  TRY_SET(const auto primaries, door.runtime.capture().find(ids));
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto& primary = primaries[i];
    if (!primary || primary->project != ctx.project || primary->endpoint != name) continue;
    out.revision = primary->revision;
    for (const watch::Feedback* label : by_prediction[ids[i]]) {
      const auto row = static_cast<size_t>(label->row);
      if (row >= primary->labels.size() || row >= of[i]->labels.size()) continue;
      const bool right = stats::canonical_label(std::string_view(primary->labels[row])) == label->label;
      const bool shadow_right = stats::canonical_label(std::string_view(of[i]->labels[row])) == label->label;
      ++out.rows;
      out.primary_correct += right;
      out.shadow_correct += shadow_right;
      out.primary_only += right && !shadow_right;
      out.shadow_only += shadow_right && !right;
    }
  }
  return out;
}

Result<Numbers> numbers_of(const LoopDoor& door, const base::Context& ctx, const std::string& name, int64_t since_us) {
  const int64_t now_us = ctx.now_us;
  TRY_SET(Numbers out, door.store.read_blocking(ctx, [&](store::Tx& tx) -> Result<Numbers> {
    Numbers found;
    TRY_SET(found.endpoint, serve::get_endpoint(tx, name));
    found.revisions = serve::list_revisions(tx, name);
    const int64_t step = std::max(serve::kTrafficStepUs, (now_us - since_us) / 1000);
    TRY_SET(const auto points, serve::traffic(tx, {name, since_us, now_us, step, true}));
    for (const auto& point : points) found.traffic[point.revision].add(point);
    TRY_SET(found.mirrored, serve::mirrored(tx, name, since_us, now_us + serve::kTrafficStepUs));
    found.rollouts = loop::list_rollouts(tx, name);
    if (found.endpoint.traffic.bandit) found.decisions = loop::list_bandit_decisions(tx, name);
    TRY(tx.status());
    return found;
  }));
  TRY_SET(const auto labels, loop::labels_by_revision(door.store, door.runtime, ctx, name, since_us));
  for (const auto& sum : labels) out.labels[sum.revision] = sum;
  TRY_SET(out.paired, paired_labels(door, ctx, name, out.endpoint.traffic.shadow, since_us));
  return out;
}

void write_optional(base::JsonWriter& w, std::string_view key, std::optional<double> value) {
  w.key(key);
  value ? w.value(*value) : w.null();
}

void write_revision(base::JsonWriter& w, const LoopDoor& door, int64_t project, const Numbers& n,
                    const serve::Revision& r) {
  const auto live = door.runtime.route(project, n.endpoint.name);
  const auto* loaded = live ? serve::find_revision(live, r.number) : nullptr;
  const bool shadows = live && live->shadow && live->shadow->target->revision.number == r.number;
  w.begin_object().field("revision", r.number).field("model", r.model_name).field("version", r.model_version);
  w.field("weight", n.endpoint.traffic.share_of(r.number, n.endpoint.live_revision) / 100.0);
  w.field("live", r.number == n.endpoint.live_revision).field("shadow", r.number == n.endpoint.traffic.shadow);
  w.field("loaded", shadows || (loaded != nullptr && (*loaded)->predictor != nullptr));
  const auto traffic = n.traffic.find(r.number);
  const serve::TrafficPoint none;
  const serve::TrafficPoint& t = traffic == n.traffic.end() ? none : traffic->second;
  w.field("requests", t.requests).field("failures", t.failures).field("faults", t.faults);
  write_optional(w, "p50", t.latency.quantile(0.5));
  write_optional(w, "p95", t.latency.quantile(0.95));
  const auto labels = n.labels.find(r.number);
  w.field("labelled", labels == n.labels.end() ? int64_t{0} : labels->second.labelled);
  w.field("correct", labels == n.labels.end() ? int64_t{0} : labels->second.correct).end_object();
}

std::optional<double> mean(const stats::Share& share) {
  if (share.trials == 0) return std::nullopt;
  return static_cast<double>(share.successes) / static_cast<double>(share.trials);
}

void write_test(base::JsonWriter& w, const Numbers& n, int64_t challenger) {
  const auto share = [&](int64_t revision) {
    const auto found = n.labels.find(revision);
    return found == n.labels.end() ? stats::Share{} : stats::Share{found->second.correct, found->second.labelled};
  };
  const auto test = stats::two_proportions(share(n.endpoint.live_revision), share(challenger));
  w.begin_object().field("champion", n.endpoint.live_revision).field("challenger", challenger);
  w.field("test", "two proportions").field("difference", test.difference).field("low", test.interval.low);
  w.field("high", test.interval.high).field("p", test.p_two_sided).end_object();
}

// The A/B test of one revision against the live one, by what the endpoint's outcome is, and how many rows it lacks.
void write_comparison(base::JsonWriter& w, const Numbers& n, int64_t challenger) {
  const auto of = [&](int64_t revision) {
    const auto found = n.labels.find(revision);
    return found == n.labels.end() ? loop::RevisionLabels{} : found->second;
  };
  const loop::RevisionLabels a = of(n.endpoint.live_revision), b = of(challenger);
  const serve::Outcome outcome = n.endpoint.traffic.outcome;
  w.begin_object().field("champion", n.endpoint.live_revision).field("challenger", challenger);
  w.field("outcome", serve::name(outcome)).field("better", outcome == serve::Outcome::kError ? "less" : "more");
  int64_t needed = 0, rows_a = 0, rows_b = 0;
  if (outcome == serve::Outcome::kAccuracy) {
    const stats::Share x{a.correct, a.labelled}, y{b.correct, b.labelled};
    const auto test = stats::two_proportions(x, y);
    rows_a = x.trials, rows_b = y.trials, needed = stats::rows_needed(x, y);
    w.field("test", "two proportions");
    write_optional(w, "champion_mean", mean(x));
    write_optional(w, "challenger_mean", mean(y));
    w.field("statistic", test.z).field("difference", test.difference).field("low", test.interval.low);
    w.field("high", test.interval.high).field("p", test.p_two_sided);
  } else {
    const auto& x = outcome == serve::Outcome::kError ? a.error : a.reward;
    const auto& y = outcome == serve::Outcome::kError ? b.error : b.reward;
    const auto test = stats::welch(x, y);
    rows_a = x.rows, rows_b = y.rows, needed = stats::rows_needed(x, y);
    w.field("test", "Welch");
    write_optional(w, "champion_mean", x.rows > 0 ? std::optional(x.mean) : std::nullopt);
    write_optional(w, "challenger_mean", y.rows > 0 ? std::optional(y.mean) : std::nullopt);
    w.field("statistic", test.t).field("difference", test.difference).field("low", test.interval.low);
    w.field("high", test.interval.high).field("p", test.p_two_sided);
  }
  // Of each side; 0 needed: no difference was seen yet, so nobody can say.
  w.field("champion_rows", rows_a).field("challenger_rows", rows_b).field("rows_needed", needed);
  w.field("rows_missing", std::max<int64_t>(0, needed - std::min(rows_a, rows_b))).end_object();
}

void write_rules(base::JsonWriter& w, const LoopDoor& door, int64_t project, const Numbers& n) {
  const serve::TrafficPlan& plan = n.endpoint.traffic;
  const auto live = door.runtime.route(project, n.endpoint.name);
  w.key("rules").begin_array();
  for (const auto& rule : plan.rules) {
    const auto used = [&](const auto& one) { return one.revision == rule.revision && !one.target.expired(); };
    const bool in_force = live && live->rules && std::ranges::any_of(live->rules->rules, used);
    w.begin_object().field("when", rule.when).field("revision", rule.revision).field("in_force", in_force).end_object();
  }
  w.end_array().field("outcome", serve::name(plan.outcome)).key("bandit");
  if (!plan.bandit) return void(w.null());
  w.begin_object().field("floor", plan.bandit->floor / 100.0).field("seed", static_cast<int64_t>(plan.bandit->seed));
  w.field("every_us", plan.bandit->every_us).field("since_us", plan.bandit->since_us).key("decisions").begin_array();
  for (const auto& decision : n.decisions) {
    w.begin_object().field("at_us", decision.at_us).field("generation", decision.generation);
    w.key("why").raw(decision.body).end_object();
  }
  w.end_array().end_object();
}

void write_mirror(base::JsonWriter& w, const Numbers& n) {
  const serve::TrafficPlan& plan = n.endpoint.traffic;
  w.key("shadow");
  if (plan.shadow == 0) {
    w.null();
  } else {
    w.begin_object().field("revision", plan.shadow).field("percent", plan.shadow_share / 100.0).end_object();
  }
  w.key("mirrored").begin_array();
  for (const auto& m : n.mirrored) {
    const auto share = [](double part, int64_t whole) {
      return whole > 0 ? std::optional(part / static_cast<double>(whole)) : std::nullopt;
    };
    w.begin_object().field("revision", m.revision).field("shadow", m.shadow).field("requests", m.requests);
    w.field("rows", m.rows).field("agreed", m.agreed).field("failures", m.failures).field("dropped", m.dropped);
    write_optional(w, "agreement", share(static_cast<double>(m.agreed), m.rows));
    write_optional(w, "score_difference", share(m.difference, m.scored));
    w.field("largest_difference", m.most);
    write_optional(w, "mean_seconds", share(m.seconds, m.requests - m.failures));
    w.end_object();
  }
  w.end_array().key("paired");
  if (!n.paired) return void(w.null());
  const Paired& p = *n.paired;
  const auto test = stats::mcnemar(p.primary_only, p.shadow_only);
  w.begin_object().field("test", "McNemar").field("revision", p.revision).field("shadow", p.shadow);
  w.field("rows", p.rows).field("primary_correct", p.primary_correct).field("shadow_correct", p.shadow_correct);
  w.field("primary_only", p.primary_only).field("shadow_only", p.shadow_only).field("p", test.exact_p).end_object();
}

void write_rollout(base::JsonWriter& w, const loop::Rollout& r) {
  w.begin_object().field("revision", r.revision).field("champion", r.champion).field("verdict", r.verdict);
  w.field("state", r.state).field("phase", r.at.phase(r.rule) == loop::RolloutPhase::kCanary ? "canary" : "bake");
  w.field("step", static_cast<int64_t>(r.at.step)).key("steps").begin_array();
  for (const uint32_t step : r.rule.steps) w.value(step / 100.0);
  w.end_array().field("wait_us", r.rule.wait_us).field("bake_us", r.rule.bake_us).field("since_us", r.at.since_us);
  w.field("max_errors", r.rule.max_errors).field("max_slowdown", r.rule.max_slowdown);
  w.field("min_requests", r.rule.min_requests).field("max_regression", r.rule.max_regression);
  w.field("reason", r.reason).key("numbers");
  r.numbers.empty() ? w.null() : w.raw(r.numbers);
  w.field("started_us", r.started_us).field("ended_us", r.ended_us).end_object();
}

std::string render(const LoopDoor& door, int64_t project, const Numbers& n) {
  std::string out;
  base::JsonWriter w(out);
  const serve::Endpoint& e = n.endpoint;
  w.begin_object().field("endpoint", e.name).field("live_revision", e.live_revision);
  w.field("previous_revision", e.previous_revision).field("generation", e.generation).field("sticky", e.traffic.sticky);
  w.field("describe", serve::describe(e.traffic, e.live_revision)).key("revisions").begin_array();
  for (const auto& r : n.revisions) write_revision(w, door, project, n, r);
  w.end_array().key("accuracy").begin_array();
  for (const auto& part : e.traffic.parts)
    if (part.revision != e.live_revision) write_test(w, n, part.revision);
  w.end_array().key("comparisons").begin_array();
  for (const auto& part : e.traffic.parts)
    if (part.revision != e.live_revision) write_comparison(w, n, part.revision);
  w.end_array();
  write_rules(w, door, project, n);
  write_mirror(w, n);
  w.key("rollouts").begin_array();
  for (const auto& r : n.rollouts) write_rollout(w, r);
  w.end_array().end_object();
  return out;
}

Task<void> get_traffic(const TrafficDoor& door, net::Request& request, net::Response& response) {
  const std::string name(request.param("name"));
  PageArgs args(request);
  const int64_t since_us = args.integer("since_us", request.ctx.now_us - kDayUs, 0, request.ctx.now_us);
  if (const auto fine = args.status(); !fine) co_return fail(response, request, fine.error());
  const auto numbers =
      co_await door.loop.offload.run([&] { return numbers_of(door.loop, request.ctx, name, since_us); });
  if (!numbers) co_return fail(response, request, numbers.error());
  response.send_json(render(door.loop, request.ctx.project, *numbers));
}

// --- changing it -----------------------------------------------------------------------------------------------------

Result<int64_t> revision_of(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number <= 0)
    return base::invalid("'" + std::string(text.substr(0, 40)) + "' is no revision's number");
  return number;
}

Result<uint32_t> share_in(const base::json::value& value, const std::string& what) {
  if (!value.is_number()) return base::invalid(what + " must be a percentage");
  return serve::share_of_percent(value.to_number<double>());
}

// "rules": [{"when": "header[\"x-tier\"] == \"gold\"", "revision": 3}]
Result<void> parse_rules(const base::json::object& object, serve::TrafficPlan& plan) {
  const auto* rules = object.if_contains("rules");
  if (!rules || rules->is_null()) return {};
  TRY_SET(const auto* list, base::required_array(object, "rules"));
  for (const auto& entry : *list) {
    TRY_SET(const auto* rule, base::as_object(entry, "a rule"));
    serve::TrafficRule one;
    TRY_SET(one.when, base::required_string(*rule, "when"));
    TRY_SET(one.revision, base::required_int(*rule, "revision"));
    plan.rules.push_back(std::move(one));
  }
  return {};
}

// "bandit": {"floor": 5, "seed": 1, "every_s": 60}, "outcome": "accuracy"
Result<void> parse_bandit(const base::json::object& object, serve::TrafficPlan& plan) {
  TRY_SET(const auto outcome, base::optional_string(object, "outcome"));
  if (outcome) {
    const auto known = serve::parse_outcome(*outcome);
    if (!known)
      return base::invalid("outcome '" + outcome->substr(0, 40) + "' is not known; allowed: accuracy, error, reward");
    plan.outcome = *known;
  }
  const auto* found = object.if_contains("bandit");
  if (!found || found->is_null()) return {};
  TRY_SET(const auto* bandit, base::as_object(*found, "'bandit'"));
  serve::BanditPlan out;
  for (const auto& entry : *bandit) {
    const std::string_view key = entry.key();
    if (key == "floor") {
      TRY_SET(out.floor, share_in(entry.value(), "the bandit's floor"));
    } else if (key == "seed") {
      TRY_SET(const int64_t seed, base::required_int(*bandit, "seed"));
      out.seed = static_cast<uint64_t>(seed);
    } else if (key == "every_s") {
      TRY_SET(const int64_t seconds, base::required_int(*bandit, "every_s"));
      if (seconds < 1 || seconds > 86'400) return base::invalid("a bandit decides every 1 to 86400 seconds");
      out.every_us = seconds * 1'000'000;
    } else {
      return base::invalid("field '" + std::string(key.substr(0, 40)) +
                           "' of a bandit is not known; allowed: floor, seed, every_s");
    }
  }
  plan.bandit = out;
  return {};
}

Result<loop::TrafficRequest> parse_traffic(std::string_view body, std::string_view endpoint) {
  TRY_SET(const auto value, base::parse_json(body));
  TRY_SET(const auto* object, base::as_object(value, "the body"));
  loop::TrafficRequest out{.endpoint = std::string(endpoint)};
  for (const auto& entry : *object) {
    static constexpr std::string_view kKeys[] = {"weights", "shadow", "shadow_percent", "sticky",
                                                 "rules",   "bandit", "outcome",        "generation"};
    if (std::ranges::find(kKeys, std::string_view(entry.key())) == std::end(kKeys))
      return base::invalid("field '" + std::string(entry.key()).substr(0, 40) +
                           "' is not known; allowed: weights, shadow, shadow_percent, sticky, rules, bandit, outcome, "
                           "generation");
  }
  if (const auto* weights = object->if_contains("weights"); weights && !weights->is_null()) {
    TRY_SET(const auto* map, base::as_object(*weights, "'weights'"));
    for (const auto& entry : *map) {
      TRY_SET(const int64_t revision, revision_of(std::string_view(entry.key())));
      TRY_SET(const uint32_t share, share_in(entry.value(), "the weight of revision " + std::to_string(revision)));
      out.plan.parts.push_back({revision, share});
    }
  }
  if (const auto* shadow = object->if_contains("shadow"); shadow && !shadow->is_null()) {
    TRY_SET(out.plan.shadow, base::required_int(*object, "shadow"));
    if (out.plan.shadow < 0) return base::invalid("'shadow' must be a revision's number, or 0 for none");
  }
  if (const auto* percent = object->if_contains("shadow_percent"); percent && !percent->is_null()) {
    TRY_SET(out.plan.shadow_share, share_in(*percent, "'shadow_percent'"));
  }
  TRY_SET(const auto sticky, base::optional_string(*object, "sticky"));
  out.plan.sticky = sticky.value_or("");
  TRY(parse_rules(*object, out.plan));
  TRY(parse_bandit(*object, out.plan));
  if (const auto* generation = object->if_contains("generation"); generation && !generation->is_null()) {
    TRY_SET(out.generation, base::required_int(*object, "generation"));
  }
  return out;
}

Task<void> put_traffic(const TrafficDoor& door, net::Request& request, net::Response& response) {
  const std::string name(request.param("name"));
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto wanted = parse_traffic(*body, name);
  if (!wanted) co_return fail(response, request, wanted.error());
  loop::Promoter promoter(door.loop.store, door.loop.blobs, door.loop.runtime);
  const auto done = co_await door.loop.offload.run([&] { return promoter.divide(request.ctx, *wanted); });
  if (!done) co_return fail(response, request, done.error());
  const auto numbers = co_await door.loop.offload.run(
      [&] { return numbers_of(door.loop, request.ctx, name, request.ctx.now_us - kDayUs); });
  if (!numbers) co_return fail(response, request, numbers.error());
  response.send_json(render(door.loop, request.ctx.project, *numbers));
}

// --- replay ---------------------------------------------------------------------------------------------------------

struct ReplayRequest {
  std::string endpoint, prediction;
  int64_t version = 0, revision = 0;  // one of them, or neither: the revision that answered, or serves
  int64_t since_us = 0, until_us = INT64_MAX;
  size_t limit = kDefaultReplay;
};

Result<ReplayRequest> parse_replay(std::string_view body) {
  TRY_SET(const auto value, base::parse_json(body));
  TRY_SET(const auto* object, base::as_object(value, "the body"));
  ReplayRequest out;
  TRY_SET(const auto endpoint, base::optional_string(*object, "endpoint"));
  TRY_SET(const auto prediction, base::optional_string(*object, "prediction"));
  out.endpoint = endpoint.value_or("");
  out.prediction = prediction.value_or("");
  if (out.endpoint.empty() == out.prediction.empty())
    return base::invalid("say what to replay: 'endpoint' or 'prediction'");
  const auto number = [&](std::string_view key, int64_t fallback, int64_t least, int64_t most) -> Result<int64_t> {
    const auto* found = object->if_contains(key);
    if (!found || found->is_null()) return fallback;
    TRY_SET(const int64_t n, base::required_int(*object, key));
    if (n < least || n > most)
      return base::invalid("'" + std::string(key) + "' is " + std::to_string(n) +
                           "; allowed: " + std::to_string(least) + " to " + std::to_string(most));
    return n;
  };
  TRY_SET(out.version, number("version", 0, 1, INT64_MAX));
  TRY_SET(out.revision, number("revision", 0, 1, INT64_MAX));
  if (out.version != 0 && out.revision != 0) return base::invalid("'version' and 'revision' name the same; send one");
  TRY_SET(out.since_us, number("since_us", 0, 0, INT64_MAX));
  TRY_SET(out.until_us, number("until_us", INT64_MAX, 0, INT64_MAX));
  TRY_SET(const int64_t limit, number("limit", kDefaultReplay, 1, serve::kMaxReplayRequests));
  out.limit = static_cast<size_t>(limit);
  return out;
}

struct Replayed {
  serve::Revision target;
  std::string endpoint;
  serve::ReplayReport report;
};

// Which revision answers: the one named, by number or by its model's version (the newest of it), else `fallback`.
Result<serve::Revision> target_of(store::Tx& tx, const ReplayRequest& wanted, const std::string& endpoint,
                                  int64_t fallback) {
  if (wanted.version == 0) return serve::get_revision(tx, endpoint, wanted.revision != 0 ? wanted.revision : fallback);
  for (auto& revision : serve::list_revisions(tx, endpoint))
    if (revision.model_version == wanted.version) return std::move(revision);
  return base::not_found("no revision of '" + endpoint + "' is of version " + std::to_string(wanted.version));
}

Result<Replayed> replay_now(const TrafficDoor& door, const base::Context& ctx, const ReplayRequest& wanted) {
  serve::Capture& capture = door.loop.runtime.capture();
  Replayed out{.endpoint = wanted.endpoint};
  std::vector<serve::CapturedRequest> requests;
  capture.flush();
  if (!wanted.prediction.empty()) {
    TRY_SET(auto found, capture.find(wanted.prediction));
    if (!found || found->project != ctx.project)
      return base::not_found("prediction " + wanted.prediction.substr(0, 64) +
                             " was not captured, or retention has removed it");
    out.endpoint = found->endpoint;
    requests.push_back(std::move(*found));
  }
  TRY_SET(out.target, door.loop.store.read_blocking(ctx, [&](store::Tx& tx) -> Result<serve::Revision> {
    TRY_SET(const auto endpoint, serve::get_endpoint(tx, out.endpoint));
    return target_of(tx, wanted, out.endpoint, requests.empty() ? endpoint.live_revision : requests[0].revision);
  }));
  if (wanted.prediction.empty()) {
    const auto takes = [&](const serve::CapturedRequest& r) {
      return r.role.empty() && r.at_us >= wanted.since_us && r.at_us <= wanted.until_us;
    };
    TRY_SET(auto newest,
            capture.read_newest(ctx.project, out.endpoint, serve::Capture::kNow, wanted.limit, kMaxScanned, takes));
    requests = std::move(newest.requests);
  }
  TRY_SET(out.report, serve::replay(door.loop.runtime, door.binary, ctx.project, out.target, requests));
  return out;
}

void write_replayed(base::JsonWriter& w, const Replayed& r) {
  const serve::ReplayReport& report = r.report;
  w.begin_object().field("endpoint", r.endpoint).field("revision", r.target.number);
  w.field("model", r.target.model_name).field("version", r.target.model_version);
  w.field("requests", report.requests).field("rows", report.rows).field("identical", report.identical);
  w.field("changed_labels", report.changed).field("scored", report.scored);
  w.field("mean_score_difference", report.score_difference).field("largest_score_difference", report.most);
  w.key("skipped").begin_object();
  for (const auto& [reason, count] : report.skipped) w.field(clean_text(reason), count);
  w.end_object().key("differing").begin_array();
  for (const auto& row : report.differing) {
    w.begin_object().field("id", row.id).field("row", row.row).field("was", clean_text(row.was));
    w.field("now", clean_text(row.now));
    write_optional(w, "was_score", row.was_score);
    write_optional(w, "now_score", row.now_score);
    w.field("detail", row.detail).end_object();
  }
  w.end_array().end_object();
}

Task<void> post_replay(const TrafficDoor& door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto wanted = parse_replay(*body);
  if (!wanted) co_return fail(response, request, wanted.error());
  const auto done = co_await door.loop.offload.run([&] { return replay_now(door, request.ctx, *wanted); });
  if (!done) co_return fail(response, request, done.error());
  std::string out;
  base::JsonWriter w(out);
  write_replayed(w, *done);
  response.send_json(std::move(out));
}

// --- a model's files ------------------------------------------------------------------------------------------------

struct ModelFound {
  std::string model;  // "name/3"
  std::string transform;
  std::vector<blob::Artifact> files;
};

Result<track::ModelVersion> version_of(store::Tx& tx, std::string_view text) {
  if (const size_t at = text.rfind('@'); at != std::string_view::npos) {
    TRY_SET(auto found, track::version_by_alias(tx, text.substr(0, at), text.substr(at + 1)));
    if (!found) return base::not_found("no version of '" + std::string(text.substr(0, at)) + "' has that alias");
    return std::move(*found);
  }
  const size_t slash = text.rfind('/');
  TRY_SET(const int64_t number, revision_of(text.substr(slash + 1)));
  return track::get_model_version(tx, text.substr(0, slash), number);
}

// models:/name@alias, models:/name/3, name@alias, name/3; else an endpoint's name: what is live there.
Result<ModelFound> find_model(store::Tx& tx, std::string_view text) {
  constexpr std::string_view kScheme = "models:/";
  if (text.starts_with(kScheme)) text.remove_prefix(kScheme.size());
  ModelFound out;
  std::string root;
  if (text.find_first_of("@/") == std::string_view::npos) {
    TRY_SET(const auto endpoint, serve::get_endpoint(tx, text));
    if (endpoint.live_revision == 0) return base::not_found("the endpoint '" + endpoint.name + "' serves nothing yet");
    TRY_SET(const auto revision, serve::get_revision(tx, text, endpoint.live_revision));
    out.model = revision.model_name + "/" + std::to_string(revision.model_version);
    out.transform = revision.transform_digest;
    root = revision.artifact_root;
  } else {
    TRY_SET(const auto version, version_of(tx, text));
    out.model = version.name + "/" + std::to_string(version.version);
    TRY_SET(root, track::artifact_root_of(tx, version));
    TRY_SET(out.transform, loop::transform_of_version(tx, version));
  }
  out.files = blob::list_artifacts(tx, root);
  TRY(tx.status());
  if (out.files.empty()) return base::not_found("the files of " + out.model + " are not in this server's store");
  return out;
}

Task<void> get_model_files(const TrafficDoor& door, net::Request& request, net::Response& response) {
  const std::string said = request.query_value("model").value_or("");
  const auto found = co_await door.loop.store.read(request.ctx, [&](store::Tx& tx) { return find_model(tx, said); });
  if (!found) co_return fail(response, request, found.error());
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().field("model", found->model).field("transform", found->transform).key("files").begin_array();
  for (const auto& file : found->files) {
    if (file.location != blob::Location::kBlob)
      co_return fail(response, request,
                     {base::Code::kUnsupported, "the file '" + file.path + "' lies outside this server's own storage"});
    w.begin_object().field("path", file.path).field("size", static_cast<int64_t>(file.size));
    w.field("digest", file.digest.hex()).end_object();
  }
  w.end_array().end_object();
  response.send_json(std::move(out));
}

}  // namespace

void add_traffic_routes(net::RouteTable& routes, const TrafficDoor& door) {
  using base::Permission;
  using net::Method;
  const auto add = route_adder(routes, door);
  add(Method::kGet, "/endpoints/{name}/traffic", Permission::kRead, kNoBody, get_traffic);
  add(Method::kPut, "/endpoints/{name}/traffic", Permission::kRunCode, kSlow, put_traffic);
  add(Method::kGet, "/model-files", Permission::kRead, kNoBody, get_model_files);
  add(Method::kPost, "/replays", Permission::kRunCode, kSlow, post_replay);  // a Python model is code
}

}  // namespace api::lathe
