#include "repository/repository.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "repository/configured.h"
#include "repository/layout.h"
#include "repository/sequences.h"
#include "serve/batching.h"
#include "serve/claims.h"
#include "serve/mlmodel.h"
#include "serve/python_environments.h"
#include "serve/response_cache.h"
#include "serve/trial.h"

namespace repository {
namespace {

using serve::LiveEndpoint;
using serve::LivePtr;

constexpr int64_t kProject = base::kDefaultProject;
constexpr uint64_t kModelBytes = 256 << 10;  // what a model costs beside its files
constexpr std::chrono::seconds kKeeperPeriod{1};
constexpr size_t kMaxTried = 20'000;
constexpr size_t kMaxSteps = 1'000;  // of an ensemble, with its steps' own

struct Version {
  LivePtr live;  // ready, cold, or with its problem; null: not served
  base::Path folder;
  std::string state;  // Triton's words
  std::string reason;
  uint64_t bytes = 0;
};

struct Model {
  base::Path folder;
  std::string stamp;  // of the files that were looked at last
  std::string problem;
  std::map<int64_t, Version> versions;
  bool pinned = false;  // a step of an ensemble: stays in memory
  bool added = false;   // by add()
  std::vector<std::string> steps;
};

// A model as it is about to be.
struct Plan {
  ModelLayout layout;
  ModelConfig config;
  std::map<int64_t, base::Path> versions;
};

std::vector<std::string> steps_of(const ModelConfig& config) {
  std::vector<std::string> out;
  for (const auto& step : config.ensemble_scheduling().step()) {
    if (std::ranges::find(out, step.model_name()) == out.end()) out.push_back(step.model_name());
  }
  return out;
}

// Triton's word for a Python model's environment; ours are folders, not archives.
std::string environment_of(const ModelConfig& config) {
  const auto found = config.parameters().find("EXECUTION_ENV_PATH");
  return found == config.parameters().end() ? "" : found->second.string_value();
}

base::Registry::Labels labels_of(const LiveEndpoint& live) { return {{"model", live.name}, {"version", live.version}}; }

class RepositoryImpl final : public Repository {
 public:
  RepositoryImpl(const Options& options, base::Registry& metrics)
      : options_(options),
        metrics_(metrics),
        environments_({.roots = options.python_roots, .build_dir = options.python_build}),
        cache_(options.cache_bytes ? std::make_shared<serve::ResponseCache>(options.cache_bytes) : nullptr) {}
  ~RepositoryImpl() override;

  base::Result<void> start();

  bool ready() const override { return !options_.strict_readiness || Routes::ready(); }
  base::Result<LivePtr> warm(const LiveEndpoint& cold, int64_t deadline_mono_us) override;

  std::vector<ModelState> index(bool ready_only) const override;
  base::Result<void> load(std::string_view name, const std::optional<std::string>& config_json) override;
  base::Result<void> unload(std::string_view name, bool dependents) override;
  base::Result<void> add(std::string_view name, const base::Path& folder) override;
  base::Result<void> remove(std::string_view name) override;
  std::vector<Added> added() const override;

 private:
  base::Result<std::map<std::string, base::Path>> folders() const;
  base::Result<base::Path> folder_of(std::string_view name) const;
  base::Result<Plan> plan(const std::string& name, const base::Path& folder, const std::optional<std::string>& config);
  base::Result<void> load_claimed(const std::string& name, const base::Path& folder,
                                  const std::optional<std::string>& config);
  base::Result<void> load_named(const std::string& name, const base::Path& folder,
                                const std::optional<std::string>& config);
  base::Result<void> load_steps(const std::string& name, const Plan& plan);
  base::Result<void> check_circle(const std::string& name, const ModelConfig& config) const;
  base::Result<LivePtr> load_version(const Plan& plan, int64_t number, const base::Path& folder);
  base::Result<std::unique_ptr<serve::Predictor>> load_predictor(const ModelConfig& config, const ModelLayout& layout,
                                                                 const base::Path& folder);
  base::Result<void> try_once(const base::Path& folder);
  std::shared_ptr<LiveEndpoint> endpoint_of(const std::string& name, int64_t number);
  LivePtr cold_of(const std::string& name, int64_t number, const ModelConfig& config);
  LivePtr broken_of(const std::string& name, int64_t number, const base::Error& problem);
  void drop(const std::string& name);
  void make_room(uint64_t bytes, const LiveEndpoint* except);
  void publish();
  void keep();
  void poll();

  const Options options_;
  base::Registry& metrics_;
  const serve::PythonEnvironments environments_;
  const std::shared_ptr<serve::ResponseCache> cache_;  // null: nothing is cached

  mutable std::mutex mutex_;  // never held while a model is loaded
  std::map<std::string, Model, std::less<>> models_;
  serve::Claims claims_;         // by name
  std::set<std::string> tried_;  // stamps of folders that a child has loaded

  std::atomic<bool> starting_{true};
  std::mutex stop_mutex_;
  std::condition_variable stop_wake_;
  bool stop_ = false;
  std::thread keeper_;
};

RepositoryImpl::~RepositoryImpl() {
  {
    std::lock_guard lock(stop_mutex_);
    stop_ = true;
  }
  stop_wake_.notify_all();
  if (keeper_.joinable()) keeper_.join();
}

// --- what there is ---------------------------------------------------------------------------------------------------

base::Result<std::map<std::string, base::Path>> RepositoryImpl::folders() const {
  std::map<std::string, base::Path> out(options_.models.begin(), options_.models.end());
  for (const base::Path& root : options_.roots) {
    TRY_SET(const auto found, list_models(root));
    for (const auto& [name, folder] : found) {
      if (!out.emplace(name, folder).second)
        base::log::warn("a model is in two repositories; the first counts",
                        {{"model", name}, {"passed_over", folder.string()}});
    }
  }
  std::lock_guard lock(mutex_);
  for (const auto& [name, model] : models_) {
    if (model.added) out.emplace(name, model.folder);
  }
  return out;
}

base::Result<base::Path> RepositoryImpl::folder_of(std::string_view name) const {
  TRY(check_model_name(name));
  for (const auto& [known, folder] : options_.models) {
    if (known == name) return folder;
  }
  std::error_code error;
  for (const base::Path& root : options_.roots) {
    if (std::filesystem::is_directory(root / name, error)) return root / name;
  }
  return base::not_found("failed to load '" + std::string(name) + "', failed to poll from model repository");
}

// --- loading ---------------------------------------------------------------------------------------------------------

base::Result<Plan> RepositoryImpl::plan(const std::string& name, const base::Path& folder,
                                        const std::optional<std::string>& config) {
  Plan out;
  TRY_SET(out.layout, look_at(folder));
  ReadConfig read;
  if (config) {
    TRY_SET(read, read_config_json(*config));
  } else {
    TRY_SET(read, config_in(folder));
  }
  if (auto good = check_config(read.config, name); !good)
    return std::unexpected(
        std::move(good).error().within(config ? "the configuration" : (folder / "config.pbtxt").string()));
  const bool python = std::ranges::any_of(out.layout.versions, [](const auto& version) {
    const auto found = serve::read_model_folder(version.second);
    return found && found->format->whole_folder;
  });
  std::string passed_over;
  for (const auto& field : not_acted_on(read.config, {.batches = python, .cache = cache_ != nullptr}))
    passed_over += (passed_over.empty() ? "" : ", ") + field;
  for (const auto& field : read.unknown) passed_over += (passed_over.empty() ? "" : ", ") + ("unknown: " + field);
  if (!passed_over.empty())
    base::log::warn("a model's configuration has fields that are not acted on",
                    {{"model", name}, {"fields", passed_over}});
  TRY_SET(out.versions, chosen_versions(read.config, out.layout));
  out.config = std::move(read.config);
  out.config.set_name(name);
  return out;
}

std::shared_ptr<LiveEndpoint> RepositoryImpl::endpoint_of(const std::string& name, int64_t number) {
  auto live = std::make_shared<LiveEndpoint>();
  live->name = name;
  live->project = kProject;
  live->revision.endpoint = live->revision.model_name = name;
  live->revision.number = live->revision.model_version = number;
  live->version = std::to_string(number);
  add_instruments(*live, metrics_, labels_of(*live));
  if (options_.memory_budget > 0)
    live->used_us = std::make_shared<std::atomic<int64_t>>(base::system_clock().wall_us());
  return live;
}

LivePtr RepositoryImpl::cold_of(const std::string& name, int64_t number, const ModelConfig& config) {
  auto live = endpoint_of(name, number);
  live->cold = live->waits = true;
  live->problem = {base::Code::kUnavailable, "model '" + name + "' is not in memory yet"};
  live->config = std::make_shared<const ModelConfig>(config);
  return live;
}

LivePtr RepositoryImpl::broken_of(const std::string& name, int64_t number, const base::Error& problem) {
  auto live = endpoint_of(name, number);
  live->problem = {base::Code::kUnavailable, problem.message};
  return live;
}

// A crash in a model's library costs a child; a folder that a child has loaded is not tried again until it changes. Nor
// is one at a start that any error ends: at level debug the log's last line names the model.
base::Result<void> RepositoryImpl::try_once(const base::Path& folder) {
  if (options_.self.empty() || (starting_ && options_.exit_on_error)) return {};
  TRY_SET(const ModelLayout now, look_at(folder));
  {
    std::lock_guard lock(mutex_);
    if (tried_.contains(now.stamp)) return {};
  }
  TRY(serve::try_in_child(options_.self, folder, ""));
  std::lock_guard lock(mutex_);
  if (tried_.size() >= kMaxTried) tried_.clear();
  tried_.insert(now.stamp);
  return {};
}

base::Result<std::unique_ptr<serve::Predictor>> RepositoryImpl::load_predictor(const ModelConfig& config,
                                                                               const ModelLayout& layout,
                                                                               const base::Path& folder) {
  const auto wrap = [&](std::unique_ptr<serve::Model> model) -> base::Result<std::unique_ptr<serve::Model>> {
    if (config.has_sequence_batching()) {
      TRY_SET(model, make_sequenced(std::move(model), config, layout.folder));
    }
    return configure(std::move(model), config, layout.folder);
  };
  if (config.has_ensemble_scheduling()) {
    const auto find = [this](std::string_view name, int64_t version) -> base::Result<LivePtr> {
      const Pin now = pin();
      const LivePtr* found = now->find(kProject, name, version < 0 ? "" : std::to_string(version));
      if (found && (*found)->predictor) return *found;
      return base::fail(base::Code::kUnavailable, "model '" + std::string(name) + "'" +
                                                      (version < 0 ? "" : " version " + std::to_string(version)) +
                                                      ", a step of the ensemble, is not available");
    };
    TRY_SET(auto model, make_ensemble(config, find));
    TRY_SET(auto wrapped, wrap(std::move(model)));
    return serve::Predictor::over(std::move(wrapped));
  }
  const std::string& file = config.default_model_filename();
  std::error_code error;
  if (!file.empty() && !std::filesystem::exists(folder / file, error))
    return base::not_found("default_model_filename '" + file + "' is not in " + folder.string());
  serve::LoadOptions how{.wrap = wrap};
  const auto found = serve::read_model_folder(folder);
  if (!found || !found->format->whole_folder) {
    TRY(try_once(folder));
  } else {  // a Python model never runs in this process: its workers are the trial
    const std::string env = environment_of(config);
    TRY_SET(how.interpreter, environments_.interpreter_for(env.empty() ? found->python : env, folder));
  }
  return serve::Predictor::load(folder, stats::Transform(), how);
}

base::Result<LivePtr> RepositoryImpl::load_version(const Plan& plan, int64_t number, const base::Path& folder) {
  TRY_SET(std::unique_ptr<serve::Predictor> predictor, load_predictor(plan.config, plan.layout, folder));
  if (!plan.config.has_ensemble_scheduling() && !plan.config.has_sequence_batching())
    TRY(serve::warm_up(*predictor, folder));
  TRY(run_warmups(*predictor, plan.config, plan.layout.folder));
  ModelConfig config = plan.config;
  complete(config, plan.config.name(), *predictor);
  auto live = endpoint_of(plan.config.name(), number);
  const serve::BatchOptions batching = predictor->model().batching();
  auto limiter = serve::make_limiter(*predictor);
  std::shared_ptr<const serve::Predictor> shared = std::move(predictor);
  if (shared->waits() && batching.max_rows > 1) shared = serve::make_batching(std::move(shared), batching);
  // What an answer in a sequence is depends on more than its request.
  if (cache_ && plan.config.response_cache().enable() && !plan.config.has_sequence_batching())
    shared = serve::make_cached(std::move(shared), cache_);
  serve::set_predictor(*live, std::move(shared), std::move(limiter), metrics_, labels_of(*live));
  if (live->waits) add_waiting_instruments(*live, metrics_, labels_of(*live));
  live->config = std::make_shared<const ModelConfig>(std::move(config));
  return live;
}

// Before anybody waits for anybody: an ensemble that is a step of one of its steps would wait for itself.
base::Result<void> RepositoryImpl::check_circle(const std::string& name, const ModelConfig& config) const {
  std::vector<std::string> open = steps_of(config);
  std::set<std::string> seen;
  while (!open.empty()) {
    const std::string step = std::move(open.back());
    open.pop_back();
    if (step == name) return base::invalid("ensemble '" + name + "' is a step of one of its own steps");
    if (!seen.insert(step).second) continue;
    if (seen.size() > kMaxSteps) return base::invalid("ensemble '" + name + "' has too many steps");
    const auto folder = folder_of(step);
    const auto read = folder ? config_in(*folder) : base::Result<ReadConfig>(ReadConfig());
    if (!read) continue;  // said when it is loaded
    for (const std::string& next : steps_of(read->config)) open.push_back(next);
  }
  return {};
}

// The models that an ensemble asks are there before it is.
base::Result<void> RepositoryImpl::load_steps(const std::string& name, const Plan& plan) {
  TRY(check_circle(name, plan.config));
  for (const std::string& step : steps_of(plan.config)) {
    {
      std::lock_guard lock(mutex_);
      Model& model = models_[step];
      model.pinned = true;
      const bool there =
          std::ranges::any_of(model.versions, [](const auto& v) { return v.second.live && v.second.live->predictor; });
      if (there) continue;
    }
    auto folder = folder_of(step);
    auto loaded =
        folder ? load_named(step, *folder, std::nullopt) : base::Result<void>(std::unexpected(folder.error()));
    if (!loaded)
      return std::unexpected(std::move(loaded).error().within("ensemble '" + name + "' depends on '" + step + "'"));
  }
  return {};
}

base::Result<void> RepositoryImpl::load_named(const std::string& name, const base::Path& folder,
                                              const std::optional<std::string>& config) {
  TRY_SET(const auto claim, claims_.take(name));
  auto done = load_claimed(name, folder, config);
  std::lock_guard lock(mutex_);
  Model& model = models_[name];
  model.folder = folder;
  model.problem = done ? "" : done.error().message;
  if (!done) base::log::error("a model is not loaded", {{"model", name}, {"why", model.problem}});
  publish();
  return done;
}

// All versions that are wanted, then the swap; if one fails, versions that were served stay.
base::Result<void> RepositoryImpl::load_claimed(const std::string& name, const base::Path& folder,
                                                const std::optional<std::string>& config) {
  if (const auto layout = look_at(folder)) {
    std::lock_guard lock(mutex_);
    models_[name].stamp = layout->stamp;  // not tried again before it changes
  }
  base::log::debug("loading a model", {{"model", name}, {"folder", folder.string()}});
  TRY_SET(const Plan wanted, plan(name, folder, config));
  TRY(load_steps(name, wanted));
  bool lazy = false;
  {
    std::lock_guard lock(mutex_);
    lazy = options_.memory_budget > 0 && !models_[name].pinned && !wanted.config.has_ensemble_scheduling();
  }
  std::map<int64_t, Version> fresh;
  std::string failures;
  for (const auto& [number, path] : wanted.versions) {
    Version version{.folder = path, .state = "READY", .bytes = bytes_in(path) + kModelBytes};
    base::Result<LivePtr> live =
        lazy ? base::Result<LivePtr>(cold_of(name, number, wanted.config)) : load_version(wanted, number, path);
    if (live) {
      version.live = std::move(*live);
    } else {
      version.state = "UNAVAILABLE";
      version.reason = live.error().message;
      version.live = broken_of(name, number, live.error());
      failures += (failures.empty() ? "" : ", ") + ("version " + std::to_string(number) + ": " + version.reason);
    }
    fresh.emplace(number, std::move(version));
  }
  std::lock_guard lock(mutex_);
  Model& model = models_[name];
  model.steps = steps_of(wanted.config);
  const auto serves = [](const auto& entry) { return entry.second.live && entry.second.live->ready(); };
  if (!failures.empty() && std::ranges::any_of(model.versions, serves)) {
    for (auto& [number, version] : fresh) {
      if (version.state != "READY") version.live = nullptr;  // what is there already answers, and the server is ready
    }
    for (auto& [number, version] : model.versions) {
      Version& now = fresh[number];
      if (!version.live || !version.live->ready() || now.live) continue;
      version.reason = now.reason;
      now = std::move(version);
    }
  }
  model.versions = std::move(fresh);
  if (failures.empty()) {
    base::log::info("model loaded",
                    {{"model", name}, {"versions", static_cast<int64_t>(model.versions.size())}, {"cold", lazy}});
    return {};
  }
  return base::invalid("load failed for model '" + name + "': " + failures);
}

// --- cold models -----------------------------------------------------------------------------------------------------

base::Result<LivePtr> RepositoryImpl::warm(const LiveEndpoint& cold, int64_t deadline_mono_us) {
  TRY_SET(const auto claim, claims_.take(cold.name, deadline_mono_us));
  Plan wanted;
  base::Path folder;
  uint64_t bytes = 0;
  const int64_t number = cold.revision.number;
  {
    std::lock_guard lock(mutex_);
    const auto model = models_.find(cold.name);
    const auto version =
        model == models_.end() ? std::map<int64_t, Version>::iterator() : model->second.versions.find(number);
    if (model == models_.end() || version == model->second.versions.end() || !version->second.live)
      return base::not_found("model '" + cold.name + "' version " + cold.version + " is not served any more");
    if (!version->second.live->cold) {  // somebody else was as quick
      if (version->second.live->predictor) return version->second.live;
      return std::unexpected(version->second.live->problem);
    }
    wanted.config = *version->second.live->config;
    wanted.layout.folder = model->second.folder;
    folder = version->second.folder;
    bytes = version->second.bytes;
  }
  make_room(bytes, &cold);
  auto live = load_version(wanted, number, folder);
  std::lock_guard lock(mutex_);
  Version& version = models_[cold.name].versions[number];
  if (live) {
    base::log::info("model in memory", {{"model", cold.name}, {"version", number}, {"bytes", bytes}});
    version.live = *live;
    version.reason.clear();
  } else {
    base::log::error("a model is not loaded", {{"model", cold.name}, {"why", live.error().message}});
    version.live = broken_of(cold.name, number, live.error());
    version.state = "UNAVAILABLE";
    version.reason = live.error().message;
  }
  publish();
  if (!live) return base::fail(base::Code::kUnavailable, live.error().message);
  return live;
}

// Least recently used ones become cold until `bytes` fit beside what stays.
void RepositoryImpl::make_room(uint64_t bytes, const LiveEndpoint* except) {
  std::lock_guard lock(mutex_);
  for (;;) {
    uint64_t held = 0;
    Version* oldest = nullptr;
    for (auto& [name, model] : models_) {
      for (auto& [number, version] : model.versions) {
        if (!version.live || !version.live->predictor) continue;
        held += version.bytes;
        const bool stays = model.pinned || !version.live->used_us || version.live->config->has_ensemble_scheduling() ||
                           claims_.taken(name) || name == except->name;
        if (stays) continue;
        if (!oldest || *version.live->used_us < *oldest->live->used_us) oldest = &version;
      }
    }
    if (held + bytes <= options_.memory_budget || !oldest) break;
    base::log::info("model goes from memory", {{"model", oldest->live->name}, {"version", oldest->live->version}});
    oldest->live = cold_of(oldest->live->name, oldest->live->revision.number, *oldest->live->config);
  }
  publish();
}

// --- control ---------------------------------------------------------------------------------------------------------

std::vector<ModelState> RepositoryImpl::index(bool ready_only) const {
  std::vector<ModelState> out;
  const auto all = folders();
  std::lock_guard lock(mutex_);
  for (const auto& [name, model] : models_) {
    for (const auto& [number, version] : model.versions) {
      const bool ready = version.live && version.live->ready();
      if (ready_only && !ready) continue;
      out.push_back({name, std::to_string(number), ready ? "READY" : "UNAVAILABLE", version.reason});
    }
    if (model.versions.empty() && !model.problem.empty() && !ready_only)
      out.push_back({name, "", "UNAVAILABLE", model.problem});
  }
  if (ready_only || !all) return out;
  for (const auto& entry : *all) {
    if (std::ranges::find(out, entry.first, &ModelState::name) == out.end()) out.push_back({entry.first, "", "", ""});
  }
  return out;
}

base::Result<void> RepositoryImpl::load(std::string_view name, const std::optional<std::string>& config_json) {
  if (options_.mode != Mode::kExplicit)
    return base::fail(base::Code::kUnavailable,
                      options_.mode == Mode::kPoll
                          ? "explicit model load / unload is not allowed if polling is enabled"
                          : "explicit model load / unload is not allowed; start with --model-control-mode=explicit");
  TRY_SET(const base::Path folder, folder_of(name));
  return load_named(std::string(name), folder, config_json);
}

// The caller holds mutex_.
void RepositoryImpl::drop(const std::string& name) {
  const auto found = models_.find(name);
  if (found == models_.end()) return;
  for (auto& [number, version] : found->second.versions) {
    version.live = nullptr;
    version.state = "UNAVAILABLE";
    version.reason = "unloaded";
  }
  found->second.pinned = false;
}

base::Result<void> RepositoryImpl::unload(std::string_view name, bool dependents) {
  if (options_.mode != Mode::kExplicit)
    return base::fail(base::Code::kUnavailable,
                      options_.mode == Mode::kPoll
                          ? "explicit model load / unload is not allowed if polling is enabled"
                          : "explicit model load / unload is not allowed; start with --model-control-mode=explicit");
  TRY(check_model_name(name));
  const std::string key(name);
  TRY_SET(const auto claim, claims_.take(key));
  std::lock_guard lock(mutex_);
  const auto found = models_.find(key);
  if (found == models_.end()) return {};
  // Steps go along, unless another ensemble that is served asks them.
  std::vector<std::string> going = {key};
  if (dependents) {
    for (const std::string& step : found->second.steps) {
      const bool needed = std::ranges::any_of(models_, [&](const auto& other) {
        const bool served =
            std::ranges::any_of(other.second.versions, [](const auto& v) { return v.second.live != nullptr; });
        return other.first != key && served && std::ranges::find(other.second.steps, step) != other.second.steps.end();
      });
      if (!needed) going.push_back(step);
    }
  }
  for (const std::string& one : going) {
    drop(one);
    base::log::info("model unloaded", {{"model", one}});
  }
  publish();
  return {};
}

base::Result<void> RepositoryImpl::add(std::string_view name, const base::Path& folder) {
  TRY(check_model_name(name));
  if (options_.added_below.empty())
    return base::fail(base::Code::kForbidden, "models are not added here; start with --models-below FOLDER");
  std::error_code error;
  const base::Path whole = std::filesystem::canonical(folder, error);
  if (error) return base::not_found("there is no folder " + folder.string());
  const base::Path below = std::filesystem::canonical(options_.added_below, error);
  const auto inside = std::ranges::mismatch(below, whole);
  if (error || inside.in1 != below.end() || whole == below)
    return base::fail(base::Code::kForbidden, folder.string() + " does not lie below " + options_.added_below.string());
  const std::string key(name);
  {
    std::lock_guard lock(mutex_);
    const auto found = models_.find(key);
    if (found != models_.end() &&
        (!found->second.added ||
         std::ranges::any_of(found->second.versions, [](const auto& v) { return v.second.live != nullptr; })))
      return base::fail(base::Code::kAlreadyExists, "model '" + key + "' is there already");
    if (models_.size() >= kMaxModels) return base::fail(base::Code::kTooMany, "there are too many models");
  }
  auto loaded = load_named(key, whole, std::nullopt);
  std::lock_guard lock(mutex_);
  if (loaded) {
    models_[key].added = true;
  } else {
    models_.erase(key);
    publish();
  }
  return loaded;
}

base::Result<void> RepositoryImpl::remove(std::string_view name) {
  const std::string key(name);
  TRY_SET(const auto claim, claims_.take(key));
  std::lock_guard lock(mutex_);
  const auto found = models_.find(key);
  if (found == models_.end() || !found->second.added)
    return base::not_found("model '" + key.substr(0, 80) + "' was not added");
  models_.erase(found);
  publish();
  return {};
}

std::vector<ModelControl::Added> RepositoryImpl::added() const {
  std::vector<Added> out;
  std::lock_guard lock(mutex_);
  for (const auto& [name, model] : models_) {
    if (model.added) out.push_back({name, model.folder});
  }
  return out;
}

// --- routes ----------------------------------------------------------------------------------------------------------

// The caller holds mutex_.
void RepositoryImpl::publish() {
  auto next = std::make_unique<serve::RouteSnapshot>();
  std::set<std::string_view> names;
  for (const auto& [name, model] : models_) {
    for (const auto& entry : model.versions) {
      if (!entry.second.live) continue;
      next->endpoints.push_back(entry.second.live);
      names.insert(name);
    }
    if (!model.versions.empty() || model.problem.empty()) continue;
    next->endpoints.push_back(broken_of(name, 1, {base::Code::kUnavailable, model.problem}));
  }
  next->sort();
  // The only model is the default, unless one is named: its newest version.
  const std::string_view chosen = !options_.default_model.empty() ? std::string_view(options_.default_model)
                                  : names.size() == 1             ? *names.begin()
                                                                  : std::string_view();
  if (names.contains(chosen)) next->defaults.push_back(*next->find(kProject, chosen));
  routes_.store(std::move(next));
}

base::Result<void> RepositoryImpl::start() {
  TRY_SET(const auto all, folders());
  std::string failures;
  const auto take = [&](const std::string& name, const base::Path& folder) {
    {
      std::lock_guard lock(mutex_);
      const auto known = models_.find(name);
      if (known != models_.end() && !known->second.versions.empty()) return;  // as a step of an ensemble
    }
    if (auto loaded = load_named(name, folder, std::nullopt); !loaded)
      failures += (failures.empty() ? "" : "; ") + loaded.error().message;
  };
  const bool some = options_.mode == Mode::kExplicit &&
                    std::ranges::find(options_.load_at_start, "*") == options_.load_at_start.end();
  if (some) {
    for (const std::string& name : options_.load_at_start) {
      TRY_SET(const base::Path folder, folder_of(name));
      take(name, folder);
    }
    for (const auto& [name, folder] : options_.models) take(name, folder);
  } else {
    for (const auto& [name, folder] : all) take(name, folder);
  }
  if (!failures.empty() && options_.exit_on_error) return base::invalid(failures);
  starting_ = false;
  keeper_ = std::thread([this] { keep(); });
  return {};
}

void RepositoryImpl::keep() {
  int64_t polled_us = base::system_clock().mono_us();
  std::unique_lock lock(stop_mutex_);
  while (!stop_wake_.wait_for(lock, kKeeperPeriod, [&] { return stop_; })) {
    lock.unlock();
    routes_.reclaim();
    for (const LivePtr& endpoint : live()) publish_waiting(*endpoint);
    if (options_.mode == Mode::kPoll && base::system_clock().mono_us() - polled_us >= options_.poll_us) {
      poll();
      polled_us = base::system_clock().mono_us();
    }
    lock.lock();
  }
}

// What changed is loaded anew, what has gone is dropped.
void RepositoryImpl::poll() {
  const auto all = folders();
  if (!all) return base::log::warn("a repository cannot be read", {{"why", all.error().message}});
  for (const auto& [name, folder] : *all) {
    const auto layout = look_at(folder);
    if (!layout) continue;  // it goes or comes just now
    {
      std::lock_guard lock(mutex_);
      const auto known = models_.find(name);
      if (known != models_.end() && known->second.stamp == layout->stamp) continue;
    }
    (void)load_named(name, folder, std::nullopt);
  }
  std::lock_guard lock(mutex_);
  for (auto at = models_.begin(); at != models_.end();) {
    if (all->contains(at->first) || claims_.taken(at->first)) {
      ++at;
      continue;
    }
    base::log::info("model unloaded: its folder has gone", {{"model", at->first}});
    at = models_.erase(at);
  }
  publish();
}

}  // namespace

base::Result<std::unique_ptr<Repository>> Repository::open(const Options& options, base::Registry& metrics) {
  auto out = std::make_unique<RepositoryImpl>(options, metrics);
  TRY(out->start());
  return std::unique_ptr<Repository>(std::move(out));
}

}  // namespace repository
