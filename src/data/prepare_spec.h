// prepare.yaml: what is declared about turning raw files into a data version. Grammar: docs/formats/prepare.md.
// Errors name file, line, key, what was found and what is allowed. Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "stats/transform.h"

namespace data {

enum class ColumnType : uint8_t { kNumber, kInteger, kText };
std::string_view name(ColumnType type);  // "number", "integer", "text"

// What a value must be. A row that breaks a rule is rejected: kept in rejects.csv with the reason, never dropped
// silently.
struct ColumnRule {
  std::optional<ColumnType> type;
  std::optional<double> min, max;
  std::vector<std::string> one_of;
  bool not_null = false;
};

struct Fractions {
  double train = 0.7, valid = 0.15, test = 0.15;  // add up to 1
};

struct PrepareSpec {
  std::map<std::string, ColumnRule> rules;  // `columns` and `rejects`, merged
  std::vector<std::string> missing_values;  // texts that mean "missing", besides the empty field
  std::vector<std::string> exclude;         // columns that are not kept
  bool drop_duplicates = false;
  std::vector<std::string> duplicate_keys;  // empty: a duplicate equals in every kept column
  Fractions split;
  uint64_t seed = 0;
  std::string stratify;  // a column, "" for none; "label": resolved to the label column
  std::string group;     // "" for none: rows with equal features are a group
  stats::TransformSpec transform;
  Fractions feedback{0.4, 0.1, 0.5};  // sides of labelled traffic at a retraining: train, valid, recent
  int64_t feedback_rows = 20'000;     // the newest labelled rows that are taken
};

// `file` is the name in errors. An empty text declares nothing: the defaults above.
base::Result<PrepareSpec> parse_prepare(std::string_view yaml, std::string_view file, std::string_view label);

// JSON Schema (draft 2020-12) of prepare.yaml, one object, for the published schema.
std::string_view prepare_json_schema();

}  // namespace data
