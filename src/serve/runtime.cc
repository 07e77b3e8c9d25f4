#include "serve/runtime.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <tuple>

#include "base/clock.h"
#include "base/log.h"
#include "serve/model_files.h"
#include "serve/trial.h"

namespace serve {
namespace {

constexpr std::array kLatencyBounds = {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0};
constexpr std::chrono::seconds kKeeperPeriod{1};

struct RevisionKey {
  int64_t project = 0;
  std::string endpoint;
  int64_t number = 0;
  auto operator<=>(const RevisionKey&) const = default;
};

struct Loaded {
  std::shared_ptr<const Predictor> predictor;
  std::string folder_key;
  int64_t unused_since_us = 0;  // monotonic; 0 while live
};

bool before(const std::shared_ptr<const LiveEndpoint>& endpoint, const std::pair<int64_t, std::string_view>& key) {
  return std::tie(endpoint->project, endpoint->name) < std::tie(key.first, key.second);
}

class RuntimeImpl final : public Runtime {
 public:
  RuntimeImpl(store::Store& store, blob::BlobStore& blobs, const Options& options, base::Registry& metrics)
      : store_(store), options_(options), metrics_(metrics), files_(store, blobs, options.dir / "models") {}
  ~RuntimeImpl() override;

  base::Result<void> start();
  base::Result<void> prepare(int64_t project, std::string_view endpoint, int64_t number) override;
  base::Result<void> refresh() override;
  Capture& capture() override { return *capture_; }

 private:
  base::Result<void> load(int64_t project, const Revision& revision);
  base::Result<std::shared_ptr<const Predictor>> load_predictor(const ModelFiles::Folder& folder);
  base::Result<std::vector<Deployment>> deployments();
  bool is_loaded(const RevisionKey& key);
  std::shared_ptr<const LiveEndpoint> make_live(const Deployment& deployment, const std::map<RevisionKey, base::Error>& problems);
  void swap_routes(const std::vector<Deployment>& deployments, const std::map<RevisionKey, base::Error>& problems);
  void keep();
  void unload_baked();

  store::Store& store_;
  const Options options_;
  base::Registry& metrics_;
  std::unique_ptr<Capture> capture_;

  // Loading takes long, and a model on trial may hang until its timeout: a swap to what is loaded already never waits
  // for that. Order: load_, then swap_.
  std::mutex load_;
  ModelFiles files_;                       // guarded by load_
  std::mutex swap_;
  std::map<RevisionKey, Loaded> loaded_;   // guarded by swap_

  std::mutex stop_mutex_;
  std::condition_variable stop_wake_;
  bool stop_ = false;
  std::thread keeper_;
};

RuntimeImpl::~RuntimeImpl() {
  {
    std::lock_guard lock(stop_mutex_);
    stop_ = true;
  }
  stop_wake_.notify_all();
  if (keeper_.joinable()) keeper_.join();
}

base::Result<void> RuntimeImpl::start() {
  TRY_SET(capture_, Capture::open(options_.dir / "capture", metrics_, options_.capture));
  TRY(refresh());
  std::vector<std::string> used;
  for (const auto& entry : loaded_) used.push_back(entry.second.folder_key);
  TRY(files_.remove_all_but(used));
  keeper_ = std::thread([this] { keep(); });
  return {};
}

base::Result<void> RuntimeImpl::prepare(int64_t project, std::string_view endpoint, int64_t number) {
  base::Context ctx = base::Context::system(base::system_clock(), "system:serve");
  ctx.project = project;
  TRY_SET(const Revision revision,
          store_.read_blocking(ctx, [&](store::Tx& tx) { return get_revision(tx, endpoint, number); }));
  return load(project, revision);
}

// Lays out, tries in a child unless that was done before, loads and warms; nothing to do if it is loaded.
base::Result<void> RuntimeImpl::load(int64_t project, const Revision& revision) {
  const RevisionKey key{project, revision.endpoint, revision.number};
  if (is_loaded(key)) return {};
  std::lock_guard loading(load_);
  if (is_loaded(key)) return {};  // somebody else was as quick
  TRY_SET(const ModelFiles::Folder folder, files_.materialise(project, revision));
  std::error_code error;
  if (!std::filesystem::exists(folder.tried, error)) {
    TRY(try_in_child(options_.self, folder.files, folder.transform));
    TRY(base::write_file_durably(folder.tried, ""));
  }
  TRY_SET(std::shared_ptr<const Predictor> predictor, load_predictor(folder));
  base::log::info("model loaded", {{"endpoint", revision.endpoint}, {"revision", revision.number}, {"model", revision.model_name},
                                   {"version", revision.model_version}});
  std::lock_guard lock(swap_);
  loaded_.insert_or_assign(key, Loaded{std::move(predictor), folder.key, base::system_clock().mono_us()});
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
  return std::shared_ptr<const Predictor>(std::move(predictor));
}

bool RuntimeImpl::is_loaded(const RevisionKey& key) {
  std::lock_guard lock(swap_);
  const auto found = loaded_.find(key);
  if (found == loaded_.end()) return false;
  if (found->second.unused_since_us) found->second.unused_since_us = base::system_clock().mono_us();  // its time begins anew
  return true;
}

// The caller holds swap_.
std::shared_ptr<const LiveEndpoint> RuntimeImpl::make_live(const Deployment& deployment,
                                                           const std::map<RevisionKey, base::Error>& problems) {
  auto live = std::make_shared<LiveEndpoint>();
  live->name = deployment.endpoint.name;
  live->environment = deployment.endpoint.environment;
  live->project = deployment.project;
  live->revision = deployment.live;
  live->version = std::to_string(deployment.live.model_version);

  const base::Registry::Labels labels = {{"endpoint", live->name}, {"model", live->revision.model_name}, {"version", live->version}};
  live->requests = &metrics_.counter("lathe_inference_requests_total", "Inference requests answered.", labels);
  live->failures = &metrics_.counter("lathe_inference_failures_total", "Inference requests answered with an error.", labels);
  live->rows = &metrics_.counter("lathe_inference_rows_total", "Rows predicted.", labels);
  live->seconds = &metrics_.histogram("lathe_inference_seconds", "From the request's last byte to its answer.", kLatencyBounds, labels);

  const RevisionKey key{deployment.project, deployment.endpoint.name, deployment.live.number};
  const auto loaded = loaded_.find(key);
  if (loaded == loaded_.end()) {
    const auto problem = problems.find(key);
    live->problem = {base::Code::kUnavailable, problem == problems.end() ? "the model is not loaded" : problem->second.message};
    base::log::error("an endpoint cannot serve", {{"endpoint", live->name}, {"error", live->problem.message}});
    return live;
  }
  loaded->second.unused_since_us = 0;
  live->predictor = loaded->second.predictor;
  CaptureSource source{.project = live->project, .endpoint = live->name, .revision = live->revision.number};
  for (const Feature& feature : live->predictor->features()) {
    (feature.text ? source.text_features : source.features).push_back(feature.name);
  }
  live->capture = &capture_->stream(source);
  return live;
}

base::Result<std::vector<Deployment>> RuntimeImpl::deployments() {
  return store_.read_blocking(base::Context::system(base::system_clock(), "system:serve"),
                              [](store::Tx& tx) -> base::Result<std::vector<Deployment>> { return list_deployments(tx); });
}

base::Result<void> RuntimeImpl::refresh() {
  std::map<RevisionKey, base::Error> problems;
  TRY_SET(const std::vector<Deployment> wanted, deployments());
  for (const Deployment& deployment : wanted) {
    const RevisionKey key{deployment.project, deployment.endpoint.name, deployment.live.number};
    if (auto loaded = load(deployment.project, deployment.live); !loaded) problems.emplace(key, loaded.error());
  }
  std::lock_guard lock(swap_);
  // Read again under the lock: of two refreshes, the one that swaps later has seen at least what the other one saw. What
  // was promoted meanwhile was prepared before, so it is loaded.
  TRY_SET(const std::vector<Deployment> now, deployments());
  swap_routes(now, problems);
  return {};
}

// The caller holds swap_.
void RuntimeImpl::swap_routes(const std::vector<Deployment>& deployments, const std::map<RevisionKey, base::Error>& problems) {
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
      if (places.size() == 1 || deployments[place].endpoint.is_default) next->defaults.push_back(next->endpoints[place]);
    }
  }
  std::ranges::sort(next->endpoints, {}, [](const auto& e) { return std::tie(e->project, e->name); });
  routes_.store(std::move(next));
}

void RuntimeImpl::keep() {
  std::unique_lock lock(stop_mutex_);
  while (!stop_wake_.wait_for(lock, kKeeperPeriod, [&] { return stop_; })) {
    lock.unlock();
    routes_.reclaim();
    unload_baked();
    lock.lock();
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
    if (!shared) (void)files_.remove(key);
  }
}

}  // namespace

const std::shared_ptr<const LiveEndpoint>* RouteSnapshot::find(int64_t project, std::string_view name) const {
  if (name.empty()) {
    for (const auto& endpoint : defaults) {
      if (endpoint->project == project) return &endpoint;
    }
    return nullptr;
  }
  const auto key = std::pair(project, name);
  const auto found = std::lower_bound(endpoints.begin(), endpoints.end(), key, before);
  return found != endpoints.end() && (*found)->project == project && (*found)->name == name ? &*found : nullptr;
}

std::shared_ptr<const LiveEndpoint> Runtime::route(int64_t project, std::string_view name) const {
  const Pin now = pin();
  const auto* found = now->find(project, name);
  return found ? *found : nullptr;
}

std::vector<std::shared_ptr<const LiveEndpoint>> Runtime::live() const { return pin()->endpoints; }

base::Result<std::unique_ptr<Runtime>> Runtime::start(store::Store& store, blob::BlobStore& blobs, const Options& options,
                                                      base::Registry& metrics) {
  auto runtime = std::make_unique<RuntimeImpl>(store, blobs, options, metrics);
  if (auto started = runtime->start(); !started) return std::unexpected(std::move(started).error().within("serving"));
  return std::unique_ptr<Runtime>(std::move(runtime));
}

}  // namespace serve
