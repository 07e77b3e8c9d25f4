#include "track/find.h"

namespace track {
namespace {

// LIKE's own characters stand for themselves.
std::string contains_pattern(std::string_view text) {
  std::string out = "%";
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\') out += '\\';
    out += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  }
  return out + "%";
}

bool is_hex(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == text.npos; }

void take(store::Rows rows, std::string_view kind, std::vector<Found>& out) {
  while (rows.next()) out.push_back({std::string(kind), rows.str(0), rows.str(1), rows.str(2), rows.i64(3)});
}

}  // namespace

base::Result<std::vector<Found>> find(store::Tx& tx, std::string_view text, size_t limit) {
  std::vector<Found> out;
  const std::string like = contains_pattern(text);
  const auto most = static_cast<int64_t>(limit);
  take(
      tx.query(
          "SELECT name, name, '', updated_ms FROM track_registered WHERE project = ? AND lower(name) LIKE ? ESCAPE '\\'"
          " ORDER BY updated_ms DESC LIMIT ?",
          tx.project(), like, most),
      "registered_model", out);
  take(tx.query(
           "SELECT CAST(id AS TEXT), name, '', updated_ms FROM track_experiments WHERE project = ? AND deleted = 0 AND"
           " lower(name) LIKE ? ESCAPE '\\' ORDER BY updated_ms DESC LIMIT ?",
           tx.project(), like, most),
       "experiment", out);
  if (text.size() >= 4 && text.size() <= 32 && is_hex(text)) {
    take(tx.query(
             "SELECT r.run_id, r.name, e.name, r.start_ms FROM track_runs r JOIN track_experiments e ON e.id = r.exp"
             " WHERE r.project = ? AND r.run_id >= ? AND r.run_id < ? ORDER BY r.run_id LIMIT ?",
             tx.project(), text, std::string(text) + "g", most),
         "run", out);
  }
  take(tx.query(
           "SELECT r.run_id, r.name, e.name, r.start_ms FROM (SELECT id, run_id, name, exp, start_ms FROM track_runs"
           " WHERE project = ? AND deleted = 0 ORDER BY id DESC LIMIT ?) r JOIN track_experiments e ON e.id = r.exp"
           " WHERE lower(r.name) LIKE ? ESCAPE '\\' ORDER BY r.id DESC LIMIT ?",
           tx.project(), kFindRuns, like, most),
       "run", out);
  TRY(tx.status());
  return out;
}

}  // namespace track
