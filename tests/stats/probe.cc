// stats_probe: one JSON request a line on stdin, one JSON answer a line on stdout. It lets tests/stats hold src/stats
// against scikit-learn, scipy and statsmodels on inputs made at test time. Not installed.
#include <cmath>
#include <cstdio>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <span>
#include <string>

#include "base/json.h"
#include "base/json_writer.h"
#include "stats/bandit.h"
#include "stats/compare.h"
#include "stats/drift.h"
#include "stats/interval.h"
#include "stats/metrics.h"
#include "stats/transform.h"

namespace {

using base::json::array;
using base::json::object;
using base::json::value;

double number(const value& v) {
  if (v.is_string()) {  // JSON has no word for these
    const auto& text = v.get_string();
    return text == "NaN" ? std::numeric_limits<double>::quiet_NaN()
                         : std::numeric_limits<double>::infinity() * (text == "-Infinity" ? -1 : 1);
  }
  return v.to_number<double>();
}
template <class T>
std::vector<T> list(const object& in, const char* key) {
  std::vector<T> out;
  for (const value& v : in.at(key).as_array()) {
    if constexpr (std::is_same_v<T, std::string>) {
      out.emplace_back(v.as_string());
    } else {
      out.push_back(static_cast<T>(number(v)));
    }
  }
  return out;
}
double real(const object& in, const char* key) { return number(in.at(key)); }
int64_t integer(const object& in, const char* key) { return in.at(key).to_number<int64_t>(); }

stats::BootstrapOptions options_of(const object& in) {
  return {.seed = static_cast<uint64_t>(integer(in, "seed")),
          .resamples = static_cast<int>(integer(in, "resamples")),
          .confidence = real(in, "confidence")};
}

using Out = base::JsonWriter;

void write(Out& out, const stats::Interval& interval) {
  out.begin_array().value(interval.low).value(interval.high).end_array();
}
void write(Out& out, std::string_view key, const stats::AveragedMetrics& average) {
  out.key(key).begin_array().value(average.precision).value(average.recall).value(average.f1).end_array();
}

void classification(const object& in, Out& out) {
  const auto truth = list<std::string>(in, "truth"), predicted = list<std::string>(in, "predicted");
  const auto coded = stats::code_labels(truth, predicted);
  const stats::ConfusionMatrix matrix(*coded);
  const stats::Classification result = stats::classification(matrix, coded->classes);
  out.field("accuracy", result.accuracy);
  write(out, "macro", result.macro);
  write(out, "weighted", result.weighted);
  out.field("macro_f1", stats::classification_metric(stats::ClassificationMetric::kMacroF1, matrix));
  out.field("weighted_f1", stats::classification_metric(stats::ClassificationMetric::kWeightedF1, matrix));
  out.key("classes").begin_array();
  for (const auto& c : result.classes) {
    out.begin_array().value(c.label).value(c.precision).value(c.recall).value(c.f1).value(c.support).end_array();
  }
  out.end_array().key("confusion").begin_array();
  for (const int64_t count : matrix.counts()) out.value(count);
  out.end_array();
}

void probabilities(const object& in, Out& out) {
  const auto truth = list<uint32_t>(in, "truth");
  const auto columns = list<double>(in, "probabilities");
  const size_t classes = columns.size() / truth.size();
  out.field("log_loss", stats::log_loss(truth, columns, classes));
  out.field("brier", stats::brier_score(truth, columns, classes));
  out.field("auc_ovr", stats::roc_auc_ovr(truth, columns, classes));
  if (classes != 2) return;
  std::vector<uint8_t> positive;
  std::vector<double> scores;
  for (size_t i = 0; i < truth.size(); ++i) positive.push_back(truth[i] == 1), scores.push_back(columns[2 * i + 1]);
  out.field("auc", stats::roc_auc(positive, scores));
}

void regression(const object& in, Out& out) {
  const auto result = stats::regression(list<double>(in, "truth"), list<double>(in, "predicted"));
  out.field("rmse", result.rmse).field("mae", result.mae).field("r2", result.r2);
}

void wilson(const object& in, Out& out) {
  out.key("interval");
  write(out, stats::wilson_interval(integer(in, "successes"), integer(in, "trials"), real(in, "confidence")));
}

void write(Out& out, const stats::PairedBootstrap& result) {
  out.field("difference", result.difference).field("p_greater", result.p_greater);
  out.field("p_two_sided", result.p_two_sided).key("interval");
  write(out, result.interval);
}

void bootstrap_mean(const object& in, Out& out) {
  const auto values = list<double>(in, "values");
  out.key("interval");
  write(out, stats::bootstrap_interval(
                 values.size(),
                 [&](std::span<const uint32_t> rows) {
                   double sum = 0;
                   for (const uint32_t row : rows) sum += values[row];
                   return sum / static_cast<double>(rows.size());
                 },
                 options_of(in)));
}

void paired_bootstrap(const object& in, Out& out) {
  const auto metric = stats::parse_classification_metric(in.at("metric").as_string());
  write(out, *stats::paired_bootstrap(*metric, list<std::string>(in, "truth"), list<std::string>(in, "champion"),
                                      list<std::string>(in, "challenger"), options_of(in)));
}

void paired_regression(const object& in, Out& out) {
  const auto metric = stats::parse_regression_metric(in.at("metric").as_string());
  write(out, *stats::paired_bootstrap(*metric, list<double>(in, "truth"), list<double>(in, "champion"),
                                      list<double>(in, "challenger"), options_of(in)));
}

// Intervals of a regression's metric, as evaluations report them.
void regression_interval(const object& in, Out& out) {
  const auto metric = stats::parse_regression_metric(in.at("metric").as_string());
  const auto truth = list<double>(in, "truth"), predicted = list<double>(in, "predicted");
  out.key("interval");
  write(out,
        stats::bootstrap_interval(
            truth.size(),
            [&](std::span<const uint32_t> rows) { return stats::regression_metric(*metric, truth, predicted, rows); },
            options_of(in)));
}

void mcnemar(const object& in, Out& out) {
  const auto r = stats::mcnemar(integer(in, "champion_only"), integer(in, "challenger_only"));
  out.field("exact_p", r.exact_p).field("exact_p_greater", r.exact_p_greater);
  out.field("chi2", r.chi2).field("chi2_p", r.chi2_p);
}

void two_proportions(const object& in, Out& out) {
  const auto r = stats::two_proportions({integer(in, "champion_correct"), integer(in, "champion_rows")},
                                        {integer(in, "challenger_correct"), integer(in, "challenger_rows")});
  out.field("difference", r.difference).field("z", r.z).field("p", r.p_two_sided);
  out.field("p_greater", r.p_greater).field("p_less", r.p_less).field("low", r.interval.low);
  out.field("high", r.interval.high);
}

stats::Moments moments_in(const object& in, const char* key) {
  const auto values = list<double>(in, key);
  stats::Moments out{.rows = static_cast<int64_t>(values.size())};
  for (const double x : values) out.mean += x / static_cast<double>(values.size());
  for (const double x : values) out.variance += (x - out.mean) * (x - out.mean);
  if (out.rows > 1) out.variance /= static_cast<double>(out.rows - 1);
  return out;
}

void welch(const object& in, Out& out) {
  const auto a = moments_in(in, "champion"), b = moments_in(in, "challenger");
  const auto r = stats::welch(a, b);
  out.field("difference", r.difference).field("t", r.t).field("degrees", r.degrees).field("p", r.p_two_sided);
  out.field("low", r.interval.low).field("high", r.interval.high).field("needed", stats::rows_needed(a, b));
}

void rows_needed(const object& in, Out& out) {
  const stats::Share champion{integer(in, "champion_correct"), integer(in, "champion_rows")};
  const stats::Share challenger{integer(in, "challenger_correct"), integer(in, "challenger_rows")};
  out.field("rows", stats::rows_needed(champion, challenger, real(in, "power"), real(in, "confidence")));
}

void thompson(const object& in, Out& out) {
  std::vector<stats::Share> arms;
  const auto successes = list<int64_t>(in, "successes"), trials = list<int64_t>(in, "trials");
  for (size_t i = 0; i < successes.size(); ++i) arms.push_back({successes[i], trials[i]});
  const auto shares = stats::thompson_shares(arms, static_cast<uint64_t>(integer(in, "seed")));
  out.key("shares").begin_array();
  for (const double share : shares) out.value(share);
  out.end_array().key("parts").begin_array();
  for (const uint32_t part : stats::parts_with_floor(shares, 10'000, static_cast<uint32_t>(integer(in, "floor"))))
    out.value(part);
  out.end_array();
}

void calibrate(const object& in, Out& out) {
  const auto classes = static_cast<size_t>(integer(in, "classes"));
  const auto kind = stats::parse_calibration_kind(std::string(in.at("kind").as_string())).value();
  const auto fitted = stats::fit_calibration(kind, list<double>(in, "scores"), list<uint32_t>(in, "truth"), classes);
  if (!fitted) return void(out.field("error", fitted.error().message));
  // As it is applied after it was kept as text.
  stats::Transform transform;
  stats::AnswerRule rule{.calibration = *fitted};
  for (size_t k = 0; k < classes; ++k) rule.classes.push_back(std::to_string(k));
  for (const auto& entry : in.at("thresholds").as_object()) rule.thresholds[entry.key()] = number(entry.value());
  transform.set_answer(rule);
  const auto kept = stats::Transform::parse(transform.to_json()).value().answer();
  out.field("kept", kept == rule).field("temperature", kept.calibration.temperature);
  auto scores = list<double>(in, "asked");
  out.key("labels").begin_array();
  for (size_t at = 0; at < scores.size(); at += classes) {
    kept.calibration.apply(std::span(scores).subspan(at, classes));
    out.value(kept.choose(std::span(scores).subspan(at, classes)));
  }
  out.end_array().key("scores").begin_array();
  for (const double score : scores) out.value(score);
  out.end_array();
}

void reliability(const object& in, Out& out) {
  const auto r = stats::reliability(list<double>(in, "scores"), list<uint32_t>(in, "truth"),
                                    static_cast<size_t>(integer(in, "classes")));
  out.field("error", r.error).key("rows").begin_array();
  for (const auto& bin : r.bins) out.value(bin.rows);
  out.end_array();
}

void drift(const object& in, Out& out) {
  const auto reference = stats::sample_of(list<double>(in, "reference"));
  const auto current = stats::sample_of(list<double>(in, "current"));
  const bool integers = in.contains("integers") && in.at("integers").as_bool();
  const stats::KsResult ks = stats::ks_two_sample(reference, current);
  out.field("ks_d", ks.d).field("ks_p", ks.p);
  out.field("evidently_psi", stats::evidently_psi(reference, current, integers));
  out.field("evidently_jensenshannon", stats::evidently_jensenshannon(reference, current, integers));
  out.field("evidently_wasserstein", stats::evidently_wasserstein(reference, current));
  out.field("wasserstein", stats::wasserstein(reference, current));
}

void ks_p(const object& in, Out& out) {
  out.field("p", stats::ks_p_value(integer(in, "reference_rows"), integer(in, "current_rows"), integer(in, "gap")));
}

void categories(const object& in, Out& out) {
  const auto reference = list<int64_t>(in, "reference"), current = list<int64_t>(in, "current");
  const stats::ChiSquare result = stats::chi2_homogeneity(reference, current);
  out.field("statistic", result.statistic).field("p", result.p).field("degrees", result.degrees);
  out.field("evidently_p", stats::evidently_chisquare(reference, current));
  out.field("lathe_psi", stats::lathe_psi(reference, current));
}

void hypergeometric(const object& in, Out& out) {
  out.field("p", stats::hypergeometric_at_least(integer(in, "marked_drawn"), integer(in, "population"),
                                                integer(in, "marked"), integer(in, "drawn")));
}

void corrections(const object& in, Out& out) {
  const auto p = list<double>(in, "p");
  out.key("holm").begin_array();
  for (const double adjusted : stats::holm_adjusted(p)) out.value(adjusted);
  out.end_array().key("bh").begin_array();
  for (const double adjusted : stats::benjamini_hochberg_adjusted(p)) out.value(adjusted);
  out.end_array();
}

void bins(const object& in, Out& out) {
  const auto reference = stats::sample_of(list<double>(in, "reference"));
  const auto frozen = stats::freeze_bins(reference, static_cast<size_t>(integer(in, "most")));
  out.key("edges").begin_array();
  for (const double edge : frozen.edges) out.value(edge);
  out.end_array().key("counts").begin_array();
  for (const int64_t count : stats::count_into(frozen, reference)) out.value(count);
  out.end_array();
}

const std::map<std::string, std::function<void(const object&, Out&)>, std::less<>> kAnswers{
    {"classification", classification},
    {"probabilities", probabilities},
    {"regression", regression},
    {"wilson", wilson},
    {"bootstrap_mean", bootstrap_mean},
    {"mcnemar", mcnemar},
    {"two_proportions", two_proportions},
    {"welch", welch},
    {"rows_needed", rows_needed},
    {"thompson", thompson},
    {"calibrate", calibrate},
    {"reliability", reliability},
    {"paired_bootstrap", paired_bootstrap},
    {"paired_regression", paired_regression},
    {"regression_interval", regression_interval},
    {"drift", drift},
    {"ks_p", ks_p},
    {"categories", categories},
    {"hypergeometric", hypergeometric},
    {"corrections", corrections},
    {"bins", bins},
};

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto request = base::parse_json(line);
    if (!request) {
      std::fprintf(stderr, "stats_probe: %s\n", request.error().message.c_str());
      return 1;
    }
    const object& in = request->as_object();
    std::string text;
    Out out(text);
    out.begin_object();
    kAnswers.at(std::string(in.at("ask").as_string()))(in, out);
    out.end_object();
    std::cout << text << std::endl;
  }
}
