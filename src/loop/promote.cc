#include "loop/promote.h"

#include <algorithm>

#include "base/json_writer.h"
#include "base/log.h"
#include "core/audit.h"
#include "core/lineage.h"
#include "loop/apply.h"
#include "loop/scoring.h"
#include "serve/endpoint.h"
#include "track/registry.h"
#include "watch/watch.h"

namespace loop {

namespace {

constexpr size_t kMaxPartBytes = size_t{1} << 30;

// MLflow's word for what serves; an environment before production carries its own name.
std::string alias_of(const Config& config, std::string_view environment) {
  return config.environments.size() == 1 || environment == "production" ? "champion" : std::string(environment);
}

Promotion read_promotion(store::Rows& rows) {
  return {.endpoint = rows.str(0), .revision = rows.i64(1), .previous = rows.i64(2), .kind = rows.str(3), .verdict = rows.str(4),
          .model = rows.str(5), .version = rows.i64(6), .actor = rows.str(7), .at_us = rows.i64(8)};
}
constexpr std::string_view kSelect = "SELECT endpoint, revision, previous, kind, verdict, model, version, actor, at_us FROM loop_promotions ";

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
base::Result<serve::Revision> idle_revision(store::Tx& tx, const serve::Endpoint& endpoint, const serve::NewRevision& wanted) {
  const auto all = serve::list_revisions(tx, endpoint.name);
  const auto same = std::find_if(all.begin(), all.end(), [&](const serve::Revision& r) {
    return r.number != endpoint.live_revision && r.number != endpoint.previous_revision && r.model_name == wanted.model_name &&
           r.model_version == wanted.model_version && r.artifact_root == wanted.artifact_root && r.transform_digest == wanted.transform_digest;
  });
  if (same != all.end()) return *same;
  return serve::add_revision(tx, wanted);
}

void record(store::Tx& tx, const Promotion& p) {
  tx.exec("INSERT INTO loop_promotions (project, endpoint, revision, previous, kind, verdict, model, version, actor, at_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
          tx.project(), p.endpoint, p.revision, p.previous, p.kind, p.verdict, p.model, p.version, p.actor, p.at_us);
  std::string body;
  base::JsonWriter(body).begin_object().field("revision", p.revision).field("previous", p.previous).field("model", p.model).field("version", p.version)
      .field("verdict", p.verdict).end_object();
  core::audit(tx, "model_version." + p.kind, "endpoint", p.endpoint, body);
}

base::Result<std::optional<Promotion>> promotion_by_verdict(store::Tx& tx, std::string_view verdict, std::string_view endpoint) {
  auto rows = tx.query(std::string(kSelect) + "WHERE project = ? AND verdict = ? AND endpoint = ? AND kind = 'promoted' ORDER BY id DESC LIMIT 1", tx.project(), verdict, endpoint);
  if (!rows.next()) return std::optional<Promotion>();
  return std::optional(read_promotion(rows));
}

// What the pipeline's first environment verified: the verdict behind its live revision. Where that is the target itself,
// the pipeline's newest verdict that passed.
base::Result<Verdict> verified_verdict(store::Tx& tx, const Config& config, const Environment& target) {
  const Environment& source = config.environments[0];
  if (source.name == target.name) {
    for (auto& verdict : list_verdicts(tx, config.project)) {
      if (verdict.passed && verdict.endpoint == target.endpoint) return std::move(verdict);
    }
    return base::fail(base::Code::kConflict, "no run of '" + config.project + "' has passed the gate yet");
  }
  TRY_SET(const auto endpoint, serve::get_endpoint(tx, source.endpoint));
  if (endpoint.live_revision == 0) return base::fail(base::Code::kConflict, "the environment '" + source.name + "' serves nothing yet; there is nothing to move to '" + target.name + "'");
  auto rows = tx.query(std::string(kSelect) + "WHERE project = ? AND endpoint = ? AND revision = ? AND kind = 'promoted' ORDER BY id DESC LIMIT 1", tx.project(), source.endpoint, endpoint.live_revision);
  if (!rows.next()) return base::fail(base::Code::kConflict, "revision " + std::to_string(endpoint.live_revision) + " of '" + source.endpoint + "' has no verdict");
  return get_verdict(tx, read_promotion(rows).verdict);
}

}  // namespace

struct Promoter::Pending {
  std::optional<Promotion> already;
  Verdict verdict;
  std::string endpoint, alias;
  int64_t expected_live = 0;
  serve::Revision revision;
  Evaluation evaluation;      // of the challenger, on the rows that become the baseline
  data::DataVersion data;
  blob::Artifact rows;
};

base::Result<Promoter::Pending> Promoter::begin(store::Tx& tx, const PromoteRequest& request) {
  Pending out;
  std::string environment;
  std::optional<Config> config;
  if (!request.verdict.empty()) {
    TRY_SET(out.verdict, get_verdict(tx, request.verdict));
    TRY_SET(const auto run, flow::get_run(tx, out.verdict.run));
    TRY_SET(const auto applied, applied_of(tx, out.verdict.pipeline, run.bundle));
    TRY_SET(config, config_of(applied));
    environment = request.environment.empty() ? out.verdict.environment : request.environment;
  } else {
    TRY_SET(const auto applied, current_applied(tx, request.pipeline));
    if (!applied) return base::not_found("there is no project '" + request.pipeline + "'; apply its lathe.yaml first");
    TRY_SET(config, config_of(*applied));
    environment = request.environment;
  }
  const Environment* target = config->environment(environment);
  if (target == nullptr) {
    std::string names;
    for (const auto& e : config->environments) names += (names.empty() ? "" : ", ") + e.name;
    return base::invalid("there is no environment '" + environment + "'; allowed: " + (names.empty() ? "none is declared" : names));
  }
  if (request.verdict.empty()) {
    TRY_SET(out.verdict, verified_verdict(tx, *config, *target));
  }
  out.endpoint = target->endpoint;
  out.alias = alias_of(*config, target->name);

  tx.lock("endpoint", out.endpoint);
  TRY_SET(out.already, promotion_by_verdict(tx, out.verdict.id, out.endpoint));
  if (out.already) return out;
  if (!out.verdict.passed) return base::fail(base::Code::kConflict, "the verdict " + out.verdict.id + " does not allow a promotion: " + out.verdict.reason);
  TRY_SET(const auto endpoint, serve::ensure_endpoint(tx, out.endpoint, target->name));
  // A verdict is about one endpoint's champion; another environment takes over what that one verified.
  out.expected_live = out.endpoint == out.verdict.endpoint ? out.verdict.champion_revision : endpoint.live_revision;
  if (endpoint.live_revision != out.expected_live) {
    return base::fail(base::Code::kConflict, "the verdict " + out.verdict.id + " was about revision " + std::to_string(out.expected_live) + " of '" + out.endpoint + "', but revision " + std::to_string(endpoint.live_revision) + " serves now; evaluate again");
  }
  TRY_SET(const auto version, register_version(tx, out.verdict));
  serve::NewRevision wanted;
  wanted.endpoint = out.endpoint;
  wanted.model_name = version.name;
  wanted.model_version = version.version;
  wanted.artifact_root = out.verdict.artifact_root;
  wanted.transform_digest = out.verdict.transform_digest;
  TRY_SET(out.revision, idle_revision(tx, endpoint, wanted));

  const std::string_view part = out.verdict.kind == "retraining" ? "recent" : "test";
  bool found = false;
  for (auto& e : list_evaluations(tx, out.verdict.run)) {
    if (e.purpose == "gate" && e.side == "challenger" && e.subject == out.verdict.challenger && e.part == part) out.evaluation = std::move(e), found = true;
  }
  if (!found) return base::fail(base::Code::kConflict, "the verdict " + out.verdict.id + " has no evaluation on " + std::string(part));
  TRY_SET(out.data, data::get_version(tx, out.evaluation.data_version));
  TRY_SET(out.rows, part_file(tx, out.evaluation.data_version, part));
  return out;
}

base::Result<blob::BlobInfo> Promoter::make_baseline(const Pending& pending) {
  TRY_SET(const auto csv, blobs_.get(pending.rows.digest, kMaxPartBytes));
  TRY_SET(auto table, stats::parse_csv(csv));
  stats::Table features;
  for (const auto& name : pending.data.features) {
    const auto found = std::find_if(table.columns.begin(), table.columns.end(), [&](const stats::Column& c) { return c.name == name; });
    if (found == table.columns.end()) return base::internal("the part '" + pending.evaluation.part + "' lacks the feature '" + name + "'");
    features.columns.push_back(std::move(*found));
  }
  TRY_SET(const auto digest, base::Digest::from_hex(base::HashAlgo::kSha256, pending.evaluation.predictions));
  TRY_SET(const auto stored, blobs_.get(digest, kMaxPartBytes));
  TRY_SET(const auto rows, read_predictions(stored));
  TRY_SET(const auto profile, watch::make_baseline(features, rows.predicted, rows.truth));
  return blobs_.put(profile);
}

base::Result<Promotion> Promoter::commit(store::Tx& tx, const Pending& pending, const blob::BlobInfo& baseline) {
  const auto& revision = pending.revision;
  TRY(serve::set_live(tx, pending.endpoint, revision.number, pending.expected_live, false));
  TRY(track::set_alias(tx, revision.model_name, pending.alias, revision.model_version));
  TRY(blob::hold_blob(tx, baseline, "baseline", pending.endpoint + "/" + std::to_string(revision.number)));
  TRY(watch::set_baseline(tx, pending.endpoint, revision.number, baseline.sha256.hex(), pending.evaluation.id));
  Promotion out{.endpoint = pending.endpoint, .revision = revision.number, .previous = pending.expected_live, .kind = "promoted", .verdict = pending.verdict.id,
                .model = revision.model_name, .version = revision.model_version, .actor = tx.ctx().actor.name, .at_us = tx.now_us()};
  record(tx, out);
  core::add_edge(tx, {"verdict", pending.verdict.id}, {"revision", out.endpoint + "/" + std::to_string(out.revision)}, "judged");
  return out;
}

base::Result<Promotion> Promoter::promote(const base::Context& ctx, const PromoteRequest& request) {
  TRY_SET(const Pending pending, store_.write_blocking(ctx, [&](store::Tx& tx) { return begin(tx, request); }));
  if (pending.already) return *pending.already;
  TRY(runtime_.prepare(ctx.project, pending.endpoint, pending.revision.number));
  TRY_SET(const auto baseline, make_baseline(pending));
  TRY_SET(auto done, store_.write_blocking(ctx, [&](store::Tx& tx) { return commit(tx, pending, baseline); }));
  TRY(runtime_.refresh());
  base::log::info("promoted", {{"endpoint", done.endpoint}, {"revision", done.revision}, {"model", done.model}, {"version", done.version}});
  return done;
}

base::Result<Promotion> Promoter::rollback(const base::Context& ctx, std::string_view name) {
  struct Target {
    serve::Endpoint endpoint;
    serve::Revision revision;
    std::string alias;
  };
  TRY_SET(const Target target, store_.read_blocking(ctx, [&](store::Tx& tx) -> base::Result<Target> {
    Target out;
    TRY_SET(out.endpoint, serve::get_endpoint(tx, name));
    if (out.endpoint.previous_revision == 0) return base::fail(base::Code::kConflict, "the endpoint '" + std::string(name) + "' has no earlier revision to go back to");
    TRY_SET(out.revision, serve::get_revision(tx, name, out.endpoint.previous_revision));
    TRY_SET(const auto owner, owner_of(tx, name));
    out.alias = "champion";
    if (!owner) return out;
    TRY_SET(const auto applied, current_applied(tx, owner->pipeline));
    if (!applied) return out;
    TRY_SET(const auto config, config_of(*applied));
    out.alias = alias_of(config, owner->environment);
    return out;
  }));
  TRY(runtime_.prepare(ctx.project, name, target.revision.number));
  TRY_SET(auto done, store_.write_blocking(ctx, [&](store::Tx& tx) -> base::Result<Promotion> {
    TRY(serve::set_live(tx, name, target.revision.number, target.endpoint.live_revision, true));
    TRY(track::set_alias(tx, target.revision.model_name, target.alias, target.revision.model_version));
    Promotion out{.endpoint = std::string(name), .revision = target.revision.number, .previous = target.endpoint.live_revision, .kind = "rolled_back",
                  .model = target.revision.model_name, .version = target.revision.model_version, .actor = tx.ctx().actor.name, .at_us = tx.now_us()};
    record(tx, out);
    return out;
  }));
  TRY(runtime_.refresh());
  base::log::info("rolled back", {{"endpoint", done.endpoint}, {"revision", done.revision}, {"model", done.model}, {"version", done.version}});
  return done;
}

std::vector<Promotion> list_promotions(store::Tx& tx, std::string_view endpoint, size_t limit) {
  std::vector<Promotion> out;
  const auto most = static_cast<int64_t>(limit);
  auto rows = endpoint.empty() ? tx.query(std::string(kSelect) + "WHERE project = ? ORDER BY id DESC LIMIT ?", tx.project(), most)
                               : tx.query(std::string(kSelect) + "WHERE project = ? AND endpoint = ? ORDER BY id DESC LIMIT ?", tx.project(), endpoint, most);
  while (rows.next()) out.push_back(read_promotion(rows));
  return out;
}

}  // namespace loop
