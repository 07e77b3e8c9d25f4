#include "server/probes.h"

namespace server {

void add_probes(net::RouteTable& routes, const base::Registry& metrics, const serve::Routes& models) {
  using net::Method;
  constexpr net::RouteLimits kNoBody{.body_bytes = 0};
  const auto text = [&](const char* pattern, auto answer) {
    routes.add({Method::kGet, pattern, net::Protocol::kOps, base::Permission::kNone, kNoBody,
                [answer](net::Request&, net::Response& response) -> base::Task<void> {
                  const bool good = answer();
                  response.send(good ? 200 : 503, "text/plain; charset=utf-8", good ? "OK" : "not ready");
                  co_return;
                }});
  };
  text("/health", [] { return true; });
  text("/healthz", [] { return true; });
  text("/livez", [] { return true; });
  text("/readyz", [&models] { return models.ready(); });
  routes.add({Method::kGet, "/metrics", net::Protocol::kMetrics, base::Permission::kRead, kNoBody,
              [&metrics, &models](net::Request&, net::Response& response) -> base::Task<void> {
                std::string out = metrics.render();
                serve::append_triton_metrics(out, models.live());
                response.send(200, "text/plain; version=0.0.4; charset=utf-8", std::move(out));
                co_return;
              }});
}

}  // namespace server
