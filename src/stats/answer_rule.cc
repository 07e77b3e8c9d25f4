#include "stats/answer_rule.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/json.h"
#include "base/json_writer.h"

namespace stats {
namespace {

void write_numbers(base::JsonWriter& w, std::string_view key, const std::vector<double>& numbers) {
  w.key(key).begin_array();
  for (const double number : numbers) w.value(number);
  w.end_array();
}

base::Result<std::vector<double>> numbers_in(const base::json::object& object, std::string_view key) {
  TRY_SET(const auto* list, base::required_array(object, key));
  if (list->size() > 2 * kMaxCorners) return base::invalid("'" + std::string(key) + "' is too long");
  std::vector<double> out;
  for (const auto& entry : *list) {
    if (!entry.is_number()) return base::invalid("'" + std::string(key) + "' must hold numbers");
    out.push_back(entry.to_number<double>());
    if (!std::isfinite(out.back())) return base::invalid("'" + std::string(key) + "' must hold finite numbers");
  }
  return out;
}

base::Result<Calibration::Corners> corners_in(const base::json::value& value) {
  TRY_SET(const auto* object, base::as_object(value, "a step function"));
  Calibration::Corners out;
  TRY_SET(out.x, numbers_in(*object, "x"));
  TRY_SET(out.y, numbers_in(*object, "y"));
  const bool rises = std::ranges::is_sorted(out.x) && std::ranges::is_sorted(out.y) &&
                     std::ranges::adjacent_find(out.x) == out.x.end();
  if (out.x.empty() || out.x.size() != out.y.size() || out.x.size() > 2 * kMaxCorners || !rises)
    return base::invalid("a step function must have as many y as x, both rising");
  return out;
}

base::Result<Calibration> calibration_in(const base::json::value& value) {
  TRY_SET(const auto* object, base::as_object(value, "'calibration'"));
  Calibration out;
  TRY_SET(const std::string kind, base::required_string(*object, "kind"));
  const auto known = parse_calibration_kind(kind);
  if (!known) return base::invalid("calibration '" + kind + "' is unknown; known are sigmoid, isotonic, temperature");
  out.kind = *known;
  TRY_SET(const int64_t classes, base::required_int(*object, "classes"));
  if (classes < 2 || classes > static_cast<int64_t>(kMaxCalibratedClasses))
    return base::invalid("'classes' must be from 2 to " + std::to_string(kMaxCalibratedClasses));
  out.classes = static_cast<size_t>(classes);
  const size_t fitted = out.classes == 2 ? 1 : out.classes;
  if (out.kind == CalibrationKind::kTemperature) {
    TRY_SET(out.temperature, base::required_double(*object, "temperature"));
    if (!(out.temperature > 0) || !std::isfinite(out.temperature))
      return base::invalid("'temperature' must be above 0");
  } else if (out.kind == CalibrationKind::kSigmoid) {
    TRY_SET(const auto a, numbers_in(*object, "a"));
    TRY_SET(const auto b, numbers_in(*object, "b"));
    if (a.size() != fitted || b.size() != fitted) return base::invalid("'a' and 'b' need one number for each class");
    for (size_t i = 0; i < fitted; ++i) out.sigmoids.push_back({a[i], b[i]});
  } else if (out.kind == CalibrationKind::kIsotonic) {
    TRY_SET(const auto* steps, base::required_array(*object, "steps"));
    if (steps->size() != fitted) return base::invalid("'steps' needs one function for each class");
    for (const auto& entry : *steps) {
      TRY_SET(auto corners, corners_in(entry));
      out.corners.push_back(std::move(corners));
    }
  }
  return out;
}

}  // namespace

size_t AnswerRule::choose(std::span<const double> scores) const {
  const auto threshold = [&](size_t place) -> const double* {
    const auto found = place < classes.size() ? thresholds.find(classes[place]) : thresholds.end();
    return found == thresholds.end() ? nullptr : &found->second;
  };
  size_t best = scores.size();
  double most = 0;
  for (size_t k = 0; k < scores.size(); ++k) {
    const double* least = threshold(k);
    if (!least || scores[k] < *least) continue;
    const double above = *least > 0 ? scores[k] / *least : std::numeric_limits<double>::infinity();
    if (best == scores.size() || above > most) best = k, most = above;
  }
  if (best < scores.size()) return best;
  for (size_t k = 0; k < scores.size(); ++k)
    if (!threshold(k) && (best == scores.size() || scores[k] > scores[best])) best = k;
  if (best < scores.size()) return best;
  return static_cast<size_t>(std::ranges::max_element(scores) - scores.begin());
}

void AnswerRule::write(base::JsonWriter& w) const {
  w.begin_object().key("classes").begin_array();
  for (const std::string& name : classes) w.value(name);
  w.end_array();
  if (calibration.kind != CalibrationKind::kNone) {
    w.key("calibration").begin_object().field("kind", name(calibration.kind)).field("classes", calibration.classes);
    if (calibration.kind == CalibrationKind::kTemperature) w.field("temperature", calibration.temperature);
    if (calibration.kind == CalibrationKind::kSigmoid) {
      std::vector<double> a, b;
      for (const auto& sigmoid : calibration.sigmoids) a.push_back(sigmoid.a), b.push_back(sigmoid.b);
      write_numbers(w, "a", a);
      write_numbers(w, "b", b);
    }
    if (calibration.kind == CalibrationKind::kIsotonic) {
      w.key("steps").begin_array();
      for (const auto& corners : calibration.corners) {
        w.begin_object();
        write_numbers(w, "x", corners.x);
        write_numbers(w, "y", corners.y);
        w.end_object();
      }
      w.end_array();
    }
    w.end_object();
  }
  if (!thresholds.empty()) {
    w.key("thresholds").begin_object();
    for (const auto& [of_class, least] : thresholds) w.field(of_class, least);
    w.end_object();
  }
  w.end_object();
}

base::Result<AnswerRule> parse_answer_rule(std::string_view json) {
  TRY_SET(const auto value, base::parse_json(json));
  TRY_SET(const auto* object, base::as_object(value, "'answer'"));
  AnswerRule out;
  TRY_SET(const auto* classes, base::required_array(*object, "classes"));
  if (classes->size() > kMaxCalibratedClasses) return base::invalid("'classes' is too long");
  for (const auto& entry : *classes) {
    if (!entry.is_string()) return base::invalid("'classes' must hold text");
    out.classes.emplace_back(entry.get_string());
  }
  if (const auto* calibration = object->if_contains("calibration")) {
    TRY_SET(out.calibration, calibration_in(*calibration));
    if (out.calibration.classes != out.classes.size()) return base::invalid("the calibration is of other classes");
  }
  if (object->contains("thresholds")) {
    TRY_SET(const auto* thresholds, base::required_object(*object, "thresholds"));
    for (const auto& entry : *thresholds) {
      if (!entry.value().is_number() || !(entry.value().to_number<double>() >= 0))
        return base::invalid("a threshold must be a number from 0 to 1");
      out.thresholds.emplace(entry.key(), entry.value().to_number<double>());
    }
  }
  return out;
}

}  // namespace stats
