// lathe import mlflow SOURCE: another server's tracking store, with its artifacts, into this one's. Every run is taken
// over in one transaction (its points in several, if they are many), and what is here is passed by: so a call that was
// broken off goes on, and one that was not changes nothing. docs/design/import.md
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>

#include "cli/api.h"
#include "cli/command.h"
#include "cli/import_mlflow.h"
#include "server/config.h"
#include "track/artifact_root.h"

namespace cli {
namespace {

constexpr int64_t kRowsAtOnce = 50'000;            // of one transaction; limits::kJobRows is the store's own bound
constexpr size_t kBytesAtOnce = size_t{32} << 20;  // of one question; the server's bound is three times that
constexpr size_t kPointsPerSlice = 20'000;

struct ImportFlags {
  std::string source, dir, store, auth, workspace = "default";
  std::vector<std::string> roots;
};

size_t bytes_of(const track::Run& run) {
  size_t bytes = 1000;
  for (const track::Metric& metric : run.metrics) bytes += metric.key.size() + 64;
  for (const track::Tags* tags : {&run.params, &run.tags}) {
    for (const track::Tag& tag : *tags) bytes += tag.key.size() + tag.value.size() + 8;
  }
  for (const track::DatasetInput& input : run.datasets) {
    const track::Dataset& dataset = input.dataset;
    bytes += dataset.source.size() + dataset.schema.value_or("").size() + dataset.profile.value_or("").size() + 1000;
  }
  return bytes;
}

}  // namespace

void MlflowImport::experiments() {
  std::set<std::string> names;
  for (track::Experiment& experiment : source_.experiments()) {
    const int64_t theirs = experiment.id;
    if (track::proxied_path(experiment.artifact_location) || is_local_uri(experiment.artifact_location))
      experiment.artifact_location = "mlflow-artifacts:/{id}";
    if (!names.insert(experiment.name).second) {  // a file store may have two of a name
      const std::string name = experiment.name + " (" + std::to_string(theirs) + ")";
      notes_.push_back("a second experiment '" + experiment.name + "' is called '" + name + "' here");
      experiment.name = name;
    }
    const auto made = target_.ask(takeover::kExperiment, experiment);
    experiments_[theirs] = made.id;
    ++experiment_count_.there;
    ++experiment_count_.here;
    if (made.id != theirs)
      notes_.push_back("experiment '" + experiment.name + "' has id " + std::to_string(made.id) + " here; it was " +
                       std::to_string(theirs));
  }
}

// The artifact URI that a run or model has here: ours where its files can be taken over, else what it was.
std::string MlflowImport::home(const std::string& id, const std::string& uri, const std::string& ours) {
  const base::Path own = source_.own_artifacts(id);
  if (track::proxied_path(uri) || roots_.find(uri) || (!own.empty() && is_local_uri(uri) && roots_.find(own.string())))
    return ours;
  return uri;
}

void MlflowImport::files(const std::string& id, const std::string& uri, const std::string& artifact_uri) {
  auto from = roots_.find(uri);
  if (const base::Path own = source_.own_artifacts(id); !own.empty()) {
    std::error_code error;
    const bool there = from && std::filesystem::exists(from->root / from->path, error);
    if (!there && is_local_uri(uri)) from = roots_.find(own.string());  // the folder has been moved
  }
  const auto path = track::proxied_path(artifact_uri);
  if (from && path) return artifacts_.add(*from, track::artifact_place(*path).root);
  if (path && !roots_.empty()) return;  // proxied, and nothing was ever logged
  const size_t at = uri.find("/" + id);
  ++elsewhere_[uri.substr(0, at)];
}

void MlflowImport::runs(const std::vector<std::string>& ids) {
  const auto missing = target_.ask(takeover::kRunsMissing, ids);
  std::map<std::string, track::RunCounts> counts;
  for (track::RunCounts& each : source_.counts(missing)) counts[each.run_id] = each;
  std::vector<std::string> short_ones;
  for (const std::string& id : missing)
    if (counts[id].points <= kPointsAtOnce) short_ones.push_back(id);

  std::vector<track::ImportedRun> batch;
  int64_t rows = 0;
  size_t bytes = 0;
  const auto flush = [&] {
    if (!batch.empty()) target_.ask(takeover::kRuns, batch);
    runs_made_ += static_cast<int64_t>(batch.size());
    batch.clear();
    rows = 0;
    bytes = 0;
  };
  std::map<std::string, std::pair<std::string, std::string>> uris;  // theirs and ours
  // Points of many runs at once, as long as they are few.
  for (size_t at = 0; at < missing.size();) {
    std::vector<std::string> group, with_points;
    int64_t points = 0;
    while (at < missing.size()) {
      const int64_t more = counts[missing[at]].points;
      if (!group.empty() && points + std::min(more, kPointsAtOnce) > kPointsAtOnce) break;
      group.push_back(missing[at]);
      if (more <= kPointsAtOnce) with_points.push_back(missing[at]);
      points += std::min(more, kPointsAtOnce);
      ++at;
    }
    for (track::Run& run : source_.runs(group, with_points)) {
      track::RunInfo& info = run.info;
      const auto experiment = experiments_.find(info.experiment);
      if (experiment == experiments_.end()) {
        differs("run " + info.run_id + ": its experiment " + std::to_string(info.experiment) + " is not in the source");
        continue;
      }
      info.experiment = experiment->second;
      const std::string theirs = info.artifact_uri;
      info.artifact_uri =
          home(info.run_id, theirs,
               "mlflow-artifacts:/" + std::to_string(info.experiment) + "/" + info.run_id + "/artifacts");
      const track::RunCounts& count = counts[info.run_id];
      if (count.points > kPointsAtOnce) {
        long_run(std::move(run));
        continue;
      }
      const int64_t more = count.points + count.params + count.tags + 4;
      const size_t size = bytes_of(run);
      if (rows + more > kRowsAtOnce || bytes + size > kBytesAtOnce) flush();
      rows += more;
      bytes += size;
      batch.push_back({std::move(run), false});
    }
    flush();
  }
  const auto here = target_.ask(takeover::kArtifactUris, {ids, {}});
  for (const track::Run& run : source_.runs(ids, {})) {
    if (const auto uri = here.find(run.info.run_id); uri != here.end())
      files(run.info.run_id, run.info.artifact_uri, uri->second);
  }
  artifacts_.flush();
  if (::isatty(STDERR_FILENO) != 0 && !missing.empty())
    std::fprintf(stderr, "\r%lld runs", static_cast<long long>(runs_made_));
}

// Marked until its last point is there, so that a call after this one was broken off begins it again.
void MlflowImport::long_run(track::Run run) {
  const std::string id = run.info.run_id;
  const std::vector<track::ImportedRun> one{{std::move(run), true}};
  target_.ask(takeover::kRuns, one);
  std::optional<track::Metric> after;
  while (true) {
    const auto points = source_.points(id, after, kPointsPerSlice);
    if (!points.empty()) target_.ask(takeover::kPoints, {id, points});
    if (points.size() < kPointsPerSlice) break;
    const track::Metric& last = points.back();
    if (after && last.key == after->key && last.at_ms == after->at_ms && last.step == after->step)
      throw Failure(kRefused, "run " + id + ": metric " + last.key + " has more than " +
                                  std::to_string(kPointsPerSlice) + " values at one step and time");
    after = last;
  }
  target_.ask(takeover::kRunFinished, id);
  ++runs_made_;
}

void MlflowImport::models(const std::vector<std::string>& ids) {
  for (track::Model& model : source_.models(ids)) {
    track::ModelInfo& info = model.info;
    const auto experiment = experiments_.find(info.experiment);
    if (experiment == experiments_.end()) continue;
    info.experiment = experiment->second;
    const std::string theirs = info.artifact_uri;
    info.artifact_uri =
        home(info.model_id, theirs,
             "mlflow-artifacts:/" + std::to_string(info.experiment) + "/models/" + info.model_id + "/artifacts");
    models_made_ += target_.ask(takeover::kModel, model) ? 1 : 0;
    files(info.model_id, theirs, artifact_uri_of({{}, {info.model_id}}));
  }
  artifacts_.flush();
}

// Of one run or logged model; "": it is not here.
std::string MlflowImport::artifact_uri_of(const takeover::Owners& owner) {
  const auto found = target_.ask(takeover::kArtifactUris, owner);
  return found.empty() ? "" : found.begin()->second;
}

// Where the files of a version are here: with the run or logged model that it was made of.
void MlflowImport::locate(track::ModelVersion& version) {
  const std::string from = version.storage_uri.empty() ? version.source : version.storage_uri;
  version.storage_uri = from;
  const auto with_run = [&](const std::string& id) { return artifact_uri_of({{id}, {}}); };
  const auto with_model = [&](const std::string& id) { return artifact_uri_of({{}, {id}}); };
  constexpr std::string_view kModel = "models:/m-", kRun = "runs:/";
  if (version.source.starts_with(kModel)) {
    version.model_id = version.source.substr(kModel.size() - 2);
    if (const std::string uri = with_model(version.model_id); !uri.empty()) version.storage_uri = uri;
    return;
  }
  if (version.source.starts_with(kRun)) {
    const std::string rest = version.source.substr(kRun.size());
    const size_t slash = std::min(rest.find('/'), rest.size());
    if (const std::string uri = with_run(rest.substr(0, slash)); !uri.empty())
      version.storage_uri = uri + rest.substr(slash);
    return;
  }
  if (!is_local_uri(from) && !track::proxied_path(from)) return;
  if (const size_t at = from.find("/models/m-"); at != from.npos) {
    const std::string rest = from.substr(at + 8);
    const std::string id = rest.substr(0, rest.find('/'));
    constexpr std::string_view kArtifacts = "/artifacts";
    if (const std::string uri = with_model(id); !uri.empty() && rest.substr(id.size()).starts_with(kArtifacts)) {
      version.storage_uri = uri + rest.substr(id.size() + kArtifacts.size());
      if (version.model_id.empty()) version.model_id = id;
      return;
    }
  }
  if (version.run_id.empty()) return;
  const auto theirs = source_.runs({version.run_id}, {});
  if (theirs.empty()) return;
  const auto plain = [](std::string uri) { return uri.starts_with("file://") ? uri.substr(7) : uri; };
  const std::string root = plain(theirs.front().info.artifact_uri), path = plain(from);
  if (const std::string uri = with_run(version.run_id); !uri.empty() && path.starts_with(root + "/"))
    version.storage_uri = uri + path.substr(root.size());
}

void MlflowImport::registry() {
  for (const std::string& name : source_.registered_names()) {
    track::ImportedRegistered from = source_.registered(name);
    for (track::ImportedVersion& version : from.versions) locate(version.version);
    versions_made_ += target_.ask(takeover::kRegistered, from);
    const auto here = target_.ask(takeover::kRegisteredHere, from.model.name);
    ++registered_.there;
    ++registered_.here;
    for (const auto& [alias, number] : from.model.aliases) {
      ++aliases_.there;
      const auto found = here.aliases.find(alias);
      if (found != here.aliases.end()) ++aliases_.here;
      if (found == here.aliases.end() || found->second != number)
        differs("registered model '" + from.model.name + "': alias '" + alias + "' does not name version " +
                std::to_string(number) + " here");
    }
    for (const track::ImportedVersion& version : from.versions) {
      if (version.deleted) continue;
      ++versions_.there;
      const auto found = here.versions.find(version.version.version);
      const bool there = found != here.versions.end();
      if (there) ++versions_.here;
      if (!there || found->second.source != version.version.source ||
          found->second.created_ms != version.version.created_ms)
        differs("model version " + from.model.name + "/" + std::to_string(version.version.version) +
                " is another one here");
    }
  }
}

// Spans that a source keeps as rows become rows; the file traces.json of older ones stays a file.
void MlflowImport::traces(const std::vector<std::string>& ids) {
  const auto missing = target_.ask(takeover::kTracesMissing, ids);
  const std::set<std::string> fresh(missing.begin(), missing.end());
  for (SourceTrace& from : source_.traces(ids)) {
    const std::string id = from.trace.info.trace_id;
    const auto experiment = experiments_.find(from.experiment);
    if (experiment == experiments_.end()) continue;
    from.trace.info.experiment_id = std::to_string(experiment->second);
    if (fresh.contains(id)) {
      const auto done = target_.try_ask(takeover::kTrace, from.trace);
      if (!done) {
        ++traces_.there;
        differs("trace " + id + ": " + done.error().message);
        continue;
      }
      ++traces_made_;
    }
    const auto here = target_.ask(takeover::kTraceHere, {experiment->second, id});
    if (from.trace.spans.empty()) files(id, from.artifact_uri, here.location);
    const auto spans = static_cast<int64_t>(from.trace.spans.size());
    const auto assessments = static_cast<int64_t>(from.trace.info.assessments.size());
    ++traces_.there, traces_.here += here.spans ? 1 : 0;
    spans_.there += spans, assessments_.there += assessments;
    if (!here.spans) continue;
    spans_.here += *here.spans, assessments_.here += here.assessments.value_or(0);
    if (*here.spans != spans || here.assessments != assessments)
      differs("trace " + id + ": its spans or assessments differ");
  }
  artifacts_.flush();
}

void MlflowImport::compare_runs(const std::vector<std::string>& ids) {
  std::map<std::string, track::RunCounts> here;
  for (track::RunCounts& each : target_.ask(takeover::kRunCounts, ids)) here[each.run_id] = each;
  for (const track::RunCounts& there : source_.counts(ids)) {
    const auto found = here.find(there.run_id);
    const track::RunCounts ours = found == here.end() ? track::RunCounts{} : found->second;
    const auto add = [](Tally& tally, int64_t theirs, int64_t mine) { tally.there += theirs, tally.here += mine; };
    add(runs_count_, 1, found != here.end());
    std::string text;
    const auto one = [&](Tally& tally, const char* what, int64_t theirs, int64_t mine) {
      add(tally, theirs, mine);
      if (theirs != mine)
        text.append(text.empty() ? " " : ", ").append(std::to_string(theirs)).append(" ").append(what);
      if (theirs != mine) text.append(" there and ").append(std::to_string(mine)).append(" here");
    };
    one(points_, "metric points", there.points, ours.points);
    one(params_, "params", there.params, ours.params);
    one(tags_, "tags", there.tags, ours.tags);
    one(datasets_, "data sets", there.datasets, ours.datasets);
    one(links_, "model inputs and outputs", there.models, ours.models);
    if (found == here.end()) text = " is missing here";
    if (!text.empty()) differs("run " + there.run_id + ":" + text);
  }
}

void MlflowImport::compare_models(const std::vector<std::string>& ids) {
  const auto here = target_.ask(takeover::kModelCounts, ids);
  for (const track::Model& there : source_.models(ids)) {
    ++models_count_.there;
    const auto found = here.find(there.info.model_id);
    if (found != here.end()) ++models_count_.here;
    const auto same = [](int64_t mine, const auto& theirs) { return mine == static_cast<int64_t>(theirs.size()); };
    if (found == here.end() || !same(found->second.params, there.params) || !same(found->second.tags, there.tags) ||
        !same(found->second.metrics, there.metrics))
      differs("logged model " + there.info.model_id +
              (found != here.end() ? ": its params, tags or metrics differ" : " is missing here"));
  }
}

void MlflowImport::report() {
  if (::isatty(STDERR_FILENO) != 0) std::fprintf(stderr, "\r");
  std::printf("%-26s %14s %14s\n", "", "source", "here");
  for (const auto& [what, tally] : {std::pair{"experiments", experiment_count_},
                                    {"runs", runs_count_},
                                    {"metric points", points_},
                                    {"params", params_},
                                    {"run tags", tags_},
                                    {"data set inputs", datasets_},
                                    {"model inputs and outputs", links_},
                                    {"logged models", models_count_},
                                    {"registered models", registered_},
                                    {"model versions", versions_},
                                    {"aliases", aliases_},
                                    {"traces", traces_},
                                    {"spans", spans_},
                                    {"assessments", assessments_},
                                    {"evaluation data sets", eval_datasets_},
                                    {"their records", records_},
                                    {"scorer versions", scorers_},
                                    {"label schemas", schemas_},
                                    {"review queues", queues_},
                                    {"issues", issues_},
                                    {"webhooks", hooks_},
                                    {"users", users_},
                                    {"users' permissions", grants_},
                                    {"roles", roles_}})
    if (tally.there > 0 || tally.here > 0)
      std::printf("%-26s %14lld %14lld\n", what, static_cast<long long>(tally.there),
                  static_cast<long long>(tally.here));
  const ArtifactCounts& files = artifacts_.counts();
  std::printf("%-26s %14lld %14lld\n", "artifact files", static_cast<long long>(files.found),
              static_cast<long long>(files.present + files.stored));
  std::printf("new here: %lld runs, %lld logged models, %lld model versions, %lld artifact files (%lld bytes)\n",
              static_cast<long long>(runs_made_), static_cast<long long>(models_made_),
              static_cast<long long>(versions_made_), static_cast<long long>(files.stored),
              static_cast<long long>(files.bytes));
  for (const std::string& note : notes_) std::printf("note: %s\n", note.c_str());
  if (files.links > 0)
    std::printf("note: %lld symbolic links or special files among the artifacts were left out\n",
                static_cast<long long>(files.links));
  for (const auto& [uri, count] : elsewhere_) {
    const bool local = is_local_uri(uri) || track::proxied_path(uri);
    std::printf("note: the artifacts of %lld runs or models were not read: %s%s\n", static_cast<long long>(count),
                uri.c_str(), local ? " (--artifacts-root names the folders that may be)" : " stays where it is");
  }
  for (const auto& [what, count] : source_.left_out())
    std::printf("left out: %lld %s\n", static_cast<long long>(count), what.c_str());
  for (const std::string& difference : named_) std::printf("DIFFERS %s\n", difference.c_str());
  if (differences_ > static_cast<int64_t>(named_.size()))
    std::printf("DIFFERS and %lld more\n",
                static_cast<long long>(differences_) - static_cast<long long>(named_.size()));
  std::printf(differences_ == 0 ? "no differences\n" : "%lld differences: what was here before was not changed\n",
              static_cast<long long>(differences_));
}

namespace {

// The store itself when nobody holds it, else the server that does.
std::unique_ptr<ImportTarget> open_target(const Common& common, const ImportFlags& flags) {
  const char* named = std::getenv("LATHE_SERVER");
  const bool folder = !flags.dir.empty() || !flags.store.empty();
  if (!common.server.empty() && folder)
    throw Failure(kUsage, "--server names a running server; --dir and --store the folder of one that may be stopped");
  if (!common.server.empty() || (!folder && named != nullptr && *named != '\0')) return import_into_server(common);
  server::Variables variables;
  if (!flags.dir.empty()) variables["dir"] = flags.dir;
  if (!flags.store.empty()) variables["store"] = flags.store;
  const auto config = server::load_config(variables, server::environment());
  if (!config) throw Failure(kUsage, config.error().message);
  auto store = import_into_store(*config, common);
  if (store) return std::move(*store);
  const auto address = base::read_file(config->dir / "address", 4096);
  if (store.error().code != base::Code::kConflict || !address) throw Failure(kRefused, store.error().message);
  Common running = common;
  running.server = address->substr(0, address->find_first_of("\r\n"));
  if (const base::Path ca = config->dir / "ca.pem"; running.ca_cert.empty() && std::filesystem::exists(ca))
    running.ca_cert = ca.string();
  return import_into_server(running);
}

int import_mlflow(const Common& common, const ImportFlags& flags) {
  std::error_code error;
  const bool folder = std::filesystem::is_directory(flags.source, error);
  const auto source = folder ? open_folder_source(flags.source) : open_sql_source(flags.source, flags.workspace);
  const auto auth = flags.auth.empty() ? nullptr : open_auth_source(flags.auth, flags.workspace);
  std::vector<base::Path> roots(flags.roots.begin(), flags.roots.end());
  if (folder) roots.emplace_back(flags.source);
  ArtifactRoots artifact_roots(roots, source->folder());
  const auto target = open_target(common, flags);
  return MlflowImport(*source, *target, std::move(artifact_roots)).run(auth.get()) ? 0 : kRefused;
}

}  // namespace

void add_import_commands(CLI::App& app, Common& common) {
  auto* group = app.add_subcommand("import", "Take over what another server stored");
  group->require_subcommand(1);
  auto flags = std::make_shared<ImportFlags>();
  auto* mlflow = group->add_subcommand("mlflow",
                                       "An MLflow tracking store with its artifacts, into a running server or the "
                                       "folder of a stopped one. May be called "
                                       "again: it goes on");
  mlflow
      ->add_option("source", flags->source, "sqlite:///FILE, FILE, postgresql://USER@HOST/DATABASE or an mlruns folder")
      ->required();
  mlflow->add_option("--artifacts-root", flags->roots,
                     "folder below which artifacts may be read; may be repeated. An mlruns folder is one itself");
  mlflow->add_option("--auth-db", flags->auth,
                     "MLflow's users and their permissions too: basic_auth.db, sqlite:///FILE or postgresql://…");
  mlflow->add_option("--workspace", flags->workspace, "of the source, where it has workspaces [default]");
  mlflow->add_option("--dir", flags->dir, "the server's folder [.lathe]; LATHE_DIR");
  mlflow->add_option("--store", flags->store, "the server's store [sqlite]; LATHE_STORE");
  mlflow->callback([flags, &common] { common.exit_code = import_mlflow(common, *flags); });
}

}  // namespace cli
