// Searching logged models.
#include <algorithm>
#include <array>

#include "track/search.h"
#include "track/search_sql.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

constexpr int64_t kMaxPage = 50'000;
constexpr std::string_view kStatusText =
    "(CASE m.status WHEN 1 THEN 'PENDING' WHEN 2 THEN 'READY' WHEN 3 THEN 'UPLOAD_FAILED' ELSE 'UNSPECIFIED' END)";

constexpr std::array kAttributes = {
    Attribute{.name = "name", .column = "m.name", .list = true},
    Attribute{.name = "model_id", .column = "m.model_id", .list = true},
    Attribute{.name = "model_type", .column = "m.model_type", .list = true},
    Attribute{.name = "status", .column = kStatusText, .list = true},
    Attribute{.name = "source_run_id", .column = "m.source_run_id", .list = true},
    Attribute{.name = "artifact_location", .column = "m.artifact_uri", .list = true},
    Attribute{.name = "creation_timestamp", .column = "m.created_ms", .numeric = true},
    Attribute{.name = "creation_time", .column = "m.created_ms", .numeric = true},
    Attribute{.name = "creation_timestamp_ms", .column = "m.created_ms", .numeric = true},
    Attribute{.name = "last_updated_timestamp", .column = "m.updated_ms", .numeric = true},
    Attribute{.name = "last_updated_timestamp_ms", .column = "m.updated_ms", .numeric = true},
};
constexpr Dialect kDialect{
    .entity = "logged models", .attributes = kAttributes, .metrics = true, .params = true, .lists = true};

// "(d = … OR d = …)" over the metric rows x.
void write_datasets(SqlText& out, const std::vector<DatasetFilter>& datasets) {
  out.add("(");
  for (size_t i = 0; i < datasets.size(); ++i) {
    out.add(i ? " OR (" : "(").add("x.dataset_name = ").bind(Value::of(datasets[i].name));
    if (!datasets[i].digest.empty()) out.add(" AND x.dataset_digest = ").bind(Value::of(datasets[i].digest));
    out.add(")");
  }
  out.add(")");
}

void write_term(SqlText& out, store::Backend backend, const ModelSearch& search, const Comparison& term) {
  if (term.field == Field::kAttribute) {
    return add_comparison(out, backend, find_attribute(kDialect, term.key)->column, term);
  }
  const std::string_view table = term.field == Field::kMetric  ? "track_model_metrics"
                                 : term.field == Field::kParam ? "track_model_params"
                                                               : "track_model_tags";
  if (term.op == Op::kIsNull) out.add("NOT ");
  out.add("EXISTS (SELECT 1 FROM ").add(table).add(" x WHERE x.project = m.project AND x.model = m.id AND x.key = ");
  out.bind(Value::of(term.key));
  if (term.op != Op::kIsNull && term.op != Op::kIsNotNull) {
    out.add(" AND ");
    add_comparison(out, backend, "x.value", term);
  }
  if (term.field == Field::kMetric && !search.datasets.empty()) {
    out.add(" AND ");
    write_datasets(out, search.datasets);
  }
  out.add(")");
}

bool names_metric(const Filter& filter) {
  if (filter.kind == Filter::Kind::kTerm) return filter.term.field == Field::kMetric;
  return std::ranges::any_of(filter.children, names_metric);
}

// The newest value of a metric for each model, joined as `alias`.
void join_metric(SqlText& from, int64_t project, const ModelOrder& order, std::string_view metric,
                 const std::string& alias) {
  from.add(
      " LEFT JOIN (SELECT model, value FROM (SELECT x.model, x.value, ROW_NUMBER() OVER (PARTITION BY x.model "
      "ORDER BY x.at_ms DESC, x.step DESC, x.run_id) AS rn FROM track_model_metrics x WHERE x.project = ");
  from.bind(Value::of(project)).add(" AND x.key = ").bind(Value::of(std::string(metric)));
  if (!order.dataset_name.empty()) from.add(" AND x.dataset_name = ").bind(Value::of(order.dataset_name));
  if (!order.dataset_digest.empty()) from.add(" AND x.dataset_digest = ").bind(Value::of(order.dataset_digest));
  from.add(") AS ranked WHERE rn = 1) AS ").add(alias).add(" ON ").add(alias).add(".model = m.id");
}

Result<void> add_order(PageQuery& query, int64_t project, const ModelSearch& search) {
  bool by_time = false, by_id = false;
  if (search.order_by.size() > kMaxOrderKeys) return invalid("order_by has too many entries");
  for (size_t i = 0; i < search.order_by.size(); ++i) {
    const ModelOrder& order = search.order_by[i];
    const size_t dot = order.field.find('.');
    std::string expr;
    Value::Type type = Value::Type::kText;
    if (dot == order.field.npos) {
      const Attribute* attribute = find_attribute(kDialect, order.field);
      if (!attribute) return invalid("Invalid order by field name: " + order.field);
      expr = attribute->column;
      if (attribute->numeric) type = Value::Type::kInt;
      by_time |= attribute->column == "m.created_ms";
      by_id |= attribute->name == "model_id";
    } else {
      if (order.field.substr(0, dot) != "metrics") {
        return invalid("Invalid order by field name: " + order.field + ". Only metrics are supported.");
      }
      const std::string alias = "o" + std::to_string(i);
      join_metric(query.from, project, order, std::string_view(order.field).substr(dot + 1), alias);
      expr = alias + ".value";
      type = Value::Type::kDouble;
      query.order.push_back({"(CASE WHEN " + expr + " IS NULL THEN 1 ELSE 0 END)", true, Value::Type::kInt});
    }
    query.order.push_back({expr, order.ascending, type});
  }
  if (!by_time) query.order.push_back({"m.created_ms", false, Value::Type::kInt});
  if (!by_id) query.order.push_back({"m.model_id", true, Value::Type::kText});
  return {};
}

std::string text_of(const ModelSearch& search) {
  std::string text = "logged models\n" + search.filter;
  for (const std::string& id : search.experiment_ids) text += "\n" + id;
  for (const DatasetFilter& d : search.datasets) text += "\n" + d.name + " " + d.digest;
  for (const ModelOrder& o : search.order_by) {
    text += "\n" + o.field + (o.ascending ? " asc " : " desc ") + o.dataset_name + " " + o.dataset_digest;
  }
  return text;
}

}  // namespace

Result<Page<Model>> search_models(store::Tx& tx, const ModelSearch& search) {
  if (search.max_results < 1 || search.max_results > kMaxPage) {
    return invalid("Invalid value " + std::to_string(search.max_results) +
                   " for parameter 'max_results' supplied. It must be a positive integer, at most 50000");
  }
  for (const DatasetFilter& dataset : search.datasets) {
    if (dataset.name.empty()) return invalid("`dataset_name` in the `datasets` clause must be specified.");
  }
  TRY_SET(const Filter filter, parse_filter(search.filter, kDialect));
  std::vector<int64_t> exps;
  if (search.experiment_ids.size() > kMaxSearchedExperiments)
    return invalid("experiment_ids names too many experiments");
  for (const std::string& id : search.experiment_ids) {
    TRY_SET(exps.emplace_back(), experiment_row(tx, id));
  }
  const std::string text = text_of(search);
  PageQuery query;
  query.columns = kModelColumns;
  query.column_count = 12;
  query.from.add("FROM track_models m");
  TRY(add_order(query, tx.project(), search));
  TRY_SET(const PageToken token, decode_page_token(text, search.page_token));
  TRY(check_token(token.after, query.order));
  if (exps.empty()) return Page<Model>{};
  query.where.add("m.project = ").bind(Value::of(tx.project())).add(" AND m.exp IN ").bind_list(exps);
  query.where.add(" AND m.deleted = 0 AND ");
  add_filter(query.where, filter,
             [&](SqlText& out, const Comparison& term) { write_term(out, tx.backend(), search, term); });
  if (!search.datasets.empty() && !names_metric(filter)) {
    query.where.add(
        " AND EXISTS (SELECT 1 FROM track_model_metrics x WHERE x.project = m.project AND x.model = m.id AND ");
    write_datasets(query.where, search.datasets);
    query.where.add(")");
  }
  query.after = token.after;
  query.offset = token.offset;
  query.limit = search.max_results;
  std::vector<ModelInfo> found;
  const PageEnd end = run_page(tx, query, [&](store::Rows& rows) { found.push_back(read_model_info(rows)); });
  TRY(tx.status());
  Page<Model> page;
  if (end.more) page.next_token = encode_page_token(text, end.last);
  for (ModelInfo& info : found) page.rows.push_back(load_model(tx, std::move(info)));
  return page;
}

}  // namespace track
