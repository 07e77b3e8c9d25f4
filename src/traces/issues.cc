#include "traces/issues.h"

#include <algorithm>
#include <array>

#include "core/event.h"
#include "traces/python_json.h"
#include "track/experiments.h"
#include "track/search_ast.h"
#include "track/search_sql.h"
#include "track/validate.h"

namespace traces {

namespace json = base::json;
using base::invalid;
using base::not_found;
using base::Result;
using track::Value;

namespace {

constexpr std::array<std::string_view, 3> kStatuses = {"pending", "rejected", "resolved"};
constexpr std::array<std::string_view, 4> kSeverities = {"not_an_issue", "low", "medium", "high"};  // rising
constexpr std::string_view kColumns =
    "i.issue_id, i.exp, i.name, i.description, i.status, i.severity, i.root_causes, i.categories, i.source_run_id, "
    "i.created_by, i.created_ms, i.updated_ms";
constexpr int kColumnCount = 12;
constexpr std::array kAttributes = {
    track::Attribute{.name = "status", .column = "i.status"},
    track::Attribute{.name = "source_run_id", .column = "i.source_run_id"},
};
constexpr track::Dialect kDialect{.entity = "issues", .attributes = kAttributes, .tags = false, .null_tests = false};

template <size_t n>
Result<void> check_word(std::string_view what, const std::string& word, const std::array<std::string_view, n>& words) {
  if (std::ranges::find(words, word) != words.end()) return {};
  std::string allowed;
  for (const std::string_view each : words) allowed.append(allowed.empty() ? "" : ", ").append(each);
  return invalid("'" + word + "' is not a valid " + std::string(what) + "; it must be one of " + allowed);
}

int64_t rank_of(const std::optional<std::string>& severity) {
  return severity ? std::ranges::find(kSeverities, *severity) - kSeverities.begin() : -1;
}

std::optional<std::string> list_text(const std::vector<std::string>& items) {
  if (items.empty()) return std::nullopt;
  json::array list;
  for (const std::string& item : items) list.emplace_back(item);
  return to_python(list);
}

std::vector<std::string> list_of(const std::optional<std::string>& text) {
  std::vector<std::string> out;
  const auto parsed = text ? try_parse(*text) : std::nullopt;
  if (!parsed || !parsed->is_array()) return out;
  for (const json::value& item : parsed->get_array()) {
    if (item.is_string()) out.emplace_back(item.get_string());
  }
  return out;
}

Issue read(store::Rows& rows) {
  Issue out;
  out.issue_id = rows.str(0);
  out.experiment = rows.i64(1);
  out.name = rows.str(2);
  out.description = rows.str(3);
  out.status = rows.str(4);
  out.severity = rows.opt_str(5);
  out.root_causes = list_of(rows.opt_str(6));
  out.categories = list_of(rows.opt_str(7));
  out.source_run_id = rows.opt_str(8);
  out.created_by = rows.opt_str(9);
  out.created_ms = rows.i64(10);
  out.updated_ms = rows.i64(11);
  return out;
}

Result<void> check(const Issue& issue) {
  TRY(track::check_length("Issue name", 250, issue.name));
  TRY(check_word("status", issue.status, kStatuses));
  if (issue.severity) TRY(check_word("severity", *issue.severity, kSeverities));
  size_t bytes = issue.description.size();
  for (const std::string& cause : issue.root_causes) bytes += cause.size();
  for (const std::string& category : issue.categories) bytes += category.size();
  if (bytes > kIssueTextBytes) {
    return base::fail(base::Code::kTooLarge,
                      "An issue's texts have at most " + std::to_string(kIssueTextBytes) + " bytes");
  }
  return {};
}

// false: the id is taken.
Result<bool> insert(store::Tx& tx, const Issue& issue) {
  const int64_t made = tx.exec(
      "INSERT INTO issues (project, issue_id, exp, name, description, status, severity, rank, root_causes, categories, "
      "source_run_id, created_ms, updated_ms, created_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT (project, issue_id) DO NOTHING",
      tx.project(), issue.issue_id, issue.experiment, issue.name, issue.description, issue.status, issue.severity,
      rank_of(issue.severity), list_text(issue.root_causes), list_text(issue.categories), issue.source_run_id,
      issue.created_ms, issue.updated_ms, issue.created_by);
  TRY(tx.status());
  return made > 0;
}

}  // namespace

Result<Issue> create_issue(store::Tx& tx, const NewIssue& given) {
  Issue issue = given.issue;
  TRY(check(issue));
  TRY_SET(const track::Experiment experiment, track::active_experiment(tx, given.experiment_id));
  issue.issue_id = "iss-" + tx.ctx().new_hex32();
  issue.experiment = experiment.id;
  issue.created_ms = issue.updated_ms = track::now_ms(tx);
  TRY(insert(tx, issue));
  core::emit(tx, "issue.created", "issue", issue.issue_id);
  TRY(tx.status());
  return issue;
}

Result<bool> import_issue(store::Tx& tx, const Issue& issue) {
  TRY(check_word("status", issue.status, kStatuses));
  if (issue.severity) TRY(check_word("severity", *issue.severity, kSeverities));
  TRY_SET(const bool made, insert(tx, issue));
  if (made) core::emit(tx, "issue.created", "issue", issue.issue_id);
  TRY(tx.status());
  return made;
}

Result<Issue> get_issue(store::Tx& tx, std::string_view issue_id) {
  auto rows = tx.query("SELECT " + std::string(kColumns) + " FROM issues i WHERE i.project = ? AND i.issue_id = ?",
                       tx.project(), issue_id);
  if (!rows.next()) {
    TRY(tx.status());
    return not_found("Issue with ID '" + std::string(issue_id) + "' not found");
  }
  return read(rows);
}

Result<Issue> update_issue(store::Tx& tx, const IssueUpdate& update) {
  tx.lock("issue", update.issue_id);
  TRY_SET(Issue issue, get_issue(tx, update.issue_id));
  if (update.name) issue.name = *update.name;
  if (update.description) issue.description = *update.description;
  if (update.status) issue.status = *update.status;
  if (update.severity) issue.severity = update.severity;
  TRY(check(issue));
  issue.updated_ms = track::now_ms(tx);
  tx.exec(
      "UPDATE issues SET name = ?, description = ?, status = ?, severity = ?, rank = ?, updated_ms = ? "
      "WHERE project = ? AND issue_id = ?",
      issue.name, issue.description, issue.status, issue.severity, rank_of(issue.severity), issue.updated_ms,
      tx.project(), issue.issue_id);
  core::emit(tx, "issue.updated", "issue", issue.issue_id);
  TRY(tx.status());
  return issue;
}

Result<track::Page<Issue>> search_issues(store::Tx& tx, const IssueSearch& search) {
  if (search.max_results < 1 || search.max_results > kIssuePage) {
    return invalid("max_results must be between 1 and " + std::to_string(kIssuePage));
  }
  TRY_SET(const track::Filter filter, track::parse_filter(search.filter, kDialect));
  const std::string text =
      "issues\n" + search.filter + "\n" + search.experiment_id + (search.with_trace_count ? "\ncount" : "");
  constexpr std::string_view kCount =
      "(SELECT COUNT(DISTINCT a.trace) FROM trace_assessments a WHERE a.project = i.project AND a.kind = 'issue' "
      "AND a.name = i.issue_id)";
  track::PageQuery query;
  query.columns = kColumns;
  if (search.with_trace_count) query.columns.append(", ").append(kCount);
  query.column_count = kColumnCount + (search.with_trace_count ? 1 : 0);
  query.from.add("FROM issues i");
  query.where.add("i.project = ").bind(Value::of(tx.project()));
  if (!search.experiment_id.empty()) {
    TRY_SET(const int64_t exp, track::parse_experiment_id(search.experiment_id));
    query.where.add(" AND i.exp = ").bind(Value::of(exp));
  }
  query.where.add(" AND ");
  track::add_filter(query.where, filter, [&](track::SqlText& out, const track::Comparison& term) {
    const std::string_view column = track::find_attribute(kDialect, term.key)->column;
    out.add("(").add(column).add(" IS NOT NULL AND ");
    track::add_comparison(out, tx.backend(), column, term);
    out.add(")");
  });
  query.order.push_back({"i.rank", false, Value::Type::kInt});
  if (search.with_trace_count) query.order.push_back({std::string(kCount), false, Value::Type::kInt});
  query.order.push_back({"i.created_ms", false, Value::Type::kInt});
  query.order.push_back({"i.issue_id", false, Value::Type::kText});
  TRY_SET(const track::PageToken token, track::decode_page_token(text, search.page_token));
  TRY(track::check_token(token.after, query.order));
  query.after = token.after;
  query.offset = token.offset;
  query.limit = search.max_results;
  track::Page<Issue> page;
  const track::PageEnd end = track::run_page(tx, query, [&](store::Rows& rows) {
    Issue& issue = page.rows.emplace_back(read(rows));
    if (search.with_trace_count) issue.trace_count = rows.i64(kColumnCount);
  });
  TRY(tx.status());
  if (end.more) page.next_token = track::encode_page_token(text, end.last);
  return page;
}

}  // namespace traces
