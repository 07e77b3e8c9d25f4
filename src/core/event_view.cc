#include "core/event_view.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>

namespace core {
namespace {

constexpr int64_t kViewUs = 3'600'000'000;  // what was written since a view is kept at least as long (trim_events)

}  // namespace

bool EventView::sees_all_of(const EventView& older) const {
  if (older.end > end) return false;
  return std::ranges::all_of(
      running, [&](int64_t xid) { return xid >= older.end || std::ranges::binary_search(older.running, xid); });
}

base::Result<EventView> event_view(store::Tx& tx) {
  EventView view{.at_us = tx.now_us(), .end = 0, .running = {}};
  if (tx.backend() == store::Backend::kPostgres) {
    auto rows = tx.query(
        "SELECT pg_snapshot_xmax(s)::text::bigint, x::text::bigint FROM pg_current_snapshot() AS s"
        " LEFT JOIN LATERAL pg_snapshot_xip(s) AS x ON true ORDER BY 2");
    while (rows.next()) {
      view.end = rows.i64(0);
      if (!rows.is_null(1)) view.running.push_back(rows.i64(1));
    }
  } else {
    view.end = tx.query_i64("SELECT max(seq) FROM events").value_or(0);
  }
  TRY(tx.status());
  return view;
}

base::Result<std::optional<std::vector<EventSubject>>> events_since(store::Tx& tx, const EventView& older,
                                                                    size_t limit) {
  std::optional<std::vector<EventSubject>> out;
  if (std::abs(tx.now_us() - older.at_us) > kViewUs) return out;
  const bool postgres = tx.backend() == store::Backend::kPostgres;
  const int64_t from = !postgres ? older.end + 1 : older.running.empty() ? older.end : older.running.front();
  constexpr std::string_view kColumns = "SELECT kind, subject_kind, subject FROM events WHERE ";
  auto rows = tx.query(
      std::string(kColumns) + (postgres ? "xid >= ? AND project = ? LIMIT ?" : "seq >= ? AND project = ? LIMIT ?"),
      from, tx.project(), limit + 1);
  std::set<std::array<std::string, 3>> seen;
  size_t count = 0;
  for (; rows.next(); ++count) seen.insert({rows.str(0), rows.str(1), rows.str(2)});
  TRY(tx.status());
  if (count > limit) return out;
  out.emplace();
  for (const auto& [kind, subject_kind, subject] : seen) out->push_back({kind, subject_kind, subject});
  return out;
}

}  // namespace core
