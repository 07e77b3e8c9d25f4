#include "track/keys.h"

namespace track {

std::optional<int64_t> find_key(store::Tx& tx, std::string_view name) {
  return tx.query_i64("SELECT id FROM track_keys WHERE project = ? AND name = ?", tx.project(), name);
}

int64_t key_id(store::Tx& tx, std::string_view name) {
  if (const auto known = find_key(tx, name)) return *known;
  const auto made = tx.query_i64(
      "INSERT INTO track_keys (project, name) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING id", tx.project(), name);
  // Nothing returned: somebody else's transaction made it in between.
  return made ? *made : find_key(tx, name).value_or(0);
}

}  // namespace track
