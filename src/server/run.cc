#include "server/run.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "base/limits.h"
#include "flow/warden.h"
#include "server/house.h"
#include "server/lifetime.h"
#include "server/version.h"

namespace server {
namespace {

base::Result<void> announce(const House& house) {
  const std::string address = local_url(house);
  TRY(base::write_file_durably(house.config.dir / "address", address + "\n"));
  std::string others;  // with the ports that the kernel chose
  if (house.net->all().size() > 1) {
    for (const Listener& l : house.net->all()) others += ", " + shown(l);
  }
  std::printf("lathe %s serves %s%s (state in %s)\n", std::string(kVersion).c_str(), address.c_str(), others.c_str(),
              house.config.dir.c_str());
  std::fflush(stdout);
  return {};
}

// A server that others reach and nobody can log in to would belong to the first who asks.
base::Result<void> check_users(const House& house) {
  const auto reached =
      std::ranges::find_if(house.config.listeners, [](const Listener& l) { return !net::is_loopback(l.address); });
  if (reached == house.config.listeners.end() || house.gatekeeper->has_users()) return {};
  return base::invalid("other machines reach " + reached->address +
                       ", but there is no user yet who could log in; add the first, an administrator, with "
                       "'lathe user add NAME --dir " +
                       house.config.dir.string() + "', then start again");
}

base::Result<void> open(House& house) {
  net::ServerOptions options;
  options.threads = house.config.threads;
  options.proxies = house.config.proxies;
  if (!house.config.tls_cert.empty()) {
    TRY_SET(house.tls, net::TlsIdentity::load({.certificate = house.config.tls_cert,
                                               .key = house.config.tls_key,
                                               .client_ca = house.config.tls_client_ca,
                                               .client_must = house.config.tls_clients_must}));
    options.tls = house.tls.get();
    options.plane_certificates = !house.config.tls_client_ca.empty();
    house.tls->on_change([&house] {
      if (auto kept = keep_authority(house); !kept)
        base::log::warn("clients are not told the new certificate's authority", {{"why", kept.error().message}});
    });
  }
  TRY(keep_authority(house));
  if (!house.config.traces.endpoint.empty())
    house.tracer = std::make_unique<TraceExporter>(house.config.traces, house.metrics);
  options.tracer = house.tracer.get();
  TRY_SET(house.net, Listeners::open(house.config.listeners, options, house.clock, house.metrics));
  TRY(open_store(house));
  TRY(start_modules(house));
  TRY(check_users(house));
  TRY(start_webhooks(house));
  house.proxy = std::make_unique<net::Proxy>(house.metrics);
  TRY(start_lab(house));
  open_doors(house);
  TRY(start_engine(house));
  house.net->start(house.routes, house.errors, *house.gatekeeper, policy_of(house.config));
  return announce(house);
}

}  // namespace

int run(const Config& config) {
  base::log::configure(config.log_level, config.log_json);
  prepare_process();
  const sigset_t signals = block_signals();
  if (auto made = base::make_dirs(config.dir, 0700); !made) return give_up(made.error());
  auto lock = base::FileLock::acquire(config.dir / "server.lock",
                                      "lathe " + std::string(kVersion) + ", process " + std::to_string(getpid()));
  if (!lock) return give_up(lock.error());

  // Before any thread starts, and after the folder is ours.
  auto warden = flow::launch_warden(config.dir);
  if (!warden) return give_up(warden.error());

  int code = 0;
  std::jthread last_word;  // before the house: it watches over its going down
  {
    House house(config);
    house.warden = std::move(*warden);
    if (auto opened = open(house); !opened) return give_up(opened.error());
    int signal = 0;
    while (sigwait(&signals, &signal) != 0 || signal == SIGHUP) {
      if (signal == SIGHUP && house.tls) house.tls->refresh(true);
    }
    base::log::info("draining", {{"signal", signal}, {"connections", house.net->connections()}});
    last_word = std::jthread(end_in_time);
    house.blobs->no_more_retries();
    std::error_code ignored;
    std::filesystem::remove(config.dir / "address", ignored);
    if (!house.net->drain(base::limits::kDrainUs - kModulesUs)) {
      // A handler that does not end still points into the house: leave it standing and let the process go.
      base::log::error("a request did not end in time", {{"connections", house.net->connections()}});
      std::fflush(nullptr);
      _exit(1);
    }
  }
  base::log::info("stopped");
  return code;
}

}  // namespace server
