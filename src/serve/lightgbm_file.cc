#include <algorithm>
#include <charconv>
#include <map>

#include "serve/tree_file.h"

namespace serve {
namespace {

// A section: lines of key=value up to an empty line.
class Section {
 public:
  // Takes the section from the front of `text`.
  explicit Section(std::string_view& text) {
    while (!text.empty()) {
      std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.empty()) {
        if (fields_.empty()) continue;  // before the section
        break;
      }
      const size_t equals = line.find('=');
      fields_.emplace(line.substr(0, equals), equals == line.npos ? std::string_view() : line.substr(equals + 1));
      if (fields_.size() == 1) first_ = line;
    }
  }
  std::string_view first() const { return first_; }
  bool has(std::string_view key) const { return fields_.contains(key); }
  base::Result<std::string_view> text(std::string_view key) const {
    const auto found = fields_.find(key);
    if (found == fields_.end()) return base::invalid("'" + std::string(key) + "' is missing");
    return found->second;
  }
  base::Result<int64_t> integer(std::string_view key) const {
    TRY_SET(const std::string_view value, text(key));
    int64_t out = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
    if (error != std::errc() || end != value.data() + value.size())
      return base::invalid("'" + std::string(key) + "' must be a whole number, found '" +
                           std::string(value.substr(0, 40)) + "'");
    return out;
  }
  base::Result<int64_t> integer_or(std::string_view key, int64_t missing) const {
    if (!has(key)) return missing;
    return integer(key);
  }

  // `count` numbers with spaces between.
  template <class T>
  base::Result<std::vector<T>> numbers(std::string_view key, size_t count) const {
    TRY_SET(std::string_view value, text(key));
    std::vector<T> out;
    // A number takes a character and a space at least: so a count out of thin air reserves nothing.
    out.reserve(std::min(count, value.size() / 2 + 1));
    for (;;) {
      while (value.starts_with(' ')) value.remove_prefix(1);
      if (value.empty()) break;
      T number{};
      const char* const last = value.data() + value.size();
      const auto [end, error] = std::from_chars(value.data(), last, number);
      const bool tiny = error == std::errc::result_out_of_range && std::is_floating_point_v<T>;
      if ((error != std::errc() && !tiny) || (end != last && *end != ' ')) {
        return base::invalid("'" + std::string(key) + "' holds '" +
                             std::string(value.substr(0, value.find(' ')).substr(0, 40)) +
                             "', which is no number of its kind");
      }
      value.remove_prefix(static_cast<size_t>(end - value.data()));
      out.push_back(number);
    }
    if (out.size() != count) {
      return base::invalid("'" + std::string(key) + "' has " + std::to_string(out.size()) + " numbers, expected " +
                           std::to_string(count));
    }
    return out;
  }

 private:
  std::map<std::string_view, std::string_view> fields_;
  std::string_view first_;
};

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (!word.empty()) out.push_back(word);
  }
  return out;
}

// --- trees ----------------------------------------------------------------------------------------------------------

constexpr int kCategoricalBit = 1;
constexpr int kDefaultLeftBit = 2;

base::Result<Missing> missing_of(int decision) {
  switch ((decision >> 2) & 3) {
    case 0: return Missing::kNone;
    case 1: return Missing::kZero;
    case 2: return Missing::kNan;
    default: return base::invalid("'decision_type' holds " + std::to_string(decision) + ", which means nothing");
  }
}

base::Result<void> read_categories(const Section& in, std::vector<uint32_t>& boundaries, Tree& tree) {
  TRY_SET(const int64_t sets, in.integer_or("num_cat", 0));
  if (sets == 0) return {};
  if (sets < 0 || static_cast<uint64_t>(sets) > kMaxTreeNodes) return base::invalid("'num_cat' is out of range");
  TRY_SET(boundaries, in.numbers<uint32_t>("cat_boundaries", static_cast<size_t>(sets) + 1));
  if (!std::ranges::is_sorted(boundaries) || boundaries[0] != 0)
    return base::invalid("'cat_boundaries' is not in order");
  TRY_SET(tree.bits, in.numbers<uint32_t>("cat_threshold", boundaries.back()));
  return {};
}

// Nodes first, then leaves; a child below zero is the leaf ~child.
base::Result<void> read_inner(const Section& in, size_t inner, Tree& tree) {
  TRY_SET(const auto feature, in.numbers<uint32_t>("split_feature", inner));
  TRY_SET(const auto threshold, in.numbers<double>("threshold", inner));
  TRY_SET(const auto decision, in.numbers<int>("decision_type", inner));
  TRY_SET(const auto left, in.numbers<int32_t>("left_child", inner));
  TRY_SET(const auto right, in.numbers<int32_t>("right_child", inner));
  std::vector<double> count;
  if (in.has("internal_count")) {
    TRY_SET(count, in.numbers<double>("internal_count", inner));
  }
  std::vector<uint32_t> boundaries;
  TRY(read_categories(in, boundaries, tree));
  for (size_t i = 0; i < inner; ++i) {
    TreeNode& node = tree.nodes[i];
    const auto child = [&](int32_t named) -> int32_t {
      // An inner child stays what it is if there is such a node; all else is checked with the ensemble.
      const int64_t at = named >= 0 ? named : static_cast<int64_t>(inner) + ~named;
      return named >= static_cast<int64_t>(inner) || at > INT32_MAX ? INT32_MAX : static_cast<int32_t>(at);
    };
    node.left = child(left[i]);
    node.right = child(right[i]);
    node.feature = feature[i];
    node.threshold = threshold[i];
    if (!count.empty()) node.cover = count[i];
    node.default_left = decision[i] & kDefaultLeftBit;
    TRY_SET(node.missing, missing_of(decision[i]));
    node.categorical = decision[i] & kCategoricalBit;
    if (!node.categorical) continue;
    if (!(threshold[i] >= 0 && threshold[i] + 1 < static_cast<double>(boundaries.size())))
      return base::invalid("node " + std::to_string(i) + " names a set of categories that is not there");
    const auto set = static_cast<size_t>(threshold[i]);
    node.categories = boundaries[set];
    node.words = boundaries[set + 1] - boundaries[set];
  }
  return {};
}

base::Result<Tree> read_tree(const Section& in) {
  TRY_SET(const int64_t leaves, in.integer("num_leaves"));
  if (leaves < 1 || static_cast<uint64_t>(leaves) > kMaxTreeNodes / 2)
    return base::invalid("'num_leaves' is " + std::to_string(leaves));
  TRY_SET(const int64_t linear, in.integer_or("is_linear", 0));
  if (linear != 0) {
    return base::fail(base::Code::kUnsupported,
                      "the leaves are linear models (linear_tree=true), which Lathe does not serve; train without, or "
                      "log the model with mlflow.pyfunc");
  }
  const auto count = static_cast<size_t>(leaves);
  TRY_SET(const auto values, in.numbers<double>("leaf_value", count));
  std::vector<double> covers;
  if (in.has("leaf_count") && !in.text("leaf_count")->empty()) {
    TRY_SET(covers, in.numbers<double>("leaf_count", count));
  }
  Tree tree;
  const size_t inner = count - 1;
  tree.nodes.resize(inner + count);
  for (size_t i = 0; i < count; ++i) {
    tree.nodes[inner + i].value = values[i];
    if (!covers.empty()) tree.nodes[inner + i].cover = covers[i];
  }
  if (inner > 0) TRY(read_inner(in, inner, tree));
  return tree;
}

// --- the model ------------------------------------------------------------------------------------------------------

base::Result<double> option(const std::vector<std::string_view>& parts, std::string_view key, double missing) {
  for (const std::string_view part : parts) {
    if (!part.starts_with(key) || part.size() <= key.size() || part[key.size()] != ':') continue;
    const std::string_view value = part.substr(key.size() + 1);
    double out = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
    if (error != std::errc() || end != value.data() + value.size())
      return base::invalid("'objective' holds '" + std::string(part.substr(0, 40)) + "'");
    return out;
  }
  return missing;
}

base::Result<void> read_objective(const Section& header, Ensemble& out) {
  if (!header.has("objective")) return {};  // one of the trainer's own: the sums are the answer
  TRY_SET(const std::string_view text, header.text("objective"));
  const auto parts = words(text);
  out.objective = parts.empty() ? std::string() : std::string(parts[0]);
  const std::string& name = out.objective;
  const auto is = [&](auto... names) { return ((name == names) || ...); };
  if (is("binary", "multiclassova")) {
    out.link = name == "binary" ? Link::kSigmoid : Link::kEachSigmoid;
    out.task = name == "binary" ? Task::kBinary : Task::kClasses;
    TRY_SET(out.scale, option(parts, "sigmoid", 1));
  } else if (is("multiclass")) {
    out.link = Link::kSoftmax;
    out.task = Task::kClasses;
  } else if (is("poisson", "gamma", "tweedie")) {
    out.link = Link::kExp;
  } else if (is("cross_entropy", "xentropy")) {
    out.link = Link::kSigmoid;
  } else if (is("cross_entropy_lambda", "xentlambda")) {
    out.link = Link::kLog1pExp;
  } else if (is("regression", "regression_l2") && std::ranges::find(parts, "sqrt") != parts.end()) {
    out.link = Link::kSignedSquare;
  } else if (!is("regression", "regression_l2", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank",
                 "rank_xendcg", "custom", "none", "")) {
    return base::fail(base::Code::kUnsupported, "objective '" + name.substr(0, 80) + "' is not known here");
  }
  return {};
}

base::Result<void> read_header(const Section& header, Ensemble& out) {
  TRY_SET(const int64_t most, header.integer("max_feature_idx"));
  if (most < 0 || static_cast<uint64_t>(most) >= kMaxTreeFeatures)
    return base::invalid("'max_feature_idx' is " + std::to_string(most));
  out.features = static_cast<size_t>(most) + 1;
  TRY_SET(const int64_t groups, header.integer_or("num_tree_per_iteration", 1));
  if (groups < 1 || static_cast<uint64_t>(groups) > kMaxTreeGroups)
    return base::invalid("'num_tree_per_iteration' is " + std::to_string(groups));
  out.groups = static_cast<size_t>(groups);
  out.base.assign(out.groups, 0);
  if (header.has("feature_names")) {
    TRY_SET(const std::string_view names, header.text("feature_names"));
    for (const std::string_view name : words(names)) out.feature_names.emplace_back(name);
    if (out.feature_names.size() != out.features) {
      return base::invalid("'feature_names' has " + std::to_string(out.feature_names.size()) + " names for " +
                           std::to_string(out.features) + " features");
    }
    // What LightGBM calls the columns of a matrix says no more than their numbers.
    bool numbered = true;
    for (size_t i = 0; i < out.features; ++i)
      numbered = numbered && out.feature_names[i] == "Column_" + std::to_string(i);
    if (numbered) out.feature_names.clear();
  }
  return read_objective(header, out);
}

}  // namespace

base::Result<Ensemble> read_lightgbm(std::string_view text) {
  Ensemble out;
  const Section header(text);
  if (header.first() != "tree") {
    return base::invalid("no LightGBM model: its text begins with a line 'tree', found '" +
                         std::string(header.first().substr(0, 40)) + "'");
  }
  TRY(read_header(header, out));
  for (;;) {
    const Section section(text);
    if (section.first() == "end of trees") break;
    if (!section.first().starts_with("Tree=")) {
      return base::invalid("behind " + std::to_string(out.trees.size()) +
                           " trees neither a tree nor 'end of trees' follows: is the file cut off?");
    }
    const size_t index = out.trees.size();
    if (index == kMaxTrees) return base::invalid("more than " + std::to_string(kMaxTrees) + " trees");
    auto tree = read_tree(section);
    if (!tree) return std::unexpected(std::move(tree).error().within("tree " + std::to_string(index)));
    tree->group = static_cast<uint32_t>(index % out.groups);
    out.trees.push_back(std::move(*tree));
  }
  if (out.trees.size() % out.groups != 0) {
    return base::invalid("the file has " + std::to_string(out.trees.size()) + " trees, which is no multiple of " +
                         std::to_string(out.groups) + " classes: is it cut off?");
  }
  if (header.has("average_output") && !out.trees.empty()) out.divide = out.trees.size() / out.groups;
  TRY(check(out));
  return out;
}

}  // namespace serve
