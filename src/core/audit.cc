#include "core/audit.h"

#include <limits>

#include "core/audit_log.h"
#include "core/users.h"

namespace core {

void audit(store::Tx& tx, std::string_view action, std::string_view subject_kind, std::string_view subject,
           std::string_view body, std::string_view model) {
  tx.exec(
      "INSERT INTO audit (project, at_us, actor, action, subject_kind, subject, request_id, body, model)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      tx.project(), tx.now_us(), tx.ctx().actor.name, action, subject_kind, subject, tx.ctx().request_id, body, model);
}

void move_audit(store::Tx& tx, std::string_view model, std::string_view new_name) {
  tx.exec("UPDATE audit SET model = ? WHERE project = ? AND model = ? AND model <> ''", new_name, tx.project(), model);
}

std::vector<AuditLine> audit_lines(store::Tx& tx, const AuditFilter& filter, size_t limit) {
  const int64_t before_id = filter.before_id > 0 ? filter.before_id : std::numeric_limits<int64_t>::max();
  const int64_t server = filter.with_server ? kServerProject : tx.project();
  std::vector<AuditLine> lines;
  const auto ask = [&](std::string_view which, const auto& of) {
    return tx.query("SELECT id, at_us, actor, action, subject_kind, subject, request_id, body FROM audit WHERE " +
                        std::string(which) +
                        " AND id < ? AND (? = '' OR actor = ?)"
                        " AND (? = '' OR action = ? OR (action >= ? AND action < ?)) ORDER BY id DESC LIMIT ?",
                    tx.project(), of, before_id, filter.actor, filter.actor, filter.action, filter.action,
                    filter.action + ".", filter.action + "/", limit);
  };
  // "model <> ''" is what the indexes over models' lines are kept for.
  store::Rows rows = !filter.model.empty() ? ask("project = ? AND model = ? AND model <> ''", filter.model)
                     : filter.models       ? ask("project IN (?, ?) AND model <> ''", tx.project())
                                           : ask("project IN (?, ?)", server);
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
