#include <algorithm>
#include <set>

#include "base/ids.h"
#include "base/json_writer.h"
#include "base/utf8.h"
#include "core/event.h"
#include "stats/metrics.h"
#include "watch/alert.h"
#include "watch/record.h"
#include "watch/watch.h"

namespace watch {
namespace {

// A request is captured within this time of the moment in its id; windows this near are searched for it.
constexpr int64_t kIdSlackUs = 60'000'000;

bool is_plain(std::string_view text) { return base::is_utf8(text) && text.find('\0') == text.npos; }

base::Result<void> check(const Feedback& f) {
  if (f.prediction.empty() || f.prediction.size() > kMaxPredictionIdBytes) {
    return base::invalid("a prediction id has 1 to " + std::to_string(kMaxPredictionIdBytes) + " bytes; found " +
                         std::to_string(f.prediction.size()));
  }
  if (!is_plain(f.prediction) || !is_plain(f.label)) {
    return base::invalid("a prediction id or label holds a NUL byte or is not UTF-8");
  }
  if (f.row < 0)
    return base::invalid("prediction '" + f.prediction + "': row " + std::to_string(f.row) + " is below 0");
  if (f.at_us < 0) return base::invalid("prediction '" + f.prediction + "': at_us is below 0");
  if (f.label.empty() || f.label.size() > kMaxLabelBytes) {
    return base::invalid("prediction '" + f.prediction + "': a label has 1 to " + std::to_string(kMaxLabelBytes) +
                         " bytes; found " + std::to_string(f.label.size()));
  }
  return {};
}

struct Waiting {
  std::string prediction;
  int64_t row = 0;
  std::string endpoint;
  std::string window;
};

int64_t id_time_us(std::string_view prediction) {
  base::Uuid uuid;
  const auto kind = base::id_kind(prediction);
  if (kind.empty() || !base::from_base32(prediction.substr(kind.size() + 1), uuid)) return 0;
  return base::uuid7_ms(uuid) * 1000;
}

// Finds the windows of predictions; those that were opened are remembered for the next.
class WindowFinder {
 public:
  explicit WindowFinder(store::Tx& tx) : tx_(tx) {}

  struct Found {
    std::string window, endpoint;
  };
  base::Result<std::optional<Found>> find(const std::string& prediction) {
    const int64_t at = id_time_us(prediction);
    if (at == 0) return std::nullopt;
    std::vector<Found> near;
    store::Rows rows = tx_.query(
        "SELECT id, endpoint FROM windows WHERE project = ? AND last_us >= ? AND first_us <= ? ORDER BY last_us",
        tx_.project(), at - kIdSlackUs, at + kIdSlackUs);
    while (rows.next()) near.push_back({rows.str(0), rows.str(1)});
    for (Found& candidate : near) {
      TRY_SET(const auto* members, members_of(candidate.window));
      if (members->contains(prediction)) return std::move(candidate);
    }
    return std::nullopt;
  }

 private:
  base::Result<const std::set<std::string>*> members_of(const std::string& window) {
    const auto [at, fresh] = opened_.try_emplace(window);
    if (fresh) {
      store::Rows rows =
          tx_.query("SELECT members FROM window_details WHERE project = ? AND window_id = ?", tx_.project(), window);
      if (rows.next()) {
        TRY_SET(const auto members, parse_members(rows.text(0)));
        for (const auto& [prediction, labels] : members) at->second.insert(prediction);
      }
    }
    return &at->second;
  }

  store::Tx& tx_;
  std::map<std::string, std::set<std::string>> opened_;
};

}  // namespace

base::Result<int64_t> put_feedback(store::Tx& tx, const std::vector<Feedback>& labels) {
  if (labels.size() > kMaxFeedbackBatch) {
    return base::fail(base::Code::kTooLarge, std::to_string(labels.size()) + " labels at once; at most " +
                                                 std::to_string(kMaxFeedbackBatch) + " are taken, send them in parts");
  }
  for (const Feedback& f : labels) TRY(check(f));
  if (labels.empty()) return 0;
  int64_t fresh = 0;
  std::map<std::string, int64_t> per_endpoint;
  for (const Feedback& f : labels) {
    const std::string label = stats::canonical_label(f.label);
    const int64_t at_us = f.at_us > 0 ? f.at_us : tx.now_us();
    ++per_endpoint[f.endpoint];
    const int64_t inserted = tx.exec(
        "INSERT INTO feedback (project, prediction, row_index, label, at_us, received_us, endpoint, window_id, pending)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, '', 1) ON CONFLICT (project, prediction, row_index) DO NOTHING",
        tx.project(), f.prediction, f.row, label, at_us, tx.now_us(), f.endpoint);
    fresh += inserted;
    if (inserted > 0) continue;
    // The later word counts; what it was received for first, and its window, stay.
    tx.exec(
        "UPDATE feedback SET label = ?, at_us = ?, pending = 1, endpoint = CASE WHEN endpoint = '' THEN ? ELSE "
        "endpoint END"
        " WHERE project = ? AND prediction = ? AND row_index = ?",
        label, at_us, f.endpoint, tx.project(), f.prediction, f.row);
  }
  std::string body;
  base::JsonWriter out(body);
  out.begin_object().field("labels", labels.size()).field("new", fresh).key("endpoints").begin_object();
  for (const auto& [endpoint, count] : per_endpoint) out.field(endpoint, count);
  out.end_object().end_object();
  core::emit(tx, "feedback.received", "feedback", labels.front().prediction, body);
  TRY(tx.status());
  return fresh;
}

std::optional<std::string> label_of(store::Tx& tx, std::string_view prediction, int64_t row) {
  store::Rows rows = tx.query("SELECT label FROM feedback WHERE project = ? AND prediction = ? AND row_index = ?",
                              tx.project(), prediction, row);
  if (!rows.next()) return std::nullopt;
  return rows.str(0);
}

std::vector<Label> labels_of(store::Tx& tx, std::string_view prediction) {
  std::vector<Label> labels;
  store::Rows rows =
      tx.query("SELECT row_index, label, at_us FROM feedback WHERE project = ? AND prediction = ? ORDER BY row_index",
               tx.project(), prediction);
  while (rows.next()) labels.push_back({rows.i64(0), rows.str(1), rows.i64(2)});
  return labels;
}

std::vector<Feedback> labels_since(store::Tx& tx, std::string_view endpoint, int64_t since_us, size_t limit) {
  std::vector<Feedback> out;
  store::Rows rows = tx.query(
      "SELECT prediction, row_index, label, at_us FROM feedback WHERE project = ? AND endpoint = ? AND received_us >= "
      "? "
      "ORDER BY received_us DESC LIMIT ?",
      tx.project(), endpoint, since_us, limit);
  while (rows.next())
    out.push_back({.prediction = rows.str(0),
                   .row = rows.i64(1),
                   .label = rows.str(2),
                   .at_us = rows.i64(3),
                   .endpoint = std::string(endpoint)});
  return out;
}

int64_t count_labels(store::Tx& tx, std::string_view endpoint, int64_t since_us) {
  return tx
      .query_i64("SELECT COUNT(*) FROM feedback WHERE project = ? AND endpoint = ? AND received_us >= ?", tx.project(),
                 endpoint, since_us)
      .value_or(0);
}

std::vector<int64_t> projects_with_waiting_labels(store::Tx& tx) {
  std::vector<int64_t> projects;
  store::Rows rows = tx.query("SELECT DISTINCT project FROM feedback WHERE pending = 1");
  while (rows.next()) projects.push_back(rows.i64(0));
  return projects;
}

base::Result<int64_t> settle_labels(store::Tx& tx, size_t limit, const AccuracyBaselines& baselines) {
  std::vector<Waiting> waiting;
  {
    store::Rows rows = tx.query(
        "SELECT prediction, row_index, endpoint, window_id FROM feedback WHERE project = ? AND pending = 1 LIMIT ?",
        tx.project(), limit);
    while (rows.next()) waiting.push_back({rows.str(0), rows.i64(1), rows.str(2), rows.str(3)});
  }
  WindowFinder finder(tx);
  std::set<std::string> touched;
  for (Waiting& w : waiting) {
    if (w.window.empty()) {
      TRY_SET(auto found, finder.find(w.prediction));
      // Without one: its window is still filling, and takes the label when it closes.
      if (found) w.window = found->window, w.endpoint = found->endpoint;
    }
    if (!w.window.empty()) touched.insert(w.window);
    tx.exec(
        "UPDATE feedback SET pending = 0, window_id = ?, endpoint = ? WHERE project = ? AND prediction = ? AND "
        "row_index = ?",
        w.window, w.endpoint, tx.project(), w.prediction, w.row);
  }
  std::set<std::string> endpoints;
  for (const std::string& id : touched) {
    TRY(recount_labels(tx, id));
    TRY_SET(const Window window, get_window(tx, id));
    endpoints.insert(window.endpoint);
  }
  for (const std::string& endpoint : endpoints) {
    const auto baseline = baselines.find(endpoint);
    TRY_SET(const auto rule, get_monitor(tx, endpoint));
    if (rule && baseline != baselines.end()) TRY(apply_accuracy_rule(tx, *rule, endpoint, baseline->second));
  }
  TRY(tx.status());
  return static_cast<int64_t>(waiting.size());
}

}  // namespace watch
