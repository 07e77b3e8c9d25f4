#include "stats/kolmogorov.h"

#include <algorithm>
#include <boost/math/special_functions/binomial.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>
#include <numbers>
#include <vector>

namespace stats {
namespace {

using std::numbers::pi;

double log_factorial(double n) { return boost::math::lgamma(n + 1); }

// Twice P(D_n^+ >= x), Smirnov's finite sum. Exact for x >= 1/2; elsewhere the two tails overlap by less than what
// double can tell once n x^2 is large enough. All terms positive.
double twice_one_sided(double n, double x) {
  const auto terms = static_cast<int64_t>(n * (1 - x));
  const double all = log_factorial(n);
  double sum = 0;
  for (int64_t i = 0; i <= terms; ++i) {
    const double j = static_cast<double>(i), below = x + j / n, above = 1 - below;
    if (above <= 0) {
      if (n == j) sum += std::pow(below, j - 1);
      continue;
    }
    const double choose = all - log_factorial(j) - log_factorial(n - j);
    sum += std::exp(choose + (j - 1) * std::log(below) + (n - j) * std::log1p(-below));
  }
  return 2 * x * sum;
}

// Small x: 1/(2n) <= x <= 1/n. P(D_n < x) = n! (2x - 1/n)^n.
double cdf_smallest(double n, double x) { return std::exp(log_factorial(n) + n * std::log(2 * x - 1 / n)); }

struct Matrix {
  size_t size;
  std::vector<double> cells;
  int exponent = 0;  // of 10^140, so that powers neither overflow nor vanish
  explicit Matrix(size_t n) : size(n), cells(n * n) {}
  double& at(size_t i, size_t j) { return cells[i * size + j]; }
  double at(size_t i, size_t j) const { return cells[i * size + j]; }
};

constexpr double kScale = 1e140;

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c(a.size);
  for (size_t i = 0; i < a.size; ++i) {
    for (size_t k = 0; k < a.size; ++k) {
      for (size_t j = 0; j < a.size; ++j) c.at(i, j) += a.at(i, k) * b.at(k, j);
    }
  }
  c.exponent = a.exponent + b.exponent;
  if (c.at(a.size / 2, a.size / 2) > kScale) {
    for (double& cell : c.cells) cell /= kScale;
    ++c.exponent;
  }
  return c;
}

// Durbin's matrix formula in the form of Marsaglia, Tsang and Wang (2003): exact, O((nx)^3 log n).
double cdf_by_matrix(int64_t n, double x) {
  const double nx = static_cast<double>(n) * x;
  const auto k = static_cast<size_t>(nx) + 1;
  const size_t size = 2 * k - 1;
  const double h = static_cast<double>(k) - nx;
  Matrix step(size);
  for (size_t i = 0; i < size; ++i) {
    for (size_t j = 0; j < size; ++j) step.at(i, j) = i + 1 >= j ? 1 : 0;
  }
  for (size_t i = 0; i < size; ++i) {
    step.at(i, 0) -= std::pow(h, static_cast<double>(i + 1));
    step.at(size - 1, i) -= std::pow(h, static_cast<double>(size - i));
  }
  if (2 * h > 1) step.at(size - 1, 0) += std::pow(2 * h - 1, static_cast<double>(size));
  for (size_t i = 0; i < size; ++i) {
    for (size_t j = 0; j <= i + 1 && j < size; ++j) step.at(i, j) /= std::tgamma(static_cast<double>(i - j + 2));
  }
  Matrix power(size);
  for (size_t i = 0; i < size; ++i) power.at(i, i) = 1;
  for (int64_t left = n; left > 0; left /= 2) {
    if (left % 2 == 1) power = product(power, step);
    if (left > 1) step = product(step, step);
  }
  // times n! / n^n, a factor at a time
  double result = power.at(k - 1, k - 1);
  int exponent = power.exponent;
  for (int64_t i = 1; i <= n; ++i) {
    result *= static_cast<double>(i) / static_cast<double>(n);
    if (result < 1 / kScale) result *= kScale, --exponent;
  }
  return result * std::pow(kScale, exponent);
}

// Pelz and Good (1976): Kolmogorov's limit with corrections up to n^(-3/2).
double cdf_by_series(double n, double x) {
  const double z = x * std::sqrt(n), z2 = z * z, z4 = z2 * z2, z6 = z4 * z2;
  double k0 = 0, k1 = 0, k2 = 0, k3 = 0, k2b = 0, k3b = 0;
  // The sums run over all integers k; symmetric, so over half of them, doubled.
  for (int k = 0; k < 40; ++k) {
    const double half = pi * (k + 0.5), h2 = half * half, h4 = h2 * h2, weight = std::exp(-h2 / (2 * z2));
    k0 += weight;
    k1 += (h2 - z2) * weight;
    k2 += (6 * z6 + 2 * z4 + h2 * (2 * z4 - 5 * z2) + h4 * (1 - 2 * z2)) * weight;
    k3 += (h4 * h2 * (5 - 30 * z2) + h4 * (-60 * z2 + 212 * z4) + h2 * (135 * z4 - 96 * z6) - 30 * z6 - 90 * z6 * z2) *
          weight;
    const double whole = pi * k, w2 = whole * whole, whole_weight = std::exp(-w2 / (2 * z2));
    k2b += w2 * whole_weight;
    k3b += (3 * w2 * z2 - w2 * w2) * whole_weight;
  }
  const double root = std::sqrt(pi / 2), twice = 2 * root;
  const double z3 = z2 * z, z7 = z6 * z, z10 = z6 * z4;
  const double first = twice / z * k0;
  const double second = twice / (6 * z4) * k1;
  const double third = twice / (72 * z7) * k2 - twice / (36 * z3) * k2b;
  const double fourth = twice / (6480 * z10) * k3 + twice / (216 * z6) * k3b;
  const double r = std::sqrt(n);
  return first + second / r + third / n + fourth / (n * r);
}

}  // namespace

double kolmogorov_sf(int64_t rows, double x) {
  const double n = static_cast<double>(rows), nx = n * x, nxx = nx * x;
  const auto tail = [](double p) { return std::clamp(p, 0.0, 1.0); };
  if (rows <= 0 || nx <= 0.5) return 1;
  if (x >= 1) return 0;
  if (nx <= 1) return tail(1 - cdf_smallest(n, x));
  if (nx >= n - 1) return tail(2 * std::pow(1 - x, n));
  if (x >= 0.5) return tail(twice_one_sided(n, x));
  if (rows <= 140) return tail(nxx > 4 ? twice_one_sided(n, x) : 1 - cdf_by_matrix(rows, x));
  if (nxx >= 370) return 0;
  if (nxx >= 2.2) return tail(twice_one_sided(n, x));
  const bool matrix_is_cheap = rows <= 100'000 && nx * std::sqrt(x) <= 1.4;
  return tail(1 - (matrix_is_cheap ? cdf_by_matrix(rows, x) : cdf_by_series(n, x)));
}

}  // namespace stats
