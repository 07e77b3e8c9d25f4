// lathe export mlflow DIR: a project as an mlruns folder, which the stock client reads. The store is only read, beside
// a running server too. Each run, logged model, trace and model version is written in a part folder and appears at its
// place by one rename; what is there already is passed by, so that a call that was broken off goes on.
// docs/design/import.md
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <set>

#include "base/clock.h"
#include "base/hash.h"
#include "blob/home.h"
#include "cli/command.h"
#include "cli/export_mlflow.h"
#include "core/project.h"
#include "server/blob_place.h"
#include "server/config.h"
#include "server/run.h"

namespace cli {
namespace {

constexpr const char* kParts = ".lathe-part";
constexpr size_t kNamed = 50;  // the report counts the rest
constexpr size_t kPartsAtOnce = 256;
constexpr int64_t kBytesAtOnce = int64_t{256} << 20;  // of files between two flushes
constexpr size_t kCopyBytes = size_t{1} << 20;
constexpr int64_t kPointsPerSlice = 25'000;

struct ExportFlags {
  std::string target, dir, store;
  MlflowExport::Choice choice;
};

base::Path experiment_path(const track::Experiment& experiment) {
  const std::string id = std::to_string(experiment.id);
  return experiment.deleted ? base::Path(".trash") / id : base::Path(id);
}

}  // namespace

bool MlflowExport::is_one_name(std::string_view text) {
  return base::is_safe_relative_path(text) && text.find('/') == text.npos;
}

// What MLflow's file store takes as a key: it reads the key back out of the file's path.
bool MlflowExport::is_key(std::string_view text) {
  return base::is_safe_relative_path(text) && std::ranges::all_of(text, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  std::string_view("/_.- :").find(c) != std::string_view::npos || static_cast<signed char>(c) < 0;
         });
}

base::Context MlflowExport::context() const {
  base::Context ctx = base::Context::system(base::system_clock(), "system:export");
  ctx.project = project_;
  return ctx;
}

void MlflowExport::leave_out(const std::string& what) {
  if (++left_out_ <= static_cast<int64_t>(kNamed)) named_.push_back(what);
}

std::string MlflowExport::begin_part() { return std::string(kParts) + "/" + std::to_string(++part_number_); }

void MlflowExport::end_part(const std::string& part, const std::string& place) {
  waiting_.emplace_back(part, place);
  if (waiting_.size() >= kPartsAtOnce || waiting_bytes_ >= kBytesAtOnce) flush();
}

void MlflowExport::flush() {
  if (waiting_.empty()) return;
  tree_.sync();
  for (const auto& [part, place] : waiting_) tree_.move(part, place);
  waiting_.clear();
  waiting_bytes_ = 0;
}

bool MlflowExport::run(const Choice& choice) {
  mlflow2_ = choice.mlflow2;
  tree_.remove(kParts);
  tree_.make_dirs(".trash");
  experiments(choice.experiments);
  each_page<track::RunInfo>(track::runs_after, &track::RunInfo::run_id,
                            [this](const track::RunInfo& info) { one_run(info); });
  if (!mlflow2_) {
    each_page<track::ModelInfo>(track::models_after, &track::ModelInfo::model_id,
                                [this](const track::ModelInfo& info) { one_model(info); });
    each_page<traces::TraceInfo>(traces::traces_after, &traces::TraceInfo::trace_id,
                                 [this](const traces::TraceInfo& info) { one_trace(info); });
  }
  flush();
  registry(!choice.experiments.empty());
  flush();
  tree_.remove(kParts);
  tree_.sync();
  report();
  return left_out_ == 0;
}

void MlflowExport::experiments(const std::vector<std::string>& names) {
  std::set<std::string> wanted(names.begin(), names.end());
  int64_t after = -1;
  while (true) {
    const auto page = read([&](store::Tx& tx) { return track::experiments_after(tx, after, kPage); });
    for (const track::Experiment& each : page) {
      after = each.id;
      if (!names.empty() && wanted.erase(each.name) == 0) continue;
      homes_[each.id] = experiment_path(each).string();
      one_experiment(each);
    }
    if (page.size() < kPage) break;
  }
  if (!wanted.empty()) throw Failure(kUsage, "there is no experiment '" + *wanted.begin() + "' in the project");
}

void MlflowExport::one_experiment(const track::Experiment& each) {
  const std::string id = std::to_string(each.id), home = homes_[each.id];
  const std::string elsewhere = each.deleted ? id : ".trash/" + id;
  if (!tree_.exists(home) && tree_.exists(elsewhere)) tree_.move(elsewhere, home);  // deleted or restored since
  tree_.make_dirs(home + "/tags");
  YamlMap meta;
  meta.text("artifact_location", track::proxied_path(each.artifact_location) ? tree_.uri(id) : each.artifact_location);
  meta.number("creation_time", each.created_ms).text("experiment_id", id);
  meta.number("last_update_time", each.updated_ms).text("lifecycle_stage", each.deleted ? "deleted" : "active");
  meta.text("name", each.name);
  tree_.remove(home + "/tags");
  values(home + "/tags", each.tags, "experiment '" + each.name + "': tag");
  tree_.replace(home + "/meta.yaml", meta.str());  // last: a folder without it is no experiment
  ++experiments_.here, ++experiments_.there, ++experiments_.written;
}

// One file a key. What a folder cannot hold is named.
void MlflowExport::values(const std::string& dir, const track::Tags& tags, const std::string& what) {
  for (const track::Tag& tag : tags) {
    if (!is_key(tag.key)) {
      leave_out(what + " '" + tag.key + "': a file store has no such keys");
    } else if (const auto done = tree_.write(dir + "/" + tag.key, tag.value); !done) {
      leave_out(what + " '" + tag.key + "': " + done.error().message);
    } else {
      ++values_;
    }
  }
}

void MlflowExport::one_run(const track::RunInfo& info) {
  const auto home = homes_.find(info.experiment);
  if (home == homes_.end()) return;
  ++runs_.here;
  if (!is_one_name(info.run_id)) return leave_out("run '" + info.run_id + "': its id is no name of a folder");
  const std::string place = home->second + "/" + info.run_id;
  if (tree_.exists(place)) {
    ++runs_.there;
    return;
  }
  const std::string part = begin_part(), what = "run " + info.run_id + ": ";
  for (const char* each : {"/metrics", "/params", "/tags", "/artifacts"}) tree_.make_dirs(part + each);
  const track::Run run = read([&](store::Tx& tx) -> base::Result<track::Run> { return track::load_run(tx, info); });
  const std::string exp = std::to_string(info.experiment);
  const std::string files = exp + "/" + info.run_id + "/artifacts";

  YamlMap meta;
  meta.text("artifact_uri", copy_files(info.artifact_uri, part + "/artifacts") ? tree_.uri(files) : info.artifact_uri);
  meta.raw("deleted_time", info.deleted ? std::to_string(context().now_us / 1000) : "null");
  meta.raw("end_time", info.end_ms ? std::to_string(*info.end_ms) : "null");
  meta.text("entry_point_name", "").text("experiment_id", exp);
  meta.text("lifecycle_stage", info.deleted ? "deleted" : "active");
  meta.text("run_id", info.run_id).text("run_uuid", info.run_id).text("run_name", info.name);
  meta.text("source_name", "").number("source_type", 4).text("source_version", "");
  meta.number("start_time", info.start_ms).number("status", static_cast<int64_t>(info.status));
  meta.raw("tags", "[]").text("user_id", info.user_id);
  values(part + "/params", run.params, what + "param");
  values(part + "/tags", run.tags, what + "tag");
  for (const track::Metric& metric : run.metrics) history(info.run_id, metric.key, part + "/metrics/");
  links(run, home->second, part);
  need(tree_.write(part + "/meta.yaml", meta.str()));
  end_part(part, place);
  ++runs_.there, ++runs_.written;
  if (::isatty(STDERR_FILENO) != 0 && runs_.written % 100 == 0)
    std::fprintf(stderr, "\r%lld runs", static_cast<long long>(runs_.written));
}

void MlflowExport::history(const std::string& run_id, const std::string& key, const std::string& dir) {
  const std::string what = "run " + run_id + ": metric '" + key + "': ";
  if (!is_key(key)) return leave_out(what + "a file store has no such keys");
  auto file = tree_.create(dir + key);
  if (!file) return leave_out(what + file.error().message);
  track::HistoryQuery query{.run_id = run_id, .key = key, .max_results = kPointsPerSlice, .page_token = ""};
  std::string lines;
  do {
    const auto page = read([&](store::Tx& tx) { return track::metric_history(tx, query); });
    lines.clear();
    for (const track::Metric& m : page.rows) {
      lines.append(std::to_string(m.at_ms)).append(" ").append(double_text(m.value));
      lines.append(" ").append(std::to_string(m.step)).append("\n");
    }
    need(base::write_all(file->get(), lines));
    points_ += static_cast<int64_t>(page.rows.size());
    query.page_token = page.next_token;
  } while (!query.page_token.empty());
}

void MlflowExport::links(const track::Run& run, const std::string& home, const std::string& part) {
  const auto md5 = [](const std::string& text) { return base::md5(text).hex(); };
  const auto input = [&](const char* type, const std::string& source, const track::Tags& tags) {
    YamlMap meta;
    meta.text("destination_id", source).text("destination_type", "RUN").text("source_id", source);
    meta.text("source_type", type).tags("tags", tags);
    need(tree_.write(part + "/inputs/" + md5(source + run.info.run_id) + "/meta.yaml", meta.str()));
    ++links_;
  };
  for (const track::DatasetInput& each : run.datasets) {
    const track::Dataset& data = each.dataset;
    const std::string id = md5(data.name + data.digest), file = home + "/datasets/" + id + "/meta.yaml";
    if (!tree_.exists(file)) {
      YamlMap meta;
      meta.text("digest", data.digest).text("name", data.name).opt_text("profile", data.profile);
      meta.opt_text("schema", data.schema).text("source", data.source).text("source_type", data.source_type);
      tree_.make_dirs(home + "/datasets/" + id);
      tree_.replace(file, meta.str());
    }
    input("DATASET", id, each.tags);
  }
  if (mlflow2_) return;
  for (const std::string& model : run.model_inputs) input("MODEL", model, {});
  for (const track::ModelOutput& output : run.model_outputs) {
    if (!is_one_name(output.model_id)) {
      leave_out("run " + run.info.run_id + ": its output '" + output.model_id + "' is no name of a folder");
      continue;
    }
    YamlMap meta;
    meta.text("destination_id", output.model_id).text("destination_type", "MODEL_OUTPUT");
    meta.text("source_id", output.model_id).text("source_type", "RUN_OUTPUT").number("step", output.step);
    meta.raw("tags", "{}");
    need(tree_.write(part + "/outputs/" + output.model_id + "/meta.yaml", meta.str()));
    ++links_;
  }
}

void MlflowExport::one_model(const track::ModelInfo& info) {
  const auto home = homes_.find(info.experiment);
  if (home == homes_.end()) return;
  ++models_.here;
  if (!is_one_name(info.model_id)) return leave_out("logged model '" + info.model_id + "': its id is no folder's name");
  const std::string place = home->second + "/models/" + info.model_id;
  if (tree_.exists(place)) {
    ++models_.there;
    return;
  }
  const track::Model model =
      read([&](store::Tx& tx) -> base::Result<track::Model> { return track::load_model(tx, info); });
  const std::string part = begin_part(), what = "logged model " + info.model_id + ": ";
  for (const char* each : {"/metrics", "/params", "/tags", "/artifacts"}) tree_.make_dirs(part + each);
  const std::string exp = std::to_string(info.experiment);
  YamlMap meta;
  meta.text("artifact_location", copy_files(info.artifact_uri, part + "/artifacts")
                                     ? tree_.uri(exp + "/models/" + info.model_id + "/artifacts")
                                     : info.artifact_uri);
  meta.number("creation_timestamp", info.created_ms).text("experiment_id", exp);
  meta.number("last_updated_timestamp", info.updated_ms).text("lifecycle_stage", info.deleted ? "deleted" : "active");
  meta.text("model_id", info.model_id).text_or_null("model_type", info.model_type).text("name", info.name);
  meta.text_or_null("source_run_id", info.source_run_id).number("status", static_cast<int64_t>(info.status));
  meta.raw("status_message", "null");
  values(part + "/params", model.params, what + "param");
  values(part + "/tags", model.tags, what + "tag");
  model_metrics(model, part + "/metrics/");
  need(tree_.write(part + "/meta.yaml", meta.str()));
  end_part(part, place);
  ++models_.there, ++models_.written;
}

// A line of four words, or of six with the data set: none of them may be empty or hold a space.
void MlflowExport::model_metrics(const track::Model& model, const std::string& dir) {
  const auto is_word = [](const std::string& text) {
    return !text.empty() && text.find_first_of(" \n\r\t") == text.npos;
  };
  std::map<std::string, std::string> files;
  for (const track::Metric& m : model.metrics) {
    const std::string what = "logged model " + model.info.model_id + ": metric '" + m.key + "': ";
    const bool with_data = !m.dataset_name.empty() || !m.dataset_digest.empty();
    if (!is_key(m.key) || !is_word(m.run_id) ||
        (with_data && (!is_word(m.dataset_name) || !is_word(m.dataset_digest)))) {
      leave_out(what + "a line of a file store cannot hold its key, run or data set");
      continue;
    }
    std::string& lines = files[m.key];
    lines.append(std::to_string(m.at_ms)).append(" ").append(double_text(m.value)).append(" ");
    lines.append(std::to_string(m.step)).append(" ").append(m.run_id);
    if (with_data) lines.append(" ").append(m.dataset_name).append(" ").append(m.dataset_digest);
    lines += "\n";
    ++points_;
  }
  for (const auto& [key, lines] : files)
    if (const auto done = tree_.write(dir + key, lines); !done)
      leave_out("logged model " + model.info.model_id + ": metric '" + key + "': " + done.error().message);
}

// Whether the files behind an artifact URI are ours and therefore in `dir` now; else the URI stays and is counted.
bool MlflowExport::copy_files(const std::string& uri, const std::string& dir) {
  const auto path = track::proxied_path(uri);
  if (!path) {
    ++elsewhere_[uri.substr(0, uri.find('/', uri.find("://") == uri.npos ? 0 : uri.find("://") + 3))];
    return false;
  }
  const track::ArtifactPlace place = track::artifact_place(*path);
  copy_root(place.root, place.path, dir);
  return true;
}

// `but`: the one that is written otherwise.
void MlflowExport::copy_root(const std::string& root, const std::string& below, const std::string& dir,
                             std::string_view but) {
  const auto files = read([&](store::Tx& tx) -> base::Result<std::vector<blob::Artifact>> {
    return blob::list_artifacts(tx, root, below);
  });
  for (const blob::Artifact& file : files) {
    const std::string path = below.empty() ? file.path : file.path.substr(std::min(below.size() + 1, file.path.size()));
    if (!but.empty() && path == but) continue;
    if (!base::is_safe_relative_path(path)) {
      leave_out("file " + root + "/" + file.path + ": no path of a file");
    } else if (const auto done = copy_file(file, dir + "/" + path); !done) {
      leave_out("file " + root + "/" + file.path + ": " + done.error().message);
    }
  }
}

base::Result<void> MlflowExport::copy_file(const blob::Artifact& file, const std::string& path) {
  if (file.location != blob::Location::kBlob) return base::invalid("it lies outside of the blob store");
  TRY_SET(const base::Fd out, tree_.create(path));
  if (file.size > 0) {
    TRY_SET(const blob::BlobStore::Source source, blobs_.open_range(file.digest, 0, static_cast<uint64_t>(file.size)));
    if (source.reader) {
      while (true) {
        TRY_SET(const std::string bytes, source.reader->next());
        if (bytes.empty()) break;
        need(base::write_all(out.get(), bytes));
      }
    } else {
      copy_bytes(source.fd.get(), out.get(), path);
    }
  }
  ++files_, bytes_ += file.size, waiting_bytes_ += file.size;
  return {};
}

// In the kernel, where blocks can be shared even without copying; through a buffer where it cannot.
void MlflowExport::copy_bytes(int from, int to, const std::string& path) {
  for (bool in_kernel = true; in_kernel;) {
    const ssize_t n = ::copy_file_range(from, nullptr, to, nullptr, size_t{1} << 30, 0);
    if (n == 0) return;
    if (n < 0 && errno != EINTR) in_kernel = false;
  }
  std::string buffer(kCopyBytes, '\0');
  while (true) {
    const ssize_t n = ::read(from, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) need(base::Result<void>(base::errno_error(path, errno)));
    if (n == 0) return;
    need(base::write_all(to, {buffer.data(), static_cast<size_t>(n)}));
  }
}

void MlflowExport::report() {
  if (::isatty(STDERR_FILENO) != 0) std::fprintf(stderr, "\r");
  std::printf("%-20s %12s %12s %12s\n", "", "in the store", "in DIR", "written now");
  for (const auto& [what, tally] : {std::pair{"experiments", experiments_},
                                    {"runs", runs_},
                                    {"logged models", models_},
                                    {"traces", traces_},
                                    {"registered models", registered_},
                                    {"model versions", versions_}})
    std::printf("%-20s %12lld %12lld %12lld\n", what, static_cast<long long>(tally.here),
                static_cast<long long>(tally.there), static_cast<long long>(tally.written));
  std::printf(
      "written now: %lld metric points, %lld params and tags, %lld inputs and outputs, %lld assessments, %lld "
      "artifact files (%lld bytes)\n",
      static_cast<long long>(points_), static_cast<long long>(values_), static_cast<long long>(links_),
      static_cast<long long>(assessments_), static_cast<long long>(files_), static_cast<long long>(bytes_));
  for (const auto& [uri, count] : elsewhere_)
    std::printf("note: the artifacts of %lld runs or models stay where they are: %s\n", static_cast<long long>(count),
                uri.c_str());
  if (mlflow2_) std::printf("note: logged models, their inputs and outputs, and traces were left out for MLflow 2\n");
  for (const auto& [what, count] : read([](store::Tx& tx) { return traces::beside_traces(tx); }))
    if (count > 0)
      std::printf("note: a file store has no place for %lld %s\n", static_cast<long long>(count),
                  std::string(what).c_str());
  for (const std::string& what : named_) std::printf("LEFT OUT %s\n", what.c_str());
  if (left_out_ > static_cast<int64_t>(named_.size()))
    std::printf("LEFT OUT and %lld more\n", static_cast<long long>(left_out_) - static_cast<long long>(named_.size()));
  std::printf("%s: export MLFLOW_TRACKING_URI=%s\n", left_out_ == 0 ? "whole" : "not whole", tree_.uri("").c_str());
}

namespace {

int export_mlflow(const Common& common, const ExportFlags& flags) {
  if (!common.server.empty())
    throw Failure(kUsage, "an export reads the server's store: leave out --server, name --dir or --store");
  server::Variables variables;
  if (!flags.dir.empty()) variables["dir"] = flags.dir;
  if (!flags.store.empty()) variables["store"] = flags.store;
  const auto config = server::load_config(variables, server::environment());
  if (!config) throw Failure(kUsage, config.error().message);
  constexpr std::string_view kSqlite = "sqlite:";
  if (config->store_url.starts_with(kSqlite) && !std::filesystem::exists(config->store_url.substr(kSqlite.size())))
    throw Failure(kRefused, "there is no store at " + config->store_url.substr(kSqlite.size()));
  const auto store = need(store::Store::open({.url = config->store_url, .read_only = true}, {}));
  const auto ctx = base::Context::system(base::system_clock(), "system:export");
  const auto home = need(blob::read_home(*store, ctx, config->dir));
  const auto blobs = need(server::open_blobs_at(*config, home ? home->home : "folder", true));
  const auto project = need(store->read_blocking(ctx, [&](store::Tx& tx) -> base::Result<core::Project> {
    return core::get_project(tx, common.project.empty() ? "default" : common.project);
  }));
  const std::string mark = "lathe export mlflow of project " + project.name + " of store " +
                           (home ? home->store_id : config->store_url) + "\n";
  ExportTree tree(flags.target, mark);
  return MlflowExport(tree, *store, *blobs, project.id).run(flags.choice) ? 0 : kRefused;
}

}  // namespace

void add_export_commands(CLI::App& app, Common& common) {
  auto* group = app.add_subcommand("export", "Hand a project over to another server");
  group->require_subcommand(1);
  auto flags = std::make_shared<ExportFlags>();
  auto* mlflow = group->add_subcommand(
      "mlflow",
      "A project as an mlruns folder, which MLflow's own client reads. May be called again: it goes on, and passes by "
      "what is there");
  mlflow->add_option("target", flags->target, "the folder; new, empty or of an earlier call")->required();
  mlflow->add_option("--experiment", flags->choice.experiments,
                     "only this one, with the models registered from it; may be repeated");
  mlflow->add_flag("--for-mlflow2", flags->choice.mlflow2,
                   "for clients before 3.0: without logged models and traces, which they cannot read");
  mlflow->add_option("--dir", flags->dir, "the server's folder [.lathe]; LATHE_DIR");
  mlflow->add_option("--store", flags->store, "the server's store [sqlite]; LATHE_STORE");
  mlflow->callback([flags, &common] { common.exit_code = export_mlflow(common, *flags); });
}

}  // namespace cli
