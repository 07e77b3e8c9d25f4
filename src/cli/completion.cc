// Completion scripts: plain shell, made once, nothing is started at a Tab. Each walks the words before the cursor to
// the command they name, then offers its commands, its options, the few words an option takes, or files.
#include <algorithm>

#include "cli/help_tree.h"

namespace cli {
namespace {

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
  return text;
}

std::string in_quotes(const std::string& text) { return "'" + replaced(text, "'", "'\\''") + "'"; }

void join(std::string& out, const std::vector<std::string>& words, std::string_view between) {
  for (size_t i = 0; i < words.size(); ++i) out.append(i == 0 ? "" : between).append(words[i]);
}

// Options of a command, and those of lathe itself, which are understood everywhere.
std::vector<const HelpOption*> options_at(const HelpCommand& tree, const HelpCommand& command) {
  std::vector<const HelpOption*> out;
  for (const HelpOption& option : command.options) {
    if (!option.positional) out.push_back(&option);
  }
  if (&command == &tree) return out;
  for (const HelpOption& option : tree.options) {
    const bool known =
        option.positional || std::ranges::any_of(out, [&](const auto* o) { return o->names == option.names; });
    if (!known) out.push_back(&option);
  }
  return out;
}

const HelpOption* positional_choice(const HelpCommand& command) {
  for (const HelpOption& option : command.options) {
    if (option.positional && !option.choices.empty()) return &option;
  }
  return nullptr;
}

// case "$at $word" in ' up'|' data'|' data show') …
std::string known_paths(const HelpCommand& tree) {
  std::string out;
  for (const HelpCommand* command : tree.all()) {
    if (!command->path.empty()) out.append(out.empty() ? "" : "|").append(in_quotes(" " + command->joined(' ')));
  }
  return out;
}

std::string at(const HelpCommand& command) {
  return command.path.empty() ? "''" : in_quotes(" " + command.joined(' '));
}

std::string bash(const HelpCommand& tree) {
  std::string out = R"(# lathe(1): completion for bash
_lathe() {
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} at='' words='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at ${COMP_WORDS[i]}" in
      )" + known_paths(tree) +
                    R"() at="$at ${COMP_WORDS[i]}" ;;
    esac
  done
  case "$at $before" in
)";
  for (const HelpCommand* command : tree.all()) {
    for (const HelpOption* option : options_at(tree, *command)) {
      if (option->choices.empty()) continue;
      for (const std::string& name : option->names) {
        out += "    " + in_quotes((command->path.empty() ? "" : " " + command->joined(' ')) + " " + name) + ") words='";
        join(out, option->choices, " ");
        out += "' ;;\n";
      }
    }
  }
  out += "  esac\n  [ -n \"$words\" ] || case \"$at\" in\n";
  for (const HelpCommand* command : tree.all()) {
    out += "    " + at(*command) + ") words='";
    std::vector<std::string> words;
    for (const HelpCommand& below : command->commands) words.push_back(below.path.back());
    if (const HelpOption* choice = positional_choice(*command))
      words.insert(words.end(), choice->choices.begin(), choice->choices.end());
    for (const HelpOption* option : options_at(tree, *command))
      words.insert(words.end(), option->names.begin(), option->names.end());
    join(out, words, " ");
    out += "' ;;\n";
  }
  return out + R"(  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _lathe lathe
)";
}

// In _describe's lists a colon separates.
std::string described(const std::string& word, const std::string& help) {
  return in_quotes(replaced(word, ":", "\\:") + ":" + replaced(help, ":", "\\:"));
}

std::string zsh(const HelpCommand& tree) {
  std::string out = R"(#compdef lathe
# lathe(1): completion for zsh
_lathe() {
  local at='' i
  local -a commands options choices
  for ((i = 2; i < CURRENT; i++)); do
    case "$at $words[i]" in
      )" + known_paths(tree) +
                    R"() at="$at $words[i]" ;;
    esac
  done
  case "$at $words[CURRENT-1]" in
)";
  for (const HelpCommand* command : tree.all()) {
    for (const HelpOption* option : options_at(tree, *command)) {
      if (option->choices.empty()) continue;
      for (const std::string& name : option->names) {
        out +=
            "    " + in_quotes((command->path.empty() ? "" : " " + command->joined(' ')) + " " + name) + ") choices=(";
        join(out, option->choices, " ");
        out += ") ;;\n";
      }
    }
  }
  out += "  esac\n  case \"$at\" in\n";
  for (const HelpCommand* command : tree.all()) {
    out += "    " + at(*command) + ")\n      commands=(";
    for (const HelpCommand& below : command->commands) out += "\n        " + described(below.path.back(), below.help);
    if (const HelpOption* choice = positional_choice(*command)) {
      for (const std::string& word : choice->choices) out += "\n        " + described(word, choice->help);
    }
    out += ")\n      options=(";
    for (const HelpOption* option : options_at(tree, *command)) {
      for (const std::string& name : option->names) out += "\n        " + described(name, option->help);
    }
    out += ") ;;\n";
  }
  return out + R"(  esac
  if (( $#choices )); then
    compadd -a choices
  elif [[ $words[CURRENT] == -* ]]; then
    _describe -o option options
  elif (( $#commands )); then
    _describe command commands
  else
    _files
  fi
}
if [ "$funcstack[1]" = _lathe ]; then _lathe "$@"; else compdef _lathe lathe; fi
)";
}

std::string fish(const HelpCommand& tree) {
  std::string out = R"(# lathe(1): completion for fish
function __lathe_at
    set -l at ''
    for word in (commandline -opc)[2..-1]
        switch "$at $word"
            case )" +
                    replaced(known_paths(tree), "|", " ") +
                    R"(
                set at "$at $word"
        end
    end
    test "$at" = "$argv[1]"
end
complete -c lathe -f
)";
  for (const HelpCommand* command : tree.all()) {
    const std::string here = "complete -c lathe -n \"__lathe_at " + at(*command) + "\"";
    for (const HelpCommand& below : command->commands)
      out += here + " -a " + below.path.back() + " -d " + in_quotes(below.help) + "\n";
    if (const HelpOption* choice = positional_choice(*command)) {
      out += here + " -a '";
      join(out, choice->choices, " ");
      out += "'\n";
    } else if (command->commands.empty()) {
      out += here + " -F\n";  // files
    }
    for (const HelpOption* option : options_at(tree, *command)) {
      out += here;
      for (const std::string& name : option->names)
        out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!option->value.empty()) out += " -r";
      if (!option->choices.empty()) {
        out += " -a '";
        join(out, option->choices, " ");
        out += "'";
      }
      out += " -d " + in_quotes(option->help) + "\n";
    }
  }
  return out;
}

}  // namespace

std::string completion_script(const HelpCommand& tree, Shell shell) {
  switch (shell) {
    case Shell::kBash: return bash(tree);
    case Shell::kZsh: return zsh(tree);
    case Shell::kFish: break;
  }
  return fish(tree);
}

}  // namespace cli
