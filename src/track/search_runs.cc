// Searching runs. Four plans, one meaning:
//   driven    a required comparison with few matches (counted first, up to kProbe) drives; the rest is checked per run
//   ordered   an index holds the order (a metric's values, or start times): it is walked in every experiment, and the
//             walks are merged; of a metric first values, then NaN, then runs without it
//   columns   what no index answers within a window of kWindow rows, of a large experiment: a pass over its columns
//             in memory (run_columns.h)
//   general   every run of the experiments is looked at, in the order of the start index where that is the order asked
#include <algorithm>
#include <array>

#include "store/kept.h"
#include "track/column_search.h"
#include "track/inputs.h"
#include "track/keys.h"
#include "track/search.h"
#include "track/search_sql.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

constexpr int64_t kProbe = 1001;           // a count stops here: more rows than that are found sooner otherwise
constexpr size_t kProbedExperiments = 50;  // with more, counting costs more than it saves
constexpr int64_t kWindow = 1000;          // rows of an index that are tried before the columns
constexpr int64_t kColumnsFrom = 5000;     // runs that are worth reading into memory
constexpr int64_t kDeep = 1'000'000'000;   // no list is as long: offsets are cut to it
constexpr int64_t kFew = 200;              // so many rows are sorted rather than walked
constexpr int64_t kSampled = 64;           // runs that tell how common a value is
constexpr int64_t kFinished = 3;           // the status that track_runs_unfinished leaves out
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
constexpr Dialect kDialect{
    .entity = "runs", .attributes = kAttributes, .metrics = true, .params = true, .datasets = true, .histories = true};

std::string pick_column(std::string_view table, Pick pick) {
  return std::string(table).append(pick == Pick::kLast ? ".value" : pick == Pick::kMin ? ".min_value" : ".max_value");
}

class RunQuery {
 public:
  RunQuery(store::Tx& tx, const RunSearch& search) : tx_(tx), search_(search) {}

  Result<Page<RunInfo>> run();
  Result<int64_t> count(int64_t most);

 private:
  struct Candidate {  // of one experiment's walk, until the walks are merged
    RunInfo info;
    double value = 0;
  };

  Result<void> prepare();
  int64_t key(std::string_view name) { return find_key(tx_, name).value_or(kNoKey); }
  void write_term(SqlText& out, const Comparison& term);
  void write_dataset_term(SqlText& out, const Comparison& term);
  std::string pinned(std::string_view table, std::string_view index) const;  // "table d", with its index on SQLite
  bool add_indexed_term(SqlText& out, const Comparison& term, std::string_view table);
  SqlText base_where();
  void in_scope(SqlText& out, std::string_view table);  // project and experiments of a child table
  int64_t offset() const { return token_.offset + (search_.page_token.empty() ? search_.offset : 0); }

  // Plans.
  std::optional<SqlText> driver_rows(const Comparison& term);  // "SELECT … run" with the few runs that match, unlimited
  // false: nothing can match. `always`: the best of what could drive does, however many rows it has.
  bool choose_driver(bool always = false);
  void order_terms();
  bool orders_by_metric() const { return order_.size() == 1 && order_[0].field == Field::kMetric; }
  bool orders_by_start() const {
    return order_.empty() ||
           (order_.size() == 1 && order_[0].field == Field::kAttribute && order_[0].key == "start_time");
  }
  bool bounds_order(const Comparison& term) const;  // a range of the index that holds the order
  bool walks_at_once() const;
  std::vector<const Comparison*> metric_bounds() const;
  Result<bool> walk_window();
  ColumnQuery column_query();
  // None: not to be had. `may_load`: also where that takes reading a large experiment.
  Result<std::vector<RunSnapshotPtr>> columns_for(const ColumnQuery& query, bool may_load);
  Result<bool> search_by_columns(bool may_load);
  bool can_walk_experiments() const {
    return exps_.size() <= kProbedExperiments && (offset() == 0 || exps_.size() == 1);
  }
  bool can_walk() const;
  PageQuery walk_phase(int64_t phase, int64_t key_id, const std::vector<const Comparison*>& bounds);
  PageQuery walk_start();
  // One page of what `make` reads per experiment, merged; true if more follows.
  template <class Make>
  bool merge(Make make, int64_t phase, std::vector<Value>& last);
  int64_t rows_of(const PageQuery& query);
  Result<void> walk_metric();
  Result<void> walk_starts();
  Result<void> general();

  store::Tx& tx_;
  const RunSearch& search_;
  Filter filter_;
  std::vector<Order> order_;
  std::vector<int64_t> exps_;
  std::string run_ = "r.id";    // the run's row in the query that is written: of whichever table is read first
  std::vector<int64_t> scope_;  // the experiments that a query is about: exps_, or one of them
  PageToken token_;
  std::string search_text_;
  std::optional<SqlText> driver_;  // "FROM …" part and its conditions, when a driver was chosen
  const Comparison* driver_term_ = nullptr;
  int64_t driver_size_ = 0;
  std::optional<Value> cut_;  // where the window of a walk ends
  std::vector<RunInfo> found_;
  std::vector<Value> next_;  // the last row's sort values, when more follow
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
      if (static_cast<const Column&>(other) == order) return invalid("`order_by` contains duplicate fields");
    }
    order_.push_back(std::move(order));
    search_text_ += "\n" + clause;
  }
  if (search_.experiment_ids.size() > kMaxSearchedExperiments) {
    return invalid("experiment_ids names " + std::to_string(search_.experiment_ids.size()) + " experiments; at most " +
                   std::to_string(kMaxSearchedExperiments) + " are allowed");
  }
  for (const std::string& id : search_.experiment_ids) {
    TRY_SET(const int64_t exp, experiment_row(tx_, id));
    // Walks of an experiment that is named twice would find its runs twice.
    if (std::ranges::find(exps_, exp) == exps_.end()) exps_.push_back(exp);
    search_text_ += "\n" + id;
  }
  scope_ = exps_;
  if (search_.offset < 0) return invalid("offset is " + std::to_string(search_.offset) + "; it must not be negative");
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
  if (add_indexed_term(out, term, table)) return;
  if (term.op == Op::kIsNull) out.add("NOT ");
  out.add("EXISTS (SELECT 1 FROM ").add(table).add(" x WHERE x.project = ").bind(Value::of(tx_.project()));
  out.add(" AND x.run = ").add(run_).add(" AND x.key_id = ").bind(Value::of(key(term.key)));
  if (term.op != Op::kIsNull && term.op != Op::kIsNotNull) {
    out.add(" AND ");
    if (term.field != Field::kMetric) {
      add_comparison(out, tx_.backend(), "x.value", term);
    } else if (term.pick != Pick::kLast) {  // NULL, of a metric that never was a number, matches nothing
      add_comparison(out, tx_.backend(), pick_column("x", term.pick), term);
    } else if (term.op == Op::kNe) {
      out.add("(x.value <> ").bind(term.value).add(" OR x.is_nan = 1)");
    } else {
      out.add("x.is_nan = 0 AND ");
      add_comparison(out, tx_.backend(), "x.value", term);
    }
  }
  out.add(")");
}

// Of several equalities that each select many runs the rarest is to be asked first, for it answers for most runs: that
// is seen by a sample of runs. PostgreSQL has statistics.
void RunQuery::order_terms() {
  if (tx_.backend() != store::Backend::kSqlite || exps_.size() != 1 || filter_.kind != Filter::Kind::kAll) return;
  const auto is_equality = [](const Filter& f) {
    return f.kind == Filter::Kind::kTerm && f.term.op == Op::kEq &&
           (f.term.field == Field::kParam || f.term.field == Field::kTag) && f.term.key != kRunNameTag;
  };
  if (std::ranges::count_if(filter_.children, is_equality) < 2) return;
  const int64_t newest = tx_.query_i64("SELECT MAX(id) FROM track_runs").value_or(0);
  std::vector<int64_t> sample;
  for (int64_t i = 1; i <= kSampled; ++i) sample.push_back(newest * i / kSampled);
  std::vector<std::pair<int64_t, Filter>> ranked;
  for (Filter& child : filter_.children) {
    int64_t hits = kSampled;  // others keep their place behind
    if (is_equality(child)) {
      SqlText text;
      text.add("SELECT COUNT(*) FROM (").add(*driver_rows(child.term)).add(" AND d.run IN ").bind_list(sample);
      text.add(") AS sampled");
      auto rows = open(tx_, text);
      hits = rows.next() ? rows.i64(0) : 0;
    }
    ranked.emplace_back(hits, std::move(child));
  }
  std::ranges::stable_sort(ranked, {}, [](const auto& each) { return each.first; });
  for (size_t i = 0; i < ranked.size(); ++i) filter_.children[i] = std::move(ranked[i].second);
}

// "This param (tag) has this value" asked of the index by value: what it holds of one value is small and read again and
// again, where each run's own rows lie somewhere else. SQLite must be told, for the primary key is unique.
bool RunQuery::add_indexed_term(SqlText& out, const Comparison& term, std::string_view table) {
  if (tx_.backend() != store::Backend::kSqlite || term.op != Op::kEq || scope_.size() != 1) return false;
  if (term.field != Field::kParam && term.field != Field::kTag) return false;
  if (first_chars(term.value.text, 99).size() != term.value.text.size()) return false;  // the index holds 100 of them
  out.add("EXISTS (SELECT 1 FROM ").add(table).add(" x INDEXED BY ").add(table).add("_by_value WHERE x.project = ");
  out.bind(Value::of(tx_.project())).add(" AND x.exp = ").bind(Value::of(scope_[0]));
  out.add(" AND x.key_id = ").bind(Value::of(key(term.key))).add(" AND substr(x.value, 1, 100) = ").bind(term.value);
  out.add(" AND x.run = ").add(run_).add(")");
  return true;
}

void RunQuery::in_scope(SqlText& out, std::string_view table) {
  out.add(table).add(".project = ").bind(Value::of(tx_.project())).add(" AND ").add(table).add(".exp ");
  scope_.size() == 1 ? out.add("= ").bind(Value::of(scope_[0])) : out.add("IN ").bind_list(scope_);
}

SqlText RunQuery::base_where() {
  SqlText out;
  in_scope(out, "r");
  if (search_.view != View::kAll) out.add(search_.view == View::kActive ? " AND r.deleted = 0" : " AND r.deleted = 1");
  // The plus keeps a planner from reading whole tables by run because of a bound that nearly all runs satisfy.
  if (search_.until_row) out.add(" AND +r.id <= ").bind(Value::of(*search_.until_row));
  if (search_.above_row) out.add(" AND +r.id > ").bind(Value::of(*search_.above_row));
  out.add(" AND ");
  add_filter(out, filter_, [this](SqlText& text, const Comparison& term) { write_term(text, term); });
  return out;
}

// What every text that a LIKE matches begins with.
std::string like_prefix(const Comparison& term) {
  if (term.op != Op::kLike) return "";
  const std::string prefix = term.value.text.substr(0, term.value.text.find_first_of("%_"));
  return std::string(first_chars(prefix, 99));
}

// "substr(column, 1, 100) = ?", or a range of it for a LIKE: as the indices by value and by name hold it.
bool add_indexed_text(SqlText& out, std::string_view column, const Comparison& term) {
  const std::string text = "substr(" + std::string(column) + ", 1, 100)";
  if (term.op == Op::kEq) {
    out.add(text).add(" = ").bind(Value::of(std::string(first_chars(term.value.text, 100))));
    return true;
  }
  const std::string prefix = like_prefix(term);
  if (prefix.empty()) return false;
  out.add(text).add(" >= ").bind(Value::of(prefix)).add(" AND ").add(text).add(" <= ");
  out.bind(Value::of(prefix + "\xF4\x8F\xBF\xBF"));  // the last character there is
  return true;
}

std::optional<int64_t> status_number(std::string_view name) {
  const auto status = run_status(name);
  return status ? std::optional(static_cast<int64_t>(*status)) : std::nullopt;
}

// Without statistics SQLite would rather read a whole project by primary key than an index that does not hold every
// column that is named.
std::string RunQuery::pinned(std::string_view table, std::string_view index) const {
  std::string out = std::string(table) + " d";
  if (tx_.backend() == store::Backend::kSqlite) out.append(" INDEXED BY ").append(index);
  return out;
}

// The rows of one index that a comparison selects: usable as a driver because (run, key) is unique in each table.
std::optional<SqlText> RunQuery::driver_rows(const Comparison& term) {
  SqlText out;
  const bool name = (term.field == Field::kAttribute && term.key == "run_name") ||
                    (term.field == Field::kTag && term.key == kRunNameTag);
  if (name) {
    out.add("SELECT d.id AS run FROM ").add(pinned("track_runs", "track_runs_by_name")).add(" WHERE ");
    in_scope(out, "d");
    out.add(" AND ");
    return add_indexed_text(out, "d.name", term) ? std::optional(std::move(out)) : std::nullopt;
  }
  if (term.field == Field::kAttribute && term.key == "run_id" && (term.op == Op::kEq || term.op == Op::kIn)) {
    out.add("SELECT d.id AS run FROM track_runs d WHERE d.project = ").bind(Value::of(tx_.project()));
    out.add(" AND ");
    add_comparison(out, tx_.backend(), "d.run_id", term);
    return out;
  }
  if (term.field == Field::kAttribute && term.key == "status" && term.op == Op::kEq) {
    const auto status = status_number(term.value.text);
    if (!status || *status == kFinished) return std::nullopt;
    out.add("SELECT d.id AS run FROM ").add(pinned("track_runs", "track_runs_unfinished")).add(" WHERE ");
    in_scope(out, "d");
    out.add(" AND d.status <> 3 AND d.status = ").bind(Value::of(*status));
    return out;
  }
  if (term.field == Field::kParam || term.field == Field::kTag) {
    const std::string table = term.field == Field::kParam ? "track_params" : "track_tags";
    out.add("SELECT d.run AS run FROM ").add(pinned(table, table + "_by_value")).add(" WHERE ");
    in_scope(out, "d");
    out.add(" AND d.key_id = ").bind(Value::of(key(term.key))).add(" AND ");
    return add_indexed_text(out, "d.value", term) ? std::optional(std::move(out)) : std::nullopt;
  }
  if (term.field == Field::kMetric && term.op != Op::kNe && term.op != Op::kIsNull && term.op != Op::kIsNotNull &&
      term.pick == Pick::kLast) {
    out.add("SELECT d.run AS run FROM track_latest_metrics d WHERE ");
    in_scope(out, "d");
    out.add(" AND d.key_id = ").bind(Value::of(key(term.key))).add(" AND d.is_nan = 0 AND ");
    add_comparison(out, tx_.backend(), "d.value", term);
    return out;
  }
  return std::nullopt;
}

bool RunQuery::choose_driver(bool always) {
  if (exps_.size() > kProbedExperiments) return true;
  int64_t least = kProbe;
  for (const Comparison* term : required_terms(filter_)) {
    auto rows_text = driver_rows(*term);
    if (!rows_text) continue;
    // Of the order's own metric more than a few are walked, however many there are.
    const bool walked = !always && term->field == Field::kMetric && orders_by_metric() && order_[0].key == term->key &&
                        order_[0].pick == Pick::kLast;
    const int64_t stop = walked ? std::min(least, kFew + 1) : least;
    SqlText count;
    count.add("SELECT COUNT(*) FROM (").add(*rows_text).add(" LIMIT ").bind(Value::of(stop)).add(") AS probe");
    auto rows = open(tx_, count);
    const int64_t n = rows.next() ? rows.i64(0) : 0;
    if (n == 0) return false;
    if (walked && n > kFew && can_walk_experiments()) continue;
    if (n < least || (always && !driver_)) {
      least = n;
      driver_ = std::move(rows_text);
      driver_term_ = term;
      driver_size_ = n;
    }
  }
  return true;
}

bool RunQuery::can_walk() const {
  if (!can_walk_experiments()) return false;
  if (orders_by_metric() && order_[0].pick == Pick::kLast) {
    // The rows that the order's own metric selects are read in order: better than sorting them, unless they are few.
    return !driver_ ||
           (driver_size_ > kFew && driver_term_->field == Field::kMetric && driver_term_->key == order_[0].key);
  }
  return orders_by_start() && !driver_ && exps_.size() > 1;  // of one experiment the general plan reads the same index
}

// One phase of the walk: 0 values, 1 NaN, 2 runs without the metric. The values of a token are (phase, value, start
// time, run id), the same as the general plan's, so that pages may come from either.
PageQuery RunQuery::walk_phase(int64_t phase, int64_t key_id, const std::vector<const Comparison*>& bounds) {
  PageQuery query;
  query.columns = kRunColumns;
  query.column_count = kRunColumnCount;
  run_ = phase == 2 ? "r.id" : "o0.run";  // so that what a run lacks is known before its row is fetched
  query.where = base_where();
  run_ = "r.id";
  query.prefix = {Value::of(phase)};
  if (phase == 2) {
    query.from.add("FROM track_runs r");
    query.where
        .add(
            " AND NOT EXISTS (SELECT 1 FROM track_latest_metrics x WHERE x.project = r.project AND x.run = r.id "
            "AND x.key_id = ")
        .bind(Value::of(key_id))
        .add(")");
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
    if (cut_) query.where.add(order_[0].ascending ? " AND o0.value < " : " AND o0.value > ").bind(*cut_);
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

PageQuery RunQuery::walk_start() {
  PageQuery query;
  query.columns = kRunColumns;
  query.column_count = kRunColumnCount;
  query.from.add("FROM track_runs r");
  query.where = base_where();
  if (cut_) {
    query.where.add(!order_.empty() && order_[0].ascending ? " AND r.start_ms < " : " AND r.start_ms > ").bind(*cut_);
  }
  query.order.push_back({"r.start_ms", !order_.empty() && order_[0].ascending, Value::Type::kInt});
  query.order.push_back({"r.run_id", true, Value::Type::kText});
  return query;
}

template <class Make>
bool RunQuery::merge(Make make, int64_t phase, std::vector<Value>& last) {
  const auto room = static_cast<size_t>(search_.max_results) - found_.size();
  const bool by_value = orders_by_metric() && phase == 0;
  const bool ascending = !order_.empty() && order_[0].ascending;
  std::vector<Candidate> all;
  bool more = false;
  for (const int64_t exp : exps_) {
    scope_ = {exp};
    PageQuery query = make();
    query.limit = static_cast<int64_t>(room);  // 0: only whether anything follows
    const PageEnd end = run_page(tx_, query, [&](store::Rows& rows) {
      all.push_back({read_run_info(rows), by_value ? rows.f64(kRunColumnCount) : 0});
    });
    more |= end.more;
  }
  scope_ = exps_;
  const auto before = [&](const Candidate& a, const Candidate& b) {
    if (by_value && a.value != b.value) return (a.value < b.value) == ascending;
    const bool oldest_first = !orders_by_metric() && ascending;
    if (a.info.start_ms != b.info.start_ms) return (a.info.start_ms < b.info.start_ms) == oldest_first;
    return a.info.run_id < b.info.run_id;
  };
  std::ranges::sort(all, before);
  more |= all.size() > room;
  all.resize(std::min(all.size(), room));
  if (!all.empty()) {
    const Candidate& end = all.back();
    last.clear();
    if (orders_by_metric()) last = {Value::of(phase), phase == 2 ? Value::null() : Value::of(end.value)};
    last.push_back(Value::of(end.info.start_ms));
    last.push_back(Value::of(end.info.run_id));
  }
  for (Candidate& one : all) found_.push_back(std::move(one.info));
  return more;
}

int64_t RunQuery::rows_of(const PageQuery& query) {
  SqlText text;
  text.add("SELECT COUNT(*) ").add(query.from).add(" WHERE ").add(query.where);
  auto rows = open(tx_, text);
  return rows.next() ? rows.i64(0) : 0;
}

Result<void> RunQuery::walk_metric() {
  const std::vector<SortKey> token_keys = {{"", true, Value::Type::kInt},
                                           {"", true, Value::Type::kDouble},
                                           {"", true, Value::Type::kInt},
                                           {"", true, Value::Type::kText}};
  TRY(check_token(token_.after, token_keys));
  const int64_t key_id = key(order_[0].key);
  bool needs_value = false;
  for (const Comparison* term : required_terms(filter_)) {
    // Runs without the metric cannot match.
    if (term->field == Field::kMetric && term->key == order_[0].key) needs_value |= term->op != Op::kIsNull;
  }
  const std::vector<const Comparison*> bounds = metric_bounds();
  const bool may_be_nan = bounds.empty();
  const int64_t first = token_.after.empty() ? 0 : token_.after[0].i;
  int64_t skip = offset();
  std::vector<Value> last;
  for (int64_t phase = std::max<int64_t>(first, 0); phase <= 2; ++phase) {
    if ((phase == 1 && !may_be_nan) || (phase == 2 && needs_value)) continue;
    const auto make = [&] {
      PageQuery query = walk_phase(phase, key_id, bounds);
      if (phase == first && !token_.after.empty())
        query.after.assign(token_.after.begin() + (phase == 0 ? 1 : 2), token_.after.end());
      query.offset = skip;
      return query;
    };
    const size_t had = found_.size();
    if (merge(make, phase, last)) {
      next_ = last;
      return {};
    }
    if (skip > 0) skip = found_.size() > had ? 0 : std::max<int64_t>(skip - rows_of(make()), 0);
  }
  return {};
}

Result<void> RunQuery::walk_starts() {
  TRY(check_token(token_.after, walk_start().order));
  std::vector<Value> last;
  const auto make = [&] {
    PageQuery query = walk_start();
    query.after = token_.after;
    return query;
  };
  if (merge(make, 0, last)) next_ = last;
  return {};
}

Result<void> RunQuery::general() {
  PageQuery query;
  query.columns = kRunColumns;
  query.column_count = kRunColumnCount;
  query.limit = search_.max_results;
  query.offset = offset();
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
      value = "(CASE WHEN r.name_tag = 1 THEN r.name END)";  // somebody may have deleted the tag
    } else {
      const bool metric = order.field == Field::kMetric;
      query.from.add(" LEFT JOIN ")
          .add(metric                         ? "track_latest_metrics "
               : order.field == Field::kParam ? "track_params "
                                              : "track_tags ");
      query.from.add(alias).add(" ON ").add(alias).add(".project = r.project AND ").add(alias).add(".run = r.id AND ");
      query.from.add(alias).add(".key_id = ").bind(Value::of(key(order.key)));
      value = pick_column(alias, order.pick);
      if (metric) {
        type = Value::Type::kDouble;
        const std::string flag = order.pick == Pick::kLast
                                     ? "(CASE WHEN " + alias + ".is_nan IS NULL THEN 2 ELSE " + alias + ".is_nan END)"
                                     : "(CASE WHEN " + value + " IS NULL THEN 1 ELSE 0 END)";
        query.order.push_back({flag, true, Value::Type::kInt});
      }
    }
    if (order.field != Field::kMetric && !(order.field == Field::kAttribute && order.key == "start_time")) {
      query.order.push_back({"(CASE WHEN " + value + " IS NULL THEN 1 ELSE 0 END)", true, Value::Type::kInt});
    }
    query.order.push_back({value, order.ascending, type});
  }
  if (!by_start) query.order.push_back({"r.start_ms", false, Value::Type::kInt});
  query.order.push_back({"r.run_id", true, Value::Type::kText});
  if (driver_) run_ = "d.run";
  query.where = base_where();
  run_ = "r.id";
  if (driver_) query.where.add(" AND r.id = d.run");
  TRY(check_token(token_.after, query.order));
  const PageEnd end = run_page(tx_, query, [this](store::Rows& rows) { found_.push_back(read_run_info(rows)); });
  if (end.more) next_ = end.last;
  return {};
}

bool RunQuery::bounds_order(const Comparison& term) const {
  if (orders_by_start()) return term.field == Field::kAttribute && term.key == "start_time" && term.op != Op::kNe;
  return orders_by_metric() && term.field == Field::kMetric && term.key == order_[0].key && term.pick == Pick::kLast &&
         order_[0].pick == Pick::kLast && term.op != Op::kNe && term.op != Op::kIsNull && term.op != Op::kIsNotNull;
}

std::vector<const Comparison*> RunQuery::metric_bounds() const {
  std::vector<const Comparison*> bounds = required_terms(filter_);
  std::erase_if(bounds, [this](const Comparison* term) { return !bounds_order(*term); });
  return bounds;
}

// Whether the rows of an index, from its end or a bound on, are the answer: whatever else is asked lets all pass.
bool RunQuery::walks_at_once() const {
  if (!orders_by_start() && !(orders_by_metric() && order_[0].pick == Pick::kLast)) return false;
  if (orders_by_start() && search_.view == View::kAll) return false;  // the index has them apart
  if (offset() > kWindow) return false;
  const auto is_bound = [this](const Filter& f) { return f.kind == Filter::Kind::kTerm && bounds_order(f.term); };
  return is_bound(filter_) || (filter_.kind == Filter::Kind::kAll && std::ranges::all_of(filter_.children, is_bound));
}

// The page, where a filter matches so often that the first rows of the walk fill it. False: they do not, and nothing
// was found.
Result<bool> RunQuery::walk_window() {
  const bool metric = orders_by_metric() && order_[0].pick == Pick::kLast;
  if (exps_.size() != 1 || offset() > 0 || !(metric || (orders_by_start() && search_.view != View::kAll))) return false;
  const std::vector<Value>& after = token_.after;
  if (metric && !after.empty() && after[0].i != 0) return false;
  const int64_t key_id = metric ? key(order_[0].key) : 0;
  const auto bounds = metric_bounds();
  const bool ascending = !order_.empty() && order_[0].ascending;
  const std::string_view column = metric ? "o0.value" : "r.start_ms";
  SqlText text;
  text.add("SELECT ").add(column);
  text.add(metric ? " FROM track_latest_metrics o0 WHERE " : " FROM track_runs r WHERE ");
  in_scope(text, metric ? "o0" : "r");
  if (metric) {
    text.add(" AND o0.key_id = ").bind(Value::of(key_id)).add(" AND o0.is_nan = 0");
  } else {
    text.add(search_.view == View::kActive ? " AND r.deleted = 0" : " AND r.deleted = 1");
  }
  for (const Comparison* bound : bounds) {
    text.add(" AND ");
    add_comparison(text, tx_.backend(), column, *bound);
  }
  if (!after.empty()) text.add(" AND ").add(column).add(ascending ? " >= " : " <= ").bind(after[metric ? 1 : 0]);
  text.add(" ORDER BY ").add(column).add(ascending ? "" : " DESC").add(" LIMIT 1 OFFSET ").bind(Value::of(kWindow));
  {
    auto rows = open(tx_, text);
    if (!rows.next()) return false;  // all there is fits in: the plain walk is as good
    cut_ = metric ? Value::of(rows.f64(0)) : Value::of(rows.i64(0));
  }
  std::vector<Value> last;
  const auto make = [&] {
    PageQuery query = metric ? walk_phase(0, key_id, bounds) : walk_start();
    if (!after.empty()) query.after.assign(after.begin() + (metric ? 1 : 0), after.end());
    return query;
  };
  const bool full = merge(make, 0, last);
  cut_.reset();
  if (full) {
    next_ = last;
  } else {
    found_.clear();
  }
  TRY(tx_.status());
  return full;
}

ColumnQuery RunQuery::column_query() {
  return {.filter = filter_,
          .order = order_,
          .view = search_.view,
          .until_row = search_.until_row,
          .above_row = search_.above_row,
          .offset = std::min(offset(), kDeep),
          .limit = search_.max_results,
          .after = token_.after,
          .key = [this](std::string_view name) { return key(name); }};
}

Result<std::vector<RunSnapshotPtr>> RunQuery::columns_for(const ColumnQuery& query, bool may_load) {
  std::vector<RunSnapshotPtr> out;
  store::Kept* kept = store::kept_beside(tx_);
  const auto keys = needed_columns(query);
  if (kept == nullptr || !keys || exps_.size() > kProbedExperiments) return out;
  RunColumns& columns = kept->of<RunColumns>();
  bool large = false;  // known once something is missing
  for (const int64_t exp : exps_) {
    TRY_SET(RunSnapshotPtr snapshot, columns.get(tx_, exp, *keys, large));
    if (!snapshot && may_load && !large) {
      SqlText text;
      text.add("SELECT COUNT(*) FROM (SELECT 1 FROM track_runs r WHERE ");
      in_scope(text, "r");
      text.add(" LIMIT ").bind(Value::of(kColumnsFrom)).add(") AS runs");
      auto rows = open(tx_, text);
      large = rows.next() && rows.i64(0) == kColumnsFrom;
      if (large) {
        TRY_SET(snapshot, columns.get(tx_, exp, *keys, true));
      }
    }
    if (!snapshot) return std::vector<RunSnapshotPtr>();
    out.push_back(std::move(snapshot));
  }
  return out;
}

Result<bool> RunQuery::search_by_columns(bool may_load) {
  const ColumnQuery query = column_query();
  TRY_SET(const auto snapshots, columns_for(query, may_load));
  if (snapshots.empty()) return false;
  TRY_SET(ColumnPage page, search_columns(snapshots, query));
  const std::string sql = "SELECT " + std::string(kRunColumns) + " FROM track_runs r WHERE r.project = ? AND r.id = ?";
  for (const int64_t row : page.rows) {
    auto rows = tx_.query(sql, tx_.project(), row);
    if (rows.next()) found_.push_back(read_run_info(rows));
  }
  next_ = std::move(page.next);
  TRY(tx_.status());
  return true;
}

Result<Page<RunInfo>> RunQuery::run() {
  TRY(prepare());
  Page<RunInfo> page;
  if (exps_.empty() || !choose_driver()) return page;
  bool found = false;
  if (!(driver_ && driver_size_ <= kFew) && !walks_at_once()) {
    TRY_SET(found, search_by_columns(false));
    if (!found && !driver_) {
      TRY_SET(found, walk_window());
    }
    if (!found && !driver_) {
      TRY_SET(found, search_by_columns(true));
    }
  }
  if (!found) {
    if (!driver_) order_terms();
    TRY(!can_walk() ? general() : orders_by_metric() ? walk_metric() : walk_starts());
  }
  TRY(tx_.status());
  if (!next_.empty()) page.next_token = encode_page_token(search_text_, next_);
  page.rows = std::move(found_);
  return page;
}

Result<int64_t> RunQuery::count(int64_t most) {
  TRY(prepare());
  if (exps_.empty()) return 0;
  if (search_.above_row) {  // few: whatever came since somebody looked
    driver_.emplace().add("SELECT d.id AS run FROM track_runs d WHERE d.id > ").bind(Value::of(*search_.above_row));
  } else if (!choose_driver(true)) {
    return 0;
  }
  const bool all_match = filter_.kind == Filter::Kind::kAll && filter_.children.empty();
  if (!search_.above_row && !all_match && (!driver_ || driver_size_ == kProbe)) {
    const ColumnQuery query = column_query();
    TRY_SET(const auto snapshots, columns_for(query, true));
    if (!snapshots.empty()) return std::min(count_columns(snapshots, query), most);
  }
  SqlText text;
  text.add("SELECT COUNT(*) FROM (SELECT 1 FROM ");
  if (driver_) text.add("(").add(*driver_).add(") AS d CROSS JOIN ");
  text.add("track_runs r WHERE ").add(base_where());
  if (driver_) text.add(" AND r.id = d.run");
  text.add(" LIMIT ").bind(Value::of(most)).add(") AS matches");
  auto rows = open(tx_, text);
  const int64_t found = rows.next() ? rows.i64(0) : 0;
  TRY(tx_.status());
  return found;
}

}  // namespace

Result<Page<RunInfo>> search_run_infos(store::Tx& tx, const RunSearch& search) { return RunQuery(tx, search).run(); }

Result<Page<Run>> search_runs(store::Tx& tx, const RunSearch& search) {
  TRY_SET(Page<RunInfo> found, search_run_infos(tx, search));
  Page<Run> page;
  page.next_token = std::move(found.next_token);
  page.rows = load_runs(tx, std::move(found.rows));
  return page;
}

Result<int64_t> count_runs(store::Tx& tx, const RunSearch& search, int64_t most) {
  RunSearch asked = search;
  asked.page_token.clear();
  asked.order_by.clear();
  asked.max_results = 1;
  return RunQuery(tx, asked).count(most);
}

std::optional<FilterProblem> check_run_filter(std::string_view filter) {
  FilterProblem out;
  auto parsed = parse_filter(filter, kDialect, &out.at);
  if (parsed) return std::nullopt;
  out.message = std::move(parsed).error().message;
  return out;
}

const Dialect& run_dialect() { return kDialect; }

Result<Column> run_column(std::string_view text) {
  TRY_SET(Column column, parse_column(text, kDialect));
  if (column.field != Field::kMetric && column.field != Field::kParam && column.field != Field::kTag)
    return invalid("a column is a metric, a parameter or a tag; found '" + std::string(first_chars(text, 200)) + "'");
  return column;
}

}  // namespace track
