#include "cli/serve_plane.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdlib>

#include "base/fs.h"
#include "net/address.h"

namespace cli {
namespace {

constexpr size_t kMaxToken = 512;  // bytes

[[noreturn]] void usage(const std::string& message) { throw Failure(kUsage, message); }

std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

uint64_t whole(const std::string& flag, const std::string& text, uint64_t least, uint64_t most) {
  char* end = nullptr;
  errno = 0;
  const unsigned long long number = std::strtoull(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || errno != 0 || text[0] == '-' || number < least || number > most)
    usage(flag + " is '" + text + "'; allowed: a whole number from " + std::to_string(least) + " to " +
          std::to_string(most));
  return number;
}

// A secret in a file or a variable; one on the command line is seen by every user of the machine.
std::string token_of(const PlaneFlags& flags) {
  std::string token = flags.token;
  const std::string file = !flags.token_file.empty() ? flags.token_file : env("LATHE_TOKEN_FILE");
  if (token.empty() && !file.empty()) {
    auto text = base::read_file(file, kMaxToken);
    if (!text) usage("--token-file: " + text.error().message);
    token = *text;
  }
  if (token.empty()) token = env("LATHE_TOKEN");
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' ')) token.pop_back();
  if (token.find_first_of(" \t\r\n") != token.npos || token.size() > kMaxToken)
    usage("the token is none: it has spaces");
  return token;
}

std::string host_of(std::string_view url) {
  const size_t from = url.find("://") + 3;
  std::string_view rest = url.substr(from);
  if (rest.starts_with('[')) return std::string(rest.substr(1, rest.find(']') - 1));
  return std::string(rest.substr(0, rest.find(':')));
}

bool is_here(const std::string& host) {
  return host == "localhost" || (net::AddressRange::parse(host) && net::is_loopback(host));
}

std::string control_of(const std::string& given, bool has_token) {
  std::string url = given;
  while (url.ends_with('/')) url.pop_back();
  const size_t scheme = url.starts_with("https://") ? 8 : url.starts_with("http://") ? 7 : 0;
  if (scheme == 0 || url.size() == scheme || url.find_first_of("/?#@ \t", scheme) != url.npos)
    usage("--control is '" + given + "'; allowed: https://HOST[:PORT], or http:// on this machine");
  const bool here = is_here(host_of(url));
  if (scheme == 7 && !here)
    usage("--control is '" + given + "': tokens travel over https:// only, but on this machine");
  if (!has_token && !here)
    usage("a data plane needs a token with the role plane: LATHE_TOKEN, LATHE_TOKEN_FILE or --token-file FILE");
  return url;
}

}  // namespace

void add_plane_flags(CLI::App& serve, PlaneFlags& flags) {
  const auto add = [&](const char* name, std::string& to, const char* help) {
    return serve.add_option(name, to, help)->group("A data plane of a control plane elsewhere");
  };
  add("--control", flags.control, "https://HOST:PORT of a `lathe up`: its endpoints are served; LATHE_CONTROL")
      ->envname("LATHE_CONTROL");
  add("--token", flags.token, "of a service with the role plane; other users of this machine can see it: better is");
  add("--token-file", flags.token_file, "file that holds the token; LATHE_TOKEN_FILE, or the token in LATHE_TOKEN");
  add("--dir", flags.dir, "folder of this plane: what it serves, models, requests on their way [.lathe-plane]");
  add("--name", flags.name, "what people call this plane [the machine's name]");
  add("--client-cert", flags.client_cert, "PEM file: certificate that the control plane wants to see (mutual TLS)");
  add("--client-key", flags.client_key, "PEM file: its private key");
  add("--model-cache-mib", flags.cache, "MiB of models' files that are kept [10240]");
  add("--spool-mib", flags.spool, "MiB of captured requests that are kept while they cannot be sent [1024]");
  add("--token-grace-s", flags.grace, "seconds that callers' tokens hold while the control plane is away [3600]");
  add("--require-login", flags.require_login,
      "1: also this machine's own user needs a token; 0: as the control plane says [0 beside the control plane, else "
      "1]");
}

void understand(const PlaneFlags& flags, const Common& common, server::PlaneOptions& out) {
  constexpr uint64_t kMostMib = uint64_t{1} << 30;
  auto& control = out.control;
  control.token = token_of(flags);
  control.url = control_of(flags.control, !control.token.empty());
  control.project = common.project;
  control.ca_file = common.ca_cert.empty() ? env("LATHE_CA_CERT") : common.ca_cert;
  control.certificate = {flags.client_cert, flags.client_key};
  if (flags.client_cert.empty() != flags.client_key.empty()) usage("give both --client-cert and --client-key");
  for (const base::Path& file : {control.ca_file, control.certificate.certificate, control.certificate.key}) {
    if (!file.empty() && access(file.c_str(), R_OK) != 0) usage("the file " + file.string() + " cannot be read");
  }
  out.dir = flags.dir.empty() ? ".lathe-plane" : flags.dir;
  out.name = flags.name;
  if (out.name.empty()) {
    char machine[256] = "";
    gethostname(machine, sizeof machine - 1);
    out.name = machine;
  }
  if (out.name.size() > 100) usage("--name has more than 100 bytes");
  if (!flags.cache.empty())
    out.cache_bytes = static_cast<int64_t>(whole("--model-cache-mib", flags.cache, 1, kMostMib) << 20);
  if (!flags.spool.empty()) out.spool_bytes = whole("--spool-mib", flags.spool, 1, kMostMib) << 20;
  if (!flags.grace.empty())
    out.grace_us = static_cast<int64_t>(whole("--token-grace-s", flags.grace, 0, 31'536'000)) * 1'000'000;
  if (!flags.require_login.empty() && flags.require_login != "0" && flags.require_login != "1")
    usage("--require-login is '" + flags.require_login + "'; allowed: 0, 1");
  // A balancer on the plane's machine may run as the plane's own user, and then all who come through it would be he.
  out.require_login = flags.require_login.empty() ? !is_here(host_of(control.url)) : flags.require_login == "1";
  for (const auto& l : out.listeners) {
    if (net::is_loopback(l.address) || l.tls) continue;
    usage("other machines reach " + l.text + ", and callers send tokens; that wants TLS: --tls-cert and --tls-key");
  }
}

}  // namespace cli
