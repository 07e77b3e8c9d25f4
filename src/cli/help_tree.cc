#include "cli/help_tree.h"

#include <CLI/CLI.hpp>
#include <iterator>

namespace cli {
namespace {

// "TEXT:{bash,fish,zsh}" → the words between the braces.
std::vector<std::string> choices_of(const std::string& type) {
  const size_t open = type.find('{');
  if (open == std::string::npos || type.back() != '}') return {};
  return CLI::detail::split(type.substr(open + 1, type.size() - open - 2), ',');
}

HelpOption describe(const CLI::Option& option) {
  HelpOption out;
  out.help = option.get_description();
  out.required = option.get_required();
  out.positional = option.get_positional();
  if (out.positional) {
    out.names = {option.get_name(true)};
  } else {
    for (const std::string& name : option.get_lnames()) out.names.push_back("--" + name);
    for (const std::string& name : option.get_snames()) out.names.push_back("-" + name);
  }
  if (option.get_type_size() != 0) {
    const std::string type = option.get_type_name();
    out.choices = choices_of(type);
    out.value = type.substr(0, type.find(':'));
    if (out.value.empty()) out.value = "TEXT";
  }
  return out;
}

void describe(const CLI::App& app, HelpCommand& out) {
  out.help = app.get_description();
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) out.options.push_back(describe(*option));  // others are hidden from --help, too
  }
  for (const CLI::App* command : app.get_subcommands({})) {
    HelpCommand below;
    below.path = out.path;
    below.path.push_back(command->get_name());
    describe(*command, below);
    out.commands.push_back(std::move(below));
  }
}

}  // namespace

std::string HelpCommand::joined(char separator) const {
  std::string out;
  for (const std::string& word : path) out.append(out.empty() ? 0 : 1, separator).append(word);
  return out;
}

std::vector<const HelpCommand*> HelpCommand::all() const {
  std::vector<const HelpCommand*> out{this};
  for (const HelpCommand& command : commands) std::ranges::copy(command.all(), std::back_inserter(out));
  return out;
}

HelpCommand help_tree(const CLI::App& app) {
  HelpCommand out;
  describe(app, out);
  return out;
}

}  // namespace cli
