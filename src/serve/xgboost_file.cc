#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "serve/tree_file.h"
#include "serve/xgboost_document.h"

namespace serve {
namespace {

using Kind = XgboostValue::Kind;

base::Result<const XgboostValue*> field(const XgboostValue& object, const char* key, Kind kind) {
  const XgboostValue* value = object.find(key);
  if (!value) return base::invalid(std::string("'") + key + "' is missing");
  if (value->kind != kind) return base::invalid(std::string("'") + key + "' is of another type than XGBoost writes");
  return value;
}

// Parameters are numbers written as text.
base::Result<int64_t> parameter(const XgboostValue& object, const char* key, int64_t missing) {
  const XgboostValue* value = object.find(key);
  if (!value) return missing;
  int64_t out = 0;
  const std::string& text = value->text;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (value->kind != Kind::kText || error != std::errc() || end != text.data() + text.size() || out < 0)
    return base::invalid(std::string("'") + key + "' must be a whole number as text, found '" + text.substr(0, 40) +
                         "'");
  return out;
}

base::Result<size_t> bounded(int64_t value, const char* key, size_t most) {
  if (value < 0 || static_cast<uint64_t>(value) > most) {
    return base::invalid(std::string("'") + key + "' is " + std::to_string(value) + "; allowed: at most " +
                         std::to_string(most));
  }
  return static_cast<size_t>(value);
}

// "5E-1" or, since 3.1, "[5E-1,2.5E-1]".
base::Result<std::vector<float>> base_scores(std::string_view text) {
  std::vector<float> out;
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  while (!text.empty()) {
    const std::string_view token = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), token.size() + 1));
    float value = 0;
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
    if (error != std::errc() || end != token.data() + token.size())
      return base::invalid("'base_score' holds '" + std::string(token.substr(0, 40)) + "', which is no number");
    if (out.size() == kMaxTreeGroups) return base::invalid("'base_score' holds too many numbers");
    out.push_back(value);
  }
  return out;
}

enum class Base : uint8_t { kAsIs, kLogit, kLog };  // how a base score becomes a margin

struct Objective {
  std::string_view name;
  Link link;
  Base base;
  Task task;
};
constexpr std::array kObjectives = {
    Objective{"binary:logistic", Link::kSigmoid, Base::kLogit, Task::kBinary},
    Objective{"binary:logitraw", Link::kIdentity, Base::kAsIs, Task::kValue},
    Objective{"binary:hinge", Link::kHinge, Base::kAsIs, Task::kValue},
    Objective{"reg:logistic", Link::kSigmoid, Base::kLogit, Task::kValue},
    Objective{"reg:squarederror", Link::kIdentity, Base::kAsIs, Task::kValue},
    Objective{"reg:linear", Link::kIdentity, Base::kAsIs, Task::kValue},
    Objective{"reg:squaredlogerror", Link::kIdentity, Base::kAsIs, Task::kValue},
    Objective{"reg:pseudohubererror", Link::kIdentity, Base::kAsIs, Task::kValue},
    Objective{"reg:absoluteerror", Link::kIdentity, Base::kAsIs, Task::kValue},
    Objective{"reg:quantileerror", Link::kIdentity, Base::kAsIs, Task::kValue},
    Objective{"reg:expectileerror", Link::kIdentity, Base::kAsIs, Task::kValue},
    Objective{"reg:gamma", Link::kExp, Base::kLog, Task::kValue},
    Objective{"reg:tweedie", Link::kExp, Base::kLog, Task::kValue},
    Objective{"count:poisson", Link::kExp, Base::kLog, Task::kValue},
    Objective{"survival:cox", Link::kExp, Base::kLog, Task::kValue},
    Objective{"survival:aft", Link::kExp, Base::kLog, Task::kValue},
    Objective{"rank:pairwise", Link::kIdentity, Base::kAsIs, Task::kValue},
    Objective{"rank:ndcg", Link::kIdentity, Base::kAsIs, Task::kValue},
    Objective{"rank:map", Link::kIdentity, Base::kAsIs, Task::kValue},
    Objective{"multi:softprob", Link::kSoftmax, Base::kAsIs, Task::kClasses},
    Objective{"multi:softmax", Link::kSoftmax, Base::kAsIs, Task::kClasses},
};

// In the library's float32.
float margin(Base how, float score) {
  switch (how) {
    case Base::kAsIs: return score;
    case Base::kLogit: return -std::log(1.0F / score - 1.0F);
    case Base::kLog: return std::log(score);
  }
  return score;
}

// --- trees ----------------------------------------------------------------------------------------------------------

class TreeReader {
 public:
  TreeReader(const XgboostValue& in, size_t groups) : in_(in), groups_(groups) {}
  base::Result<Tree> read();

 private:
  base::Result<const std::vector<double>*> numbers(const char* key, size_t count) const;
  base::Result<void> read_categories(Tree& tree) const;
  base::Result<void> read_vectors(Tree& tree, const std::vector<double>& right, size_t width) const;

  const XgboostValue& in_;
  const size_t groups_;
};

base::Result<const std::vector<double>*> TreeReader::numbers(const char* key, size_t count) const {
  TRY_SET(const XgboostValue* value, field(in_, key, Kind::kNumbers));
  if (value->numbers.size() != count) {
    return base::invalid(std::string("'") + key + "' has " + std::to_string(value->numbers.size()) +
                         " values, the tree has " + std::to_string(count) + " nodes");
  }
  return &value->numbers;
}

base::Result<int32_t> node_index(double value, const char* key) {
  if (!(value >= -1 && value <= static_cast<double>(kMaxTreeNodes)) || value != std::floor(value))
    return base::invalid(std::string("'") + key + "' holds " + std::to_string(value) + ", which is no node");
  return static_cast<int32_t>(value);
}

base::Result<Tree> TreeReader::read() {
  TRY_SET(const XgboostValue* left, field(in_, "left_children", Kind::kNumbers));
  const size_t count = left->numbers.size();
  TRY_SET(const auto* right, numbers("right_children", count));
  TRY_SET(const auto* feature, numbers("split_indices", count));
  TRY_SET(const auto* condition, numbers("split_conditions", count));
  TRY_SET(const auto* default_left, numbers("default_left", count));
  const XgboostValue* cover = in_.find("sum_hessian");
  const XgboostValue* type = in_.find("split_type");
  const bool covered = cover && cover->numbers.size() == count;
  Tree tree;
  tree.nodes.resize(count);
  for (size_t i = 0; i < count; ++i) {
    TreeNode& node = tree.nodes[i];
    if (covered) node.cover = cover->numbers[i];
    TRY_SET(node.left, node_index(left->numbers[i], "left_children"));
    if (node.left < 0) {
      node.value = (*condition)[i];
      continue;
    }
    TRY_SET(node.right, node_index((*right)[i], "right_children"));
    if (!((*feature)[i] >= 0 && (*feature)[i] < static_cast<double>(kMaxTreeFeatures)))
      return base::invalid("'split_indices' holds " + std::to_string((*feature)[i]) + ", which is no feature");
    node.feature = static_cast<uint32_t>((*feature)[i]);
    node.default_left = (*default_left)[i] != 0;
    node.threshold = (*condition)[i];
    node.categorical = type && i < type->numbers.size() && type->numbers[i] == 1;
  }
  TRY(read_categories(tree));
  TRY_SET(const XgboostValue* parameters, field(in_, "tree_param", Kind::kObject));
  TRY_SET(const int64_t width, parameter(*parameters, "size_leaf_vector", 0));
  if (width > 1) TRY(read_vectors(tree, *right, static_cast<size_t>(width)));
  return tree;
}

// Sets of categories, which XGBoost writes as lists of them, as bits.
base::Result<void> TreeReader::read_categories(Tree& tree) const {
  const XgboostValue* nodes = in_.find("categories_nodes");
  if (!nodes || nodes->numbers.empty()) {
    if (std::ranges::any_of(tree.nodes, [](const TreeNode& node) { return node.left >= 0 && node.categorical; }))
      return base::invalid("a node splits on categories, and 'categories_nodes' names none");
    return {};
  }
  TRY_SET(const auto* segments, numbers("categories_segments", nodes->numbers.size()));
  TRY_SET(const auto* sizes, numbers("categories_sizes", nodes->numbers.size()));
  TRY_SET(const XgboostValue* all, field(in_, "categories", Kind::kNumbers));
  const auto total = static_cast<double>(all->numbers.size());
  constexpr double kMostCategories = 1 << 24;
  for (size_t i = 0; i < nodes->numbers.size(); ++i) {
    TRY_SET(const int32_t index, node_index(nodes->numbers[i], "categories_nodes"));
    const double first = (*segments)[i], count = (*sizes)[i];
    if (index < 0 || static_cast<size_t>(index) >= tree.nodes.size() || !(first >= 0) || !(count >= 0) ||
        !(first + count <= total)) {
      return base::invalid("'categories_nodes' or 'categories_segments' point outside the tree");
    }
    TreeNode& node = tree.nodes[static_cast<size_t>(index)];
    node.categories = static_cast<uint32_t>(tree.bits.size());
    for (size_t c = 0; c < static_cast<size_t>(count); ++c) {
      const double category = all->numbers[static_cast<size_t>(first) + c];
      if (!(category >= 0 && category < kMostCategories))
        return base::invalid("'categories' holds " + std::to_string(category) + ", which is no category");
      const auto bit = static_cast<uint32_t>(category);
      node.words = std::max(node.words, bit / 32 + 1);
      if (size_t{node.categories} + node.words > kMaxTreeNodes)
        return base::invalid("the sets of categories are too large");
      tree.bits.resize(size_t{node.categories} + node.words);
      tree.bits[node.categories + bit / 32] |= uint32_t{1} << (bit % 32);
    }
  }
  return {};
}

// Leaves of several targets. Since 3.1 they lie in leaf_weights, and a leaf's right child says where; before, every
// node has its row of base_weights.
base::Result<void> TreeReader::read_vectors(Tree& tree, const std::vector<double>& right, size_t width) const {
  if (width != groups_) {
    return base::invalid("'size_leaf_vector' is " + std::to_string(width) + ", the model has " +
                         std::to_string(groups_) + " classes or targets");
  }
  const XgboostValue* weights = in_.find("leaf_weights");
  const bool apart = weights && weights->kind == Kind::kNumbers;
  if (!apart) {
    TRY_SET(weights, field(in_, "base_weights", Kind::kNumbers));
  }
  if (tree.nodes.size() > kMaxTreeNodes / width) return base::invalid("the leaves have too many values");
  tree.vectors.resize(tree.nodes.size() * width);
  for (size_t i = 0; i < tree.nodes.size(); ++i) {
    if (tree.nodes[i].left >= 0) continue;
    size_t row = i;
    if (apart) {
      TRY_SET(const int32_t named, node_index(right[i], "right_children"));
      row = named < 0 ? SIZE_MAX / width - 1 : static_cast<size_t>(named);
    }
    if ((row + 1) * width > weights->numbers.size())
      return base::invalid("node " + std::to_string(i) + " has no leaf values in the file");
    std::copy_n(weights->numbers.begin() + static_cast<std::ptrdiff_t>(row * width), width,
                tree.vectors.begin() + static_cast<std::ptrdiff_t>(i * width));
  }
  return {};
}

// --- the model ------------------------------------------------------------------------------------------------------

// How many trees the rounds up to the best one have.
base::Result<size_t> best_trees(const XgboostValue& learner, const XgboostValue& model, size_t trees, size_t groups) {
  const XgboostValue* attributes = learner.find("attributes");
  if (!attributes || !attributes->find("best_iteration")) return trees;
  TRY_SET(const int64_t best, parameter(*attributes, "best_iteration", 0));
  const auto rounds = static_cast<uint64_t>(best) + 1;
  if (const XgboostValue* starts = model.find("iteration_indptr"); starts && !starts->numbers.empty()) {
    if (rounds >= starts->numbers.size()) return trees;
    const double end = starts->numbers[rounds];
    return end >= 0 && end <= static_cast<double>(trees) ? static_cast<size_t>(end) : trees;
  }
  const XgboostValue* parameters = model.find("gbtree_model_param");
  TRY_SET(const int64_t parallel, parameter(parameters ? *parameters : model, "num_parallel_tree", 1));
  const uint64_t layer = std::max<uint64_t>(1, static_cast<uint64_t>(parallel)) * groups;
  return rounds >= trees / layer ? trees : static_cast<size_t>(rounds * layer);
}

base::Result<void> read_trees(const XgboostValue& learner, const XgboostValue& booster, bool all_rounds,
                              Ensemble& out) {
  const XgboostValue* dropped = nullptr;
  const XgboostValue* inner = &booster;
  if (booster.find("weight_drop")) {
    TRY_SET(dropped, field(booster, "weight_drop", Kind::kNumbers));
    TRY_SET(inner, field(booster, "gbtree", Kind::kObject));
  }
  TRY_SET(const XgboostValue* model, field(*inner, "model", Kind::kObject));
  const XgboostValue* trees = model->find("trees");
  if (!trees || (trees->kind != Kind::kList && !trees->numbers.empty())) return base::invalid("'trees' is missing");
  TRY_SET(const XgboostValue* info, field(*model, "tree_info", Kind::kNumbers));
  const size_t count = trees->list.size();
  if (info->numbers.size() != count) {
    return base::invalid("'tree_info' has " + std::to_string(info->numbers.size()) + " values for " +
                         std::to_string(count) + " trees");
  }
  if (dropped && dropped->numbers.size() != count) {
    return base::invalid("'weight_drop' has " + std::to_string(dropped->numbers.size()) + " values for " +
                         std::to_string(count) + " trees");
  }
  size_t used = count;
  if (!all_rounds) {
    TRY_SET(used, best_trees(learner, *model, count, out.groups));
  }
  for (size_t i = 0; i < used; ++i) {
    auto tree = TreeReader(trees->list[i], out.groups).read();
    if (!tree) return std::unexpected(std::move(tree).error().within("tree " + std::to_string(i)));
    const double group = info->numbers[i];
    if (!(group >= 0 && group < static_cast<double>(out.groups)))
      return base::invalid("'tree_info' holds " + std::to_string(group) + ", which is no class");
    tree->group = static_cast<uint32_t>(group);
    if (dropped) {  // the library multiplies what the tree gives, in float32
      const auto weight = static_cast<float>(dropped->numbers[i]);
      for (TreeNode& node : tree->nodes) node.value = static_cast<double>(static_cast<float>(node.value) * weight);
      for (double& value : tree->vectors) value = static_cast<double>(static_cast<float>(value) * weight);
    }
    out.trees.push_back(std::move(*tree));
  }
  return {};
}

base::Result<void> read_texts(const XgboostValue& learner, const char* key, std::vector<std::string>& out) {
  const XgboostValue* value = learner.find(key);
  if (!value) return {};
  for (const XgboostValue& item : value->list) {
    if (item.kind != Kind::kText) return base::invalid(std::string("'") + key + "' holds something that is no text");
    out.push_back(item.text);
  }
  return {};
}

base::Result<void> read_parameters(const XgboostValue& learner, Ensemble& out) {
  TRY_SET(const XgboostValue* parameters, field(learner, "learner_model_param", Kind::kObject));
  TRY_SET(const int64_t features, parameter(*parameters, "num_feature", 0));
  TRY_SET(const int64_t classes, parameter(*parameters, "num_class", 0));
  TRY_SET(const int64_t targets, parameter(*parameters, "num_target", 1));
  TRY_SET(out.features, bounded(features, "num_feature", kMaxTreeFeatures));
  TRY_SET(out.groups, bounded(std::max<int64_t>({1, classes, targets}), "num_class", kMaxTreeGroups));

  TRY_SET(const XgboostValue* objective, field(learner, "objective", Kind::kObject));
  TRY_SET(const XgboostValue* name, field(*objective, "name", Kind::kText));
  out.objective = name->text;
  const auto known = std::ranges::find(kObjectives, std::string_view(out.objective), &Objective::name);
  if (known == kObjectives.end()) {
    return base::fail(base::Code::kUnsupported, "objective '" + out.objective.substr(0, 80) + "' is not known here");
  }
  out.link = known->link;
  out.label_of_sums = out.objective == "multi:softmax";
  out.task = known->task == Task::kBinary && out.groups > 1 ? Task::kValue : known->task;  // many targets: no classes
  if (out.link == Link::kSigmoid && out.groups > 1) out.link = Link::kEachSigmoid;

  TRY_SET(const XgboostValue* base, field(*parameters, "base_score", Kind::kText));
  TRY_SET(const std::vector<float> scores, base_scores(base->text));
  if (scores.size() != 1 && scores.size() != out.groups) {
    return base::invalid("'base_score' has " + std::to_string(scores.size()) + " numbers for " +
                         std::to_string(out.groups) + " classes or targets");
  }
  for (size_t g = 0; g < out.groups; ++g)
    out.base.push_back(static_cast<double>(margin(known->base, scores[scores.size() == 1 ? 0 : g])));
  return {};
}

}  // namespace

base::Result<Ensemble> read_xgboost(std::string_view bytes, bool all_rounds) {
  TRY_SET(const XgboostValue document, read_xgboost_document(bytes));
  Ensemble out;
  out.xgboost = true;
  const XgboostValue* found = document.find("learner");
  if (!found || found->kind != Kind::kObject) return base::invalid("no XGBoost model: 'learner' is missing at the top");
  const XgboostValue& learner = *found;
  const XgboostValue* version = document.find("version");
  const bool since_3 = version && !version->numbers.empty() && version->numbers[0] >= 3;
  TRY(read_parameters(learner, out));
  if (since_3 && out.objective == "survival:aft") out.link = Link::kWideExp;
  TRY(read_texts(learner, "feature_names", out.feature_names));
  TRY(read_texts(learner, "feature_types", out.feature_types));
  if (!out.feature_names.empty() && out.feature_names.size() != out.features) {
    return base::invalid("'feature_names' has " + std::to_string(out.feature_names.size()) + " names for " +
                         std::to_string(out.features) + " features");
  }
  if (const XgboostValue* attributes = learner.find("attributes")) {
    const XgboostValue* wrapper = attributes->find("scikit_learn");
    out.classifier = wrapper && wrapper->text.find("classifier") != std::string::npos;
  }
  TRY_SET(const XgboostValue* booster, field(learner, "gradient_booster", Kind::kObject));
  const XgboostValue* name = booster->find("name");
  if (name && name->text == "gblinear") {
    TRY_SET(const XgboostValue* model, field(*booster, "model", Kind::kObject));
    TRY_SET(const XgboostValue* weights, field(*model, "weights", Kind::kNumbers));
    out.linear = weights->numbers;
    if (out.linear.empty()) return base::invalid("'weights' is empty");
    std::ranges::fill(out.base, out.base[0]);  // so does the library, also where there is one base score a class
  } else {
    TRY(read_trees(learner, *booster, all_rounds, out));
  }
  TRY(check(out));
  return out;
}

}  // namespace serve
