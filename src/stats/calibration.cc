#include "stats/calibration.h"

#include <algorithm>
#include <array>
#include <boost/math/tools/minima.hpp>
#include <cmath>
#include <limits>
#include <numeric>

namespace stats {
namespace {

constexpr std::array<std::string_view, 4> kKinds = {"none", "sigmoid", "isotonic", "temperature"};
constexpr int kNewtonSteps = 100;
constexpr double kLeastProbability = 1e-12;  // before a logarithm

double softplus(double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }

// Minimises the cross entropy of 1 / (1 + exp(a·p + b)) against Platt's smoothed targets: Newton's method with halving
// (Lin, Lin and Weng 2007), on a convex function.
Calibration::Sigmoid fit_sigmoid(std::span<const double> p, const std::vector<bool>& is_class) {
  const auto positives = static_cast<double>(std::ranges::count(is_class, true));
  const double negatives = static_cast<double>(p.size()) - positives;
  const double high = (positives + 1) / (positives + 2), low = 1 / (negatives + 2);
  double a = 0, b = std::log((negatives + 1) / (positives + 1));
  const auto loss = [&](double at_a, double at_b) {
    double sum = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      const double f = at_a * p[i] + at_b;
      sum += softplus(f) - (1 - (is_class[i] ? high : low)) * f;
    }
    return sum;
  };
  double now = loss(a, b);
  for (int step = 0; step < kNewtonSteps; ++step) {
    double g1 = 0, g2 = 0, h11 = 1e-12, h22 = 1e-12, h21 = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      const double q = 1 / (1 + std::exp(-(a * p[i] + b)));  // of not being the class
      const double d = q - (1 - (is_class[i] ? high : low)), w = q * (1 - q);
      g1 += d * p[i], g2 += d;
      h11 += w * p[i] * p[i], h22 += w, h21 += w * p[i];
    }
    if (std::abs(g1) < 1e-10 && std::abs(g2) < 1e-10) break;
    const double det = h11 * h22 - h21 * h21;
    const double da = -(h22 * g1 - h21 * g2) / det, db = -(h11 * g2 - h21 * g1) / det;
    double size = 1;
    while (size > 1e-12) {
      const double next = loss(a + size * da, b + size * db);
      if (next < now + 1e-4 * size * (g1 * da + g2 * db)) {
        now = next;
        break;
      }
      size /= 2;
    }
    if (size <= 1e-12) break;
    a += size * da, b += size * db;
  }
  return {a, b};
}

// Pool adjacent violators over the distinct scores, then only the corners that the line between its neighbours needs.
Calibration::Corners fit_isotonic(std::span<const double> p, const std::vector<bool>& is_class) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return p[i]; });
  struct Block {
    double sum = 0, weight = 0;
    size_t first = 0, last = 0;  // distinct scores
    double mean() const { return sum / weight; }
  };
  std::vector<double> x;
  std::vector<Block> blocks;
  for (size_t i = 0; i < order.size();) {
    Block block{.first = x.size(), .last = x.size()};
    const double at = p[order[i]];
    for (; i < order.size() && p[order[i]] == at; ++i) block.sum += is_class[order[i]] ? 1 : 0, block.weight += 1;
    x.push_back(at);
    blocks.push_back(block);
    while (blocks.size() > 1 && blocks[blocks.size() - 2].mean() >= blocks.back().mean()) {
      Block& before = blocks[blocks.size() - 2];
      before.sum += blocks.back().sum, before.weight += blocks.back().weight, before.last = blocks.back().last;
      blocks.pop_back();
    }
  }
  Calibration::Corners out;
  for (const Block& block : blocks) {
    out.x.push_back(x[block.first]);
    out.y.push_back(block.mean());
    if (block.last == block.first) continue;
    out.x.push_back(x[block.last]);
    out.y.push_back(block.mean());
  }
  return out;
}

double between(const Calibration::Corners& corners, double p) {
  const auto upper = std::ranges::upper_bound(corners.x, p);
  if (upper == corners.x.begin()) return corners.y.front();
  if (upper == corners.x.end()) return corners.y.back();
  const auto i = static_cast<size_t>(upper - corners.x.begin());
  const double share = (p - corners.x[i - 1]) / (corners.x[i] - corners.x[i - 1]);
  return corners.y[i - 1] + share * (corners.y[i] - corners.y[i - 1]);
}

void soften(std::span<double> row, double temperature) {
  double most = -std::numeric_limits<double>::infinity(), sum = 0;
  for (double& p : row) most = std::max(most, p = std::log(p + kLeastProbability) / temperature);
  for (double& p : row) sum += p = std::exp(p - most);
  for (double& p : row) p /= sum;
}

double fit_temperature(std::span<const double> scores, std::span<const uint32_t> truth, size_t classes) {
  std::vector<double> row(classes);
  const auto loss = [&](double log_beta) {
    double sum = 0;
    for (size_t i = 0; i < truth.size(); ++i) {
      double most = -std::numeric_limits<double>::infinity(), whole = 0;
      for (size_t k = 0; k < classes; ++k)
        most = std::max(most, row[k] = std::exp(log_beta) * std::log(scores[i * classes + k] + kLeastProbability));
      for (const double z : row) whole += std::exp(z - most);
      sum -= row[truth[i]] - most - std::log(whole);
    }
    return sum;
  };
  const double log_beta = boost::math::tools::brent_find_minima(loss, -10.0, 10.0, 40).first;
  return std::exp(-log_beta);
}

}  // namespace

std::string_view name(CalibrationKind kind) { return kKinds[static_cast<size_t>(kind)]; }
std::optional<CalibrationKind> parse_calibration_kind(std::string_view word) {
  const auto found = std::ranges::find(kKinds, word);
  return found == kKinds.end() ? std::nullopt : std::optional(static_cast<CalibrationKind>(found - kKinds.begin()));
}

void Calibration::apply(std::span<double> row) const {
  if (kind == CalibrationKind::kNone || row.size() != classes) return;
  if (kind == CalibrationKind::kTemperature) return soften(row, temperature);
  const auto one = [&](size_t place, double p) {
    if (kind == CalibrationKind::kIsotonic) return between(corners[place], p);
    return 1 / (1 + std::exp(sigmoids[place].a * p + sigmoids[place].b));
  };
  if (classes == 2) {
    row[1] = one(0, row[1]);
    row[0] = 1 - row[1];
    return;
  }
  double sum = 0;
  for (size_t k = 0; k < classes; ++k) sum += row[k] = one(k, row[k]);
  for (double& p : row) p = sum > 0 ? p / sum : 1 / static_cast<double>(classes);
}

base::Result<Calibration> fit_calibration(CalibrationKind kind, std::span<const double> scores,
                                          std::span<const uint32_t> truth, size_t classes) {
  if (classes < 2 || classes > kMaxCalibratedClasses)
    return base::invalid("scores of " + std::to_string(classes) + " classes cannot be calibrated; allowed: 2 to " +
                         std::to_string(kMaxCalibratedClasses));
  if (truth.empty() || scores.size() != truth.size() * classes)
    return base::invalid("there are " + std::to_string(scores.size()) + " scores for " + std::to_string(truth.size()) +
                         " rows of " + std::to_string(classes) + " classes");
  if (!std::ranges::all_of(scores, [](double p) { return p >= 0 && p <= 1 + 1e-6; }))
    return base::invalid("the scores are no probabilities: they must lie between 0 and 1");
  if (kind == CalibrationKind::kNone) return Calibration{};
  Calibration out{.kind = kind, .classes = classes};
  if (kind == CalibrationKind::kTemperature) {
    out.temperature = fit_temperature(scores, truth, classes);
    return out;
  }
  for (size_t k = classes == 2 ? 1 : 0; k < classes; ++k) {
    std::vector<double> p;
    std::vector<bool> is_class;
    for (size_t i = 0; i < truth.size(); ++i) {
      p.push_back(scores[i * classes + k]);
      is_class.push_back(truth[i] == k);
    }
    const auto positives = static_cast<size_t>(std::ranges::count(is_class, true));
    if (positives == 0 || positives == p.size())
      return base::invalid("class number " + std::to_string(k) + " has " + std::to_string(positives) + " of " +
                           std::to_string(p.size()) + " rows; a calibration needs rows with and without it");
    if (kind == CalibrationKind::kSigmoid) {
      out.sigmoids.push_back(fit_sigmoid(p, is_class));
    } else {
      out.corners.push_back(fit_isotonic(p, is_class));
      if (out.corners.back().x.size() > kMaxCorners)
        return base::fail(base::Code::kTooLarge, "the isotonic calibration has more than " +
                                                     std::to_string(kMaxCorners) + " corners; choose sigmoid");
    }
  }
  return out;
}

Reliability reliability(std::span<const double> scores, std::span<const uint32_t> truth, size_t classes, int bins) {
  Reliability out{.bins = std::vector<Reliability::Bin>(static_cast<size_t>(bins))};
  for (size_t i = 0; i < truth.size(); ++i) {
    const auto row = scores.subspan(i * classes, classes);
    const auto best = static_cast<size_t>(std::ranges::max_element(row) - row.begin());
    const auto place =
        static_cast<size_t>(std::clamp(std::ceil(row[best] * bins) - 1, 0.0, bins - 1.0));  // (low, high]
    Reliability::Bin& bin = out.bins[place];
    ++bin.rows;
    bin.accuracy += best == truth[i];
    bin.score += row[best];
  }
  for (Reliability::Bin& bin : out.bins) {
    if (bin.rows == 0) continue;
    const auto rows = static_cast<double>(bin.rows);
    bin.accuracy /= rows, bin.score /= rows;
    out.error += rows / static_cast<double>(truth.size()) * std::abs(bin.accuracy - bin.score);
  }
  return out;
}

}  // namespace stats
