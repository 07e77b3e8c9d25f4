// lathe: one binary for the server, its command line and the child processes that it starts of itself.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "cli/command.h"

int main(int argc, char** argv) {
  CLI::App app{"The machine-learning lifecycle in one server", "lathe"};
  cli::Common common;
  app.require_subcommand(1);
  app.add_option("--server", common.server,
                 "Address of the server; else LATHE_SERVER, else the nearest .lathe/address upward");
  app.add_option("--ca-cert", common.ca_cert,
                 "PEM file: whom to trust when the server's address is https; else LATHE_CA_CERT, else the system");
  app.add_option("--project", common.project, "Project that the command is about [default]; LATHE_PROJECT")
      ->envname("LATHE_PROJECT");
  app.fallthrough();
  cli::add_server_commands(app, common);
  cli::add_status_command(app, common);
  cli::add_apply_commands(app, common);
  cli::add_loop_commands(app, common);
  cli::add_step_evaluate_command(app, common);
  cli::add_step_gate_commands(app, common);
  cli::add_access_commands(app, common);
  cli::add_store_commands(app, common);
  cli::add_import_commands(app, common);
  cli::add_export_commands(app, common);
  cli::add_serve_models_command(app, common);
  cli::add_serve_commands(app, common);
  cli::add_traffic_commands(app, common);
  cli::add_score_command(app, common);
  cli::add_watch_commands(app, common);
  cli::add_alert_commands(app, common);
  cli::add_data_commands(app, common);
  cli::add_flow_commands(app, common);
  cli::add_lab_commands(app, common);
  cli::add_step_prepare(app, common);
  cli::add_help_commands(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : cli::kUsage;
  } catch (const cli::Failure& failure) {
    std::fprintf(stderr, "lathe: %s\n", failure.what());
    return failure.exit_code();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "lathe: %s\n", error.what());
    return cli::kRefused;
  }
  return common.exit_code;
}
