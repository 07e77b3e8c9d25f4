// The filter language of every search: one lexer, one parser, one typed tree. A dialect says which fields an entity has;
// search_sql.h turns the tree into SQL.
//
//   filter     = and ("OR" and)*          and = not ("AND" not)*        not = "NOT" not | "(" filter ")" | comparison
//   comparison = field op value | field ["NOT"] "IN" "(" text, … ")" | field "IS" ["NOT"] "NULL"
//   field      = [entity "."] key         key may be quoted with " or `
//   op         = "=" "!=" "<" "<=" ">" ">=" "LIKE" "ILIKE"
// Upstream knows AND only; OR, NOT and parentheses are ours. An error names the character where it was found.
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
inline constexpr size_t kMaxFilterDepth = 32;    // nested parentheses and NOTs
inline constexpr size_t kMaxFilterTerms = 200;
inline constexpr size_t kMaxListItems = 5000;    // of one IN (…)
inline constexpr size_t kMaxOrderKeys = 10;

enum class Field : uint8_t { kAttribute, kMetric, kParam, kTag, kDataset };
enum class Op : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kLike, kIlike, kIn, kNotIn, kIsNull, kIsNotNull };
std::string_view sql(Op op);  // "=", "<>", …; not for LIKE and IN

struct Comparison {
  Field field = Field::kAttribute;
  std::string key;                // canonical: aliases are resolved
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
  std::string_view column;        // SQL expression
  bool numeric = false;
  bool list = false;              // IN and NOT IN are offered
  bool filterable = true;
  bool orderable = true;
};

struct Dialect {
  std::string_view entity;                       // "runs", for messages
  std::span<const Attribute> attributes;
  bool metrics = false, params = false, datasets = false;
  bool tags = true;
  bool null_tests = true;                        // IS NULL on tags and params
  bool strict_entities = false;                  // only attribute, tag, tags before the dot
};

struct Order {
  Field field = Field::kAttribute;
  std::string key;
  bool ascending = true;
};

base::Result<Filter> parse_filter(std::string_view text, const Dialect& dialect);
base::Result<Order> parse_order(std::string_view text, const Dialect& dialect);
const Attribute* find_attribute(const Dialect& dialect, std::string_view name);

}  // namespace track
