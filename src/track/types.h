// Words that every part of tracking uses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace track {

struct Tag {
  std::string key;
  std::string value;
};
using Tags = std::vector<Tag>;  // in the order they were given; a later entry for a key wins

enum class View : uint8_t { kActive, kDeleted, kAll };

inline int64_t now_ms(const store::Tx& tx) { return tx.now_us() / 1000; }

// What a page of a search answers beside its rows.
template <class T>
struct Page {
  std::vector<T> rows;
  std::string next_token;  // "": this was the last page
};

}  // namespace track
