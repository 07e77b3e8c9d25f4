#include "data/split.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "base/hash.h"
#include "stats/table.h"

namespace data {

std::string_view name(Part part) {
  switch (part) {
    case Part::kTrain: return "train";
    case Part::kValid: return "valid";
    case Part::kTest: return "test";
    case Part::kRecent: return "recent";
  }
  return "";
}

void append_canonical(std::string& out, std::string_view value) {
  const auto number = stats::parse_number(value);
  if (!number) {
    out += value;
    return;
  }
  const auto single = static_cast<float>(*number) + 0.0F;  // -0 and 0 are equal
  if (!std::isfinite(single)) {                            // beyond single precision
    stats::append_number(out, *number);
    return;
  }
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, single);
  out.append(buffer, end);
}

FeatureKey::FeatureKey(std::span<const std::string> names)
    : names_(names.begin(), names.end()), by_name_(names.size()) {
  std::iota(by_name_.begin(), by_name_.end(), size_t{0});
  std::ranges::sort(by_name_, {}, [&](size_t i) -> const std::string& { return names_[i]; });
}

std::string_view FeatureKey::bytes(std::span<const std::string_view> values) {
  bytes_.clear();
  for (const size_t i : by_name_) {
    if (values[i].empty()) continue;
    bytes_ += names_[i];
    bytes_ += '\x1F';
    append_canonical(bytes_, values[i]);
    bytes_ += '\x1E';
  }
  return bytes_;
}

// The first byte keeps the kinds of things that are hashed apart.
uint64_t group_hash(uint64_t seed, std::string_view canonical_group) {
  return base::stable_hash64(seed, "g" + std::string(canonical_group));
}
uint64_t features_hash(uint64_t seed, std::string_view features_bytes) {
  return base::stable_hash64(seed, "f" + std::string(features_bytes));
}

double unit(uint64_t hash) { return static_cast<double>(hash >> 11) * 0x1p-53; }

Part part_at(double unit, const Fractions& fractions) {
  if (unit < fractions.train) return Part::kTrain;
  if (unit < fractions.train + fractions.valid || fractions.test <= 0) {
    return fractions.valid > 0 ? Part::kValid : Part::kTrain;  // where rounding left a gap below 1
  }
  return Part::kTest;
}

void assign_stratified(std::vector<StratifiedGroup>& groups, std::span<const std::string> strata, uint64_t seed,
                       const Fractions& fractions) {
  std::ranges::sort(groups, [](const auto& a, const auto& b) {
    return a.stratum != b.stratum ? a.stratum < b.stratum : a.hash < b.hash;
  });
  for (size_t begin = 0; begin < groups.size();) {
    size_t end = begin;
    int64_t total = 0;
    for (; end < groups.size() && groups[end].stratum == groups[begin].stratum; ++end) total += groups[end].rows;
    const double start = unit(base::stable_hash64(seed, "s" + strata[groups[begin].stratum]));
    int64_t before = 0;
    for (size_t i = begin; i < end; ++i) {
      const double middle =
          (static_cast<double>(before) + static_cast<double>(groups[i].rows) / 2) / static_cast<double>(total);
      double point = middle + start;
      point -= std::floor(point);
      groups[i].part = part_at(point, fractions);
      before += groups[i].rows;
    }
    begin = end;
  }
}

}  // namespace data
