// Table: columns of numbers or text in memory, the shape in which rows move between data, evaluation and monitoring.
// Missing is NaN in a numeric column and an empty optional in a text column. Plain values; no I/O.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace stats {

using Numbers = std::vector<double>;                    // NaN: missing
using Texts = std::vector<std::optional<std::string>>;  // nullopt: missing

struct Column {
  std::string name;
  std::variant<Numbers, Texts> values;
  bool numeric() const { return std::holds_alternative<Numbers>(values); }
  const Numbers& numbers() const { return std::get<Numbers>(values); }
  Numbers& numbers() { return std::get<Numbers>(values); }
  const Texts& texts() const { return std::get<Texts>(values); }
  Texts& texts() { return std::get<Texts>(values); }
  size_t size() const;
};

struct Table {
  std::vector<Column> columns;  // all of the same length
  size_t rows() const { return columns.empty() ? 0 : columns[0].size(); }
  const Column* find(std::string_view name) const;
};

// RFC 4180 CSV with a header line. A column whose non-empty fields all parse as finite numbers is numeric; an empty
// field is missing. Errors name the line.
base::Result<Table> parse_csv(std::string_view text);
std::string to_csv(const Table& table);  // shortest round-trip numbers, LF, header

}  // namespace stats
