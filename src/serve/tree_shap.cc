#include "serve/tree_shap.h"

#include <algorithm>
#include <vector>

namespace serve {
namespace {

// One feature of the path from the root: the share of all rows that would come this way without knowing it (zero), and
// whether the row itself does (one); `weight` is that of subsets of so many features.
struct Step {
  int64_t feature = -1;
  double zero = 1;
  double one = 1;
  double weight = 1;
};

void extend(Step* path, size_t depth, double zero, double one, int64_t feature) {
  path[depth] = {feature, zero, one, depth == 0 ? 1.0 : 0.0};
  const auto size = static_cast<double>(depth + 1);
  for (size_t i = depth; i-- > 0;) {
    path[i + 1].weight += one * path[i].weight * static_cast<double>(i + 1) / size;
    path[i].weight = zero * path[i].weight * static_cast<double>(depth - i) / size;
  }
}

// Takes the step at `index` out again.
void unwind(Step* path, size_t depth, size_t index) {
  const double one = path[index].one, zero = path[index].zero;
  const auto size = static_cast<double>(depth + 1);
  double next = path[depth].weight;
  for (size_t i = depth; i-- > 0;) {
    if (one != 0) {
      const double before = path[i].weight;
      path[i].weight = next * size / (static_cast<double>(i + 1) * one);
      next = before - path[i].weight * zero * static_cast<double>(depth - i) / size;
    } else {
      path[i].weight = zero == 0 ? 0 : path[i].weight * size / (zero * static_cast<double>(depth - i));
    }
  }
  for (size_t i = index; i < depth; ++i) {
    path[i].feature = path[i + 1].feature;
    path[i].zero = path[i + 1].zero;
    path[i].one = path[i + 1].one;
  }
}

// What the weights would sum to without the step at `index`.
double unwound_sum(const Step* path, size_t depth, size_t index) {
  const double one = path[index].one, zero = path[index].zero;
  const auto size = static_cast<double>(depth + 1);
  double next = path[depth].weight, total = 0;
  for (size_t i = depth; i-- > 0;) {
    if (one != 0) {
      const double part = next * size / (static_cast<double>(i + 1) * one);
      total += part;
      next = path[i].weight - part * zero * static_cast<double>(depth - i) / size;
    } else if (zero != 0) {
      total += path[i].weight / zero * size / static_cast<double>(depth - i);
    }
  }
  return total;
}

template <class Real>
class TreeWalk {
 public:
  TreeWalk(const Ensemble& ensemble, const Tree& tree, const Real* row, double* out, std::vector<Step>& memory)
      : ensemble_(ensemble), tree_(tree), row_(row), out_(out), memory_(memory) {}
  void run() { visit(0, 0, 0, 1, 1, -1); }

 private:
  // `parent`: where the path so far lies in the memory; `depth`: its length.
  void visit(size_t index, size_t parent, size_t depth, double zero, double one, int64_t feature) {
    const size_t own = parent + depth + 1;  // each level has its own copy, one longer than its parent's
    if (memory_.size() < own + depth + 2) memory_.resize(own + depth + 2);
    std::copy_n(memory_.begin() + static_cast<std::ptrdiff_t>(parent), depth,
                memory_.begin() + static_cast<std::ptrdiff_t>(own));
    extend(&memory_[own], depth, zero, one, feature);
    const TreeNode& node = tree_.nodes[index];
    if (node.left < 0) return leaf(index, own, depth);

    const auto left = static_cast<size_t>(node.left), right = static_cast<size_t>(node.right);
    const bool goes = goes_left(ensemble_, tree_, node, static_cast<double>(row_[node.feature]));
    const size_t hot = goes ? left : right, cold = goes ? right : left;
    // A feature that was met before counts once: its step is taken out and goes on with this split.
    double zero_before = 1, one_before = 1;
    size_t length = depth;
    for (size_t i = 1; i <= depth; ++i) {
      if (memory_[own + i].feature != static_cast<int64_t>(node.feature)) continue;
      zero_before = memory_[own + i].zero;
      one_before = memory_[own + i].one;
      unwind(&memory_[own], depth, i);
      --length;
      break;
    }
    const double cover = node.cover > 0 ? node.cover : 1;
    visit(hot, own, length + 1, tree_.nodes[hot].cover / cover * zero_before, one_before, node.feature);
    visit(cold, own, length + 1, tree_.nodes[cold].cover / cover * zero_before, 0, node.feature);
  }

  void leaf(size_t index, size_t own, size_t depth) {
    const size_t width = ensemble_.features + 1;
    for (size_t i = 1; i <= depth; ++i) {
      const Step& step = memory_[own + i];
      const double share = unwound_sum(&memory_[own], depth, i) * (step.one - step.zero);
      const auto at = static_cast<size_t>(step.feature);
      if (tree_.vectors.empty()) {
        out_[tree_.group * width + at] += share * tree_.nodes[index].value;
      } else {
        for (size_t g = 0; g < ensemble_.groups; ++g)
          out_[g * width + at] += share * tree_.vectors[index * ensemble_.groups + g];
      }
    }
  }

  const Ensemble& ensemble_;
  const Tree& tree_;
  const Real* row_;
  double* out_;
  std::vector<Step>& memory_;
};

// What a tree gives on average over its training rows.
double mean_value(const Ensemble& ensemble, const Tree& tree, size_t index, size_t group) {
  const TreeNode& node = tree.nodes[index];
  if (node.left < 0) return tree.vectors.empty() ? node.value : tree.vectors[index * ensemble.groups + group];
  const auto left = static_cast<size_t>(node.left), right = static_cast<size_t>(node.right);
  const double cover = node.cover > 0 ? node.cover : 1;
  return (mean_value(ensemble, tree, left, group) * tree.nodes[left].cover +
          mean_value(ensemble, tree, right, group) * tree.nodes[right].cover) /
         cover;
}

std::vector<double> mean_sums(const Ensemble& ensemble) {
  std::vector<double> means = ensemble.base;
  for (const Tree& tree : ensemble.trees) {
    if (tree.vectors.empty()) {
      means[tree.group] += mean_value(ensemble, tree, 0, 0);
    } else {
      for (size_t g = 0; g < ensemble.groups; ++g) means[g] += mean_value(ensemble, tree, 0, g);
    }
  }
  return means;
}

size_t depth_of(const Tree& tree) {
  std::vector<std::pair<int32_t, size_t>> open = {{0, 0}};
  size_t most = 0;
  while (!open.empty()) {
    const auto [index, depth] = open.back();
    open.pop_back();
    most = std::max(most, depth);
    const TreeNode& node = tree.nodes[static_cast<size_t>(index)];
    if (node.left < 0) continue;
    open.emplace_back(node.left, depth + 1);
    open.emplace_back(node.right, depth + 1);
  }
  return most;
}

template <class Real>
void explain_linear(const Ensemble& ensemble, const Real* row, double* out) {
  const size_t groups = ensemble.groups, width = ensemble.features + 1;
  for (size_t g = 0; g < groups; ++g) {
    for (size_t i = 0; i < ensemble.features; ++i) {
      const auto value = static_cast<double>(row[i]);
      out[g * width + i] = value == value ? value * ensemble.linear[i * groups + g] : 0;  // NaN: not there
    }
    out[g * width + ensemble.features] = ensemble.linear[ensemble.features * groups + g] + ensemble.base[g];
  }
}

template <class Real>
base::Result<Contributions> explain(const Ensemble& ensemble, const Real* rows, size_t count) {
  const size_t width = ensemble.features + 1, size = ensemble.groups * width;
  Contributions out{.rows = count, .groups = ensemble.groups, .features = ensemble.features, .values = {}};
  out.values.resize(count * size);
  const std::vector<double> means = mean_sums(ensemble);
  std::vector<Step> memory;
  for (size_t row = 0; row < count; ++row) {
    const Real* const values = rows + row * ensemble.features;
    double* const to = out.values.data() + row * size;
    if (!ensemble.linear.empty()) {
      explain_linear(ensemble, values, to);
      continue;
    }
    for (const Tree& tree : ensemble.trees) TreeWalk<Real>(ensemble, tree, values, to, memory).run();
    for (size_t g = 0; g < ensemble.groups; ++g) to[g * width + ensemble.features] = means[g];
  }
  if (ensemble.divide) {
    for (double& value : out.values) value /= static_cast<double>(ensemble.divide);
  }
  return out;
}

}  // namespace

bool explainable(const Ensemble& ensemble) {
  return std::ranges::all_of(ensemble.trees, [](const Tree& tree) {
    return (tree.nodes[0].cover > 0 || tree.nodes.size() == 1) && depth_of(tree) <= kMaxShapDepth;
  });
}

base::Result<Contributions> tree_shap(const Ensemble& ensemble, const float* rows, size_t count) {
  return explain(ensemble, rows, count);
}
base::Result<Contributions> tree_shap(const Ensemble& ensemble, const double* rows, size_t count) {
  return explain(ensemble, rows, count);
}

}  // namespace serve
