#include "watch/record.h"

#include <algorithm>
#include <cmath>

#include "base/json_writer.h"
#include "core/event.h"
#include "core/lineage.h"
#include "watch/alert.h"

namespace watch {
namespace {

constexpr std::string_view kWindowColumns =
    "SELECT id, endpoint, number, revision, first_us, last_us, closed_us, request_count, row_count, judged, drifted,"
    " bad_quality, labelled, correct, absolute_error, squared_error, regression FROM windows ";

Window read_window(store::Rows& rows) {
  return {.id = rows.str(0),
          .endpoint = rows.str(1),
          .number = rows.i64(2),
          .revision = rows.i64(3),
          .first_us = rows.i64(4),
          .last_us = rows.i64(5),
          .closed_us = rows.i64(6),
          .requests = rows.i64(7),
          .rows = rows.i64(8),
          .judged = rows.boolean(9),
          .drifted = rows.boolean(10),
          .bad_quality = rows.boolean(11),
          .labels = {.labelled = rows.i64(12),
                     .correct = rows.i64(13),
                     .absolute_error = rows.f64(14),
                     .squared_error = rows.f64(15)},
          .regression = rows.boolean(16)};
}

// Takes the window's number and moves the reading position, if nobody else has.
base::Result<int64_t> advance(store::Tx& tx, const ClosedWindow& closed) {
  const auto number = tx.query_i64("SELECT next_number FROM monitors WHERE project = ? AND endpoint = ?", tx.project(),
                                   closed.endpoint);
  const int64_t moved = tx.exec(
      "UPDATE monitors SET read_segment = ?, read_offset = ?, read_skip = ?, next_number = next_number + 1"
      " WHERE project = ? AND endpoint = ? AND read_segment = ? AND read_offset = ? AND read_skip = ?",
      closed.to.segment, closed.to.offset, closed.to.skip, tx.project(), closed.endpoint, closed.from.segment,
      closed.from.offset, closed.from.skip);
  TRY(tx.status());
  if (!number || moved == 0) {
    return base::fail(base::Code::kConflict,
                      "the monitor of endpoint '" + closed.endpoint + "' has moved on or is gone");
  }
  return *number;
}

// Windows beyond the newest kKeptWindows go, two at most for each that comes. What an alert says stays in the alert.
void trim(store::Tx& tx, std::string_view endpoint, int64_t newest) {
  std::vector<std::pair<int64_t, std::string>> old;
  store::Rows rows = tx.query(
      "SELECT number, id FROM windows WHERE project = ? AND endpoint = ? AND number <= ? ORDER BY number LIMIT 2",
      tx.project(), endpoint, newest - kKeptWindows);
  while (rows.next()) old.emplace_back(rows.i64(0), rows.str(1));
  for (const auto& [number, id] : old) {
    tx.exec("DELETE FROM window_details WHERE project = ? AND window_id = ?", tx.project(), id);
    tx.exec("DELETE FROM windows WHERE project = ? AND endpoint = ? AND number = ?", tx.project(), endpoint, number);
  }
}

}  // namespace

double LabelCounts::accuracy() const { return static_cast<double>(correct) / static_cast<double>(labelled); }
double LabelCounts::mean_absolute_error() const { return absolute_error / static_cast<double>(labelled); }
double LabelCounts::root_mean_squared_error() const { return std::sqrt(squared_error / static_cast<double>(labelled)); }

stats::Interval mean_error_interval(const LabelCounts& counts) {
  const auto n = static_cast<double>(counts.labelled);
  const double mean = counts.absolute_error / n;
  const double variance = n > 1 ? std::max(0.0, (counts.squared_error - n * mean * mean) / (n - 1)) : 0;
  const double reach = stats::normal_quantile(0.975) * std::sqrt(variance / n);
  return {std::max(0.0, mean - reach), mean + reach};
}

void count_label(LabelCounts& counts, const std::string& truth, const std::string& predicted) {
  ++counts.labelled;
  counts.correct += truth == predicted;
  const auto want = stats::parse_number(truth), got = stats::parse_number(predicted);
  if (!want || !got) return;
  const double error = std::abs(*want - *got);
  counts.absolute_error += error;
  counts.squared_error += error * error;
}

base::Result<Window> record_window(store::Tx& tx, const ClosedWindow& closed,
                                   const std::optional<AccuracyBaseline>& accuracy) {
  TRY_SET(const int64_t number, advance(tx, closed));
  const WindowNumbers& numbers = closed.numbers;
  const std::string id = tx.ctx().new_id("wd"), revision = closed.endpoint + "/" + std::to_string(closed.revision);
  tx.exec(
      "INSERT INTO windows (project, endpoint, number, id, revision, first_us, last_us, closed_us, request_count, "
      "row_count,"
      " judged, drifted, bad_quality, labelled, correct, absolute_error, squared_error, regression) VALUES (?, ?, ?, "
      "?, ?, ?, "
      "?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, ?)",
      tx.project(), closed.endpoint, number, id, closed.revision, closed.first_us, closed.last_us, tx.now_us(),
      closed.members.size(), numbers.rows, numbers.judged, numbers.drifted, numbers.bad_quality,
      numbers.predictions.kind == FeatureKind::kNumeric);
  const std::string numbers_json = to_json(numbers), members_json = members_to_json(closed.members);
  tx.exec("INSERT INTO window_details (project, window_id, numbers, members) VALUES (?, ?, ?, ?)", tx.project(), id,
          numbers_json, members_json);
  // Labels that were here before the window was.
  int64_t labels = 0;
  for (const auto& member : closed.members) {
    labels += tx.exec("UPDATE feedback SET window_id = ?, endpoint = ? WHERE project = ? AND prediction = ?", id,
                      closed.endpoint, tx.project(), member.prediction);
  }
  core::add_edge(tx, {"revision", revision}, {"window", id}, "watched");
  std::string body;
  base::JsonWriter out(body);
  out.begin_object().field("endpoint", closed.endpoint).field("revision", closed.revision).field("number", number);
  out.field("rows", numbers.rows).field("judged", numbers.judged).field("drifted", numbers.drifted);
  out.field("bad_quality", numbers.bad_quality).field("drifted_share", numbers.drifted_share).end_object();
  core::emit(tx, "window.closed", "window", id, body);
  trim(tx, closed.endpoint, number);
  TRY(apply_window_rules(tx, closed.rule, closed.endpoint, closed.revision));
  if (labels > 0) {
    TRY(recount_labels(tx, id));
    if (accuracy) TRY(apply_accuracy_rule(tx, closed.rule, closed.endpoint, *accuracy));
  }
  return get_window(tx, id);
}

base::Result<void> recount_labels(store::Tx& tx, std::string_view window) {
  std::map<std::string, std::vector<std::string>> members;
  {
    store::Rows rows =
        tx.query("SELECT members FROM window_details WHERE project = ? AND window_id = ?", tx.project(), window);
    if (rows.next()) {
      TRY_SET(members, parse_members(rows.text(0)));
    }
  }
  LabelCounts counts;
  {
    store::Rows rows = tx.query("SELECT prediction, row_index, label FROM feedback WHERE project = ? AND window_id = ?",
                                tx.project(), window);
    while (rows.next()) {
      const auto member = members.find(rows.str(0));
      const auto row = static_cast<size_t>(rows.i64(1));
      if (member == members.end() || row >= member->second.size()) continue;
      const std::string truth = rows.str(2), &predicted = member->second[row];
      count_label(counts, truth, predicted);
    }
  }
  tx.exec(
      "UPDATE windows SET labelled = ?, correct = ?, absolute_error = ?, squared_error = ? WHERE project = ? AND id = "
      "?",
      counts.labelled, counts.correct, counts.absolute_error, counts.squared_error, tx.project(), window);
  std::string body;
  base::JsonWriter out(body);
  out.begin_object().field("labelled", counts.labelled).field("correct", counts.correct).end_object();
  core::emit(tx, "window.labelled", "window", window, body);
  return tx.status();
}

std::vector<Window> list_windows(store::Tx& tx, std::string_view endpoint, int64_t before_number, size_t limit) {
  std::vector<Window> windows;
  const std::string sql = std::string(kWindowColumns) +
                          "WHERE project = ? AND endpoint = ? AND (number < ? OR ? = 0) ORDER BY number DESC LIMIT ?";
  store::Rows rows = tx.query(sql, tx.project(), endpoint, before_number, before_number, limit);
  while (rows.next()) windows.push_back(read_window(rows));
  return windows;
}

base::Result<Window> get_window(store::Tx& tx, std::string_view id) {
  const std::string sql = std::string(kWindowColumns) + "WHERE project = ? AND id = ?";
  store::Rows rows = tx.query(sql, tx.project(), id);
  if (rows.next()) return read_window(rows);
  TRY(tx.status());
  return base::not_found("there is no window '" + std::string(id) + "'");
}

std::string window_numbers(store::Tx& tx, std::string_view id) {
  store::Rows rows =
      tx.query("SELECT numbers FROM window_details WHERE project = ? AND window_id = ?", tx.project(), id);
  return rows.next() ? rows.str(0) : "";
}

}  // namespace watch
