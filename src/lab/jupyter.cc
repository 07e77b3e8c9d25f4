#include "lab/jupyter.h"

#include <unistd.h>

#include <cstdio>
#include <ctime>

#include "base/json.h"

namespace lab {
namespace {

// "2026-01-31T12:00:00.123456Z", in UTC; 0 if it is not one.
int64_t parse_time(std::string_view text) {
  tm parts{};
  double seconds = 0;
  const std::string whole(text);
  if (std::sscanf(whole.c_str(), "%d-%d-%dT%d:%d:%lf", &parts.tm_year, &parts.tm_mon, &parts.tm_mday, &parts.tm_hour,
                  &parts.tm_min, &seconds) != 6) {
    return 0;
  }
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return static_cast<int64_t>(timegm(&parts)) * 1'000'000 + static_cast<int64_t>(seconds * 1e6);
}

std::string_view text_at(const boost::json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string_view(value->get_string()) : std::string_view();
}

template <class Each>
base::Result<int> for_each_object(std::string_view body, std::string_view what, Each each) {
  TRY_SET(const auto parsed, base::parse_json(body));
  if (!parsed.is_array()) return base::invalid("the notebook server's " + std::string(what) + " are no list");
  for (const auto& entry : parsed.get_array()) {
    if (entry.is_object()) each(entry.get_object());
  }
  return static_cast<int>(parsed.get_array().size());
}

constexpr bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.' || c == '~' || c == '@';
}

}  // namespace

base::Result<Work> read_work(std::string_view kernels, std::string_view terminals) {
  Work work;
  const auto active = [&work](const boost::json::object& entry) {
    work.active_us = std::max(work.active_us, parse_time(text_at(entry, "last_activity")));
  };
  TRY_SET(work.kernels, for_each_object(kernels, "kernels", [&](const boost::json::object& kernel) {
            active(kernel);
            if (text_at(kernel, "execution_state") == "busy") ++work.busy;
          }));
  TRY_SET(work.terminals, for_each_object(terminals, "terminals", active));
  return work;
}

std::string base_path(std::string_view owner) {
  std::string path = "/user/";
  for (const char c : owner) {
    if (is_plain(c)) {
      path += c;
    } else {
      char escape[4];
      std::snprintf(escape, sizeof escape, "%%%02X", static_cast<unsigned char>(c));
      path += escape;
    }
  }
  return path;
}

std::vector<std::string> jupyter_arguments(std::string_view owner, const std::string& socket, const std::string& root) {
  std::vector<std::string> arguments = {
      "--no-browser",
      "--ServerApp.sock=" + socket,
      "--ServerApp.sock_mode=0600",
      "--ServerApp.base_url=" + base_path(owner) + "/",
      "--ServerApp.root_dir=" + root,
      "--ServerApp.trust_xheaders=True",
      "--ServerApp.allow_remote_access=True",  // who may come is decided before the proxy, by name and origin
  };
  if (geteuid() == 0) arguments.emplace_back("--allow-root");  // it runs as we do, whoever we are
  return arguments;
}

}  // namespace lab
