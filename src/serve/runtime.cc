#include "serve/runtime.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "serve/batching.h"
#include "serve/mlmodel.h"
#include "serve/model_files.h"
#include "serve/trial.h"

namespace serve {
namespace {

constexpr std::chrono::seconds kKeeperPeriod{1};

struct RevisionKey {
  int64_t project = 0;
  std::string endpoint;
  int64_t number = 0;
  auto operator<=>(const RevisionKey&) const = default;
};

struct Loaded {
  std::shared_ptr<const Predictor> predictor;
  std::shared_ptr<Limiter> limiter;
  std::string folder_key;
  int64_t unused_since_us = 0;  // monotonic; 0 while live
};

class RuntimeImpl final : public Runtime {
 public:
  RuntimeImpl(store::Store& store, blob::BlobStore& blobs, const Options& options, base::Registry& metrics)
      : store_(store), options_(options), metrics_(metrics), files_(store, blobs, options.dir / "models") {}
  ~RuntimeImpl() override;

  base::Result<void> start();
  base::Result<void> prepare(int64_t project, std::string_view endpoint, int64_t number) override;
  base::Result<void> prepare_without_code(int64_t project, std::string_view endpoint, int64_t number) override;
  base::Result<void> refresh() override;
  Capture& capture() override { return *capture_; }
  Mirror* mirror() override { return mirror_.get(); }
  base::Result<Files> files_of(int64_t project, const Revision& revision) override;

 private:
  base::Result<Revision> revision_of(int64_t project, std::string_view endpoint, int64_t number);
  base::Result<void> load(int64_t project, const Revision& revision, bool may_run_code = true);
  base::Result<std::shared_ptr<const Predictor>> load_predictor(const ModelFiles::Folder& folder);
  base::Result<std::vector<Deployment>> deployments();
  bool is_loaded(const RevisionKey& key);
  using Problems = std::map<RevisionKey, base::Error>;
  std::shared_ptr<LiveEndpoint> make_one(const Deployment& deployment, const Revision& revision, bool is_shadow,
                                         const Problems& problems);
  std::shared_ptr<const LiveEndpoint> make_live(const Deployment& deployment, const Problems& problems);
  void swap_routes(const std::vector<Deployment>& deployments, const std::map<RevisionKey, base::Error>& problems);
  void keep();
  void unload_baked();
  void publish() const;

  store::Store& store_;
  const Options options_;
  base::Registry& metrics_;
  std::unique_ptr<Capture> capture_;
  std::unique_ptr<Mirror> mirror_;

  // Loading takes long, and a model on trial may hang until its timeout: a swap to what is loaded already never waits
  // for that. Order: load_, then swap_.
  std::mutex load_;
  bool starting_ = true;                // guarded by load_: Python models are left to loader_
  std::vector<std::string> left_over_;  // guarded by load_: their folders
  ModelFiles files_;                    // guarded by load_
  std::mutex swap_;
  std::map<RevisionKey, Loaded> loaded_;  // guarded by swap_
  std::map<std::string, int> held_;       // folders that children read, by key; guarded by swap_

  std::mutex stop_mutex_;
  std::condition_variable stop_wake_;
  bool stop_ = false;
  std::thread keeper_;
  std::thread loader_;
};

RuntimeImpl::~RuntimeImpl() {
  {
    std::lock_guard lock(stop_mutex_);
    stop_ = true;
  }
  stop_wake_.notify_all();
  if (keeper_.joinable()) keeper_.join();
  if (loader_.joinable()) loader_.join();
  mirror_.reset();  // it records into the capture
}

base::Result<void> RuntimeImpl::start() {
  TRY_SET(capture_, Capture::open(options_.dir / "capture", metrics_, options_.capture));
  mirror_ = std::make_unique<Mirror>(*capture_, metrics_);
  TRY(refresh());
  std::vector<std::string> used = left_over_;
  for (const auto& entry : loaded_) used.push_back(entry.second.folder_key);
  TRY(files_.remove_all_but(used));
  keeper_ = std::thread([this] { keep(); });
  starting_ = false;
  // Imports take seconds, or for ever: the server answers meanwhile, and these endpoints say that they are not ready.
  if (!left_over_.empty()) {
    loader_ = std::thread([this] {
      if (auto done = refresh(); !done) base::log::error("loading at start", {{"error", done.error().message}});
    });
  }
  return {};
}

base::Result<Revision> RuntimeImpl::revision_of(int64_t project, std::string_view endpoint, int64_t number) {
  base::Context ctx = base::Context::system(base::system_clock(), "system:serve");
  ctx.project = project;
  return store_.read_blocking(ctx, [&](store::Tx& tx) { return get_revision(tx, endpoint, number); });
}

base::Result<void> RuntimeImpl::prepare(int64_t project, std::string_view endpoint, int64_t number) {
  TRY_SET(const Revision revision, revision_of(project, endpoint, number));
  return load(project, revision);
}

base::Result<void> RuntimeImpl::prepare_without_code(int64_t project, std::string_view endpoint, int64_t number) {
  TRY_SET(const Revision revision, revision_of(project, endpoint, number));
  return load(project, revision, false);
}

// Lays out, tries in a child unless that was done before, loads and warms; nothing to do if it is loaded.
base::Result<void> RuntimeImpl::load(int64_t project, const Revision& revision, bool may_run_code) {
  const RevisionKey key{project, revision.endpoint, revision.number};
  if (is_loaded(key)) return {};
  std::lock_guard loading(load_);
  if (is_loaded(key)) return {};  // somebody else was as quick
  TRY_SET(const ModelFiles::Folder folder, files_.materialise(project, revision));
  const auto found = read_model_folder(folder.files);
  const bool python = found && found->format->whole_folder;
  if (python && !may_run_code) {
    return base::fail(base::Code::kForbidden, "model " + revision.model_name + " version " +
                                                  std::to_string(revision.model_version) +
                                                  " is Python, and loading it runs its code: that needs the right to "
                                                  "run code in this project");
  }
  if (python && starting_) {
    left_over_.push_back(folder.key);
    return base::fail(base::Code::kUnavailable, "the model is being loaded");
  }
  std::error_code error;
  if (!std::filesystem::exists(folder.tried, error)) {
    // A Python model never runs in this process: its workers are the trial.
    if (!python) TRY(try_in_child(options_.self, folder.files, folder.transform));
    TRY(base::write_file_durably(folder.tried, ""));
  }
  TRY_SET(std::shared_ptr<const Predictor> predictor, load_predictor(folder));
  base::log::info("model loaded", {{"endpoint", revision.endpoint},
                                   {"revision", revision.number},
                                   {"model", revision.model_name},
                                   {"version", revision.model_version}});
  std::lock_guard lock(swap_);
  auto limiter = make_limiter(*predictor);
  loaded_.insert_or_assign(
      key, Loaded{std::move(predictor), std::move(limiter), folder.key, base::system_clock().mono_us()});
  return {};
}

// Revisions of one model and transform share what is in memory.
base::Result<std::shared_ptr<const Predictor>> RuntimeImpl::load_predictor(const ModelFiles::Folder& folder) {
  {
    std::lock_guard lock(swap_);
    for (const auto& entry : loaded_) {
      if (entry.second.folder_key == folder.key) return entry.second.predictor;
    }
  }
  TRY_SET(stats::Transform transform, load_transform(folder.transform));
  TRY_SET(std::unique_ptr<Predictor> predictor, Predictor::load(folder.files, std::move(transform)));
  TRY(warm_up(*predictor, folder.files));
  std::shared_ptr<const Predictor> loaded = std::move(predictor);
  if (const BatchOptions batching = loaded->model().batching(); loaded->waits() && batching.max_rows > 1)
    loaded = make_batching(std::move(loaded), batching);
  return loaded;
}

bool RuntimeImpl::is_loaded(const RevisionKey& key) {
  std::lock_guard lock(swap_);
  const auto found = loaded_.find(key);
  if (found == loaded_.end()) return false;
  if (found->second.unused_since_us)
    found->second.unused_since_us = base::system_clock().mono_us();  // its time begins anew
  return true;
}

// The caller holds swap_.
std::shared_ptr<LiveEndpoint> RuntimeImpl::make_one(const Deployment& deployment, const Revision& revision,
                                                    bool is_shadow, const Problems& problems) {
  auto live = std::make_shared<LiveEndpoint>();
  live->name = deployment.endpoint.name;
  live->environment = deployment.endpoint.environment;
  live->project = deployment.project;
  live->revision = revision;
  live->version = std::to_string(revision.model_version);

  const base::Registry::Labels labels = {{"project", deployment.project_name},
                                         {"endpoint", live->name},
                                         {"model", live->revision.model_name},
                                         {"version", live->version}};
  add_instruments(*live, metrics_, labels);

  const RevisionKey key{deployment.project, deployment.endpoint.name, revision.number};
  const auto loaded = loaded_.find(key);
  if (loaded == loaded_.end()) {
    const auto problem = problems.find(key);
    live->problem = {base::Code::kUnavailable,
                     problem == problems.end() ? "the model is not loaded" : problem->second.message};
    base::log::error("an endpoint cannot serve",
                     {{"endpoint", live->name}, {"revision", revision.number}, {"error", live->problem.message}});
    return live;
  }
  loaded->second.unused_since_us = 0;
  set_predictor(*live, loaded->second.predictor, loaded->second.limiter, metrics_, labels);
  if (live->waits) {
    const auto gauge = [&](const char* name, const char* help) { return &metrics_.gauge(name, help, labels); };
    live->waiting = {
        .workers = gauge("lathe_inference_workers", "Workers of a Python model that are ready."),
        .busy = gauge("lathe_inference_workers_busy", "Requests that workers run now."),
        .waiting = gauge("lathe_inference_waiting", "Requests that wait for a worker."),
        .crashed = gauge("lathe_inference_worker_failures", "Workers that failed since the model was loaded."),
        .executions = gauge("lathe_inference_executions", "Runs of a batched model since it was loaded."),
        .queue_us = gauge("lathe_inference_queue_us", "Time that requests waited for their batch, together.")};
  }
  CaptureSource source{.project = live->project, .endpoint = live->name, .revision = live->revision.number};
  CaptureRule rule = deployment.endpoint.capture;
  if (is_shadow) {  // the rows are in the record of the answer that was given
    source.role = kShadowRole;
    rule.redact.clear();
  } else {
    for (const Feature& feature : live->predictor->features())
      (feature.text ? source.text_features : source.features).push_back(feature.name);
  }
  live->capture = &capture_->stream(source, rule);
  return live;
}

// The live revision, with what else its traffic goes to. A part that is not loaded gets none: its share falls to the
// live one. The caller holds swap_.
std::shared_ptr<const LiveEndpoint> RuntimeImpl::make_live(const Deployment& deployment, const Problems& problems) {
  std::shared_ptr<LiveEndpoint> live = make_one(deployment, deployment.live, false, problems);
  const TrafficPlan& plan = deployment.endpoint.traffic;
  const auto row_of = [&](int64_t number) { return std::ranges::find(deployment.others, number, &Revision::number); };
  std::shared_ptr<const LiveShadow> shadow;
  if (const auto row = row_of(plan.shadow); row != deployment.others.end()) {
    auto target = make_one(deployment, *row, true, problems);
    if (target->predictor)
      shadow = std::make_shared<const LiveShadow>(LiveShadow{std::move(target), plan.shadow_share});
  }
  live->shadow = shadow;
  if (plan.parts.empty()) return live;
  auto split = std::make_unique<LiveSplit>();
  split->sticky = plan.sticky;
  split->salt = base::crc32c(live->name);
  uint32_t lost = 0;
  for (const TrafficPart& part : plan.parts) {
    const auto row = row_of(part.revision);
    if (row == deployment.others.end()) {
      if (part.revision != live->revision.number) lost += part.share;
      continue;
    }
    auto target = make_one(deployment, *row, false, problems);
    target->shadow = shadow;
    target->told_revision = std::to_string(part.revision);
    if (!target->predictor)
      lost += part.share;
    else
      split->parts.push_back({part.share, std::move(target)});
  }
  uint32_t upto = plan.share_of(live->revision.number, live->revision.number) + lost;
  split->parts.insert(split->parts.begin(), {upto, nullptr});
  for (auto part = split->parts.begin() + 1; part != split->parts.end(); ++part) part->upto = upto += part->upto;
  live->split = std::move(split);
  live->told_revision = std::to_string(live->revision.number);
  return live;
}

base::Result<std::vector<Deployment>> RuntimeImpl::deployments() {
  return store_.read_blocking(
      base::Context::system(base::system_clock(), "system:serve"),
      [](store::Tx& tx) -> base::Result<std::vector<Deployment>> { return list_deployments(tx); });
}

base::Result<void> RuntimeImpl::refresh() {
  std::map<RevisionKey, base::Error> problems;
  TRY_SET(const std::vector<Deployment> wanted, deployments());
  for (const Deployment& deployment : wanted) {
    const RevisionKey key{deployment.project, deployment.endpoint.name, deployment.live.number};
    if (auto loaded = load(deployment.project, deployment.live); !loaded) problems.emplace(key, loaded.error());
    for (const Revision& other : deployment.others) {
      if (auto loaded = load(deployment.project, other); !loaded)
        problems.emplace(RevisionKey{deployment.project, deployment.endpoint.name, other.number}, loaded.error());
    }
  }
  std::lock_guard lock(swap_);
  // Read again under the lock: of two refreshes, the one that swaps later has seen at least what the other one saw.
  // What was promoted meanwhile was prepared before, so it is loaded.
  TRY_SET(const std::vector<Deployment> now, deployments());
  swap_routes(now, problems);
  return {};
}

// The caller holds swap_.
void RuntimeImpl::swap_routes(const std::vector<Deployment>& deployments,
                              const std::map<RevisionKey, base::Error>& problems) {
  const int64_t now = base::system_clock().mono_us();
  for (auto& entry : loaded_) {
    if (entry.second.unused_since_us == 0) entry.second.unused_since_us = now;  // until make_live says otherwise
  }
  auto next = std::make_unique<RouteSnapshot>();
  std::map<int64_t, std::vector<size_t>> of_project;
  for (const Deployment& deployment : deployments) {
    of_project[deployment.project].push_back(next->endpoints.size());
    next->endpoints.push_back(make_live(deployment, problems));
  }
  for (const auto& [project, places] : of_project) {
    for (size_t place : places) {
      if (places.size() == 1 || deployments[place].endpoint.is_default)
        next->defaults.push_back(next->endpoints[place]);
    }
  }
  next->sort();
  routes_.store(std::move(next));
}

base::Result<Runtime::Files> RuntimeImpl::files_of(int64_t project, const Revision& revision) {
  std::lock_guard loading(load_);
  TRY_SET(const ModelFiles::Folder folder, files_.materialise(project, revision));
  std::lock_guard lock(swap_);
  ++held_[folder.key];
  // Let go under swap_ alone, so that it never waits for a model on trial. The folder of a revision that is not loaded
  // stays until the next start: another replay may want it.
  std::shared_ptr<void> held(nullptr, [this, key = folder.key](void*) {
    std::lock_guard again(swap_);
    if (const auto found = held_.find(key); found != held_.end() && --found->second == 0) held_.erase(found);
  });
  return Files{folder.files, folder.transform, std::move(held)};
}

void RuntimeImpl::keep() {
  std::unique_lock lock(stop_mutex_);
  while (!stop_wake_.wait_for(lock, kKeeperPeriod, [&] { return stop_; })) {
    lock.unlock();
    routes_.reclaim();
    unload_baked();
    publish();
    lock.lock();
  }
}

// What models that wait count themselves.
void RuntimeImpl::publish() const {
  for (const auto& endpoint : live()) {
    const LiveEndpoint::Waiting& to = endpoint->waiting;
    if (!to.workers || !endpoint->predictor) continue;
    if (const auto counts = endpoint->predictor->model().workers()) {
      to.workers->set(static_cast<int64_t>(counts->workers));
      to.busy->set(static_cast<int64_t>(counts->busy));
      to.waiting->set(static_cast<int64_t>(counts->waiting));
      to.crashed->set(static_cast<int64_t>(counts->crashed));
    }
    if (const auto batched = endpoint->predictor->batch_statistics()) {
      to.executions->set(static_cast<int64_t>(batched->executions));
      to.queue_us->set(static_cast<int64_t>(batched->queue_ns / 1000));
    }
  }
}

void RuntimeImpl::unload_baked() {
  std::unique_lock loading(load_, std::try_to_lock);
  if (!loading) return;  // somebody loads: next time
  std::lock_guard lock(swap_);
  const int64_t now = base::system_clock().mono_us();
  for (auto it = loaded_.begin(); it != loaded_.end();) {
    const Loaded& loaded = it->second;
    if (loaded.unused_since_us == 0 || now - loaded.unused_since_us < options_.bake_us) {
      ++it;
      continue;
    }
    const std::string key = loaded.folder_key;
    base::log::info("model unloaded", {{"endpoint", it->first.endpoint}, {"revision", it->first.number}});
    it = loaded_.erase(it);
    const bool shared = std::ranges::any_of(loaded_, [&](const auto& entry) { return entry.second.folder_key == key; });
    if (!shared && !held_.contains(key)) (void)files_.remove(key);
  }
}

}  // namespace

base::Result<std::unique_ptr<Runtime>> Runtime::start(store::Store& store, blob::BlobStore& blobs,
                                                      const Options& options, base::Registry& metrics) {
  auto runtime = std::make_unique<RuntimeImpl>(store, blobs, options, metrics);
  if (auto started = runtime->start(); !started) return std::unexpected(std::move(started).error().within("serving"));
  return std::unique_ptr<Runtime>(std::move(runtime));
}

}  // namespace serve
