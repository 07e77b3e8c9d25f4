#include "traces/export.h"

#include <string>

namespace traces {

using base::Result;

Result<std::vector<TraceInfo>> traces_after(store::Tx& tx, std::string_view trace_id, size_t limit) {
  static const std::string sql = "SELECT " + std::string(kTraceColumns) +
                                 " FROM traces t WHERE t.project = ? AND t.trace_id > ? ORDER BY t.trace_id LIMIT ?";
  std::vector<TraceInfo> out;
  {
    auto rows = tx.query(sql, tx.project(), trace_id, static_cast<int64_t>(limit));
    while (rows.next()) out.push_back(read_trace_row(rows));
  }
  load_parts(tx, out);
  TRY(tx.status());
  return out;
}

Result<std::vector<std::pair<std::string_view, int64_t>>> beside_traces(store::Tx& tx) {
  const auto count = [&](std::string_view sql) { return tx.query_i64(sql, tx.project()).value_or(0); };
  std::vector<std::pair<std::string_view, int64_t>> out = {
      {"evaluation data sets", count("SELECT COUNT(*) FROM eval_datasets WHERE project = ?")},
      {"scorers", count("SELECT COUNT(*) FROM scorers WHERE project = ?")},
      {"issues", count("SELECT COUNT(*) FROM issues WHERE project = ?")},
      {"label schemas", count("SELECT COUNT(*) FROM label_schemas WHERE project = ?")},
      {"review queues", count("SELECT COUNT(*) FROM review_queues WHERE project = ?")}};
  TRY(tx.status());
  return out;
}

}  // namespace traces
