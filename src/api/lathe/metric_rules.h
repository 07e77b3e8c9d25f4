// Rules on metrics and their alerts: /api/lathe/v1/metric-rules, /api/lathe/v1/metric-alerts.
#pragma once

#include <functional>

#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

struct MetricRulesDoor {  // outlives the routes
  store::Store& store;
  std::function<void()> changed;  // the set of rules has
};

void add_metric_rule_routes(net::RouteTable& routes, const MetricRulesDoor& door);

}  // namespace api::lathe
