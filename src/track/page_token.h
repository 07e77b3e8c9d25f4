// Page tokens. Ours are opaque keysets: the sort values of the last row given, so that the next page costs the same as
// the first however deep it lies. Upstream's base64 of {"offset": n} is accepted too. A token remembers which search it
// belongs to and is refused by another one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace track {

// One sort value; owns its text.
struct Value {
  enum class Type : uint8_t { kNull, kInt, kDouble, kText };
  Type type = Type::kNull;
  int64_t i = 0;
  double d = 0;
  std::string text;

  static Value null() { return {}; }
  static Value of(int64_t v) { return {Type::kInt, v, 0, {}}; }
  static Value of(double v) { return {Type::kDouble, 0, v, {}}; }
  static Value of(std::string v) { return {Type::kText, 0, 0, std::move(v)}; }
  store::Param param() const {
    switch (type) {
      case Type::kInt: return store::Param(i);
      case Type::kDouble: return store::Param(d);
      case Type::kText: return store::Param(text);
      case Type::kNull: break;
    }
    return store::Param(nullptr);
  }
};

struct PageToken {
  int64_t offset = 0;        // upstream's form; then `after` is empty
  std::vector<Value> after;  // empty: from the start (or from offset)
};

// `search` is whatever text makes a search this search (filter, order, ids); its hash goes into the token.
std::string encode_page_token(std::string_view search, const std::vector<Value>& after);
base::Result<PageToken> decode_page_token(std::string_view search, std::string_view token);  // "" is the first page

}  // namespace track
