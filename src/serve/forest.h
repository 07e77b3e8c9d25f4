// Forest: an ensemble laid out for walking. A node is a threshold, a slot and its left child (the right one lies behind
// it), 12 bytes in float32, 16 in double; a tree's nodes lie together, level by level. A step is one comparison and no
// branch, because what a missing value does is settled before the walk: the row is copied into slots, one for each
// (feature, way of missing) that some node asks for, in which NaN already is what makes the comparison go its default
// way. Leaves lead to themselves, so several trees walk side by side and their loads overlap.
//
// Sums are made in the library's order and precision: that is what makes the answers equal to the last bit.
// Thread: immutable after construction; walk() from many threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "serve/ensemble.h"

namespace serve {

template <class Real, bool kLessOrEqual>
class Forest {
 public:
  explicit Forest(const Ensemble& ensemble);  // checked

  size_t features() const { return features_; }
  size_t groups() const { return base_.size(); }
  // `row` has features() values, `sums` groups(): before link and division.
  void walk(const Real* row, Real* sums) const;

 private:
  struct Node {
    Real threshold;  // of a leaf: its value, or the number of its vector; of a categorical node: the number of its set
    uint32_t slot;   // kCategorical marks one
    uint32_t left;   // of a leaf: so that the step that always goes right comes back to it
  };
  enum class View : uint8_t { kAsIs, kNanLow, kNanFlag, kNanZero, kZeroLow, kZeroHigh };
  struct Slot {
    uint32_t feature;
    View view;
  };
  struct Set {
    uint32_t first;
    uint32_t words;
    bool default_left;
  };
  static constexpr size_t kLanes = 8;  // trees that walk side by side
  struct Block {                       // up to kLanes trees
    uint32_t first = 0;                // in roots_
    uint32_t count = 0;
    uint32_t depth = 0;
    bool plain = true;  // no categorical node in it
  };

  uint32_t slot_of(uint32_t feature, View view);
  void lay_out(const Tree& tree);
  Node inner(const Tree& tree, const TreeNode& from, uint32_t left);
  void fill_slots(const Real* row, Real* slots) const;
  bool goes_left(const Set& set, Real value) const;
  uint32_t walk_categorical(uint32_t at, const Real* slots) const;
  void walk_block(const Block& block, const Real* slots, uint32_t* leaves) const;

  size_t features_;
  std::vector<Real> base_;
  std::vector<Node> nodes_;
  std::vector<uint32_t> roots_;
  std::vector<uint32_t> group_;  // of each tree
  std::vector<uint32_t> depth_;
  std::vector<uint8_t> plain_;
  std::vector<Block> blocks_;
  std::vector<Slot> slots_;  // [0] is of leaves: always NaN
  std::vector<Set> sets_;
  std::vector<uint32_t> bits_;
  std::vector<Real> vectors_;  // leaves of several values
  bool vector_leaves_ = false;
  std::vector<std::vector<uint32_t>> known_;  // while it is built: slots of each feature, by view
};

using XgboostForest = Forest<float, false>;
using LightgbmForest = Forest<double, true>;

}  // namespace serve
