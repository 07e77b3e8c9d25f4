#include "serve/ensemble.h"

#include <cmath>
#include <utility>

namespace serve {
namespace {

std::string at(size_t tree, size_t node) {
  return "tree " + std::to_string(tree) + ", node " + std::to_string(node) + ": ";
}

base::Result<void> check_node(const Ensemble& ensemble, size_t index, size_t node_index) {
  const Tree& tree = ensemble.trees[index];
  const TreeNode& node = tree.nodes[node_index];
  if (node.left < 0) {
    if (node.right >= 0) return base::invalid(at(index, node_index) + "has one child only");
    return {};
  }
  const auto count = static_cast<int64_t>(tree.nodes.size());
  if (node.left >= count || node.right < 0 || node.right >= count) {
    return base::invalid(at(index, node_index) + "its children are " + std::to_string(node.left) + " and " +
                         std::to_string(node.right) + ", the tree has " + std::to_string(count) + " nodes");
  }
  if (node.feature >= ensemble.features) {
    return base::invalid(at(index, node_index) + "splits on feature " + std::to_string(node.feature) +
                         ", the model has " + std::to_string(ensemble.features));
  }
  if (node.categorical) {
    if (uint64_t{node.categories} + node.words > tree.bits.size())
      return base::invalid(at(index, node_index) + "its categories lie outside the file");
  } else if (std::isnan(node.threshold)) {
    return base::invalid(at(index, node_index) + "its threshold is not a number");
  }
  return {};
}

// Every node that the root leads to is reached once; level by level, so that a deep tree needs no deep stack.
base::Result<void> check_tree(const Ensemble& ensemble, size_t index) {
  const Tree& tree = ensemble.trees[index];
  if (tree.nodes.empty()) return base::invalid("tree " + std::to_string(index) + " has no nodes");
  if (tree.group >= ensemble.groups) {
    return base::invalid("tree " + std::to_string(index) + " belongs to class " + std::to_string(tree.group) +
                         ", the model has " + std::to_string(ensemble.groups));
  }
  if (tree.vectors.empty() != ensemble.trees[0].vectors.empty()) {
    return base::invalid("tree " + std::to_string(index) + " and tree 0 differ in how many values a leaf has");
  }
  if (!tree.vectors.empty() && tree.vectors.size() != tree.nodes.size() * ensemble.groups) {
    return base::invalid("tree " + std::to_string(index) + " has " + std::to_string(tree.vectors.size()) +
                         " leaf values for " + std::to_string(tree.nodes.size()) + " nodes and " +
                         std::to_string(ensemble.groups) + " targets");
  }
  std::vector<bool> seen(tree.nodes.size());
  std::vector<size_t> level = {0}, next;
  seen[0] = true;
  for (size_t depth = 0; !level.empty(); ++depth) {
    if (depth > kMaxTreeDepth) {
      return base::invalid("tree " + std::to_string(index) + " is deeper than " + std::to_string(kMaxTreeDepth));
    }
    next.clear();
    for (const size_t node : level) {
      TRY(check_node(ensemble, index, node));
      if (tree.nodes[node].left < 0) continue;
      for (const int32_t child : {tree.nodes[node].left, tree.nodes[node].right}) {
        if (seen[static_cast<size_t>(child)]) {
          return base::invalid(at(index, node) + "leads to node " + std::to_string(child) +
                               ", which another node leads to: that is no tree");
        }
        seen[static_cast<size_t>(child)] = true;
        next.push_back(static_cast<size_t>(child));
      }
    }
    std::swap(level, next);
  }
  return {};
}

}  // namespace

base::Result<void> check(const Ensemble& ensemble) {
  if (ensemble.features == 0 || ensemble.features > kMaxTreeFeatures) {
    return base::invalid("the model has " + std::to_string(ensemble.features) + " features; allowed: 1 to " +
                         std::to_string(kMaxTreeFeatures));
  }
  if (ensemble.groups == 0 || ensemble.groups > kMaxTreeGroups) {
    return base::invalid("the model has " + std::to_string(ensemble.groups) + " classes or targets; allowed: 1 to " +
                         std::to_string(kMaxTreeGroups));
  }
  if (ensemble.base.size() != ensemble.groups) {
    return base::invalid("the model has " + std::to_string(ensemble.base.size()) + " base scores for " +
                         std::to_string(ensemble.groups) + " classes or targets");
  }
  if (ensemble.trees.size() > kMaxTrees) {
    return base::invalid("the model has " + std::to_string(ensemble.trees.size()) + " trees; at most " +
                         std::to_string(kMaxTrees) + " are allowed");
  }
  if (!ensemble.linear.empty() && ensemble.linear.size() != (ensemble.features + 1) * ensemble.groups) {
    return base::invalid("the linear model has " + std::to_string(ensemble.linear.size()) + " weights for " +
                         std::to_string(ensemble.features) + " features and " + std::to_string(ensemble.groups) +
                         " classes or targets");
  }
  size_t nodes = 0;
  for (size_t i = 0; i < ensemble.trees.size(); ++i) {
    nodes += ensemble.trees[i].nodes.size();
    if (nodes > kMaxTreeNodes) {
      return base::invalid("the trees have more than " + std::to_string(kMaxTreeNodes) + " nodes");
    }
    TRY(check_tree(ensemble, i));
  }
  return {};
}

bool goes_left(const Ensemble& ensemble, const Tree& tree, const TreeNode& node, double value) {
  const auto member = [&] {
    const auto category = static_cast<uint32_t>(value);
    return category / 32 < node.words && ((tree.bits[node.categories + category / 32] >> (category % 32)) & 1);
  };
  if (ensemble.xgboost) {
    if (std::isnan(value)) return node.default_left;
    if (!node.categorical) return value < node.threshold;
    return value < 0 || value > kMostXgboostCategory || !member();  // what can be no category goes left
  }
  if (std::abs(value) <= kLightgbmZero) value = 0;
  if (node.categorical) return value > -1 && value < kLightgbmCategoryEnd && member();  // NaN goes right
  if (std::isnan(value) && node.missing != Missing::kNan) value = 0;
  if (std::isnan(value) || (node.missing == Missing::kZero && value == 0)) return node.default_left;
  return value <= node.threshold;
}

}  // namespace serve
