// Conditions: the small typed expressions by which graphs choose their way and traffic rules choose a revision.
//
//   petal_length > 2.5 and not (response.label in ["a", "b"])      header["x-tier"] == "gold"
//
//   expression  or, and, not; == != < <= > >=, in [literals]; + - * / %; numbers, "texts" and 'texts', true, false
//   NAME        a column of the request; the same as request.NAME or request["any name"]; request.x[3] is column x_3
//   response.…  of the answer before: label, score (the highest), scores["class"], scores[0], an output's NAME, NAME[3]
//   header[…]   a header of the request, in any case; "" where there is none
//
// Parsed once. A type that does not fit is an error where it stands; what a name's type is follows from its use (text
// beside a text, else a number), and whoever binds the names holds it against the data. A missing number is NaN: every
// comparison with it but != is false. Thread: immutable after parse; holds() is const and safe anywhere.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace serve {

inline constexpr size_t kMaxConditionBytes = 2000;
inline constexpr size_t kMaxConditionTerms = 200;  // operators, names and literals together
inline constexpr int kMaxConditionDepth = 32;      // of parentheses, not and minus

class Condition {
 public:
  enum class Type : uint8_t { kNumber, kText, kBool };
  enum class Source : uint8_t { kRequest, kResponse, kHeader };

  struct Reference {
    Source source = Source::kRequest;
    std::string name;    // a header's in lower case; "scores" with an index or a key
    std::string key;     // response.scores["key"]
    int64_t index = -1;  // NAME[3]
    Type type = Type::kNumber;
    size_t at = 0;  // where it stands, for errors: a byte's number from 1
    std::string shown() const;
  };
  struct Value {
    double number = 0;      // of kBool: 0 or 1
    std::string_view text;  // of kText; borrowed
  };

  // kInvalid: "at character 8: found …; allowed: …".
  static base::Result<Condition> parse(std::string_view text);

  const std::string& text() const { return text_; }
  const std::vector<Reference>& references() const { return references_; }  // each name once
  // `values[i]` is what references()[i] is now.
  bool holds(std::span<const Value> values) const;

 private:
  friend class ConditionParser;
  enum class Op : uint8_t {
    kLiteral,
    kReference,
    kOr,
    kAnd,
    kNot,
    kEq,
    kNe,
    kLt,
    kLe,
    kGt,
    kGe,
    kIn,
    kAdd,
    kSub,
    kMul,
    kDiv,
    kMod,
    kNegate
  };
  struct Term {
    Op op = Op::kLiteral;
    Type type = Type::kNumber;   // of the value
    size_t left = 0, right = 0;  // terms; of kReference: left is its number
    double number = 0;           // of a literal
    std::string text;
    std::vector<size_t> list;  // of kIn: literals
    size_t at = 0;
  };
  Value value(size_t term, std::span<const Value> values) const;

  std::string text_;
  std::vector<Term> terms_;
  std::vector<Reference> references_;
  size_t root_ = 0;
};

}  // namespace serve
