#include "serve/explain.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <random>
#include <string>

#include "base/clock.h"
#include "serve/model.h"

namespace serve {
namespace {

constexpr size_t kBatchRows = 4096;  // rows in one run of the model

// A subset of the features, and its weight in the regression.
struct Coalition {
  std::vector<char> has;
  double weight = 0;
};

// Scores of a table's rows: those of every class, or the value.
base::Result<std::vector<double>> scores_of(const Predictor& predictor, const stats::Table& table, size_t& groups) {
  TRY_SET(const std::vector<Tensor> tensors, predictor.tensors_of(table));
  TRY_SET(const std::vector<Tensor> outputs, predictor.infer(tensors));
  Prediction prediction = predictor.read(outputs);
  const size_t rows = table.rows();
  if (prediction.labels.size() != rows) return base::invalid("the model's outputs hold no answer per row to explain");
  if (prediction.scores.empty()) {
    for (const std::string& label : prediction.labels) {
      double value = std::numeric_limits<double>::quiet_NaN();
      const auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), value);
      if (error != std::errc() || end != label.data() + label.size())
        return base::invalid("the model answers labels without scores: there is no number to explain");
      prediction.scores.push_back(value);
    }
  }
  groups = prediction.scores.size() / rows;
  return std::move(prediction.scores);
}

// Asks the model about mixtures of a row and the background, and averages over the background.
class Mixtures {
 public:
  Mixtures(const Predictor& predictor, const stats::Table& rows, const stats::Table& background,
           const ExplainOptions& options)
      : predictor_(predictor), rows_(rows), background_(background), options_(options) {}

  size_t groups() const { return groups_; }

  // out: coalitions × groups
  base::Result<std::vector<double>> means(size_t row, const std::vector<Coalition>& coalitions) {
    std::vector<double> out;
    const size_t width = background_.rows();
    const size_t at_once = std::max<size_t>(1, kBatchRows / width);
    for (size_t from = 0; from < coalitions.size(); from += at_once) {
      const size_t count = std::min(at_once, coalitions.size() - from);
      asked_ += count * width;
      if (asked_ > kMaxExplainCalls)
        return base::invalid("this explanation would ask the model for more than " + std::to_string(kMaxExplainCalls) +
                             " rows; send fewer instances, a smaller background or fewer samples");
      if (options_.deadline_mono_us != 0 && base::system_clock().mono_us() > options_.deadline_mono_us)
        return base::fail(base::Code::kDeadline, "the explanation took longer than the request may");
      TRY_SET(const std::vector<double> scores,
              scores_of(predictor_, mixed(row, std::span(coalitions).subspan(from, count)), groups_));
      for (size_t c = 0; c < count; ++c) {
        for (size_t g = 0; g < groups_; ++g) {
          double sum = 0;
          for (size_t b = 0; b < width; ++b) sum += scores[(c * width + b) * groups_ + g];
          out.push_back(sum / static_cast<double>(width));
        }
      }
    }
    return out;
  }

 private:
  stats::Table mixed(size_t row, std::span<const Coalition> coalitions) const {
    stats::Table out;
    for (size_t i = 0; i < rows_.columns.size(); ++i) {
      const auto mix = [&](const auto& own, const auto& others) {
        std::remove_cvref_t<decltype(own)> values;
        values.reserve(coalitions.size() * others.size());
        for (const Coalition& coalition : coalitions) {
          if (coalition.has[i])
            values.insert(values.end(), others.size(), own[row]);
          else
            values.insert(values.end(), others.begin(), others.end());
        }
        return values;
      };
      const stats::Column &own = rows_.columns[i], &others = background_.columns[i];
      if (own.numeric())
        out.columns.push_back({own.name, mix(own.numbers(), others.numbers())});
      else
        out.columns.push_back({own.name, mix(own.texts(), others.texts())});
    }
    return out;
  }

  const Predictor& predictor_;
  const stats::Table& rows_;
  const stats::Table& background_;
  const ExplainOptions& options_;
  size_t groups_ = 1;
  size_t asked_ = 0;
};

base::Result<void> check(const stats::Table& rows, const stats::Table& background) {
  const size_t features = rows.columns.size();
  if (features == 0 || features > kMaxExplainFeatures) {
    return base::invalid("a row has " + std::to_string(features) + " features; explained are 1 to " +
                         std::to_string(kMaxExplainFeatures));
  }
  if (rows.rows() == 0 || rows.rows() > kMaxExplainRows) {
    return base::invalid("explained are 1 to " + std::to_string(kMaxExplainRows) + " instances of a request, found " +
                         std::to_string(rows.rows()));
  }
  if (background.rows() == 0 || background.rows() > kMaxBackgroundRows) {
    return base::invalid("the background must have 1 to " + std::to_string(kMaxBackgroundRows) + " rows, found " +
                         std::to_string(background.rows()));
  }
  bool same = background.columns.size() == features;
  for (size_t i = 0; same && i < features; ++i) same = rows.columns[i].numeric() == background.columns[i].numeric();
  return same ? base::Result<void>() : base::invalid("the background's columns are others than the instances'");
}

double choose(size_t n, size_t k) {
  double out = 1;
  for (size_t i = 1; i <= k; ++i) out = out * static_cast<double>(n - k + i) / static_cast<double>(i);
  return out;
}

// The kernel's weight of all subsets of `size` of `n` features together (up to one factor).
double weight_of_size(size_t n, size_t size) {
  return static_cast<double>(n - 1) / (static_cast<double>(size) * static_cast<double>(n - size));
}

// All subsets of `size`, and their complements where they are other subsets.
void add_all(size_t n, size_t size, double weight, std::vector<Coalition>& out) {
  std::vector<char> has(n, 0);
  std::fill_n(has.begin(), size, char{1});
  do {
    out.push_back({has, weight});
    if (size * 2 == n) continue;  // its complement comes by itself
    Coalition other{has, weight};
    for (char& c : other.has) c = !c;
    out.push_back(std::move(other));
  } while (std::prev_permutation(has.begin(), has.end()));
}

// The subsets asked: all of a size while there is room for them, the rest by lot, each with its complement.
std::vector<Coalition> coalitions_of(size_t n, const ExplainOptions& options) {
  std::vector<Coalition> out;
  if (n < 2) return out;
  size_t room = options.coalitions ? options.coalitions : 2 * n + 2048;
  room = std::min(room, kMaxCoalitions);
  const bool exact = n <= kExactFeatures && options.coalitions == 0;
  double weight_left = 0;
  for (size_t size = 1; size < n; ++size) weight_left += weight_of_size(n, size);
  size_t size = 1;
  for (; size * 2 <= n; ++size) {
    const double pairs = size * 2 == n ? 1 : 2;
    const double count = choose(n, size) * pairs, weight = weight_of_size(n, size) * pairs;
    if (!exact && static_cast<double>(room) * weight / weight_left < count * (1 - 1e-8)) break;
    add_all(n, size, weight / count, out);
    room -= std::min(room, static_cast<size_t>(count));
    weight_left -= weight;
  }
  if (size * 2 > n || room < 2) return out;

  std::mt19937_64 random(options.seed);
  const auto uniform = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
  std::vector<double> upto;  // of the sizes left, smaller half; with their complements
  for (size_t s = size; s * 2 <= n; ++s)
    upto.push_back((upto.empty() ? 0 : upto.back()) + weight_of_size(n, s) * (s * 2 == n ? 1 : 2));
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  const double weight = weight_left / static_cast<double>(room / 2 * 2);
  for (size_t i = 0; i < room / 2; ++i) {
    const double at = uniform() * upto.back();
    const auto chosen = static_cast<size_t>(std::ranges::upper_bound(upto, at) - upto.begin());
    const size_t members = size + std::min(chosen, upto.size() - 1);
    Coalition one{std::vector<char>(n, 0), weight};
    for (size_t k = 0; k < members; ++k) {
      std::swap(order[k], order[k + static_cast<size_t>(random() % (n - k))]);
      one.has[order[k]] = 1;
    }
    Coalition other = one;
    for (char& c : other.has) c = !c;
    out.push_back(std::move(one));
    out.push_back(std::move(other));
  }
  return out;
}

// Weighted least squares under the condition that the values add up to `total`: the last feature is what is left. The
// matrix is the same for every row and class, so it is factored once (Cholesky).
class Regression {
 public:
  Regression(size_t features, const std::vector<Coalition>& coalitions) : n_(features - 1), coalitions_(coalitions) {
    factor_.assign(n_ * n_, 0);
    for (const Coalition& c : coalitions) {
      for (size_t i = 0; i < n_; ++i) {
        const int a = c.has[i] - c.has[n_];
        if (a == 0) continue;
        for (size_t j = 0; j <= i; ++j) factor_[i * n_ + j] += c.weight * a * (c.has[j] - c.has[n_]);
      }
    }
    for (size_t i = 0; i < n_; ++i) {
      factor_[i * n_ + i] += 1e-10;  // features that too few subsets tell apart
      for (size_t j = 0; j <= i; ++j) {
        double sum = factor_[i * n_ + j];
        for (size_t k = 0; k < j; ++k) sum -= factor_[i * n_ + k] * factor_[j * n_ + k];
        factor_[i * n_ + j] = i == j ? std::sqrt(std::max(sum, 1e-12)) : sum / factor_[j * n_ + j];
      }
    }
  }

  // `gains`: what each subset gives above the base, `stride` apart.
  void solve(const double* gains, size_t stride, double total, double* out) const {
    std::vector<double> x(n_, 0);
    for (size_t c = 0; c < coalitions_.size(); ++c) {
      const Coalition& coalition = coalitions_[c];
      const double rest = gains[c * stride] - (coalition.has[n_] ? total : 0);
      for (size_t i = 0; i < n_; ++i) x[i] += coalition.weight * rest * (coalition.has[i] - coalition.has[n_]);
    }
    for (size_t i = 0; i < n_; ++i) {
      for (size_t k = 0; k < i; ++k) x[i] -= factor_[i * n_ + k] * x[k];
      x[i] /= factor_[i * n_ + i];
    }
    for (size_t i = n_; i-- > 0;) {
      for (size_t k = i + 1; k < n_; ++k) x[i] -= factor_[k * n_ + i] * x[k];
      x[i] /= factor_[i * n_ + i];
    }
    double left = total;
    for (size_t i = 0; i < n_; ++i) left -= out[i] = x[i];
    out[n_] = left;
  }

 private:
  const size_t n_;
  const std::vector<Coalition>& coalitions_;
  std::vector<double> factor_;
};

}  // namespace

base::Result<Contributions> kernel_shap(const Predictor& predictor, const stats::Table& rows,
                                        const stats::Table& background, const ExplainOptions& options) {
  TRY(check(rows, background));
  const size_t features = rows.columns.size();
  const std::vector<Coalition> coalitions = coalitions_of(features, options);
  const Regression regression(features, coalitions);
  Mixtures mixtures(predictor, rows, background, options);
  const std::vector<Coalition> ends = {{std::vector<char>(features, 0), 0}, {std::vector<char>(features, 1), 0}};
  Contributions out{.rows = rows.rows(), .groups = 0, .features = features, .values = {}};
  for (size_t row = 0; row < rows.rows(); ++row) {
    TRY_SET(const std::vector<double> base_and_full, mixtures.means(row, ends));
    TRY_SET(std::vector<double> gains, mixtures.means(row, coalitions));
    const size_t groups = out.groups = mixtures.groups();
    const size_t start = out.values.size();
    out.values.resize(start + groups * (features + 1));
    for (size_t g = 0; g < groups; ++g) {
      const double base = base_and_full[g];
      for (size_t c = 0; c < coalitions.size(); ++c) gains[c * groups + g] -= base;
      double* const to = &out.values[start + g * (features + 1)];
      regression.solve(gains.data() + g, groups, base_and_full[groups + g] - base, to);
      to[features] = base;
    }
  }
  return out;
}

base::Result<Contributions> occlusion(const Predictor& predictor, const stats::Table& rows,
                                      const stats::Table& background, const ExplainOptions& options) {
  TRY(check(rows, background));
  const size_t features = rows.columns.size();
  std::vector<Coalition> without(features + 2, {std::vector<char>(features, 1), 0});
  for (size_t i = 0; i < features; ++i) without[i].has[i] = 0;
  without[features + 1].has.assign(features, 0);
  Mixtures mixtures(predictor, rows, background, options);
  Contributions out{.rows = rows.rows(), .groups = 0, .features = features, .values = {}};
  for (size_t row = 0; row < rows.rows(); ++row) {
    TRY_SET(const std::vector<double> means, mixtures.means(row, without));
    const size_t groups = out.groups = mixtures.groups();
    for (size_t g = 0; g < groups; ++g) {
      for (size_t i = 0; i < features; ++i) out.values.push_back(means[features * groups + g] - means[i * groups + g]);
      out.values.push_back(means[(features + 1) * groups + g]);
    }
  }
  return out;
}

}  // namespace serve
