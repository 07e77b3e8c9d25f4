#include "serve/runtime.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "serve/batching.h"
#include "serve/claims.h"
#include "serve/graph_model.h"
#include "serve/mlmodel.h"
#include "serve/model_files.h"
#include "serve/python_environments.h"
#include "serve/trial.h"

namespace serve {
namespace {

constexpr std::chrono::seconds kKeeperPeriod{1};
constexpr int64_t kRetryUs = 10'000'000;     // a cold model that could not be loaded is tried again after it
constexpr uint64_t kModelBytes = 256 << 10;  // what a model costs beside its files
constexpr uint64_t kPythonBytes = 64 << 20;  // and one with an interpreter of its own

struct RevisionKey {
  int64_t project = 0;
  std::string endpoint;
  int64_t number = 0;
  auto operator<=>(const RevisionKey&) const = default;
};

struct Loaded {
  std::shared_ptr<const Predictor> model;      // as it was loaded
  std::shared_ptr<const Predictor> predictor;  // what answers: `model`, or batches before it
  ServingSettings serving;                     // that both were made for
  std::shared_ptr<Limiter> limiter;
  std::string folder_key;
  uint64_t bytes = 0;
  bool python = false;
  int64_t unused_since_us = 0;                                                                // monotonic; 0 while live
  std::shared_ptr<std::atomic<int64_t>> used_us = std::make_shared<std::atomic<int64_t>>(0);  // wall
};

struct Failure {
  base::Error why;
  int64_t until_us = 0;  // monotonic; not tried again before
};

std::shared_ptr<const Predictor> batched(std::shared_ptr<const Predictor> model, const ServingSettings& serving) {
  if (!model->waits()) return model;
  const BatchOptions batching = batch_options(serving, model->model().batching());
  return batching.max_rows > 1 ? make_batching(std::move(model), batching) : model;
}

std::string claim_name(int64_t project, std::string_view endpoint) {
  return std::to_string(project) + "/" + std::string(endpoint);
}

// Endpoints whose models stay in memory whatever the budget is: those that divide their traffic, and what graphs ask.
std::set<std::pair<int64_t, std::string>> always_loaded(const std::vector<Deployment>& deployments) {
  std::set<std::pair<int64_t, std::string>> out;
  for (const Deployment& deployment : deployments) {
    if (!deployment.others.empty()) out.emplace(deployment.project, deployment.endpoint.name);
    std::vector<Revision> revisions = deployment.others;
    revisions.push_back(deployment.live);
    for (const Revision& revision : revisions) {
      if (revision.graph.empty()) continue;
      const auto graph = parse_graph(revision.graph);
      if (!graph) continue;
      for (const GraphStep& step : graph->steps())
        out.emplace(deployment.project, step.model.empty() ? step.endpoint : pinned_revision(step).endpoint);
    }
  }
  return out;
}

class RuntimeImpl final : public Runtime {
 public:
  RuntimeImpl(std::shared_ptr<Source> source, const Options& options, base::Registry& metrics)
      : source_(std::move(source)),
        options_(options),
        metrics_(metrics),
        environments_(
            {.roots = options.python_roots, .build_dir = options.build_python ? options.dir / "python" : base::Path()}),
        files_(*source_, options.dir / "models") {}
  ~RuntimeImpl() override;

  base::Result<void> start();
  base::Result<Prepared> prepare(int64_t project, std::string_view endpoint, int64_t number, Code right) override;
  base::Result<void> refresh() override;
  base::Result<LivePtr> warm(const LiveEndpoint& cold, int64_t deadline_mono_us) override;
  Capture& capture() override { return *capture_; }
  Mirror* mirror() override { return mirror_.get(); }
  base::Result<Files> files_of(int64_t project, const Revision& revision) override;
  base::Result<Revision> revision_of(int64_t project, std::string_view endpoint, int64_t number) override;

 private:
  base::Result<void> load(int64_t project, const Wanted& wanted, Code right, int64_t deadline_mono_us = 0);
  base::Result<void> load_model(int64_t project, const Wanted& wanted, Code right, int64_t deadline_mono_us = 0);
  base::Result<void> load_claimed(int64_t project, const Wanted& wanted, Code right);
  base::Result<void> load_graph(int64_t project, const std::string& graph, Code right);
  base::Result<Loaded> load_files(int64_t project, const Wanted& wanted, Code right);
  struct Held {  // laid out, and not removed meanwhile
    ModelFiles::Folder folder;
    std::shared_ptr<void> held;
  };
  base::Result<Held> lay_out(int64_t project, const Revision& revision);
  bool take_shared(int64_t project, const Wanted& wanted, const std::string& folder_key, Loaded& out);
  base::Result<base::Path> interpreter_of(const ModelFolder& found, const ServingSettings& serving) const;
  void make_room(uint64_t bytes);
  bool is_loaded(const RevisionKey& key, const ServingSettings& serving);
  bool is_in_memory(const RevisionKey& key);
  using Problems = std::map<RevisionKey, base::Error>;
  std::shared_ptr<LiveEndpoint> make_one(const Deployment& deployment, const Revision& revision, bool is_shadow,
                                         const Problems& problems);
  void give_model(LiveEndpoint& live, const RevisionKey& key, const Problems& problems);
  void give_graph(LiveEndpoint& live, const base::Registry::Labels& labels, const Problems& problems);
  base::Result<LivePtr> find_step(int64_t project, const GraphStep& step, const Problems& problems);
  std::shared_ptr<LiveRules> make_rules(const TrafficPlan& plan, const LiveEndpoint& live);
  std::shared_ptr<const LiveEndpoint> make_live(const Deployment& deployment, const Problems& problems);
  void swap_routes(const std::vector<Deployment>& deployments, const std::map<RevisionKey, base::Error>& problems);
  void keep();
  void unload_baked();
  void publish() const;

  const std::shared_ptr<Source> source_;
  const Options options_;
  base::Registry& metrics_;
  std::unique_ptr<Capture> capture_;
  std::unique_ptr<Mirror> mirror_;

  const PythonEnvironments environments_;
  // Loading takes long, and a model on trial may hang until its timeout: it holds its endpoint's claim and no mutex, so
  // that a swap to what is loaded already never waits for it. Order: a claim, then files_mutex_, then swap_.
  Claims claims_;
  std::atomic<bool> starting_{true};  // Python models are left to loader_
  std::mutex files_mutex_;
  ModelFiles files_;                    // guarded by files_mutex_
  std::vector<std::string> left_over_;  // guarded by files_mutex_: folders of models that loader_ will load
  std::mutex swap_;
  std::map<RevisionKey, Loaded> loaded_;               // guarded by swap_
  std::map<RevisionKey, Failure> failed_;              // cold ones that could not be loaded; guarded by swap_
  std::set<std::pair<int64_t, std::string>> staying_;  // always_loaded() of what is served; guarded by swap_
  RouteSnapshot* next_ = nullptr;    // guarded by swap_: what graphs find their steps in, while it is being made
  std::map<std::string, int> held_;  // folders that loaders and children read, by key; guarded by swap_

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
  std::vector<std::string> used = left_over_;  // nobody else is there yet
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

base::Result<Runtime::Prepared> RuntimeImpl::prepare(int64_t project, std::string_view endpoint, int64_t number,
                                                     Code right) {
  TRY_SET(const Wanted wanted, source_->wanted(project, endpoint, number));
  TRY(load(project, wanted, right));
  std::lock_guard lock(swap_);
  const auto is_python = [&](const RevisionKey& key) {
    const auto found = loaded_.find(key);
    return found != loaded_.end() && found->second.python;
  };
  if (wanted.revision.graph.empty()) return Prepared{.runs_code = is_python({project, std::string(endpoint), number})};
  Prepared out;
  TRY_SET(const Graph graph, parse_graph(wanted.revision.graph));
  for (const GraphStep& step : graph.steps())
    out.runs_code = out.runs_code || (!step.model.empty() && is_python({project, pinned_revision(step).endpoint, 0}));
  return out;
}

base::Result<Revision> RuntimeImpl::revision_of(int64_t project, std::string_view endpoint, int64_t number) {
  TRY_SET(Wanted wanted, source_->wanted(project, endpoint, number));
  return std::move(wanted.revision);
}

base::Result<void> RuntimeImpl::load(int64_t project, const Wanted& wanted, Code right, int64_t deadline_mono_us) {
  return wanted.revision.graph.empty() ? load_model(project, wanted, right, deadline_mono_us)
                                       : load_graph(project, wanted.revision.graph, right);
}

// The versions that a graph names; the endpoints that it names are loaded for themselves.
base::Result<void> RuntimeImpl::load_graph(int64_t project, const std::string& text, Code right) {
  TRY_SET(const Graph graph, parse_graph(text));
  for (const GraphStep& step : graph.steps()) {
    if (!step.model.empty()) TRY(load_model(project, {pinned_revision(step), {}}, right));
  }
  return {};
}

// Nothing to do if it is loaded: settings that it can take while it serves were given to it.
base::Result<void> RuntimeImpl::load_model(int64_t project, const Wanted& wanted, Code right,
                                           int64_t deadline_mono_us) {
  if (is_loaded({project, wanted.revision.endpoint, wanted.revision.number}, wanted.serving)) return {};
  TRY_SET(const auto claim, claims_.take(claim_name(project, wanted.revision.endpoint), deadline_mono_us));
  return load_claimed(project, wanted, right);
}

// The caller holds the endpoint's claim: nobody else loads its model, and what is loaded stays in memory.
base::Result<void> RuntimeImpl::load_claimed(int64_t project, const Wanted& wanted, Code right) {
  const Revision& revision = wanted.revision;
  const RevisionKey key{project, revision.endpoint, revision.number};
  if (is_loaded(key, wanted.serving)) return {};  // somebody else was as quick
  TRY_SET(Loaded loaded, load_files(project, wanted, right));
  base::log::info("model loaded", {{"endpoint", revision.endpoint},
                                   {"revision", revision.number},
                                   {"model", revision.model_name},
                                   {"version", revision.model_version}});
  loaded.unused_since_us = base::system_clock().mono_us();
  loaded.used_us->store(base::system_clock().wall_us());
  std::lock_guard lock(swap_);
  loaded_.insert_or_assign(key, std::move(loaded));
  failed_.erase(key);
  return {};
}

base::Result<RuntimeImpl::Held> RuntimeImpl::lay_out(int64_t project, const Revision& revision) {
  std::lock_guard lock(files_mutex_);
  Held out;
  TRY_SET(out.folder, files_.materialise(project, revision));
  std::lock_guard swapping(swap_);
  ++held_[out.folder.key];
  // The folder of a revision that is not loaded stays until the next start: another replay may want it.
  out.held = std::shared_ptr<void>(nullptr, [this, key = out.folder.key](void*) {
    std::lock_guard again(swap_);
    if (const auto found = held_.find(key); found != held_.end() && --found->second == 0) held_.erase(found);
  });
  return out;
}

// Lays out, tries in a child unless that was done before, loads and warms.
base::Result<Loaded> RuntimeImpl::load_files(int64_t project, const Wanted& wanted, Code right) {
  const Revision& revision = wanted.revision;
  TRY_SET(const Held files, lay_out(project, revision));
  const ModelFiles::Folder& folder = files.folder;
  const auto found = read_model_folder(folder.files);
  Loaded out{.serving = wanted.serving, .folder_key = folder.key, .bytes = folder.bytes + kModelBytes};
  out.python = found && found->format->whole_folder;
  if (out.python && right != Code::kMayRun) {
    return base::fail(base::Code::kForbidden, "model " + revision.model_name + " version " +
                                                  std::to_string(revision.model_version) +
                                                  " is Python, and loading it runs its code: that needs the right to "
                                                  "run code in this project");
  }
  if (out.python) out.bytes += kPythonBytes;
  if (out.python && starting_) {
    std::lock_guard lock(files_mutex_);
    left_over_.push_back(folder.key);
    return base::fail(base::Code::kUnavailable, "the model is being loaded");
  }
  if (take_shared(project, wanted, folder.key, out)) return out;
  std::error_code error;
  if (!std::filesystem::exists(folder.tried, error)) {
    // A Python model never runs in this process: its workers are the trial.
    if (!out.python) TRY(try_in_child(options_.self, folder.files, folder.transform));
    TRY(base::write_file_durably(folder.tried, ""));
  }
  make_room(out.bytes);
  LoadOptions options{.serving = wanted.serving};
  if (out.python) {
    TRY_SET(options.interpreter, interpreter_of(*found, wanted.serving));
  }
  TRY_SET(stats::Transform transform, load_transform(folder.transform));
  TRY_SET(std::unique_ptr<Predictor> predictor, Predictor::load(folder.files, std::move(transform), options));
  TRY(warm_up(*predictor, folder.files));
  out.model = std::move(predictor);
  out.predictor = batched(out.model, wanted.serving);
  out.limiter = make_limiter(*out.model);
  return out;
}

base::Result<base::Path> RuntimeImpl::interpreter_of(const ModelFolder& found, const ServingSettings& serving) const {
  return environments_.interpreter_for(serving.python.empty() ? found.python : serving.python, found.folder);
}

// Revisions of one model and transform share what is in memory; of Python models only those of one endpoint, whose
// settings are the same: an endpoint that keeps its workers busy takes none of another's.
bool RuntimeImpl::take_shared(int64_t project, const Wanted& wanted, const std::string& folder_key, Loaded& out) {
  std::lock_guard lock(swap_);
  for (const auto& [key, loaded] : loaded_) {
    const bool same_endpoint = key.project == project && key.endpoint == wanted.revision.endpoint;
    if (loaded.folder_key != folder_key || (loaded.python && !(same_endpoint && loaded.serving == wanted.serving)))
      continue;
    out.model = loaded.model;
    out.predictor = loaded.predictor;
    out.limiter = make_limiter(*out.model);  // of its own: its requests are its own
    return true;
  }
  return false;
}

bool RuntimeImpl::is_loaded(const RevisionKey& key, const ServingSettings& serving) {
  std::lock_guard lock(swap_);
  const auto found = loaded_.find(key);
  if (found == loaded_.end()) return false;
  Loaded& loaded = found->second;
  if (loaded.python && loaded.serving.python != serving.python) return false;  // another interpreter: loaded anew
  if (loaded.serving != serving) {
    loaded.model->model().adjust(serving);
    loaded.predictor = batched(loaded.model, serving);  // requests in the old one's queue are answered by it
    loaded.serving = serving;
  }
  if (loaded.unused_since_us) loaded.unused_since_us = base::system_clock().mono_us();  // its time begins anew
  return true;
}

bool RuntimeImpl::is_in_memory(const RevisionKey& key) {
  std::lock_guard lock(swap_);
  return loaded_.contains(key);
}

// --- the memory budget -----------------------------------------------------------------------------------------------

// What is not live goes first, then the least recently used, until `bytes` fit beside what stays.
void RuntimeImpl::make_room(uint64_t bytes) {
  if (options_.memory_budget == 0) return;
  std::lock_guard lock(swap_);
  bool changed = false;
  for (;;) {
    uint64_t held = 0;
    std::set<const Predictor*> counted;
    auto oldest = loaded_.end();
    for (auto it = loaded_.begin(); it != loaded_.end(); ++it) {
      const auto& [key, loaded] = *it;
      if (counted.insert(loaded.model.get()).second) held += loaded.bytes;
      if (staying_.contains({key.project, key.endpoint}) || claims_.taken(claim_name(key.project, key.endpoint)))
        continue;
      const auto rank = [](const Loaded& l) { return std::pair(l.unused_since_us == 0, l.used_us->load()); };
      if (oldest == loaded_.end() || rank(loaded) < rank(oldest->second)) oldest = it;
    }
    if (held + bytes <= options_.memory_budget || oldest == loaded_.end()) break;
    base::log::info("model goes from memory",
                    {{"endpoint", oldest->first.endpoint}, {"revision", oldest->first.number}});
    loaded_.erase(oldest);
    changed = true;
  }
  if (!changed) return;
  const auto now = source_->deployments();  // what cannot be read now is said by the next refresh
  if (now) swap_routes(*now, {});
}

// On a thread that may wait. Whoever comes while the model is loaded waits for the claim of whoever does.
base::Result<LivePtr> RuntimeImpl::warm(const LiveEndpoint& cold, int64_t deadline_mono_us) {
  const RevisionKey key{cold.project, cold.name, cold.revision.number};
  {
    std::lock_guard lock(swap_);
    const auto failed = failed_.find(key);
    if (failed != failed_.end() && failed->second.until_us > base::system_clock().mono_us())
      return std::unexpected(failed->second.why);
  }
  TRY_SET(const Wanted wanted, source_->wanted(cold.project, cold.name, cold.revision.number));
  // Held until the answer is found: others' models push out no model that nobody could ask yet.
  TRY_SET(const auto claim, claims_.take(claim_name(cold.project, cold.name), deadline_mono_us));
  // It is live: somebody who might run its code has promoted it.
  if (auto loaded = load_claimed(cold.project, wanted, Code::kMayRun); !loaded) {
    base::log::error("a model is not loaded", {{"endpoint", cold.name}, {"why", loaded.error().message}});
    const base::Error why{base::Code::kUnavailable, loaded.error().message};
    std::lock_guard lock(swap_);
    failed_.insert_or_assign(key, Failure{why, base::system_clock().mono_us() + kRetryUs});
    return std::unexpected(why);
  }
  std::lock_guard lock(swap_);
  const auto find = [&]() -> LivePtr {
    const Pin pinned = pin();
    for (const LivePtr& live : pinned->versions(cold.project, cold.name)) {
      const LivePtr* found = find_revision(live, cold.revision.number);
      if (found && (*found)->predictor) return *found;
    }
    return nullptr;
  };
  if (LivePtr found = find()) return found;  // whoever loaded it has swapped
  TRY_SET(const std::vector<Deployment> now, source_->deployments());
  swap_routes(now, {});
  if (LivePtr found = find()) return found;
  return base::fail(base::Code::kUnavailable, "endpoint '" + cold.name + "' serves another revision by now; try again");
}

// The caller holds swap_, as for the others that make what is live.
void RuntimeImpl::give_model(LiveEndpoint& live, const RevisionKey& key, const Problems& problems) {
  const auto loaded = loaded_.find(key);
  if (loaded == loaded_.end()) {
    const auto problem = problems.find(key);
    live.problem = {base::Code::kUnavailable,
                    problem == problems.end() ? "the model is not loaded" : problem->second.message};
    return;
  }
  loaded->second.unused_since_us = 0;
  live.predictor = loaded->second.predictor;
  if (options_.memory_budget > 0) live.used_us = loaded->second.used_us;
}

base::Result<LivePtr> RuntimeImpl::find_step(int64_t project, const GraphStep& step, const Problems& problems) {
  if (!step.model.empty()) {
    auto live = std::make_shared<LiveEndpoint>();
    live->revision = pinned_revision(step);
    live->name = live->revision.endpoint;
    live->project = project;
    live->version = std::to_string(step.version);
    give_model(*live, {project, live->name, 0}, problems);
    live->waits = live->predictor && live->predictor->waits();
    return live;
  }
  for (const LivePtr& live : next_->endpoints)
    if (live->project == project && live->name == step.endpoint) return live;
  return base::fail(base::Code::kUnavailable, "endpoint '" + step.endpoint + "' serves nothing yet");
}

// Bound to the endpoints of the snapshot that is being made.
void RuntimeImpl::give_graph(LiveEndpoint& live, const base::Registry::Labels& labels, const Problems& problems) {
  live.graph = true;
  const auto bind = [&]() -> base::Result<std::shared_ptr<const Predictor>> {
    TRY_SET(const Graph graph, parse_graph(live.revision.graph));
    const auto meter = [&](const std::string& path) {
      return live.steps.emplace_back(step_meters(path, metrics_, labels));
    };
    return make_graph_predictor(
        graph, [&](const GraphStep& step) { return find_step(live.project, step, problems); }, meter);
  };
  if (auto bound = bind())
    live.predictor = std::move(*bound);
  else
    live.problem = {base::Code::kUnavailable, std::move(bound).error().message};
}

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
  const auto problem = problems.find(key);
  if (!revision.graph.empty()) {
    give_graph(*live, labels, problems);
  } else if (options_.memory_budget > 0 && !loaded_.contains(key) && problem == problems.end()) {
    live->cold = live->waits = true;
    live->problem = {base::Code::kUnavailable, "the model is not in memory yet"};
    return live;
  } else {
    give_model(*live, key, problems);
  }
  if (!live->predictor) {
    base::log::error("an endpoint cannot serve",
                     {{"endpoint", live->name}, {"revision", revision.number}, {"error", live->problem.message}});
    return live;
  }
  if (problem != problems.end())  // what it was serves on
    base::log::error("an endpoint's new settings are not in force",
                     {{"endpoint", live->name}, {"revision", revision.number}, {"error", problem->second.message}});
  set_predictor(*live, live->predictor, live->graph ? nullptr : loaded_.at(key).limiter, metrics_, labels);
  if (live->waits && !live->graph) add_waiting_instruments(*live, metrics_, labels);
  CaptureSource source{
      .project = live->project, .endpoint = live->name, .revision = live->revision.number, .routed = live->graph};
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

// Bound to the live revision's columns; what does not fit is left out, and logged.
std::shared_ptr<LiveRules> RuntimeImpl::make_rules(const TrafficPlan& plan, const LiveEndpoint& live) {
  if (plan.rules.empty() || !live.predictor) return nullptr;
  auto rules = std::make_shared<LiveRules>();
  for (const TrafficRule& rule : plan.rules) {
    LiveRules::Rule bound{.revision = rule.revision};
    if (auto done = bound.when.bind(rule.when, live.predictor->features(), nullptr, rules->headers); !done) {
      base::log::warn("a rule of an endpoint's traffic is not used",
                      {{"endpoint", live.name}, {"rule", rule.when}, {"error", done.error().message}});
      continue;
    }
    rules->by_columns |= bound.when.reads_columns();
    rules->rules.push_back(std::move(bound));
  }
  return rules;
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
  const std::shared_ptr<LiveRules> rules = make_rules(plan, *live);
  const auto aim = [&](const std::shared_ptr<LiveEndpoint>& at) {  // rules that read columns are for the same columns
    at->rules = rules;
    if (!rules || !at->predictor) return;
    const bool same = std::ranges::equal(at->predictor->inputs(), live->predictor->inputs(),
                                         [](const TensorInfo& a, const TensorInfo& b) {
                                           return a.name == b.name && a.type == b.type && a.shape == b.shape;
                                         });
    for (LiveRules::Rule& rule : rules->rules)
      if (rule.revision == at->revision.number && (same || !rules->by_columns)) rule.target = at;
  };
  aim(live);
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
    aim(target);
    if (!target->ready())
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

base::Result<void> RuntimeImpl::refresh() {
  std::map<RevisionKey, base::Error> problems;
  TRY_SET(const std::vector<Deployment> wanted, source_->deployments());
  const auto staying = always_loaded(wanted);
  {
    std::lock_guard lock(swap_);  // what was served until now is replaced while these are loaded
    staying_.insert(staying.begin(), staying.end());
  }
  const auto try_to_load = [&](int64_t project, const Wanted& one) {
    if (auto loaded = load_model(project, one, Code::kMayRun); !loaded)
      problems.emplace(RevisionKey{project, one.revision.endpoint, one.revision.number}, loaded.error());
  };
  for (const Deployment& deployment : wanted) {
    // Within a budget an endpoint waits for its first request; what is loaded takes new settings.
    const bool lazy = options_.memory_budget > 0 && !staying.contains({deployment.project, deployment.endpoint.name});
    std::vector<Revision> revisions = deployment.others;
    revisions.push_back(deployment.live);
    for (const Revision& revision : revisions) {
      if (!revision.graph.empty()) {
        const auto graph = parse_graph(revision.graph);
        if (!graph) continue;  // make_live says so
        for (const GraphStep& step : graph->steps()) {
          if (!step.model.empty()) try_to_load(deployment.project, {pinned_revision(step), {}});
        }
      } else if (!lazy || is_in_memory({deployment.project, revision.endpoint, revision.number})) {
        try_to_load(deployment.project, {revision, deployment.endpoint.serving});
      }
    }
  }
  std::lock_guard lock(swap_);
  // Read again under the lock: of two refreshes, the one that swaps later has seen at least what the other one saw.
  // What was promoted meanwhile was prepared before, so it is loaded.
  TRY_SET(const std::vector<Deployment> now, source_->deployments());
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
  staying_ = always_loaded(deployments);
  next_ = next.get();
  std::map<int64_t, size_t> of_project;
  for (const Deployment& deployment : deployments) ++of_project[deployment.project];
  for (const bool graphs : {false, true}) {  // graphs are made of endpoints
    for (const Deployment& deployment : deployments) {
      if (deployment.live.graph.empty() == graphs) continue;
      next->endpoints.push_back(make_live(deployment, problems));
      if (of_project[deployment.project] == 1 || deployment.endpoint.is_default)
        next->defaults.push_back(next->endpoints.back());
    }
  }
  next_ = nullptr;
  next->sort();
  routes_.store(std::move(next));
}

base::Result<Runtime::Files> RuntimeImpl::files_of(int64_t project, const Revision& revision) {
  TRY_SET(Held files, lay_out(project, revision));
  Files out{.folder = files.folder.files, .transform = files.folder.transform, .held = std::move(files.held)};
  const auto found = read_model_folder(out.folder);
  if (found && found->format->whole_folder) {
    Wanted wanted;  // what a graph names by its version is no endpoint's, and has no settings
    if (revision.number != 0) {
      TRY_SET(wanted, source_->wanted(project, revision.endpoint, revision.number));
    }
    TRY_SET(out.interpreter, interpreter_of(*found, wanted.serving));
  }
  return out;
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

void RuntimeImpl::publish() const {
  for (const auto& endpoint : loaded()) publish_waiting(*endpoint);
}

void RuntimeImpl::unload_baked() {
  std::lock_guard files(files_mutex_);
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
  return start(store_source(store, blobs), options, metrics);
}

base::Result<std::unique_ptr<Runtime>> Runtime::start(std::shared_ptr<Source> source, const Options& options,
                                                      base::Registry& metrics) {
  auto runtime = std::make_unique<RuntimeImpl>(std::move(source), options, metrics);
  if (auto started = runtime->start(); !started) return std::unexpected(std::move(started).error().within("serving"));
  return std::unique_ptr<Runtime>(std::move(runtime));
}

}  // namespace serve
