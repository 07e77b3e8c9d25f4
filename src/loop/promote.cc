#include "loop/promote.h"

#include <algorithm>

#include "base/json_writer.h"
#include "base/log.h"
#include "core/audit.h"
#include "core/lineage.h"
#include "loop/apply.h"
#include "loop/roller.h"
#include "loop/scoring.h"
#include "serve/endpoint.h"
#include "track/registered.h"
#include "watch/watch.h"

namespace loop {

namespace {

constexpr size_t kMaxPartBytes = size_t{1} << 30;

// MLflow's word for what serves; an environment before production carries its own name.
std::string alias_of(const Config& config, std::string_view environment) {
  return config.environments.size() == 1 || environment == "production" ? "champion" : std::string(environment);
}

Promotion read_promotion(store::Rows& rows) {
  return {.endpoint = rows.str(0),
          .revision = rows.i64(1),
          .previous = rows.i64(2),
          .kind = rows.str(3),
          .verdict = rows.str(4),
          .model = rows.str(5),
          .version = rows.i64(6),
          .actor = rows.str(7),
          .at_us = rows.i64(8)};
}
constexpr std::string_view kSelect =
    "SELECT endpoint, revision, previous, kind, verdict, model, version, actor, at_us FROM loop_promotions ";

base::Result<track::ModelVersion> register_version(store::Tx& tx, const Verdict& verdict) {
  TRY(track::ensure_registered_model(tx, verdict.model));
  TRY_SET(auto known, track::version_of_logged_model(tx, verdict.model, verdict.challenger));
  if (known) return std::move(*known);
  TRY_SET(const auto logged, track::get_logged_model(tx, verdict.challenger));
  track::NewModelVersion version;
  version.name = verdict.model;
  version.source = "models:/" + verdict.challenger;
  version.run_id = logged.source_run_id;
  version.model_id = verdict.challenger;
  version.description = verdict.reason;
  version.tags = {{"lathe.pipeline_run", verdict.run}, {"lathe.verdict", verdict.id}};
  return track::create_model_version(tx, version);
}

// The revision of an earlier try that never went live is used again, so that tries leave no trail.
base::Result<serve::Revision> idle_revision(store::Tx& tx, const serve::Endpoint& endpoint,
                                            const serve::NewRevision& wanted) {
  const auto all = serve::list_revisions(tx, endpoint.name);
  const auto same = std::find_if(all.begin(), all.end(), [&](const serve::Revision& r) {
    return r.number != endpoint.live_revision && r.number != endpoint.previous_revision &&
           r.model_name == wanted.model_name && r.model_version == wanted.model_version &&
           r.artifact_root == wanted.artifact_root && r.transform_digest == wanted.transform_digest;
  });
  if (same != all.end()) return *same;
  return serve::add_revision(tx, wanted);
}

// `runs_code`: code that somebody uploaded answers from now on; unset: nothing new answers.
void record(store::Tx& tx, const Promotion& p, std::optional<bool> runs_code) {
  tx.exec(
      "INSERT INTO loop_promotions (project, endpoint, revision, previous, kind, verdict, model, version, actor, "
      "at_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      tx.project(), p.endpoint, p.revision, p.previous, p.kind, p.verdict, p.model, p.version, p.actor, p.at_us);
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("revision", p.revision).field("previous", p.previous).field("model", p.model);
  json.field("version", p.version).field("verdict", p.verdict);
  if (runs_code) json.field("runs_code", *runs_code);
  json.end_object();
  core::audit(tx, "model_version." + p.kind, "endpoint", p.endpoint, body, p.model);
}

base::Result<std::optional<Promotion>> promotion_by_verdict(store::Tx& tx, std::string_view verdict,
                                                            std::string_view endpoint,
                                                            std::string_view kind = "promoted") {
  auto rows = tx.query(
      std::string(kSelect) + "WHERE project = ? AND verdict = ? AND endpoint = ? AND kind = ? ORDER BY id DESC LIMIT 1",
      tx.project(), verdict, endpoint, kind);
  if (!rows.next()) return std::optional<Promotion>();
  return std::optional(read_promotion(rows));
}

// What the pipeline's first environment verified: the verdict behind its live revision. Where that is the target
// itself, the pipeline's newest verdict that passed.
base::Result<Verdict> verified_verdict(store::Tx& tx, const Config& config, const Environment& target) {
  const Environment& source = config.environments[0];
  if (source.name == target.name) {
    for (auto& verdict : list_verdicts(tx, config.project)) {
      if (verdict.passed && verdict.endpoint == target.endpoint) return std::move(verdict);
    }
    return base::fail(base::Code::kConflict, "no run of '" + config.project + "' has passed the gate yet");
  }
  TRY_SET(const auto endpoint, serve::get_endpoint(tx, source.endpoint));
  if (endpoint.live_revision == 0)
    return base::fail(
        base::Code::kConflict,
        "the environment '" + source.name + "' serves nothing yet; there is nothing to move to '" + target.name + "'");
  auto rows =
      tx.query(std::string(kSelect) +
                   "WHERE project = ? AND endpoint = ? AND revision = ? AND kind = 'promoted' ORDER BY id DESC LIMIT 1",
               tx.project(), source.endpoint, endpoint.live_revision);
  if (!rows.next())
    return base::fail(base::Code::kConflict, "revision " + std::to_string(endpoint.live_revision) + " of '" +
                                                 source.endpoint + "' has no verdict");
  return get_verdict(tx, read_promotion(rows).verdict);
}

struct Target {
  Verdict verdict;
  std::string endpoint, environment, alias;
  RolloutRule rollout;
};

RolloutRule rollout_of(const Environment& env) {
  const RolloutConfig& c = env.rollout;
  return {.steps = c.steps,
          .wait_us = c.wait_us,
          .bake_us = c.bake_us,
          .max_errors = c.max_errors,
          .max_slowdown = c.max_slowdown,
          .min_requests = c.min_requests,
          .max_regression = env.gate.max_regression,
          .confidence = env.gate.confidence};
}

// What a request means: which verdict, to which endpoint.
base::Result<Target> target_of(store::Tx& tx, const PromoteRequest& request) {
  Target out;
  std::optional<Config> config;
  out.environment = request.environment;
  if (!request.verdict.empty()) {
    TRY_SET(out.verdict, get_verdict(tx, request.verdict));
    TRY_SET(const auto run, flow::get_run(tx, out.verdict.run));
    TRY_SET(const auto applied, applied_of(tx, out.verdict.pipeline, run.bundle));
    TRY_SET(config, config_of(applied));
    if (out.environment.empty()) out.environment = out.verdict.environment;
  } else {
    TRY_SET(const auto applied, current_applied(tx, request.pipeline));
    if (!applied) return base::not_found("there is no project '" + request.pipeline + "'; apply its lathe.yaml first");
    TRY_SET(config, config_of(*applied));
  }
  const Environment* target = config->environment(out.environment);
  if (target == nullptr) {
    std::string names;
    for (const auto& e : config->environments) names += (names.empty() ? "" : ", ") + e.name;
    return base::invalid("there is no environment '" + out.environment +
                         "'; allowed: " + (names.empty() ? "none is declared" : names));
  }
  if (request.verdict.empty()) {
    TRY_SET(out.verdict, verified_verdict(tx, *config, *target));
  }
  out.endpoint = target->endpoint;
  out.alias = alias_of(*config, target->name);
  out.rollout = rollout_of(*target);
  return out;
}

// The challenger's evaluation on the rows that become what monitoring compares with.
base::Result<Evaluation> baseline_of(store::Tx& tx, const Verdict& verdict) {
  const std::string_view part = verdict.kind == "retraining" ? "recent" : "test";
  for (auto& e : list_evaluations(tx, verdict.run)) {
    if (e.purpose == "gate" && e.side == "challenger" && e.subject == verdict.challenger && e.part == part)
      return std::move(e);
  }
  return base::fail(base::Code::kConflict, "the verdict " + verdict.id + " has no evaluation on " + std::string(part));
}

// The alias that a rollback of this endpoint moves.
base::Result<std::string> alias_of_endpoint(store::Tx& tx, std::string_view endpoint) {
  TRY_SET(const auto owner, owner_of(tx, endpoint));
  if (!owner) return std::string("champion");
  TRY_SET(const auto applied, current_applied(tx, owner->pipeline));
  if (!applied) return std::string("champion");
  TRY_SET(const auto config, config_of(*applied));
  return alias_of(config, owner->environment);
}

std::string not_passed(const Verdict& verdict) {
  return "the verdict " + verdict.id + " does not allow a promotion: " + verdict.reason;
}

std::string champion_moved(const Verdict& verdict, const std::string& endpoint, int64_t judged, int64_t live) {
  return "the verdict " + verdict.id + " was about revision " + std::to_string(judged) + " of '" + endpoint +
         "', but revision " + std::to_string(live) + " serves now; evaluate again";
}

base::Result<ServingModel> serving_model(store::Tx& tx, std::string_view endpoint, int64_t revision) {
  ServingModel out;
  if (revision == 0) return out;
  TRY_SET(const auto row, serve::get_revision(tx, endpoint, revision));
  out.revision = revision;
  out.model = row.model_name;
  out.version = row.model_version;
  const auto version = track::get_model_version(tx, row.model_name, row.model_version);
  out.subject = version && !version->model_id.empty() ? version->model_id
                                                      : row.model_name + "/" + std::to_string(row.model_version);
  return out;
}

}  // namespace

struct Promoter::Pending {
  std::optional<Promotion> already;
  Verdict verdict;
  std::string endpoint, alias;
  int64_t expected_live = 0, generation = 0;
  RolloutRule rollout;
  std::optional<uint32_t> share;  // of the traffic, now; unset: all of it
  serve::Revision revision;
  bool runs_code = false;
  Evaluation evaluation;  // of the challenger, on the rows that become the baseline
  data::DataVersion data;
  blob::Artifact rows;
};

base::Result<Promoter::Pending> Promoter::begin(store::Tx& tx, const PromoteRequest& request) {
  Pending out;
  TRY_SET(Target target, target_of(tx, request));
  out.verdict = std::move(target.verdict);
  out.endpoint = target.endpoint;
  out.alias = target.alias;

  tx.lock("endpoint", out.endpoint);
  TRY_SET(out.already, promotion_by_verdict(tx, out.verdict.id, out.endpoint));
  if (out.already) return out;
  if (!request.share) {  // said again while its canary runs: that is what was asked for
    TRY_SET(const auto running, running_rollout(tx, out.endpoint));
    if (running && running->verdict == out.verdict.id) {
      TRY_SET(out.already, promotion_by_verdict(tx, out.verdict.id, out.endpoint, "canary"));
      if (out.already) return out;
    }
  }
  if (!out.verdict.passed) return base::fail(base::Code::kConflict, not_passed(out.verdict));
  TRY_SET(const auto endpoint, serve::ensure_endpoint(tx, out.endpoint, target.environment));
  // A verdict is about one endpoint's champion; another environment takes over what that one verified.
  out.expected_live = out.endpoint == out.verdict.endpoint ? out.verdict.champion_revision : endpoint.live_revision;
  if (endpoint.live_revision != out.expected_live) {
    return base::fail(base::Code::kConflict,
                      champion_moved(out.verdict, out.endpoint, out.expected_live, endpoint.live_revision));
  }
  out.generation = endpoint.generation;
  out.rollout = std::move(target.rollout);
  out.share = request.share;
  if (out.share && (*out.share == 0 || *out.share >= serve::kWholeShare)) {
    if (*out.share == 0) return base::invalid("a canary's share must be more than 0 %");
    out.share.reset(), out.rollout.steps.clear();  // all of it
  } else if (out.share) {
    out.rollout = {};  // a person goes on from here
  } else if (!out.rollout.steps.empty() && endpoint.live_revision != 0) {
    out.share = out.rollout.steps[0];
  }
  if (endpoint.live_revision == 0 && out.share)
    return base::fail(base::Code::kConflict,
                      "'" + out.endpoint + "' serves nothing yet: the first revision has all of the traffic");
  TRY_SET(const auto version, register_version(tx, out.verdict));
  serve::NewRevision wanted;
  wanted.endpoint = out.endpoint;
  wanted.model_name = version.name;
  wanted.model_version = version.version;
  wanted.artifact_root = out.verdict.artifact_root;
  wanted.transform_digest = out.verdict.transform_digest;
  TRY_SET(out.revision, idle_revision(tx, endpoint, wanted));

  TRY_SET(out.evaluation, baseline_of(tx, out.verdict));
  TRY_SET(out.data, data::get_version(tx, out.evaluation.data_version));
  TRY_SET(out.rows, part_file(tx, out.evaluation.data_version, out.evaluation.part));
  return out;
}

base::Result<blob::BlobInfo> Promoter::make_baseline(const Pending& pending) {
  TRY_SET(const auto csv, blobs_.get(pending.rows.digest, kMaxPartBytes));
  TRY_SET(auto table, stats::parse_csv(csv));
  stats::Table features;
  for (const auto& name : pending.data.features) {
    const auto found = std::find_if(table.columns.begin(), table.columns.end(),
                                    [&](const stats::Column& c) { return c.name == name; });
    if (found == table.columns.end())
      return base::internal("the part '" + pending.evaluation.part + "' lacks the feature '" + name + "'");
    features.columns.push_back(std::move(*found));
  }
  TRY_SET(const auto digest, base::Digest::from_hex(base::HashAlgo::kSha256, pending.evaluation.predictions));
  TRY_SET(const auto stored, blobs_.get(digest, kMaxPartBytes));
  TRY_SET(const auto rows, read_predictions(stored));
  TRY_SET(const auto profile, watch::make_baseline(features, rows.predicted, rows.truth));
  return blobs_.put(profile);
}

Promotion Promoter::record_judged(store::Tx& tx, const Pending& pending, std::string_view kind, int64_t previous) {
  const auto& revision = pending.revision;
  Promotion out{.endpoint = pending.endpoint,
                .revision = revision.number,
                .previous = previous,
                .kind = std::string(kind),
                .verdict = pending.verdict.id,
                .model = revision.model_name,
                .version = revision.model_version,
                .actor = tx.ctx().actor.name,
                .at_us = tx.now_us()};
  record(tx, out, pending.runs_code);
  core::add_edge(tx, {"verdict", pending.verdict.id}, {"revision", out.endpoint + "/" + std::to_string(out.revision)},
                 "judged");
  return out;
}

base::Result<Promotion> Promoter::commit(store::Tx& tx, const Pending& pending, const blob::BlobInfo& baseline) {
  const auto& revision = pending.revision;
  if (pending.share) return commit_canary(tx, pending);
  TRY_SET(const auto endpoint, serve::set_live(tx, pending.endpoint, revision.number, pending.expected_live, false));
  TRY(track::set_alias(tx, revision.model_name, pending.alias, revision.model_version));
  TRY(blob::hold_blob(tx, baseline, "baseline", pending.endpoint + "/" + std::to_string(revision.number)));
  TRY(watch::set_baseline(tx, pending.endpoint, revision.number, baseline.sha256.hex(), pending.evaluation.id));
  const Promotion out = record_judged(tx, pending, "promoted", pending.expected_live);
  // Without a champion there is nothing to compare with, nor to go back to.
  if (pending.rollout.bake_us == 0 || pending.expected_live == 0) return out;
  TRY(begin_rollout(tx, {.endpoint = out.endpoint,
                         .verdict = out.verdict,
                         .revision = out.revision,
                         .champion = out.previous,
                         .rule = pending.rollout,
                         .at = {.step = pending.rollout.steps.size(), .since_us = tx.now_us()},
                         .generation = endpoint.generation}));
  return out;
}

// The new revision beside the champion: no alias moves, nothing is monitored against it yet.
base::Result<Promotion> Promoter::commit_canary(store::Tx& tx, const Pending& pending) {
  const auto& revision = pending.revision;
  TRY_SET(const auto now, serve::get_endpoint(tx, pending.endpoint));
  if (now.live_revision != pending.expected_live)
    return base::fail(base::Code::kConflict,
                      champion_moved(pending.verdict, pending.endpoint, pending.expected_live, now.live_revision));
  serve::TrafficPlan plan = now.traffic;
  plan.parts = {{now.live_revision, serve::kWholeShare - *pending.share}, {revision.number, *pending.share}};
  plan.bandit.reset();  // one of the two moves the weights
  if (plan.shadow == revision.number) plan.shadow = 0;
  TRY_SET(const auto endpoint, serve::set_traffic(tx, pending.endpoint, plan, pending.generation));
  const Promotion out = record_judged(tx, pending, "canary", now.live_revision);
  if (pending.rollout.steps.empty()) return out;
  TRY(begin_rollout(tx, {.endpoint = out.endpoint,
                         .verdict = out.verdict,
                         .revision = out.revision,
                         .champion = out.previous,
                         .rule = pending.rollout,
                         .at = {.step = 0, .since_us = tx.now_us()},
                         .generation = endpoint.generation}));
  return out;
}

base::Result<serve::Endpoint> Promoter::divide(const base::Context& ctx, const TrafficRequest& request) {
  TRY_SET(const serve::Endpoint before,
          store_.read_blocking(ctx, [&](store::Tx& tx) { return serve::get_endpoint(tx, request.endpoint); }));
  TRY_SET(const auto plan, serve::checked(request.plan, before.live_revision));
  std::vector<int64_t> numbers;
  for (const auto& part : plan.parts) numbers.push_back(part.revision);
  if (plan.shadow != 0) numbers.push_back(plan.shadow);
  // Its route asks for the right to run code.
  for (const int64_t number : numbers)
    TRY(runtime_.prepare(ctx.project, request.endpoint, number, serve::Runtime::Code::kMayRun));
  const int64_t expected = request.generation.value_or(before.generation);
  TRY_SET(auto done, store_.write_blocking(
                         ctx, [&](store::Tx& tx) { return serve::set_traffic(tx, request.endpoint, plan, expected); }));
  TRY(runtime_.refresh());
  base::log::info("traffic divided",
                  {{"endpoint", done.name}, {"traffic", serve::describe(done.traffic, done.live_revision)}});
  return done;
}

base::Result<Promotion> Promoter::promote(const base::Context& caller, const PromoteRequest& request) {
  const base::Span span(caller.trace, "promote");
  base::Context ctx = caller;
  ctx.trace = span.context();
  TRY_SET(Pending pending, store_.write_blocking(ctx, [&](store::Tx& tx) { return begin(tx, request); }));
  if (pending.already) return *pending.already;
  using Code = serve::Runtime::Code;
  TRY_SET(const auto prepared, runtime_.prepare(ctx.project, pending.endpoint, pending.revision.number,
                                                request.may_run_code ? Code::kMayRun : Code::kMayNotRun));
  pending.runs_code = prepared.runs_code;
  TRY_SET(const auto baseline, make_baseline(pending));
  TRY_SET(auto done, store_.write_blocking(ctx, [&](store::Tx& tx) { return commit(tx, pending, baseline); }));
  TRY(runtime_.refresh());
  base::log::info(
      "promoted",
      {{"endpoint", done.endpoint}, {"revision", done.revision}, {"model", done.model}, {"version", done.version}});
  return done;
}

base::Result<Promotion> Promoter::rollback(const base::Context& caller, std::string_view name,
                                           std::optional<int64_t> expected_generation) {
  const base::Span span(caller.trace, "roll back");
  base::Context ctx = caller;
  ctx.trace = span.context();
  struct Back {
    serve::Endpoint endpoint;
    serve::Revision revision;
    std::string alias;
  };
  TRY_SET(const Back target, store_.read_blocking(ctx, [&](store::Tx& tx) -> base::Result<Back> {
    Back out;
    TRY_SET(out.endpoint, serve::get_endpoint(tx, name));
    if (out.endpoint.previous_revision == 0)
      return base::fail(base::Code::kConflict,
                        "the endpoint '" + std::string(name) + "' has no earlier revision to go back to");
    TRY_SET(out.revision, serve::get_revision(tx, name, out.endpoint.previous_revision));
    TRY_SET(out.alias, alias_of_endpoint(tx, name));
    return out;
  }));
  // It served before.
  TRY_SET(const auto prepared,
          runtime_.prepare(ctx.project, name, target.revision.number, serve::Runtime::Code::kMayRun));
  TRY_SET(auto done, store_.write_blocking(ctx, [&](store::Tx& tx) -> base::Result<Promotion> {
    tx.lock("endpoint", name);
    TRY_SET(const auto now, serve::get_endpoint(tx, name));
    if (expected_generation && now.generation != *expected_generation)
      return base::fail(base::Code::kConflict, "the endpoint '" + std::string(name) + "' was changed meanwhile");
    TRY(serve::set_live(tx, name, target.revision.number, target.endpoint.live_revision, true));
    if (target.revision.graph.empty())  // a graph is no registered model
      TRY(track::set_alias(tx, target.revision.model_name, target.alias, target.revision.model_version));
    Promotion out{.endpoint = std::string(name),
                  .revision = target.revision.number,
                  .previous = target.endpoint.live_revision,
                  .kind = "rolled_back",
                  .model = target.revision.model_name,
                  .version = target.revision.model_version,
                  .actor = tx.ctx().actor.name,
                  .at_us = tx.now_us()};
    record(tx, out, prepared.runs_code);
    return out;
  }));
  TRY(runtime_.refresh());
  base::log::info(
      "rolled back",
      {{"endpoint", done.endpoint}, {"revision", done.revision}, {"model", done.model}, {"version", done.version}});
  return done;
}

base::Result<void> record_withdrawal(store::Tx& tx, std::string_view endpoint, int64_t revision, int64_t champion,
                                     std::string_view verdict) {
  TRY_SET(const auto row, serve::get_revision(tx, endpoint, revision));
  record(tx,
         {.endpoint = std::string(endpoint),
          .revision = revision,
          .previous = champion,
          .kind = "withdrawn",
          .verdict = std::string(verdict),
          .model = row.model_name,
          .version = row.model_version,
          .actor = tx.ctx().actor.name,
          .at_us = tx.now_us()},
         {});
  return tx.status();
}

std::vector<Promotion> list_promotions(store::Tx& tx, std::string_view endpoint, size_t limit) {
  std::vector<Promotion> out;
  const auto most = static_cast<int64_t>(limit);
  auto rows = endpoint.empty()
                  ? tx.query(std::string(kSelect) + "WHERE project = ? ORDER BY id DESC LIMIT ?", tx.project(), most)
                  : tx.query(std::string(kSelect) + "WHERE project = ? AND endpoint = ? ORDER BY id DESC LIMIT ?",
                             tx.project(), endpoint, most);
  while (rows.next()) out.push_back(read_promotion(rows));
  return out;
}

std::vector<Promotion> promotions_of(store::Tx& tx, std::string_view model, int64_t version, size_t limit) {
  std::vector<Promotion> out;
  const auto most = static_cast<int64_t>(limit);
  auto rows =
      version == 0
          ? tx.query(std::string(kSelect) + "WHERE project = ? AND model = ? ORDER BY id DESC LIMIT ?", tx.project(),
                     model, most)
          : tx.query(std::string(kSelect) + "WHERE project = ? AND model = ? AND version = ? ORDER BY id DESC LIMIT ?",
                     tx.project(), model, version, most);
  while (rows.next()) out.push_back(read_promotion(rows));
  return out;
}

base::Result<ActPreview> preview_promotion(store::Tx& tx, const PromoteRequest& request) {
  TRY_SET(const Target target, target_of(tx, request));
  const Verdict& verdict = target.verdict;
  ActPreview out{.endpoint = target.endpoint, .environment = target.environment, .alias = target.alias};
  const auto endpoint = serve::get_endpoint(tx, target.endpoint);
  if (!endpoint && endpoint.error().code != base::Code::kNotFound) return std::unexpected(endpoint.error());
  const int64_t live = endpoint ? endpoint->live_revision : 0;
  TRY_SET(out.now, serving_model(tx, target.endpoint, live));
  out.then = {.model = verdict.model, .subject = verdict.challenger};
  TRY_SET(const auto known, track::version_of_logged_model(tx, verdict.model, verdict.challenger));
  out.registers = !known;
  out.then.version = known ? known->version : track::next_version(tx, verdict.model);
  TRY_SET(out.already, promotion_by_verdict(tx, verdict.id, target.endpoint));
  const int64_t judged = target.endpoint == verdict.endpoint ? verdict.champion_revision : live;
  if (!verdict.passed) {
    out.refusal = not_passed(verdict);
  } else if (out.already) {
    out.refusal = "it was promoted already, as revision " + std::to_string(out.already->revision) + " of '" +
                  target.endpoint + "'" + (live == out.already->revision ? ", which serves" : "");
  } else if (live != judged) {
    out.refusal = champion_moved(verdict, target.endpoint, judged, live);
  }
  auto baseline = baseline_of(tx, verdict);
  if (baseline) out.baseline = std::move(*baseline);
  if (!baseline && out.refusal.empty()) out.refusal = baseline.error().message;
  out.verdict = verdict;
  TRY(tx.status());
  return out;
}

base::Result<ActPreview> preview_rollback(store::Tx& tx, std::string_view name) {
  TRY_SET(const auto endpoint, serve::get_endpoint(tx, name));
  ActPreview out{.endpoint = endpoint.name, .environment = endpoint.environment};
  TRY_SET(out.alias, alias_of_endpoint(tx, name));
  TRY_SET(out.now, serving_model(tx, name, endpoint.live_revision));
  TRY_SET(out.then, serving_model(tx, name, endpoint.previous_revision));
  if (endpoint.previous_revision == 0)
    out.refusal = "the endpoint '" + endpoint.name + "' has no earlier revision to go back to";
  TRY(tx.status());
  return out;
}

}  // namespace loop
