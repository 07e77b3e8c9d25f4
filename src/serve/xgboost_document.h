// XGBoost's model files as values: JSON text, or UBJSON, its binary form, with packed big-endian arrays. A malformed
// file is an error, never a crash. Integers stay exact to 2^53, other numbers are read as the float32 that they are.
//
// Thread: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace serve {

struct XgboostValue {
  enum class Kind : uint8_t { kNull, kNumber, kText, kNumbers, kList, kObject };
  Kind kind = Kind::kNull;
  double number = 0;  // booleans too
  std::string text;
  std::vector<double> numbers;     // an array of numbers; an empty array is one
  std::vector<XgboostValue> list;  // of an object: the values of its keys
  std::vector<std::string> keys;

  const XgboostValue* find(std::string_view key) const;
};

inline constexpr size_t kMaxXgboostDepth = 16;           // XGBoost's own files have 8
inline constexpr size_t kMaxXgboostValues = 64'000'000;  // strings, objects and lists; numbers are bounded by the file

base::Result<XgboostValue> read_xgboost_document(std::string_view bytes);

}  // namespace serve
