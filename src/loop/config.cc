#include "loop/config.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/fs.h"
#include "base/yaml.h"
#include "flow/dvc_yaml.h"
#include "loop/config_graphs.h"
#include "loop/config_reader.h"
#include "loop/rollout.h"
#include "serve/capture.h"
#include "serve/split.h"

namespace loop {

using base::yaml::Node;

namespace {

constexpr std::string_view kDvcFile = "dvc.yaml";

// A glob is a safe relative path whose '*' and '?' stand for themselves here.
bool is_safe_glob(std::string glob) {
  std::replace_if(glob.begin(), glob.end(), [](char c) { return c == '*' || c == '?' || c == '[' || c == ']'; }, 'x');
  return base::is_safe_relative_path(glob);
}

std::vector<std::string> names_of(const std::vector<DataConfig>& data) {
  std::vector<std::string> out;
  for (const auto& d : data) out.push_back(d.name);
  return out;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& allowed) {
  const auto near = nearest(word, allowed);
  return near.empty() ? "" : "; did you mean '" + near + "'?";
}

std::string listed(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) out += (out.empty() ? "" : ", ") + name;
  return out.empty() ? "none is declared" : out;
}

class Parser {
 public:
  Parser(std::string_view file, const std::map<std::string, std::string>& files) : files_(files) { state_.file = file; }

  base::Result<Config> parse(std::string_view text) {
    TRY_SET(const Node root, base::yaml::parse(text, state_.file));
    root_ = &root;
    if (!root.is_map()) {
      state_.fail(root.line, "",
                  "found " + root.describe() + "; allowed: a mapping that begins with 'project: <name>'");
      return std::unexpected(*state_.error);
    }
    config_.file = state_.file;
    read_top();
    read_data();
    read_sections();
    if (state_.error) return std::unexpected(*state_.error);
    TRY(read_stages());
    check_across();
    if (state_.error) return std::unexpected(*state_.error);
    config_.settings = std::move(state_.settings);
    return std::move(config_);
  }

 private:
  const Node* section(std::string_view name) const { return root_->find(name); }

  void read_top() {
    std::vector<std::string> extra = {"data", "environments", "graphs"};
    for (const auto& s : kSections) extra.emplace_back(s.name);
    for (std::string_view key : flow::kDvcTopKeys) extra.emplace_back(key);
    KeyReader top(state_, "", kTopKeys, root_, nullptr, extra);
    config_.project = top.text("project");
    config_.experiment = top.text("experiment", config_.project);
    config_.stages.max_parallel = top.integer("max_parallel");
  }

  void read_data() {
    const Node* data = section("data");
    if (data == nullptr) return;
    if (!data->is_map()) {
      state_.fail(data->line, "data",
                  "found " + data->describe() + "; allowed: a mapping from a data set's name to its declaration");
      return;
    }
    for (const auto& entry : data->entries) {
      const std::string where = "data." + entry.key;
      if (!is_config_name(entry.key)) {
        state_.fail(entry.line, where, "a data set's name must be " + allowed_text({"", KeyType::kName}));
      }
      KeyReader reader(state_, where, kDataKeys, &entry.value);
      DataConfig d;
      d.name = entry.key;
      d.paths = reader.list("path");
      d.label = reader.text("label");
      d.prepare = reader.text("prepare");
      d.feedback = reader.boolean("feedback");
      for (const auto& path : d.paths) {
        if (!is_safe_glob(path))
          state_.fail(reader.line("path"), where + ".path",
                      "'" + path + "' must be a path within the project: relative, without '..'");
      }
      if (!d.prepare.empty() && !base::is_safe_relative_path(d.prepare)) {
        state_.fail(reader.line("prepare"), where + ".prepare",
                    "'" + d.prepare + "' must be a path within the project: relative, without '..'");
      } else if (!d.prepare.empty() && !files_.contains(d.prepare)) {
        state_.fail(reader.line("prepare"), where + ".prepare", "there is no file '" + d.prepare + "' in the project");
      }
      config_.data.push_back(std::move(d));
    }
  }

  void read_sections() {
    if (const Node* node = section("model")) {
      KeyReader reader(state_, "model", kModelKeys, node);
      config_.model = ModelConfig{.name = reader.text("name", config_.project), .from = reader.text("from")};
      config_.model->calibrate =
          stats::parse_calibration_kind(reader.text("calibrate")).value_or(stats::CalibrationKind::kNone);
      config_.model->thresholds = reader.shares("thresholds");
    }
    KeyReader evaluate(state_, "evaluate", kEvaluateKeys, section("evaluate"));
    if (config_.model) {
      config_.evaluate.metric = evaluate.text("metric");
      config_.evaluate.data = evaluate.text("data");
      config_.evaluate.select_on = evaluate.text("select_on");
      config_.evaluate.test_on = evaluate.text("test_on");
      config_.evaluate.slices = evaluate.list("slices");
      config_.evaluate.worst_rows = evaluate.integer("worst_rows");
    }
    const Node* endpoint = section("endpoint");
    for (std::string_view name : {"gate", "rollout", "capture", "monitor", "retrain", "environments"}) {
      const Node* node = section(name);
      if (node != nullptr && endpoint == nullptr)
        state_.fail(node->line, name, "needs an 'endpoint' section: nothing is deployed without one");
    }
    if (endpoint != nullptr) read_environments(*endpoint);
    if (const Node* graphs = section("graphs")) config_.graphs = read_graphs(state_, *graphs);
  }

  void read_environments(const Node& endpoint) {
    if (!config_.model) {
      state_.fail(endpoint.line, "endpoint", "needs a 'model' section: it says which model answers");
      return;
    }
    KeyReader reader(state_, "endpoint", kEndpointKeys, &endpoint, nullptr, {"batch", "workers"});
    const std::string name = reader.text("name", config_.model->name);
    const std::string primary = reader.text("environment");
    const Node* all = section("environments");
    if (all != nullptr && !all->is_map()) {
      state_.fail(all->line, "environments",
                  "found " + all->describe() + "; allowed: a mapping from an environment's name to its overrides");
      return;
    }
    const Node* own = all == nullptr ? nullptr : all->find(primary);
    add_environment(primary, name, "", own);
    if (all == nullptr) return;
    for (const auto& entry : all->entries) {
      if (!is_config_name(entry.key))
        state_.fail(entry.line, "environments." + entry.key,
                    "an environment's name must be " + allowed_text({"", KeyType::kName}));
      if (entry.key != primary) add_environment(entry.key, name, "environments." + entry.key + ".", &entry.value);
    }
  }

  void add_environment(const std::string& name, const std::string& endpoint, const std::string& prefix,
                       const Node* over) {
    if (over != nullptr && over->is_null()) over = nullptr;  // "staging:" alone: no overrides
    KeyReader keys(state_, "environments." + name, {}, over, nullptr,
                   {"endpoint", "gate", "rollout", "capture", "monitor", "retrain"});
    if (state_.error) return;
    const auto override_of = [&](std::string_view part) { return over == nullptr ? nullptr : over->find(part); };

    Environment env;
    env.name = name;
    KeyReader address(state_, prefix + "endpoint", kEnvironmentEndpointKeys, override_of("endpoint"), nullptr,
                      {"batch", "workers"});
    const std::string fallback = name == "production" ? endpoint : endpoint + "-" + name;
    env.endpoint = address.text("name", fallback);
    env.serving = read_serving(prefix, override_of("endpoint"));
    env.gate = read_gate(prefix, override_of("gate"));
    env.rollout = read_rollout(prefix, override_of("rollout"));
    env.capture = read_capture(prefix, override_of("capture"));
    env.monitor = read_monitor(prefix, override_of("monitor"));
    const bool retrains = section("retrain") != nullptr || override_of("retrain") != nullptr;
    if (retrains) env.retrain = read_retrain(prefix, override_of("retrain"));
    config_.environments.push_back(std::move(env));
  }

  // The keys of `endpoint` and its parts that an environment may say differently.
  serve::ServingSettings read_serving(const std::string& prefix, const Node* over) {
    const Node* endpoint = section("endpoint");
    const auto part = [](const Node* node, std::string_view name) {
      return node != nullptr && node->is_map() ? node->find(name) : nullptr;
    };
    const std::string where = prefix + "endpoint";
    serve::ServingSettings out;
    KeyReader batch(state_, where + ".batch", kBatchKeys, part(endpoint, "batch"), part(over, "batch"));
    if (const auto rows = batch.optional_integer("max_size")) out.max_rows = static_cast<size_t>(*rows);
    out.max_delay_us = batch.optional_duration_us("max_delay", 0, serve::kMaxBatchDelayUs);
    if (const auto preferred = batch.optional_integers("preferred")) {
      out.preferred.emplace(preferred->begin(), preferred->end());
      if (out.max_rows && std::ranges::any_of(*out.preferred, [&](size_t rows) { return rows > *out.max_rows; }))
        state_.fail(batch.line("preferred"), where + ".batch.preferred",
                    "holds more rows than max_size, " + std::to_string(*out.max_rows));
    }
    if (const auto queue = batch.optional_integer("queue")) out.queue = static_cast<size_t>(*queue);
    KeyReader workers(state_, where + ".workers", kWorkersKeys, part(endpoint, "workers"), part(over, "workers"));
    if (const auto least = workers.optional_integer("min")) out.min_workers = static_cast<size_t>(*least);
    if (const auto most = workers.optional_integer("max")) out.max_workers = static_cast<size_t>(*most);
    if (out.min_workers && out.max_workers && *out.min_workers > *out.max_workers)
      state_.fail(
          workers.line("min"), where + ".workers.min",
          "is " + std::to_string(*out.min_workers) + "; allowed: at most max, " + std::to_string(*out.max_workers));
    if (const auto memory = workers.optional_integer("memory_mb")) out.memory_mb = static_cast<size_t>(*memory);
    out.idle_us = workers.optional_duration_us("idle", 0, serve::kMaxIdleUs);
    // `name` and `environment` were read elsewhere.
    KeyReader own(state_, where, kEndpointKeys, endpoint, over, {"batch", "workers"});
    out.timeout_us = own.optional_duration_us("timeout", serve::kMinRunUs, serve::kMaxRunUs);
    if (own.has("python")) out.python = own.text("python");
    return out;
  }

  GateConfig read_gate(const std::string& prefix, const Node* over) {
    KeyReader reader(state_, prefix + "gate", kGateKeys, section("gate"), over);
    GateConfig gate;
    gate.confidence = reader.number("confidence");
    gate.max_regression = reader.number("max_regression");
    gate.min = reader.optional_number("min");
    gate.max = reader.optional_number("max");
    const bool error = config_.evaluate.metric == "rmse" || config_.evaluate.metric == "mae";
    if (gate.min && error)
      state_.fail(reader.line("min"), prefix + "gate.min",
                  "of " + config_.evaluate.metric + " less is better; allowed: gate.max");
    if (gate.max && !error)
      state_.fail(reader.line("max"), prefix + "gate.max",
                  "of " + config_.evaluate.metric + " more is better; allowed: gate.min");
    gate.min_recent_rows = reader.integer("min_recent_rows");
    gate.seed = reader.integer("seed");
    return gate;
  }

  RolloutConfig read_rollout(const std::string& prefix, const Node* over) {
    KeyReader reader(state_, prefix + "rollout", kRolloutKeys, section("rollout"), over);
    RolloutConfig rollout;
    for (const auto& text : reader.list("steps")) {
      double percent = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), percent);
      const auto share = serve::share_of_percent(percent);
      const uint32_t last = rollout.steps.empty() ? 0 : rollout.steps.back();
      if (error != std::errc() || end != text.data() + text.size() || !share || *share <= last ||
          *share >= serve::kWholeShare || rollout.steps.size() == kMaxRolloutSteps) {
        state_.fail(reader.line("steps"), prefix + "rollout.steps",
                    "found '" + text + "'; allowed: percentages that rise, above 0 and below 100, at most " +
                        std::to_string(kMaxRolloutSteps));
        return rollout;
      }
      rollout.steps.push_back(*share);
    }
    rollout.wait_us = reader.duration_us("wait");
    rollout.bake_us = reader.duration_us("bake");
    rollout.max_errors = reader.number("max_errors");
    rollout.max_slowdown = reader.number("max_slowdown");
    rollout.min_requests = reader.integer("min_requests");
    rollout.sticky = reader.text("sticky");
    if (const auto plan = serve::checked({.sticky = rollout.sticky}, 0); !plan)
      state_.fail(reader.line("sticky"), prefix + "rollout.sticky", plan.error().message);
    return rollout;
  }

  CaptureConfig read_capture(const std::string& prefix, const Node* over) {
    KeyReader reader(state_, prefix + "capture", kCaptureKeys, section("capture"), over);
    CaptureConfig capture;
    capture.sample = reader.number("sample");
    capture.redact = reader.list("redact");
    capture.keep_us = reader.duration_us("keep");
    return capture;
  }

  MonitorConfig read_monitor(const std::string& prefix, const Node* over) {
    KeyReader reader(state_, prefix + "monitor", kMonitorKeys, section("monitor"), over);
    MonitorConfig monitor;
    reader.window("window", monitor.window_rows, monitor.window_us);
    monitor.labels_from_feedback = reader.text("labels") == "feedback";
    monitor.ks_alpha = reader.number("ks_alpha");
    monitor.psi_threshold = reader.number("psi");
    monitor.drifted_share = reader.number("drifted_share");
    monitor.consecutive = reader.integer("consecutive");
    return monitor;
  }

  RetrainConfig read_retrain(const std::string& prefix, const Node* over) {
    KeyReader reader(state_, prefix + "retrain", kRetrainKeys, section("retrain"), over);
    RetrainConfig retrain;
    const auto kinds = split_choices("drift|quality|accuracy");
    for (const auto& trigger : reader.list("on")) {
      const bool cron = trigger.find(' ') != std::string::npos;
      if (!cron && std::find(kinds.begin(), kinds.end(), trigger) == kinds.end()) {
        state_.fail(reader.line("on"), prefix + "retrain.on",
                    "found '" + trigger + "'; allowed: drift, quality, accuracy, or a cron line with a time zone" +
                        did_you_mean(trigger, kinds));
      } else if (!cron) {
        retrain.alerts.push_back(trigger);
      } else if (!retrain.cron.empty()) {
        state_.fail(reader.line("on"), prefix + "retrain.on", "has two cron lines; allowed: at most one");
      } else {
        retrain.cron = trigger;
      }
    }
    retrain.cooldown_us = reader.duration_us("cooldown");
    retrain.min_labels = reader.integer("min_labels");
    return retrain;
  }

  base::Result<void> read_stages() {
    flow::DvcInput input;
    input.file = state_.file;
    for (const auto& d : config_.data) input.data_sets.insert(d.name);
    input.files = files_;
    const auto beside = files_.find(std::string(kDvcFile));
    const int64_t max_parallel = config_.stages.max_parallel;
    if (const Node* stages = section("stages")) {
      if (beside != files_.end()) {
        state_.fail(stages->line, "stages", "stages are also in dvc.yaml beside this file; keep one of the two");
        return {};
      }
      TRY_SET(config_.stages, flow::parse_stages(*root_, input));
    } else if (beside != files_.end()) {
      input.file = kDvcFile;
      TRY_SET(const Node dvc, base::yaml::parse(beside->second, kDvcFile));
      TRY_SET(config_.stages, flow::parse_stages(dvc, input));
    } else if (config_.model) {
      state_.fail(section("model")->line, "model", "needs 'stages', here or in a dvc.yaml beside this file");
    } else if (config_.data.empty() && config_.graphs.empty()) {
      state_.fail(1, "", "declares neither 'data' nor 'stages' nor 'graphs'; there is nothing to do");
    }
    config_.stages.name = config_.project;
    config_.stages.experiment = config_.experiment;
    config_.stages.max_parallel = max_parallel;
    return {};
  }

  // What one key says about another.
  void check_across() {
    if (!config_.model) return;
    std::vector<std::string> groups;
    std::set<std::string> used;  // data sets that the model's stage reads
    for (const auto& stage : config_.stages.stages) {
      if (std::find(groups.begin(), groups.end(), stage.group) == groups.end()) groups.push_back(stage.group);
      if (stage.group != config_.model->from) continue;
      for (const auto& dep : stage.data_deps) used.insert(dep.name);
    }
    const int model_line = section("model")->line;
    if (std::find(groups.begin(), groups.end(), config_.model->from) == groups.end()) {
      state_.fail(line_in("model", "from"), "model.from",
                  "there is no stage '" + config_.model->from + "'; allowed: " + listed(groups) +
                      did_you_mean(config_.model->from, groups));
      return;
    }
    check_evaluated_data(used, model_line);
    check_retraining();
  }

  void check_evaluated_data(const std::set<std::string>& used, int model_line) {
    std::string& chosen = config_.evaluate.data;
    if (chosen.empty() && used.size() == 1) {
      chosen = *used.begin();
      state_.settings.push_back({"evaluate.data", chosen, 0});
    }
    const auto names = names_of(config_.data);
    if (chosen.empty()) {
      const std::string why = used.empty()
                                  ? "stage '" + config_.model->from + "' has no data set among its deps"
                                  : "stage '" + config_.model->from +
                                        "' reads several data sets; say which one judges it with evaluate.data";
      state_.fail(model_line, "evaluate.data", why + "; allowed: " + listed(names));
    } else if (config_.find_data(chosen) == nullptr) {
      state_.fail(line_in("evaluate", "data"), "evaluate.data",
                  "there is no data set '" + chosen + "'; allowed: " + listed(names) + did_you_mean(chosen, names));
    }
  }

  void check_retraining() {
    for (const auto& env : config_.environments) {
      const bool columns =
          std::ranges::any_of(env.capture.redact, [](const std::string& name) { return name != serve::kClientId; });
      if (columns && std::ranges::any_of(config_.data, &DataConfig::feedback)) {
        state_.fail(line_in("capture", "redact"), "capture.redact",
                    "feedback: true learns from captured rows, which must be whole; take one of the two away");
      }
      if (env.retrain.alerts.empty()) continue;
      const int line = line_in("retrain", "on");
      if (!env.monitor.labels_from_feedback) {
        state_.fail(line, "retrain.on", "a retraining on an alert counts labelled rows; set monitor.labels: feedback");
      } else if (std::none_of(config_.data.begin(), config_.data.end(),
                              [](const DataConfig& d) { return d.feedback; })) {
        state_.fail(line, "retrain.on",
                    "a retraining on an alert learns from labelled traffic; set feedback: true on the data set '" +
                        config_.evaluate.data + "'");
      }
    }
  }

  int line_in(std::string_view part, std::string_view key) const {
    const Node* node = section(part);
    if (node == nullptr) return 0;
    const Node* value = node->is_map() ? node->find(key) : nullptr;
    return value == nullptr ? node->line : value->line;
  }

  const std::map<std::string, std::string>& files_;
  const Node* root_ = nullptr;
  ReadState state_;
  Config config_;
};

}  // namespace

const Environment* Config::environment(std::string_view name) const {
  const auto found =
      std::find_if(environments.begin(), environments.end(), [&](const Environment& e) { return e.name == name; });
  return found == environments.end() ? nullptr : &*found;
}

const DataConfig* Config::find_data(std::string_view name) const {
  const auto found = std::find_if(data.begin(), data.end(), [&](const DataConfig& d) { return d.name == name; });
  return found == data.end() ? nullptr : &*found;
}

base::Result<Config> parse_config(std::string_view text, std::string_view file,
                                  const std::map<std::string, std::string>& files) {
  return Parser(file, files).parse(text);
}

}  // namespace loop
