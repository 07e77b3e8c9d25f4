#include "api/inference/rows_body.h"

#include <algorithm>

#include "serve/json_rows.h"

namespace api::inference {
namespace {

namespace json = base::json;
using serve::DataType;
using serve::Tensor;
using serve::TensorInfo;

// A list of values for an input of shape [-1, 1] stands for a list of one-value rows.
void add_column_dimension(Tensor& tensor, const TensorInfo& info) {
  if (tensor.shape.size() == 1 && info.shape.size() == 2 && (info.shape[1] == 1 || info.shape[1] == -1)) tensor.shape.push_back(1);
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
    if (!inputs.is_array()) return base::invalid("'inputs' must be a list or an object, found " + std::string(base::kind_name(inputs.kind())));
    if (infos.size() != 1) {
      return base::invalid("the model has " + std::to_string(infos.size()) + " inputs; give 'inputs' as an object by name");
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
  if (!list) return base::invalid("'instances' must be a list, found " + std::string(base::kind_name(instances.kind())));
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

}  // namespace api::inference
