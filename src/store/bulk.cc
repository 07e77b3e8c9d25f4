#include "store/bulk.h"

#include <algorithm>
#include <bit>

#include "base/assert.h"

namespace store {

namespace {

constexpr size_t kMostRows = 64;

// Up to eight rows exactly, above that a power of two.
size_t group(size_t left) { return left <= 8 ? left : std::min(std::bit_floor(left), kMostRows); }

std::string text_of(std::string_view head, size_t columns, size_t rows, std::string_view tail) {
  std::string row = "(?";
  for (size_t i = 1; i < columns; ++i) row += ", ?";
  row += ")";
  std::string text(head);
  for (size_t i = 0; i < rows; ++i) text.append(i == 0 ? "" : ", ").append(row);
  return text.append(tail);
}

}  // namespace

int64_t BulkInsert::finish() {
  ASSERT_ALWAYS(params_.size() % columns_ == 0);
  int64_t changed = 0;
  std::span<const Param> rest = params_;
  while (!rest.empty() && !tx_.failed()) {
    const size_t rows = group(rest.size() / columns_);
    changed += tx_.run(text_of(head_, columns_, rows, tail_), rest.first(rows * columns_));
    rest = rest.subspan(rows * columns_);
  }
  params_.clear();
  return changed;
}

}  // namespace store
