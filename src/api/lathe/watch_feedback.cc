#include "api/lathe/watch_feedback.h"

#include <algorithm>

#include "base/json.h"
#include "base/utf8.h"
#include "stats/metrics.h"

namespace api::lathe {
namespace {

using watch::Feedback;

base::Result<std::string> read_label(const base::json::object& in) {
  const auto* label = in.if_contains("label");
  if (label == nullptr || label->is_null()) return base::invalid("field 'label' is missing");
  if (label->is_string()) return std::string(label->get_string());
  if (label->is_bool()) return std::string(label->get_bool() ? "true" : "false");
  if (label->is_int64()) return std::to_string(label->get_int64());
  if (label->is_number()) return stats::canonical_label(label->to_number<double>());
  return base::invalid("field 'label' must be text, a number or a boolean, found " +
                       std::string(base::kind_name(label->kind())));
}

base::Result<Feedback> read_one(const base::json::value& value) {
  constexpr std::string_view kKeys[] = {"id", "label", "row", "at_us"};
  TRY_SET(const auto* in, base::as_object(value, "a label"));
  for (const auto& [key, unused] : *in) {
    if (std::ranges::find(kKeys, std::string_view(key)) == std::end(kKeys)) {
      return base::invalid("unknown field '" + std::string(key) + "'; allowed: id, label, row, at_us");
    }
  }
  Feedback feedback;
  TRY_SET(feedback.prediction, base::required_string(*in, "id"));
  TRY_SET(feedback.label, read_label(*in));
  TRY_SET(const auto row, base::optional_int(*in, "row"));
  TRY_SET(const auto at_us, base::optional_int(*in, "at_us"));
  feedback.row = row.value_or(0);
  feedback.at_us = at_us.value_or(0);
  return feedback;
}

base::Result<void> too_many(size_t count) {
  if (count <= watch::kMaxFeedbackBatch) return {};
  return base::fail(base::Code::kTooLarge,
                    "more than " + std::to_string(watch::kMaxFeedbackBatch) + " labels at once; send them in parts");
}

base::Result<std::vector<Feedback>> parse_array(const base::json::array& list) {
  TRY(too_many(list.size()));
  std::vector<Feedback> labels;
  for (size_t i = 0; i < list.size(); ++i) {
    auto one = read_one(list[i]);
    if (!one) return std::unexpected(std::move(one.error()).within("element " + std::to_string(i)));
    labels.push_back(std::move(*one));
  }
  return labels;
}

base::Result<std::vector<Feedback>> parse_lines(std::string_view body) {
  std::vector<Feedback> labels;
  for (size_t line = 1; !body.empty(); ++line) {
    const size_t end = std::min(body.find('\n'), body.size());
    const std::string_view text = body.substr(0, end);
    body.remove_prefix(std::min(end + 1, body.size()));
    if (text.find_first_not_of(" \t\r") == text.npos) continue;
    TRY(too_many(labels.size() + 1));
    const std::string where = "line " + std::to_string(line);
    auto document = base::parse_json(text);
    if (!document) return std::unexpected(std::move(document.error()).within(where));
    auto one = read_one(*document);
    if (!one) return std::unexpected(std::move(one.error()).within(where));
    labels.push_back(std::move(*one));
  }
  return labels;
}

}  // namespace

base::Result<std::vector<Feedback>> parse_feedback(std::string_view body) {
  if (!base::is_utf8(body)) return base::invalid("the body is not UTF-8");
  const size_t start = body.find_first_not_of(" \t\r\n");
  if (start == body.npos) return base::invalid("the body is empty; expected [{\"id\": \"pr_…\", \"label\": …}]");
  if (body[start] == '[') {
    TRY_SET(const auto document, base::parse_json(body));
    return parse_array(document.as_array());
  }
  // One object, however it is broken into lines; else one a line.
  if (const auto document = base::parse_json(body)) {
    TRY_SET(auto one, read_one(*document));
    return std::vector<Feedback>{std::move(one)};
  }
  return parse_lines(body);
}

}  // namespace api::lathe
