#include "serve/json_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/hash.h"

namespace serve {
namespace {

namespace json = base::json;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::optional<double> special_number(std::string_view text) {
  if (text == "NaN") return kNaN;
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

template <class T>
void append_raw(Tensor& tensor, T value) {
  tensor.bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// One element; false if the value is not of the tensor's type.
bool append_element(Tensor& tensor, const json::value& value) {
  if (tensor.type == DataType::kBytes) {
    if (value.is_string()) return tensor.strings.emplace_back(value.as_string()), true;
    const json::object* object = value.if_object();
    const json::value* encoded = object && object->size() == 1 ? object->if_contains("b64") : nullptr;
    if (!encoded || !encoded->is_string()) return false;
    auto bytes = base::base64_decode({encoded->as_string().data(), encoded->as_string().size()});
    if (bytes) tensor.strings.push_back(std::move(*bytes));
    return bytes.has_value();
  }
  if (tensor.type == DataType::kBool) return value.is_bool() && append_number(tensor, value.as_bool());
  // 64-bit integers do not all fit a double, so they never become one.
  if (tensor.type == DataType::kInt64 && value.is_int64()) return append_raw(tensor, value.as_int64()), true;
  if (tensor.type == DataType::kUint64 && value.is_uint64()) return append_raw(tensor, value.as_uint64()), true;
  if (value.is_double()) return append_number(tensor, value.as_double());
  if (value.is_int64()) return append_number(tensor, static_cast<double>(value.as_int64()));
  if (value.is_uint64()) return append_number(tensor, static_cast<double>(value.as_uint64()));
  if (!is_floating(tensor.type)) return false;
  if (value.is_null()) return append_number(tensor, kNaN);
  if (!value.is_string()) return false;
  const auto special = special_number({value.as_string().data(), value.as_string().size()});
  return special && append_number(tensor, *special);
}

base::Result<void> fill(Tensor& tensor, const json::value& value, size_t depth) {
  const json::array* list = value.if_array();
  if (depth < tensor.shape.size()) {
    if (!list) {
      return base::invalid("tensor '" + tensor.name + "': a list of " + std::to_string(tensor.shape[depth]) +
                           " was expected where " + std::string(base::kind_name(value.kind())) + " was found");
    }
    if (static_cast<int64_t>(list->size()) != tensor.shape[depth]) {
      return base::invalid("tensor '" + tensor.name + "' is ragged: a list of " + std::to_string(list->size()) +
                           " beside one of " + std::to_string(tensor.shape[depth]));
    }
    for (const json::value& item : *list) TRY(fill(tensor, item, depth + 1));
    return {};
  }
  if (list) return base::invalid("tensor '" + tensor.name + "' is ragged: a list beside single values");
  if (!append_element(tensor, value)) {
    return base::invalid("tensor '" + tensor.name + "': " + base::to_text(value).substr(0, 80) +
                         " is not a value of type " + std::string(name(tensor.type)));
  }
  return {};
}

std::string number_text(const json::value& value) {
  return value.is_string() ? std::string(value.as_string()) : base::to_text(value);
}

// A column of scalars: text if any of them is, else numbers (true and false are 1 and 0, null is missing).
base::Result<stats::Column> column_of(std::string name, const std::vector<const json::value*>& cells) {
  bool text = false;
  for (size_t row = 0; row < cells.size(); ++row) {
    const json::value* cell = cells[row];
    if (!cell || cell->is_null() || cell->is_bool() || cell->is_number()) continue;
    if (!cell->is_string()) {
      return base::invalid("column '" + name + "', row " + std::to_string(row) +
                           ": must be a number, text, true, false or null, found " +
                           std::string(base::kind_name(cell->kind())));
    }
    text = true;
  }
  stats::Column column{std::move(name), {}};
  if (text) {
    stats::Texts texts;
    for (const json::value* cell : cells) {
      texts.push_back(!cell || cell->is_null() ? std::nullopt : std::optional(number_text(*cell)));
    }
    column.values = std::move(texts);
  } else {
    stats::Numbers numbers;
    for (const json::value* cell : cells) {
      numbers.push_back(!cell || cell->is_null() ? kNaN
                        : cell->is_bool()        ? cell->as_bool()
                                                 : cell->to_number<double>());
    }
    column.values = std::move(numbers);
  }
  return column;
}

}  // namespace

base::Result<Tensor> tensor_from_json(const json::value& value, const TensorInfo& info) {
  Tensor tensor{.name = info.name, .type = info.type};
  // The first element at each level says how long the lists of that level are.
  for (const json::value* level = &value; level->is_array();) {
    if (tensor.shape.size() == kMaxRank) {
      return base::invalid("tensor '" + info.name + "' is nested more than " + std::to_string(kMaxRank) +
                           " levels deep");
    }
    tensor.shape.push_back(static_cast<int64_t>(level->as_array().size()));
    if (level->as_array().empty()) break;
    level = &level->as_array().front();
  }
  TRY(element_count(info.name, tensor.shape));
  TRY(fill(tensor, value, 0));
  return tensor;
}

base::Result<stats::Table> table_from_split(const json::object& split) {
  TRY_SET(const json::array* data, base::required_array(split, "data"));
  std::vector<std::string> names;
  if (const json::value* columns = split.if_contains("columns"); columns && !columns->is_null()) {
    if (!columns->is_array())
      return base::invalid("'columns' must be a list, found " + std::string(base::kind_name(columns->kind())));
    for (const json::value& name : columns->as_array()) names.push_back(number_text(name));
  } else if (!data->empty() && data->front().is_array()) {
    for (size_t i = 0; i < data->front().as_array().size(); ++i) names.push_back(std::to_string(i));
  }
  for (size_t row = 0; row < data->size(); ++row) {
    const json::array* cells = (*data)[row].if_array();
    if (!cells || cells->size() != names.size()) {
      return base::invalid(
          "'data', row " + std::to_string(row) + ": must be a list of " + std::to_string(names.size()) +
          " values (one per column), found " +
          (cells ? std::to_string(cells->size()) + " values" : std::string(base::kind_name((*data)[row].kind()))));
    }
  }
  stats::Table table;
  std::vector<const json::value*> cells(data->size());
  for (size_t c = 0; c < names.size(); ++c) {
    if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(c), names[c]) !=
        names.begin() + static_cast<std::ptrdiff_t>(c)) {
      return base::invalid("'columns' names '" + names[c] + "' twice");
    }
    for (size_t row = 0; row < data->size(); ++row) cells[row] = &(*data)[row].as_array()[c];
    TRY_SET(stats::Column column, column_of(names[c], cells));
    table.columns.push_back(std::move(column));
  }
  return table;
}

base::Result<stats::Table> table_from_records(const json::array& records) {
  std::vector<std::string> names;
  std::map<std::string, std::vector<const json::value*>, std::less<>> columns;
  for (size_t row = 0; row < records.size(); ++row) {
    const json::object* record = records[row].if_object();
    if (!record) {
      return base::invalid("row " + std::to_string(row) + " must be an object of column and value, found " +
                           std::string(base::kind_name(records[row].kind())));
    }
    for (const auto& field : *record) {
      auto& cells = columns[std::string(field.key())];
      if (cells.empty()) {
        names.emplace_back(field.key());
        cells.resize(records.size(), nullptr);
      }
      cells[row] = &field.value();
    }
  }
  stats::Table table;
  for (const std::string& name : names) {
    TRY_SET(stats::Column column, column_of(name, columns[name]));
    table.columns.push_back(std::move(column));
  }
  return table;
}

base::Result<stats::Table> table_from_columns(const json::object& columns) {
  stats::Table table;
  for (const auto& field : columns) {
    const std::string name(field.key());
    const json::array* list = field.value().if_array();
    if (!list)
      return base::invalid("column '" + name + "' must be a list, found " +
                           std::string(base::kind_name(field.value().kind())));
    std::vector<const json::value*> cells;
    for (const json::value& cell : *list) {
      // A column of one-element lists is the shape [n, 1] of a tensor.
      const json::array* one = cell.if_array();
      cells.push_back(one && one->size() == 1 ? &one->front() : &cell);
    }
    if (!table.columns.empty() && cells.size() != table.rows()) {
      return base::invalid("column '" + name + "' has " + std::to_string(cells.size()) + " rows, '" +
                           table.columns[0].name + "' has " + std::to_string(table.rows()));
    }
    TRY_SET(stats::Column column, column_of(name, cells));
    table.columns.push_back(std::move(column));
  }
  return table;
}

}  // namespace serve
