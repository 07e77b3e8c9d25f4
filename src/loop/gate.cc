#include "loop/gate.h"

#include <cmath>

#include "base/json_writer.h"
#include "loop/regression.h"
#include "stats/compare.h"
#include "stats/interval.h"
#include "stats/metrics.h"

namespace loop {
namespace {

std::string digits(double v) {
  std::string out = std::to_string(std::round(v * 1e4) / 1e4);
  return out.substr(0, out.find('.') + 5);
}

struct Side {
  double value = 0;
  stats::Interval interval;
};

struct Comparison {
  stats::PairedBootstrap bootstrap;       // of a gain: positive is better
  std::optional<stats::McNemar> mcnemar;  // of classifiers
  double champion = 0;                    // its value
};

class Judge {
 public:
  explicit Judge(const GateInput& input) : in_(input), writer_(numbers_) {}

  base::Result<GateResult> run() {
    if (const auto regression = stats::parse_regression_metric(in_.metric)) {
      regression_ = *regression;
    } else {
      TRY_SET(metric_, stats::parse_classification_metric(in_.metric));
    }
    writer_.begin_object()
        .field("kind", name(in_.kind))
        .field("metric", in_.metric)
        .field("higher_is_better", higher_is_better())
        .field("challenger", in_.challenger);
    if (!in_.champion.empty()) writer_.field("champion", in_.champion);
    write_rule();
    writer_.key("rows").begin_array();
    if (in_.kind == GateKind::kFirst) {
      TRY(judge_first());
    } else {
      TRY(judge_regression());
      if (in_.kind == GateKind::kRetraining) TRY(judge_recent());
    }
    writer_.end_array();
    writer_.key("checks").raw("[" + checks_ + "]");
    writer_.field("passed", passed_).end_object();
    return GateResult{
        .passed = passed_, .reason = (passed_ ? "passed: " : "not passed: ") + reason_, .numbers = std::move(numbers_)};
  }

 private:
  void write_rule() {
    writer_.key("rule")
        .begin_object()
        .field("confidence", in_.rule.confidence)
        .field("max_regression", in_.rule.max_regression);
    if (in_.rule.min) writer_.field("min", *in_.rule.min);
    if (in_.rule.max) writer_.field("max", *in_.rule.max);
    writer_.field("min_recent_rows", in_.rule.min_recent_rows)
        .field("resamples", kGateResamples)
        .field("seed", in_.rule.seed)
        .end_object();
  }

  stats::BootstrapOptions options() const {
    return {
        .seed = static_cast<uint64_t>(in_.rule.seed), .resamples = kGateResamples, .confidence = in_.rule.confidence};
  }

  bool higher_is_better() const { return !regression_ || stats::higher_is_better(*regression_); }

  base::Result<Side> measure(const std::vector<std::string>& truth, const std::vector<std::string>& predicted) const {
    if (regression_) {
      RegressionRows rows;
      TRY_SET(rows.truth, numbers_of(truth, "label"));
      TRY_SET(rows.predicted, numbers_of(predicted, "prediction"));
      TRY_SET(const MeasuredMetric measured, loop::measure(in_.metric, rows, options()));
      return Side{measured.value, measured.interval};
    }
    TRY_SET(const auto coded, stats::code_labels(truth, predicted));
    const stats::ConfusionMatrix matrix(coded);
    Side side{.value = stats::classification_metric(metric_, matrix)};
    if (metric_ == stats::ClassificationMetric::kAccuracy) {
      int64_t right = 0;
      for (size_t i = 0; i < truth.size(); ++i) right += truth[i] == predicted[i];
      side.interval = stats::wilson_interval(right, static_cast<int64_t>(truth.size()), in_.rule.confidence);
    } else {
      stats::ConfusionMatrix scratch(coded.classes.size());
      const auto metric = metric_;
      side.interval = stats::bootstrap_interval(
          truth.size(),
          [&](std::span<const uint32_t> rows) {
            scratch.clear();
            for (const uint32_t row : rows) scratch.add(coded.truth[row], coded.predicted[row]);
            return stats::classification_metric(metric, scratch);
          },
          options());
    }
    return side;
  }

  base::Result<Comparison> compare(const GateRows& rows) const {
    Comparison out;
    if (regression_) {
      TRY_SET(const auto truth, numbers_of(rows.truth, "label"));
      TRY_SET(const auto before, numbers_of(rows.champion, "prediction"));
      TRY_SET(const auto after, numbers_of(rows.challenger, "prediction"));
      TRY_SET(out.bootstrap, stats::paired_bootstrap(*regression_, truth, before, after, options()));
      return out;
    }
    if (metric_ == stats::ClassificationMetric::kAccuracy) {
      std::vector<double> champion, challenger;
      for (size_t i = 0; i < rows.truth.size(); ++i) {
        champion.push_back(rows.champion[i] == rows.truth[i]);
        challenger.push_back(rows.challenger[i] == rows.truth[i]);
      }
      out.bootstrap = stats::paired_bootstrap_mean(champion, challenger, options());
    } else {
      TRY_SET(out.bootstrap, stats::paired_bootstrap(metric_, rows.truth, rows.champion, rows.challenger, options()));
    }
    TRY_SET(out.mcnemar, stats::mcnemar(rows.truth, rows.champion, rows.challenger));
    return out;
  }

  // In a sentence; an error that falls is a gain.
  std::string gain() const { return higher_is_better() ? "difference" : "gain in " + in_.metric; }

  void write_side(std::string_view key, const Side& side, const std::string& evaluation) {
    writer_.key(key)
        .begin_object()
        .field("value", side.value)
        .field("low", side.interval.low)
        .field("high", side.interval.high);
    writer_.field("evaluation", evaluation).end_object();
  }

  // Writes one entry of "rows"; the comparison only where there is a champion.
  base::Result<Comparison> write_rows(const GateRows& rows, Side& challenger) {
    writer_.begin_object()
        .field("data_version", rows.data_version)
        .field("part", rows.part)
        .field("sha256", rows.digest);
    writer_.field("rows", static_cast<int64_t>(rows.truth.size()));
    TRY_SET(challenger, measure(rows.truth, rows.challenger));
    write_side("challenger", challenger, rows.challenger_evaluation);
    Comparison out;
    if (!rows.champion.empty()) {
      TRY_SET(const Side champion, measure(rows.truth, rows.champion));
      write_side("champion", champion, rows.champion_evaluation);
      TRY_SET(out, compare(rows));
      out.champion = champion.value;
      const auto& b = out.bootstrap;
      writer_.key("difference")
          .begin_object()
          .field("value", b.difference)
          .field("low", b.interval.low)
          .field("high", b.interval.high);
      writer_.field("p_greater", b.p_greater).field("p_two_sided", b.p_two_sided).end_object();
      if (const auto& m = out.mcnemar) {
        writer_.key("mcnemar")
            .begin_object()
            .field("champion_only", m->champion_only)
            .field("challenger_only", m->challenger_only);
        writer_.field("exact_p", m->exact_p)
            .field("exact_p_greater", m->exact_p_greater)
            .field("chi2", m->chi2)
            .field("chi2_p", m->chi2_p)
            .end_object();
      }
    }
    writer_.end_object();
    return out;
  }

  void check(std::string_view what, bool ok, double found, double bound, std::string sentence) {
    if (!checks_.empty()) checks_ += ",";
    base::JsonWriter w(checks_);
    w.begin_object().field("check", what).field("passed", ok).field("found", found).field("bound", bound).end_object();
    passed_ = passed_ && ok;
    reason_ += (reason_.empty() ? "" : "; ") + std::move(sentence);
  }

  base::Result<void> judge_first() {
    Side side;
    TRY(write_rows(in_.test, side));
    const std::string seen = in_.metric + " " + digits(side.value) + " on " + std::to_string(in_.test.truth.size()) +
                             " rows of " + in_.test.part + " (" + digits(side.interval.low) + " to " +
                             digits(side.interval.high) + ")";
    if (higher_is_better() && in_.rule.min) {
      const bool ok = side.interval.low >= *in_.rule.min;
      check("absolute", ok, side.interval.low, *in_.rule.min,
            seen + (ok ? ", its lower end reaches the bound " : ", its lower end does not reach the bound ") +
                digits(*in_.rule.min));
    } else if (!higher_is_better() && in_.rule.max) {
      const bool ok = side.interval.high <= *in_.rule.max;
      check("absolute", ok, side.interval.high, *in_.rule.max,
            seen + (ok ? ", its upper end stays within the bound " : ", its upper end passes the bound ") +
                digits(*in_.rule.max));
    } else {
      reason_ = "first promotion: " + seen + ", no absolute bound is declared";
    }
    return {};
  }

  base::Result<void> judge_regression() {
    Side side;
    TRY_SET(const auto seen, write_rows(in_.test, side));
    // An error has its own scale: what it may cost is a share of the champion's.
    const double scale = higher_is_better() ? 1 : seen.champion;
    const double low = seen.bootstrap.interval.low, bound = -in_.rule.max_regression * scale;
    const bool ok = low >= bound;
    check("no_regression", ok, low, bound,
          "on " + in_.test.part + " the " + gain() + " is " + digits(seen.bootstrap.difference) + ", at the lowest " +
              digits(low) + (ok ? ", within " : ", beyond ") + digits(bound));
    return {};
  }

  base::Result<void> judge_recent() {
    const size_t rows = in_.recent ? in_.recent->truth.size() : 0;
    if (static_cast<int64_t>(rows) < in_.rule.min_recent_rows) {
      if (rows > 0) {
        Side side;
        TRY(write_rows(*in_.recent, side));
      }
      const int64_t missing = in_.rule.min_recent_rows - static_cast<int64_t>(rows);
      check("recent_rows", false, static_cast<double>(rows), static_cast<double>(in_.rule.min_recent_rows),
            "the recent set has " + std::to_string(rows) + " labelled rows, " + std::to_string(missing) +
                " more are needed (gate.min_recent_rows)");
      return {};
    }
    Side side;
    TRY_SET(const auto seen, write_rows(*in_.recent, side));
    const double bound = 1 - in_.rule.confidence;
    const bool ok = seen.bootstrap.difference > 0 && seen.bootstrap.p_greater <= bound;
    check("better_on_recent", ok, seen.bootstrap.p_greater, bound,
          "on " + std::to_string(rows) + " recent rows the " + gain() + " is " + digits(seen.bootstrap.difference) +
              " (p " + digits(seen.bootstrap.p_greater) + (ok ? "), significant" : "), not significant") + " at " +
              digits(in_.rule.confidence));
    return {};
  }

  const GateInput& in_;
  stats::ClassificationMetric metric_ = stats::ClassificationMetric::kAccuracy;  // unless it is a regression
  std::optional<stats::RegressionMetric> regression_;
  std::string numbers_, checks_, reason_;
  base::JsonWriter writer_;
  bool passed_ = true;
};

base::Result<void> check_rows(const GateRows& rows, bool with_champion) {
  if (rows.truth.empty()) return base::invalid("the gate needs rows; the part '" + rows.part + "' has none");
  if (rows.challenger.size() != rows.truth.size() || (with_champion && rows.champion.size() != rows.truth.size())) {
    return base::invalid("the part '" + rows.part + "' was judged on different rows by challenger and champion");
  }
  return {};
}

}  // namespace

std::string_view name(GateKind kind) {
  switch (kind) {
    case GateKind::kFirst: return "first";
    case GateKind::kUpdate: return "update";
    case GateKind::kRetraining: return "retraining";
  }
  return "";
}

base::Result<GateResult> judge(const GateInput& input) {
  const bool with_champion = input.kind != GateKind::kFirst;
  TRY(check_rows(input.test, with_champion));
  if (input.recent && !input.recent->truth.empty()) TRY(check_rows(*input.recent, with_champion));
  return Judge(input).run();
}

}  // namespace loop
