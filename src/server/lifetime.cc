#include "server/lifetime.h"

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>

#include "base/limits.h"
#include "base/log.h"

namespace server {

sigset_t block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return set;
}

void prepare_process() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

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

int give_up(const base::Error& error) {
  base::log::error("the server cannot start", {{"why", error.message}});
  return 1;
}

}  // namespace server
