// Boosted trees as every library's file describes them, before they are laid out for walking: what the decoders of
// XGBoost's and LightGBM's files produce and what the walker (forest.h) and TreeSHAP (tree_shap.h) read. `check` is the
// one place that decides whether a decoded file may be walked: indices, cycles, depth.
//
// Thread: plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace serve {

inline constexpr size_t kMaxTrees = 1'000'000;
inline constexpr size_t kMaxTreeNodes = size_t{1} << 26;  // of all trees together
inline constexpr size_t kMaxTreeDepth = 4096;
inline constexpr size_t kMaxTreeFeatures = size_t{1} << 20;
inline constexpr size_t kMaxTreeGroups = 10'000;         // classes or targets
inline constexpr size_t kMaxTreeFile = size_t{1} << 30;  // bytes of a model file

inline constexpr double kLightgbmZero = 1e-35F;  // what is nearer to zero is zero to LightGBM
inline constexpr double kLightgbmCategoryEnd = 2147483648.0;
inline constexpr double kMostXgboostCategory = 16777216;

// Where a missing value goes at a node. Zero and NaN are LightGBM's words: what counts as missing there.
enum class Missing : uint8_t {
  kNan,   // NaN takes the default direction
  kZero,  // NaN and zero do
  kNone,  // nothing is missing: NaN is zero
};

struct TreeNode {
  int32_t left = -1;  // of a leaf: -1
  int32_t right = -1;
  uint32_t feature = 0;
  bool default_left = false;
  bool categorical = false;
  Missing missing = Missing::kNan;
  double threshold = 0;     // goes left: value < threshold (XGBoost) or value <= threshold (LightGBM)
  uint32_t categories = 0;  // of a categorical node: its first word in Tree::bits …
  uint32_t words = 0;       // … and how many it has; a member goes right (XGBoost) or left (LightGBM)
  double value = 0;         // of a leaf
  double cover = 0;         // weight of the training rows that came through here; 0: not in the file
};

struct Tree {
  std::vector<TreeNode> nodes;  // [0] is the root
  std::vector<double> vectors;  // leaves of several values: nodes.size() × Ensemble::groups; else empty
  std::vector<uint32_t> bits;   // sets of categories, 32 to a word
  uint32_t group = 0;           // the class or target that the leaves add to
};

// What is done to the sums of the leaves.
enum class Link : uint8_t {
  kIdentity,
  kSigmoid,      // 1 / (1 + exp(-scale · x))
  kSoftmax,      // over the groups
  kEachSigmoid,  // of each group (LightGBM's multiclassova)
  kExp,
  kWideExp,  // in double, then rounded: survival:aft since XGBoost 3
  kLog1pExp,
  kSignedSquare,  // x·|x|
  kHinge,         // x > 0
};

enum class Task : uint8_t { kValue, kBinary, kClasses };

struct Ensemble {
  bool xgboost = false;  // float32 and `<`; else LightGBM: double and `<=`
  size_t features = 0;
  size_t groups = 1;
  std::vector<Tree> trees;
  std::vector<double> base;  // of each group: what the sums begin with
  // A linear model in place of trees (XGBoost's gblinear): (features + 1) × groups, the bias last.
  std::vector<double> linear;
  Link link = Link::kIdentity;
  double scale = 1;  // of kSigmoid and kEachSigmoid
  Task task = Task::kValue;
  bool label_of_sums = false;  // the class is that of the highest sum; else of the highest probability (they may round)
  size_t divide = 0;           // not 0: the sums are divided by it (LightGBM's random forests average)
  bool classifier = false;     // saved by the library's scikit-learn classifier: its predict answers labels
  std::string objective;
  std::vector<std::string> feature_names;  // empty if the file has none
  std::vector<std::string> feature_types;  // XGBoost's: "c" is categorical
};

// Refuses what cannot be walked: children outside the tree, shared or in a cycle; feature, group and category indices
// out of range; thresholds that are NaN; more than the limits above.
base::Result<void> check(const Ensemble& ensemble);

// Where a value goes at an inner node, in the library's own words: what the walker does faster.
bool goes_left(const Ensemble& ensemble, const Tree& tree, const TreeNode& node, double value);

}  // namespace serve
