#include "traces/search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "store/packed_text.h"
#include "traces/analytics.h"
#include "traces/span.h"
#include "track/search_sql.h"
#include "track/validate.h"

namespace traces {

using base::invalid;
using base::Result;
using track::Comparison;
using track::Field;
using track::Filter;
using track::Op;
using track::SqlText;
using track::Value;

namespace {

constexpr std::string_view kEndMs = "(t.start_ms + COALESCE(t.duration_ms, 0))";
// prompt and text are no columns: what they mean is written by write_attribute.
constexpr std::array kAttributes = {
    track::Attribute{.name = "request_id", .column = "t.trace_id", .list = true},
    track::Attribute{.name = "timestamp", .column = "t.start_ms", .numeric = true},
    track::Attribute{.name = "timestamp_ms", .column = "t.start_ms", .numeric = true},
    track::Attribute{.name = "execution_time", .column = "t.duration_ms", .numeric = true},
    track::Attribute{.name = "execution_time_ms", .column = "t.duration_ms", .numeric = true},
    track::Attribute{.name = "end_time", .column = kEndMs, .numeric = true},
    track::Attribute{.name = "end_time_ms", .column = kEndMs, .numeric = true},
    track::Attribute{.name = "status", .column = "t.state", .list = true},
    track::Attribute{.name = "client_request_id", .column = "t.client_request_id", .list = true, .orderable = false},
    track::Attribute{.name = "name", .column = "t.name", .list = true},
    track::Attribute{.name = "run_id", .column = "", .list = true},
    track::Attribute{.name = "experiment_id", .column = "t.exp", .numeric = true, .filterable = false},
    track::Attribute{.name = "prompt", .column = "", .orderable = false},
    track::Attribute{.name = "text", .column = "", .orderable = false},
};
constexpr track::Dialect kDialect{.entity = "traces", .attributes = kAttributes, .null_tests = true, .traces = true};

// Writes a filter's tree as a condition on `t`.
class Writer {
 public:
  Writer(store::Backend backend, const std::vector<int64_t>& experiments) : backend_(backend) {
    for (const int64_t id : experiments)
      experiments_.append(experiments_.empty() ? "" : ", ").append(std::to_string(id));
    if (experiments_.empty()) experiments_ = "NULL";
  }

  void write(SqlText& out, const Filter& filter) {
    switch (filter.kind) {
      case Filter::Kind::kTerm: write_terms(out, {&filter.term}); return;
      case Filter::Kind::kNot:
        out.add("NOT (");
        write(out, filter.children[0]);
        out.add(")");
        return;
      case Filter::Kind::kAny: write_chain(out, filter, " OR "); return;
      case Filter::Kind::kAll: write_all(out, filter); return;
    }
  }

 private:
  static bool is_span(const Filter& filter) {
    return filter.kind == Filter::Kind::kTerm &&
           (filter.term.field == Field::kSpan || (filter.term.field == Field::kAttribute && filter.term.key == "text"));
  }

  void write_chain(SqlText& out, const Filter& filter, std::string_view word) {
    out.add("(");
    for (size_t i = 0; i < filter.children.size(); ++i) {
      if (i != 0) out.add(word);
      write(out, filter.children[i]);
    }
    out.add(")");
  }

  // What is said of spans side by side is said of one span.
  void write_all(SqlText& out, const Filter& filter) {
    out.add("(1 = 1");
    std::vector<const Comparison*> spans;
    for (const Filter& child : filter.children) {
      if (is_span(child)) {
        spans.push_back(&child.term);
        continue;
      }
      out.add(" AND ");
      write(out, child);
    }
    if (!spans.empty()) {
      out.add(" AND ");
      write_terms(out, spans);
    }
    out.add(")");
  }

  void write_terms(SqlText& out, const std::vector<const Comparison*>& terms) {
    const Comparison& term = *terms[0];
    switch (term.field) {
      case Field::kTag: return write_pair(out, term, "trace_tags");
      case Field::kMetadata: return write_metadata(out, term);
      case Field::kFeedback:
      case Field::kExpectation: return write_assessment(out, term);
      case Field::kIssue: return write_issue(out, term);
      case Field::kAttribute:
        if (term.key != "text") return write_attribute(out, term);
        break;
      default: break;
    }
    out.add("EXISTS (SELECT 1 FROM trace_spans s WHERE s.project = t.project AND s.trace = t.id");
    for (const Comparison* span : terms) {
      out.add(" AND ");
      write_span(out, *span);
    }
    out.add(")");
  }

  void write_column(SqlText& out, std::string_view column, const Comparison& term) {
    if (term.op == Op::kIsNull || term.op == Op::kIsNotNull) {
      out.add(column).add(term.op == Op::kIsNull ? " IS NULL" : " IS NOT NULL");
      return;
    }
    out.add("(").add(column).add(" IS NOT NULL AND ");  // a condition is true or false, so that NOT works
    track::add_comparison(out, backend_, column, term);
    out.add(")");
  }

  void write_attribute(SqlText& out, const Comparison& term) {
    if (term.key == "run_id") return write_run(out, term);
    if (term.key == "prompt") {
      out.add("EXISTS (SELECT 1 FROM trace_prompts p WHERE p.project = t.project AND p.trace = t.id AND p.prompt = ");
      out.bind(term.value).add(")");
      return;
    }
    write_column(out, track::find_attribute(kDialect, term.key)->column, term);
  }

  // A trace belongs to the run that made it, and to those that it was linked to.
  void write_run(SqlText& out, const Comparison& term) {
    Comparison entry = term;
    entry.field = Field::kMetadata;
    entry.key = kSourceRunKey;
    if (term.op != Op::kEq) return write_pair(out, entry, "trace_metadata");
    out.add("(EXISTS (SELECT 1 FROM trace_runs l WHERE l.project = t.project AND l.trace = t.id AND l.run_id = ");
    out.bind(term.value).add(") OR ");
    write_pair(out, entry, "trace_metadata");
    out.add(")");
  }

  void write_pair(SqlText& out, const Comparison& term, std::string_view table) {
    if (term.field == Field::kTag && term.key == kTraceNameTag) return write_column(out, "t.name", term);
    if (term.op == Op::kIsNull) out.add("NOT ");
    out.add("EXISTS (SELECT 1 FROM ").add(table).add(" x WHERE x.project = t.project AND x.trace = t.id AND x.key = ");
    out.bind(Value::of(term.key));
    if (term.op != Op::kIsNull && term.op != Op::kIsNotNull) {
      out.add(" AND ");
      track::add_comparison(out, backend_, "x.value", term);
    }
    out.add(")");
  }

  void write_metadata(SqlText& out, const Comparison& term) {
    if (term.key == kSessionKey) return write_column(out, "t.session", term);
    if (term.key == kSourceRunKey && term.op == Op::kEq) return write_run(out, term);
    if (term.key != kTokenUsageKey && term.key != kCostKey) return write_pair(out, term, "trace_metadata");
    // Kept as columns; the text that a client sees of them is the one that can be asked for.
    const bool tokens = term.key == kTokenUsageKey;
    constexpr std::array<std::string_view, 6> kTokens = {"t.input_tokens",          "t.output_tokens",
                                                         "t.total_tokens",          "t.cache_read_tokens",
                                                         "t.cache_creation_tokens", "t.cache_creation_1h_tokens"};
    constexpr std::array<std::string_view, 3> kCosts = {"t.input_cost", "t.output_cost", "t.total_cost"};
    const std::span<const std::string_view> columns =
        tokens ? std::span<const std::string_view>(kTokens) : std::span<const std::string_view>(kCosts);
    std::string known = "COALESCE(";
    for (size_t i = 0; i < columns.size(); ++i) known.append(i != 0 ? ", " : "").append(columns[i]);
    known += ") IS NOT NULL";
    if (term.op == Op::kIsNull || term.op == Op::kIsNotNull) {
      out.add(term.op == Op::kIsNull ? "NOT (" : "(").add(known).add(")");
      return;
    }
    const Analytics asked = tokens ? read_usage(term.value.text) : read_costs(term.value.text);
    const std::string canonical = tokens ? usage_text(asked) : cost_text(asked);
    out.add("(").add(known).add(term.op == Op::kNe ? " AND NOT (" : " AND (");
    if (canonical.empty() || canonical != term.value.text) {
      out.add("1 = 0");
    } else {
      for (size_t i = 0; i < columns.size(); ++i) {
        if (i != 0) out.add(" AND ");
        const bool given = tokens ? asked.tokens[i].has_value() : asked.costs[i].has_value();
        out.add(columns[i]).add(given ? " = " : " IS NULL");
        if (given) out.bind(tokens ? Value::of(*asked.tokens[i]) : Value::of(*asked.costs[i]));
      }
    }
    out.add("))");
  }

  void write_assessment_value(SqlText& out, const Comparison& term) {
    switch (term.op) {
      case Op::kIsNull:
      case Op::kIsNotNull: return;
      case Op::kLt:
      case Op::kLe:
      case Op::kGt:
      case Op::kGe: out.add(" AND a.is_number = 1 AND "); return track::add_comparison(out, backend_, "a.number", term);
      case Op::kEq:
      case Op::kNe:  // values are JSON: 'yes' is the text, 'true' the truth
        out.add(term.op == Op::kEq ? " AND (a.value = " : " AND NOT (a.value = ");
        out.bind(term.value).add(" OR a.value = ").bind(Value::of(python_string(term.value.text))).add(")");
        return;
      default: out.add(" AND "); return track::add_comparison(out, backend_, "a.value", term);
    }
  }

  // Of this trace, or, where it is said of a whole session, of any trace in it.
  void write_assessment(SqlText& out, const Comparison& term) {
    const std::string_view kind = term.field == Field::kFeedback ? "feedback" : "expectation";
    const auto conditions = [&] {
      out.add(" AND a.kind = ").bind(Value::of(std::string(kind))).add(" AND a.name = ").bind(Value::of(term.key));
      out.add(" AND a.valid = 1");
      write_assessment_value(out, term);
    };
    out.add(term.op == Op::kIsNull ? "NOT (" : "(");
    out.add("EXISTS (SELECT 1 FROM trace_assessments a WHERE a.project = t.project AND a.trace = t.id");
    conditions();
    out.add(
           ") OR (t.session IS NOT NULL AND EXISTS (SELECT 1 FROM trace_assessments a JOIN traces u "
           "ON u.project = a.project AND u.id = a.trace WHERE a.project = t.project AND a.of_session = 1 "
           "AND u.session = t.session AND u.exp IN (")
        .add(experiments_)
        .add(")");
    conditions();
    out.add(")))");
  }

  void write_issue(SqlText& out, const Comparison& term) {
    out.add(
           "EXISTS (SELECT 1 FROM trace_assessments a WHERE a.project = t.project AND a.trace = t.id "
           "AND a.kind = 'issue' AND a.name = ")
        .bind(term.value)
        .add(")");
  }

  void write_span(SqlText& out, const Comparison& term) {
    const std::string content = store::packed_text_sql(backend_, "s.content");
    if (term.field == Field::kAttribute || term.key == "content") {
      return track::add_comparison(out, backend_, content, term);
    }
    constexpr std::string_view kPrefix = "attributes.";
    if (!term.key.starts_with(kPrefix)) return write_column(out, "s." + term.key, term);
    std::string name = term.key.substr(kPrefix.size());
    if (name.size() >= 2 && (name[0] == '`' || name[0] == '"') && name.back() == name[0]) {
      name = name.substr(1, name.size() - 2);
    }
    write_span_attribute(out, content, name, term);
  }

  // A span's JSON holds "<name>": "<the value's JSON, escaped once more>".
  void write_span_attribute(SqlText& out, std::string_view content, const std::string& name, const Comparison& term) {
    const std::string key = python_string(name);
    Comparison whole = term;
    switch (term.op) {
      case Op::kLike:
      case Op::kIlike:
        whole.value = Value::of("%" + key + term.value.text + "%");
        return track::add_comparison(out, backend_, content, whole);
      case Op::kRlike: {
        std::string pattern = term.value.text;
        std::string start = R"("\\".*)", end;
        if (pattern.starts_with('^')) pattern.erase(0, 1), start = R"("\\")";
        if (pattern.ends_with('$')) pattern.pop_back(), end = R"(\\")";
        whole.value = Value::of(quoted_regex(key) + ": " + start + pattern + end);
        return track::add_comparison(out, backend_, content, whole);
      }
      case Op::kIn:
      case Op::kNotIn:
      case Op::kEq:
      case Op::kNe: {
        const bool negated = term.op == Op::kNe || term.op == Op::kNotIn;
        const std::vector<std::string> values =
            term.op == Op::kEq || term.op == Op::kNe ? std::vector{term.value.text} : term.list;
        out.add("(");
        if (negated) {
          write_contains(out, content, key + ": ");
          out.add(" AND NOT (");
        }
        for (size_t i = 0; i < values.size(); ++i) {
          if (i != 0) out.add(" OR ");
          write_contains(out, content, key + ": " + python_string(python_string(values[i])));
          out.add(" OR ");
          write_contains(out, content, key + ": " + python_string(values[i]));
        }
        out.add(negated ? "))" : ")");
        return;
      }
      default: out.add("1 = 0");
    }
  }

  void write_contains(SqlText& out, std::string_view text, std::string part) {
    out.add(backend_ == store::Backend::kSqlite ? "instr(" : "strpos(").add(text).add(", ");
    out.bind(Value::of(std::move(part))).add(") > 0");
  }

  static std::string quoted_regex(std::string_view text) {
    std::string out;
    for (const char c : text) {
      if (std::string_view(R"(\^$.|?*+()[]{})").find(c) != std::string_view::npos) out += '\\';
      out += c;
    }
    return out;
  }

  store::Backend backend_;
  std::string experiments_;
};

// What the parser cannot know: patterns that compile, prompts of the form name/version.
Result<void> check_terms(const Filter& filter) {
  if (filter.kind == Filter::Kind::kTerm) {
    const Comparison& term = filter.term;
    if (term.op == Op::kRlike) TRY(store::check_regex(term.value.text));
    if (term.field == Field::kAttribute && term.key == "prompt") {
      if (term.op != Op::kEq) {
        return invalid(
            "Invalid comparator for prompts filter. Only '=' is supported with format: prompt = "
            "\"name/version\"");
      }
      if (std::ranges::count(term.value.text, '/') != 1) {
        return invalid("Invalid prompts filter value '" + term.value.text +
                       "'. Expected format: prompt = \"name/version\"");
      }
    }
    if (term.field == Field::kAttribute && term.key == "text" && term.op != Op::kLike && term.op != Op::kIlike) {
      return invalid("span.content is compared by LIKE and ILIKE only");
    }
  }
  for (const Filter& child : filter.children) TRY(check_terms(child));
  return {};
}

Result<Filter> parse(std::string_view text) {
  TRY_SET(Filter filter, track::parse_filter(text, kDialect));
  TRY(check_terms(filter));
  return filter;
}

Result<std::vector<int64_t>> experiments_of(const std::vector<std::string>& ids) {
  std::vector<int64_t> out;
  if (ids.size() > 10'000) return invalid("locations names too many experiments");
  for (const std::string& id : ids) {
    TRY_SET(out.emplace_back(), track::parse_experiment_id(id));
  }
  return out;
}

void join_value(SqlText& from, std::string_view table, const std::string& alias, std::string_view key) {
  from.add(" LEFT JOIN ").add(table).add(" ").add(alias).add(" ON ").add(alias).add(".project = t.project AND ");
  from.add(alias).add(".trace = t.id AND ").add(alias).add(".key = ").bind(Value::of(std::string(key)));
}

Result<void> add_order(track::PageQuery& query, const std::vector<std::string>& order_by) {
  if (order_by.size() > track::kMaxOrderKeys) return invalid("order_by has too many entries");
  std::vector<std::string> seen;
  for (size_t i = 0; i < order_by.size(); ++i) {
    TRY_SET(const track::Order order, track::parse_order(order_by[i], kDialect));
    std::string expr;
    Value::Type type = Value::Type::kText;
    if (order.field == Field::kAttribute && order.key != "run_id") {
      const track::Attribute* attribute = track::find_attribute(kDialect, order.key);
      expr = attribute->column;
      if (attribute->numeric) type = Value::Type::kInt;
    } else if (order.field == Field::kTag && order.key == kTraceNameTag) {
      expr = "t.name";
    } else if (order.field == Field::kMetadata && order.key == kSessionKey) {
      expr = "t.session";
    } else if (order.field == Field::kMetadata && (order.key == kTokenUsageKey || order.key == kCostKey)) {
      return invalid("Ordering by reserved metadata '" + order.key +
                     "' is not supported because it is represented by multiple columns.");
    } else if (order.field == Field::kTag || order.field == Field::kMetadata || order.field == Field::kAttribute) {
      const std::string alias = "o" + std::to_string(i);
      const bool tag = order.field == Field::kTag;
      join_value(query.from, tag ? "trace_tags" : "trace_metadata", alias,
                 order.field == Field::kAttribute ? kSourceRunKey : std::string_view(order.key));
      expr = alias + ".value";
    } else {
      return invalid("Invalid ordering key in order_by clause '" + order_by[i] + "'.");
    }
    const std::string named = std::to_string(static_cast<int>(order.field)) + order.key;
    if (std::ranges::find(seen, named) != seen.end()) {
      return invalid("`order_by` contains duplicate fields: " + order_by[i]);
    }
    seen.push_back(named);
    if (expr != "t.start_ms" && expr != "t.trace_id" && expr != "t.state" && expr != "t.exp" && expr != kEndMs) {
      query.order.push_back({"(CASE WHEN " + expr + " IS NULL THEN 1 ELSE 0 END)", true, Value::Type::kInt});
    }
    query.order.push_back({expr, order.ascending, type});
  }
  const auto sorted_by = [&](std::string_view expr) {
    return std::ranges::any_of(query.order, [&](const track::SortKey& key) { return key.expr == expr; });
  };
  if (!sorted_by("t.start_ms")) query.order.push_back({"t.start_ms", false, Value::Type::kInt});
  if (!sorted_by("t.trace_id")) query.order.push_back({"t.trace_id", true, Value::Type::kText});
  return {};
}

std::string text_of(const TraceSearch& search) {
  std::string text = "traces\n" + search.filter;
  for (const std::string& id : search.experiment_ids) text += "\n" + id;
  for (const std::string& order : search.order_by) text += "\n" + order;
  return text;
}

void write_scope(SqlText& out, int64_t project, const std::vector<int64_t>& experiments) {
  out.add("t.project = ").bind(Value::of(project)).add(" AND t.exp IN ").bind_list(experiments);
}

}  // namespace

Result<track::Page<TraceInfo>> search_traces(store::Tx& tx, const TraceSearch& search) {
  if (search.max_results < 1 || search.max_results > kMaxTracePage) {
    return track::invalid_value("max_results", std::to_string(search.max_results),
                                " Hint: it must be between 1 and " + std::to_string(kMaxTracePage) + ".");
  }
  TRY_SET(const Filter filter, parse(search.filter));
  TRY_SET(const std::vector<int64_t> experiments, experiments_of(search.experiment_ids));
  const std::string text = text_of(search);
  track::PageQuery query;
  query.columns = kTraceColumns;
  query.column_count = kTraceColumnCount;
  query.from.add("FROM traces t");
  TRY(add_order(query, search.order_by));
  TRY_SET(const track::PageToken token, track::decode_page_token(text, search.page_token));
  TRY(track::check_token(token.after, query.order));
  if (experiments.empty()) return track::Page<TraceInfo>{};
  write_scope(query.where, tx.project(), experiments);
  query.where.add(" AND ");
  Writer(tx.backend(), experiments).write(query.where, filter);
  query.after = token.after;
  query.offset = token.offset;
  query.limit = search.max_results;
  track::Page<TraceInfo> page;
  const track::PageEnd end =
      track::run_page(tx, query, [&](store::Rows& rows) { page.rows.push_back(read_trace_row(rows)); });
  TRY(tx.status());
  if (end.more) page.next_token = track::encode_page_token(text, end.last);
  load_parts(tx, page.rows);
  TRY(tx.status());
  return page;
}

Correlation npmi_of(int64_t joint, int64_t first, int64_t second, int64_t total) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Correlation out{nan, nan, first, second, joint, total};
  const auto n11 = static_cast<double>(joint), n10 = static_cast<double>(first - joint);
  const auto n01 = static_cast<double>(second - joint), n00 = static_cast<double>(total - first - second + joint);
  if (total <= 0 || first == 0 || second == 0 || std::min({n11, n10, n01, n00}) < 0) return out;
  const auto core = [&](double prior) {
    const double both = n11 + prior, all = n11 + n10 + n01 + n00 + 4 * prior;
    const double one = both + n10 + prior, two = both + n01 + prior;
    if (one <= 0 || two <= 0 || both <= 0) return nan;
    if (n10 == 0 && n01 == 0 && n00 == 0) return 1.0;
    const double pmi = std::log(both) + std::log(all) - (std::log(one) + std::log(two));
    return std::clamp(pmi / -(std::log(both) - std::log(all)), -1.0, 1.0);
  };
  constexpr double kJeffreys = 0.5;
  out.npmi = joint == 0 ? -1.0 : core(0);
  out.npmi_smoothed = core(kJeffreys);
  return out;
}

Result<Correlation> correlate(store::Tx& tx, const CorrelationQuery& query) {
  TRY_SET(const Filter first, parse(query.first));
  TRY_SET(const Filter second, parse(query.second));
  TRY_SET(const Filter base, parse(query.base));
  TRY_SET(const std::vector<int64_t> experiments, experiments_of(query.experiment_ids));
  if (experiments.empty()) return npmi_of(0, 0, 0, 0);
  Writer writer(tx.backend(), experiments);
  SqlText text;
  text.add("SELECT COUNT(*), COALESCE(SUM(f1), 0), COALESCE(SUM(f2), 0), COALESCE(SUM(f1 * f2), 0) FROM (SELECT ");
  text.add("(CASE WHEN ");
  writer.write(text, first);
  text.add(" THEN 1 ELSE 0 END) AS f1, (CASE WHEN ");
  writer.write(text, second);
  text.add(" THEN 1 ELSE 0 END) AS f2 FROM traces t WHERE ");
  write_scope(text, tx.project(), experiments);
  text.add(" AND ");
  writer.write(text, base);
  text.add(") AS counted");
  auto rows = track::open(tx, text);
  if (!rows.next()) {
    TRY(tx.status());
    return npmi_of(0, 0, 0, 0);
  }
  return npmi_of(rows.i64(3), rows.i64(1), rows.i64(2), rows.i64(0));
}

}  // namespace traces
