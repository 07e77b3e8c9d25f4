// GraphQL's query language (October 2021) as far as MLflow's browser and its like write it: operations with variables,
// fields with aliases and arguments, fragments, @include and @skip. No type system definitions. Bytes from outside:
// every loop and depth is bounded. Thread: pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace api::mlflow::graphql {

inline constexpr size_t kQueryBytes = size_t{128} << 10;
inline constexpr size_t kTokens = 20'000;
inline constexpr int kNesting = 32;  // of selections, lists and objects

struct Value {
  enum class Kind : uint8_t { kNull, kBool, kInt, kFloat, kString, kEnum, kVariable, kList, kObject };
  Kind kind = Kind::kNull;
  bool flag = false;
  std::string text;                // digits, characters, or a name
  std::vector<Value> items;        // of a list; of an object, in the order of names
  std::vector<std::string> names;  // kObject
};

using Arguments = std::vector<std::pair<std::string, Value>>;

struct Directive {
  std::string name;
  Arguments arguments;
};

struct Selection {
  enum class Kind : uint8_t { kField, kSpread, kInline };
  Kind kind = Kind::kField;
  std::string alias;  // kField; "": its name
  std::string name;   // of a field or fragment; of a type, or "", where kInline
  Arguments arguments;
  std::vector<Directive> directives;
  std::vector<Selection> selections;
};

struct Variable {
  std::string name;
  std::string type;  // "MlflowGetRunInput!"
  bool has_default = false;
  Value otherwise;
};

struct Operation {
  enum class Kind : uint8_t { kQuery, kMutation, kSubscription };
  Kind kind = Kind::kQuery;
  std::string name;
  std::vector<Variable> variables;
  std::vector<Selection> selections;
};

struct Fragment {
  std::string name, type;
  std::vector<Selection> selections;
};

struct Document {
  std::vector<Operation> operations;
  std::vector<Fragment> fragments;
};

// "Syntax Error: Expected Name, found '}'. (line 1, column 9)"
base::Result<Document> parse(std::string_view text);

}  // namespace api::mlflow::graphql
