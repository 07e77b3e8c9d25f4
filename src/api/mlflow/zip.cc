#include "api/mlflow/zip.h"

#include <array>

namespace api::mlflow {

namespace {

constexpr uint64_t kMax32 = 0xFFFFFFFF;
constexpr uint64_t kMax16 = 0xFFFF;
constexpr size_t kLocalHeader = 30, kCentralHeader = 46, kZip64Extra = 28, kEnd = 22, kZip64End = 56 + 20;
constexpr uint16_t kUtf8Names = 0x0800;
constexpr uint16_t kVersion = 20, kZip64Version = 45;
constexpr uint16_t kDate = (0 << 9) | (1 << 5) | 1;  // 1980-01-01: blobs carry no time

void put(std::string& out, uint64_t value, size_t bytes) {
  for (; bytes > 0; --bytes, value >>= 8) out += static_cast<char>(value);
}

// Both sizes and the offset, always all three: one layout for every entry that needs it.
void put_zip64(std::string& out, uint64_t size, uint64_t offset) {
  put(out, 1, 2);
  put(out, 24, 2);
  put(out, size, 8);
  put(out, size, 8);
  put(out, offset, 8);
}

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1) ? 0xEDB88320 ^ (c >> 1) : c >> 1;
    table[i] = c;
  }
  return table;
}

// Slices of 8 bytes: table k is the effect of a byte k places before the end.
constexpr std::array<std::array<uint32_t, 256>, 8> make_slices() {
  std::array<std::array<uint32_t, 256>, 8> slices{make_table()};
  for (size_t k = 1; k < 8; ++k) {
    for (size_t i = 0; i < 256; ++i) slices[k][i] = slices[0][slices[k - 1][i] & 0xFF] ^ (slices[k - 1][i] >> 8);
  }
  return slices;
}
constexpr auto kSlices = make_slices();

}  // namespace

void Crc32::add(std::string_view bytes) {
  const auto* p = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t n = bytes.size();
  for (; n >= 8; n -= 8, p += 8) {
    const uint32_t low = state_ ^ (p[0] | (uint32_t{p[1]} << 8) | (uint32_t{p[2]} << 16) | (uint32_t{p[3]} << 24));
    state_ = kSlices[7][low & 0xFF] ^ kSlices[6][(low >> 8) & 0xFF] ^ kSlices[5][(low >> 16) & 0xFF] ^
             kSlices[4][low >> 24] ^ kSlices[3][p[4]] ^ kSlices[2][p[5]] ^ kSlices[1][p[6]] ^ kSlices[0][p[7]];
  }
  for (; n > 0; --n, ++p) state_ = kSlices[0][(state_ ^ *p) & 0xFF] ^ (state_ >> 8);
}

void ZipLayout::add(std::string name, uint64_t size) {
  const Entry& entry = entries_.emplace_back(Entry{std::move(name), size, offset_, 0});
  offset_ += kLocalHeader + entry.name.size() + (size >= kMax32 ? kZip64Extra : 0) + size;
}

uint64_t ZipLayout::size() const {
  uint64_t central = 0;
  for (const Entry& e : entries_) {
    central += kCentralHeader + e.name.size() + (e.size >= kMax32 || e.offset >= kMax32 ? kZip64Extra : 0);
  }
  const bool large = entries_.size() >= kMax16 || offset_ >= kMax32 || central >= kMax32;
  return offset_ + central + (large ? kZip64End : 0) + kEnd;
}

std::string ZipLayout::local_header(size_t index, uint32_t crc) {
  Entry& entry = entries_[index];
  entry.crc = crc;
  const bool large = entry.size >= kMax32;
  std::string out;
  put(out, 0x04034B50, 4);
  put(out, large ? kZip64Version : kVersion, 2);
  put(out, kUtf8Names, 2);
  put(out, 0, 2);  // stored
  put(out, 0, 2);
  put(out, kDate, 2);
  put(out, crc, 4);
  put(out, large ? kMax32 : entry.size, 4);
  put(out, large ? kMax32 : entry.size, 4);
  put(out, entry.name.size(), 2);
  put(out, large ? kZip64Extra : 0, 2);
  out += entry.name;
  if (large) put_zip64(out, entry.size, entry.offset);
  return out;
}

std::string ZipLayout::end() const {
  std::string out;
  for (const Entry& e : entries_) {
    const bool large = e.size >= kMax32 || e.offset >= kMax32;
    put(out, 0x02014B50, 4);
    put(out, kZip64Version, 2);
    put(out, large ? kZip64Version : kVersion, 2);
    put(out, kUtf8Names, 2);
    put(out, 0, 2);
    put(out, 0, 2);
    put(out, kDate, 2);
    put(out, e.crc, 4);
    put(out, large ? kMax32 : e.size, 4);
    put(out, large ? kMax32 : e.size, 4);
    put(out, e.name.size(), 2);
    put(out, large ? kZip64Extra : 0, 2);
    put(out, 0, 2 + 2 + 2 + 4);  // no comment, disk 0, no attributes
    put(out, large ? kMax32 : e.offset, 4);
    out += e.name;
    if (large) put_zip64(out, e.size, e.offset);
  }
  const uint64_t central = out.size(), count = entries_.size();
  const bool large = count >= kMax16 || offset_ >= kMax32 || central >= kMax32;
  if (large) {
    put(out, 0x06064B50, 4);
    put(out, 44, 8);  // bytes that follow
    put(out, kZip64Version, 2);
    put(out, kZip64Version, 2);
    put(out, 0, 4 + 4);
    put(out, count, 8);
    put(out, count, 8);
    put(out, central, 8);
    put(out, offset_, 8);
    put(out, 0x07064B50, 4);
    put(out, 0, 4);
    put(out, offset_ + central, 8);
    put(out, 1, 4);
  }
  put(out, 0x06054B50, 4);
  put(out, 0, 2 + 2);
  put(out, large ? kMax16 : count, 2);
  put(out, large ? kMax16 : count, 2);
  put(out, large ? kMax32 : central, 4);
  put(out, large ? kMax32 : offset_, 4);
  put(out, 0, 2);
  return out;
}

}  // namespace api::mlflow
