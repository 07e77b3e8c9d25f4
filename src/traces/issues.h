// Issues: what goes wrong in an experiment's traces. Traces refer to an issue by an assessment of kind issue.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "track/types.h"

namespace traces {

inline constexpr size_t kIssueTextBytes = 1 << 20;  // of a description, of all causes together
inline constexpr int64_t kIssuePage = 1000;

struct Issue {
  std::string issue_id;  // "iss-<32 hex>"
  int64_t experiment = 0;
  std::string name, description;
  std::string status = "pending";       // pending, rejected, resolved
  std::optional<std::string> severity;  // not_an_issue, low, medium, high
  std::vector<std::string> root_causes, categories;
  std::optional<std::string> source_run_id, created_by;
  int64_t created_ms = 0, updated_ms = 0;
  std::optional<int64_t> trace_count;  // where it was asked for
};

struct NewIssue {
  std::string experiment_id;
  Issue issue;
};
base::Result<Issue> create_issue(store::Tx& tx, const NewIssue& issue);
base::Result<Issue> get_issue(store::Tx& tx, std::string_view issue_id);
// As another server has it (id, times and all); false: one of that id is here, and stays as it is.
base::Result<bool> import_issue(store::Tx& tx, const Issue& issue);
struct IssueUpdate {
  std::string issue_id;
  std::optional<std::string> name, description, status, severity;
};
base::Result<Issue> update_issue(store::Tx& tx, const IssueUpdate& update);

struct IssueSearch {
  std::string experiment_id;  // "": all
  std::string filter;         // status, source_run_id; =, !=
  int64_t max_results = 100;
  std::string page_token;
  bool with_trace_count = false;
};
base::Result<track::Page<Issue>> search_issues(store::Tx& tx, const IssueSearch& search);

}  // namespace traces
