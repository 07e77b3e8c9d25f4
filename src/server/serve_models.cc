#include "server/serve_models.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "api/inference/inference.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/limits.h"
#include "server/lifetime.h"
#include "server/probes.h"
#include "server/version.h"

namespace server {
namespace {

// Whoever reaches a listener may ask models: on loopback every process of this machine, beyond it whom the flag lets.
// What changes the models is for the server's own user, and for other machines only where the flag says so.
class ServeAccess final : public net::Access {
 public:
  explicit ServeAccess(NetworkAccess network) : network_(network) {
    using base::Permission;
    guest_ = grant_of("guest", {Permission::kInfer, Permission::kRead});
    owner_ = grant_of("local", {Permission::kInfer, Permission::kRead, Permission::kAdmin});
  }

  // Nothing that a request presents makes a difference; who is at the other end does, and a connection has one.
  net::Fingerprint fingerprint(const net::Presented&) const override { return {1, 1}; }
  bool is_current(const net::Grant&) const override { return true; }
  base::Task<base::Result<std::shared_ptr<const net::Grant>>> admit(const net::Request& request,
                                                                    const net::Presented&) override {
    const net::Peer& peer = request.peer;
    if (!peer.loopback && network_ == NetworkAccess::kNone)
      co_return base::fail(base::Code::kForbidden, "this server answers its own machine only (--network-access)");
    co_return peer.loopback ? (peer.same_user ? owner_ : guest_)
                            : (network_ == NetworkAccess::kControl ? owner_ : guest_);
  }

 private:
  static std::shared_ptr<const net::Grant> grant_of(std::string name, base::Permissions permissions) {
    auto grant = std::make_shared<net::Grant>();
    grant->actor = {base::ActorKind::kLocal, std::move(name), ""};
    grant->project_name = "default";
    grant->permissions = permissions;
    return grant;
  }
  const NetworkAccess network_;
  std::shared_ptr<const net::Grant> guest_, owner_;
};

// Vertex AI asks where its container was told to answer: readiness, and rows as KServe's {"instances": …} of the
// default model. A path that is served already stays what it is.
void add_named_routes(net::RouteTable& routes, const ServeOptions& options, const serve::Routes& models) {
  using net::Method;
  if (const std::string& path = options.health_route; !path.empty() && !routes.find(Method::kGet, path).route)
    routes.add({Method::kGet,
                path,
                net::Protocol::kKserveV1,
                base::Permission::kNone,
                {.body_bytes = 0},
                [&models](net::Request&, net::Response& response) -> base::Task<void> {
                  const bool ready = models.ready();
                  response.send(ready ? 200 : 503, "text/plain; charset=utf-8", ready ? "OK" : "not ready");
                  co_return;
                }});
  const std::string& path = options.predict_route;
  if (path.empty() || routes.find(Method::kPost, path).route) return;
  const auto& all = routes.routes();
  const auto predict = std::ranges::find(all, std::string_view("/v1/models/{model}:predict"), &net::Route::pattern);
  ASSERT_ALWAYS(predict != all.end());
  net::Route named = *predict;  // without a name it asks the default model
  named.pattern = path;
  routes.add(std::move(named));
}

void announce(const Listeners& listeners, size_t models) {
  std::string where;
  for (const Listener& l : listeners.all()) {
    const char* what = l.protocols.contains(net::Protocol::kInference) ? ""
                       : l.protocols.contains(net::Protocol::kGrpc)    ? "gRPC "
                                                                       : "metrics ";
    where += (where.empty() ? "" : ", ") + std::string(what) + shown(l);
  }
  std::printf("lathe %s serves %zu models at %s\n", std::string(kVersion).c_str(), models, where.c_str());
  std::fflush(stdout);
}

struct Shop {  // what runs, in the order in which it is built
  base::Registry metrics;
  std::unique_ptr<net::TlsIdentity> tls;
  std::unique_ptr<Listeners> net;
  std::unique_ptr<repository::Repository> models;
  std::unique_ptr<ServeAccess> access;
  net::RouteTable routes;
  net::ErrorWriters errors;
  ~Shop() { net.reset(); }  // before what its requests use
};

base::Result<void> open(Shop& shop, const ServeOptions& options) {
  net::ServerOptions common;
  common.threads = options.threads;
  if (!options.tls_cert.empty()) {
    TRY_SET(shop.tls, net::TlsIdentity::load({options.tls_cert, options.tls_key}));
    common.tls = shop.tls.get();
  }
  // Bound before the models are loaded: a port that is taken is said at once, and who connects waits.
  TRY_SET(shop.net, Listeners::open(options.listeners, common, base::system_clock(), shop.metrics));
  repository::Repository::Options repository = options.repository;
  TRY_SET(repository.self, base::executable_path());
  TRY_SET(shop.models, repository::Repository::open(repository, shop.metrics));
  api::inference::add_inference_routes(shop.routes, shop.errors, *shop.models, std::string(kVersion),
                                       {.control = shop.models.get()});
  add_probes(shop.routes, shop.metrics, *shop.models);
  add_named_routes(shop.routes, options, *shop.models);
  shop.access = std::make_unique<ServeAccess>(options.network);
  net::AccessPolicy policy;
  policy.allowed_hosts = options.allowed_hosts;
  // Who lets other machines in has said that they need no secret: nothing is there to be read on the way.
  policy.encrypted = options.network != NetworkAccess::kNone;
  shop.net->start(shop.routes, shop.errors, *shop.access, policy);
  announce(*shop.net, shop.models->index(true).size());
  return {};
}

}  // namespace

int serve_models(const ServeOptions& options) {
  base::log::configure(options.log_level, options.log_json);
  prepare_process();
  const sigset_t signals = block_signals();
  std::jthread last_word;
  {
    Shop shop;
    if (auto opened = open(shop, options); !opened) return give_up(opened.error());
    int signal = 0;
    while (sigwait(&signals, &signal) != 0 || signal == SIGHUP) {
      if (signal == SIGHUP && shop.tls) shop.tls->refresh(true);
    }
    base::log::info("draining", {{"signal", signal}, {"connections", shop.net->connections()}});
    last_word = std::jthread(end_in_time);
    if (!shop.net->drain(base::limits::kDrainUs - kModulesUs)) {
      base::log::error("a request did not end in time", {{"connections", shop.net->connections()}});
      std::fflush(nullptr);
      _exit(1);
    }
  }
  base::log::info("stopped");
  return 0;
}

}  // namespace server
