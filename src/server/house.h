// House: what a running server consists of, in the order in which it is built; it goes down in reverse. Known to
// src/server only: each door and module receives just what it needs.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "api/mlflow/locations.h"
#include "api/mlflow/places.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "blob/blob.h"
#include "flow/engine.h"
#include "gate/gatekeeper.h"
#include "hooks/courier.h"
#include "lab/keeper.h"
#include "loop/retrain.h"
#include "loop/roller.h"
#include "net/broadcast.h"
#include "net/offload.h"
#include "net/proxy.h"
#include "net/router.h"
#include "net/server.h"
#include "net/tls.h"
#include "serve/runtime.h"
#include "serve/traffic.h"
#include "server/config.h"
#include "server/listeners.h"
#include "server/metric_watch.h"
#include "server/run_watch.h"
#include "server/upkeep.h"
#include "store/store.h"
#include "watch/watcher.h"

namespace server {

struct House {
  explicit House(const Config& c) : config(c) {}
  ~House();

  const Config& config;
  const base::Clock& clock = base::system_clock();
  int64_t started_us = clock.wall_us();
  base::Registry metrics;
  std::unique_ptr<TraceExporter> tracer;  // null: tracing is off. Before all that makes spans
  std::unique_ptr<store::Store> store;
  std::unique_ptr<blob::BlobStore> blobs;
  std::unique_ptr<net::Offload> offload;  // blocking work of handlers
  net::Broadcast commits;                 // notified after each commit that left an event
  std::shared_ptr<const api::mlflow::LocationPolicy> locations;
  std::shared_ptr<const api::mlflow::Places> places;
  std::unique_ptr<gate::Gatekeeper> gatekeeper;
  uint64_t commit_listener = 0;
  std::unique_ptr<serve::Runtime> runtime;
  std::unique_ptr<serve::TrafficSampler> traffic;
  std::unique_ptr<watch::RequestSource> watched;
  std::unique_ptr<watch::Watcher> watcher;
  base::Fd warden;  // from run.cc: forked before any thread; the engine takes it
  std::unique_ptr<flow::Engine> engine;
  std::unique_ptr<loop::Retrainer> retrainer;
  std::unique_ptr<loop::Roller> roller;
  std::unique_ptr<net::Offload> outgoing;  // of handlers that wait for other hosts: they hold up nothing else
  std::unique_ptr<hooks::Courier> courier;
  std::unique_ptr<Upkeep> upkeep;
  std::unique_ptr<MetricWatch> metric_watch;
  std::unique_ptr<RunWatch> run_watch;  // null: silent runs stay as they are
  std::unique_ptr<lab::Keeper> lab;
  std::unique_ptr<net::Proxy> proxy;

  net::RouteTable routes;
  net::ErrorWriters errors;
  std::unique_ptr<net::TlsIdentity> tls;  // null: HTTP in the clear
  std::unique_ptr<Listeners> net;
};

net::AccessPolicy policy_of(const Config& config);  // modules.cc; what a listener adds is the listener's

// modules.cc: the store with every room's tables, and the rooms' threads.
base::Result<void> open_store(House& house);
base::Result<void> start_modules(House& house);
base::Result<void> start_webhooks(House& house);
// After the listener is open: stages are told how to reach it.
base::Result<void> start_engine(House& house);
base::Result<void> start_lab(House& house);

// address.cc: how this server is reached.
std::string local_url(const House& house);  // from this machine; what DIR/address says
base::Result<void> keep_authority(
    const House& house);  // DIR/ca.pem: whom to trust, when no authority of theirs vouches
std::map<std::string, std::string> client_environment(const House& house);  // for what runs here: stages, notebooks

// doors.cc: every protocol's routes and error words.
void open_doors(House& house);

}  // namespace server
