#include "cli/command_group.h"

#include <CLI/CLI.hpp>

namespace cli {

CLI::App& command_group(CLI::App& app, const std::string& name, const std::string& help) {
  for (CLI::App* command : app.get_subcommands([&](CLI::App* c) { return c->get_name() == name; })) return *command;
  CLI::App* group = app.add_subcommand(name, help);
  group->require_subcommand(1);
  group->fallthrough();
  return *group;
}

}  // namespace cli
