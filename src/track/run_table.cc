#include "track/run_table.h"

#include <algorithm>
#include <limits>
#include <map>

#include "track/keys.h"
#include "track/search_sql.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

std::string_view table_of(Field field) {
  return field == Field::kMetric ? "track_latest_metrics" : field == Field::kParam ? "track_params" : "track_tags";
}

// The rows of a window by the number of their run, so that one query per kind of column fills them all.
class Filler {
 public:
  Filler(store::Tx& tx, std::vector<TableRow>& rows) : tx_(tx) {
    for (TableRow& row : rows) {
      by_run_[row.info.row] = &row;
      runs_.push_back(row.info.row);
    }
  }

  void fill(const std::vector<Column>& columns) {
    for (auto& [run, row] : by_run_) row->cells.resize(columns.size());
    if (runs_.empty()) return;
    for (const Field field : {Field::kMetric, Field::kParam, Field::kTag}) fill_field(columns, field);
    fill_data();
  }

 private:
  void fill_field(const std::vector<Column>& columns, Field field) {
    std::multimap<int64_t, size_t> wanted;  // key → columns: last and best of one metric are two
    std::vector<int64_t> keys;
    for (size_t i = 0; i < columns.size(); ++i) {
      if (columns[i].field != field) continue;
      if (field == Field::kTag && columns[i].key == kRunNameTag) {
        for (auto& [run, row] : by_run_) row->cells[i] = {Cell::Kind::kText, 0, row->info.name};
        continue;
      }
      const auto key = find_key(tx_, columns[i].key);
      if (!key) continue;
      wanted.emplace(*key, i);
      if (std::ranges::find(keys, *key) == keys.end()) keys.push_back(*key);
    }
    if (keys.empty()) return;
    const bool metric = field == Field::kMetric;
    SqlText text;
    text.add("SELECT run, key_id, value").add(metric ? ", is_nan, min_value, max_value FROM " : " FROM ");
    text.add(table_of(field)).add(" WHERE project = ").bind(Value::of(tx_.project())).add(" AND run IN ");
    text.bind_list(runs_).add(" AND key_id IN ").bind_list(keys);
    auto rows = open(tx_, text);
    while (rows.next()) {
      TableRow& row = *by_run_[rows.i64(0)];
      const auto [from, to] = wanted.equal_range(rows.i64(1));
      for (auto it = from; it != to; ++it) {
        row.cells[it->second] =
            metric ? metric_cell(rows, columns[it->second].pick) : Cell{Cell::Kind::kText, 0, rows.str(2)};
      }
    }
  }

  static Cell metric_cell(store::Rows& rows, Pick pick) {
    if (pick == Pick::kLast)
      return {Cell::Kind::kNumber, rows.boolean(3) ? std::numeric_limits<double>::quiet_NaN() : rows.f64(2), {}};
    const auto value = rows.opt_f64(pick == Pick::kMin ? 4 : 5);
    return {value ? Cell::Kind::kNumber : Cell::Kind::kNone, value.value_or(0), {}};
  }

  void fill_data() {
    SqlText text;
    text.add("SELECT i.run, d.name, d.digest FROM track_inputs i JOIN track_datasets d ON d.id = i.dataset ");
    text.add("WHERE i.project = ").bind(Value::of(tx_.project())).add(" AND i.run IN ").bind_list(runs_);
    text.add(" ORDER BY i.run, i.id");
    auto rows = open(tx_, text);
    while (rows.next()) by_run_[rows.i64(0)]->data.push_back(rows.str(1) + "@" + rows.str(2));
  }

  store::Tx& tx_;
  std::map<int64_t, TableRow*> by_run_;
  std::vector<int64_t> runs_;
};

Result<void> check_columns(const std::vector<Column>& columns) {
  if (columns.size() <= kMaxColumns) return {};
  return invalid(std::to_string(columns.size()) + " columns are asked for; at most " + std::to_string(kMaxColumns) +
                 " fit in one window");
}

std::string escaped_like(std::string_view text) {
  std::string out = "%";
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\') out += '\\';
    out += c;
  }
  return out + "%";
}

void add_experiments(store::Tx& tx, SqlText& out, const std::vector<std::string>& ids, Result<void>& status) {
  std::vector<int64_t> exps;
  for (const std::string& id : ids) {
    const auto exp = experiment_row(tx, id);
    if (!exp) status = std::unexpected(exp.error());
    if (exp) exps.push_back(*exp);
  }
  out.bind_list(exps);
}

}  // namespace

Result<Page<TableRow>> run_window(store::Tx& tx, const RunSearch& search, const std::vector<Column>& columns) {
  TRY(check_columns(columns));
  if (search.max_results > kMaxWindow)
    return invalid("limit is " + std::to_string(search.max_results) + "; a window has at most " +
                   std::to_string(kMaxWindow) + " rows");
  TRY_SET(Page<RunInfo> found, search_run_infos(tx, search));
  Page<TableRow> page;
  page.next_token = std::move(found.next_token);
  for (RunInfo& info : found.rows) page.rows.push_back({.info = std::move(info), .cells = {}, .data = {}});
  Filler(tx, page.rows).fill(columns);
  TRY(tx.status());
  return page;
}

Result<std::vector<TableRow>> run_rows(store::Tx& tx, const std::vector<std::string>& ids,
                                       const std::vector<Column>& columns) {
  TRY(check_columns(columns));
  if (ids.size() > kMaxCompared)
    return invalid(std::to_string(ids.size()) + " runs are named; at most " + std::to_string(kMaxCompared) +
                   " stand side by side");
  std::vector<TableRow> out;
  for (const std::string& id : ids) {
    auto info = get_run_info(tx, id);
    if (info) {
      out.push_back({.info = std::move(*info), .cells = {}, .data = {}});
    } else if (info.error().code != base::Code::kNotFound) {
      return std::unexpected(info.error());
    }
  }
  Filler(tx, out).fill(columns);
  TRY(tx.status());
  return out;
}

int64_t newest_run_row(store::Tx& tx) {
  return tx.query_i64("SELECT MAX(id) FROM track_runs").value_or(0);  // of all projects: a snapshot's fence, no more
}

Result<std::vector<std::string>> list_keys(store::Tx& tx, const KeySearch& search) {
  std::vector<std::string> out;
  if (search.experiment_ids.empty()) return out;
  Result<void> status;
  SqlText text;
  text.add("SELECT k.name FROM track_keys k WHERE k.project = ").bind(Value::of(tx.project()));
  if (!search.contains.empty()) {
    text.add(" AND LOWER(k.name) LIKE LOWER(").bind(Value::of(escaped_like(search.contains))).add(") ESCAPE '\\'");
  }
  text.add(" AND EXISTS (SELECT 1 FROM ")
      .add(table_of(search.field))
      .add(" x WHERE x.project = k.project AND x.exp IN ");
  add_experiments(tx, text, search.experiment_ids, status);
  TRY(std::move(status));
  text.add(" AND x.key_id = k.id) ORDER BY k.name LIMIT ").bind(Value::of(std::min(search.limit, kMaxListedKeys)));
  auto rows = open(tx, text);
  while (rows.next()) out.push_back(rows.str(0));
  TRY(tx.status());
  return out;
}

Result<std::vector<std::string>> list_values(store::Tx& tx, const KeySearch& search, std::string_view key) {
  std::vector<std::string> out;
  const auto key_id = find_key(tx, key);
  if (!key_id || search.experiment_ids.empty()) return out;
  if (search.field == Field::kMetric) return invalid("a metric's values are numbers; ask for a parameter's or a tag's");
  Result<void> status;
  SqlText text;
  text.add("SELECT DISTINCT substr(x.value, 1, 100) AS v FROM ")
      .add(table_of(search.field))
      .add(" x WHERE x.project = ");
  text.bind(Value::of(tx.project())).add(" AND x.exp IN ");
  add_experiments(tx, text, search.experiment_ids, status);
  TRY(std::move(status));
  text.add(" AND x.key_id = ").bind(Value::of(*key_id));
  if (!search.contains.empty()) {
    text.add(" AND LOWER(x.value) LIKE LOWER(").bind(Value::of(escaped_like(search.contains))).add(") ESCAPE '\\'");
  }
  text.add(" ORDER BY v LIMIT ").bind(Value::of(std::min(search.limit, kMaxListedKeys)));
  auto rows = open(tx, text);
  while (rows.next()) out.push_back(rows.str(0));
  TRY(tx.status());
  return out;
}

std::vector<MetricSummary> metric_summaries(store::Tx& tx, const RunInfo& run) {
  std::vector<MetricSummary> out;
  auto rows = tx.query(
      "SELECT k.name, m.value, m.is_nan, m.step, m.at_ms, m.min_value, m.max_value FROM track_latest_metrics m "
      "JOIN track_keys k ON k.id = m.key_id WHERE m.project = ? AND m.run = ? ORDER BY k.name",
      tx.project(), run.row);
  while (rows.next()) {
    MetricSummary& metric = out.emplace_back();
    metric.key = rows.str(0);
    metric.last = rows.boolean(2) ? std::numeric_limits<double>::quiet_NaN() : rows.f64(1);
    metric.step = rows.i64(3);
    metric.at_ms = rows.i64(4);
    metric.least = rows.opt_f64(5);
    metric.greatest = rows.opt_f64(6);
  }
  return out;
}

std::vector<RunInfo> child_runs(store::Tx& tx, std::string_view run_id, int64_t limit) {
  std::vector<RunInfo> out;
  const auto key = find_key(tx, "mlflow.parentRunId");
  if (!key) return out;
  auto rows = tx.query("SELECT " + std::string(kRunColumns) +
                           " FROM track_tags t CROSS JOIN track_runs r WHERE t.project = ? AND t.exp IN (SELECT p.exp "
                           "FROM track_runs p WHERE p.project = ? AND p.run_id = ?) AND t.key_id = ? AND "
                           "substr(t.value, 1, 100) = ? AND r.id = t.run AND r.deleted = 0 ORDER BY r.start_ms DESC, "
                           "r.run_id LIMIT ?",
                       tx.project(), tx.project(), run_id, *key, run_id, limit);
  while (rows.next()) out.push_back(read_run_info(rows));
  return out;
}

std::vector<ModelInfo> models_of_run(store::Tx& tx, std::string_view run_id, int64_t limit) {
  std::vector<ModelInfo> out;
  auto rows = tx.query("SELECT " + std::string(kModelColumns) +
                           " FROM track_models m WHERE m.project = ? AND m.source_run_id = ? AND m.deleted = 0 "
                           "ORDER BY m.id LIMIT ?",
                       tx.project(), run_id, limit);
  while (rows.next()) out.push_back(read_model_info(rows));
  return out;
}

std::vector<ModelVersion> versions_of(store::Tx& tx, std::string_view run_id, std::string_view model_id) {
  std::vector<ModelVersion> out;
  const auto read = [&](std::string_view column, std::string_view id) {
    auto rows = tx.query("SELECT " + std::string(kVersionColumns) +
                             " FROM track_versions v JOIN track_registered g ON g.id = v.registered WHERE v.project = "
                             "? AND v.deleted = 0 AND v." +
                             std::string(column) + " = ? ORDER BY v.id DESC LIMIT 100",
                         tx.project(), id);
    while (rows.next()) out.push_back(read_version(rows));
  };
  if (!run_id.empty()) read("run_id", run_id);
  if (!model_id.empty()) read("model_id", model_id);
  for (ModelVersion& version : out) load_version(tx, version, true);
  return out;
}

}  // namespace track
