// Searching registered models and their versions. Prompts are registered models too, told apart by a tag; a search
// finds models unless its filter asks for prompts.
#include <algorithm>
#include <array>

#include "track/search.h"
#include "track/search_sql.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

constexpr std::array kModelAttributes = {
    Attribute{.name = "name", .column = "g.name", .list = true},
    Attribute{.name = "timestamp", .column = "g.updated_ms", .numeric = true, .filterable = false},
    Attribute{.name = "last_updated_timestamp", .column = "g.updated_ms", .numeric = true, .filterable = false},
    Attribute{.name = "creation_timestamp", .column = "g.created_ms", .numeric = true, .filterable = false},
};
constexpr Dialect kModelDialect{.entity = "registered models", .attributes = kModelAttributes, .null_tests = false};

constexpr std::array kVersionAttributes = {
    Attribute{.name = "name", .column = "g.name", .list = true},
    Attribute{.name = "version_number", .column = "v.version", .numeric = true},
    Attribute{.name = "run_id", .column = "v.run_id", .list = true, .orderable = false},
    Attribute{.name = "source_path", .column = "v.source", .orderable = false},
    Attribute{.name = "creation_timestamp", .column = "v.created_ms", .numeric = true, .filterable = false},
    Attribute{.name = "last_updated_timestamp", .column = "v.updated_ms", .numeric = true, .filterable = false},
};
constexpr Dialect kVersionDialect{
    .entity = "model versions", .attributes = kVersionAttributes, .null_tests = false, .whole_numbers = true};

bool is_prompt_term(const Comparison& term) { return term.field == Field::kTag && term.key == kPromptTag; }

// "= 'true'" and "!= 'false'" ask for prompts; every other comparison with the tag asks for models.
bool asks_for_prompts(const Comparison& term) {
  return (term.op == Op::kEq && term.value.text == "true") || (term.op == Op::kNe && term.value.text == "false");
}

bool any_asks_for_prompts(const Filter& filter) {
  if (filter.kind == Filter::Kind::kTerm) return is_prompt_term(filter.term) && asks_for_prompts(filter.term);
  return std::ranges::any_of(filter.children, any_asks_for_prompts);
}

struct Entity {  // what differs between the two searches
  const Dialect& dialect;
  std::string_view tag_rows;  // "… WHERE" that ties tag rows t to the entity's row
  // The same of all rows that make it a prompt: one version that is a prompt's makes its model one.
  std::string_view prompt_rows;
};
constexpr std::string_view kModelTagRows =
    "SELECT 1 FROM track_registered_tags t WHERE t.project = g.project AND t.registered = g.id";
constexpr std::string_view kVersionTagRows =
    "SELECT 1 FROM track_version_tags t WHERE t.project = v.project AND t.version_row = v.id";

constexpr std::string_view kVersionPromptRows =
    "SELECT 1 FROM track_version_tags t JOIN track_versions w ON w.project = t.project AND w.id = t.version_row "
    "WHERE t.project = v.project AND w.registered = v.registered";

void write_not_prompt(SqlText& out, const Entity& entity) {
  out.add("NOT EXISTS (").add(entity.prompt_rows).add(" AND t.key = ").bind(Value::of(std::string(kPromptTag)));
  out.add(" AND t.value = 'true')");
}

void write_term(SqlText& out, store::Backend backend, const Entity& entity, const Comparison& term) {
  if (term.field == Field::kAttribute) {
    return add_comparison(out, backend, find_attribute(entity.dialect, term.key)->column, term);
  }
  if (is_prompt_term(term) && !asks_for_prompts(term)) return write_not_prompt(out, entity);
  out.add("EXISTS (").add(entity.tag_rows).add(" AND t.key = ").bind(Value::of(term.key)).add(" AND ");
  add_comparison(out, backend, "t.value", term);
  out.add(")");
}

Result<void> check_limit(int64_t asked, int64_t most) {
  if (asked < 1) {
    return invalid("Invalid value for max_results. It must be a positive integer, but got " + std::to_string(asked));
  }
  if (asked > most) {
    return invalid("Invalid value for request parameter max_results. It must be at most " + std::to_string(most) +
                   ", but got value " + std::to_string(asked));
  }
  return {};
}

// The asked order, then `ties` for whatever of them was not asked.
Result<std::vector<SortKey>> sort_keys(const std::vector<std::string>& clauses, const Dialect& dialect,
                                       const std::vector<SortKey>& ties, std::string& search_text) {
  std::vector<SortKey> keys;
  if (clauses.size() > kMaxOrderKeys) return invalid("order_by has too many clauses");
  for (const std::string& clause : clauses) {
    TRY_SET(const Order order, parse_order(clause, dialect));
    if (order.field != Field::kAttribute) return invalid("Invalid order_by entity: tag");
    const Attribute& attribute = *find_attribute(dialect, order.key);
    if (std::ranges::find(keys, attribute.column, [](const SortKey& k) -> std::string_view { return k.expr; }) !=
        keys.end()) {
      return invalid("`order_by` contains duplicate fields");
    }
    keys.push_back(
        {std::string(attribute.column), order.ascending, attribute.numeric ? Value::Type::kInt : Value::Type::kText});
    search_text += "\n" + clause;
  }
  for (const SortKey& tie : ties) {
    if (std::ranges::find(keys, tie.expr, &SortKey::expr) == keys.end()) keys.push_back(tie);
  }
  return keys;
}

// Everything but columns and FROM.
Result<PageQuery> plan(store::Tx& tx, const RegistrySearch& search, const Entity& entity,
                       const std::vector<SortKey>& ties, std::string& search_text) {
  PageQuery query;
  TRY_SET(const Filter filter, parse_filter(search.filter, entity.dialect));
  search_text.append("\n").append(search.filter);
  TRY_SET(query.order, sort_keys(search.order_by, entity.dialect, ties, search_text));
  TRY_SET(const PageToken token, decode_page_token(search_text, search.page_token));
  TRY(check_token(token.after, query.order));
  query.where.add("g.project = ").bind(Value::of(tx.project())).add(" AND ");
  add_filter(query.where, filter,
             [&](SqlText& out, const Comparison& term) { write_term(out, tx.backend(), entity, term); });
  if (!any_asks_for_prompts(filter)) {
    query.where.add(" AND ");
    write_not_prompt(query.where, entity);
  }
  query.after = token.after;
  query.offset = token.offset;
  query.limit = search.max_results;
  return query;
}

}  // namespace

Result<Page<RegisteredModel>> search_registered_models(store::Tx& tx, const RegistrySearch& search) {
  TRY(check_limit(search.max_results, kMaxRegisteredPage));
  std::string text = "registered models";
  TRY_SET(PageQuery query, plan(tx, search, {kModelDialect, kModelTagRows, kModelTagRows},
                                {{"g.name", true, Value::Type::kText}}, text));
  query.columns = kRegisteredColumns;
  query.column_count = 5;
  query.from.add("FROM track_registered g");
  Page<RegisteredModel> page;
  const PageEnd end = run_page(tx, query, [&](store::Rows& rows) { page.rows.push_back(read_registered(rows)); });
  TRY(tx.status());
  if (end.more) page.next_token = encode_page_token(text, end.last);
  for (RegisteredModel& model : page.rows) {
    load_registered(tx, model);
    std::ranges::sort(model.latest_versions, {}, &ModelVersion::stage);  // as upstream lists them here
  }
  return page;
}

Result<Page<ModelVersion>> search_versions(store::Tx& tx, const RegistrySearch& search) {
  TRY(check_limit(search.max_results, kMaxVersionsPage));
  std::string text = "model versions";
  RegistrySearch asked = search;
  if (asked.order_by.empty()) asked.order_by = {"last_updated_timestamp DESC"};
  TRY_SET(PageQuery query, plan(tx, asked, {kVersionDialect, kVersionTagRows, kVersionPromptRows},
                                {{"g.name", true, Value::Type::kText}, {"v.version", false, Value::Type::kInt}}, text));
  query.columns = kVersionColumns;
  query.column_count = 13;
  query.from.add("FROM track_registered g JOIN track_versions v ON v.project = g.project AND v.registered = g.id");
  query.where.add(" AND v.deleted = 0");
  Page<ModelVersion> page;
  const PageEnd end = run_page(tx, query, [&](store::Rows& rows) { page.rows.push_back(read_version(rows)); });
  TRY(tx.status());
  if (end.more) page.next_token = encode_page_token(text, end.last);
  for (ModelVersion& version : page.rows) load_version(tx, version, false);  // as upstream: without aliases
  return page;
}

}  // namespace track
