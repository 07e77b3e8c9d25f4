#include "api/lathe/limits.h"

#include "core/resource_access.h"
#include "net/access.h"
#include "track/experiments.h"
#include "track/runs.h"

namespace api::lathe {

namespace {

std::unexpected<base::Error> denied() { return base::fail(base::Code::kForbidden, "Permission denied"); }

}  // namespace

Limits limits_of(const net::Request& request) {
  return request.grant != nullptr && request.grant->limited ? request.grant->resources.load() : nullptr;
}

base::Result<void> check_runs(store::Tx& tx, const Limits& limits, const std::vector<std::string>& run_ids,
                              base::Level least) {
  if (!limits) return {};
  for (const std::string& id : run_ids) {
    const auto run = track::get_run_info(tx, id);
    if (run && !core::allows_experiment(tx, *limits, run->experiment, least)) return denied();
  }
  return tx.status();
}

base::Result<void> check_experiment(store::Tx& tx, const Limits& limits, const std::string& id, base::Level least) {
  if (!limits) return {};
  const auto row = track::experiment_row(tx, id);
  if (row && !core::allows_experiment(tx, *limits, *row, least)) return denied();
  return tx.status();
}

base::Result<void> check_model(store::Tx& tx, const Limits& limits, std::string_view name, base::Level least) {
  if (limits && !core::allows_model(tx, *limits, name, least)) return denied();
  return tx.status();
}

}  // namespace api::lathe
