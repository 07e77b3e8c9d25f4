#include "data/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/json_writer.h"
#include "stats/table.h"

namespace data {
namespace {

constexpr size_t kTextBytes = 200;  // of a top value

std::string shortened(std::string_view text) {
  if (text.size() <= kTextBytes) return std::string(text);
  size_t end = kTextBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not inside a character
  return std::string(text.substr(0, end)) + "…";
}

}  // namespace

Profiler::Profiler(std::string name, bool numeric, int64_t rows, int64_t count, double min, double max) {
  profile_.name = std::move(name);
  profile_.numeric = numeric;
  profile_.count = count;
  profile_.missing = rows - count;
  if (!numeric || count == 0) return;
  profile_.min = min;
  profile_.max = max;
  const size_t bins = min < max ? kHistogramBins : 1;
  for (size_t i = 0; i <= bins; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(bins);
    profile_.edges.push_back(i == bins ? max : min * (1 - share) + max * share);  // no overflow for wide ranges
  }
  profile_.bins.assign(bins, 0);
}

void Profiler::add(double value) {
  if (seen_ > 0 && value != number_) end_run();
  // A quantile at position q (n - 1) lies between two neighbours in the sorted order.
  while (next_quantile_ < std::size(kQuantiles)) {
    const double position = kQuantiles[next_quantile_] * static_cast<double>(profile_.count - 1);
    const double share = position - std::floor(position);
    const auto upper = static_cast<int64_t>(std::ceil(position));
    if (seen_ != upper) break;
    profile_.quantiles.push_back(share == 0 ? value : number_ * (1 - share) + value * share);
    ++next_quantile_;
  }
  ++seen_;
  const double delta = value - profile_.mean;
  profile_.mean += delta / static_cast<double>(seen_);
  m2_ += delta * (value - profile_.mean);
  const auto bin = std::upper_bound(profile_.edges.begin(), profile_.edges.end(), value) - profile_.edges.begin();
  ++profile_
        .bins[static_cast<size_t>(std::clamp<ptrdiff_t>(bin - 1, 0, static_cast<ptrdiff_t>(profile_.bins.size()) - 1))];
  number_ = value;
  ++run_;
}

void Profiler::add(std::string_view value) {
  if (seen_ > 0 && value != text_) end_run();
  if (run_ == 0) text_ = value;
  ++seen_;
  ++run_;
}

void Profiler::end_run() {
  ++profile_.distinct;
  auto& top = profile_.top;
  if (top.size() == kTopValues && top.back().second >= run_) {
    run_ = 0;
    return;
  }
  // Values come in ascending order: of equal counts the one that stands already is the smaller.
  const auto at = std::ranges::find_if(top, [&](const auto& entry) { return entry.second < run_; });
  top.insert(at, {profile_.numeric ? stats::number_text(number_) : shortened(text_), run_});
  if (top.size() > kTopValues) top.pop_back();
  run_ = 0;
}

ColumnProfile Profiler::finish() {
  if (run_ > 0) end_run();
  if (seen_ > 0) profile_.std = std::sqrt(m2_ / static_cast<double>(seen_));
  return std::move(profile_);
}

base::Result<std::vector<ColumnProfile>> profile_table(DuckDb& db, const std::string& table,
                                                       const std::vector<KeptColumn>& columns) {
  std::vector<ColumnProfile> profiles;
  TRY_SET(const int64_t rows, db.count("SELECT count(*) FROM " + table));
  for (size_t c = 0; c < columns.size(); ++c) {
    const std::string column = fmt::format("c{}", c);
    int64_t count = 0;
    double min = 0, max = 0;
    const std::string range =
        columns[c].numeric ? fmt::format("min({0}), max({0})", column) : "0.0::DOUBLE, 0.0::DOUBLE";
    TRY(db.query(fmt::format("SELECT count({}), {} FROM {}", column, range, table),
                 [&](const DuckDb::Chunk& chunk) -> base::Result<void> {
                   count = chunk.i64(0, 0);
                   if (count > 0) min = chunk.f64(1, 0), max = chunk.f64(2, 0);
                   return {};
                 }));
    Profiler profiler(columns[c].name, columns[c].numeric, rows, count, min, max);
    TRY(db.query(fmt::format("SELECT {0} FROM {1} WHERE {0} IS NOT NULL ORDER BY {0}", column, table),
                 [&](const DuckDb::Chunk& chunk) -> base::Result<void> {
                   for (size_t r = 0; r < chunk.rows(); ++r) {
                     if (columns[c].numeric)
                       profiler.add(chunk.f64(0, r));
                     else
                       profiler.add(chunk.text(0, r));
                   }
                   return {};
                 }));
    profiles.push_back(profiler.finish());
  }
  return profiles;
}

std::string profile_json(const std::vector<ColumnProfile>& columns, const std::vector<PartProfile>& parts) {
  std::string out;
  base::JsonWriter json(out);
  json.begin_object().field("format", "lathe.profile.v1").key("parts").begin_object();
  for (const PartProfile& part : parts) {
    json.key(part.part).begin_object().field("rows", part.rows);
    if (!part.labels.empty()) {
      json.key("labels").begin_object();
      for (const auto& [label, count] : part.labels) json.field(label, count);
      json.end_object();
    }
    json.end_object();
  }
  json.end_object().key("columns").begin_array();
  for (const ColumnProfile& column : columns) {
    json.begin_object().field("name", column.name).field("type", column.numeric ? "number" : "text");
    json.field("count", column.count).field("missing", column.missing).field("distinct", column.distinct);
    if (column.numeric && column.count > 0) {
      json.field("min", column.min).field("max", column.max).field("mean", column.mean).field("std", column.std);
      json.key("quantiles").begin_object();
      for (size_t i = 0; i < column.quantiles.size(); ++i)
        json.field(stats::number_text(kQuantiles[i]), column.quantiles[i]);
      json.end_object().key("histogram").begin_object().key("edges").begin_array();
      for (const double edge : column.edges) json.value(edge);
      json.end_array().key("counts").begin_array();
      for (const int64_t count : column.bins) json.value(count);
      json.end_array().end_object();
    }
    json.key("top").begin_array();
    for (const auto& [value, count] : column.top)
      json.begin_object().field("value", value).field("count", count).end_object();
    json.end_array().end_object();
  }
  json.end_array().end_object();
  return out + "\n";
}

}  // namespace data
