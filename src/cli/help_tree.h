// What the command line offers, read out of the parser itself: the source of shell completion and of the man page, so
// that neither can forget a command. Thread: values.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace cli {

struct HelpOption {
  std::vector<std::string> names;    // "--dir", "-f"; a positional has its one name
  std::string value;                 // "TEXT"; "" for a flag
  std::vector<std::string> choices;  // if the value is one of a few words
  std::string help;
  bool positional = false;
  bool required = false;
};

struct HelpCommand {
  std::vector<std::string> path;  // {"data", "show"}; empty for lathe itself
  std::string help;
  std::vector<HelpOption> options;
  std::vector<HelpCommand> commands;

  std::string joined(char separator) const;     // "data show"
  std::vector<const HelpCommand*> all() const;  // this and everything below it, in order
};

HelpCommand help_tree(const CLI::App& app);

enum class Shell : unsigned char { kBash, kZsh, kFish };
std::string completion_script(const HelpCommand& tree, Shell shell);  // completion.cc
std::string man_page(const HelpCommand& tree);                        // man.cc: man(7) macros

}  // namespace cli
