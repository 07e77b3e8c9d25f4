#include "watch/window.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/assert.h"
#include "base/utf8.h"
#include "stats/drift.h"
#include "stats/metrics.h"

namespace watch {
namespace {

// A quality finding is more than a few rows, and more than the baseline had.
constexpr double kQualityShare = 0.05;
constexpr int64_t kQualityTests = 4;  // per feature: missing, type, unseen category, far out of range
// A constant that moves in a few rows is what a larger baseline would have shown.
constexpr double kConstantShare = 0.1;
// Categories with fewer rows on both sides together are one for the chi-square test, whose p needs counts.
constexpr int64_t kRareCategory = 10;

void count_numeric(const FeatureProfile& profile, const stats::Numbers& column, FeatureNumbers& out) {
  const stats::Sample sample = stats::sample_of(column);
  out.rows = sample.rows;
  const double span = profile.high - profile.low;
  for (size_t i = 0; i < sample.values.size(); ++i) {
    const double x = sample.values[i];
    if (x < profile.low || x > profile.high) out.out_of_range += sample.counts[i];
    if (x < profile.low - span || x > profile.high + span) out.far_out_of_range += sample.counts[i];
  }
  if (profile.kind == FeatureKind::kConstant) {
    out.off_constant = out.out_of_range;
    out.out_of_range = out.far_out_of_range = 0;
  }
  if (profile.kind != FeatureKind::kNumeric) return;
  out.counts = stats::count_into(profile.bins, sample);
  out.gap = stats::ks_gap(profile.sample, sample);
}

void count_texts(const FeatureProfile& profile, const std::vector<std::string>& column, FeatureNumbers& out) {
  out.rows = static_cast<int64_t>(column.size());
  if (profile.categories.empty()) return;
  out.counts.assign(profile.categories.size() + 1, 0);
  for (const std::string& text : column) {
    const auto found = std::ranges::lower_bound(profile.categories, text);
    const bool known = found != profile.categories.end() && *found == text;
    ++out.counts[known ? static_cast<size_t>(found - profile.categories.begin()) : profile.categories.size()];
  }
  out.unseen = out.counts.back();
  if (profile.kind == FeatureKind::kConstant) out.off_constant = std::exchange(out.unseen, 0);
}

FeatureNumbers count(const FeatureProfile& profile, const WindowRows::Column& column) {
  FeatureNumbers out{
      .name = profile.name, .kind = profile.kind, .missing = column.missing, .wrong_type = column.wrong_type};
  if (profile.text) {
    count_texts(profile, column.texts, out);
  } else {
    count_numeric(profile, column.numbers, out);
  }
  return out;
}

// Chi-square over the categories, the rare ones together.
double category_p(std::span<const int64_t> reference, std::span<const int64_t> current) {
  std::vector<int64_t> a{0}, b{0};
  for (size_t i = 0; i < reference.size(); ++i) {
    if (reference[i] + current[i] < kRareCategory) {
      a[0] += reference[i], b[0] += current[i];
    } else {
      a.push_back(reference[i]), b.push_back(current[i]);
    }
  }
  return stats::chi2_homogeneity(a, b).p;
}

// Fisher: so many marked rows in the window, given as many in both together.
double excess_p(int64_t marked, int64_t rows, int64_t reference_marked, int64_t reference_rows) {
  return stats::hypergeometric_at_least(marked, rows + reference_rows, marked + reference_marked, rows);
}

void test_drift(const FeatureProfile& profile, FeatureNumbers& f) {
  f.d = f.psi = 0;
  f.p = f.p_holm = f.p_bh = 1;
  f.tested = f.drifted = false;
  if (f.rows == 0 || profile.rows == 0) return;
  switch (profile.kind) {
    case FeatureKind::kNumeric:
      f.tested = true;
      f.d = static_cast<double>(f.gap) / static_cast<double>(profile.sample.rows) / static_cast<double>(f.rows);
      f.p = stats::ks_p_value(profile.sample.rows, f.rows, f.gap);
      f.psi = stats::lathe_psi(profile.counts, f.counts);
      break;
    case FeatureKind::kCategory: {
      f.tested = true;
      std::vector<int64_t> reference = profile.counts;
      reference.push_back(0);  // the unseen
      f.p = category_p(reference, f.counts);
      // An unseen category is a bin of its own only where there is one.
      const size_t bins = f.unseen > 0 ? reference.size() : profile.counts.size();
      f.psi = stats::lathe_psi(std::span(reference).first(bins), std::span<const int64_t>(f.counts).first(bins));
      break;
    }
    case FeatureKind::kConstant:
      f.tested = true;
      f.p = excess_p(f.off_constant, f.rows, 0, profile.rows);
      break;
    case FeatureKind::kOpaque: break;
  }
}

void test_quality(const FeatureProfile& profile, int64_t window_rows, int64_t feature_count, const MonitorSpec& rule,
                  FeatureNumbers& f) {
  f.quality_p = 1;
  f.bad_quality = false;
  const double tests = static_cast<double>(feature_count * kQualityTests);
  const auto test = [&](int64_t marked, int64_t reference_marked) {
    const int64_t reference_rows = profile.rows + profile.missing;
    const double excess =
        static_cast<double>(marked) / static_cast<double>(window_rows) -
        static_cast<double>(reference_marked) / static_cast<double>(std::max<int64_t>(1, reference_rows));
    const double p = std::min(1.0, tests * excess_p(marked, window_rows, reference_marked, reference_rows));
    f.quality_p = std::min(f.quality_p, p);
    f.bad_quality |= excess >= kQualityShare && p <= rule.ks_alpha;
  };
  test(f.missing, profile.missing);
  test(f.wrong_type, 0);
  test(f.unseen, 0);
  test(f.far_out_of_range, 0);
}

// Corrects the p-values of the features that `in_family` picks, and answers how many there are.
template <class F>
int64_t correct_family(std::vector<FeatureNumbers*>& all, F in_family) {
  std::vector<FeatureNumbers*> family;
  std::vector<double> p;
  for (FeatureNumbers* f : all) {
    if (f->tested && in_family(*f)) family.push_back(f), p.push_back(f->p);
  }
  const auto holm = stats::holm_adjusted(p), bh = stats::benjamini_hochberg_adjusted(p);
  for (size_t i = 0; i < family.size(); ++i) family[i]->p_holm = holm[i], family[i]->p_bh = bh[i];
  return static_cast<int64_t>(family.size());
}

void judge(const MonitorSpec& rule, WindowNumbers& window) {
  std::vector<FeatureNumbers*> all;
  for (FeatureNumbers& f : window.features) all.push_back(&f);
  all.push_back(&window.predictions);
  const auto constant = [](const FeatureNumbers& f) { return f.kind == FeatureKind::kConstant; };
  window.constant_family = correct_family(all, constant);
  window.family = correct_family(all, [&](const FeatureNumbers& f) { return !constant(f); });

  window.drifted = window.bad_quality = false;
  int64_t discovered = 0;
  for (FeatureNumbers* f : all) {
    if (f->tested && constant(*f)) {
      f->drifted = f->p_holm <= rule.ks_alpha &&
                   static_cast<double>(f->off_constant) >= kConstantShare * static_cast<double>(f->rows);
    } else if (f->tested) {
      f->drifted = f->p_holm <= rule.ks_alpha && f->psi >= rule.psi_threshold;
      discovered += f->p_bh <= rule.ks_alpha;
    }
    window.drifted |= f->drifted;
    window.bad_quality |= f->bad_quality;
  }
  window.drifted_share = window.family == 0 ? 0 : static_cast<double>(discovered) / static_cast<double>(window.family);
  window.drifted |= window.family > 0 && window.drifted_share >= rule.drifted_share;
}

}  // namespace

WindowRows::WindowRows(std::shared_ptr<const Profile> profile) : profile_(std::move(profile)) {
  if (profile_) columns_.resize(profile_->features.size());
}

void WindowRows::match_columns(const Request& request) {
  if (!places_.empty() && request.features == layout_ && request.text_features == text_layout_ &&
      request.redacted == redacted_)
    return;
  layout_ = request.features;
  redacted_ = request.redacted;
  text_layout_ = request.text_features;
  std::unordered_map<std::string_view, Place> by_name;
  for (size_t i = 0; i < layout_.size(); ++i) by_name.try_emplace(layout_[i], Place{i, false});
  for (size_t i = 0; i < text_layout_.size(); ++i) by_name.try_emplace(text_layout_[i], Place{i, true});
  places_.clear();
  for (const FeatureProfile& feature : profile_->features) {
    const auto found = by_name.find(feature.name);
    const bool redacted = std::ranges::find(redacted_, feature.name) != redacted_.end();
    places_.push_back(found == by_name.end() ? Place{.redacted = redacted} : found->second);
  }
}

void WindowRows::add(const Request& request) {
  if (members_.empty()) first_us_ = last_us_ = request.at_us;
  first_us_ = std::min(first_us_, request.at_us);
  last_us_ = std::max(last_us_, request.at_us);
  rows_ += request.row_count;
  Member member{request.id, {}};
  for (const std::string& label : request.labels) {
    // A model may answer bytes; no label of feedback can equal them.
    member.labels.push_back(base::is_utf8(label) ? stats::canonical_label(label) : "(not text)");
  }
  members_.push_back(std::move(member));
  cells_ += request.row_count;
  if (!profile_) return;

  match_columns(request);
  cells_ += request.row_count * columns_.size();
  const size_t numbers = request.features.size(), texts = request.text_features.size();
  if (request.rows.size() < numbers * request.row_count || request.texts.size() < texts * request.row_count) {
    return;  // a record without its rows (sampled or redacted): the labels count, the features are unknown
  }
  for (size_t c = 0; c < columns_.size(); ++c) {
    Column& column = columns_[c];
    const Place place = places_[c];
    if (place.redacted) continue;
    const bool text = profile_->features[c].text;
    for (size_t row = 0; row < request.row_count; ++row) {
      if (place.index == kAbsent) {
        ++column.missing;
      } else if (place.text) {
        const std::string& value = request.texts[row * texts + place.index];
        if (value.empty()) {
          ++column.missing;
        } else if (text) {
          column.texts.push_back(value);
        } else {
          ++column.wrong_type;
        }
      } else {
        const double value = request.rows[row * numbers + place.index];
        if (!std::isfinite(value)) {
          ++column.missing;
        } else if (!text) {
          column.numbers.push_back(value);
        } else {
          ++column.wrong_type;
        }
      }
    }
  }
}

void recompute(const Profile& profile, const MonitorSpec& rule, WindowNumbers& numbers) {
  ASSERT_ALWAYS(numbers.features.size() == profile.features.size());
  for (size_t i = 0; i < profile.features.size(); ++i) {
    test_drift(profile.features[i], numbers.features[i]);
    test_quality(profile.features[i], numbers.rows, static_cast<int64_t>(profile.features.size()), rule,
                 numbers.features[i]);
  }
  test_drift(profile.predictions, numbers.predictions);
  judge(rule, numbers);
  if (!numbers.judged) numbers.drifted = numbers.bad_quality = false;
}

WindowNumbers measure(const WindowRows& rows, const MonitorSpec& rule) {
  WindowNumbers numbers{.rows = rows.rows()};
  const Profile* profile = rows.profile();
  if (profile == nullptr) return numbers;
  for (size_t i = 0; i < profile->features.size(); ++i) {
    numbers.features.push_back(count(profile->features[i], rows.columns()[i]));
  }
  WindowRows::Column predictions;
  for (const auto& member : rows.members()) {
    for (const std::string& label : member.labels) {
      if (profile->predictions.text) {
        predictions.texts.push_back(label);
      } else {
        predictions.numbers.push_back(std::strtod(label.c_str(), nullptr));
      }
    }
  }
  numbers.predictions = count(profile->predictions, predictions);
  numbers.judged = numbers.rows >= kMinWindowRows;
  recompute(*profile, rule, numbers);
  return numbers;
}

}  // namespace watch
