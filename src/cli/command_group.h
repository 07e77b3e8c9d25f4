// Commands with a common first word ("lathe data …", "lathe step …"), shared by several files.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace cli {

inline CLI::App& command_group(CLI::App& app, const std::string& name, const std::string& help) {
  for (CLI::App* command : app.get_subcommands([&](CLI::App* c) { return c->get_name() == name; })) return *command;
  CLI::App* group = app.add_subcommand(name, help);
  group->require_subcommand(1);
  group->fallthrough();
  return *group;
}

}  // namespace cli
