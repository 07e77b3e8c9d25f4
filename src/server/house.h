// House: what a running server consists of, in the order in which it is built; it goes down in reverse. Known to
// src/server only: each door and module receives just what it needs.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/metrics.h"
#include "blob/blob.h"
#include "flow/engine.h"
#include "loop/retrain.h"
#include "net/broadcast.h"
#include "net/offload.h"
#include "net/router.h"
#include "net/server.h"
#include "serve/runtime.h"
#include "server/config.h"
#include "server/tokens.h"
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
  std::unique_ptr<store::Store> store;
  std::unique_ptr<blob::BlobStore> blobs;
  std::unique_ptr<net::Offload> offload;  // blocking work of handlers
  net::Broadcast commits;                 // notified after each commit that left an event
  std::unique_ptr<Tokens> tokens;
  uint64_t commit_listener = 0;
  std::unique_ptr<serve::Runtime> runtime;
  std::unique_ptr<watch::RequestSource> watched;
  std::unique_ptr<watch::Watcher> watcher;
  base::Fd warden;                        // from run.cc: forked before any thread; the engine takes it
  std::unique_ptr<flow::Engine> engine;
  std::unique_ptr<loop::Retrainer> retrainer;
  std::unique_ptr<Upkeep> upkeep;

  net::RouteTable routes;
  net::ErrorWriters errors;
  net::Access access;
  std::unique_ptr<net::Server> net;
};

// modules.cc: the store with every room's tables, and the rooms' threads.
base::Result<void> open_store(House& house);
base::Result<void> start_modules(House& house);
// After the listener is open: stages are told the server's address.
base::Result<void> start_engine(House& house, const std::string& address);

// doors.cc: every protocol's routes and error words.
void open_doors(House& house);

std::string status_json(const House& house);

}  // namespace server
