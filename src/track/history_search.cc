#include "track/history_search.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "track/runs.h"
#include "track/search_ast.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

constexpr int64_t kPointsAtOnce = 25'000;

constexpr std::array kAttributes = {
    Attribute{.name = "value", .column = "", .numeric = true},
    Attribute{.name = "step", .column = "", .numeric = true},
    Attribute{.name = "timestamp", .column = "", .numeric = true},
};
constexpr Dialect kDialect{.entity = "points", .attributes = kAttributes, .tags = false};

template <class T>
bool compare(Op op, T left, T right) {
  switch (op) {
    case Op::kEq: return left == right;
    case Op::kNe: return left != right;  // also for NaN, as in searches of runs
    case Op::kLt: return left < right;
    case Op::kLe: return left <= right;
    case Op::kGt: return left > right;
    case Op::kGe: return left >= right;
    default: return false;
  }
}

bool matches(const Comparison& term, const Metric& point) {
  const bool whole = term.value.type == Value::Type::kInt;
  const double number = whole ? static_cast<double>(term.value.i) : term.value.d;
  if (term.key == "value") return compare(term.op, point.value, number);
  const int64_t field = term.key == "step" ? point.step : point.at_ms;
  return whole ? compare(term.op, field, term.value.i) : compare(term.op, static_cast<double>(field), number);
}

bool matches(const Filter& filter, const Metric& point) {
  const auto one = [&](const Filter& child) { return matches(child, point); };
  switch (filter.kind) {
    case Filter::Kind::kAll: return std::ranges::all_of(filter.children, one);
    case Filter::Kind::kAny: return std::ranges::any_of(filter.children, one);
    case Filter::Kind::kNot: return !matches(filter.children[0], point);
    case Filter::Kind::kTerm: return matches(filter.term, point);
  }
  return false;
}

}  // namespace

Result<HistoryMatches> search_history(store::Tx& tx, const HistorySearch& search) {
  if (search.keys.empty()) return invalid("no metric is named");
  if (search.keys.size() > kMaxHistoryKeys) {
    return invalid(std::to_string(search.keys.size()) + " metrics are named; at most " +
                   std::to_string(kMaxHistoryKeys) + " are allowed");
  }
  if (search.max_results < 1 || search.max_results > kMaxHistoryMatches) {
    return invalid("max_results is " + std::to_string(search.max_results) + "; allowed: 1 to " +
                   std::to_string(kMaxHistoryMatches));
  }
  TRY_SET(const Filter filter, parse_filter(search.filter, kDialect));
  TRY(get_run_info(tx, search.run_id));
  HistoryMatches out;
  for (const std::string& key : search.keys) {
    HistoryQuery query{.run_id = search.run_id, .key = key, .max_results = kPointsAtOnce, .page_token = ""};
    do {
      TRY_SET(Page<Metric> page, metric_history(tx, query));
      for (Metric& point : page.rows) {
        if (out.scanned == kMaxHistoryScanned) {
          out.more = true;
          return out;
        }
        ++out.scanned;
        if (!matches(filter, point)) continue;
        if (static_cast<int64_t>(out.points.size()) == search.max_results) {
          out.more = true;
          return out;
        }
        out.points.push_back(std::move(point));
      }
      query.page_token = page.next_token;
    } while (!query.page_token.empty());
  }
  return out;
}

}  // namespace track
