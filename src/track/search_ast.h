// The filter language of every search: one lexer, one parser, one typed tree. A dialect says which fields an entity
// has; search_sql.h turns the tree into SQL.
//
//   filter     = and ("OR" and)*          and = not ("AND" not)*        not = "NOT" not | "(" filter ")" | comparison
//   comparison = field op value | field ["NOT"] "IN" "(" text, … ")" | field "IS" ["NOT"] "NULL"
//   field      = [entity "."] key | ("MIN" | "MAX" | "BEST") "(" metric ")"        key may be quoted with " or `
//   op         = "=" "!=" "<" "<=" ">" ">=" "LIKE" "ILIKE" "RLIKE" (traces only)
// Upstream knows AND only; OR, NOT, parentheses and the values over a metric's history (of runs) are ours. An error
// names the character where it was found.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "track/page_token.h"

namespace track {

inline constexpr size_t kMaxFilterBytes = 256 * 1024;
inline constexpr size_t kMaxFilterDepth = 32;  // nested parentheses and NOTs
inline constexpr size_t kMaxFilterTerms = 200;
inline constexpr size_t kMaxListItems = 5000;  // of one IN (…)
inline constexpr size_t kMaxOrderKeys = 10;

enum class Field : uint8_t {
  kAttribute,
  kMetric,
  kParam,
  kTag,
  kDataset,
  kMetadata,
  kSpan,
  kFeedback,
  kExpectation,
  kIssue
};
enum class Op : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kLike, kIlike, kIn, kNotIn, kIsNull, kIsNotNull, kRlike };
std::string_view sql(Op op);  // "=", "<>", …; not for LIKE and IN

// Which of a metric's values counts: the latest, or the least or greatest it ever had. Ours: "max(metrics.accuracy)";
// "best(…)" is one of the two, by the metric's name (best.h).
enum class Pick : uint8_t { kLast, kMin, kMax };

struct Comparison {
  Field field = Field::kAttribute;
  std::string key;  // canonical: aliases are resolved
  Pick pick = Pick::kLast;
  Op op = Op::kEq;
  Value value;                    // kText, kInt or kDouble, as the field wants
  std::vector<std::string> list;  // of IN
};

struct Filter {
  enum class Kind : uint8_t { kAll, kAny, kNot, kTerm };  // kAll without children: everything matches
  Kind kind = Kind::kAll;
  std::vector<Filter> children;
  Comparison term;
};

// What an entity's attributes are called and how they compare.
struct Attribute {
  std::string_view name;
  std::string_view column;  // SQL expression
  bool numeric = false;
  bool list = false;  // IN and NOT IN are offered
  bool filterable = true;
  bool orderable = true;
};

struct Dialect {
  std::string_view entity;  // "runs", for messages
  std::span<const Attribute> attributes;
  bool metrics = false, params = false, datasets = false;
  bool tags = true;
  bool lists = false;            // IN and NOT IN on tags and params too
  bool null_tests = true;        // IS NULL on tags and params
  bool strict_entities = false;  // only attribute, tag, tags before the dot
  bool traces = false;           // metadata, span, feedback, expectation, issue; RLIKE
  bool whole_numbers = false;    // numeric attributes compare with whole numbers only
  bool histories = false;        // min(), max() and best() of a metric
};

struct Column {
  Field field = Field::kAttribute;
  std::string key;
  Pick pick = Pick::kLast;
  bool operator==(const Column&) const = default;
};
struct Order : Column {
  bool ascending = true;
};

// `error_at`, if given, is where parsing stopped: the byte at which an error was found.
base::Result<Filter> parse_filter(std::string_view text, const Dialect& dialect, size_t* error_at = nullptr);
base::Result<Column> parse_column(std::string_view text,
                                  const Dialect& dialect);  // "metrics.loss", "min(metrics.loss)"
base::Result<Order> parse_order(std::string_view text, const Dialect& dialect);
const Attribute* find_attribute(const Dialect& dialect, std::string_view name);

}  // namespace track
