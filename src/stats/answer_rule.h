// What belongs to a model version behind its model: calibrated scores and thresholds. Fitted and declared once, kept in
// the version's transform.json, applied by the one inference core. Thread: values; answer() is const.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "stats/calibration.h"

namespace base {
class JsonWriter;
}

namespace stats {

struct AnswerRule {
  std::vector<std::string> classes;  // as the truth spells them, in the order of the scores
  Calibration calibration;
  std::map<std::string, double> thresholds;  // by class: it is answered from this score on
  bool operator==(const AnswerRule&) const = default;

  bool empty() const { return calibration.kind == CalibrationKind::kNone && thresholds.empty(); }
  // Of a row's scores, calibrated: of the classes with a threshold that is reached the one furthest above it; else the
  // highest of those without one; else the highest of all.
  size_t choose(std::span<const double> scores) const;

  void write(base::JsonWriter& w) const;  // one object
};

// "answer" of a transform: nothing in it is trusted.
base::Result<AnswerRule> parse_answer_rule(std::string_view json);

}  // namespace stats
