// Which side a row falls on, decided by a hash of our own (base::stable_hash64), so that it never depends on the order
// of rows or on a library's version. Defined for ever in docs/formats/data.md. Pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/prepare_spec.h"

namespace data {

enum class Part : uint8_t { kTrain, kValid, kTest, kRecent };
std::string_view name(Part part);  // "train", "valid", "test", "recent"

// A value as it counts for equality: a number as its shortest text in single precision (in which models see it, and in
// which a client may have sent it back to us), everything else as it stands. "": missing.
void append_canonical(std::string& out, std::string_view value);

// The identity of a row's features, independent of the columns' order. Reused between rows; one thread.
class FeatureKey {
 public:
  explicit FeatureKey(std::span<const std::string> names);
  // Values in the order of `names`; "" is missing. The bytes live until the next call.
  std::string_view bytes(std::span<const std::string_view> values);

 private:
  std::vector<std::string> names_;
  std::vector<size_t> by_name_;  // positions, names ascending
  std::string bytes_;
};

uint64_t group_hash(uint64_t seed, std::string_view canonical_group);    // of a declared group column's value
uint64_t features_hash(uint64_t seed, std::string_view features_bytes);  // of rows without one

// [0, 1) from the hash's upper 53 bits; and the side that this point is on.
double unit(uint64_t hash);
Part part_at(double unit, const Fractions& fractions);

// Stratified sides. Within each stratum groups stand in the order of their hashes on a line of the stratum's rows, and
// the fractions cut that line, which begins at a point of the stratum's own (so that small strata are not all train).
// Each stratum is then split within one group of the fractions. What this trades: a side still never depends on the
// order of rows, but it may depend on which other rows of its stratum exist.
struct StratifiedGroup {
  uint64_t hash = 0;
  uint32_t stratum = 0;  // index into strata
  int64_t rows = 0;
  Part part = Part::kTrain;  // the answer
};
void assign_stratified(std::vector<StratifiedGroup>& groups, std::span<const std::string> strata, uint64_t seed,
                       const Fractions& fractions);

}  // namespace data
