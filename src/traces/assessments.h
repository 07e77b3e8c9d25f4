// Assessments of traces: feedback, expectations, and references to issues. A later one may override an earlier one,
// which then counts no more until the later one is deleted.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "track/types.h"

namespace traces {

inline constexpr size_t kAssessmentNameChars = 250;
inline constexpr size_t kAssessmentBytes = 1 << 20;   // of a value, a rationale, the metadata
inline constexpr int64_t kTraceAssessments = 10'000;  // of one trace

enum class AssessmentKind : uint8_t { kFeedback, kExpectation, kIssue };
std::string_view name(AssessmentKind kind);  // "feedback", …

struct Assessment {
  std::string assessment_id;  // "a-<32 hex>"; "": one is made
  std::string trace_id;
  std::string name;  // of an issue: its id
  AssessmentKind kind = AssessmentKind::kFeedback;
  std::string value;                 // JSON; of an issue {"issue_name": …}
  std::optional<std::string> error;  // JSON {error_code, error_message, stack_trace}; of feedback
  int64_t created_ms = 0;            // 0: now
  int64_t updated_ms = 0;
  std::string source_type = "CODE";
  std::optional<std::string> source_id, run_id, span_id, rationale;
  std::string overrides;  // the assessment that this one replaces
  bool valid = true;
  track::Tags metadata;
};

base::Result<Assessment> create_assessment(store::Tx& tx, const Assessment& assessment);
base::Result<Assessment> get_assessment(store::Tx& tx, std::string_view trace_id, std::string_view assessment_id);
base::Result<void> delete_assessment(store::Tx& tx, std::string_view trace_id, std::string_view assessment_id);

struct AssessmentUpdate {
  std::string trace_id, assessment_id;
  std::optional<std::string> name, rationale;
  std::optional<AssessmentKind> kind;   // of the value that is given
  std::string value;                    // where kind says so
  std::optional<std::string> error;     // with a feedback's value
  std::optional<track::Tags> metadata;  // merged into what is there
};
base::Result<Assessment> update_assessment(store::Tx& tx, const AssessmentUpdate& update);

// Used by the other files of this room.
base::Result<void> put_assessment(store::Tx& tx, int64_t trace, Assessment& assessment);  // new, or the same id again
std::map<int64_t, std::vector<Assessment>> load_assessments(store::Tx& tx, const std::vector<int64_t>& traces);

}  // namespace traces
