// From a filter's tree to parameterised SQL, and one page of a search by keyset. Shared by every entity.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "track/search_ast.h"

namespace track {

struct SqlText {
  std::string sql;
  std::vector<Value> params;

  SqlText& add(std::string_view text) {
    sql += text;
    return *this;
  }
  SqlText& bind(Value value) {
    sql += '?';
    params.push_back(std::move(value));
    return *this;
  }
  SqlText& add(const SqlText& other) {
    sql += other.sql;
    params.insert(params.end(), other.params.begin(), other.params.end());
    return *this;
  }
  SqlText& bind_list(const std::vector<std::string>& values);  // "(?, ?, …)"
  SqlText& bind_list(const std::vector<int64_t>& values);
};

// "<column> <op> <value>" for any op but the null tests. LIKE is case-sensitive, ILIKE is not (ASCII), % and _ are the
// only wildcards, on both databases.
void add_comparison(SqlText& out, store::Backend backend, std::string_view column, const Comparison& term);

// Walks the tree; `term` writes one comparison as a condition that is true or false for a row.
using TermWriter = std::function<void(SqlText&, const Comparison&)>;
void add_filter(SqlText& out, const Filter& filter, const TermWriter& term);

// The comparisons that every match must satisfy: the terms joined by AND at the top.
std::vector<const Comparison*> required_terms(const Filter& filter);

struct SortKey {
  std::string expr;  // without parameters; may be NULL only after a flag key that tells
  bool ascending = true;
  Value::Type type = Value::Type::kInt;
};

struct PageQuery {
  std::string columns;  // what `read` reads, from column 0
  int column_count = 0;
  SqlText from;                // FROM …
  SqlText where;               // conditions, without WHERE
  std::vector<SortKey> order;  // together unique
  std::vector<Value> prefix;   // put before the sort values in a token (a phase that is constant in this query)
  std::vector<Value> after;    // start after this row's sort values (without the prefix); empty: at the start
  int64_t offset = 0;
  int64_t limit = 0;
};
struct PageEnd {
  bool more = false;        // rows follow the ones that were read
  std::vector<Value> last;  // prefix and sort values of the last row read; empty if there was none
};
PageEnd run_page(store::Tx& tx, const PageQuery& query, const std::function<void(store::Rows&)>& read);

// Whether a token's values are as many and of the types that `order` sorts by; a forged one is refused, not run.
base::Result<void> check_token(const std::vector<Value>& after, const std::vector<SortKey>& order);

store::Rows open(store::Tx& tx, const SqlText& text);

}  // namespace track
