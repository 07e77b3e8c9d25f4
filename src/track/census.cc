#include "track/census.h"

namespace track {

base::Result<Census> census(store::Tx& tx) {
  const auto count = [&](std::string_view table) {
    const std::string sql =
        "SELECT count(*) FROM (SELECT 1 FROM " + std::string(table) + " WHERE project = ? LIMIT ?) AS some";
    return tx.query_i64(sql, tx.project(), kCountedRuns).value_or(0);
  };
  Census out{
      .experiments = count("track_experiments"), .runs = count("track_runs"), .models = count("track_registered")};
  TRY(tx.status());
  return out;
}

}  // namespace track
