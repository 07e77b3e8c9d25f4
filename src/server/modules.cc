#include "base/log.h"
#include "blob/migrations.h"
#include "core/event.h"
#include "core/migrations.h"
#include "data/data.h"
#include "data/migrations.h"
#include "base/process.h"
#include "flow/local_executor.h"
#include "flow/migrations.h"
#include "loop/migrations.h"
#include "serve/migrations.h"
#include "server/house.h"
#include "server/version.h"
#include "server/watch_source.h"
#include "track/experiments.h"
#include "track/migrations.h"
#include "watch/migrations.h"

#include <unistd.h>

namespace server {

base::Result<void> open_store(House& house) {
  static const store::ModuleMigrations kModules[] = {core::migrations(), blob::migrations(), data::migrations(), flow::migrations(),
                                                     track::migrations(), serve::migrations(), watch::migrations(), loop::migrations()};
  store::Options options;
  options.url = house.config.store_url;
  options.holder = "lathe " + std::string(kVersion) + ", process " + std::to_string(getpid());
  TRY_SET(house.store, store::Store::open(options, kModules, &house.metrics));
  TRY_SET(house.blobs, blob::BlobStore::open(house.config.dir));
  return {};
}

namespace {

// Every core::Consumer's name: a position under another one is of a version that has gone.
constexpr std::string_view kConsumers[] = {loop::kRetrainConsumer};

base::Result<void> forget_old_consumers(House& house) {
  const auto forget = [](store::Tx& tx) { return core::forget_consumers_except(tx, kConsumers); };
  TRY_SET(const auto gone, house.store->write_blocking(base::Context::system(house.clock), forget));
  for (const std::string& name : gone) base::log::info("an event consumer is no more", {{"consumer", name}});
  return {};
}

}  // namespace

base::Result<void> start_modules(House& house) {
  TRY(forget_old_consumers(house));
  TRY(house.store->write_blocking(base::Context::system(house.clock), track::stamp_default_experiment));
  house.offload = std::make_unique<net::Offload>();
  TRY_SET(const base::Path binary, base::executable_path());
  TRY_SET(house.runtime, serve::Runtime::start(*house.store, *house.blobs, house.config.dir / "serve", binary, house.metrics));
  house.watched = watch_source(*house.runtime);
  house.watcher = std::make_unique<watch::Watcher>(*house.store, *house.blobs, *house.watched, house.clock, house.metrics);
  house.tokens = std::make_unique<Tokens>(*house.store, house.clock);
  house.commit_listener = house.store->add_event_listener([&house] {
    house.tokens->forget();
    house.commits.notify();
  });
  return {};
}

base::Result<void> start_engine(House& house, const std::string& address) {
  TRY_SET(const base::Path binary, base::executable_path());
  flow::EngineOptions options;
  options.server_url = address;
  options.binary_dir = binary.parent_path();
  options.env = base::allowed_environment();
  options.newest_data = [](store::Tx& tx, std::string_view name) -> base::Result<std::string> {
    TRY_SET(const auto newest, data::newest_version(tx, name));
    if (!newest) return base::not_found("the data set '" + std::string(name) + "' has no version yet");
    return newest->id;
  };
  house.engine = std::make_unique<flow::Engine>(
      *house.store, house.clock, flow::make_local_executor({.dir = house.config.dir}, *house.blobs, std::move(house.warden)), options,
      &house.metrics);
  TRY(house.engine->start());
  house.retrainer = std::make_unique<loop::Retrainer>(*house.store, house.clock);
  house.upkeep = std::make_unique<Upkeep>(*house.store, *house.blobs, house.clock, Upkeep::Options{});
  return {};
}

House::~House() {
  net.reset();
  upkeep.reset();
  retrainer.reset();
  watcher.reset();
  engine.reset();  // what runs stays with the warden
  if (store && commit_listener != 0) store->remove_event_listener(commit_listener);
}

}  // namespace server
