#include "data/diff.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>

#include "data/split.h"
#include "stats/drift.h"
#include "stats/table.h"

namespace data {
namespace {

constexpr size_t kBatchCells = size_t{4} << 20;  // values of both sides held at once

struct Place {  // where a row with these features stands
  uint64_t label;
  uint32_t part;
  bool operator==(const Place&) const = default;
};
using Places = std::unordered_map<uint64_t, std::vector<Place>>;

std::vector<std::string> common_features(const Layout& a, const Layout& b) {
  std::vector<std::string> common;
  for (const std::string& feature : a.features) {
    if (std::ranges::find(b.features, feature) != b.features.end()) common.push_back(feature);
  }
  return common;
}

base::Result<int64_t> read_rows(const DataSide& side, const std::vector<std::string>& features, Places& places) {
  FeatureKey key(features);
  int64_t rows = 0;
  for (uint32_t part = 0; part < side.parts.size(); ++part) {
    TRY_SET(const MappedFile file, MappedFile::open((side.dir / side.parts[part]).string()));
    stats::CsvReader reader(file.bytes());
    std::vector<std::string_view> fields;
    TRY(reader.next(fields));
    auto at = [&](const std::string& column) {
      return static_cast<size_t>(std::ranges::find(fields, column) - fields.begin());
    };
    std::vector<size_t> from;
    for (const std::string& feature : features) from.push_back(at(feature));
    const size_t label = side.layout.label.empty() ? fields.size() : at(side.layout.label);
    const size_t width = fields.size();
    std::vector<std::string_view> values(features.size());
    while (true) {
      TRY_SET(const bool some, reader.next(fields));
      if (!some) break;
      if (fields.size() != width)
        return base::invalid(side.parts[part] + ": line " + std::to_string(reader.line()) + " is ragged");
      for (size_t i = 0; i < from.size(); ++i) values[i] = from[i] < width ? fields[from[i]] : std::string_view();
      std::string text;
      if (label < width) append_canonical(text, fields[label]);
      // A part is told by its name, which may stand elsewhere in the other version's list.
      const auto part_id = static_cast<uint32_t>(std::hash<std::string>()(side.parts[part]));
      places[features_hash(0, key.bytes(values))].push_back({group_hash(0, text), part_id});
      ++rows;
    }
  }
  return rows;
}

// Pairs off the rows of one key: first equal ones, then moved, then relabelled; what is left was added or removed.
void pair_off(std::vector<Place> before, std::vector<Place> after, DataDiff& out) {
  auto take = [&](auto&& same, int64_t& count) {
    std::erase_if(before, [&](const Place& old) {
      const auto match = std::ranges::find_if(after, [&](const Place& now) { return same(old, now); });
      if (match == after.end()) return false;
      after.erase(match);
      ++count;
      return true;
    });
  };
  int64_t unchanged = 0;
  take([](const Place& a, const Place& b) { return a == b; }, unchanged);
  take([](const Place& a, const Place& b) { return a.label == b.label; }, out.moved);
  take([](const Place&, const Place&) { return true; }, out.relabelled);
  out.removed += static_cast<int64_t>(before.size());
  out.added += static_cast<int64_t>(after.size());
}

const KeptColumn* find_column(const Layout& layout, std::string_view name) {
  const auto at = std::ranges::find(layout.columns, name, &KeptColumn::name);
  return at == layout.columns.end() ? nullptr : &*at;
}

using Columns = std::map<std::string, stats::Column, std::less<>>;

// Those columns of a side that are named, over all of its parts; a name that it lacks is left out.
base::Result<Columns> read_batch(const DataSide& side, const std::set<std::string, std::less<>>& names) {
  Columns all;
  for (const std::string& part : side.parts) {
    TRY_SET(const stats::Table table,
            read_columns(side.dir / part, side.layout, [&](const KeptColumn& c) { return names.contains(c.name); }));
    for (const stats::Column& piece : table.columns) {
      if (!names.contains(piece.name)) continue;
      const auto [at, fresh] = all.emplace(piece.name, piece);
      if (fresh) continue;
      if (piece.numeric())
        std::ranges::copy(piece.numbers(), std::back_inserter(at->second.numbers()));
      else
        std::ranges::copy(piece.texts(), std::back_inserter(at->second.texts()));
    }
  }
  return all;
}

int64_t drop_missing(stats::Numbers& values) {
  return static_cast<int64_t>(std::erase_if(values, [](double x) { return std::isnan(x); }));
}

double mean_of(const stats::Numbers& values) {
  double mean = 0, n = 0;
  for (const double x : values) mean += (x - mean) / ++n;
  return mean;
}

void compare_numbers(stats::Numbers before, stats::Numbers after, ColumnDiff& out) {
  out.missing_before = drop_missing(before);
  out.missing_after = drop_missing(after);
  out.mean_before = mean_of(before);
  out.mean_after = mean_of(after);
  if (before.empty() || after.empty()) return;
  const auto result = stats::ks_two_sample(stats::sample_of(before), stats::sample_of(after));
  out.distance = result.d;
  out.p = result.p;
}

void compare_texts(const stats::Texts& before, const stats::Texts& after, ColumnDiff& out) {
  std::map<std::string_view, std::pair<int64_t, int64_t>> counts;
  double n = 0, m = 0;
  for (const auto& value : before) value ? (++counts[*value].first, ++n) : ++out.missing_before;
  for (const auto& value : after) value ? (++counts[*value].second, ++m) : ++out.missing_after;
  if (n == 0 || m == 0) return;
  std::vector<int64_t> old_counts, new_counts;
  for (const auto& [value, count] : counts) {
    out.distance += std::abs(static_cast<double>(count.first) / n - static_cast<double>(count.second) / m) / 2;
    old_counts.push_back(count.first);
    new_counts.push_back(count.second);
  }
  out.p = stats::chi2_homogeneity(old_counts, new_counts).p;
}

ColumnDiff compare_column(const DataSide& after, const KeptColumn& column, const Columns& before_values,
                          const Columns& after_values) {
  ColumnDiff out;
  out.name = column.name;
  const KeptColumn* now = find_column(after.layout, column.name);
  if (now == nullptr) return out.change = "removed", out;
  if (now->numeric != column.numeric) return out.change = now->numeric ? "now number" : "now text", out;
  const auto old_values = before_values.find(column.name), new_values = after_values.find(column.name);
  if (old_values == before_values.end() || new_values == after_values.end()) return out;  // a side without rows
  if (column.numeric)
    compare_numbers(old_values->second.numbers(), new_values->second.numbers(), out);
  else
    compare_texts(old_values->second.texts(), new_values->second.texts(), out);
  return out;
}

// As many columns at once as kBatchCells allows: each batch reads the files once.
base::Result<void> compare_columns(const DataSide& before, const DataSide& after, DataDiff& out) {
  const auto& columns = before.layout.columns;
  const auto rows = static_cast<size_t>(std::max<int64_t>(out.rows_before + out.rows_after, 1));
  const size_t batch = std::max<size_t>(kBatchCells / rows, 1);
  for (size_t first = 0; first < columns.size(); first += batch) {
    const auto some = std::span(columns).subspan(first, std::min(batch, columns.size() - first));
    std::set<std::string, std::less<>> names;
    for (const KeptColumn& column : some) names.insert(column.name);
    TRY_SET(const Columns before_values, read_batch(before, names));
    TRY_SET(const Columns after_values, read_batch(after, names));
    for (const KeptColumn& column : some)
      out.columns.push_back(compare_column(after, column, before_values, after_values));
  }
  return {};
}

}  // namespace

base::Result<DataDiff> diff(const DataSide& before, const DataSide& after) {
  DataDiff out;
  const auto features = common_features(before.layout, after.layout);
  Places old_places, new_places;
  TRY_SET(out.rows_before, read_rows(before, features, old_places));
  TRY_SET(out.rows_after, read_rows(after, features, new_places));
  for (auto& [key, places] : old_places) {
    const auto now = new_places.find(key);
    pair_off(std::move(places), now == new_places.end() ? std::vector<Place>() : std::move(now->second), out);
    if (now != new_places.end()) new_places.erase(now);
  }
  for (const auto& [key, places] : new_places) out.added += static_cast<int64_t>(places.size());

  TRY(compare_columns(before, after, out));
  for (const KeptColumn& column : after.layout.columns) {
    if (find_column(before.layout, column.name) != nullptr) continue;
    ColumnDiff& added = out.columns.emplace_back();
    added.name = column.name;
    added.change = "added";
  }
  return out;
}

}  // namespace data
