// Figures over traces, spans and assessments: counts, sums, means, percentiles, by time and by dimensions. The names
// and what goes with what are MLflow's (POST …/traces/metrics).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "store/tx.h"

namespace traces {

inline constexpr int64_t kFigureRows = 2'000'000;  // values that one question may look at
inline constexpr int64_t kFigurePoints = 10'000;   // points of one answer
inline constexpr int64_t kDefaultFigurePoints = 1000;
inline constexpr size_t kFigureFilters = 20;

enum class Figure : uint8_t { kTraces = 1, kSpans, kAssessments };
enum class Aggregate : uint8_t { kCount = 1, kSum, kAvg, kPercentile, kMin, kMax };

struct Aggregation {
  Aggregate type = Aggregate::kCount;
  double percentile = 0;  // 0 to 100
};

struct FigureQuery {
  std::vector<std::string> experiment_ids;
  Figure of = Figure::kTraces;
  std::string metric;
  std::vector<Aggregation> aggregations;
  std::vector<std::string> dimensions;
  std::vector<std::string> filters;  // "trace.status = 'OK'", "trace.tag.team = 'a'", "span.name = 'x'", …
  std::optional<int64_t> interval_s, from_ms, to_ms;
  int64_t max_results = kDefaultFigurePoints;
};

struct FigurePoint {
  std::string metric;
  std::vector<std::pair<std::string, std::string>> dimensions;
  std::vector<std::pair<std::string, double>> values;
};

base::Result<std::vector<FigurePoint>> figures(store::Tx& tx, const FigureQuery& query);

// The value below which `percent` of the sorted values lie, linearly between two of them. `sorted` is not empty.
double percentile(const std::vector<double>& sorted, double percent);

}  // namespace traces
