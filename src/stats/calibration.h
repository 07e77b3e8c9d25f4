// Calibration: scores that mean what they say, fitted on rows that the model did not learn from. As scikit-learn's
// CalibratedClassifierCV does over a fitted model's predict_proba, against which the tests hold it:
//
//   sigmoid      Platt's: 1 / (1 + exp(a·p + b)) of each class, with his priors
//   isotonic     a rising step function of each class (pool adjacent violators), linear between its corners
//   temperature  softmax(log(p) / T), one number for all classes
//
// Two classes: the second one's calibrated score and the rest of 1. More: one class against the others, then divided by
// their sum. Pure. Thread: values; apply() is const and safe anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace stats {

inline constexpr size_t kMaxCalibratedClasses = 1000;
inline constexpr size_t kMaxCorners = 100'000;  // of one class' step function
inline constexpr int kReliabilityBins = 10;

enum class CalibrationKind : uint8_t { kNone, kSigmoid, kIsotonic, kTemperature };
std::string_view name(CalibrationKind kind);
std::optional<CalibrationKind> parse_calibration_kind(std::string_view word);  // sigmoid, isotonic, temperature

struct Calibration {
  struct Sigmoid {
    double a = 0, b = 0;
    bool operator==(const Sigmoid&) const = default;
  };
  struct Corners {
    std::vector<double> x, y;  // both rise
    bool operator==(const Corners&) const = default;
  };
  CalibrationKind kind = CalibrationKind::kNone;
  size_t classes = 0;
  std::vector<Sigmoid> sigmoids;  // of each class; of two, the second's alone
  std::vector<Corners> corners;
  double temperature = 1;
  bool operator==(const Calibration&) const = default;

  void apply(std::span<double> row) const;  // `classes` scores, in place
};

// `scores` row-major, `truth` a class' number for each row. kInvalid: no rows, a class that no row or every row has
// (nothing to fit), scores that are no probabilities.
base::Result<Calibration> fit_calibration(CalibrationKind kind, std::span<const double> scores,
                                          std::span<const uint32_t> truth, size_t classes);

// Rows by their highest score, in equal parts of [0, 1]; the expected calibration error is the mean distance between a
// part's accuracy and its mean score, weighted by rows (Naeini et al. 2015; Guo et al. 2017).
struct Reliability {
  struct Bin {
    int64_t rows = 0;
    double accuracy = 0, score = 0;
  };
  std::vector<Bin> bins;
  double error = 0;
};
Reliability reliability(std::span<const double> scores, std::span<const uint32_t> truth, size_t classes,
                        int bins = kReliabilityBins);

}  // namespace stats
