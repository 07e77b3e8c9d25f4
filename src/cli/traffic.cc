// lathe traffic, replay, capture export: how an endpoint's requests are divided, and captured ones once more.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "cli/api.h"
#include "cli/capture_export.h"
#include "cli/command.h"
#include "net/http.h"

namespace cli {
namespace {

using base::json::array;
using base::json::object;
using base::json::value;

long long whole(const object& from, std::string_view key) { return from.at(key).to_number<int64_t>(); }
double number(const object& from, std::string_view key) {
  const auto& found = from.at(key);
  return found.is_number() ? found.to_number<double>() : std::nan("");
}

std::string shown(double value, const char* format) {
  if (std::isnan(value)) return "-";
  char text[48];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// --- traffic --------------------------------------------------------------------------------------------------------

void print_mirror(const object& t) {
  if (!t.at("shadow").is_null()) {
    const auto& shadow = t.at("shadow").as_object();
    std::printf("shadow: revision %lld answers copies of %g %%\n", whole(shadow, "revision"),
                number(shadow, "percent"));
  }
  for (const auto& entry : t.at("mirrored").as_array()) {
    const auto& m = entry.as_object();
    std::printf(
        "  %lld against %lld: %s %% of %lld rows agree, scores differ by %s on average (at most %s); %lld "
        "failed, %lld dropped\n",
        whole(m, "shadow"), whole(m, "revision"), shown(100 * number(m, "agreement"), "%.2f").c_str(), whole(m, "rows"),
        shown(number(m, "score_difference"), "%.4g").c_str(), shown(number(m, "largest_difference"), "%.4g").c_str(),
        whole(m, "failures"), whole(m, "dropped"));
  }
  if (const auto& paired = t.at("paired"); !paired.is_null()) {
    const auto& p = paired.as_object();
    std::printf("  of %lld labelled rows %lld has %lld right, the shadow %lld (McNemar p = %.3g)\n", whole(p, "rows"),
                whole(p, "revision"), whole(p, "primary_correct"), whole(p, "shadow_correct"), number(p, "p"));
  }
}

void print_comparison(const object& c) {
  const bool accuracy = text_of(c, "outcome") == "accuracy";
  const double scale = accuracy ? 100 : 1;
  const std::string unit = accuracy ? " points" : "", what = text_of(c, "outcome");
  std::printf("%s of %lld against %lld: ", what.c_str(), whole(c, "challenger"), whole(c, "champion"));
  const long long rows_a = whole(c, "champion_rows"), rows_b = whole(c, "challenger_rows");
  if (rows_a == 0 || rows_b == 0) {
    std::printf("no verdict yet, %lld and %lld rows have feedback\n", rows_b, rows_a);
    return;
  }
  const double p = number(c, "p");
  std::printf("%+.4g%s (95 %%: %+.4g to %+.4g), p = %.3g, %lld and %lld rows: %s", scale * number(c, "difference"),
              unit.c_str(), scale * number(c, "low"), scale * number(c, "high"), p, rows_b, rows_a,
              p < 0.05 ? "significant" : "not significant");
  if (p >= 0.05 && whole(c, "rows_missing") > 0)
    std::printf("; if the difference is real, about %lld more rows of each are needed", whole(c, "rows_missing"));
  std::printf("\n");
}

void print_bandit(const object& t) {
  if (t.at("bandit").is_null()) return;
  const auto& bandit = t.at("bandit").as_object();
  std::printf("bandit: weights follow feedback every %lld s, each revision keeps %g %%\n",
              whole(bandit, "every_us") / 1'000'000, number(bandit, "floor"));
  const auto& decisions = bandit.at("decisions").as_array();
  if (decisions.empty()) return void(std::printf("  no decision yet: there is no feedback\n"));
  const auto& last = decisions[0].as_object();
  std::printf("  %s:", base::format_iso8601(whole(last, "at_us")).c_str());
  for (const auto& entry : last.at("why").at("arms").as_array()) {
    const auto& arm = entry.as_object();
    std::printf(" %lld has %lld of %lld right, is best with %.0f %% → weight %g %%;", whole(arm, "revision"),
                whole(arm, "correct"), whole(arm, "labelled"), 100 * number(arm, "share"), number(arm, "weight"));
  }
  std::printf(" seed %lld\n", whole(last.at("why").as_object(), "seed"));
}

void print_traffic(const object& t) {
  std::printf("%-9s %-8s %-24s %9s %10s %8s %9s %12s\n", "REVISION", "WEIGHT", "MODEL", "REQUESTS", "FAILURES",
              "P95 ms", "LABELLED", "ACCURACY");
  for (const auto& entry : t.at("revisions").as_array()) {
    const auto& r = entry.as_object();
    if (number(r, "weight") == 0 && !r.at("loaded").as_bool() && whole(r, "requests") == 0) continue;
    const auto labelled = static_cast<double>(whole(r, "labelled"));
    const double accuracy = labelled > 0 ? static_cast<double>(whole(r, "correct")) / labelled : std::nan("");
    const std::string role = r.at("live").as_bool() ? " live" : r.at("shadow").as_bool() ? " shadow" : "";
    std::printf("%-9s %-8s %-24s %9lld %10lld %8s %9lld %12s\n", (std::to_string(whole(r, "revision")) + role).c_str(),
                (shown(number(r, "weight"), "%g") + " %").c_str(),
                (text_of(r, "model") + "/" + std::to_string(whole(r, "version"))).c_str(), whole(r, "requests"),
                whole(r, "failures"), shown(1e3 * number(r, "p95"), "%.2f").c_str(), whole(r, "labelled"),
                shown(100 * accuracy, "%.1f %%").c_str());
  }
  if (const std::string sticky = text_of(t, "sticky"); !sticky.empty()) std::printf("sticky by %s\n", sticky.c_str());
  for (const auto& entry : t.at("comparisons").as_array()) print_comparison(entry.as_object());
  for (const auto& entry : t.at("rules").as_array()) {
    const auto& rule = entry.as_object();
    std::printf("where %s: revision %lld%s\n", text_of(rule, "when").c_str(), whole(rule, "revision"),
                rule.at("in_force").as_bool() ? "" : " (not in force: its columns are not the live revision's)");
  }
  print_bandit(t);
  print_mirror(t);
  for (const auto& entry : t.at("rollouts").as_array()) {
    const auto& r = entry.as_object();
    const std::string reason = text_of(r, "reason");
    std::printf("rollout of %lld: %s (%s)%s%s\n", whole(r, "revision"), text_of(r, "state").c_str(),
                text_of(r, "phase").c_str(), reason.empty() ? "" : ": ", reason.c_str());
    break;  // the newest; the others are history
  }
}

struct TrafficOptions {
  std::string endpoint, sticky, outcome;
  std::vector<std::string> weights, rules;
  int64_t shadow = -1;
  double shadow_percent = 100, bandit = -1;
  int64_t bandit_seed = 1, bandit_every_s = 60;
  bool reset = false, as_json = false;
};

// "2: header[\"x-tier\"] == \"gold\"": a revision and when it is meant.
void write_rules(base::JsonWriter& w, const object& now, const TrafficOptions& o) {
  w.key("rules").begin_array();
  for (const auto& text : o.rules) {
    if (text == "none") break;
    const size_t colon = text.find(':');
    char* end = nullptr;
    const long long revision = std::strtoll(text.c_str(), &end, 10);
    if (colon == std::string::npos || end != text.c_str() + colon || revision <= 0)
      throw Failure(kUsage, "'" + text + "' is no rule; write REVISION: CONDITION, as in '2: country == \"CH\"'");
    w.begin_object()
        .field("when", text.substr(colon + 1))
        .field("revision", static_cast<int64_t>(revision))
        .end_object();
  }
  if (o.rules.empty() && !o.reset) {
    for (const auto& entry : now.at("rules").as_array()) {
      const auto& rule = entry.as_object();
      w.begin_object().field("when", text_of(rule, "when"));
      w.field("revision", static_cast<int64_t>(whole(rule, "revision"))).end_object();
    }
  }
  w.end_array();
}

void write_bandit(base::JsonWriter& w, const object& now, const TrafficOptions& o) {
  if (o.bandit == 0 || o.reset) return;
  if (o.bandit > 0) {
    w.key("bandit").begin_object().field("floor", o.bandit).field("seed", o.bandit_seed);
    w.field("every_s", o.bandit_every_s).end_object();
  } else if (!now.at("bandit").is_null()) {
    const auto& is = now.at("bandit").as_object();
    w.key("bandit").begin_object().field("floor", number(is, "floor"));
    w.field("seed", static_cast<int64_t>(whole(is, "seed")));
    w.field("every_s", static_cast<int64_t>(whole(is, "every_us") / 1'000'000)).end_object();
  }
}

// What is asked for on top of what is: a shadow alone leaves the weights as they are.
std::string wanted_traffic(const object& now, const TrafficOptions& o) {
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().field("generation", static_cast<int64_t>(whole(now, "generation")));
  w.key("weights").begin_object();
  for (const auto& text : o.weights) {
    const size_t equals = text.find('=');
    char* end = nullptr;
    const double weight = equals == std::string::npos ? 0 : std::strtod(text.c_str() + equals + 1, &end);
    if (equals == std::string::npos || equals == 0 || end == text.c_str() + equals + 1 || *end != '\0')
      throw Failure(kUsage, "'" + text + "' is no weight; write REVISION=PERCENT, as in 1=90 2=10");
    w.field(text.substr(0, equals), weight);
  }
  if (o.weights.empty() && !o.reset) {
    for (const auto& entry : now.at("revisions").as_array()) {
      const auto& r = entry.as_object();
      if (number(r, "weight") > 0 || (r.at("loaded").as_bool() && !r.at("shadow").as_bool()))
        w.field(std::to_string(whole(r, "revision")), number(r, "weight"));
    }
  }
  w.end_object();
  const auto& shadow = now.at("shadow");
  if (o.shadow >= 0) {
    w.field("shadow", o.shadow).field("shadow_percent", o.shadow_percent);
  } else if (!o.reset && !shadow.is_null()) {
    w.field("shadow", static_cast<int64_t>(whole(shadow.as_object(), "revision")));
    w.field("shadow_percent", number(shadow.as_object(), "percent"));
  }
  w.field("sticky", o.sticky.empty() ? text_of(now, "sticky") : o.sticky == "none" ? "" : o.sticky);
  write_rules(w, now, o);
  write_bandit(w, now, o);
  w.field("outcome", o.outcome.empty() ? text_of(now, "outcome") : o.outcome).end_object();
  return body;
}

void traffic(const Common& common, const TrafficOptions& o) {
  Api api(common);
  const std::string path = "/endpoints/" + net::percent_encode(o.endpoint) + "/traffic";
  value now = api.get(path);
  const bool more = !o.rules.empty() || o.bandit >= 0 || !o.outcome.empty();
  if (!o.weights.empty() || o.shadow >= 0 || !o.sticky.empty() || o.reset || more)
    now = api.send_slowly("PUT", path, wanted_traffic(now.as_object(), o));
  if (o.as_json)
    std::printf("%s\n", base::to_text(now).c_str());
  else
    print_traffic(now.as_object());
}

// --- replay ---------------------------------------------------------------------------------------------------------

struct ReplayOptions {
  std::string what, since, until;
  int64_t version = 0, revision = 0;
  size_t limit = 1000;
  bool as_json = false;
};

int64_t time_of(const std::string& text, const char* option) {
  if (text.empty()) return 0;
  const auto at = base::parse_iso8601(text);
  if (!at) throw Failure(kUsage, std::string(option) + ": '" + text + "' is no time, as in 2026-01-31T12:00:00Z");
  return *at;
}

void print_replay(const object& r, bool one) {
  std::printf("%lld requests (%lld rows) of '%s' with revision %lld (%s/%lld)\n", whole(r, "requests"),
              whole(r, "rows"), text_of(r, "endpoint").c_str(), whole(r, "revision"), text_of(r, "model").c_str(),
              whole(r, "version"));
  if (whole(r, "requests") > 0 && whole(r, "identical") == whole(r, "requests")) {
    std::printf("%s\n", one ? "bit-identical: the same labels and scores" : "all of them bit-identical");
  } else if (whole(r, "requests") > 0) {
    std::printf("%lld bit-identical; %lld rows with another label; scores differ by %.4g on average (at most %.4g)\n",
                whole(r, "identical"), whole(r, "changed_labels"), number(r, "mean_score_difference"),
                number(r, "largest_score_difference"));
  }
  for (const auto& entry : r.at("skipped").as_object())
    std::printf("%lld not replayed: %s\n", static_cast<long long>(entry.value().to_number<int64_t>()),
                std::string(entry.key()).c_str());
  size_t left = 20;
  for (const auto& entry : r.at("differing").as_array()) {
    if (left-- == 0) break;
    const auto& d = entry.as_object();
    std::printf("  %s row %lld: %s %s → %s %s  (%s)\n", text_of(d, "id").c_str(), whole(d, "row"),
                text_of(d, "was").c_str(), shown(number(d, "was_score"), "%.6g").c_str(), text_of(d, "now").c_str(),
                shown(number(d, "now_score"), "%.6g").c_str(), text_of(d, "detail").c_str());
  }
}

void replay(const Common& common, const ReplayOptions& o) {
  Api api(common);
  const bool one = o.what.starts_with("pr_");
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().field(one ? "prediction" : "endpoint", o.what);
  if (o.version > 0) w.field("version", o.version);
  if (o.revision > 0) w.field("revision", o.revision);
  if (!o.since.empty()) w.field("since_us", time_of(o.since, "--since"));
  if (!o.until.empty()) w.field("until_us", time_of(o.until, "--until"));
  w.field("limit", static_cast<int64_t>(o.limit)).end_object();
  const value answer = api.send_slowly("POST", "/replays", std::move(body));
  if (o.as_json)
    std::printf("%s\n", base::to_text(answer).c_str());
  else
    print_replay(answer.as_object(), one);
}

}  // namespace

void add_traffic_commands(CLI::App& app, Common& common) {
  auto* traffic_command = app.add_subcommand("traffic", "Show or divide an endpoint's traffic among its revisions");
  auto divided = std::make_shared<TrafficOptions>();
  traffic_command->add_option("endpoint", divided->endpoint, "its name")->required();
  traffic_command->add_option("weights", divided->weights, "REVISION=PERCENT …, as in 1=90 2=10");
  traffic_command->add_option("--shadow", divided->shadow, "revision that answers copies; 0: none");
  traffic_command->add_option("--shadow-percent", divided->shadow_percent, "of the requests [100]");
  traffic_command->add_option("--sticky", divided->sticky,
                              "header that keeps a client on one revision; none: no header");
  traffic_command->add_option("--rule", divided->rules,
                              "REVISION: CONDITION …, for slices of the requests, as in '2: country == \"CH\"'; none");
  traffic_command->add_option("--bandit", divided->bandit,
                              "let the weights follow feedback; each revision keeps this percentage; 0: no bandit");
  traffic_command->add_option("--bandit-seed", divided->bandit_seed, "of its draws [1]");
  traffic_command->add_option("--bandit-every", divided->bandit_every_s, "seconds between its decisions [60]");
  traffic_command->add_option("--outcome", divided->outcome, "what is compared [accuracy]")
      ->check(CLI::IsMember({"accuracy", "error", "reward"}));
  traffic_command->add_flag("--reset", divided->reset, "all to the live revision, and no shadow");
  traffic_command->add_flag("--json", divided->as_json, "as JSON");
  traffic_command->callback([divided, &common] { traffic(common, *divided); });

  auto* replay_command = app.add_subcommand("replay", "Answer captured requests once more, and show what differs");
  auto replayed = std::make_shared<ReplayOptions>();
  replay_command->add_option("what", replayed->what, "an endpoint, or a prediction's id")->required();
  replay_command->add_option("--version", replayed->version,
                             "of the model; else the revision that answered, or serves");
  replay_command->add_option("--revision", replayed->revision, "of the endpoint");
  replay_command->add_option("--since", replayed->since, "captured from then on (ISO 8601)");
  replay_command->add_option("--until", replayed->until, "captured until then");
  replay_command->add_option("--limit", replayed->limit, "the newest so many requests [1000]");
  replay_command->add_flag("--json", replayed->as_json, "as JSON");
  replay_command->callback([replayed, &common] { replay(common, *replayed); });

  auto* capture = app.add_subcommand("capture", "What endpoints were asked and answered");
  capture->require_subcommand(1);
  auto* export_command = capture->add_subcommand("export", "Write captured requests in another tool's format");
  auto exported = std::make_shared<ExportOptions>();
  export_command->add_option("endpoint", exported->endpoint, "its name")->required();
  export_command->add_option("--format", exported->format, "sagemaker, cloudevents or parquet")
      ->required()
      ->check(CLI::IsMember({"sagemaker", "cloudevents", "parquet"}));
  export_command->add_option("--output,-o", exported->output, "file; JSON lines go to stdout without one");
  export_command->callback([exported, &common] { export_capture(common, *exported); });
}

}  // namespace cli
