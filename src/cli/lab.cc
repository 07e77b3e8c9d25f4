// lathe lab: one's own notebook server, started, shown and stopped.
#include "lab/lab.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <thread>

#include "base/json.h"
#include "base/spawn.h"
#include "cli/api.h"
#include "cli/command.h"
#include "lab/find.h"

extern char** environ;

namespace cli {
namespace {

namespace json = boost::json;

constexpr auto kLook = std::chrono::milliseconds(200);

struct Wanted {
  std::string root, python;
  int64_t memory_mib = 0;
  double idle_minutes = 0;
  bool no_browser = false;
};

bool is_here(const std::string& server) {
  for (const char* host : {"//127.", "//localhost:", "//[::1]"}) {
    if (server.contains(host)) return true;
  }
  return false;
}

// What the shell that asks would take: its environment may have another PATH than the server's.
std::string own_program(const base::Path& root) {
  if (const char* active = std::getenv("VIRTUAL_ENV"); active != nullptr && *active != '\0') {
    const base::Path program = base::Path(active) / "bin" / "jupyter-lab";
    if (access(program.c_str(), X_OK) == 0) return program.string();
  }
  const char* path = std::getenv("PATH");
  const auto found = lab::find_jupyterlab(root, "", path == nullptr ? "" : path);
  return found ? found->string() : "";
}

json::object request_of(const Wanted& wanted, const std::string& server) {
  json::object body;
  std::error_code error;
  base::Path root = wanted.root;
  if (is_here(server)) {
    root = std::filesystem::absolute(wanted.root.empty() ? "." : wanted.root, error).lexically_normal();
    if (root.filename().empty()) root = root.parent_path();
  }
  std::string python = wanted.python;
  if (!python.empty() && is_here(server)) python = std::filesystem::absolute(python, error).string();
  if (python.empty() && is_here(server)) python = own_program(root);
  if (!root.empty()) body["root"] = root.string();
  if (!python.empty()) body["python"] = python;
  if (wanted.memory_mib != 0) body["memory_mib"] = wanted.memory_mib;
  if (wanted.idle_minutes != 0) body["idle_minutes"] = wanted.idle_minutes;
  return body;
}

bool state_is(const json::value& report, std::string_view state) { return report.at("state").as_string() == state; }

void open_browser(const std::string& url) {
  if (std::getenv("DISPLAY") == nullptr && std::getenv("WAYLAND_DISPLAY") == nullptr) return;
  const char* argv[] = {"xdg-open", url.c_str(), nullptr};
  base::SpawnSetup quiet;
  for (const int fd : {1, 2}) posix_spawn_file_actions_addopen(&quiet.actions, fd, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  if (posix_spawnp(&pid, argv[0], &quiet.actions, nullptr, const_cast<char**>(argv), environ) == 0)
    waitpid(pid, nullptr, 0);
}

void start(const Common& common, const Wanted& wanted) {
  Api api(common);
  json::value report = api.post("/lab", request_of(wanted, api.server()));
  if (state_is(report, "starting")) std::fprintf(stderr, "starting %s\n", report.at("program").as_string().c_str());
  while (state_is(report, "starting")) {
    std::this_thread::sleep_for(kLook);
    report = api.get("/lab");
  }
  if (!state_is(report, "running")) {
    throw Failure(kRefused, "the notebook server ended: " + std::string(report.at("detail").as_string()) +
                                "\n(`lathe lab log` shows what it wrote)");
  }
  const std::string url = api.server() + std::string(report.at("url").as_string());
  std::printf("%s\n", url.c_str());
  std::fflush(stdout);
  if (!wanted.no_browser) open_browser(url);
}

void show(const Common& common) {
  Api api(common);
  const json::value report = api.get("/lab");
  std::printf("%s", report.at("state").as_string().c_str());
  if (state_is(report, "running")) {
    std::printf("  %s%s\n  root %s\n  kernels %lld (%lld busy), terminals %lld\n", api.server().c_str(),
                report.at("url").as_string().c_str(), report.at("root").as_string().c_str(),
                static_cast<long long>(report.at("kernels").as_int64()),
                static_cast<long long>(report.at("busy").as_int64()),
                static_cast<long long>(report.at("terminals").as_int64()));
  } else {
    const auto& detail = report.at("detail").as_string();
    std::printf("%s%s\n", detail.empty() ? "" : "  ", detail.c_str());
  }
}

void stop(const Common& common) {
  Api api(common);
  net::ClientRequest request;
  request.method = "DELETE";
  api.call(std::move(request), "/lab");
  while (!state_is(api.get("/lab"), "stopped") && !state_is(api.get("/lab"), "failed"))
    std::this_thread::sleep_for(kLook);
  std::printf("stopped\n");
}

}  // namespace

void add_lab_commands(CLI::App& app, Common& common) {
  auto* lab = app.add_subcommand("lab", "Start your JupyterLab behind the server, print its address, open a browser");
  auto wanted = std::make_shared<Wanted>();
  lab->add_option("--root", wanted->root, "folder that it shows [here]");
  lab->add_option("--python", wanted->python,
                  "a Python that has jupyterlab, or a jupyter-lab [the active environment, .venv, the PATH]");
  lab->add_option("--memory", wanted->memory_mib, "memory limit in MiB; past it it is ended [none]");
  lab->add_option("--idle", wanted->idle_minutes,
                  "minutes without work until it is stopped; a busy kernel is work [180]");
  lab->add_flag("--no-browser", wanted->no_browser, "only print the address");
  lab->add_subcommand("status", "Show whether it runs, and what is at work in it")->callback([&common] {
    show(common);
  });
  lab->add_subcommand("log", "Print the end of what it wrote")->callback([&common] {
    Api api(common);
    std::fputs(api.call({}, "/lab/log").body.c_str(), stdout);
  });
  lab->add_subcommand("stop", "Stop it, and all that runs in it")->callback([&common] { stop(common); });
  lab->require_subcommand(0, 1);
  lab->callback([lab, wanted, &common] {
    if (lab->get_subcommands().empty()) start(common, *wanted);
  });
}

}  // namespace cli
