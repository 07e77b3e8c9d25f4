#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/clock.h"
#include "base/json.h"
#include "cli/api.h"
#include "cli/command.h"

namespace cli {
namespace {

using base::json::object;
using base::json::value;

std::string text(const object& from, std::string_view key) {
  const value* found = from.if_contains(key);
  if (found == nullptr || found->is_null()) return "";
  return found->is_string() ? std::string(found->as_string()) : base::to_text(*found);
}

int64_t number(const object& from, std::string_view key) {
  const value* found = from.if_contains(key);
  return found != nullptr && found->is_number() ? found->to_number<int64_t>() : 0;
}

std::string ago(int64_t at_us) {
  const int64_t s = std::max<int64_t>(0, (base::system_clock().wall_us() - at_us) / 1'000'000);
  if (s < 120) return std::to_string(s) + " s";
  if (s < 2 * 3600) return std::to_string(s / 60) + " min";
  if (s < 2 * 86'400) return std::to_string(s / 3600) + " h";
  return std::to_string(s / 86'400) + " days";
}

std::string gigabytes(int64_t bytes) {
  char out[32];
  std::snprintf(out, sizeof out, "%.1f GB", static_cast<double>(bytes) / 1e9);
  return out;
}

const base::json::array& list(const object& from, std::string_view key) {
  static const base::json::array kNone;
  const value* found = from.if_contains(key);
  return found != nullptr && found->is_array() ? found->as_array() : kNone;
}

void line(std::string_view what, const std::string& words) {
  std::printf("%-10.*s %s\n", static_cast<int>(what.size()), what.data(), words.c_str());
}

// One line for each, the first with the name of the list; a list without entries says so.
template <class Describe>
void lines(const object& status, std::string_view key, Describe describe) {
  std::string_view what = key;
  for (const value& item : list(status, key)) {
    line(what, describe(item.as_object()));
    what = "";
  }
  if (what == key) line(key, "none");
}

std::string describe_endpoint(const object& e) {
  std::string out = text(e, "name") + " (" + text(e, "environment") + "): ";
  if (number(e, "revision") == 0) return out + "nothing deployed yet";
  out += text(e, "model") + " version " + text(e, "version") + ", revision " + text(e, "revision");
  const std::string problem = text(e, "problem");
  return problem.empty() ? out : out + "; DOES NOT SERVE: " + problem;
}

std::string describe_plane(const object& plane) {
  std::string out = text(plane, "name") + " at " + text(plane, "address") + ": ";
  const value* connected = plane.if_contains("connected");
  const bool there = connected != nullptr && connected->is_bool() && connected->get_bool();
  out += there ? "in touch" : "AWAY, last seen " + ago(number(plane, "seen_us")) + " ago";
  std::string behind;
  for (const value& item : list(plane, "endpoints")) {
    const object& endpoint = item.as_object();
    const value* current = endpoint.if_contains("current");
    if (current != nullptr && current->is_bool() && current->get_bool()) continue;
    behind += "; " + text(endpoint, "name") + ": revision " + text(endpoint, "revision") + ", not " +
              text(endpoint, "wanted_revision");
    if (const std::string problem = text(endpoint, "problem"); !problem.empty()) behind += " (" + problem + ")";
  }
  return out + (behind.empty() ? ", up to date" : behind);
}

void print(const std::string& server, const object& status) {
  std::printf("lathe %s at %s\n", text(status, "version").c_str(), server.c_str());
  line("process", text(status, "pid") + ", up " + ago(number(status, "started_us")) + ", " +
                      text(status, "connections") + " connections");
  line("store", text(status, "store") + " (state in " + text(status, "dir") + ")");
  if (const value* disk = status.if_contains("disk"); disk != nullptr && disk->is_object()) {
    line("disk", gigabytes(number(disk->as_object(), "free_bytes")) + " free of " +
                     gigabytes(number(disk->as_object(), "total_bytes")));
  }
  lines(status, "endpoints", describe_endpoint);
  if (!list(status, "planes").empty()) lines(status, "planes", describe_plane);
  lines(status, "running", [](const object& run) {
    return text(run, "pipeline") + " #" + text(run, "number") + " " + text(run, "state") + " (" + text(run, "cause") +
           ", since " + ago(number(run, "created_us")) + "): " + text(run, "id");
  });
  lines(status, "alerts", [](const object& alert) {
    return text(alert, "kind") + " on " + text(alert, "endpoint") + " revision " + text(alert, "revision") +
           ", since " + ago(number(alert, "raised_us")) + ": " + text(alert, "id");
  });
}

}  // namespace

void add_status_command(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("status", "How the server is: disk, what serves, what runs, open alerts");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "The server's answer as JSON");
  command->callback([json, &common] {
    Api api(common);
    const value status = api.get("/status");
    if (*json) {
      std::printf("%s\n", base::to_text(status).c_str());
    } else {
      print(api.server(), status.as_object());
    }
  });
}

}  // namespace cli
