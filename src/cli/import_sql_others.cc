#include "cli/import_sql_others.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "base/json.h"

namespace cli {
namespace {

// A store keeps a record's outputs under a key of its own, whatever they are.
std::string unwrapped(std::string outputs) {
  const auto value = base::parse_json(outputs);
  if (!value || !value->is_object() || value->get_object().size() != 1) return outputs;
  const base::json::value* inner = value->get_object().if_contains("mlflow_wrapped");
  return inner != nullptr ? base::to_text(*inner) : outputs;
}

traces::LabelInput label_input(const std::string& type, const std::string& config) {
  using Kind = traces::LabelInput::Kind;
  traces::LabelInput out;
  const auto parsed = base::parse_json(config);
  if (!parsed || !parsed->is_object()) return out;
  const auto& object = parsed->get_object();
  const auto text = [&](std::string_view key) {
    const auto* value = object.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
  };
  const auto number = [&](std::string_view key) -> std::optional<double> {
    const auto* value = object.if_contains(key);
    return value != nullptr && value->is_number() ? std::optional(value->to_number<double>()) : std::nullopt;
  };
  if (type == "pass_fail") {
    out.kind = Kind::kPassFail;
    out.positive = text("positive_label"), out.negative = text("negative_label");
  } else if (type == "categorical") {
    out.kind = Kind::kCategorical;
    if (const auto* options = object.if_contains("options"); options != nullptr && options->is_array()) {
      for (const auto& option : options->get_array()) {
        if (option.is_string()) out.options.emplace_back(option.get_string());
      }
    }
    const auto* multi = object.if_contains("multi_select");
    out.multi_select = multi != nullptr && multi->is_bool() && multi->get_bool();
  } else if (type == "numeric") {
    out.kind = Kind::kNumeric;
    out.min_value = number("min_value"), out.max_value = number("max_value");
  } else if (type == "text") {
    out.kind = Kind::kText;
    if (const auto most = number("max_length")) out.max_length = static_cast<int64_t>(*most);
  }
  return out;
}

}  // namespace

std::vector<SourceDataset> read_datasets(const SourceTables& tables) {
  std::vector<SourceDataset> out;
  if (!tables.has("evaluation_datasets") || !tables.has("evaluation_dataset_records")) return out;
  std::map<std::string, size_t> places;
  tables.each(
      "SELECT d.dataset_id, d.name, d.schema, d.digest, d.created_time, d.last_update_time, d.created_by, "
      "d.last_updated_by, (SELECT COUNT(*) FROM evaluation_dataset_records r WHERE r.dataset_id = d.dataset_id) "
      "FROM evaluation_datasets d WHERE " +
          tables.in_workspace("evaluation_datasets", "d") + " ORDER BY d.dataset_id",
      {}, [&](store::Rows& rows) {
        places[rows.str(0)] = out.size();
        auto& [to, records] = out.emplace_back();
        to.dataset_id = rows.str(0);
        to.name = rows.str(1);
        to.schema = rows.opt_str(2);
        to.digest = rows.opt_str(3).value_or("");
        to.created_ms = rows.opt_i64(4).value_or(0);
        to.updated_ms = rows.opt_i64(5).value_or(0);
        to.created_by = rows.opt_str(6);
        to.updated_by = rows.opt_str(7);
        records = rows.i64(8);
      });
  const auto add = [&](const std::string& sql, auto visit) {
    tables.each(sql, {}, [&](store::Rows& rows) {
      if (const auto place = places.find(rows.str(0)); place != places.end()) visit(out[place->second].dataset, rows);
    });
  };
  if (tables.has("evaluation_dataset_tags"))
    add("SELECT dataset_id, key, value FROM evaluation_dataset_tags ORDER BY dataset_id, key",
        [](traces::EvalDataset& to, store::Rows& rows) {
          to.tags.push_back({rows.str(1), rows.opt_str(2).value_or("")});
        });
  if (tables.has("entity_associations"))
    add("SELECT source_id, destination_id FROM entity_associations WHERE source_type = 'evaluation_dataset' AND "
        "destination_type = 'experiment'",
        [](traces::EvalDataset& to, store::Rows& rows) { to.experiment_ids.push_back(rows.str(1)); });
  return out;
}

std::vector<traces::EvalRecord> read_records(const SourceTables& tables, const std::string& dataset,
                                             const std::string& after, size_t limit) {
  std::vector<traces::EvalRecord> out;
  tables.each(
      "SELECT r.dataset_record_id, r.inputs, " + tables.column("evaluation_dataset_records", "r", "outputs", "NULL") +
          ", r.expectations, r.tags, r.source, r.created_time, r.last_update_time, r.created_by, r.last_updated_by "
          "FROM evaluation_dataset_records r WHERE r.dataset_id = ? AND r.dataset_record_id > ? "
          "ORDER BY r.dataset_record_id LIMIT ?",
      {dataset, after, static_cast<int64_t>(limit)}, [&](store::Rows& rows) {
        // SQLAlchemy keeps None in a JSON column as the text null.
        const auto json = [&](int at) {
          auto text = rows.opt_str(at);
          return text && *text != "null" ? std::move(*text) : std::string();
        };
        traces::EvalRecord& to = out.emplace_back();
        to.record_id = rows.str(0);
        to.inputs = json(1);
        to.outputs = unwrapped(json(2));
        to.has_outputs = !to.outputs.empty();
        to.expectations = json(3);
        to.tags = json(4);
        to.source = json(5);
        to.created_ms = rows.opt_i64(6).value_or(0);
        to.updated_ms = rows.opt_i64(7).value_or(0);
        to.created_by = rows.opt_str(8);
        to.updated_by = rows.opt_str(9);
      });
  return out;
}

std::vector<std::vector<traces::Scorer>> read_scorers(const SourceTables& tables) {
  std::vector<std::vector<traces::Scorer>> out;
  if (!tables.has("scorers") || !tables.has("scorer_versions")) return out;
  tables.each(
      "SELECT s.experiment_id, s.scorer_name, s.scorer_id, v.serialized_scorer, v.scorer_version, v.creation_time "
      "FROM scorers s JOIN scorer_versions v ON v.scorer_id = s.scorer_id ORDER BY s.scorer_id, v.scorer_version",
      {}, [&](store::Rows& rows) {
        traces::Scorer to{rows.i64(0), rows.str(1), rows.str(2), rows.str(3), rows.i64(4), rows.opt_i64(5).value_or(0)};
        if (out.empty() || out.back().back().scorer_id != to.scorer_id) out.emplace_back();
        out.back().push_back(std::move(to));
      });
  return out;
}

std::vector<traces::ImportedLabelSchema> read_label_schemas(const SourceTables& tables) {
  std::vector<traces::ImportedLabelSchema> out;
  if (!tables.has("label_schemas")) return out;
  tables.each(
      "SELECT l.schema_id, l.experiment_id, l.name, l.type, l.instruction, l.enable_comment, l.input_type, "
      "l.input_config, l.created_time, l.last_update_time, " +
          tables.column("label_schemas", "l", "is_default", "0") + " FROM label_schemas l ORDER BY l.schema_id",
      {}, [&](store::Rows& rows) {
        traces::ImportedLabelSchema& to = out.emplace_back();
        to.schema.schema_id = rows.str(0);
        to.schema.experiment = rows.i64(1);
        to.schema.name = rows.str(2);
        const std::string type = rows.str(3);
        to.schema.type = type == "feedback" || type == "FEEDBACK" ? 1 : 2;
        to.schema.instruction = rows.opt_str(4);
        to.schema.enable_comment = is_true(rows, 5);
        to.input = label_input(rows.str(6), rows.str(7));
        to.schema.created_ms = rows.i64(8);
        to.schema.updated_ms = rows.i64(9);
        to.schema.is_default = is_true(rows, 10);
      });
  return out;
}

std::vector<traces::ImportedReviewQueue> read_review_queues(const SourceTables& tables) {
  std::vector<traces::ImportedReviewQueue> out;
  if (!tables.has("review_queues")) return out;
  std::map<std::string, size_t> places;
  const auto lower = [](std::string text) {
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text;
  };
  tables.each(
      "SELECT queue_id, experiment_id, name, queue_type, created_by, creation_time_ms, last_update_time_ms "
      "FROM review_queues ORDER BY queue_id",
      {}, [&](store::Rows& rows) {
        places[rows.str(0)] = out.size();
        traces::ReviewQueue& to = out.emplace_back().queue;
        to.queue_id = rows.str(0);
        to.experiment = rows.i64(1);
        to.name = rows.str(2);
        to.type = lower(rows.str(3)) == "user" ? traces::QueueType::kUser : traces::QueueType::kCustom;
        to.created_by = rows.opt_str(4);
        to.created_ms = rows.i64(5);
        to.updated_ms = rows.i64(6);
      });
  const auto add = [&](const std::string& sql, auto visit) {
    tables.each(sql, {}, [&](store::Rows& rows) {
      if (const auto place = places.find(rows.str(0)); place != places.end()) visit(out[place->second], rows);
    });
  };
  add("SELECT queue_id, user_id FROM review_queue_users ORDER BY queue_id, user_id",
      [](traces::ImportedReviewQueue& to, store::Rows& rows) { to.queue.users.push_back(rows.str(1)); });
  add("SELECT queue_id, schema_id FROM review_queue_label_schemas ORDER BY queue_id, schema_id",
      [](traces::ImportedReviewQueue& to, store::Rows& rows) { to.queue.schema_ids.push_back(rows.str(1)); });
  add("SELECT queue_id, item_id, status, completed_by, completed_time_ms, creation_time_ms, last_update_time_ms "
      "FROM review_queue_items ORDER BY queue_id, creation_time_ms",
      [&](traces::ImportedReviewQueue& to, store::Rows& rows) {
        traces::ReviewItem& item = to.items.emplace_back();
        item.queue_id = to.queue.queue_id;
        item.item_id = rows.str(1);
        const std::string status = lower(rows.str(2));
        item.status = status == "complete"   ? traces::ReviewStatus::kComplete
                      : status == "declined" ? traces::ReviewStatus::kDeclined
                                             : traces::ReviewStatus::kPending;
        item.completed_by = rows.opt_str(3);
        item.completed_ms = rows.opt_i64(4);
        item.created_ms = rows.i64(5);
        item.updated_ms = rows.i64(6);
      });
  return out;
}

std::vector<traces::Issue> read_issues(const SourceTables& tables) {
  std::vector<traces::Issue> out;
  if (!tables.has("issues")) return out;
  const auto list = [](const std::optional<std::string>& text) {
    std::vector<std::string> items;
    const auto parsed = text ? base::parse_json(*text) : base::Result<base::json::value>(base::json::value());
    if (!parsed || !parsed->is_array()) return items;
    for (const auto& item : parsed->get_array()) {
      if (item.is_string()) items.emplace_back(item.get_string());
    }
    return items;
  };
  tables.each(
      "SELECT issue_id, experiment_id, name, description, status, severity, root_causes, categories, source_run_id, "
      "created_timestamp, last_updated_timestamp, created_by FROM issues ORDER BY issue_id",
      {}, [&](store::Rows& rows) {
        traces::Issue& to = out.emplace_back();
        to.issue_id = rows.str(0);
        to.experiment = rows.i64(1);
        to.name = rows.str(2);
        to.description = rows.str(3);
        to.status = rows.str(4);
        to.severity = rows.opt_str(5);
        to.root_causes = list(rows.opt_str(6));
        to.categories = list(rows.opt_str(7));
        to.source_run_id = rows.opt_str(8);
        to.created_ms = rows.i64(9);
        to.updated_ms = rows.i64(10);
        to.created_by = rows.opt_str(11);
      });
  return out;
}

std::vector<hooks::Hook> read_webhooks(const SourceTables& tables) {
  std::vector<hooks::Hook> out;
  if (!tables.has("webhooks") || !tables.has("webhook_events")) return out;
  std::map<std::string, size_t> places;
  tables.each(
      "SELECT w.webhook_id, w.name, w.description, w.url, w.creation_timestamp, w.last_updated_timestamp "
      "FROM webhooks w WHERE w.deleted_timestamp IS NULL AND " +
          tables.in_workspace("webhooks", "w") + " ORDER BY w.webhook_id",
      {}, [&](store::Rows& rows) {
        places[rows.str(0)] = out.size();
        hooks::Hook& to = out.emplace_back();
        to.id = rows.str(0);
        to.name = rows.str(1);
        to.description = rows.opt_str(2);
        to.url = rows.str(3);
        to.created_ms = rows.opt_i64(4).value_or(0);
        to.updated_ms = rows.opt_i64(5).value_or(0);
      });
  tables.each("SELECT webhook_id, entity, action FROM webhook_events ORDER BY webhook_id, entity, action", {},
              [&](store::Rows& rows) {
                if (const auto place = places.find(rows.str(0)); place != places.end())
                  out[place->second].events.push_back(rows.str(1) + "." + rows.str(2));
              });
  return out;
}

}  // namespace cli
