#include "cli/source_tables.h"

namespace cli {

SourceTables::SourceTables(std::unique_ptr<store::Store> store, std::string workspace)
    : store_(std::move(store)), workspace_(std::move(workspace)) {
  for (const char* table : {"experiments",
                            "experiment_tags",
                            "runs",
                            "metrics",
                            "params",
                            "tags",
                            "datasets",
                            "inputs",
                            "input_tags",
                            "logged_models",
                            "logged_model_metrics",
                            "logged_model_params",
                            "logged_model_tags",
                            "registered_models",
                            "registered_model_tags",
                            "registered_model_aliases",
                            "model_versions",
                            "model_version_tags",
                            "trace_info",
                            "trace_tags",
                            "trace_request_metadata",
                            "spans",
                            "assessments",
                            "entity_associations",
                            "evaluation_datasets",
                            "evaluation_dataset_tags",
                            "evaluation_dataset_records",
                            "scorers",
                            "scorer_versions",
                            "label_schemas",
                            "review_queues",
                            "review_queue_users",
                            "review_queue_label_schemas",
                            "review_queue_items",
                            "issues",
                            "webhooks",
                            "webhook_events",
                            "online_scoring_configs"})
    load_columns(table);
}

void SourceTables::load_columns(const std::string& table) {
  std::set<std::string>& columns = columns_[table];
  if (store_->backend() == store::Backend::kSqlite) {
    each("PRAGMA table_info(" + table + ")", {}, [&](store::Rows& rows) { columns.insert(rows.str(1)); });
  } else {
    each(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = ANY (current_schemas(false)) AND "
        "table_name = ?",
        {table}, [&](store::Rows& rows) { columns.insert(rows.str(0)); });
  }
}

bool SourceTables::has(std::string_view table) const {
  const auto found = columns_.find(table);
  return found != columns_.end() && !found->second.empty();
}

bool SourceTables::has(std::string_view table, const std::string& column) const {
  return has(table) && columns_.find(table)->second.contains(column);
}

std::string SourceTables::column(std::string_view table, const std::string& as, const std::string& name,
                                 const std::string& otherwise) const {
  return has(table, name) ? "COALESCE(" + as + "." + name + ", " + otherwise + ")" : otherwise;
}

std::string SourceTables::in_workspace(std::string_view table, const std::string& as) const {
  if (!has(table, "workspace")) return "1 = 1";
  std::string quoted = "'";
  for (const char c : workspace_) quoted.append(c == '\'' ? "''" : std::string(1, c));
  return as + ".workspace = " + quoted + "'";
}

std::vector<store::Param> params_of(const std::vector<std::string>& texts) { return {texts.begin(), texts.end()}; }

std::string marks(size_t count) {
  std::string out = "(?";
  for (size_t i = 1; i < count; ++i) out += ", ?";
  return out + ")";
}

bool is_true(store::Rows& rows, int column) {
  const std::string_view text = rows.text(column);
  return text == "1" || text == "t" || text == "true";
}

}  // namespace cli
