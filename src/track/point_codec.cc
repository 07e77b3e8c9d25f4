#include "track/point_codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace track {

namespace {

constexpr char kVersion = 1;
static_assert(std::endian::native == std::endian::little);  // values lie in the chunk as they lie in memory

constexpr size_t kMostVarint = 10;

char* put_varint(char* out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *out++ = static_cast<char>(value | 0x80);
  *out++ = static_cast<char>(value);
  return out;
}

// Small numbers of either sign become small unsigned ones.
uint64_t zigzag(uint64_t value) { return value << 1 ^ (value >> 63 ? ~uint64_t{0} : 0); }
uint64_t unzigzag(uint64_t value) { return value >> 1 ^ (value & 1 ? ~uint64_t{0} : 0); }

class Reader {
 public:
  explicit Reader(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  uint64_t varint() {
    if (at_ != end_ && static_cast<unsigned char>(*at_) < 0x80) return static_cast<unsigned char>(*at_++);
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) break;
      const auto byte = static_cast<unsigned char>(*at_++);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    good_ = false;
    return 0;
  }
  bool take(char byte) { return at_ != end_ && *at_++ == byte; }
  std::string_view rest() const { return {at_, end_}; }
  bool good() const { return good_; }

 private:
  const char* at_;
  const char* end_;
  bool good_ = true;
};

std::unexpected<base::Error> damaged() { return base::internal("a chunk of metric points is damaged"); }

}  // namespace

double storable(double value) {
  if (std::isnan(value)) return 0;
  if (std::isinf(value)) return std::copysign(std::numeric_limits<double>::max(), value);
  return value;
}

bool operator<(const Point& a, const Point& b) {
  if (a.at_ms != b.at_ms) return a.at_ms < b.at_ms;
  if (a.step != b.step) return a.step < b.step;
  const double x = storable(a.value), y = storable(b.value);
  return x != y ? x < y : std::isnan(a.value) < std::isnan(b.value);
}

void sort_unique(std::vector<Point>& points) {
  if (!std::ranges::is_sorted(points, std::less())) std::ranges::sort(points, std::less());
  points.erase(std::ranges::unique(points, same).begin(), points.end());
}

// All arithmetic is modulo 2^64, so that no difference overflows.
std::string encode_points(std::span<const Point> points) {
  std::string bytes;
  const size_t most = 1 + kMostVarint + points.size() * (2 * kMostVarint + sizeof(double));
  bytes.resize_and_overwrite(most, [&](char* begin, size_t) {
    char* out = begin;
    *out++ = kVersion;
    out = put_varint(out, points.size());
    uint64_t before = 0;
    for (const Point& point : points) {
      const auto at = static_cast<uint64_t>(point.at_ms);
      out = put_varint(out, at - before);
      before = at;
    }
    uint64_t stride = 0;
    before = 0;
    for (const Point& point : points) {
      const auto step = static_cast<uint64_t>(point.step);
      const uint64_t moved = step - before;
      out = put_varint(out, zigzag(moved - stride));
      stride = moved;
      before = step;
    }
    for (const Point& point : points) {
      std::memcpy(out, &point.value, sizeof(double));
      out += sizeof(double);
    }
    return out - begin;
  });
  return bytes;
}

base::Result<void> decode_points(std::string_view bytes, std::vector<Point>& out) {
  Reader in(bytes);
  out.clear();
  if (!in.take(kVersion)) return damaged();
  const uint64_t count = in.varint();
  if (count > kChunkPoints) return damaged();
  out.resize(count);
  uint64_t at = 0;
  for (Point& point : out) point.at_ms = static_cast<int64_t>(at += in.varint());
  uint64_t step = 0, stride = 0;
  for (Point& point : out) point.step = static_cast<int64_t>(step += stride += unzigzag(in.varint()));
  const std::string_view values = in.rest();
  if (!in.good() || values.size() != count * sizeof(double)) {
    out.clear();
    return damaged();
  }
  for (size_t i = 0; i < count; ++i) std::memcpy(&out[i].value, values.data() + i * sizeof(double), sizeof(double));
  return {};
}

}  // namespace track
