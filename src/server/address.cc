// How this server is reached: by people, by the command line and by what runs for it on this machine.
#include "server/house.h"

namespace server {
namespace {

// The listener at which what runs here finds all that it needs.
const Listener& home_of(const House& house) {
  return *house.net->serving({net::Protocol::kLathe, net::Protocol::kMlflow, net::Protocol::kMlflowText});
}

std::string host_for_clients(const House& house) {
  std::string host = home_of(house).address;
  if (host == "0.0.0.0") host = "127.0.0.1";
  if (host == "::") host = "::1";
  if (!home_of(house).tls || house.tls->covers(host)) return host;
  // The certificate decides: a client compares it with the name that it was told.
  if (house.tls->covers("localhost")) return "localhost";
  const std::string named = house.tls->first_name();
  return named.empty() ? host : named;
}

}  // namespace

std::string local_url(const House& house) {
  if (!house.config.url.empty()) return house.config.url;
  const std::string host = host_for_clients(house);
  const Listener& home = home_of(house);
  return (home.tls ? "https://" : "http://") + (host.contains(':') ? "[" + host + "]" : host) + ":" +
         std::to_string(home.port);
}

base::Result<void> keep_authority(const House& house) {
  const base::Path file = house.config.dir / "ca.pem";
  if (house.tls && house.tls->is_self_made()) return base::write_file_durably(file, house.tls->authority_pem());
  std::error_code ignored;
  std::filesystem::remove(file, ignored);
  return {};
}

std::map<std::string, std::string> client_environment(const House& house) {
  if (!house.tls || !house.tls->is_self_made()) return {};
  const std::string file = (std::filesystem::absolute(house.config.dir) / "ca.pem").string();
  return {{"LATHE_CA_CERT", file}, {"MLFLOW_TRACKING_SERVER_CERT_PATH", file}};
}

}  // namespace server
