#include <unistd.h>

#include <algorithm>

#include "api/mlflow/webhook_notice.h"
#include "base/log.h"
#include "base/process.h"
#include "blob/home.h"
#include "blob/migrations.h"
#include "core/event.h"
#include "core/migrations.h"
#include "data/data.h"
#include "data/migrations.h"
#include "flow/local_executor.h"
#include "flow/migrations.h"
#include "hooks/migrations.h"
#include "lab/migrations.h"
#include "loop/migrations.h"
#include "plane/migrations.h"
#include "serve/migrations.h"
#include "server/blob_place.h"
#include "server/hook_post.h"
#include "server/house.h"
#include "server/lab_children.h"
#include "server/run.h"
#include "server/version.h"
#include "server/watch_source.h"
#include "traces/migrations.h"
#include "track/experiments.h"
#include "track/migrations.h"
#include "track/old_points.h"
#include "watch/migrations.h"

namespace server {

std::span<const store::ModuleMigrations> store_modules() {
  static const store::ModuleMigrations kModules[] = {core::migrations(),   blob::migrations(),  data::migrations(),
                                                     flow::migrations(),   track::migrations(), serve::migrations(),
                                                     watch::migrations(),  loop::migrations(),  lab::migrations(),
                                                     traces::migrations(), hooks::migrations(), plane::migrations()};
  return kModules;
}

base::Result<void> open_store(House& house) {
  store::Options options;
  options.url = house.config.store_url;
  options.holder = "lathe " + std::string(kVersion) + ", process " + std::to_string(getpid());
  TRY_SET(house.store, store::Store::open(options, store_modules(), &house.metrics));
  TRY(track::take_over_old_points(*house.store, house.clock));
  TRY_SET(house.blobs, open_blobs(house.config, false, &house.metrics));
  return blob::settle_home(*house.store, *house.blobs, base::Context::system(house.clock), house.config.dir);
}

net::AccessPolicy policy_of(const Config& config) {
  net::AccessPolicy policy;
  policy.require_login = config.require_login;
  policy.allowed_hosts = config.allowed_hosts;
  return policy;
}

namespace {

// Every core::Consumer's name: a position under another one is of a version that has gone.
constexpr std::string_view kConsumers[] = {loop::kRetrainConsumer, hooks::kConsumer};

base::Result<void> forget_old_consumers(House& house) {
  const auto forget = [](store::Tx& tx) { return core::forget_consumers_except(tx, kConsumers); };
  TRY_SET(const auto gone, house.store->write_blocking(base::Context::system(house.clock), forget));
  for (const std::string& name : gone) base::log::info("an event consumer is no more", {{"consumer", name}});
  return {};
}

}  // namespace

base::Result<void> start_modules(House& house) {
  TRY(forget_old_consumers(house));
  const auto defaults = [&](store::Tx& tx) {
    return track::ensure_default_experiments(tx, house.config.default_artifact_root);
  };
  TRY(house.store->write_blocking(base::Context::system(house.clock), defaults));
  TRY_SET(house.locations, api::mlflow::LocationPolicy::make({.source_regex = house.config.mlflow_source_regex,
                                                              .allowed_schemes = house.config.mlflow_host_schemes}));
  TRY_SET(auto places,
          api::mlflow::Places::make(house.config.artifacts_destination, house.config.default_artifact_root));
  house.places = std::make_shared<const api::mlflow::Places>(std::move(places));
  // Calls of a remote store wait for the network more than they work.
  constexpr size_t kWaiting = 16, kWorking = 2;
  house.offload = std::make_unique<net::Offload>(house.blobs->parallel() > 1 ? kWaiting : kWorking);
  TRY_SET(const base::Path binary, base::executable_path());
  serve::Runtime::Options serving{.dir = house.config.dir / "serve", .self = binary};
  serving.python_roots = house.config.python_envs;
  serving.build_python = house.config.python_build;
  serving.memory_budget = house.config.model_memory;
  if (const int64_t archive_us = house.config.capture_archive_us; archive_us > 0) {
    serving.capture.binary = binary;
    serving.capture.archive_us = archive_us;
    serving.capture.archive_look_us = std::clamp<int64_t>(archive_us / 4, 1'000'000, 30'000'000);
  }
  TRY_SET(house.runtime, serve::Runtime::start(*house.store, *house.blobs, serving, house.metrics));
  house.traffic = std::make_unique<serve::TrafficSampler>(*house.store, *house.runtime, house.clock);
  house.watched = watch_source(*house.runtime);
  house.watcher =
      std::make_unique<watch::Watcher>(*house.store, *house.blobs, *house.watched, house.clock, house.metrics);
  house.metric_watch = std::make_unique<MetricWatch>(*house.store, house.clock);
  TRY_SET(house.gatekeeper,
          gate::Gatekeeper::start(*house.store, house.clock, loosest(house.config.listeners, policy_of(house.config))));
  house.commit_listener = house.store->add_event_listener([&house] {
    house.gatekeeper->access_may_have_changed();
    house.commits.notify();
  });
  return {};
}

base::Result<void> start_webhooks(House& house) {
  constexpr size_t kThreads = 2, kWaiting = 32;
  house.outgoing = std::make_unique<net::Offload>(kThreads, kWaiting);
  TRY_SET(auto sealer, hooks::Sealer::make(house.config.webhook_key, house.config.dir / "webhooks.key"));
  house.courier = std::make_unique<hooks::Courier>(*house.store, house.clock, house.metrics, house.config.webhooks,
                                                   sealer, hook_post(), api::mlflow::webhook_translator());
  return {};
}

base::Result<void> start_engine(House& house) {
  TRY_SET(const base::Path binary, base::executable_path());
  flow::EngineOptions options;
  options.server_url = local_url(house);
  options.binary_dir = binary.parent_path();
  options.env = base::allowed_environment();
  options.env.merge(client_environment(house));
  options.tracer = house.tracer.get();
  options.newest_data = [](store::Tx& tx, std::string_view name) -> base::Result<std::string> {
    TRY_SET(const auto newest, data::newest_version(tx, name));
    if (!newest) return base::not_found("the data set '" + std::string(name) + "' has no version yet");
    return newest->id;
  };
  house.engine = std::make_unique<flow::Engine>(
      *house.store, house.clock,
      flow::make_local_executor({.dir = house.config.dir}, *house.blobs, std::move(house.warden)), options,
      &house.metrics);
  TRY(house.engine->start());
  house.retrainer = std::make_unique<loop::Retrainer>(*house.store, house.clock);
  house.roller =
      std::make_unique<loop::Roller>(*house.store, *house.blobs, *house.runtime, house.clock, loop::Roller::Options());
  house.upkeep = std::make_unique<Upkeep>(
      *house.store, *house.blobs, house.clock,
      Upkeep::Options{.purge_deleted_us = house.config.purge_deleted_us, .destination = house.places->destination});
  if (house.config.lost_after_us > 0)
    house.run_watch = std::make_unique<RunWatch>(*house.store, house.clock, house.config.lost_after_us);
  return {};
}

// The warden is there, and what serves is known: notebooks from before are taken over.
base::Result<void> start_lab(House& house) {
  lab::KeeperOptions options;
  options.dir = std::filesystem::absolute(house.config.dir) / "lab";
  options.server_url = local_url(house);
  options.env = base::allowed_environment();
  options.env.merge(client_environment(house));
  house.lab = std::make_unique<lab::Keeper>(*house.store, house.clock, lab_children(house.config.dir), lab_ask(),
                                            std::move(options));
  return house.lab->start();
}

House::~House() {
  if (net) net->drain(0);
  if (courier) courier->stop();  // what is under way is sent again by the next server
  lab.reset();                   // the notebook servers stay with the warden
  proxy.reset();                 // its connections are the loops', which are the listener's
  net.reset();
  outgoing.reset();
  courier.reset();
  traffic.reset();  // after the last request: its last sample counts it
  run_watch.reset();
  upkeep.reset();
  roller.reset();
  retrainer.reset();
  watcher.reset();
  engine.reset();  // what runs stays with the warden
  if (store && commit_listener != 0) store->remove_event_listener(commit_listener);
}

}  // namespace server
