#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "cli/help_tree.h"

namespace cli {

void add_help_commands(CLI::App& app) {
  auto* completion = app.add_subcommand("completion", "Print the completion script of a shell");
  completion->footer(
      "bash: lathe completion bash >~/.local/share/bash-completion/completions/lathe\n"
      "zsh:  lathe completion zsh >~/.zfunc/_lathe   (a folder of $fpath)\n"
      "fish: lathe completion fish >~/.config/fish/completions/lathe.fish");
  auto shell = std::make_shared<std::string>();
  completion->add_option("shell", *shell, "Which shell")
      ->required()
      ->check(CLI::IsMember(std::vector<std::string>{"bash", "zsh", "fish"}));
  completion->callback([shell, &app] {
    const Shell which = *shell == "bash" ? Shell::kBash : *shell == "zsh" ? Shell::kZsh : Shell::kFish;
    std::fputs(completion_script(help_tree(app), which).c_str(), stdout);
  });
  app.add_subcommand("man", "Print the manual page (lathe man | man -l -)")->callback([&app] {
    std::fputs(man_page(help_tree(app)).c_str(), stdout);
  });
}

}  // namespace cli
