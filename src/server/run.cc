#include "server/run.h"

#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <stop_token>
#include <thread>

#include "base/limits.h"
#include "flow/warden.h"
#include "server/house.h"
#include "server/version.h"

namespace server {
namespace {

constexpr int64_t kModulesUs = 2'000'000;  // of kDrainUs: for the rooms' threads, once the requests have ended

// The last word on how long going down may take. What a room still does past it is lost as in a power cut, which the
// store withstands.
void end_in_time(const std::stop_token& in_time) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, in_time, std::chrono::microseconds(base::limits::kDrainUs), [] { return false; });
  if (in_time.stop_requested()) return;
  base::log::error("the server did not stop in time", {{"limit_us", base::limits::kDrainUs}});
  std::fflush(nullptr);
  _exit(1);
}

// Signals are taken by sigwait on this thread; every thread started later inherits the mask.
sigset_t block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return set;
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int give_up(const base::Error& error) {
  base::log::error("the server cannot start", {{"why", error.message}});
  return 1;
}

std::string address_of(const House& house) {
  const std::string& host = house.config.address;
  return "http://" + (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" +
         std::to_string(house.net->port());
}

base::Result<void> announce(const House& house) {
  const std::string address = address_of(house);
  TRY(base::write_file_durably(house.config.dir / "address", address + "\n"));
  std::printf("lathe %s serves %s (state in %s)\n", std::string(kVersion).c_str(), address.c_str(),
              house.config.dir.c_str());
  std::fflush(stdout);
  return {};
}

base::Result<void> open(House& house) {
  net::ServerOptions options;
  options.address = house.config.address;
  options.port = house.config.port;
  options.threads = house.config.threads;
  TRY_SET(house.net, net::Server::listen(options, house.clock, house.metrics));
  TRY(open_store(house));
  TRY(start_modules(house));
  open_doors(house);
  TRY(start_engine(house, address_of(house)));
  house.net->start(house.routes, house.errors, house.access);
  return announce(house);
}

}  // namespace

int run(const Config& config) {
  base::log::configure(config.log_level, config.log_json);
  mallopt(M_ARENA_MAX, 4);  // an arena per thread is memory that an idle server only holds
  raise_descriptor_limit();
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
    }
    base::log::info("draining", {{"signal", signal}, {"connections", house.net->connections()}});
    last_word = std::jthread(end_in_time);
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
