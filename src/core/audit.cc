#include "core/audit.h"

#include <limits>

#include "core/audit_log.h"
#include "core/users.h"

namespace core {

void audit(store::Tx& tx, std::string_view action, std::string_view subject_kind, std::string_view subject,
           std::string_view body) {
  tx.exec(
      "INSERT INTO audit (project, at_us, actor, action, subject_kind, subject, request_id, body)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      tx.project(), tx.now_us(), tx.ctx().actor.name, action, subject_kind, subject, tx.ctx().request_id, body);
}

std::vector<AuditLine> audit_lines(store::Tx& tx, const AuditFilter& filter, size_t limit) {
  const int64_t before_id = filter.before_id > 0 ? filter.before_id : std::numeric_limits<int64_t>::max();
  const int64_t server = filter.with_server ? kServerProject : tx.project();
  std::vector<AuditLine> lines;
  store::Rows rows = tx.query(
      "SELECT id, at_us, actor, action, subject_kind, subject, request_id, body FROM audit"
      " WHERE project IN (?, ?) AND id < ? AND (? = '' OR actor = ?)"
      " AND (? = '' OR action = ? OR (action >= ? AND action < ?)) ORDER BY id DESC LIMIT ?",
      tx.project(), server, before_id, filter.actor, filter.actor, filter.action, filter.action, filter.action + ".",
      filter.action + "/", limit);
  while (rows.next()) {
    lines.push_back(
        {rows.i64(0), rows.i64(1), rows.str(2), rows.str(3), rows.str(4), rows.str(5), rows.str(6), rows.str(7)});
  }
  return lines;
}

std::vector<AuditLine> audit_lines(store::Tx& tx, int64_t before_id, size_t limit) {
  return audit_lines(tx, AuditFilter{.before_id = before_id}, limit);
}

}  // namespace core
