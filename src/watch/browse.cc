#include "watch/browse.h"

#include <algorithm>
#include <map>
#include <ranges>
#include <tuple>

namespace watch {
namespace {

MatrixCell cell_of(const FeatureNumbers& f) {
  return {.psi = f.psi,
          .d = f.d,
          .p_holm = f.p_holm,
          .tested = f.tested,
          .drifted = f.drifted,
          .bad_quality = f.bad_quality};
}

void note(std::map<std::string, MatrixFeature>& features, const FeatureNumbers& f, size_t window, size_t windows) {
  MatrixFeature& row = features[f.name];
  if (row.cells.empty()) {
    row.name = f.name;
    row.cells.resize(windows);
  }
  row.kind = f.kind;
  row.cells[window] = cell_of(f);
  row.drifted += f.drifted || f.bad_quality ? 1 : 0;
  row.newest_psi = f.tested ? f.psi : 0;
  if (f.tested) row.worst_psi = std::max(row.worst_psi, f.psi);
}

}  // namespace

base::Result<DriftMatrix> drift_matrix(store::Tx& tx, std::vector<Window> windows, size_t most_features) {
  std::vector<std::string> texts;  // newest first
  size_t bytes = 0;
  for (const Window& window : windows) {
    texts.push_back(window.judged ? window_numbers(tx, window.id) : "");
    bytes += texts.back().size();
    if (bytes > kMaxMatrixBytes && texts.size() > 1) break;
  }
  TRY(tx.status());
  windows.resize(texts.size());
  std::ranges::reverse(windows);
  std::ranges::reverse(texts);
  DriftMatrix out{.windows = std::move(windows)};
  std::map<std::string, MatrixFeature> features;
  for (size_t i = 0; i < out.windows.size(); ++i) {
    out.shares.push_back(0);
    if (texts[i].empty()) continue;
    TRY_SET(const WindowNumbers numbers, parse_window_numbers(texts[i]));
    out.shares.back() = numbers.drifted_share;
    for (const FeatureNumbers& f : numbers.features) note(features, f, i, out.windows.size());
    note(features, numbers.predictions, i, out.windows.size());
  }
  for (auto& [name, feature] : features) out.features.push_back(std::move(feature));
  std::ranges::stable_sort(out.features, std::greater(),
                           [](const MatrixFeature& f) { return std::tuple(f.drifted, f.newest_psi, f.worst_psi); });
  out.feature_count = out.features.size();
  if (out.features.size() > most_features) out.features.resize(most_features);
  return out;
}

std::vector<Window> windows_between(store::Tx& tx, std::string_view endpoint, int64_t from_us, int64_t to_us,
                                    size_t limit) {
  std::vector<Window> out;
  int64_t before = 0;
  while (out.size() < limit) {
    auto page = list_windows(tx, endpoint, before, 100);
    if (page.empty()) break;
    before = page.back().number;
    for (Window& window : page) {
      if (window.closed_us < from_us) return out;
      if (window.closed_us <= to_us && out.size() < limit) out.push_back(std::move(window));
    }
  }
  return out;
}

std::vector<NewestLabel> newest_labels(store::Tx& tx, std::string_view endpoint, int64_t before_us, size_t limit) {
  std::vector<NewestLabel> out;
  store::Rows rows = tx.query(
      "SELECT prediction, row_index, label, at_us, received_us FROM feedback WHERE project = ? AND endpoint = ? AND "
      "received_us < ? ORDER BY received_us DESC, prediction DESC, row_index LIMIT ?",
      tx.project(), endpoint, before_us > 0 ? before_us : INT64_MAX, limit);
  while (rows.next()) out.push_back({rows.str(0), rows.i64(1), rows.str(2), rows.i64(3), rows.i64(4)});
  return out;
}

const FeatureNumbers* find_feature(const WindowNumbers& numbers, std::string_view name) {
  if (numbers.predictions.name == name) return &numbers.predictions;
  const auto found = std::ranges::find(numbers.features, name, &FeatureNumbers::name);
  return found == numbers.features.end() ? nullptr : &*found;
}

const FeatureProfile* find_feature(const Profile& profile, std::string_view name) {
  if (profile.predictions.name == name) return &profile.predictions;
  const auto found = std::ranges::find(profile.features, name, &FeatureProfile::name);
  return found == profile.features.end() ? nullptr : &*found;
}

}  // namespace watch
