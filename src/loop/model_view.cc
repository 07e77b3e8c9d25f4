#include "loop/model_view.h"

#include <algorithm>
#include <set>

#include "loop/apply.h"
#include "serve/endpoint.h"
#include "track/run_table.h"

namespace loop {

namespace {

constexpr size_t kShownVerdicts = 50, kShownEvaluations = 100, kShownPromotions = 100;

// What an evaluation calls a version: its logged model where it has one.
std::string subject_of(const track::ModelVersion& version) {
  return version.model_id.empty() ? version.name + "/" + std::to_string(version.version) : version.model_id;
}

// The gate's rows tell more about a model than those that picked it.
std::optional<Evaluation> telling_evaluation(store::Tx& tx, const std::string& subject) {
  auto all = evaluations_page(tx, subject, "", kShownEvaluations);
  const auto gate = std::ranges::find(all, "gate", &Evaluation::purpose);
  if (gate != all.end()) return std::move(*gate);
  if (all.empty()) return std::nullopt;
  return std::move(all.front());
}

std::optional<Verdict> newest(std::vector<Verdict> all) {
  if (all.empty()) return std::nullopt;
  return std::move(all.front());
}

std::vector<Deployed> of_version(const std::vector<Deployed>& all, std::string_view model, int64_t version) {
  std::vector<Deployed> out;
  for (const Deployed& one : all) {
    if (one.model == model && (version == 0 || one.version == version)) out.push_back(one);
  }
  return out;
}

VersionSummary summary_of(store::Tx& tx, track::ModelVersion version, const std::vector<Deployed>& all) {
  VersionSummary out;
  out.deployed = of_version(all, version.name, version.version);
  const std::string subject = subject_of(version);
  out.evaluation = telling_evaluation(tx, subject);
  out.verdict = newest(verdicts_of_challenger(tx, subject, 1));
  if (!version.run_id.empty()) {
    if (const auto run = track::get_run_info(tx, version.run_id)) out.run_name = run->name;
  }
  out.version = std::move(version);
  return out;
}

// Per environment of the pipelines that judged the model: what passed there and may serve there now.
base::Result<std::vector<ActPreview>> ready_of(store::Tx& tx, const std::vector<Verdict>& verdicts,
                                               std::string_view subject) {
  std::vector<ActPreview> out;
  std::set<std::string> pipelines;
  for (const Verdict& verdict : verdicts) pipelines.insert(verdict.pipeline);
  for (const std::string& pipeline : pipelines) {
    TRY_SET(const auto applied, current_applied(tx, pipeline));
    if (!applied) continue;
    const auto config = config_of(*applied);
    if (!config) continue;  // a text that this version cannot read any more promotes nothing
    for (const Environment& environment : config->environments) {
      auto preview = preview_promotion(tx, {.verdict = "", .pipeline = pipeline, .environment = environment.name});
      if (!preview || !preview->refusal.empty()) continue;
      if (subject.empty() || preview->then.subject == subject) out.push_back(std::move(*preview));
    }
  }
  return out;
}

}  // namespace

std::vector<Deployed> deployed(store::Tx& tx) {
  std::vector<Deployed> out;
  for (const auto& endpoint : serve::list_endpoints(tx)) {
    const auto promotions = list_promotions(tx, endpoint.name);
    const auto add = [&](int64_t number, bool live) {
      if (number == 0) return;
      const auto revision = serve::get_revision(tx, endpoint.name, number);
      if (!revision) return;
      const auto went = std::ranges::find(promotions, number, &Promotion::revision);
      out.push_back({.endpoint = endpoint.name,
                     .environment = endpoint.environment,
                     .revision = number,
                     .model = revision->model_name,
                     .version = revision->model_version,
                     .live = live,
                     .since_us = went == promotions.end() ? 0 : went->at_us});
    };
    add(endpoint.live_revision, true);
    add(endpoint.previous_revision, false);
  }
  return out;
}

base::Result<track::Page<ModelSummary>> list_models(store::Tx& tx, const track::RegistrySearch& search) {
  TRY_SET(auto found, track::search_registered_models(tx, search));
  const auto everywhere = deployed(tx);
  track::Page<ModelSummary> page;
  page.next_token = std::move(found.next_token);
  for (track::RegisteredModel& model : found.rows) {
    ModelSummary& out = page.rows.emplace_back();
    out.versions = track::count_versions(tx, model.name);
    out.deployed = of_version(everywhere, model.name, 0);
    out.verdict = newest(verdicts_of_model(tx, model.name, 1));
    const auto live = std::ranges::find_if(out.deployed, &Deployed::live);
    TRY_SET(auto top, track::versions_page(tx, model.name, live == out.deployed.end() ? 0 : live->version + 1, 1));
    if (!top.empty()) out.evaluation = telling_evaluation(tx, subject_of(top[0]));
    out.model = std::move(model);
  }
  TRY(tx.status());
  return page;
}

base::Result<ModelPage> model_page(store::Tx& tx, std::string_view name, int64_t below, size_t limit) {
  ModelPage out;
  TRY_SET(out.model, track::get_registered_model(tx, name));
  out.count = track::count_versions(tx, name);
  TRY_SET(auto versions, track::versions_page(tx, name, below, limit));
  const auto everywhere = deployed(tx);
  for (track::ModelVersion& version : versions) out.versions.push_back(summary_of(tx, std::move(version), everywhere));
  out.verdicts = verdicts_of_model(tx, name, kShownVerdicts);
  out.promotions = promotions_of(tx, name, 0, kShownPromotions);
  TRY_SET(out.ready, ready_of(tx, out.verdicts, ""));
  TRY(tx.status());
  return out;
}

base::Result<VersionPage> version_page(store::Tx& tx, std::string_view name, int64_t number) {
  TRY_SET(auto version, track::get_model_version(tx, name, number));
  VersionPage out;
  const std::string subject = subject_of(version);
  out.summary = summary_of(tx, std::move(version), deployed(tx));
  out.evaluations = evaluations_page(tx, subject, "", kShownEvaluations);
  out.verdicts = verdicts_of_challenger(tx, subject, kShownVerdicts);
  out.promotions = promotions_of(tx, name, number, kShownPromotions);
  TRY_SET(out.ready, ready_of(tx, out.verdicts, subject));
  TRY(tx.status());
  return out;
}

std::string version_name_of(store::Tx& tx, std::string_view model, std::string_view logged_model) {
  const auto version = track::version_of_logged_model(tx, model, logged_model);
  if (!version || !*version) return "";
  return (*version)->name + "/" + std::to_string((*version)->version);
}

}  // namespace loop
