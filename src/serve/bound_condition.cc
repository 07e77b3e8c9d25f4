#include "serve/bound_condition.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/utf8.h"

namespace serve {
namespace {

std::unexpected<base::Error> wrong(const Condition::Reference& reference, const std::string& what) {
  return base::invalid("condition: at character " + std::to_string(reference.at) + ": " + what);
}

}  // namespace

std::string header_value(std::string_view value) {
  value = value.substr(0, kMaxHeaderValue);
  return base::is_utf8(value) ? std::string(value) : std::string();
}

std::vector<Slot> slots_of(std::span<const Feature> features) {
  std::vector<Slot> out;
  size_t numbers = 0, texts = 0;
  for (const Feature& feature : features) out.push_back({feature.text, feature.text ? texts++ : numbers++});
  return out;
}

std::string names_of(std::span<const Feature> features) {
  std::string out;
  for (const Feature& feature : features) {
    out += (out.empty() ? "" : ", ") + feature.name;
    if (out.size() > 300) return out + ", …";
  }
  return out.empty() ? "none that are known" : out;
}

base::Result<void> BoundCondition::bind(const std::string& text, std::span<const Feature> features,
                                        const AnswerShape* before, std::vector<std::string>& headers) {
  TRY_SET(condition_, Condition::parse(text));
  for (const auto& reference : condition_->references()) {
    TRY_SET(const Bound bound, bind_one(reference, features, before, headers));
    bound_.push_back(bound);
    reads_columns_ |= reference.source == Condition::Source::kRequest;
  }
  return {};
}

base::Result<Places> BoundCondition::holds(const RowsView& view, const Places& among) const {
  Places out;
  std::vector<Condition::Value> values(bound_.size());
  for (const uint32_t row : among) {
    for (size_t i = 0; i < bound_.size(); ++i) {
      TRY_SET(values[i], value(bound_[i], condition_->references()[i], view, row));
    }
    if (condition_->holds(values)) out.push_back(row);
  }
  return out;
}

base::Result<BoundCondition::Bound> BoundCondition::bind_one(const Reference& reference,
                                                             std::span<const Feature> features,
                                                             const AnswerShape* before,
                                                             std::vector<std::string>& headers) {
  if (reference.source == Condition::Source::kHeader) {
    const auto found = std::ranges::find(headers, reference.name);
    const auto place = static_cast<size_t>(found - headers.begin());
    if (found == headers.end()) headers.push_back(reference.name);
    return Bound{.kind = Kind::kHeader, .place = place};
  }
  if (reference.source == Condition::Source::kResponse) {
    if (!before) return wrong(reference, "there is no answer before this step");
    return bind_answer(reference, *before);
  }
  std::string column = reference.name;
  if (reference.index >= 0) column += "_" + std::to_string(reference.index);
  const auto slots = slots_of(features);
  const auto found = std::ranges::find(features, column, &Feature::name);
  if (found == features.end())
    return wrong(reference, "the request has no column '" + column + "'; its columns: " + names_of(features) +
                                "; one that no model takes is declared under columns");
  const Slot slot = slots[static_cast<size_t>(found - features.begin())];
  if (slot.text != (reference.type == Type::kText))
    return wrong(reference, "column '" + column + "' is " + (slot.text ? "text" : "a number"));
  const auto same = std::ranges::count(features, slot.text, &Feature::text);
  return Bound{
      .kind = slot.text ? Kind::kText : Kind::kNumber, .place = slot.place, .width = static_cast<size_t>(same)};
}

base::Result<BoundCondition::Bound> BoundCondition::bind_answer(const Reference& reference, const AnswerShape& before) {
  const bool labelled = before.labelled;
  if (reference.name == "label" && labelled && reference.index < 0) return Bound{.kind = Kind::kLabel};
  if (reference.name == "score" && labelled && reference.index < 0 && before.width > 0)
    return Bound{.kind = Kind::kTopScore};
  if (reference.name == "scores" && labelled && before.width > 0) {
    auto place = static_cast<size_t>(std::max<int64_t>(reference.index, 0));
    if (!reference.key.empty()) {
      const auto found = std::ranges::find(before.classes, reference.key);
      if (found == before.classes.end()) return wrong(reference, "the answer has no class '" + reference.key + "'");
      place = static_cast<size_t>(found - before.classes.begin());
    }
    if (place >= before.width)
      return wrong(reference, "the answer has " + std::to_string(before.width) + " scores a row");
    return Bound{.kind = Kind::kScore, .place = place};
  }
  const auto found = std::ranges::find(before.outputs, reference.name, &TensorInfo::name);
  if (found == before.outputs.end()) {
    std::string has;
    for (const TensorInfo& info : before.outputs) has += ", " + info.name;
    return wrong(reference, "the answer has no '" + reference.name + "'; it has " +
                                (labelled ? "label" : std::string("no label")) +
                                (labelled && before.width > 0 ? ", score, scores" : "") + has);
  }
  if ((found->type == DataType::kBytes) != (reference.type == Type::kText))
    return wrong(reference, "'" + reference.name + "' is " + std::string(name(found->type)));
  return Bound{.kind = Kind::kOutput,
               .place = static_cast<size_t>(found - before.outputs.begin()),
               .column = static_cast<size_t>(std::max<int64_t>(reference.index, 0))};
}

base::Result<Condition::Value> BoundCondition::value(const Bound& bound, const Reference& reference,
                                                     const RowsView& view, size_t row) {
  const GraphAnswer* before = view.before;
  // An answer before may turn out to be of another form than its model said.
  const auto other_form = [] { return base::invalid("the rows do not have the form that their model declares"); };
  const size_t cell = row * bound.width + bound.place;
  switch (bound.kind) {
    case Kind::kNumber: {
      if (view.raw->numbers.size() != view.raw->count * bound.width) return other_form();
      const double number = view.raw->numbers[cell];
      // Used as a truth, a missing number is not true.
      return Condition::Value{.number = reference.type == Type::kBool ? number != 0 && !std::isnan(number) : number};
    }
    case Kind::kText:
      if (view.raw->texts.size() != view.raw->count * bound.width) return other_form();
      return Condition::Value{.text = view.raw->texts[cell]};
    case Kind::kHeader: return Condition::Value{.text = view.headers[bound.place]};
    case Kind::kLabel: {
      if (row >= before->labels.size()) return base::invalid("the answer before has no label for every row");
      const std::string& label = before->labels[row];
      Condition::Value out{.number = std::numeric_limits<double>::quiet_NaN(), .text = label};
      std::from_chars(label.data(), label.data() + label.size(), out.number);
      if (reference.type == Type::kBool) out.number = label == "true" || out.number == 1;
      return out;
    }
    case Kind::kTopScore:
    case Kind::kScore: {
      const size_t width = before->width();
      if (width == 0 || (bound.kind == Kind::kScore && bound.place >= width))
        return base::invalid("the answer before has no such score");
      const auto scores = std::span(before->scores).subspan(row * width, width);
      return Condition::Value{.number =
                                  bound.kind == Kind::kScore ? scores[bound.place] : *std::ranges::max_element(scores)};
    }
    case Kind::kOutput: {
      if (bound.place >= before->outputs.size()) return other_form();
      const Tensor& tensor = before->outputs[bound.place];
      const size_t all =
          tensor.type == DataType::kBytes ? tensor.strings.size() : tensor.bytes.size() / byte_size(tensor.type);
      const size_t each = all / before->rows;
      if (each * before->rows != all) return other_form();
      if (bound.column >= each)
        return base::invalid("'" + tensor.name + "' has " + std::to_string(each) + " values a row");
      const size_t at = row * each + bound.column;
      if (tensor.type == DataType::kBytes) return Condition::Value{.text = tensor.strings[at]};
      return Condition::Value{.number = number_at(tensor, at)};
    }
  }
  return Condition::Value{};
}

}  // namespace serve
