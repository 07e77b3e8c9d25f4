// lathe monitor, lathe alerts, lathe feedback: what is watched, what was raised, and labels from a file.
#include "watch/watch.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <iterator>
#include <memory>

#include "base/json.h"
#include "base/json_writer.h"
#include "cli/api.h"
#include "cli/command.h"
#include "net/http.h"
#include "stats/table.h"

namespace cli {
namespace {

namespace json = boost::json;

constexpr size_t kMaxFeedbackFile = size_t{1} << 30;
constexpr size_t kShownFeatures = 5;

std::string text(const json::value& value) {
  return value.is_string() ? std::string(std::string_view(value.as_string())) : base::to_text(value);
}

std::string time_text(const json::value& at_us) {
  const time_t seconds = at_us.as_int64() / 1'000'000;
  tm parts{};
  gmtime_r(&seconds, &parts);
  char buffer[32];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%SZ", &parts);
  return buffer;
}

std::string window_size(const json::object& monitor) {
  const int64_t rows = monitor.at("window_rows").as_int64();
  return rows > 0 ? fmt::format("{} rows", rows) : fmt::format("{} s", monitor.at("window_us").as_int64() / 1'000'000);
}

void print_window(const json::object& w) {
  std::string state = !w.at("judged").as_bool() ? "not judged" : w.at("drifted").as_bool() ? "drifted" : "quiet";
  if (w.at("bad_quality").as_bool()) state += ", bad data";
  std::string labels = "no labels";
  if (const int64_t labelled = w.at("labelled").as_int64(); labelled > 0) {
    labels =
        w.at("regression").as_bool()
            ? fmt::format("{} labelled, mean error {:.4g}", labelled, w.at("mean_absolute_error").to_number<double>())
            : fmt::format("{} labelled, {:.1f} % right", labelled, 100 * w.at("accuracy").to_number<double>());
  }
  std::printf("  %4lld  %s  revision %lld  %6lld rows  %-22s %s\n", static_cast<long long>(w.at("number").as_int64()),
              time_text(w.at("last_us")).c_str(), static_cast<long long>(w.at("revision").as_int64()),
              static_cast<long long>(w.at("rows").as_int64()), state.c_str(), labels.c_str());
}

void list_monitors(Api& api) {
  const auto answer = api.get("/monitors");
  const auto& monitors = answer.at("monitors").as_array();
  if (monitors.empty()) std::printf("nothing is monitored; lathe.yaml declares it under monitor:\n");
  for (const auto& monitor : monitors) {
    std::printf("%-24s windows of %s\n", text(monitor.at("endpoint")).c_str(),
                window_size(monitor.as_object()).c_str());
  }
}

void show_monitor(Api& api, const std::string& endpoint, int limit) {
  const std::string path = "/monitors/" + net::percent_encode(endpoint);
  const auto monitor = api.get(path);
  const auto& rule = monitor.at("rule").as_object();
  std::printf("%s: windows of %s, revision %s, %s\n", endpoint.c_str(), window_size(monitor.as_object()).c_str(),
              text(monitor.at("live_revision")).c_str(),
              monitor.at("baseline").is_null() ? "no baseline" : "compared with its evaluation");
  std::printf("drifted: Holm p <= %s and PSI >= %s, or %s of the features; alert after %s windows\n",
              text(rule.at("ks_alpha")).c_str(), text(rule.at("psi_threshold")).c_str(),
              text(rule.at("drifted_share")).c_str(), text(rule.at("consecutive")).c_str());
  std::printf("labels: %s; open alerts: %zu\n", text(monitor.at("labels")).c_str(),
              monitor.at("open_alerts").as_array().size());
  const auto windows = api.get(path + "/windows?limit=" + std::to_string(limit));
  for (const auto& window : windows.at("windows").as_array()) print_window(window.as_object());
}

void print_alert(const json::object& alert) {
  std::printf("%s  %-9s %-20s revision %s  raised %s  %s\n", text(alert.at("id")).c_str(),
              text(alert.at("kind")).c_str(), text(alert.at("endpoint")).c_str(), text(alert.at("revision")).c_str(),
              time_text(alert.at("raised_us")).c_str(),
              alert.at("ended_us").is_null() ? "open" : ("ended " + time_text(alert.at("ended_us"))).c_str());
}

void show_alert(Api& api, const std::string& id) {
  const auto alert = api.get("/alerts/" + net::percent_encode(id) + "?replay=true");
  print_alert(alert.as_object());
  for (const auto& window : alert.at("numbers").at("windows").as_array()) {
    const auto& w = window.as_object();
    if (w.contains("mean_absolute_error")) {
      std::printf("  window %s: %s labelled, mean error %.4g, root mean square %.4g\n", text(w.at("number")).c_str(),
                  text(w.at("labelled")).c_str(), w.at("mean_absolute_error").to_number<double>(),
                  w.at("root_mean_squared_error").to_number<double>());
      continue;
    }
    if (w.contains("accuracy")) {
      std::printf("  window %s: %s labelled, accuracy %.4f\n", text(w.at("number")).c_str(),
                  text(w.at("labelled")).c_str(), w.at("accuracy").to_number<double>());
      continue;
    }
    std::printf("  window %s: %s rows, %s features over a threshold, share %.3f\n", text(w.at("number")).c_str(),
                text(w.at("rows")).c_str(), text(w.at("crossed")).c_str(), w.at("drifted_share").to_number<double>());
    size_t shown = 0;
    for (const auto& feature : w.at("features").as_array()) {
      if (++shown > kShownFeatures) break;
      const auto& f = feature.as_object();
      if (!f.contains("p_holm")) continue;
      std::printf("    %-20s PSI %.3f  %s p %.3g (Holm %.3g)\n", text(f.at("name")).c_str(),
                  f.at("psi").to_number<double>(), text(f.at("test")).c_str(), f.at("p").to_number<double>(),
                  f.at("p_holm").to_number<double>());
    }
  }
  std::printf("  computed anew from the stored numbers: %s\n",
              alert.at("replay").at("equal").as_bool() ? "equal" : "DIFFERENT");
}

void list_alerts(Api& api, const std::string& endpoint, bool open) {
  const auto answer =
      api.get(fmt::format("/alerts?endpoint={}{}", net::percent_encode(endpoint), open ? "&open=true" : ""));
  const auto& alerts = answer.at("alerts").as_array();
  if (alerts.empty()) std::printf("no alerts\n");
  for (const auto& alert : alerts) print_alert(alert.as_object());
}

std::string read_input(const std::string& file) {
  if (file == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
  auto bytes = base::read_file(file, kMaxFeedbackFile);
  if (!bytes) throw Failure(kRefused, bytes.error().message);
  return std::move(*bytes);
}

// The columns id, label and, if there are, row and at_us, as the lines that the server reads.
std::vector<std::string> lines_of_csv(const std::string& bytes) {
  const auto table = stats::parse_csv(bytes);
  if (!table) throw Failure(kRefused, table.error().message);
  for (const char* needed : {"id", "label"}) {
    if (table->find(needed) == nullptr)
      throw Failure(kRefused,
                    fmt::format("the file has no column '{}'; needed: id, label; allowed: row, at_us", needed));
  }
  std::vector<std::string> lines;
  for (size_t i = 0; i < table->rows(); ++i) {
    std::string line;
    base::JsonWriter out(line);
    out.begin_object();
    for (const stats::Column& column : table->columns) {
      if (column.name != "id" && column.name != "label" && column.name != "row" && column.name != "at_us") continue;
      if (column.numeric()) {
        const double number = column.numbers()[i];
        if (number == number) out.field(column.name, number);
      } else if (column.texts()[i]) {
        out.field(column.name, *column.texts()[i]);
      }
    }
    out.end_object();
    lines.push_back(std::move(line));
  }
  return lines;
}

std::vector<std::string> lines_of_json(const std::string& bytes) {
  std::vector<std::string> lines;
  const size_t start = bytes.find_first_not_of(" \t\r\n");
  if (start != bytes.npos && bytes[start] == '[') {
    const auto document = base::parse_json(bytes);
    if (!document) throw Failure(kRefused, document.error().message);
    for (const auto& one : document->as_array()) lines.push_back(base::to_text(one));
    return lines;
  }
  for (size_t from = 0; from < bytes.size();) {
    const size_t end = std::min(bytes.find('\n', from), bytes.size());
    if (bytes.find_first_not_of(" \t\r", from) < end) lines.push_back(bytes.substr(from, end - from));
    from = end + 1;
  }
  return lines;
}

void send_feedback(Api& api, const std::string& file) {
  const std::string bytes = read_input(file);
  const size_t start = bytes.find_first_not_of(" \t\r\n");
  const bool is_json = start != bytes.npos && (bytes[start] == '[' || bytes[start] == '{');
  const auto lines = is_json ? lines_of_json(bytes) : lines_of_csv(bytes);
  if (lines.empty()) throw Failure(kRefused, "the file has no labels");
  int64_t received = 0, fresh = 0;
  size_t unknown = 0;
  std::string example;
  for (size_t from = 0; from < lines.size(); from += watch::kMaxFeedbackBatch / 10) {
    net::ClientRequest request{.method = "POST"};
    request.headers.emplace_back("content-type", "application/x-ndjson");
    for (size_t i = from; i < std::min(lines.size(), from + watch::kMaxFeedbackBatch / 10); ++i)
      request.body += lines[i] + "\n";
    const auto answer = base::parse_json(api.call(std::move(request), "/feedback").body);
    if (!answer) throw Failure(kRefused, answer.error().message);
    received += answer->at("received").as_int64();
    fresh += answer->at("new").as_int64();
    const auto& ids = answer->at("unknown").as_array();
    unknown += ids.size();
    if (example.empty() && !ids.empty()) example = text(ids[0]);
  }
  std::printf("%lld labels sent, %lld new\n", static_cast<long long>(received), static_cast<long long>(fresh));
  if (unknown > 0)
    std::printf("%zu predictions are not known here, such as %s; their labels are kept\n", unknown, example.c_str());
}

}  // namespace

void add_watch_commands(CLI::App& app, Common& common) {
  auto* monitor = app.add_subcommand("monitor", "What is watched, and its newest windows");
  auto endpoint = std::make_shared<std::string>();
  auto limit = std::make_shared<int>(10);
  monitor->add_option("endpoint", *endpoint, "endpoint; without it, all that are watched");
  monitor->add_option("--limit", *limit, "windows shown [10]")->check(CLI::Range(1, 1000));
  monitor->callback([&common, endpoint, limit] {
    Api api(common);
    if (endpoint->empty()) {
      list_monitors(api);
    } else {
      show_monitor(api, *endpoint, *limit);
    }
  });

  auto* alerts = app.add_subcommand("alerts", "Alerts, newest first; or one with its numbers");
  auto id = std::make_shared<std::string>();
  auto of = std::make_shared<std::string>();
  auto open = std::make_shared<bool>(false);
  alerts->add_option("id", *id, "an alert's id (al_…)");
  alerts->add_option("--endpoint", *of, "only of this endpoint");
  alerts->add_flag("--open", *open, "only those that have not ended");
  alerts->callback([&common, id, of, open] {
    Api api(common);
    if (id->empty()) {
      list_alerts(api, *of, *open);
    } else {
      show_alert(api, *id);
    }
  });

  auto* feedback = app.add_subcommand("feedback", "Send labels of predictions");
  auto file = std::make_shared<std::string>();
  feedback
      ->add_option("file", *file,
                   "CSV with columns id, label (row, at_us), a JSON list, or one JSON object a line; - for stdin")
      ->required();
  feedback->callback([&common, file] {
    Api api(common);
    send_feedback(api, *file);
  });
}

}  // namespace cli
