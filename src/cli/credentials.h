// What a person types and what is kept for him: passwords from the terminal (unseen) or from stdin, and the tokens of
// `lathe login`, one a server, in $XDG_CONFIG_HOME/lathe/tokens (mode 0600). Thread: one.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cli {

std::string read_line(std::string_view prompt);
std::string read_password(std::string_view prompt);      // without echo on a terminal, else one line of stdin
std::string read_new_password(std::string_view prompt);  // twice on a terminal

std::string save_token(std::string_view server, std::string_view token);  // the file
std::optional<std::string> saved_token(std::string_view server);
bool forget_token(std::string_view server);

}  // namespace cli
