#include "api/inference/rows_body.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "serve/json_rows.h"

namespace api::inference {
namespace {

namespace json = base::json;
using serve::DataType;
using serve::Tensor;
using serve::TensorInfo;

// A list of values for an input of shape [-1, 1] stands for a list of one-value rows.
void add_column_dimension(Tensor& tensor, const TensorInfo& info) {
  if (tensor.shape.size() == 1 && info.shape.size() == 2 && (info.shape[1] == 1 || info.shape[1] == -1))
    tensor.shape.push_back(1);
}

bool all_inputs_named(const serve::Predictor& predictor, const json::object& object) {
  return std::ranges::all_of(predictor.inputs(), [&](const TensorInfo& info) { return object.contains(info.name); });
}

}  // namespace

base::Result<std::vector<Tensor>> from_inputs(const serve::Predictor& predictor, const json::value& inputs) {
  const auto& infos = predictor.inputs();
  std::vector<Tensor> out;
  const json::object* object = inputs.if_object();
  if (!object) {
    if (!inputs.is_array())
      return base::invalid("'inputs' must be a list or an object, found " +
                           std::string(base::kind_name(inputs.kind())));
    if (infos.size() != 1) {
      return base::invalid("the model has " + std::to_string(infos.size()) +
                           " inputs; give 'inputs' as an object by name");
    }
    TRY_SET(Tensor tensor, serve::tensor_from_json(inputs, infos[0]));
    add_column_dimension(tensor, infos[0]);
    out.push_back(std::move(tensor));
    return out;
  }
  if (!all_inputs_named(predictor, *object)) {  // columns of a table, perhaps
    TRY_SET(const stats::Table table, serve::table_from_columns(*object));
    return predictor.tensors_of(table);
  }
  for (const TensorInfo& info : infos) {
    TRY_SET(Tensor tensor, serve::tensor_from_json(object->at(info.name), info));
    add_column_dimension(tensor, info);
    out.push_back(std::move(tensor));
  }
  return out;
}

base::Result<std::vector<Tensor>> from_instances(const serve::Predictor& predictor, const json::value& instances) {
  const json::array* list = instances.if_array();
  if (!list)
    return base::invalid("'instances' must be a list, found " + std::string(base::kind_name(instances.kind())));
  if (list->empty()) return base::invalid("'instances' is empty");
  const json::object* first = list->front().if_object();
  if (!first || (first->size() == 1 && first->contains("b64"))) return from_inputs(predictor, instances);
  if (!all_inputs_named(predictor, *first)) {
    TRY_SET(const stats::Table table, serve::table_from_records(*list));
    return predictor.tensors_of(table);
  }
  json::object columns;
  for (const TensorInfo& info : predictor.inputs()) {
    json::array column;
    for (size_t row = 0; row < list->size(); ++row) {
      const json::object* object = (*list)[row].if_object();
      const json::value* value = object ? object->if_contains(info.name) : nullptr;
      if (!value) return base::invalid("'instances', row " + std::to_string(row) + ": '" + info.name + "' is missing");
      column.push_back(*value);
    }
    columns[info.name] = std::move(column);
  }
  return from_inputs(predictor, columns);
}

base::Result<std::vector<Tensor>> from_scoring(const serve::Predictor& predictor, const json::object& body) {
  constexpr std::array<std::string_view, 4> kShapes = {"dataframe_split", "dataframe_records", "instances", "inputs"};
  constexpr std::string_view kRule = "exactly one of dataframe_split, dataframe_records, instances and inputs";
  std::string_view found;
  for (std::string_view shape : kShapes) {
    if (!body.contains(shape)) continue;
    if (!found.empty())
      return base::invalid("the body must hold " + std::string(kRule) + "; it has both '" + std::string(found) +
                           "' and '" + std::string(shape) + "'");
    found = shape;
  }
  if (found.empty()) return base::invalid("the body must hold " + std::string(kRule));
  if (const auto* params = body.if_contains("params"); params && !params->is_object() && !params->is_null())
    return base::invalid("'params' must be an object, found " + std::string(base::kind_name(params->kind())));
  const json::value& data = body.at(found);
  if (found == "instances") return from_instances(predictor, data);
  if (found == "inputs") return from_inputs(predictor, data);
  stats::Table table;
  if (found == "dataframe_split") {
    TRY_SET(const json::object* split, base::as_object(data, "'dataframe_split'"));
    TRY_SET(table, serve::table_from_split(*split));
  } else {
    if (!data.is_array())
      return base::invalid("'dataframe_records' must be a list, found " + std::string(base::kind_name(data.kind())));
    TRY_SET(table, serve::table_from_records(data.as_array()));
  }
  if (table.rows() == 0) return base::invalid("'" + std::string(found) + "' holds no rows");
  return predictor.tensors_of(table);
}

base::Result<std::vector<Tensor>> from_csv(const serve::Predictor& predictor, std::string_view text, bool with_header) {
  if (!base::is_utf8(text)) return base::invalid("the CSV is not UTF-8");
  std::string named;
  if (!with_header) {
    const auto& features = predictor.features();
    if (features.empty())
      return base::invalid("the model's columns are not known; the CSV's first line must name those that it has");
    for (const serve::Feature& feature : features) {
      named += named.empty() ? "\"" : ",\"";
      for (char c : feature.name) named.append(c == '"' ? 2 : 1, c);
      named += '"';
    }
    named += '\n';
    text = named.append(text);
  }
  TRY_SET(const stats::Table table, stats::parse_csv(text));
  if (table.rows() == 0)
    return base::invalid(with_header ? "the CSV holds no rows (its first line names the columns)"
                                     : "the CSV holds no rows");
  return predictor.tensors_of(table);
}

}  // namespace api::inference
