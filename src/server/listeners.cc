#include "server/listeners.h"

#include <algorithm>
#include <charconv>
#include <thread>

#include "net/address.h"

namespace server {
namespace {

constexpr std::string_view kForm =
    "ADDRESS:PORT such as 127.0.0.1:8000 or [::1]:0 (port 0: any free one), and =GROUP to serve some protocols only";

// The house's gate, asked under the policy of one listener.
class AccessOfListener final : public net::Access {
 public:
  AccessOfListener(net::Access& gate, net::AccessPolicy policy) : gate_(gate) { policy_ = std::move(policy); }
  net::Fingerprint fingerprint(const net::Presented& presented) const override { return gate_.fingerprint(presented); }
  bool is_current(const net::Grant& grant) const override { return gate_.is_current(grant); }
  base::Task<base::Result<std::shared_ptr<const net::Grant>>> admit(const net::Request& request,
                                                                    const net::Presented& presented) override {
    return gate_.admit(request, presented);
  }

 private:
  net::Access& gate_;
};

net::AccessPolicy policy_of(const Listener& listener, net::AccessPolicy policy) {
  policy.loopback_only = net::is_loopback(listener.address);
  policy.encrypted = policy.encrypted || listener.tls;
  return policy;
}

}  // namespace

base::Result<Listener> parse_listener(std::string_view text, bool tls) {
  Listener out{.text = std::string(text), .tls = tls};
  const auto bad = [&] { return base::invalid("'" + out.text + "'; allowed: " + std::string(kForm)); };
  if (text.starts_with("https://")) {
    if (!tls) return base::invalid("'" + out.text + "' wants TLS; give --tls-cert and --tls-key");
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    out.tls = false;
    text.remove_prefix(7);
  }
  if (const size_t equals = text.find('='); equals != text.npos) {
    auto group = net::parse_group(text.substr(equals + 1));
    if (!group) return std::unexpected(std::move(group).error().within("'" + out.text + "'"));
    out.protocols = *group;
    out.group = text.substr(equals + 1);
    text = text.substr(0, equals);
  }
  const size_t colon = text.rfind(':');
  if (colon == text.npos || colon == 0) return bad();
  std::string host(text.substr(0, colon));
  if (host.front() == '[') {
    if (host.back() != ']') return bad();
    host = host.substr(1, host.size() - 2);
  }
  const std::string_view digits = text.substr(colon + 1);
  const auto [stop, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
  if (ec != std::errc() || stop != digits.data() + digits.size()) return bad();
  out.address = host == "localhost" ? "127.0.0.1" : host;
  if (out.address.contains('/') || !net::AddressRange::parse(out.address)) return bad();
  return out;
}

std::string shown(const Listener& listener) {
  const std::string host = listener.address.contains(':') ? "[" + listener.address + "]" : listener.address;
  return (listener.tls ? "https://" : "http://") + host + ":" + std::to_string(listener.port) +
         (listener.group.empty() ? "" : "=" + listener.group);
}

base::Result<std::unique_ptr<Listeners>> Listeners::open(std::vector<Listener> wanted, const net::ServerOptions& common,
                                                         const base::Clock& clock, base::Registry& metrics) {
  auto out = std::make_unique<Listeners>();
  for (Listener& listener : wanted) {
    net::ServerOptions options = common;
    options.address = listener.address;
    options.port = listener.port;
    if (!listener.tls) options.tls = nullptr;
    if (wanted.size() > 1) options.label = listener.text;
    Part part;
    TRY_SET(part.server, net::Server::listen(options, clock, metrics));
    listener.port = part.server->port();
    out->parts_.push_back(std::move(part));
  }
  out->listeners_ = std::move(wanted);
  return out;
}

void Listeners::start(const net::RouteTable& routes, const net::ErrorWriters& errors, net::Access& access,
                      const net::AccessPolicy& policy) {
  for (size_t i = 0; i < parts_.size(); ++i) {
    Part& part = parts_[i];
    part.routes = std::make_unique<net::RouteTable>(routes.only(listeners_[i].protocols));
    part.access = std::make_unique<AccessOfListener>(access, policy_of(listeners_[i], policy));
    part.server->start(*part.routes, errors, *part.access);
  }
}

bool Listeners::drain(int64_t patience_us) {
  std::vector<char> quiet(parts_.size(), 0);
  {
    std::vector<std::jthread> waiting;
    for (size_t i = 0; i < parts_.size(); ++i) {
      waiting.emplace_back([this, &quiet, i, patience_us] { quiet[i] = parts_[i].server->drain(patience_us); });
    }
  }
  return std::ranges::all_of(quiet, [](char q) { return q != 0; });
}

size_t Listeners::connections() const {
  size_t all = 0;
  for (const Part& part : parts_) all += part.server->connections();
  return all;
}

const Listener* Listeners::serving(net::ProtocolSet protocols) const {
  const auto found =
      std::ranges::find_if(listeners_, [&](const Listener& l) { return l.protocols.contains(protocols); });
  return found == listeners_.end() ? nullptr : &*found;
}

net::AccessPolicy loosest(const std::vector<Listener>& listeners, net::AccessPolicy policy) {
  for (const Listener& listener : listeners) {
    const net::AccessPolicy own = policy_of(listener, policy);
    policy.loopback_only = policy.loopback_only && own.loopback_only;
    policy.encrypted = policy.encrypted || own.encrypted;
  }
  return policy;
}

}  // namespace server
