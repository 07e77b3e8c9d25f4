// Searching runs. Three plans, one meaning:
//   driven    a required comparison with few matches (counted first, up to kProbe) drives; the rest is checked per run
//   ordered   one metric orders one experiment: its index is walked in order, values, then NaN, then runs without it
//   general   every run of the experiments is looked at, in the order of the start index where that is the order asked
#include <algorithm>
#include <array>

#include "track/keys.h"
#include "track/search.h"
#include "track/search_sql.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

constexpr int64_t kProbe = 10'001;         // a count stops here
constexpr size_t kProbedExperiments = 50;  // with more, counting costs more than it saves
constexpr int64_t kNoKey = -1;             // a key that nobody used matches nothing

constexpr std::string_view kStatusText =
    "(CASE r.status WHEN 1 THEN 'RUNNING' WHEN 2 THEN 'SCHEDULED' WHEN 3 THEN 'FINISHED' WHEN 4 THEN 'FAILED' "
    "ELSE 'KILLED' END)";

constexpr std::array kAttributes = {
    Attribute{.name = "artifact_uri", .column = "r.artifact_uri"},
    Attribute{.name = "end_time", .column = "r.end_ms", .numeric = true},
    Attribute{.name = "run_id", .column = "r.run_id", .list = true},
    Attribute{.name = "run_name", .column = "r.name"},
    Attribute{.name = "start_time", .column = "r.start_ms", .numeric = true},
    Attribute{.name = "status", .column = kStatusText},
    Attribute{.name = "user_id", .column = "r.user_id"},
};
constexpr Dialect kDialect{.entity = "runs", .attributes = kAttributes, .metrics = true, .params = true, .datasets = true};

class RunQuery {
 public:
  RunQuery(store::Tx& tx, const RunSearch& search) : tx_(tx), search_(search) {}

  Result<Page<Run>> run();

 private:
  Result<void> prepare();
  int64_t key(std::string_view name) { return find_key(tx_, name).value_or(kNoKey); }
  void write_term(SqlText& out, const Comparison& term);
  void write_dataset_term(SqlText& out, const Comparison& term);
  SqlText base_where();
  void in_scope(SqlText& out, std::string_view table);  // project and experiments of a child table

  // Plans.
  std::optional<SqlText> driver_rows(const Comparison& term);  // "SELECT … run" with the few runs that match, unlimited
  bool choose_driver();                                        // false: nothing can match
  bool can_walk_metric() const;
  PageQuery walk_phase(int64_t phase, int64_t key_id, const std::vector<const Comparison*>& bounds);
  Result<void> walk_metric();
  Result<void> general();

  store::Tx& tx_;
  const RunSearch& search_;
  Filter filter_;
  std::vector<Order> order_;
  std::vector<int64_t> exps_;
  PageToken token_;
  std::string search_text_;
  std::optional<SqlText> driver_;  // "FROM …" part and its conditions, when a driver was chosen
  std::vector<RunInfo> found_;
  std::vector<Value> next_;        // the last row's sort values, when more follow
};

Result<void> RunQuery::prepare() {
  if (search_.max_results <= 0) {
    return invalid("Invalid value " + std::to_string(search_.max_results) +
                   " for parameter 'max_results' supplied. It must be a positive integer");
  }
  TRY_SET(filter_, parse_filter(search_.filter, kDialect));
  if (search_.order_by.size() > kMaxOrderKeys) {
    return invalid("order_by has " + std::to_string(search_.order_by.size()) + " clauses; at most " +
                   std::to_string(kMaxOrderKeys) + " are allowed");
  }
  search_text_ = "runs\n" + search_.filter;
  for (const std::string& clause : search_.order_by) {
    TRY_SET(Order order, parse_order(clause, kDialect));
    if (order.field == Field::kDataset) return invalid("Invalid identifier type 'dataset'");
    for (const Order& other : order_) {
      if (other.field == order.field && other.key == order.key) return invalid("`order_by` contains duplicate fields");
    }
    order_.push_back(std::move(order));
    search_text_ += "\n" + clause;
  }
  if (search_.experiment_ids.size() > kMaxSearchedExperiments) {
    return invalid("experiment_ids names " + std::to_string(search_.experiment_ids.size()) + " experiments; at most " +
                   std::to_string(kMaxSearchedExperiments) + " are allowed");
  }
  for (const std::string& id : search_.experiment_ids) {
    TRY_SET(exps_.emplace_back(), parse_experiment_id(id));
    search_text_ += "\n" + id;
  }
  TRY_SET(token_, decode_page_token(search_text_, search_.page_token));
  return {};
}

void RunQuery::write_dataset_term(SqlText& out, const Comparison& term) {
  out.add("EXISTS (SELECT 1 FROM track_inputs i JOIN track_datasets d ON d.id = i.dataset ");
  if (term.key == "context") {
    out.add("JOIN track_input_tags c ON c.project = i.project AND c.input = i.id AND c.key = 'mlflow.data.context' ");
  }
  out.add("WHERE i.project = r.project AND i.run = r.id AND ");
  const std::string column = term.key == "context" ? "c.value" : "d." + term.key;
  add_comparison(out, tx_.backend(), column, term);
  out.add(")");
}

void RunQuery::write_term(SqlText& out, const Comparison& term) {
  if (term.field == Field::kDataset) return write_dataset_term(out, term);
  const bool name_tag = term.field == Field::kTag && term.key == kRunNameTag;
  if (term.field == Field::kAttribute || name_tag) {
    // A run's name as a filter sees it is its tag mlflow.runName; the tag may have been deleted.
    const bool is_name = name_tag || term.key == "run_name";
    if (term.op == Op::kIsNull || term.op == Op::kIsNotNull) {
      out.add(term.op == Op::kIsNull ? "r.name_tag = 0" : "r.name_tag = 1");
      return;
    }
    if (is_name) out.add("r.name_tag = 1 AND ");
    add_comparison(out, tx_.backend(), is_name ? "r.name" : find_attribute(kDialect, term.key)->column, term);
    return;
  }
  const std::string_view table = term.field == Field::kMetric  ? "track_latest_metrics"
                                 : term.field == Field::kParam ? "track_params"
                                                               : "track_tags";
  if (term.op == Op::kIsNull) out.add("NOT ");
  out.add("EXISTS (SELECT 1 FROM ").add(table).add(" x WHERE x.project = r.project AND x.run = r.id AND x.key_id = ");
  out.bind(Value::of(key(term.key)));
  if (term.op != Op::kIsNull && term.op != Op::kIsNotNull) {
    out.add(" AND ");
    if (term.field != Field::kMetric) {
      add_comparison(out, tx_.backend(), "x.value", term);
    } else if (term.op == Op::kNe) {
      out.add("(x.value <> ").bind(term.value).add(" OR x.is_nan = 1)");
    } else {
      out.add("x.is_nan = 0 AND ");
      add_comparison(out, tx_.backend(), "x.value", term);
    }
  }
  out.add(")");
}

void RunQuery::in_scope(SqlText& out, std::string_view table) {
  out.add(table).add(".project = ").bind(Value::of(tx_.project())).add(" AND ").add(table).add(".exp ");
  exps_.size() == 1 ? out.add("= ").bind(Value::of(exps_[0])) : out.add("IN ").bind_list(exps_);
}

SqlText RunQuery::base_where() {
  SqlText out;
  in_scope(out, "r");
  if (search_.view != View::kAll) out.add(search_.view == View::kActive ? " AND r.deleted = 0" : " AND r.deleted = 1");
  out.add(" AND ");
  add_filter(out, filter_, [this](SqlText& text, const Comparison& term) { write_term(text, term); });
  return out;
}

// The rows of one index that a comparison selects: usable as a driver because (run, key) is unique in each table.
std::optional<SqlText> RunQuery::driver_rows(const Comparison& term) {
  SqlText out;
  const bool name = (term.field == Field::kAttribute && term.key == "run_name") ||
                    (term.field == Field::kTag && term.key == kRunNameTag);
  if (name && term.op == Op::kEq) {
    out.add("SELECT d.id AS run FROM track_runs d WHERE ");
    in_scope(out, "d");
    out.add(" AND substr(d.name, 1, 100) = ").bind(Value::of(std::string(first_chars(term.value.text, 100))));
    return out;
  }
  if (name) return std::nullopt;
  if ((term.field == Field::kParam || term.field == Field::kTag) && term.op == Op::kEq) {
    out.add("SELECT d.run AS run FROM ").add(term.field == Field::kParam ? "track_params" : "track_tags");
    out.add(" d WHERE ");
    in_scope(out, "d");
    out.add(" AND d.key_id = ").bind(Value::of(key(term.key))).add(" AND substr(d.value, 1, 100) = ");
    out.bind(Value::of(std::string(first_chars(term.value.text, 100))));
    return out;
  }
  if (term.field == Field::kMetric && term.op != Op::kNe) {
    out.add("SELECT d.run AS run FROM track_latest_metrics d WHERE ");
    in_scope(out, "d");
    out.add(" AND d.key_id = ").bind(Value::of(key(term.key))).add(" AND d.is_nan = 0 AND ");
    add_comparison(out, tx_.backend(), "d.value", term);
    return out;
  }
  return std::nullopt;
}

bool RunQuery::choose_driver() {
  if (exps_.size() > kProbedExperiments) return true;
  int64_t least = kProbe;
  for (const Comparison* term : required_terms(filter_)) {
    auto rows_text = driver_rows(*term);
    if (!rows_text) continue;
    SqlText count;
    count.add("SELECT COUNT(*) FROM (").add(*rows_text).add(" LIMIT ").bind(Value::of(least)).add(") AS probe");
    auto rows = open(tx_, count);
    const int64_t n = rows.next() ? rows.i64(0) : 0;
    if (n == 0) return false;
    if (n < least) {
      least = n;
      driver_ = std::move(rows_text);
    }
  }
  return true;
}

bool RunQuery::can_walk_metric() const {
  return !driver_ && exps_.size() == 1 && order_.size() == 1 && order_[0].field == Field::kMetric && token_.offset == 0;
}

// One phase of the walk: 0 values, 1 NaN, 2 runs without the metric. The values of a token are (phase, value, start
// time, run id), the same as the general plan's, so that pages may come from either.
PageQuery RunQuery::walk_phase(int64_t phase, int64_t key_id, const std::vector<const Comparison*>& bounds) {
  PageQuery query;
  query.columns = kRunColumns;
  query.column_count = kRunColumnCount;
  query.where = base_where();
  query.prefix = {Value::of(phase)};
  if (phase == 2) {
    query.from.add("FROM track_runs r");
    query.where.add(" AND NOT EXISTS (SELECT 1 FROM track_latest_metrics x WHERE x.project = r.project AND x.run = r.id "
                    "AND x.key_id = ").bind(Value::of(key_id)).add(")");
    query.prefix.push_back(Value::null());
  } else {
    query.from.add("FROM track_latest_metrics o0 CROSS JOIN track_runs r");
    query.where.add(" AND r.id = o0.run AND ");
    in_scope(query.where, "o0");
    query.where.add(" AND o0.key_id = ").bind(Value::of(key_id)).add(" AND o0.is_nan = ").bind(Value::of(phase));
    for (const Comparison* bound : bounds) {
      query.where.add(" AND ");
      add_comparison(query.where, tx_.backend(), "o0.value", *bound);
    }
    if (phase == 0) {
      query.order.push_back({"o0.value", order_[0].ascending, Value::Type::kDouble});
    } else {
      query.prefix.push_back(Value::of(0.0));
    }
  }
  query.order.push_back({"r.start_ms", false, Value::Type::kInt});
  query.order.push_back({"r.run_id", true, Value::Type::kText});
  return query;
}

Result<void> RunQuery::walk_metric() {
  const std::vector<SortKey> token_keys = {{"", true, Value::Type::kInt}, {"", true, Value::Type::kDouble},
                                           {"", true, Value::Type::kInt}, {"", true, Value::Type::kText}};
  TRY(check_token(token_.after, token_keys));
  const int64_t key_id = key(order_[0].key);
  bool needs_value = false, may_be_nan = true;
  std::vector<const Comparison*> bounds;
  for (const Comparison* term : required_terms(filter_)) {
    if (term->field != Field::kMetric || term->key != order_[0].key) continue;
    needs_value = true;  // runs without the metric cannot match
    if (term->op != Op::kNe) may_be_nan = false, bounds.push_back(term);
  }
  const int64_t first = token_.after.empty() ? 0 : token_.after[0].i;
  std::vector<Value> last;
  for (int64_t phase = std::max<int64_t>(first, 0); phase <= 2; ++phase) {
    if ((phase == 1 && !may_be_nan) || (phase == 2 && needs_value)) continue;
    PageQuery query = walk_phase(phase, key_id, bounds);
    if (phase == first && !token_.after.empty()) {
      query.after.assign(token_.after.begin() + (phase == 0 ? 1 : 2), token_.after.end());
    }
    const size_t asked = static_cast<size_t>(search_.max_results);
    const bool full = found_.size() == asked;  // then only: does anything follow?
    query.limit = full ? 0 : static_cast<int64_t>(asked - found_.size());
    const PageEnd end = run_page(tx_, query, [this](store::Rows& rows) { found_.push_back(read_run_info(rows)); });
    if (!end.last.empty()) last = end.last;
    if (end.more) {
      next_ = last;
      return {};
    }
  }
  return {};
}

Result<void> RunQuery::general() {
  PageQuery query;
  query.columns = kRunColumns;
  query.column_count = kRunColumnCount;
  query.limit = search_.max_results;
  query.offset = token_.offset;
  query.after = token_.after;
  query.from.add("FROM ");
  if (driver_) query.from.add("(").add(*driver_).add(") AS d CROSS JOIN ");
  query.from.add("track_runs r");
  bool by_start = false;
  for (size_t i = 0; i < order_.size(); ++i) {
    const Order& order = order_[i];
    const std::string alias = "o" + std::to_string(i);
    std::string value;
    Value::Type type = Value::Type::kText;
    if (order.field == Field::kAttribute) {
      const Attribute& attribute = *find_attribute(kDialect, order.key);
      value = attribute.column;
      type = attribute.numeric ? Value::Type::kInt : Value::Type::kText;
      by_start |= order.key == "start_time";
    } else if (order.field == Field::kTag && order.key == kRunNameTag) {
      value = "r.name";
    } else {
      const bool metric = order.field == Field::kMetric;
      query.from.add(" LEFT JOIN ").add(metric ? "track_latest_metrics " : order.field == Field::kParam ? "track_params "
                                                                                                       : "track_tags ");
      query.from.add(alias).add(" ON ").add(alias).add(".project = r.project AND ").add(alias).add(".run = r.id AND ");
      query.from.add(alias).add(".key_id = ").bind(Value::of(key(order.key)));
      value = alias + ".value";
      if (metric) {
        type = Value::Type::kDouble;
        query.order.push_back({"(CASE WHEN " + alias + ".is_nan IS NULL THEN 2 ELSE " + alias + ".is_nan END)", true,
                               Value::Type::kInt});
      }
    }
    if (order.field != Field::kMetric && order.key != "start_time") {
      query.order.push_back({"(CASE WHEN " + value + " IS NULL THEN 1 ELSE 0 END)", true, Value::Type::kInt});
    }
    query.order.push_back({value, order.ascending, type});
  }
  if (!by_start) query.order.push_back({"r.start_ms", false, Value::Type::kInt});
  query.order.push_back({"r.run_id", true, Value::Type::kText});
  query.where = base_where();
  if (driver_) query.where.add(" AND r.id = d.run");
  TRY(check_token(token_.after, query.order));
  const PageEnd end = run_page(tx_, query, [this](store::Rows& rows) { found_.push_back(read_run_info(rows)); });
  if (end.more) next_ = end.last;
  return {};
}

Result<Page<Run>> RunQuery::run() {
  TRY(prepare());
  Page<Run> page;
  if (exps_.empty() || !choose_driver()) return page;
  TRY(can_walk_metric() ? walk_metric() : general());
  TRY(tx_.status());
  if (!next_.empty()) page.next_token = encode_page_token(search_text_, next_);
  page.rows.reserve(found_.size());
  for (RunInfo& info : found_) page.rows.push_back(load_run(tx_, std::move(info)));
  return page;
}

}  // namespace

Result<Page<Run>> search_runs(store::Tx& tx, const RunSearch& search) { return RunQuery(tx, search).run(); }

}  // namespace track
