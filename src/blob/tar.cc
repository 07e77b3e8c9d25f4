#include "blob/tar.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/assert.h"

namespace blob::tar {
namespace {

// Where the fields of a ustar header lie.
struct Field {
  size_t at, size;
};
constexpr Field kName{0, 100}, kMode{100, 8}, kUid{108, 8}, kGid{116, 8}, kSize{124, 12}, kTime{136, 12}, kSum{148, 8},
    kType{156, 1}, kMagic{257, 8};

void put(std::string& block, Field field, std::string_view text) {
  std::copy(text.begin(), text.end(), &block[field.at]);
}

void put_octal(std::string& block, Field field, uint64_t value) {
  char digits[24];
  std::snprintf(digits, sizeof digits, "%0*llo", static_cast<int>(field.size - 1),
                static_cast<unsigned long long>(value));
  put(block, field, digits);
}

std::optional<uint64_t> get_octal(std::string_view block, Field field) {
  std::string_view text = block.substr(field.at, field.size);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (error != std::errc() || (end != text.data() + text.size() && *end != '\0' && *end != ' ')) return std::nullopt;
  return value;
}

constexpr uint64_t kOctalLimit = uint64_t{1} << 33;  // eleven octal digits

void put_size(std::string& block, uint64_t size) {
  if (size < kOctalLimit) return put_octal(block, kSize, size);
  block[kSize.at] = static_cast<char>(0x80);
  for (size_t i = 0; i < 8; ++i) block[kSize.at + kSize.size - 1 - i] = static_cast<char>(size >> (8 * i));
}

std::optional<uint64_t> get_size(std::string_view block) {
  if (static_cast<unsigned char>(block[kSize.at]) != 0x80) return get_octal(block, kSize);
  uint64_t size = 0;
  for (size_t i = 0; i < 8; ++i) size = size << 8 | static_cast<unsigned char>(block[kSize.at + kSize.size - 8 + i]);
  return size;
}

// The sum of all bytes, those of the sum itself taken as spaces.
uint64_t sum_of(std::string_view block) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    sum += i - kSum.at < kSum.size ? ' ' : static_cast<unsigned char>(block[i]);
  }
  return sum;
}

}  // namespace

std::string header(const Member& member) {
  ASSERT_ALWAYS(member.name.size() <= kName.size && member.size >= 0);
  std::string block(kBlock, '\0');
  put(block, kName, member.name);
  put_octal(block, kMode, 0644);
  put_octal(block, kUid, 0);
  put_octal(block, kGid, 0);
  put_size(block, static_cast<uint64_t>(member.size));
  put_octal(block, kTime, 0);
  put(block, kType, "0");
  put(block, kMagic, std::string_view("ustar\00000", 8));
  char sum[8];
  std::snprintf(sum, sizeof sum, "%06llo", static_cast<unsigned long long>(sum_of(block)));
  put(block, kSum, {sum, 7});
  block[kSum.at + 7] = ' ';
  return block;
}

base::Result<std::optional<Member>> parse_header(std::string_view block) {
  ASSERT_ALWAYS(block.size() == kBlock);
  if (std::ranges::all_of(block, [](char c) { return c == '\0'; })) return std::nullopt;
  const auto sum = get_octal(block, kSum);
  const auto size = get_size(block);
  if (!sum || *sum != sum_of(block) || !size || *size > INT64_MAX) return base::invalid("a tar header is damaged");
  if (block[kType.at] != '0' && block[kType.at] != '\0') return base::invalid("a tar member is not a plain file");
  const std::string_view name = block.substr(kName.at, kName.size);
  return Member{std::string(name.substr(0, name.find('\0'))), static_cast<int64_t>(*size)};
}

}  // namespace blob::tar
