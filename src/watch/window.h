// One window of traffic against a baseline: counted, tested, judged. Pure; every number of a stored window can be
// recomputed from its counts and gaps (recompute), which is how a past alert is replayed.
// Thread: plain values, one owner.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "stats/table.h"
#include "watch/profile.h"
#include "watch/watch.h"

namespace watch {

// A captured request, in the shape that monitoring reads (serve/capture.h, adapted by src/server).
struct Request {
  std::string id;  // "pr_…"
  int64_t at_us = 0;
  int64_t revision = 0;
  std::vector<std::string> features;  // numeric
  std::vector<double> rows;           // row-major; NaN: missing
  std::vector<std::string> text_features;
  std::vector<std::string> texts;   // row-major; "": missing
  std::vector<std::string> labels;  // predicted, one per row
  std::vector<std::string>
      redacted;  // features that capture does not keep: nothing is known of them, nothing is missing
  uint32_t row_count = 0;
};

inline constexpr size_t kMaxWindowCells = size_t{4} << 20;  // values of one window held in memory; past it it closes

// The rows of a window that is still filling.
class WindowRows {
 public:
  explicit WindowRows(std::shared_ptr<const Profile> profile);  // null: no baseline; requests and labels only
  void add(const Request& request);

  const Profile* profile() const { return profile_.get(); }
  int64_t rows() const { return rows_; }
  int64_t requests() const { return static_cast<int64_t>(members_.size()); }
  int64_t first_us() const { return first_us_; }
  int64_t last_us() const { return last_us_; }
  bool full() const { return rows_ >= kMaxWindowRows || cells_ >= kMaxWindowCells; }

  struct Member {
    std::string prediction;
    std::vector<std::string> labels;  // canonical
  };
  const std::vector<Member>& members() const { return members_; }

  struct Column {
    stats::Numbers numbers;
    std::vector<std::string> texts;
    int64_t missing = 0;     // not sent, empty, NaN or infinite
    int64_t wrong_type = 0;  // text for a number, or a number for text
  };
  const std::vector<Column>& columns() const { return columns_; }  // in the profile's order

 private:
  void match_columns(const Request& request);

  std::shared_ptr<const Profile> profile_;
  std::vector<Column> columns_;
  std::vector<Member> members_;
  int64_t rows_ = 0, first_us_ = 0, last_us_ = 0;
  size_t cells_ = 0;
  // Where each profile feature is in requests of the last seen layout: index into rows or texts, or kAbsent.
  static constexpr size_t kAbsent = static_cast<size_t>(-1);
  struct Place {
    size_t index = kAbsent;
    bool text = false;
    bool redacted = false;
  };
  std::vector<std::string> layout_, text_layout_, redacted_;
  std::vector<Place> places_;
};

struct FeatureNumbers {
  std::string name;
  FeatureKind kind = FeatureKind::kOpaque;
  int64_t rows = 0;  // present and of the right type
  int64_t missing = 0, wrong_type = 0;
  int64_t out_of_range = 0;      // outside what the baseline saw
  int64_t far_out_of_range = 0;  // … by more than its whole span
  int64_t unseen = 0;            // rows of categories that the baseline lacks
  int64_t off_constant = 0;      // rows that differ from the constant
  std::vector<int64_t> counts;   // by the baseline's bins, or categories and one more for the unseen
  int64_t gap = 0;               // Kolmogorov–Smirnov (stats/drift.h)
  // From the above and the baseline:
  double d = 0, psi = 0, p = 1;
  double p_holm = 1, p_bh = 1;  // corrected over the family that the feature belongs to
  double quality_p = 1;         // smallest of its quality tests, times their number
  bool tested = false;          // has a p
  bool drifted = false;
  bool bad_quality = false;
};

struct WindowNumbers {
  int64_t rows = 0;
  int64_t family = 0;  // tested varying features and predictions, over which Holm and BH correct
  int64_t constant_family = 0;
  double drifted_share = 0;  // of the family, by Benjamini–Hochberg
  bool judged = false;
  bool drifted = false;
  bool bad_quality = false;
  std::vector<FeatureNumbers> features;
  FeatureNumbers predictions;
};

// Counts, tests and judges. Without a profile, or with fewer than kMinWindowRows rows, nothing is judged.
WindowNumbers measure(const WindowRows& rows, const MonitorSpec& rule);
// The tests and the verdict again, from counts and gaps alone.
void recompute(const Profile& profile, const MonitorSpec& rule, WindowNumbers& numbers);

std::string to_json(const WindowNumbers& numbers);
base::Result<WindowNumbers> parse_window_numbers(std::string_view json);

std::string members_to_json(const std::vector<WindowRows::Member>& members);
base::Result<std::map<std::string, std::vector<std::string>>> parse_members(std::string_view json);

}  // namespace watch
