#include "cli/credentials.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>

#include "base/fs.h"
#include "cli/command.h"

namespace cli {
namespace {

constexpr size_t kMaxFile = 1 << 20;

// Back to what it was, however we leave.
class NoEcho {
 public:
  NoEcho() {
    tcgetattr(STDIN_FILENO, &before_);
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
  }
  ~NoEcho() { tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_); }
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;

 private:
  termios before_{};
};

std::string next_line() {
  std::string line;
  if (!std::getline(std::cin, line)) throw Failure(kUsage, "stdin ended before a line came");
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

bool on_terminal() { return isatty(STDIN_FILENO) == 1; }

base::Path token_file() {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  if (config != nullptr && *config == '/') return base::Path(config) / "lathe" / "tokens";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0')
    throw Failure(kRefused, "neither HOME nor XDG_CONFIG_HOME says where to keep a token; use LATHE_TOKEN");
  return base::Path(home) / ".config" / "lathe" / "tokens";
}

// Lines "SERVER TOKEN".
std::map<std::string, std::string, std::less<>> read_tokens() {
  std::map<std::string, std::string, std::less<>> tokens;
  const auto text = base::read_file(token_file(), kMaxFile);
  if (!text) return tokens;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t space = line.find(' ');
    if (space != line.npos) tokens[std::string(line.substr(0, space))] = line.substr(space + 1);
  }
  return tokens;
}

void write_tokens(const std::map<std::string, std::string, std::less<>>& tokens) {
  const base::Path file = token_file();
  std::string text;
  for (const auto& [server, token] : tokens) text.append(server).append(" ").append(token).append("\n");
  if (auto made = base::make_dirs(file.parent_path(), 0700); !made) throw Failure(kRefused, made.error().message);
  if (const auto written = base::write_file_durably(file, text, 0600); !written)
    throw Failure(kRefused, written.error().message);
}

}  // namespace

std::string read_line(std::string_view prompt) {
  if (on_terminal()) std::cerr << prompt << ": " << std::flush;
  return next_line();
}

std::string read_password(std::string_view prompt) {
  if (!on_terminal()) return next_line();
  std::cerr << prompt << ": " << std::flush;
  const NoEcho quiet;
  std::string line = next_line();
  std::cerr << "\n";
  return line;
}

std::string read_new_password(std::string_view prompt) {
  std::string password = read_password(prompt);
  if (on_terminal() && read_password("Once more") != password) throw Failure(kUsage, "the two are not the same");
  return password;
}

std::string save_token(std::string_view server, std::string_view token) {
  auto tokens = read_tokens();
  tokens[std::string(server)] = token;
  write_tokens(tokens);
  return token_file().string();
}

std::optional<std::string> saved_token(std::string_view server) {
  const auto tokens = read_tokens();
  const auto found = tokens.find(server);
  return found == tokens.end() ? std::nullopt : std::optional(found->second);
}

bool forget_token(std::string_view server) {
  auto tokens = read_tokens();
  if (tokens.erase(std::string(server)) == 0) return false;
  write_tokens(tokens);
  return true;
}

}  // namespace cli
