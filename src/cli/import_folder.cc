// MLflow's file store, an mlruns folder: meta.yaml files beside folders with one file for each param, tag and metric.
// Symbolic links in it are not followed.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>
#include <unordered_map>

#include "base/clock.h"
#include "base/yaml.h"
#include "cli/command.h"
#include "cli/import_source.h"
#include "traces/span.h"
#include "track/point_codec.h"

namespace cli {
namespace {

namespace fs = std::filesystem;
using base::Path;

constexpr size_t kMetaBytes = size_t{32} << 20;  // of one meta.yaml: a dataset's profile is the longest thing in one
constexpr size_t kValueBytes = size_t{1} << 30;  // of one metric's file

class Meta {
 public:
  explicit Meta(const Path& file) {
    const std::string text = need(base::read_file(file, kMetaBytes), "the source");
    node_ = need(base::yaml::parse(text, file.string(), {.bytes = kMetaBytes, .refuse_yaml11_booleans = false}),
                 "the source");
  }
  std::string text(std::string_view key) const {
    const auto* node = node_.find(key);
    return node != nullptr && node->is_scalar() ? node->scalar : "";
  }
  std::optional<std::string> opt_text(std::string_view key) const {
    const auto* node = node_.find(key);
    return node != nullptr && node->is_scalar() ? std::optional(node->scalar) : std::nullopt;
  }
  std::optional<int64_t> number(std::string_view key) const {
    const std::string value = text(key);
    int64_t out = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
    return error == std::errc() && end != value.data() ? std::optional(out) : std::nullopt;
  }
  const base::yaml::Node* find(std::string_view key) const { return node_.find(key); }
  track::Tags map(std::string_view key) const {
    track::Tags out;
    const auto* node = node_.find(key);
    if (node != nullptr && node->is_map())
      for (const auto& entry : node->entries) out.push_back({entry.key, entry.value.scalar});
    return out;
  }

 private:
  base::yaml::Node node_;
};

// A value as JSON, typed as its YAML is.
std::string json_of(const base::yaml::Node& node) {
  std::string out;
  switch (node.kind) {
    case base::yaml::Kind::kNull: return "null";
    case base::yaml::Kind::kScalar:
      if (const auto flag = node.as_bool()) return *flag ? "true" : "false";
      if (const auto whole = node.as_int()) return std::to_string(*whole);
      if (const auto real = node.as_double(); real && std::isfinite(*real)) {
        traces::append_python_double(out, *real);
        return out;
      }
      return traces::python_string(node.scalar);
    case base::yaml::Kind::kSequence:
      for (const auto& item : node.items) out.append(out.empty() ? "[" : ", ").append(json_of(item));
      return out.empty() ? "[]" : out + "]";
    case base::yaml::Kind::kMap:
      for (const auto& entry : node.entries)
        out.append(out.empty() ? "{" : ", ")
            .append(traces::python_string(entry.key))
            .append(": ")
            .append(json_of(entry.value));
      return out.empty() ? "{}" : out + "}";
  }
  return "null";
}

bool is_folder(const Path& path) {
  std::error_code error;
  return fs::is_directory(fs::symlink_status(path, error));
}
bool is_file(const Path& path) {
  std::error_code error;
  return fs::is_regular_file(fs::symlink_status(path, error));
}

std::vector<Path> folders_in(const Path& dir) {
  std::vector<Path> out;
  std::error_code error;
  for (fs::directory_iterator at(dir, error), end; !error && at != end; at.increment(error))
    if (is_folder(at->path())) out.push_back(at->path());
  std::ranges::sort(out);
  return out;
}

// Files at any depth; a key "a/b" is a file b in a folder a.
std::vector<std::string> files_below(const Path& dir) {
  std::vector<std::string> out;
  std::error_code error;
  if (!is_folder(dir)) return out;
  for (fs::recursive_directory_iterator at(dir, error), end; !error && at != end; at.increment(error))
    if (is_file(at->path())) out.push_back(at->path().lexically_relative(dir).generic_string());
  std::ranges::sort(out);
  return out;
}

track::Tags values_in(const Path& dir) {
  track::Tags out;
  for (const std::string& key : files_below(dir))
    out.push_back({key, need(base::read_file(dir / key, kMetaBytes), "the source")});
  return out;
}

double number(const std::string& text) {
  double value = std::nan("");
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// A line is "time value step" and, in some revisions, the run of a model's metric and its data set.
std::vector<track::Metric> metrics_in(const Path& dir, bool of_model) {
  std::vector<track::Metric> out;
  for (const std::string& key : files_below(dir)) {
    std::istringstream lines(need(base::read_file(dir / key, kValueBytes), "the source"));
    const size_t first = out.size();
    for (std::string line; std::getline(lines, line);) {
      std::istringstream parts(line);
      std::string value;
      track::Metric metric;
      if (!(parts >> metric.at_ms >> value)) continue;
      metric.key = key;
      metric.value = number(value);
      parts >> metric.step;
      if (of_model) parts >> metric.run_id;
      parts >> metric.dataset_name >> metric.dataset_digest;
      out.push_back(std::move(metric));
    }
    if (of_model) continue;
    // What a history keeps once, the file may hold twice.
    const auto point = [](const track::Metric& m) { return track::Point{m.at_ms, m.step, m.value}; };
    const auto begin = out.begin() + static_cast<ptrdiff_t>(first);
    std::sort(begin, out.end(), [&](const auto& a, const auto& b) { return point(a) < point(b); });
    out.erase(
        std::unique(begin, out.end(), [&](const auto& a, const auto& b) { return track::same(point(a), point(b)); }),
        out.end());
  }
  return out;
}

class FolderSource final : public MlflowSource {
 public:
  explicit FolderSource(Path root) : root_(std::move(root)) {
    for (const Path& dir : folders_in(root_))
      if (const std::string name = dir.filename(); name != ".trash" && name != "models") add_experiment(dir);
    for (const Path& dir : folders_in(root_ / ".trash")) add_experiment(dir);
    if (experiments_.empty())
      throw Failure(kUsage, root_.string() + " is no mlruns folder: no folder in it holds an experiment's meta.yaml");
  }

  std::vector<track::Experiment> experiments() override { return experiments_; }
  std::vector<std::string> run_ids(const std::string& after, size_t limit) override {
    return ids_of(runs_, after, limit);
  }
  std::vector<std::string> model_ids(const std::string& after, size_t limit) override {
    return ids_of(models_, after, limit);
  }

  std::vector<track::RunCounts> counts(const std::vector<std::string>& ids) override {
    std::vector<track::RunCounts> out;
    for (const std::string& id : ids) {
      const track::Run run = read_run(id, true);
      const auto size = [](const auto& list) { return static_cast<int64_t>(list.size()); };
      out.push_back({id, size(run.metrics), size(run.params), size(run.tags) + run.info.name_tag, size(run.datasets),
                     size(run.model_inputs) + size(run.model_outputs)});
    }
    return out;
  }

  std::vector<track::Run> runs(const std::vector<std::string>& ids,
                               const std::vector<std::string>& with_points) override {
    std::vector<track::Run> out;
    for (const std::string& id : ids)
      out.push_back(read_run(id, std::ranges::find(with_points, id) != with_points.end()));
    return out;
  }

  std::vector<track::Metric> points(const std::string& id, const std::optional<track::Metric>& after,
                                    size_t limit) override {
    if (sliced_id_ != id) sliced_ = metrics_in(runs_.at(id) / "metrics", false), sliced_id_ = id;
    auto begin = sliced_.begin();
    if (after)
      begin = std::ranges::find_if(sliced_, [&](const track::Metric& m) {
        return std::tuple(m.key, m.at_ms, m.step) >= std::tuple(after->key, after->at_ms, after->step);
      });
    return {begin, begin + static_cast<ptrdiff_t>(std::min(limit, static_cast<size_t>(sliced_.end() - begin)))};
  }

  std::vector<track::Model> models(const std::vector<std::string>& ids) override {
    std::vector<track::Model> out;
    for (const std::string& id : ids) {
      const Path& dir = models_.at(id);
      const Meta meta(dir / "meta.yaml");
      track::Model& model = out.emplace_back();
      track::ModelInfo& info = model.info;
      info.model_id = id;
      info.experiment = experiment_of(dir.parent_path().parent_path());
      info.name = meta.text("name");
      info.artifact_uri = meta.text("artifact_location");
      info.created_ms = meta.number("creation_timestamp").value_or(0);
      info.updated_ms = meta.number("last_updated_timestamp").value_or(info.created_ms);
      info.status = track::model_status(meta.number("status").value_or(0)).value_or(track::ModelStatus::kUnspecified);
      info.deleted = meta.text("lifecycle_stage") == "deleted";
      info.model_type = meta.text("model_type");
      info.source_run_id = meta.text("source_run_id");
      model.params = values_in(dir / "params");
      model.tags = values_in(dir / "tags");
      model.metrics = metrics_in(dir / "metrics", true);
    }
    return out;
  }

  std::vector<std::string> registered_names() override {
    std::vector<std::string> out;
    for (const Path& dir : folders_in(root_ / "models"))
      if (is_file(dir / "meta.yaml")) out.push_back(dir.filename());
    return out;
  }

  track::ImportedRegistered registered(const std::string& name) override {
    track::ImportedRegistered out;
    const Path dir = root_ / "models" / name;
    const Meta meta(dir / "meta.yaml");
    out.model.name = meta.text("name");
    out.model.description = meta.opt_text("description");
    out.model.created_ms = meta.number("creation_timestamp").value_or(0);
    out.model.updated_ms = meta.number("last_updated_timestamp").value_or(out.model.created_ms);
    out.model.tags = values_in(dir / "tags");
    for (const track::Tag& alias : values_in(dir / "aliases"))
      out.model.aliases[alias.key] = std::atoll(alias.value.c_str());
    for (const Path& at : folders_in(dir)) {
      if (!at.filename().string().starts_with("version-") || !is_file(at / "meta.yaml")) continue;
      const Meta from(at / "meta.yaml");
      auto& [version, deleted] = out.versions.emplace_back();
      version.name = out.model.name;
      version.version = from.number("version").value_or(0);
      version.created_ms = from.number("creation_timestamp").value_or(0);
      version.updated_ms = from.number("last_updated_timestamp").value_or(version.created_ms);
      version.description = from.opt_text("description");
      version.stage = from.text("current_stage");
      version.source = from.text("source");
      version.run_id = from.text("run_id");
      version.run_link = from.text("run_link");
      version.model_id = from.text("model_id");
      version.storage_uri = from.text("storage_location");
      deleted = version.stage == "Deleted_Internal";
      if (deleted || version.stage.empty()) version.stage = "None";
      for (const track::Tag& tag : values_in(at / "tags")) version.tags[tag.key] = tag.value;
    }
    return out;
  }

  std::vector<std::string> trace_ids(const std::string& after, size_t limit) override {
    return ids_of(traces_, after, limit);
  }
  std::vector<SourceTrace> traces(const std::vector<std::string>& ids) override {
    std::vector<SourceTrace> out;
    for (const std::string& id : ids) out.push_back(read_trace(id));
    return out;
  }

  Path folder() const override { return fs::absolute(root_).parent_path(); }
  Path own_artifacts(const std::string& id) override {
    for (const Places* places : {&runs_, &models_, &traces_})
      if (const auto found = places->find(id); found != places->end()) return found->second / "artifacts";
    return {};
  }
  std::vector<std::pair<std::string, int64_t>> left_out() override { return {}; }

 private:
  using Places = std::map<std::string, Path>;

  static std::vector<std::string> ids_of(const Places& places, const std::string& after, size_t limit) {
    std::vector<std::string> out;
    for (auto at = places.upper_bound(after); at != places.end() && out.size() < limit; ++at) out.push_back(at->first);
    return out;
  }

  void add_experiment(const Path& dir) {
    if (!is_file(dir / "meta.yaml")) return;
    const Meta meta(dir / "meta.yaml");
    track::Experiment& experiment = experiments_.emplace_back();
    experiment.id = meta.number("experiment_id").value_or(-1);
    experiment.name = meta.text("name");
    experiment.artifact_location = meta.text("artifact_location");
    experiment.deleted = meta.text("lifecycle_stage") == "deleted";
    experiment.created_ms = meta.number("creation_time").value_or(0);
    experiment.updated_ms = meta.number("last_update_time").value_or(experiment.created_ms);
    experiment.tags = values_in(dir / "tags");
    ids_[dir] = experiment.id;
    for (const Path& run : folders_in(dir)) {
      const std::string name = run.filename();
      if (name == "models") {
        for (const Path& model : folders_in(run))
          if (is_file(model / "meta.yaml")) models_[model.filename()] = model;
      } else if (name == "traces") {
        for (const Path& trace : folders_in(run))
          if (is_file(trace / "trace_info.yaml")) traces_[trace.filename()] = trace;
      } else if (name != "tags" && name != "datasets" && is_file(run / "meta.yaml")) {
        runs_[name] = run;
      }
    }
  }

  int64_t experiment_of(const Path& dir) const { return ids_.at(dir); }

  track::Run read_run(const std::string& id, bool with_points) {
    const Path& dir = runs_.at(id);
    const Meta meta(dir / "meta.yaml");
    track::Run run;
    track::RunInfo& info = run.info;
    info.run_id = id;
    info.experiment = experiment_of(dir.parent_path());
    info.name = meta.text("run_name");
    info.user_id = meta.text("user_id");
    info.status = track::run_status(meta.number("status").value_or(1)).value_or(track::RunStatus::kRunning);
    info.start_ms = meta.number("start_time").value_or(0);
    info.end_ms = meta.number("end_time");
    info.deleted = meta.text("lifecycle_stage") == "deleted";
    info.artifact_uri = meta.text("artifact_uri");
    run.params = values_in(dir / "params");
    run.tags = values_in(dir / "tags");
    take_name_tag(run);
    if (with_points) run.metrics = metrics_in(dir / "metrics", false);
    read_links(dir, run);
    return run;
  }

  SourceTrace read_trace(const std::string& id) {
    const Path& dir = traces_.at(id);
    const Meta meta(dir / "trace_info.yaml");
    SourceTrace out;
    out.experiment = experiment_of(dir.parent_path().parent_path());
    traces::NewTrace& info = out.trace.info;
    info.trace_id = id;
    // Before 3.0 other words.
    info.start_ms = meta.number("timestamp_ms").value_or(0);
    if (const auto at = base::parse_iso8601(meta.text("request_time"))) info.start_ms = *at / 1000;
    info.duration_ms = meta.number("execution_duration_ms");
    if (!info.duration_ms) info.duration_ms = meta.number("execution_time_ms");
    info.state = meta.text("state").empty() ? meta.text("status") : meta.text("state");
    info.client_request_id = meta.opt_text("client_request_id");
    info.request_preview = meta.opt_text("request_preview");
    info.response_preview = meta.opt_text("response_preview");
    for (track::Tag& tag : values_in(dir / "tags")) {
      if (tag.key == traces::kArtifactLocationTag)
        out.artifact_uri = tag.value;
      else if (tag.key != traces::kSpansLocationTag)
        info.tags.push_back(std::move(tag));
    }
    info.metadata = values_in(dir / "request_metadata");
    for (const std::string& file : files_below(dir / "assessments"))
      if (file.ends_with(".yaml")) info.assessments.push_back(read_assessment(Meta(dir / "assessments" / file)));
    if (const Path file = dir / "artifacts" / "traces.json"; is_file(file))
      out.trace.spans = traces::spans_of_file(need(base::read_file(file, kValueBytes), "the source"));
    return out;
  }

  static traces::Assessment read_assessment(const Meta& meta) {
    traces::Assessment out;
    out.assessment_id = meta.text("assessment_id");
    out.name = meta.text("assessment_name");
    const auto time = [&](std::string_view key) { return base::parse_iso8601(meta.text(key)).value_or(0) / 1000; };
    out.created_ms = time("create_time");
    out.updated_ms = time("last_update_time");
    if (const auto* source = meta.find("source")) {
      if (const auto* type = source->find("source_type")) out.source_type = type->scalar;
      if (const auto* id = source->find("source_id"); id != nullptr && id->is_scalar()) out.source_id = id->scalar;
    }
    const auto value_of = [](const base::yaml::Node& holder) {
      const auto* value = holder.find("value");
      return value != nullptr ? json_of(*value) : "null";
    };
    if (const auto* feedback = meta.find("feedback")) {
      out.kind = traces::AssessmentKind::kFeedback;
      out.value = value_of(*feedback);
      if (const auto* error = feedback->find("error"); error != nullptr && error->is_map()) out.error = json_of(*error);
    } else if (const auto* expectation = meta.find("expectation")) {
      out.kind = traces::AssessmentKind::kExpectation;
      const auto* packed = expectation->find("serialized_value");
      const auto* text = packed != nullptr ? packed->find("value") : nullptr;
      out.value = text != nullptr ? text->scalar : value_of(*expectation);
    } else if (const auto* issue = meta.find("issue")) {
      out.kind = traces::AssessmentKind::kIssue;
      out.value = json_of(*issue);
    }
    out.span_id = meta.opt_text("span_id");
    out.rationale = meta.opt_text("rationale");
    out.overrides = meta.text("overrides");
    out.valid = meta.text("valid") != "false";
    out.metadata = meta.map("metadata");
    return out;
  }

  static void read_links(const Path& dir, track::Run& run) {
    for (const Path& at : folders_in(dir / "inputs")) {
      const Meta input(at / "meta.yaml");
      if (input.text("source_type") == "MODEL") run.model_inputs.push_back(input.text("source_id"));
      const std::string id = input.text("source_id");
      const Path file = dir.parent_path() / "datasets" / id / "meta.yaml";
      if (input.text("source_type") != "DATASET" || !base::is_safe_relative_path(id) || !is_file(file)) continue;
      const Meta from(file);
      run.datasets.push_back({{from.text("name"), from.text("digest"), from.text("source_type"), from.text("source"),
                               from.opt_text("schema"), from.opt_text("profile")},
                              input.map("tags")});
    }
    for (const Path& at : folders_in(dir / "outputs")) {
      const Meta output(at / "meta.yaml");
      run.model_outputs.push_back({output.text("destination_id"), output.number("step").value_or(0)});
    }
  }

  Path root_;
  std::vector<track::Experiment> experiments_;
  std::map<Path, int64_t> ids_;
  Places runs_, models_, traces_;
  std::string sliced_id_;
  std::vector<track::Metric> sliced_;
};

}  // namespace

std::unique_ptr<MlflowSource> open_folder_source(const base::Path& dir) {
  const Path whole = fs::absolute(dir).lexically_normal();
  return std::make_unique<FolderSource>(whole.has_filename() ? whole : whole.parent_path());
}

}  // namespace cli
