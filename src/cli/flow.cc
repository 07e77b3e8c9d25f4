// lathe run, runs, logs, cancel: pipeline runs from the command line.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <map>
#include <memory>
#include <set>
#include <thread>

#include "base/fs.h"
#include "base/hash.h"
#include "base/json.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/dvc_cache.h"
#include "flow/dvc_lock.h"
#include "net/http.h"

namespace cli {
namespace {

namespace json = boost::json;

constexpr auto kLook = std::chrono::milliseconds(150);  // between looks at a run that is going on

std::string text(const json::value& value, std::string_view key) {
  return std::string(std::string_view(value.at(key).as_string()));
}
int64_t number(const json::value& value, std::string_view key) { return value.at(key).to_number<int64_t>(); }
bool is_run(std::string_view id) { return id.starts_with("pl_"); }
bool is_attempt(std::string_view id) { return id.starts_with("at_"); }
bool is_final(std::string_view state) { return state != "queued" && state != "running"; }

std::string run_path(const std::string& id) { return "/pipeline-runs/" + net::percent_encode(id); }

std::string clock_text(int64_t at_us) {
  const time_t seconds = at_us / 1'000'000;
  tm parts{};
  gmtime_r(&seconds, &parts);
  char buffer[32];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%SZ", &parts);
  return buffer;
}

std::string duration_text(int64_t from_us, int64_t to_us) {
  if (from_us == 0 || to_us < from_us) return "";
  const double seconds = static_cast<double>(to_us - from_us) / 1e6;
  return seconds < 100 ? fmt::format("{:.1f} s", seconds)
                       : fmt::format("{:.0f} min {:02.0f} s", seconds / 60,
                                     static_cast<double>(static_cast<int64_t>(seconds) % 60));
}

// The pipeline that is meant when none is named: the only one.
std::string only_pipeline(Api& api) {
  const json::value answer = api.get("/pipelines");
  const json::array& known = answer.at("pipelines").as_array();
  if (known.size() == 1) return text(known[0], "name");
  std::string names;
  for (const json::value& pipeline : known) names += (names.empty() ? "" : ", ") + text(pipeline, "name");
  if (known.empty()) throw Failure(kRefused, "there is no pipeline yet; `lathe apply` makes one from lathe.yaml");
  throw Failure(kUsage, "which pipeline? There are " + names);
}

std::string newest_run(Api& api, const std::string& pipeline) {
  const json::value answer = api.get("/pipelines/" + net::percent_encode(pipeline) + "/runs?limit=1");
  const json::array& runs = answer.at("runs").as_array();
  if (runs.empty()) throw Failure(kRefused, "pipeline '" + pipeline + "' has not run yet; `lathe run` starts it");
  return text(runs[0], "id");
}

void print_stage(const json::value& stage) {
  std::printf("  %-28s %-16s %8s  %s\n", text(stage, "name").c_str(), text(stage, "state").c_str(),
              duration_text(number(stage, "started_us"), number(stage, "ended_us")).c_str(),
              text(stage, "reason").c_str());
}

// Prints each stage as it ends; answers the run's final state.
std::string watch_run(Api& api, const std::string& id) {
  std::set<std::string> told;
  for (;;) {
    const json::value run = api.get(run_path(id));
    for (const json::value& stage : run.at("stages").as_array())
      if (is_final(text(stage, "state")) && told.insert(text(stage, "name")).second) print_stage(stage);
    std::fflush(stdout);
    if (number(run, "ended_us") != 0) return text(run, "state");
    std::this_thread::sleep_for(kLook);
  }
}

// --- checkout --------------------------------------------------------------------------------------------------------

// The project's folder: the nearest upward that has lathe.yaml or dvc.yaml.
base::Path project_root() {
  std::error_code error;
  const base::Path here = std::filesystem::current_path(error);
  for (base::Path dir = here; !dir.empty(); dir = dir.parent_path()) {
    if (std::filesystem::exists(dir / "lathe.yaml", error) || std::filesystem::exists(dir / "dvc.yaml", error))
      return dir;
    if (dir == dir.parent_path()) break;
  }
  return here;
}

bool has_content(const base::Path& file, const std::string& sha256) {
  auto fd = base::open_file(file, O_RDONLY | O_NOFOLLOW);
  if (!fd) return false;
  base::Hasher hasher(base::HashAlgo::kSha256);
  char buffer[65536];
  for (ssize_t n = 0; (n = ::read(fd->get(), buffer, sizeof buffer)) > 0;)
    hasher.update({buffer, static_cast<size_t>(n)});
  return hasher.finish().hex() == sha256;
}

// To a temporary file beside it, verified, then into place: an interrupted checkout leaves old files or new ones.
void bring(Api& api, const json::value& out, const base::Path& root) {
  const std::string path = text(out, "path"), digest = text(out, "digest");
  if (!base::is_safe_relative_path(path))
    throw Failure(kRefused, "the server names an out '" + path + "', which is not a path inside the project");
  const base::Path target = root / path, partial = target.string() + ".lathe-partial";
  if (has_content(target, digest)) return;
  need(base::make_dirs(target.parent_path()), path);
  std::error_code error;
  const base::Path real = std::filesystem::canonical(target.parent_path(), error);
  const std::string prefix = std::filesystem::canonical(root, error).string();
  if (error || (real.string() != prefix && !real.string().starts_with(prefix + "/")))
    throw Failure(kRefused, path + ": a link leads out of the project");
  std::filesystem::remove(partial, error);
  auto fd = base::open_file(partial, O_WRONLY | O_CREAT | O_EXCL, out.at("executable").as_bool() ? 0755 : 0644);
  if (!fd) throw Failure(kRefused, fd.error().message);
  base::Hasher hasher(base::HashAlgo::kSha256);
  base::Result<void> written;
  api.stream("/blobs/" + digest, [&](std::string_view bytes) {
    hasher.update(bytes);
    return (written = base::write_all(fd->get(), bytes)).has_value();
  });
  need(written, path);
  if (hasher.finish().hex() != digest) throw Failure(kRefused, path + ": what arrived is not what the run made");
  if (::fsync(fd->get()) != 0 || ::rename(partial.c_str(), target.c_str()) != 0)
    throw Failure(kRefused, base::errno_error(path, errno).error().message);
  need(base::fsync_dir(target.parent_path()), path);
}

// What DVC would have put into its cache. Outs lie in the project's folder by now.
void fill_dvc_cache(const json::array& outs, const base::Path& root) {
  auto cache = DvcCache::open(root);
  if (!cache) throw Failure(kRefused, cache.error().message);
  std::map<std::string, std::vector<flow::DvcFile>> folders;
  for (const json::value& out : outs) {
    if (!out.at("cached").as_bool()) continue;
    const std::string path = text(out, "path"), declared = text(out, "out"), md5 = text(out, "md5");
    need(cache->add_file(root / path, md5), path);
    if (declared != path) folders[declared].push_back({path.substr(declared.size() + 1), md5});
  }
  for (auto& [path, files] : folders) need(cache->add_folder(flow::dvc_folder_object(std::move(files))), path);
}

void checkout(Api& api, const std::string& run) {
  const base::Path root = project_root();
  const json::value answer = api.get(run_path(run) + "/outs");
  const json::array& outs = answer.at("outs").as_array();
  for (const json::value& out : outs) bring(api, out, root);
  std::printf("%zu files of %s are in %s\n", outs.size(), run.c_str(), root.c_str());
  std::error_code error;
  if (!std::filesystem::exists(root / "dvc.yaml", error)) return;
  if (std::filesystem::is_directory(root / ".dvc", error)) fill_dvc_cache(outs, root);
  const auto lock = api.call({}, run_path(run) + "/dvc.lock");
  need(base::write_file_durably(root / "dvc.lock", lock.body), "dvc.lock");
  std::printf("dvc.lock is written\n");
}

// --- the commands ----------------------------------------------------------------------------------------------------

struct RunOptions {
  std::string target;
  std::vector<std::string> params;
  bool force = false, detach = false, checkout = false;
};

void run(Common& common, const RunOptions& options) {
  Api api(common);
  if (is_run(options.target)) {
    if (!options.checkout)
      throw Failure(kUsage, "'" + options.target + "' is a run; with --checkout its outs are brought here");
    return checkout(api, options.target);
  }
  json::object params;
  for (const std::string& param : options.params) {
    const size_t equals = param.find('=');
    if (equals == std::string::npos || equals == 0)
      throw Failure(kUsage, "-p '" + param + "': a parameter is given as KEY=VALUE");
    params[param.substr(0, equals)] = param.substr(equals + 1);
  }
  const std::string pipeline = options.target.empty() ? only_pipeline(api) : options.target;
  const json::value started = api.post("/pipelines/" + net::percent_encode(pipeline) + "/runs",
                                       json::object{{"params", params}, {"force", options.force}});
  const std::string id = text(started, "id");
  std::printf("%s  %s, run %lld\n", id.c_str(), pipeline.c_str(), static_cast<long long>(number(started, "number")));
  std::fflush(stdout);
  if (options.detach) return;
  const std::string state = watch_run(api, id);
  std::printf("%s\n", state.c_str());
  if (state != "succeeded") throw Failure(kRefused, "the run " + state + "; `lathe logs " + id + "` shows why");
  if (options.checkout) checkout(api, id);
}

void show_run(Api& api, const std::string& id) {
  const json::value one = api.get(run_path(id));
  std::printf("%s  %s, run %lld, %s (%s), %s\n", id.c_str(), text(one, "pipeline").c_str(),
              static_cast<long long>(number(one, "number")), text(one, "state").c_str(), text(one, "cause").c_str(),
              clock_text(number(one, "created_us")).c_str());
  for (const json::value& stage : one.at("stages").as_array()) {
    print_stage(stage);
    if (!text(stage, "attempt").empty()) std::printf("  %-28s %s\n", "", text(stage, "attempt").c_str());
  }
}

void list_runs(Common& common, const std::string& what, int limit) {
  Api api(common);
  if (is_run(what)) return show_run(api, what);
  std::vector<std::string> pipelines{what};
  if (what.empty()) {
    pipelines.clear();
    const json::value known = api.get("/pipelines");
    for (const json::value& pipeline : known.at("pipelines").as_array()) pipelines.push_back(text(pipeline, "name"));
  }
  size_t shown = 0;
  for (const std::string& pipeline : pipelines) {
    const json::value answer =
        api.get("/pipelines/" + net::percent_encode(pipeline) + "/runs?limit=" + std::to_string(limit));
    for (const json::value& item : answer.at("runs").as_array()) {
      ++shown;
      std::printf("%s  %-16s %5lld  %-10s %8s  %s  %s\n", text(item, "id").c_str(), pipeline.c_str(),
                  static_cast<long long>(number(item, "number")), text(item, "state").c_str(),
                  duration_text(number(item, "created_us"), number(item, "ended_us")).c_str(),
                  clock_text(number(item, "created_us")).c_str(), text(item, "cause").c_str());
    }
  }
  if (shown == 0) std::printf("nothing has run yet\n");
}

void print_log(Api& api, const std::string& attempt, bool follow) {
  bool line_open = false;
  api.stream("/attempts/" + net::percent_encode(attempt) + "/log" + (follow ? "?follow=true" : ""),
             [&line_open](std::string_view bytes) {
               line_open = !bytes.ends_with('\n');
               const bool good = std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size();
               return std::fflush(stdout) == 0 && good;
             });
  if (line_open) std::printf("\n");
}

// Every attempt of a run once, in the order in which they begin; with follow, on until the run has ended.
void print_logs_of_run(Api& api, const std::string& id, const std::string& stage, bool follow) {
  std::set<std::string> shown;
  for (;;) {
    const json::value one = api.get(run_path(id));
    bool known = stage.empty(), news = false;
    for (const json::value& item : one.at("stages").as_array()) {
      const std::string name = text(item, "name"), attempt = text(item, "attempt");
      if (!stage.empty() && stage != name && stage != text(item, "group")) continue;
      known = true;
      if (attempt.empty() || !shown.insert(attempt).second) continue;
      std::printf("==> %s (%s) <==\n", name.c_str(), attempt.c_str());
      print_log(api, attempt, follow);
      news = true;
    }
    if (!known) throw Failure(kRefused, "run " + id + " has no stage '" + stage + "'");
    if (!follow || (!news && number(one, "ended_us") != 0)) break;
    if (!news) std::this_thread::sleep_for(kLook);
  }
  if (shown.empty())
    std::printf("no stage of %s has begun%s\n", id.c_str(), stage.empty() ? "" : (" (" + stage + ")").c_str());
}

void logs(Common& common, const std::string& what, const std::string& stage, bool follow) {
  Api api(common);
  if (is_attempt(what)) return print_log(api, what, follow);
  print_logs_of_run(api, is_run(what) ? what : newest_run(api, what.empty() ? only_pipeline(api) : what), stage,
                    follow);
}

void cancel(Common& common, const std::string& id) {
  Api api(common);
  const json::value answer = api.post(run_path(id) + "/cancel", json::object{});
  const std::string state = is_final(text(answer, "state")) ? text(answer, "state") : watch_run(api, id);
  std::printf("%s %s\n", id.c_str(), state.c_str());
}

}  // namespace

void add_flow_commands(CLI::App& app, Common& common) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* run_command = app.add_subcommand("run", "Run a pipeline and wait for its end");
  run_command->add_option("pipeline", options->target, "Name [the only one]; or a run's id, with --checkout");
  run_command->add_option("-p,--param", options->params, "KEY=VALUE; stages see it as LATHE_PARAM_KEY")
      ->allow_extra_args(false);
  run_command->add_flag("--force", options->force, "Skip no stage, though nothing has changed");
  run_command->add_flag("--detach", options->detach, "Do not wait");
  run_command->add_flag("--checkout", options->checkout,
                        "Bring the outs into the project's folder; with a dvc.yaml, dvc.lock too (and DVC's cache)");
  run_command->callback([&common, options] { run(common, *options); });

  auto which = std::make_shared<std::string>();
  auto limit = std::make_shared<int>(10);
  CLI::App* runs_command = app.add_subcommand("runs", "List runs, or show one with its stages");
  runs_command->add_option("what", *which, "A pipeline's name or a run's id [all pipelines]");
  runs_command->add_option("-n,--limit", *limit, "Runs of each pipeline [10]")->check(CLI::Range(1, 1000));
  runs_command->callback([&common, which, limit] { list_runs(common, *which, *limit); });

  auto log_of = std::make_shared<std::string>();
  auto stage = std::make_shared<std::string>();
  auto follow = std::make_shared<bool>(false);
  CLI::App* logs_command = app.add_subcommand("logs", "Print what stages wrote");
  logs_command->add_option("what", *log_of,
                           "A run's or an attempt's id, or a pipeline for its newest run [the only one]");
  logs_command->add_option("stage", *stage, "Only this stage, or all stages of this group");
  logs_command->add_flag("-f,--follow", *follow, "Go on until the end");
  logs_command->callback([&common, log_of, stage, follow] { logs(common, *log_of, *stage, *follow); });

  auto victim = std::make_shared<std::string>();
  CLI::App* cancel_command = app.add_subcommand("cancel", "Cancel a run and end its processes");
  cancel_command->add_option("run", *victim, "The run's id")->required();
  cancel_command->callback([&common, victim] { cancel(common, *victim); });
}

}  // namespace cli
