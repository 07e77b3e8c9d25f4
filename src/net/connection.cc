#include "net/connection.h"

namespace net {
namespace {

constexpr double kSecondsBounds[] = {0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30};

}  // namespace

ServerShared::ServerShared(const ServerLimits& l, const base::Clock& c, base::Registry& metrics,
                           const std::string& listener)
    : limits(l),
      clock(c),
      refused_connections(
          metrics.counter("lathe_http_refused_connections_total", "Connections answered 503 at once: too many")),
      refused_requests(
          metrics.counter("lathe_http_refused_requests_total", "Requests answered 503 at once: too many in flight")),
      seconds(metrics.histogram("lathe_http_request_seconds",
                                "From the end of a request's head to the end of its answer", kSecondsBounds)) {
  for (int i = 0; i < 5; ++i) {
    answers[i] = &metrics.counter("lathe_http_answers_total", "Answers by class of status",
                                  {{"class", std::to_string(i + 1) + "xx"}});
  }
  base::Registry::Labels labels;
  if (!listener.empty()) labels.emplace_back("listener", listener);
  metrics.gauge_fn(
      "lathe_http_connections", "Open connections", [this] { return static_cast<double>(connections.load()); }, labels);
  metrics.gauge_fn(
      "lathe_http_requests_in_flight", "Requests being answered",
      [this] { return static_cast<double>(in_flight.load()); }, labels);
}

}  // namespace net
