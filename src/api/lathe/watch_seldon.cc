#include "api/lathe/watch_seldon.h"

#include <algorithm>

#include "base/json.h"
#include "stats/metrics.h"

namespace api::lathe {
namespace {

namespace json = base::json;

base::Result<std::string> label_text(const json::value& value) {
  if (value.is_string()) return std::string(value.get_string());
  if (value.is_bool()) return std::string(value.get_bool() ? "true" : "false");
  if (value.is_int64()) return std::to_string(value.get_int64());
  if (value.is_number()) return stats::canonical_label(value.to_number<double>());
  return base::invalid("the truth of a row must be text, a number or a boolean, found " +
                       std::string(base::kind_name(value.kind())));
}

// The name of the highest score, where there is a name for each.
base::Result<std::string> best_name(const json::array& scores, const json::array* names) {
  if (!names || names->size() != scores.size())
    return base::invalid("a row of the truth has " + std::to_string(scores.size()) +
                         " values, and 'names' does not name as many classes");
  size_t best = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!scores[i].is_number())
      return base::invalid("scores must be numbers, found " + std::string(base::kind_name(scores[i].kind())));
    if (scores[i].to_number<double>() > scores[best].to_number<double>()) best = i;
  }
  return label_text((*names)[best]);
}

base::Result<std::vector<std::string>> labels_of_rows(const json::array& rows, const json::array* names) {
  if (rows.empty()) return base::invalid("the truth has no rows");
  if (rows.size() > watch::kMaxFeedbackBatch)
    return base::fail(base::Code::kTooLarge,
                      "more than " + std::to_string(watch::kMaxFeedbackBatch) + " labels at once; send them in parts");
  std::vector<std::string> out;
  for (const json::value& row : rows) {
    const auto* cells = row.if_array();
    if (!cells) {
      TRY_SET(std::string label, label_text(row));
      out.push_back(std::move(label));
    } else if (cells->size() == 1) {
      TRY_SET(std::string label, label_text(cells->front()));
      out.push_back(std::move(label));
    } else {
      TRY_SET(std::string label, best_name(*cells, names));
      out.push_back(std::move(label));
    }
  }
  return out;
}

// {"shape": [rows] or [rows, columns], "values": […]} as rows.
base::Result<json::array> rows_of_tensor(const json::value& value) {
  TRY_SET(const json::object* tensor, base::as_object(value, "'tensor'"));
  TRY_SET(const json::array* shape, base::required_array(*tensor, "shape"));
  TRY_SET(const json::array* values, base::required_array(*tensor, "values"));
  const bool flat = shape->size() < 2;
  const json::value* columns = flat ? nullptr : &(*shape)[1];
  const auto width =
      static_cast<size_t>(columns && columns->is_int64() ? std::max<int64_t>(columns->get_int64(), 0) : 1);
  if (shape->size() > 2 || width == 0 || values->size() % width != 0)
    return base::invalid("the truth's tensor has a shape that its values do not fit");
  json::array rows;
  for (size_t at = 0; at < values->size(); at += width) {
    json::array row;
    for (size_t i = 0; i < width; ++i) row.push_back((*values)[at + i]);
    rows.push_back(std::move(row));
  }
  return rows;
}

base::Result<std::vector<std::string>> labels_of_truth(const json::value& truth) {
  TRY_SET(const json::object* message, base::as_object(truth, "'truth'"));
  TRY_SET(const json::object* data, base::required_object(*message, "data"));
  const auto* names = data->if_contains("names");
  const json::array* named = names ? names->if_array() : nullptr;
  if (const auto* rows = data->if_contains("ndarray")) {
    if (!rows->is_array()) return base::invalid("the truth's 'ndarray' must be a list of rows");
    return labels_of_rows(rows->get_array(), named);
  }
  if (const auto* tensor = data->if_contains("tensor")) {
    TRY_SET(const json::array rows, rows_of_tensor(*tensor));
    return labels_of_rows(rows, named);
  }
  return base::invalid("the truth's 'data' must hold 'ndarray' or 'tensor'");
}

}  // namespace

base::Result<std::vector<watch::Feedback>> parse_seldon_feedback(std::string_view body) {
  TRY_SET(const json::value value, base::parse_json(body));
  TRY_SET(const json::object* in, base::as_object(value, "the body"));
  TRY_SET(const json::object* response, base::required_object(*in, "response"));
  TRY_SET(const json::object* meta, base::required_object(*response, "meta"));
  const auto* tags_value = meta->if_contains("tags");
  const json::object* tags = tags_value ? tags_value->if_object() : nullptr;
  std::string id;
  if (tags && tags->contains("prediction_id")) {
    TRY_SET(id, base::required_string(*tags, "prediction_id"));
  } else {
    TRY_SET(id, base::required_string(*meta, "puid"));
  }
  TRY_SET(const auto reward, base::optional_double(*in, "reward"));
  std::vector<std::string> labels;
  if (const auto* truth = in->if_contains("truth"); truth && !truth->is_null()) {
    TRY_SET(labels, labels_of_truth(*truth));
  } else if (reward == 1.0) {
    const auto* told = tags ? tags->if_contains("labels") : nullptr;
    if (!told || !told->is_array())
      return base::invalid("a reward of 1 confirms the answer's labels, and the answer has none: send 'truth'");
    TRY_SET(labels, labels_of_rows(told->get_array(), nullptr));
  } else {
    return base::invalid("a reward alone says no label; send 'truth' (or a reward of 1, if the answer was right)");
  }
  std::vector<watch::Feedback> out;
  for (size_t row = 0; row < labels.size(); ++row)
    out.push_back({.prediction = id, .row = static_cast<int64_t>(row), .label = std::move(labels[row])});
  return out;
}

}  // namespace api::lathe
