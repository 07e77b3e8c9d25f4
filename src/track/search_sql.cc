#include "track/search_sql.h"

namespace track {

namespace {

template <class T>
void bind_all(SqlText& out, const std::vector<T>& values) {
  out.add("(");
  for (size_t i = 0; i < values.size(); ++i) {
    if (i) out.add(", ");
    out.bind(Value::of(values[i]));
  }
  out.add(")");
}

// SQLite's LIKE ignores case; GLOB does not, with other wildcards.
std::string like_to_glob(std::string_view pattern) {
  std::string glob;
  for (const char c : pattern) {
    switch (c) {
      case '%': glob += '*'; break;
      case '_': glob += '?'; break;
      case '*':
      case '?':
      case '[': (glob += '[') += c, glob += ']'; break;
      default: glob += c;
    }
  }
  return glob;
}

void add_like(SqlText& out, store::Backend backend, std::string_view column, const Comparison& term) {
  const bool sqlite = backend == store::Backend::kSqlite;
  if (term.op == Op::kIlike) {
    out.add("LOWER(").add(column).add(") LIKE LOWER(").bind(term.value).add(sqlite ? ")" : ") ESCAPE ''");
  } else if (sqlite) {
    out.add(column).add(" GLOB ").bind(Value::of(like_to_glob(term.value.text)));
  } else {
    out.add(column).add(" LIKE ").bind(term.value).add(" ESCAPE ''");
  }
}

// (a, b, c) after (x, y, z), each with its own direction: a > x OR (a = x AND (b > y OR (b = y AND …))). NULLs compare
// as equal to NULL and after nothing: the flag key before them has decided already.
void add_after(SqlText& out, const std::vector<SortKey>& order, const std::vector<Value>& after) {
  out.add("(");
  for (size_t i = 0; i < order.size(); ++i) {
    const bool last = i + 1 == order.size();
    const bool null = after[i].type == Value::Type::kNull;
    if (null) {
      out.add(last ? "1 = 0" : "(").add(last ? "" : order[i].expr).add(last ? "" : " IS NULL AND (");
      continue;
    }
    out.add(order[i].expr).add(order[i].ascending ? " > " : " < ").bind(after[i]);
    if (!last) out.add(" OR (").add(order[i].expr).add(" = ").bind(after[i]).add(" AND (");
  }
  for (size_t i = 1; i < order.size(); ++i) out.add("))");
  out.add(")");
}

Value read_value(store::Rows& rows, int column, Value::Type type) {
  if (rows.is_null(column)) return Value::null();
  switch (type) {
    case Value::Type::kInt: return Value::of(rows.i64(column));
    case Value::Type::kDouble: return Value::of(rows.f64(column));
    default: return Value::of(rows.str(column));
  }
}

}  // namespace

SqlText& SqlText::bind_list(const std::vector<std::string>& values) {
  bind_all(*this, values);
  return *this;
}

SqlText& SqlText::bind_list(const std::vector<int64_t>& values) {
  bind_all(*this, values);
  return *this;
}

void add_comparison(SqlText& out, store::Backend backend, std::string_view column, const Comparison& term) {
  switch (term.op) {
    case Op::kLike:
    case Op::kIlike: return add_like(out, backend, column, term);
    case Op::kIn:
    case Op::kNotIn: out.add(column).add(term.op == Op::kIn ? " IN " : " NOT IN ").bind_list(term.list); return;
    case Op::kRlike:
      out.add(column).add(backend == store::Backend::kSqlite ? " REGEXP " : " ~ ").bind(term.value);
      return;
    default: out.add(column).add(" ").add(sql(term.op)).add(" ").bind(term.value);
  }
}

void add_filter(SqlText& out, const Filter& filter, const TermWriter& term) {
  switch (filter.kind) {
    case Filter::Kind::kTerm:
      out.add("(");
      term(out, filter.term);
      out.add(")");
      return;
    case Filter::Kind::kNot: out.add("NOT "); return add_filter(out, filter.children[0], term);
    case Filter::Kind::kAll:
    case Filter::Kind::kAny: {
      if (filter.children.empty()) {
        out.add("1 = 1");
        return;
      }
      out.add("(");
      for (size_t i = 0; i < filter.children.size(); ++i) {
        if (i) out.add(filter.kind == Filter::Kind::kAll ? " AND " : " OR ");
        add_filter(out, filter.children[i], term);
      }
      out.add(")");
    }
  }
}

std::vector<const Comparison*> required_terms(const Filter& filter) {
  std::vector<const Comparison*> out;
  if (filter.kind == Filter::Kind::kTerm) out.push_back(&filter.term);
  if (filter.kind == Filter::Kind::kAll) {
    for (const Filter& child : filter.children) {
      const auto inner = required_terms(child);
      out.insert(out.end(), inner.begin(), inner.end());
    }
  }
  return out;
}

store::Rows open(store::Tx& tx, const SqlText& text) {
  std::vector<store::Param> params;
  params.reserve(text.params.size());
  for (const Value& value : text.params) params.push_back(value.param());
  return tx.open(text.sql, params);
}

base::Result<void> check_token(const std::vector<Value>& after, const std::vector<SortKey>& order) {
  bool fits = after.empty() || after.size() == order.size();
  for (size_t i = 0; fits && i < after.size(); ++i) {
    fits = after[i].type == Value::Type::kNull || after[i].type == order[i].type;
  }
  if (!fits) return base::invalid("Invalid page token: it is damaged");
  return {};
}

PageEnd run_page(store::Tx& tx, const PageQuery& query, const std::function<void(store::Rows&)>& read) {
  SqlText text;
  text.add("SELECT ").add(query.columns);
  for (const SortKey& key : query.order) text.add(", ").add(key.expr);
  text.add(" ").add(query.from).add(" WHERE ").add(query.where);
  if (!query.after.empty()) {
    text.add(" AND ");
    add_after(text, query.order, query.after);
    // A plain bound on the first key lets an index seek to the page.
    if (query.after[0].type != Value::Type::kNull) {
      text.add(" AND ").add(query.order[0].expr).add(query.order[0].ascending ? " >= " : " <= ").bind(query.after[0]);
    }
  }
  text.add(" ORDER BY ");
  for (size_t i = 0; i < query.order.size(); ++i) {
    text.add(i ? ", " : "").add(query.order[i].expr).add(query.order[i].ascending ? "" : " DESC");
  }
  text.add(" LIMIT ").bind(Value::of(query.limit + 1));
  if (query.offset > 0) text.add(" OFFSET ").bind(Value::of(query.offset));
  auto rows = open(tx, text);
  PageEnd end;
  for (int64_t n = 0; rows.next(); ++n) {
    if (n == query.limit) {  // one more than asked
      end.more = true;
      break;
    }
    read(rows);
    end.last = query.prefix;
    for (size_t i = 0; i < query.order.size(); ++i) {
      end.last.push_back(read_value(rows, query.column_count + static_cast<int>(i), query.order[i].type));
    }
  }
  return end;
}

}  // namespace track
