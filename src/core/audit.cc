#include "core/audit.h"

#include <limits>

namespace core {

void audit(store::Tx& tx, std::string_view action, std::string_view subject_kind, std::string_view subject,
           std::string_view body) {
  tx.exec("INSERT INTO audit (project, at_us, actor, action, subject_kind, subject, request_id, body)"
          " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
          tx.project(), tx.now_us(), tx.ctx().actor.name, action, subject_kind, subject, tx.ctx().request_id, body);
}

std::vector<AuditLine> audit_lines(store::Tx& tx, int64_t before_id, size_t limit) {
  if (before_id <= 0) before_id = std::numeric_limits<int64_t>::max();
  std::vector<AuditLine> lines;
  store::Rows rows = tx.query(
      "SELECT id, at_us, actor, action, subject_kind, subject, request_id, body FROM audit"
      " WHERE project = ? AND id < ? ORDER BY id DESC LIMIT ?",
      tx.project(), before_id, limit);
  while (rows.next()) {
    lines.push_back({rows.i64(0), rows.i64(1), rows.str(2), rows.str(3), rows.str(4), rows.str(5), rows.str(6), rows.str(7)});
  }
  return lines;
}

}  // namespace core
