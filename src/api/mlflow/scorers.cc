// Scorers and issues of an experiment.
#include "traces/scorers.h"

#include "api/mlflow/door.h"
#include "traces/issues.h"

namespace api::mlflow {

using base::JsonWriter;
using net::Method;
using store::Tx;

namespace {

traces::ScorerName parse_name(Args& args) {
  return {args.required_text("experiment_id"), args.required_text("name"), args.integer("version")};
}

void write_scorer(JsonWriter& out, const traces::Scorer& scorer) {
  out.begin_object().field("experiment_id", scorer.experiment).field("scorer_name", scorer.name);
  out.field("scorer_version", scorer.version).field("serialized_scorer", scorer.content);
  out.field("creation_time", scorer.created_ms).field("scorer_id", scorer.scorer_id).end_object();
}

void render_list(JsonWriter& out, const std::vector<traces::Scorer>& scorers) {
  if (scorers.empty()) return;
  out.key("scorers").begin_array();
  for (const traces::Scorer& scorer : scorers) write_scorer(out, scorer);
  out.end_array();
}

std::optional<std::string> unless_empty(std::optional<std::string> text) {
  return text && text->empty() ? std::nullopt : text;
}

traces::NewIssue parse_issue(Args& args) {
  traces::NewIssue out;
  out.issue.name = args.required_text("name");
  out.issue.description = args.required_text("description");
  out.experiment_id = args.required_text("experiment_id");
  if (auto status = unless_empty(args.optional_text("status"))) out.issue.status = std::move(*status);
  out.issue.severity = unless_empty(args.optional_text("severity"));
  out.issue.root_causes = args.texts("root_causes");
  out.issue.categories = args.texts("categories");
  out.issue.source_run_id = unless_empty(args.optional_text("source_run_id"));
  out.issue.created_by = unless_empty(args.optional_text("created_by"));
  return out;
}

void write_texts(JsonWriter& out, std::string_view field, const std::vector<std::string>& texts) {
  if (texts.empty()) return;
  out.key(field).begin_array();
  for (const std::string& text : texts) out.value(text);
  out.end_array();
}

void write_issue(JsonWriter& out, const traces::Issue& issue) {
  out.begin_object().field("issue_id", issue.issue_id).field("experiment_id", std::to_string(issue.experiment));
  out.field("name", issue.name).field("description", issue.description).field("status", issue.status);
  if (issue.severity) out.field("severity", *issue.severity);
  write_texts(out, "root_causes", issue.root_causes);
  if (issue.source_run_id) out.field("source_run_id", *issue.source_run_id);
  out.field("created_timestamp", issue.created_ms).field("last_updated_timestamp", issue.updated_ms);
  if (issue.created_by) out.field("created_by", *issue.created_by);
  write_texts(out, "categories", issue.categories);
  if (issue.trace_count) out.field("trace_count", *issue.trace_count);
  out.end_object();
}

void render_issue(JsonWriter& out, const traces::Issue& issue) {
  out.key("issue");
  write_issue(out, issue);
}

}  // namespace

void add_scorer_routes(Door& door) {
  door.write(
      Method::kPost, "scorers/register",
      [](Args& args) {
        return traces::NewScorer{args.required_text("experiment_id"), args.required_text("name"),
                                 args.required_text("serialized_scorer")};
      },
      traces::register_scorer,
      [](JsonWriter& out, const traces::Scorer& scorer) {
        out.field("version", scorer.version).field("scorer_id", scorer.scorer_id);
        out.field("experiment_id", std::to_string(scorer.experiment)).field("name", scorer.name);
        out.field("serialized_scorer", scorer.content).field("creation_time", scorer.created_ms);
      });
  door.read(
      Method::kGet, "scorers/list",
      [](Args& args) {
        traces::ScorerList out{args.text("experiment_id"), std::nullopt};
        if (args.has("experiment_ids")) out.experiment_ids = args.texts("experiment_ids");
        return out;
      },
      traces::list_scorers, render_list);
  door.read(Method::kGet, "scorers/versions", parse_name, traces::scorer_versions, render_list);
  door.point(Method::kGet, "scorers/get", parse_name, traces::get_scorer,
             [](JsonWriter& out, const traces::Scorer& scorer) {
               out.key("scorer");
               write_scorer(out, scorer);
             });
  door.write(Method::kDelete, "scorers/delete", parse_name, traces::delete_scorer);
}

void add_issue_routes(Door& door) {
  door.write(Method::kPost, "issues", parse_issue, traces::create_issue, render_issue);
  door.point(
      Method::kGet, "issues/{issue_id}", [](Args& args) { return args.path_param("issue_id"); },
      [](Tx& tx, const std::string& id) { return traces::get_issue(tx, id); }, render_issue);
  door.write(
      Method::kPatch, "issues/{issue_id}",
      [](Args& args) {
        return traces::IssueUpdate{args.path_param("issue_id"), unless_empty(args.optional_text("name")),
                                   unless_empty(args.optional_text("description")),
                                   unless_empty(args.optional_text("status")),
                                   unless_empty(args.optional_text("severity"))};
      },
      traces::update_issue, render_issue);
  door.read(
      Method::kPost, "issues/search",
      [](Args& args) {
        return traces::IssueSearch{args.text("experiment_id"), args.text("filter_string"),
                                   args.integer("max_results").value_or(100), args.text("page_token"),
                                   args.boolean("include_trace_count").value_or(false)};
      },
      traces::search_issues,
      [](JsonWriter& out, const track::Page<traces::Issue>& page) {
        if (!page.rows.empty()) {
          out.key("issues").begin_array();
          for (const traces::Issue& issue : page.rows) write_issue(out, issue);
          out.end_array();
        }
        out.field("next_page_token", page.next_token);
      });
}

}  // namespace api::mlflow
