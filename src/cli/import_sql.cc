// MLflow's database, of whatever revision: the columns that exist are asked first, and what a revision does not have
// is empty. Read through a read-only store, a page at a time by key.
#include <algorithm>
#include <limits>
#include <unordered_map>

#include "base/clock.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/import_source.h"
#include "cli/import_sql_others.h"
#include "cli/source_tables.h"
#include "store/store.h"
#include "traces/analytics.h"

namespace cli {
namespace {

// {"key": "text", …}; a value that is no text as its JSON.
track::Tags text_map(const std::string& text) {
  track::Tags out;
  const auto parsed = base::parse_json(text);
  if (!parsed || !parsed->is_object()) return out;
  for (const auto& [key, value] : parsed->get_object())
    out.push_back({std::string(key), value.is_string() ? std::string(value.get_string()) : base::to_text(value)});
  return out;
}

double value_of(store::Rows& rows, int value, int is_nan) {
  return rows.is_null(value) || rows.boolean(is_nan) ? std::numeric_limits<double>::quiet_NaN() : rows.f64(value);
}

class SqlSource final : public MlflowSource, private SourceTables {
 public:
  SqlSource(std::unique_ptr<store::Store> store, std::string workspace, base::Path folder)
      : SourceTables(std::move(store), std::move(workspace)), folder_(std::move(folder)) {
    for (const char* table : {"experiments", "runs", "metrics", "params", "tags"}) {
      if (!has(table))
        throw Failure(kRefused,
                      std::string("the source is no tracking store of MLflow: it has no table '") + table + "'");
    }
  }

  std::vector<track::Experiment> experiments() override {
    std::vector<track::Experiment> out;
    std::map<int64_t, size_t> places;
    each("SELECT e.experiment_id, e.name, e.artifact_location, e.lifecycle_stage, " +
             column("experiments", "e", "creation_time", "0") + ", " +
             column("experiments", "e", "last_update_time", "0") + " FROM experiments e WHERE " +
             in_workspace("experiments", "e") + " ORDER BY e.experiment_id",
         {}, [&](store::Rows& rows) {
           places[rows.i64(0)] = out.size();
           track::Experiment& experiment = out.emplace_back();
           experiment.id = rows.i64(0);
           experiment.name = rows.str(1);
           experiment.artifact_location = rows.str(2);
           experiment.deleted = rows.text(3) == "deleted";
           experiment.created_ms = rows.i64(4);
           experiment.updated_ms = rows.i64(5);
         });
    if (has("experiment_tags"))
      each("SELECT experiment_id, key, value FROM experiment_tags", {}, [&](store::Rows& rows) {
        const auto place = places.find(rows.i64(0));
        if (place != places.end()) out[place->second].tags.push_back({rows.str(1), rows.str(2)});
      });
    return out;
  }

  std::vector<std::string> run_ids(const std::string& after, size_t limit) override {
    std::vector<std::string> out;
    const std::string where = has("experiments", "workspace")
                                  ? " AND experiment_id IN (SELECT e.experiment_id FROM experiments e WHERE " +
                                        in_workspace("experiments", "e") + ")"
                                  : "";
    each("SELECT run_uuid FROM runs WHERE run_uuid > ?" + where + " ORDER BY run_uuid LIMIT ?",
         {after, static_cast<int64_t>(limit)}, [&](store::Rows& rows) { out.push_back(rows.str(0)); });
    return out;
  }

  std::vector<track::RunCounts> counts(const std::vector<std::string>& ids) override {
    std::vector<track::RunCounts> out(ids.size());
    if (ids.empty()) return out;
    std::unordered_map<std::string_view, track::RunCounts*> places;
    for (size_t i = 0; i < ids.size(); ++i) {
      out[i].run_id = ids[i];
      places[ids[i]] = &out[i];
    }
    const auto count = [&](const std::string& select, const std::string& group, auto member) {
      each(select + marks(ids.size()) + " GROUP BY " + group, params_of(ids), [&](store::Rows& rows) {
        const auto place = places.find(rows.text(0));
        if (place != places.end()) place->second->*member += rows.i64(1);
      });
    };
    using Counts = track::RunCounts;
    count("SELECT run_uuid, COUNT(*) FROM metrics WHERE run_uuid IN ", "run_uuid", &Counts::points);
    count("SELECT run_uuid, COUNT(*) FROM params WHERE run_uuid IN ", "run_uuid", &Counts::params);
    count("SELECT run_uuid, COUNT(*) FROM tags WHERE run_uuid IN ", "run_uuid", &Counts::tags);
    if (!has("inputs")) return out;
    count(
        "SELECT destination_id, COUNT(*) FROM inputs WHERE source_type = 'DATASET' AND destination_type = 'RUN' AND "
        "destination_id IN ",
        "destination_id", &Counts::datasets);
    count("SELECT source_id, COUNT(*) FROM inputs WHERE source_type IN ('RUN_INPUT', 'RUN_OUTPUT') AND source_id IN ",
          "source_id", &Counts::models);
    return out;
  }

  std::vector<track::Run> runs(const std::vector<std::string>& ids,
                               const std::vector<std::string>& with_points) override {
    std::vector<track::Run> out;
    if (ids.empty()) return out;
    out.reserve(ids.size());
    std::unordered_map<std::string, track::Run*> places;
    each(
        "SELECT run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, experiment_id "
        "FROM runs WHERE run_uuid IN " +
            marks(ids.size()),
        params_of(ids), [&](store::Rows& rows) {
          track::RunInfo& info = out.emplace_back().info;
          info.run_id = rows.str(0);
          info.name = rows.str(1);
          info.user_id = rows.str(2);
          info.status = track::run_status(rows.text(3)).value_or(track::RunStatus::kRunning);
          info.start_ms = rows.opt_i64(4).value_or(0);
          info.end_ms = rows.opt_i64(5);
          info.deleted = rows.text(6) == "deleted";
          info.artifact_uri = rows.str(7);
          info.experiment = rows.i64(8);
          places[info.run_id] = &out.back();
        });
    const auto read = [&](const char* table, track::Tags track::Run::* tags) {
      each(std::string("SELECT run_uuid, key, value FROM ") + table + " WHERE run_uuid IN " + marks(ids.size()) +
               " ORDER BY run_uuid, key",
           params_of(ids), [&](store::Rows& rows) {
             const auto place = places.find(rows.str(0));
             if (place != places.end()) (place->second->*tags).push_back({rows.str(1), rows.str(2)});
           });
    };
    read("params", &track::Run::params);
    read("tags", &track::Run::tags);
    read_points(with_points, places);
    read_links(ids, places);
    for (track::Run& run : out) take_name_tag(run);
    return out;
  }

  std::vector<track::Metric> points(const std::string& run_id, const std::optional<track::Metric>& after,
                                    size_t limit) override {
    std::vector<track::Metric> out;
    const std::string select = "SELECT key, timestamp, step, value, is_nan FROM metrics WHERE run_uuid = ?";
    const std::string order = " ORDER BY key, timestamp, step, value, is_nan LIMIT ?";
    const auto add = [&](store::Rows& rows) {
      track::Metric& metric = out.emplace_back();
      metric.key = rows.str(0);
      metric.at_ms = rows.i64(1);
      metric.step = rows.i64(2);
      metric.value = value_of(rows, 3, 4);
    };
    const auto count = static_cast<int64_t>(limit);
    if (!after) {
      each(select + order, {run_id, count}, add);
    } else {  // from the last step on, with it: what is read twice is dropped when it is stored
      each(select + " AND (key > ? OR (key = ? AND (timestamp > ? OR (timestamp = ? AND step >= ?))))" + order,
           {run_id, after->key, after->key, after->at_ms, after->at_ms, after->step, count}, add);
    }
    return out;
  }

  std::vector<std::string> model_ids(const std::string& after, size_t limit) override {
    std::vector<std::string> out;
    if (!has("logged_models")) return out;
    each(
        "SELECT m.model_id FROM logged_models m JOIN experiments e ON e.experiment_id = m.experiment_id "
        "WHERE m.model_id > ? AND " +
            in_workspace("experiments", "e") + " ORDER BY m.model_id LIMIT ?",
        {after, static_cast<int64_t>(limit)}, [&](store::Rows& rows) { out.push_back(rows.str(0)); });
    return out;
  }

  std::vector<track::Model> models(const std::vector<std::string>& ids) override {
    std::vector<track::Model> out;
    if (ids.empty()) return out;
    out.reserve(ids.size());
    std::unordered_map<std::string, track::Model*> places;
    const std::string in = marks(ids.size());
    each(
        "SELECT model_id, experiment_id, name, artifact_location, creation_timestamp_ms, last_updated_timestamp_ms, "
        "status, lifecycle_stage, model_type, source_run_id FROM logged_models WHERE model_id IN " +
            in,
        params_of(ids), [&](store::Rows& rows) {
          track::ModelInfo& info = out.emplace_back().info;
          info.model_id = rows.str(0);
          info.experiment = rows.i64(1);
          info.name = rows.str(2);
          info.artifact_uri = rows.str(3);
          info.created_ms = rows.i64(4);
          info.updated_ms = rows.i64(5);
          info.status = track::model_status(rows.i64(6)).value_or(track::ModelStatus::kUnspecified);
          info.deleted = rows.text(7) == "deleted";
          info.model_type = rows.str(8);
          info.source_run_id = rows.str(9);
          places[info.model_id] = &out.back();
        });
    const auto read = [&](const std::string& select, track::Tags track::Model::* tags) {
      each(select + in, params_of(ids), [&](store::Rows& rows) {
        if (const auto place = places.find(rows.str(0)); place != places.end())
          (place->second->*tags).push_back({rows.str(1), rows.str(2)});
      });
    };
    read("SELECT model_id, param_key, param_value FROM logged_model_params WHERE model_id IN ", &track::Model::params);
    read("SELECT model_id, tag_key, tag_value FROM logged_model_tags WHERE model_id IN ", &track::Model::tags);
    each(
        "SELECT model_id, metric_name, metric_timestamp_ms, metric_step, metric_value, run_id, dataset_name, "
        "dataset_digest, 0 FROM logged_model_metrics WHERE model_id IN " +
            in,
        params_of(ids), [&](store::Rows& rows) {
          const auto place = places.find(rows.str(0));
          if (place == places.end()) return;
          track::Metric& metric = place->second->metrics.emplace_back();
          metric.key = rows.str(1);
          metric.at_ms = rows.i64(2);
          metric.step = rows.i64(3);
          metric.value = value_of(rows, 4, 8);
          metric.run_id = rows.str(5);
          metric.dataset_name = rows.str(6);
          metric.dataset_digest = rows.str(7);
        });
    return out;
  }

  std::vector<std::string> registered_names() override {
    std::vector<std::string> out;
    if (!has("registered_models")) return out;
    each("SELECT g.name FROM registered_models g WHERE " + in_workspace("registered_models", "g") + " ORDER BY g.name",
         {}, [&](store::Rows& rows) { out.push_back(rows.str(0)); });
    return out;
  }

  track::ImportedRegistered registered(const std::string& name) override;

  base::Path folder() const override { return folder_; }

  std::vector<std::string> trace_ids(const std::string& after, size_t limit) override {
    std::vector<std::string> out;
    if (!has("trace_info")) return out;
    const std::string where = has("experiments", "workspace")
                                  ? " AND experiment_id IN (SELECT e.experiment_id FROM experiments e WHERE " +
                                        in_workspace("experiments", "e") + ")"
                                  : "";
    each("SELECT request_id FROM trace_info WHERE request_id > ?" + where + " ORDER BY request_id LIMIT ?",
         {after, static_cast<int64_t>(limit)}, [&](store::Rows& rows) { out.push_back(rows.str(0)); });
    return out;
  }
  std::vector<SourceTrace> traces(const std::vector<std::string>& ids) override;

  std::vector<SourceDataset> datasets() override { return read_datasets(*this); }
  std::vector<traces::EvalRecord> records(const std::string& dataset, const std::string& after, size_t limit) override {
    return read_records(*this, dataset, after, limit);
  }
  std::vector<std::vector<traces::Scorer>> scorers() override { return read_scorers(*this); }
  std::vector<traces::ImportedLabelSchema> label_schemas() override { return read_label_schemas(*this); }
  std::vector<traces::ImportedReviewQueue> review_queues() override { return read_review_queues(*this); }
  std::vector<traces::Issue> issues() override { return read_issues(*this); }
  std::vector<hooks::Hook> webhooks() override { return read_webhooks(*this); }

  std::vector<std::pair<std::string, int64_t>> left_out() override {
    std::vector<std::pair<std::string, int64_t>> out;
    const auto count = [&](const std::string& what, const std::string& sql, std::vector<store::Param> params) {
      each(sql, std::move(params), [&](store::Rows& rows) {
        if (rows.i64(0) > 0) out.emplace_back(what, rows.i64(0));
      });
    };
    if (has("online_scoring_configs"))
      count("online scoring configurations (nothing runs them here)", "SELECT COUNT(*) FROM online_scoring_configs",
            {});
    if (has("experiments", "workspace"))
      count("experiments of other workspaces", "SELECT COUNT(*) FROM experiments WHERE workspace <> ?", {workspace()});
    if (has("registered_models", "workspace"))
      count("registered models of other workspaces", "SELECT COUNT(*) FROM registered_models WHERE workspace <> ?",
            {workspace()});
    return out;
  }

 private:
  using Places = std::unordered_map<std::string, track::Run*>;
  void read_points(const std::vector<std::string>& ids, const Places& places) {
    if (ids.empty()) return;
    each("SELECT run_uuid, key, timestamp, step, value, is_nan FROM metrics WHERE run_uuid IN " + marks(ids.size()),
         params_of(ids), [&](store::Rows& rows) {
           const auto place = places.find(rows.str(0));
           if (place == places.end()) return;
           track::Metric& metric = place->second->metrics.emplace_back();
           metric.key = rows.str(1);
           metric.at_ms = rows.i64(2);
           metric.step = rows.i64(3);
           metric.value = value_of(rows, 4, 5);
         });
  }
  void read_links(const std::vector<std::string>& ids, const Places& places);
  using TracePlaces = std::unordered_map<std::string, SourceTrace*>;
  void read_trace_columns(const std::string& in, const std::vector<std::string>& ids, const TracePlaces& places);

  base::Path folder_;
};

// Since 3.17 the name is no tag, and session, tokens and costs are no metadata, but columns; clients read them as
// before.
void SqlSource::read_trace_columns(const std::string& in, const std::vector<std::string>& ids,
                                   const TracePlaces& places) {
  if (!has("trace_info", "trace_name")) return;
  std::string columns = "trace_name, session_id";
  for (const std::string_view key : traces::kTokenKeys) columns.append(", ").append(key);
  for (const std::string_view key : traces::kCostKeys) columns.append(", ").append(key);
  each("SELECT request_id, " + columns + " FROM trace_info WHERE request_id IN " + in, params_of(ids),
       [&](store::Rows& rows) {
         const auto place = places.find(rows.str(0));
         if (place == places.end()) return;
         traces::NewTrace& info = place->second->trace.info;
         if (auto name = rows.opt_str(1)) info.tags.push_back({std::string(traces::kTraceNameTag), std::move(*name)});
         if (auto text = rows.opt_str(2)) info.metadata.push_back({std::string(traces::kSessionKey), std::move(*text)});
         traces::Analytics known;
         for (size_t i = 0; i < known.tokens.size(); ++i) known.tokens[i] = rows.opt_i64(static_cast<int>(3 + i));
         for (size_t i = 0; i < known.costs.size(); ++i) known.costs[i] = rows.opt_f64(static_cast<int>(9 + i));
         if (known.has_tokens())
           info.metadata.push_back({std::string(traces::kTokenUsageKey), traces::usage_text(known)});
         if (known.has_costs()) info.metadata.push_back({std::string(traces::kCostKey), traces::cost_text(known)});
       });
}

std::vector<SourceTrace> SqlSource::traces(const std::vector<std::string>& ids) {
  std::vector<SourceTrace> out;
  if (ids.empty()) return out;
  out.reserve(ids.size());
  const std::string in = marks(ids.size());
  TracePlaces places;
  each("SELECT t.request_id, t.experiment_id, t.timestamp_ms, t.execution_time_ms, t.status, " +
           column("trace_info", "t", "client_request_id", "NULL") + ", " +
           column("trace_info", "t", "request_preview", "NULL") + ", " +
           column("trace_info", "t", "response_preview", "NULL") + " FROM trace_info t WHERE t.request_id IN " + in +
           " ORDER BY t.request_id",
       params_of(ids), [&](store::Rows& rows) {
         SourceTrace& each = out.emplace_back();
         places[rows.str(0)] = &each;
         each.experiment = rows.i64(1);
         traces::NewTrace& info = each.trace.info;
         info.trace_id = rows.str(0);
         info.start_ms = rows.i64(2);
         info.duration_ms = rows.opt_i64(3);
         info.state = rows.str(4);
         info.client_request_id = rows.opt_str(5);
         info.request_preview = rows.opt_str(6);
         info.response_preview = rows.opt_str(7);
       });
  const auto entries = [&](const std::string& table, auto add) {
    if (!has(table)) return;
    each("SELECT request_id, key, value FROM " + table + " WHERE request_id IN " + in + " ORDER BY request_id, key",
         params_of(ids), [&](store::Rows& rows) {
           if (const auto place = places.find(rows.str(0)); place != places.end())
             add(*place->second, track::Tag{rows.str(1), rows.opt_str(2).value_or("")});
         });
  };
  entries("trace_tags", [](SourceTrace& to, track::Tag tag) {
    if (tag.key == traces::kArtifactLocationTag)
      to.artifact_uri = tag.value;
    else if (tag.key != traces::kSpansLocationTag)
      to.trace.info.tags.push_back(std::move(tag));
  });
  entries("trace_request_metadata",
          [](SourceTrace& to, track::Tag tag) { to.trace.info.metadata.push_back(std::move(tag)); });
  read_trace_columns(in, ids, places);
  if (has("spans"))
    each("SELECT trace_id, content FROM spans WHERE trace_id IN " + in + " ORDER BY trace_id, start_time_unix_nano",
         params_of(ids), [&](store::Rows& rows) {
           if (const auto place = places.find(rows.str(0)); place != places.end() && !rows.is_null(1))
             place->second->trace.spans.push_back(rows.str(1));
         });
  if (has("entity_associations"))
    each(
        "SELECT source_id, destination_type, destination_id FROM entity_associations WHERE source_type = 'trace' AND "
        "destination_type IN ('run', 'prompt_version') AND source_id IN " +
            in,
        params_of(ids), [&](store::Rows& rows) {
          if (const auto place = places.find(rows.str(0)); place != places.end())
            (rows.text(1) == "run" ? place->second->trace.runs : place->second->trace.prompts).push_back(rows.str(2));
        });
  if (!has("assessments")) return out;
  each(
      "SELECT trace_id, assessment_id, name, assessment_type, value, error, created_timestamp, last_updated_timestamp, "
      "source_type, source_id, span_id, rationale, overrides, valid, assessment_metadata FROM assessments "
      "WHERE trace_id IN " +
          in + " ORDER BY created_timestamp, assessment_id",
      params_of(ids), [&](store::Rows& rows) {
        const auto place = places.find(rows.str(0));
        if (place == places.end()) return;
        traces::Assessment& to = place->second->trace.info.assessments.emplace_back();
        to.assessment_id = rows.str(1);
        to.name = rows.str(2);
        const std::string kind = rows.str(3);
        to.kind = kind == "expectation" ? traces::AssessmentKind::kExpectation
                  : kind == "issue"     ? traces::AssessmentKind::kIssue
                                        : traces::AssessmentKind::kFeedback;
        to.value = rows.opt_str(4).value_or("null");
        to.error = rows.opt_str(5);
        to.created_ms = rows.i64(6);
        to.updated_ms = rows.i64(7);
        to.source_type = rows.str(8);
        to.source_id = rows.opt_str(9);
        to.span_id = rows.opt_str(10);
        to.rationale = rows.opt_str(11);
        to.overrides = rows.opt_str(12).value_or("");
        to.valid = rows.boolean(13);
        if (const auto metadata = rows.opt_str(14)) to.metadata = text_map(*metadata);
      });
  return out;
}

void SqlSource::read_links(const std::vector<std::string>& ids, const Places& places) {
  if (!has("inputs")) return;
  const std::string in = marks(ids.size());
  std::map<std::string, std::pair<track::Run*, size_t>> inputs;  // by input_uuid: which run's which dataset
  each(
      "SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type, d.dataset_source, "
      "d.dataset_schema, d.dataset_profile FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id "
      "WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN' AND i.destination_id IN " +
          in,
      params_of(ids), [&](store::Rows& rows) {
        const auto place = places.find(rows.str(0));
        if (place == places.end()) return;
        inputs[rows.str(1)] = {place->second, place->second->datasets.size()};
        track::Dataset& dataset = place->second->datasets.emplace_back().dataset;
        dataset.name = rows.str(2);
        dataset.digest = rows.str(3);
        dataset.source_type = rows.str(4);
        dataset.source = rows.str(5);
        dataset.schema = rows.opt_str(6);
        dataset.profile = rows.opt_str(7);
      });
  if (!inputs.empty())
    each(
        "SELECT t.input_uuid, t.name, t.value FROM input_tags t JOIN inputs i ON i.input_uuid = t.input_uuid "
        "WHERE i.source_type = 'DATASET' AND i.destination_id IN " +
            in,
        params_of(ids), [&](store::Rows& rows) {
          const auto input = inputs.find(rows.str(0));
          if (input == inputs.end()) return;
          input->second.first->datasets[input->second.second].tags.push_back({rows.str(1), rows.str(2)});
        });
  each("SELECT i.source_id, i.source_type, i.destination_id, " + column("inputs", "i", "step", "0") +
           " FROM inputs i WHERE i.source_type IN ('RUN_INPUT', 'RUN_OUTPUT') AND i.source_id IN " + in,
       params_of(ids), [&](store::Rows& rows) {
         const auto place = places.find(rows.str(0));
         if (place == places.end()) return;
         if (rows.text(1) == "RUN_INPUT") {
           place->second->model_inputs.push_back(rows.str(2));
         } else {
           place->second->model_outputs.push_back({rows.str(2), rows.i64(3)});
         }
       });
}

track::ImportedRegistered SqlSource::registered(const std::string& name) {
  track::ImportedRegistered out;
  track::RegisteredModel& model = out.model;
  const std::string of = "x.name = ? AND " + in_workspace("registered_models", "x");
  each("SELECT x.description, x.creation_time, x.last_updated_time FROM registered_models x WHERE " + of, {name},
       [&](store::Rows& rows) {
         model.name = name;
         model.description = rows.opt_str(0);
         model.created_ms = rows.opt_i64(1).value_or(0);
         model.updated_ms = rows.opt_i64(2).value_or(0);
       });
  if (has("registered_model_tags"))
    each("SELECT x.key, x.value FROM registered_model_tags x WHERE " + of + " ORDER BY x.key", {name},
         [&](store::Rows& rows) { model.tags.push_back({rows.str(0), rows.str(1)}); });
  if (has("registered_model_aliases"))
    each("SELECT x.alias, x.version FROM registered_model_aliases x WHERE " + of, {name},
         [&](store::Rows& rows) { model.aliases[rows.str(0)] = rows.i64(1); });
  each("SELECT x.version, x.creation_time, x.last_updated_time, x.description, x.current_stage, x.source, x.run_id, " +
           column("model_versions", "x", "run_link", "''") + ", " +
           column("model_versions", "x", "storage_location", "''") + " FROM model_versions x WHERE " + of +
           " ORDER BY x.version",
       {name}, [&](store::Rows& rows) {
         auto& [version, deleted] = out.versions.emplace_back();
         version.name = name;
         version.version = rows.i64(0);
         version.created_ms = rows.opt_i64(1).value_or(0);
         version.updated_ms = rows.opt_i64(2).value_or(0);
         version.description = rows.opt_str(3);
         version.stage = rows.str(4);
         version.source = rows.str(5);
         version.run_id = rows.str(6);
         version.run_link = rows.str(7);
         version.storage_uri = rows.str(8);
         deleted = version.stage == "Deleted_Internal";
         if (deleted || version.stage.empty()) version.stage = "None";
       });
  if (has("model_version_tags"))
    each("SELECT x.version, x.key, x.value FROM model_version_tags x WHERE " + of, {name}, [&](store::Rows& rows) {
      for (auto& each : out.versions)
        if (each.version.version == rows.i64(0)) each.version.tags[rows.str(1)] = rows.str(2);
    });
  return out;
}

}  // namespace

void take_name_tag(track::Run& run) {
  const auto tag =
      std::ranges::find(run.tags, track::kRunNameTag, [](const track::Tag& t) -> std::string_view { return t.key; });
  run.info.name_tag = tag != run.tags.end();
  if (!run.info.name_tag) return;
  if (run.info.name.empty()) run.info.name = tag->value;
  run.tags.erase(tag);
}

std::unique_ptr<store::Store> open_source_store(const std::string& where, base::Path& folder) {
  std::string url = where;
  if (const size_t plus = url.find('+'); url.starts_with("postgres") && plus < url.find("://"))
    url.erase(plus, url.find("://") - plus);  // postgresql+psycopg2://, as SQLAlchemy names a driver
  if (!url.starts_with("postgresql://") && !url.starts_with("postgres://")) {
    constexpr std::string_view kSqlite = "sqlite:///";
    const base::Path file = url.starts_with(kSqlite) ? url.substr(kSqlite.size()) : url;
    if (!std::filesystem::is_regular_file(file)) throw Failure(kUsage, "there is no file " + file.string());
    folder = std::filesystem::absolute(file).parent_path();
    url = "sqlite:" + file.string();
  }
  return need(store::Store::open({.url = url, .readers = 1, .holder = "lathe import", .read_only = true}, {}),
              "the source");
}

std::unique_ptr<MlflowSource> open_sql_source(const std::string& where, const std::string& workspace) {
  base::Path folder;
  auto store = open_source_store(where, folder);
  return std::make_unique<SqlSource>(std::move(store), workspace, std::move(folder));
}

}  // namespace cli
