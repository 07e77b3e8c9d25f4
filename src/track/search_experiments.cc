#include <array>

#include "track/search.h"
#include "track/search_sql.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

constexpr int64_t kMaxPage = 50'000;

constexpr std::array kAttributes = {
    Attribute{.name = "name", .column = "e.name"},
    Attribute{.name = "experiment_id", .column = "e.id", .list = true},
    Attribute{.name = "creation_time", .column = "e.created_ms", .numeric = true},
    Attribute{.name = "last_update_time", .column = "e.updated_ms", .numeric = true},
};
constexpr Dialect kDialect{.entity = "experiments", .attributes = kAttributes, .whole_numbers = true};

// Ids are written as text in a filter and stored as numbers.
Result<void> number_ids(Filter& filter) {
  for (Filter& child : filter.children) TRY(number_ids(child));
  Comparison& term = filter.term;
  if (filter.kind != Filter::Kind::kTerm || term.key != "experiment_id" || term.field != Field::kAttribute) return {};
  if (term.op == Op::kLike || term.op == Op::kIlike) return invalid("Invalid comparator for experiment_id: LIKE");
  for (const std::string& id : term.list) TRY(parse_experiment_id(id));
  if (term.list.empty()) {
    TRY_SET(const int64_t id, parse_experiment_id(term.value.text));
    term.value = Value::of(id);
  }
  return {};
}

void write_term(SqlText& out, store::Backend backend, const Comparison& term) {
  if (term.field == Field::kAttribute) {
    if (term.key == "experiment_id" && !term.list.empty()) {
      std::vector<int64_t> ids;
      for (const std::string& id : term.list) ids.push_back(parse_experiment_id(id).value_or(-1));
      out.add("e.id ").add(term.op == Op::kIn ? "IN " : "NOT IN ").bind_list(ids);
      return;
    }
    return add_comparison(out, backend, find_attribute(kDialect, term.key)->column, term);
  }
  if (term.op == Op::kIsNull) out.add("NOT ");
  out.add("EXISTS (SELECT 1 FROM track_experiment_tags t WHERE t.project = e.project AND t.exp = e.id AND t.key = ");
  out.bind(Value::of(term.key));
  if (term.op != Op::kIsNull && term.op != Op::kIsNotNull) {
    out.add(" AND ");
    add_comparison(out, backend, "t.value", term);
  }
  out.add(")");
}

Result<std::vector<SortKey>> sort_keys(const std::vector<std::string>& clauses, std::string& search_text) {
  std::vector<SortKey> keys;
  bool by_id = false;
  if (clauses.size() > kMaxOrderKeys) return invalid("order_by has too many clauses");
  for (const std::string& clause : clauses) {
    TRY_SET(const Order order, parse_order(clause, kDialect));
    if (order.field != Field::kAttribute) return invalid("Invalid order_by entity: tag");
    const Attribute& attribute = *find_attribute(kDialect, order.key);
    by_id |= order.key == "experiment_id";
    keys.push_back(
        {std::string(attribute.column), order.ascending, order.key == "name" ? Value::Type::kText : Value::Type::kInt});
    search_text += "\n" + clause;
  }
  if (keys.empty()) {
    keys.push_back({"e.created_ms", false, Value::Type::kInt});
    keys.push_back({"e.id", true, Value::Type::kInt});
  } else if (!by_id) {
    keys.push_back({"e.id", false, Value::Type::kInt});
  }
  return keys;
}

}  // namespace

Result<Page<Experiment>> search_experiments(store::Tx& tx, const ExperimentSearch& search) {
  if (search.max_results <= 0 || search.max_results > kMaxPage) {
    return invalid("Invalid value " + std::to_string(search.max_results) +
                   " for parameter 'max_results' supplied. It must be " +
                   (search.max_results <= 0 ? "a positive integer" : "at most 50000"));
  }
  TRY_SET(Filter filter, parse_filter(search.filter, kDialect));
  TRY(number_ids(filter));
  std::string search_text = "experiments\n" + search.filter;
  PageQuery query;
  TRY_SET(query.order, sort_keys(search.order_by, search_text));
  TRY_SET(const PageToken token, decode_page_token(search_text, search.page_token));
  TRY(check_token(token.after, query.order));
  query.columns = "e.id, e.name, e.artifact_location, e.deleted, e.created_ms, e.updated_ms";
  query.column_count = 6;
  query.from.add("FROM track_experiments e");
  query.where.add("e.project = ").bind(Value::of(tx.project()));
  if (search.view != View::kAll)
    query.where.add(search.view == View::kActive ? " AND e.deleted = 0" : " AND e.deleted = 1");
  query.where.add(" AND ");
  add_filter(query.where, filter, [&](SqlText& out, const Comparison& term) { write_term(out, tx.backend(), term); });
  query.after = token.after;
  query.offset = token.offset;
  query.limit = search.max_results;
  Page<Experiment> page;
  const PageEnd end = run_page(tx, query, [&](store::Rows& rows) {
    page.rows.push_back({.id = rows.i64(0),
                         .name = rows.str(1),
                         .artifact_location = rows.str(2),
                         .deleted = rows.boolean(3),
                         .created_ms = rows.i64(4),
                         .updated_ms = rows.i64(5),
                         .tags = {}});
  });
  TRY(tx.status());
  if (end.more) page.next_token = encode_page_token(search_text, end.last);
  for (Experiment& experiment : page.rows) load_experiment_tags(tx, experiment);
  return page;
}

}  // namespace track
