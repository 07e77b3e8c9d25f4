// What every command shares. A command that fails throws Failure; main prints it and exits with its code.
//   0 done · 1 the server (or the work) said no · 2 wrong usage · 3 no server reached
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace CLI {
class App;
}

namespace cli {

inline constexpr int kRefused = 1;
inline constexpr int kUsage = 2;
inline constexpr int kUnreachable = 3;

class Failure : public std::runtime_error {
 public:
  Failure(int exit_code, const std::string& message) : std::runtime_error(message), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

// The value, or a Failure with the error's words, after `where` if that is given.
template <class T>
T need(base::Result<T> result, std::string_view where = {}) {
  if (!result) throw Failure(kRefused, (where.empty() ? "" : std::string(where) + ": ") + result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

struct Common {         // lives as long as the app
  std::string server;   // --server
  std::string ca_cert;  // --ca-cert
  std::string project;  // --project, else LATHE_PROJECT; "": the server's default
  int exit_code = 0;    // of a command that ended without Failure
};

// Each domain's file adds its own; callbacks may keep a reference to `common`.
void add_server_commands(CLI::App& app, Common& common);
void add_status_command(CLI::App& app, Common& common);
void add_apply_commands(CLI::App& app, Common& common);
void add_loop_commands(CLI::App& app, Common& common);
void add_step_evaluate_command(CLI::App& app, Common& common);
void add_step_gate_commands(CLI::App& app, Common& common);
void add_access_commands(CLI::App& app, Common& common);
void add_store_commands(CLI::App& app, Common& common);
void add_import_commands(CLI::App& app, Common& common);
void add_export_commands(CLI::App& app, Common& common);
void add_serve_commands(CLI::App& app, Common& common);
void add_serve_models_command(CLI::App& app, Common& common);
void add_traffic_commands(CLI::App& app, Common& common);
void add_score_command(CLI::App& app, Common& common);
void add_watch_commands(CLI::App& app, Common& common);
void add_alert_commands(CLI::App& app, Common& common);
void add_data_commands(CLI::App& app, Common& common);
void add_flow_commands(CLI::App& app, Common& common);
void add_lab_commands(CLI::App& app, Common& common);
void add_step_prepare(CLI::App& app, Common& common);
void add_help_commands(CLI::App& app);  // last: completion and the man page describe all the others

}  // namespace cli
