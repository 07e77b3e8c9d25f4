#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/limits.h"
#include "cli/command.h"
#include "data/duckdb.h"
#include "flow/warden.h"
#include "serve/model.h"
#include "server/blob_place.h"
#include "server/config.h"
#include "server/run.h"
#include "server/version.h"

namespace cli {
namespace {

constexpr int64_t kDownPatienceUs = base::limits::kDrainUs + 5'000'000;

// The flags of every setting; what was given, by key.
std::shared_ptr<server::Variables> add_setting_flags(CLI::App& command) {
  auto given = std::make_shared<server::Variables>();
  for (const auto& spec : server::setting_specs()) {
    auto* option = command.add_option_function<std::vector<std::string>>(
        spec.flag(),
        [given, key = std::string(spec.key)](const std::vector<std::string>& values) {
          std::string& all = (*given)[key];
          for (const std::string& value : values) all += (&value == values.data() ? "" : ",") + value;
        },
        std::string(spec.help) + " [" + (spec.fallback.empty() ? "none" : std::string(spec.fallback)) + "]; " +
            spec.variable());
    option->type_size(1)->expected(1);
    if (spec.repeats) option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  return given;
}

server::Config load(const server::Variables& flags) {
  auto config = server::load_config(flags, server::environment());
  if (!config) throw Failure(kUsage, config.error().message);
  return std::move(*config);
}

void print_config(const server::Config& config) {
  size_t width = 0;
  for (const auto& s : config.settings) width = std::max(width, s.key.size() + s.value.size());
  for (const auto& s : config.settings) {
    std::printf("%s: %s%*s  # %s\n", s.key.c_str(), s.value.c_str(),
                static_cast<int>(width - s.key.size() - s.value.size()), "", s.source.c_str());
  }
}

// The process that holds DIR/server.lock; 0: nobody does. The lock's text says who, the lock itself whether it is true.
pid_t holder_of(const base::Path& dir) {
  const base::Path path = dir / "server.lock";
  const base::Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd || flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return 0;
  const auto text = base::read_file(path, 4096);
  const size_t at = text ? text->find("process ") : std::string::npos;
  return at == std::string::npos ? 0 : static_cast<pid_t>(std::atoi(text->c_str() + at + 8));
}

void down(const base::Path& dir) {
  const pid_t pid = holder_of(dir);
  if (pid == 0) {
    std::printf("no server runs on %s\n", dir.c_str());
  } else {
    if (kill(pid, SIGTERM) != 0 && errno != ESRCH)
      throw Failure(kRefused, "process " + std::to_string(pid) + " cannot be told to stop: " + std::strerror(errno));
    const int64_t until_us = base::system_clock().mono_us() + kDownPatienceUs;
    while (holder_of(dir) == pid) {
      if (base::system_clock().mono_us() > until_us)
        throw Failure(kRefused, "process " + std::to_string(pid) + " did not stop in time");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    std::printf("stopped process %d\n", pid);
  }
  if (const auto ended = flow::stop_warden(dir, kDownPatienceUs); !ended)
    throw Failure(kRefused, ended.error().message);
}

// One line per optional part: where it was found, or why not and what its absence switches off.
void report(const char* what, const base::Result<std::string>& found, const char* off) {
  if (found) {
    std::printf("ok    %-14s %s\n", what, found->c_str());
  } else {
    std::printf("none  %-14s %s; off: %s\n", what, found.error().message.c_str(), off);
  }
}

base::Result<std::string> cgroup_delegated() {
  TRY_SET(const std::string own, base::read_file("/proc/self/cgroup", 1 << 16));
  const size_t at = own.find("0::");
  if (at == std::string::npos) return base::not_found("cgroup v2 is not mounted");
  const base::Path group = "/sys/fs/cgroup" + own.substr(at + 3, own.find('\n', at) - at - 3);
  if (access((group / "cgroup.subtree_control").c_str(), W_OK) != 0)
    return base::not_found(group.string() + " is not ours to write");
  return group.string();
}

base::Result<std::string> writable(const base::Path& dir) {
  TRY(base::make_dirs(dir, 0700));
  if (access(dir.c_str(), W_OK | X_OK) != 0) return base::errno_error(dir.string(), errno);
  return std::filesystem::absolute(dir).string();
}

void doctor(const server::Config& config, Common& common) {
  const auto dir = writable(config.dir);
  report("state folder", dir, "everything");
  report("ONNX Runtime", serve::onnxruntime_library(), "loading, evaluating and serving ONNX models");
  report("DuckDB", data::duckdb_library(), "preparing data");
  const auto blobs = server::reach_blobs(config);
  if (!blobs || !blobs->empty()) report("blob store", blobs, "every file: logging, reading, serving");
  report("cgroup v2", cgroup_delegated(), "exact memory limits of stages (their memory is sampled instead)");
  if (!dir || !blobs) common.exit_code = kRefused;
}

}  // namespace

void add_server_commands(CLI::App& app, Common& common) {
  auto* up = app.add_subcommand("up", "Serve until SIGTERM or Ctrl-C");
  up->callback([flags = add_setting_flags(*up), &common] { common.exit_code = server::run(load(*flags)); });

  auto* down_command = app.add_subcommand("down", "Stop the server of a folder, cancel what runs, leave no process");
  auto dir = std::make_shared<std::string>();
  down_command->add_option("--dir", *dir, "folder that holds all state [.lathe]; LATHE_DIR");
  down_command->callback([dir] {
    server::Variables flags;
    if (!dir->empty()) flags["dir"] = *dir;
    down(load(flags).dir);
  });

  auto* config = app.add_subcommand("config", "Print each setting and where it came from");
  config->callback([flags = add_setting_flags(*config)] { print_config(load(*flags)); });

  auto* doctor_command = app.add_subcommand("doctor", "Report optional libraries and what their absence switches off");
  doctor_command->callback([flags = add_setting_flags(*doctor_command), &common] { doctor(load(*flags), common); });

  app.add_subcommand("version", "Print the version")->callback([] {
    std::printf("lathe %s\n", std::string(server::kVersion).c_str());
  });
}

}  // namespace cli
