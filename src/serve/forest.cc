#include "serve/forest.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

namespace serve {
namespace {

constexpr uint32_t kCategorical = uint32_t{1} << 31;
constexpr size_t kViews = 6;

// A number kept in the place of a threshold, exactly.
template <class Real>
Real as_real(uint32_t number) {
  if constexpr (sizeof(Real) == 4)
    return std::bit_cast<Real>(number);
  else
    return std::bit_cast<Real>(uint64_t{number});
}
template <class Real>
uint32_t as_number(Real real) {
  if constexpr (sizeof(Real) == 4)
    return std::bit_cast<uint32_t>(real);
  else
    return static_cast<uint32_t>(std::bit_cast<uint64_t>(real));
}

}  // namespace

template <class Real, bool kLessOrEqual>
uint32_t Forest<Real, kLessOrEqual>::slot_of(uint32_t feature, View view) {
  auto& of_feature = known_[feature];
  if (of_feature.empty()) of_feature.assign(kViews, 0);
  uint32_t& slot = of_feature[static_cast<size_t>(view)];
  if (slot == 0) {
    slot = static_cast<uint32_t>(slots_.size());
    slots_.push_back({feature, view});
  }
  return slot;
}

template <class Real, bool kLessOrEqual>
auto Forest<Real, kLessOrEqual>::inner(const Tree& tree, const TreeNode& from, uint32_t left) -> Node {
  constexpr Real kInfinity = std::numeric_limits<Real>::infinity();
  if (from.categorical) {
    const auto number = static_cast<uint32_t>(sets_.size());
    sets_.push_back({static_cast<uint32_t>(bits_.size()), from.words, from.default_left});
    bits_.insert(bits_.end(), tree.bits.begin() + from.categories, tree.bits.begin() + from.categories + from.words);
    return {as_real<Real>(number), slot_of(from.feature, View::kAsIs) | kCategorical, left};
  }
  Node node{static_cast<Real>(from.threshold), 0, left};
  View view = View::kAsIs;
  switch (from.missing) {
    case Missing::kNan: view = from.default_left ? View::kNanLow : View::kAsIs; break;
    case Missing::kZero: view = from.default_left ? View::kZeroLow : View::kZeroHigh; break;
    case Missing::kNone: view = View::kNanZero; break;
  }
  if (!kLessOrEqual && view == View::kNanLow && node.threshold == -kInfinity) {
    view = View::kNanFlag;  // nothing is below -inf, not even a missing value's -inf
    node.threshold = 0;
  }
  node.slot = slot_of(from.feature, view);
  return node;
}

// Level by level, a node's two children side by side.
template <class Real, bool kLessOrEqual>
void Forest<Real, kLessOrEqual>::lay_out(const Tree& tree) {
  const auto root = static_cast<uint32_t>(nodes_.size());
  std::vector<int32_t> order = {0};
  nodes_.push_back({});
  uint32_t depth = 0;
  bool plain = true;
  for (size_t i = 0, level_end = 1; i < order.size(); ++i) {
    if (i == level_end) {
      ++depth;
      level_end = order.size();
    }
    const auto source = static_cast<size_t>(order[i]);
    const TreeNode& from = tree.nodes[source];
    const auto self = root + static_cast<uint32_t>(i);
    if (from.left < 0) {
      Real value = static_cast<Real>(from.value);
      if (vector_leaves_) {
        const size_t width = base_.size();
        value = as_real<Real>(static_cast<uint32_t>(vectors_.size() / width));
        for (size_t g = 0; g < width; ++g) vectors_.push_back(static_cast<Real>(tree.vectors[source * width + g]));
      }
      nodes_[self] = {value, 0, self - 1};
      continue;
    }
    nodes_[self] = inner(tree, from, static_cast<uint32_t>(nodes_.size()));
    plain = plain && !from.categorical;
    for (const int32_t child : {from.left, from.right}) {
      order.push_back(child);
      nodes_.push_back({});
    }
  }
  roots_.push_back(root);
  group_.push_back(tree.group);
  depth_.push_back(depth);
  plain_.push_back(plain);
}

template <class Real, bool kLessOrEqual>
Forest<Real, kLessOrEqual>::Forest(const Ensemble& ensemble) : features_(ensemble.features) {
  for (const double base : ensemble.base) base_.push_back(static_cast<Real>(base));
  slots_.push_back({0, View::kAsIs});
  known_.resize(features_);
  vector_leaves_ = !ensemble.trees.empty() && !ensemble.trees[0].vectors.empty();  // all or none
  for (const Tree& tree : ensemble.trees) lay_out(tree);
  known_ = {};
  for (uint32_t first = 0; first < roots_.size(); first += kLanes) {
    Block block{.first = first, .count = static_cast<uint32_t>(std::min(kLanes, roots_.size() - first))};
    for (uint32_t i = first; i < first + block.count; ++i) {
      block.depth = std::max(block.depth, depth_[i]);
      block.plain = block.plain && plain_[i];
    }
    blocks_.push_back(block);
  }
}

template <class Real, bool kLessOrEqual>
void Forest<Real, kLessOrEqual>::fill_slots(const Real* row, Real* slots) const {
  constexpr Real kInfinity = std::numeric_limits<Real>::infinity();
  constexpr Real kNan = std::numeric_limits<Real>::quiet_NaN();
  slots[0] = kNan;
  for (size_t i = 1; i < slots_.size(); ++i) {
    const Slot slot = slots_[i];
    Real value = row[slot.feature];
    if constexpr (kLessOrEqual) {
      if (std::abs(value) <= static_cast<Real>(kLightgbmZero)) value = 0;
    }
    const bool nan = std::isnan(value);
    switch (slot.view) {
      case View::kAsIs: break;
      case View::kNanLow: value = nan ? -kInfinity : value; break;
      case View::kNanFlag: value = nan ? Real{-1} : Real{1}; break;
      case View::kNanZero: value = nan ? Real{0} : value; break;
      case View::kZeroLow: value = nan || value == 0 ? -kInfinity : value; break;
      case View::kZeroHigh: value = nan || value == 0 ? kNan : value; break;
    }
    slots[i] = value;
  }
}

// XGBoost: members go right, what can be no category goes left. LightGBM: members go left, all else right.
template <class Real, bool kLessOrEqual>
bool Forest<Real, kLessOrEqual>::goes_left(const Set& set, Real value) const {
  if constexpr (kLessOrEqual) {
    if (!(value > -1) || value >= static_cast<Real>(kLightgbmCategoryEnd)) return false;  // NaN too
  } else {
    if (std::isnan(value)) return set.default_left;
    if (value < 0 || value > static_cast<Real>(kMostXgboostCategory)) return true;
  }
  const auto category = static_cast<uint32_t>(value);
  const bool member = category / 32 < set.words && ((bits_[set.first + category / 32] >> (category % 32)) & 1);
  return member == kLessOrEqual;
}

template <class Real, bool kLessOrEqual>
uint32_t Forest<Real, kLessOrEqual>::walk_categorical(uint32_t at, const Real* slots) const {
  for (;;) {
    const Node& node = nodes_[at];
    if (node.slot == 0) return at;
    const Real value = slots[node.slot & ~kCategorical];
    bool left = kLessOrEqual ? value <= node.threshold : value < node.threshold;
    if (node.slot & kCategorical) left = goes_left(sets_[as_number(node.threshold)], value);
    at = node.left + !left;
  }
}

template <class Real, bool kLessOrEqual>
void Forest<Real, kLessOrEqual>::walk_block(const Block& block, const Real* slots, uint32_t* leaves) const {
  const Node* const nodes = nodes_.data();
  const auto step = [&](uint32_t at) {
    const Node& node = nodes[at];
    const Real value = slots[node.slot];
    return node.left + static_cast<uint32_t>(kLessOrEqual ? !(value <= node.threshold) : !(value < node.threshold));
  };
  const uint32_t* const roots = roots_.data() + block.first;
  if (!block.plain) {
    for (uint32_t i = 0; i < block.count; ++i) leaves[i] = walk_categorical(roots[i], slots);
  } else if (block.count < kLanes) {
    for (uint32_t i = 0; i < block.count; ++i) {
      leaves[i] = roots[i];
      for (uint32_t depth = 0; depth < block.depth; ++depth) leaves[i] = step(leaves[i]);
    }
  } else {
    uint32_t a = roots[0], b = roots[1], c = roots[2], d = roots[3];
    uint32_t e = roots[4], f = roots[5], g = roots[6], h = roots[7];
    for (uint32_t depth = 0; depth < block.depth; ++depth) {
      const uint32_t before = a + b + c + d + e + f + g + h;
      a = step(a), b = step(b), c = step(c), d = step(d);
      e = step(e), f = step(f), g = step(g), h = step(h);
      if (before == a + b + c + d + e + f + g + h) break;  // children lie behind their parents: all are at leaves
    }
    leaves[0] = a, leaves[1] = b, leaves[2] = c, leaves[3] = d;
    leaves[4] = e, leaves[5] = f, leaves[6] = g, leaves[7] = h;
  }
}

template <class Real, bool kLessOrEqual>
void Forest<Real, kLessOrEqual>::walk(const Real* row, Real* sums) const {
  thread_local std::vector<Real> slots;
  slots.resize(std::max(slots.size(), slots_.size()));
  fill_slots(row, slots.data());
  const size_t width = base_.size();
  std::copy(base_.begin(), base_.end(), sums);
  uint32_t leaves[kLanes];
  for (const Block& block : blocks_) {
    walk_block(block, slots.data(), leaves);
    for (uint32_t i = 0; i < block.count; ++i) {
      const Real value = nodes_[leaves[i]].threshold;
      if (!vector_leaves_) {
        sums[group_[block.first + i]] += value;
      } else {
        const Real* const vector = vectors_.data() + as_number(value) * width;
        for (size_t g = 0; g < width; ++g) sums[g] += vector[g];
      }
    }
  }
}

template class Forest<float, false>;
template class Forest<double, true>;

}  // namespace serve
