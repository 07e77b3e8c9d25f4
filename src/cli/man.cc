// The man page, from the command line's own help.
#include <algorithm>

#include "cli/help_tree.h"
#include "server/config.h"
#include "server/version.h"

namespace cli {
namespace {

// Text for man(7): backslashes, hyphens that a terminal must be able to search for, lines that would be macros.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) {
      out.append("\\&").push_back(c);
    } else {
      out.push_back(c);
    }
  }
  return out;
}

void entry(std::string& out, const std::string& head, std::string_view text) {
  out += ".TP\n" + head + "\n" + plain(text) + "\n";
}

std::string head_of(const HelpOption& option) {
  std::string out;
  for (const std::string& name : option.names) out += (out.empty() ? "\\fB" : ", \\fB") + plain(name) + "\\fR";
  if (option.positional) return out;
  if (!option.choices.empty()) {
    std::string words;
    for (const std::string& choice : option.choices) words += (words.empty() ? "" : "|") + choice;
    return out + " " + plain(words);
  }
  return option.value.empty() ? out : out + " \\fI" + plain(option.value) + "\\fR";
}

void options(std::string& out, const HelpCommand& command) {
  for (const HelpOption& option : command.options) entry(out, head_of(option), option.help.empty() ? " " : option.help);
}

std::string usage(const HelpCommand& command) {
  std::string out = "\\fBlathe " + plain(command.joined(' ')) + "\\fR";
  if (std::ranges::any_of(command.options, [](const HelpOption& o) { return !o.positional; }))
    out += " [\\fIoptions\\fR]";
  for (const HelpOption& option : command.options) {
    if (!option.positional) continue;
    const std::string name = "\\fI" + plain(option.names.front()) + "\\fR";
    out += option.required ? " " + name : " [" + name + "]";
  }
  return out;
}

constexpr std::string_view kTail = R"(.SH EXIT STATUS
.TP
0
Done.
.TP
1
The server, or the work itself, said no.
.TP
2
Wrong usage.
.TP
3
No server was reached.
.SH FILES
.TP
.I .lathe/
All state of a server: its database, blobs, captured traffic and workspaces. \fB\-\-dir\fR names another folder.
.TP
.I .lathe/address
Where the server of this folder listens. Commands look for it from the current folder upward.
.TP
.I .lathe/config.yaml
Settings, one "key: value" a line, by their names in \fBlathe config\fR.
.TP
.I lathe.yaml
What \fBlathe apply\fR puts into force.
)";

}  // namespace

std::string man_page(const HelpCommand& tree) {
  std::string out = ".TH LATHE 1 \"\" \"lathe " + plain(server::kVersion) + "\" \"User Commands\"\n";
  out += ".SH NAME\nlathe \\- " + plain(tree.help) + "\n";
  out += ".SH SYNOPSIS\n\\fBlathe\\fR [\\fIoptions\\fR] \\fIcommand\\fR …\n";
  out +=
      ".SH DESCRIPTION\nOne server for the whole life of a model: data preparation, training pipelines, experiments, "
      "evaluation, promotion, serving, monitoring and retraining, over one transactional store and one lathe.yaml. "
      "\\fBlathe up\\fR serves; the other commands talk to a server.\n";
  out += ".SH OPTIONS\n";
  options(out, tree);
  out += ".SH COMMANDS\n";
  for (const HelpCommand* command : tree.all()) {
    if (command->path.empty() || !command->commands.empty()) continue;
    out += ".SS " + usage(*command) + "\n" + plain(command->help) + ".\n";
    options(out, *command);
  }
  out += ".SH ENVIRONMENT\n";
  entry(out, "\\fBLATHE_SERVER\\fR", "Address of the server that commands talk to.");
  entry(out, "\\fBLATHE_TOKEN\\fR", "Token that commands show to it.");
  entry(out, "\\fBLATHE_ONNXRUNTIME\\fR",
        "ONNX Runtime's library, if it is none of those that are found by themselves.");
  entry(out, "\\fBLATHE_DUCKDB\\fR", "DuckDB's library, or the folder that holds it.");
  for (const auto& setting : server::setting_specs()) {
    std::string head = "\\fB" + setting.variable() + "\\fR";
    if (!setting.also.empty()) head.append(", \\fB").append(setting.also).append("\\fR");
    entry(out, head, std::string(setting.help) + ".");
  }
  return out.append(kTail);
}

}  // namespace cli
