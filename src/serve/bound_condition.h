// Conditions held against what there is: columns of a request, the answer before, headers. Graphs and traffic rules
// bind theirs once a snapshot and ask them for each row. Thread: immutable once bound; safe anywhere.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "serve/condition.h"
#include "serve/graph_rows.h"

namespace serve {

inline constexpr size_t kMaxHeaderValue = 256;  // bytes of it that a condition sees, and a record keeps

// A header's value as conditions see it: cut, and "" if it is no UTF-8.
std::string header_value(std::string_view value);

struct Slot {  // where a feature lies in a row of RawRows
  bool text = false;
  size_t place = 0;
};
std::vector<Slot> slots_of(std::span<const Feature> features);
std::string names_of(std::span<const Feature> features);  // for people, cut

struct RowsView {
  const RawRows* raw = nullptr;         // where reads_columns()
  const GraphAnswer* before = nullptr;  // where it reads response.…
  std::span<const std::string> headers;
};

class BoundCondition {
 public:
  // `headers`: all that this and other conditions read; this one's are added. `before`: of response.…; null: there is
  // none. kInvalid says where in the text what is not there.
  base::Result<void> bind(const std::string& text, std::span<const Feature> features, const AnswerShape* before,
                          std::vector<std::string>& headers);
  bool there() const { return condition_.has_value(); }
  bool reads_columns() const { return reads_columns_; }

  // The rows for which it holds, of those that `among` names.
  base::Result<Places> holds(const RowsView& view, const Places& among) const;

 private:
  using Reference = Condition::Reference;
  using Type = Condition::Type;
  enum class Kind : uint8_t { kNumber, kText, kHeader, kLabel, kTopScore, kScore, kOutput };
  struct Bound {
    Kind kind = Kind::kNumber;
    size_t place = 0;   // in a row; number of the header, class or output
    size_t column = 0;  // of the output
    size_t width = 0;   // of a row of numbers or texts
  };
  static base::Result<Bound> bind_one(const Reference& reference, std::span<const Feature> features,
                                      const AnswerShape* before, std::vector<std::string>& headers);
  static base::Result<Bound> bind_answer(const Reference& reference, const AnswerShape& before);
  static base::Result<Condition::Value> value(const Bound& bound, const Reference& reference, const RowsView& view,
                                              size_t row);

  std::optional<Condition> condition_;
  std::vector<Bound> bound_;
  bool reads_columns_ = false;
};

}  // namespace serve
