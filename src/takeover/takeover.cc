#include "takeover/takeover.h"

#include <algorithm>
#include <utility>

#include "base/pack.h"
#include "core/named_role.h"
#include "core/password.h"
#include "core/users.h"
#include "takeover/enums.h"
#include "track/models.h"
#include "track/registered.h"
#include "track/runs.h"

namespace takeover {
namespace {

// An act of that name, of whatever types its declaration says.
struct Named {
  std::string_view name;
  template <class In, class Out>
  constexpr operator Act<In, Out>() const {  // NOLINT(google-explicit-constructor)
    return {name, base::pack<In>, base::unpack<Out>};
  }
};

}  // namespace

constexpr decltype(kExperiment) kExperiment = Named("experiment");
constexpr decltype(kRunsMissing) kRunsMissing = Named("runs-missing");
constexpr decltype(kRuns) kRuns = Named("runs");
constexpr decltype(kPoints) kPoints = Named("points");
constexpr decltype(kRunFinished) kRunFinished = Named("run-finished");
constexpr decltype(kRunCounts) kRunCounts = Named("run-counts");
constexpr decltype(kModel) kModel = Named("model");
constexpr decltype(kModelCounts) kModelCounts = Named("model-counts");
constexpr decltype(kArtifactUris) kArtifactUris = Named("artifact-uris");
constexpr decltype(kRegistered) kRegistered = Named("registered");
constexpr decltype(kRegisteredHere) kRegisteredHere = Named("registered-here");
constexpr decltype(kTracesMissing) kTracesMissing = Named("traces-missing");
constexpr decltype(kTrace) kTrace = Named("trace");
constexpr decltype(kTraceHere) kTraceHere = Named("trace-here");
constexpr decltype(kFilesHere) kFilesHere = Named("files-here");
constexpr decltype(kFiles) kFiles = Named("files");
constexpr decltype(kDataset) kDataset = Named("dataset");
constexpr decltype(kRecords) kRecords = Named("records");
constexpr decltype(kRecordsHere) kRecordsHere = Named("records-here");
constexpr decltype(kScorer) kScorer = Named("scorer");
constexpr decltype(kScorerHere) kScorerHere = Named("scorer-here");
constexpr decltype(kLabelSchema) kLabelSchema = Named("label-schema");
constexpr decltype(kReviewQueue) kReviewQueue = Named("review-queue");
constexpr decltype(kIssue) kIssue = Named("issue");
constexpr decltype(kHook) kHook = Named("webhook");
constexpr decltype(kOthersHere) kOthersHere = Named("others-here");
constexpr decltype(kUser) kUser = Named("user");
constexpr decltype(kUserGrants) kUserGrants = Named("grants");
constexpr decltype(kRole) kRole = Named("role");

namespace {

using base::Result;
using store::Tx;

// --- what is here

Result<TextMap> artifact_uris(Tx& tx, const Owners& owners) {
  TextMap out;
  for (const std::string& id : owners.runs) {
    if (const auto run = track::get_run_info(tx, id)) out[id] = run->artifact_uri;
  }
  for (const std::string& id : owners.models) {
    if (const auto model = track::get_model(tx, id, true)) out[id] = model->info.artifact_uri;
  }
  TRY(tx.status());
  return out;
}

Result<std::map<std::string, ModelCounts>> model_counts(Tx& tx, const Texts& ids) {
  std::map<std::string, ModelCounts> out;
  for (const std::string& id : ids) {
    if (const auto model = track::get_model(tx, id, true)) {
      out[id] = {static_cast<int64_t>(model->params.size()), static_cast<int64_t>(model->tags.size()),
                 static_cast<int64_t>(model->metrics.size())};
    }
  }
  TRY(tx.status());
  return out;
}

Result<RegisteredHere> registered_here(Tx& tx, const std::string& name) {
  RegisteredHere out;
  TRY_SET(const track::RegisteredModel model, track::get_registered_model(tx, name));
  out.aliases = model.aliases;
  auto rows = tx.query("SELECT version, source, created_ms FROM track_versions WHERE project = ? AND registered = ?",
                       tx.project(), model.row);
  while (rows.next()) out.versions[rows.i64(0)] = {rows.str(1), rows.i64(2)};
  TRY(tx.status());
  return out;
}

Result<TraceHere> trace_here(Tx& tx, const TraceName& name) {
  TraceHere out;
  TRY_SET(out.location, traces::trace_artifact_location(tx, name.experiment, name.trace_id));
  TRY_SET(const auto counts, traces::count_traces(tx, std::vector{name.trace_id}));
  if (!counts.empty()) out.spans = counts[0].spans, out.assessments = counts[0].assessments;
  return out;
}

Result<std::vector<FileHere>> files_here(Tx& tx, const std::string& root) {
  std::vector<FileHere> out;
  for (const blob::Artifact& file : blob::list_artifacts(tx, root)) out.push_back({file.path, file.size});
  TRY(tx.status());
  return out;
}

Result<int64_t> add_files(Tx& tx, const std::vector<NewFile>& files) {
  for (const NewFile& file : files) {
    TRY_SET(const auto digest, base::Digest::from_hex(base::HashAlgo::kSha256, file.sha256));
    TRY_SET(const auto known, blob::find_blob(tx, digest));
    if (!known) return base::invalid("the bytes of " + file.root + "/" + file.path + " were not uploaded");
    if (!base::is_safe_relative_path(file.path) || !base::is_safe_relative_path(file.root) ||
        !file.root.starts_with("mlflow/"))
      return base::invalid("'" + file.root + "/" + file.path + "' is no path of an artifact");
    TRY(blob::put_artifact(tx, {.root = file.root, .path = file.path, .size = known->size, .digest = digest}));
  }
  TRY(tx.status());
  return static_cast<int64_t>(files.size());
}

Result<std::optional<int64_t>> records_here(Tx& tx, const std::string& id) {
  const auto dataset = traces::get_dataset(tx, id);
  if (!dataset && dataset.error().code == base::Code::kNotFound) return std::optional<int64_t>();
  if (!dataset) return std::unexpected(dataset.error());
  return std::optional(dataset->record_count);
}

Result<std::vector<int64_t>> scorer_here(Tx& tx, const ScorerPlace& place) {
  return traces::scorer_version_numbers(tx, place.experiment, place.name);
}

Result<OthersHere> others_here(Tx& tx, const OthersHere& asked) {
  OthersHere out;
  for (const std::string& id : asked.label_schemas) {
    if (traces::get_label_schema(tx, id)) out.label_schemas.push_back(id);
  }
  for (const std::string& id : asked.review_queues) {
    if (traces::get_review_queue(tx, id)) out.review_queues.push_back(id);
  }
  for (const std::string& id : asked.issues) {
    if (traces::get_issue(tx, id)) out.issues.push_back(id);
  }
  for (const std::string& id : asked.hooks) {
    if (hooks::get_hook(tx, id)) out.hooks.push_back(id);
  }
  TRY(tx.status());
  return out;
}

// --- users and what they may do

Result<bool> add_user(Tx& tx, const NewUser& given) {
  if (core::find_user(tx, given.name)) return false;
  TRY(tx.status());
  if (!given.password.empty() && !core::is_foreign_hash(given.password))
    return base::invalid("the password of '" + given.name + "' is hashed in a way that is not known here");
  if (!given.admin && !core::has_users(tx))
    return base::invalid("the first user is the administrator: add yours first (lathe user add)");
  core::NewUser user;
  user.name = given.name;
  user.password = given.password;
  user.admin = given.admin;
  if (!given.admin) user.roles = {{"default", core::Role::kContributor}};
  TRY(core::add_user(tx, user));
  return true;
}

Result<core::User> user_of(Tx& tx, const std::string& name) { return core::get_user(tx, name); }

Result<base::Level> level_of(const Grant& grant) {
  const auto level = core::parse_level(grant.permission);
  if (!level) return base::invalid("'" + grant.permission + "' is no permission");
  return *level;
}

Result<int64_t> add_grants(Tx& tx, const UserGrants& given) {
  TRY_SET(const core::User user, user_of(tx, given.user));
  int64_t made = 0;
  for (const Grant& grant : given.grants) {
    if (grant.kind != "experiment" && grant.kind != "registered_model" && grant.kind != "prompt")
      return base::invalid("permissions on '" + grant.kind + "' are not kept here");
    TRY_SET(const base::Level level, level_of(grant));
    const auto kind = grant.kind == "experiment" ? core::Resource::kExperiment : core::Resource::kModel;
    if (core::find_grant(tx, user.id, kind, grant.resource)) continue;
    TRY(core::put_grant(tx, user.id, {kind, grant.resource, level}));
    ++made;
  }
  TRY(tx.status());
  return made;
}

Result<bool> add_role(Tx& tx, const NewRole& given) {
  for (const core::NamedRole& role : core::list_named_roles(tx, tx.project())) {
    if (role.name == given.name) return false;
  }
  TRY_SET(const core::NamedRole role,
          core::create_named_role(tx, core::project_name(tx), given.name, given.description));
  for (const Grant& grant : given.grants) {
    TRY_SET(const base::Level level, level_of(grant));
    TRY(core::add_role_grant(tx, {0, role.id, grant.kind, grant.resource, level}));
  }
  for (const std::string& name : given.users) {
    TRY_SET(const core::User user, user_of(tx, name));
    TRY(core::give_named_role(tx, user.id, role.id));
  }
  return true;
}

// --- acts

struct Entry {
  std::string_view name;
  Result<OpenAct> (*open)(std::string_view question);
};

template <const auto& of, auto f, bool writes, bool of_server = false>
constexpr Entry entry() {
  return {of.name, [](std::string_view question) -> Result<OpenAct> {
            return [&]<class In, class Out>(const Act<In, Out>&) -> Result<OpenAct> {
              TRY_SET(In in, base::unpack<In>(question));
              return OpenAct{writes, of_server, [in = std::move(in)](Tx& tx) -> Result<std::string> {
                               TRY_SET(const Out out, f(tx, in));
                               return base::pack(out);
                             }};
            }(of);
          }};
}

Result<int64_t> add_runs(Tx& tx, const std::vector<track::ImportedRun>& runs) {
  TRY(track::import_runs(tx, runs));
  return static_cast<int64_t>(runs.size());
}
Result<int64_t> add_points(Tx& tx, const Points& in) {
  TRY(track::import_points(tx, in.run_id, in.points));
  return static_cast<int64_t>(in.points.size());
}
Result<bool> finish_run(Tx& tx, const std::string& id) {
  TRY(track::finish_run(tx, id));
  return true;
}
Result<Texts> runs_missing(Tx& tx, const Texts& ids) { return track::runs_to_import(tx, ids); }
Result<std::vector<track::RunCounts>> run_counts(Tx& tx, const Texts& ids) { return track::count_runs(tx, ids); }
Result<Texts> traces_missing(Tx& tx, const Texts& ids) { return traces::traces_to_import(tx, ids); }
Result<bool> add_trace(Tx& tx, const traces::ImportedTrace& trace) {
  TRY(traces::import_trace(tx, trace));
  return true;
}

constexpr Entry kEntries[] = {
    entry<kExperiment, track::import_experiment, true>(),
    entry<kRunsMissing, runs_missing, false>(),
    entry<kRuns, add_runs, true>(),
    entry<kPoints, add_points, true>(),
    entry<kRunFinished, finish_run, true>(),
    entry<kRunCounts, run_counts, false>(),
    entry<kModel, track::import_model, true>(),
    entry<kModelCounts, model_counts, false>(),
    entry<kArtifactUris, artifact_uris, false>(),
    entry<kRegistered, track::import_registered, true>(),
    entry<kRegisteredHere, registered_here, false>(),
    entry<kTracesMissing, traces_missing, false>(),
    entry<kTrace, add_trace, true>(),
    entry<kTraceHere, trace_here, false>(),
    entry<kFilesHere, files_here, false>(),
    entry<kFiles, add_files, true>(),
    entry<kDataset, traces::import_dataset, true>(),
    entry<kRecords, traces::import_records, true>(),
    entry<kRecordsHere, records_here, false>(),
    entry<kScorer, traces::import_scorer, true>(),
    entry<kScorerHere, scorer_here, false>(),
    entry<kLabelSchema, traces::import_label_schema, true>(),
    entry<kReviewQueue, traces::import_review_queue, true>(),
    entry<kIssue, traces::import_issue, true>(),
    entry<kHook, hooks::import_hook, true>(),
    entry<kOthersHere, others_here, false>(),
    entry<kUser, add_user, true, true>(),
    entry<kUserGrants, add_grants, true>(),
    entry<kRole, add_role, true>(),
};

}  // namespace

Result<OpenAct> open_act(std::string_view name, std::string_view question) {
  const auto* found = std::ranges::find(kEntries, name, &Entry::name);
  if (found == std::end(kEntries))
    return base::not_found("there is no act '" + std::string(name.substr(0, 80)) + "' of an import");
  return found->open(question);
}

}  // namespace takeover
