#include "traces/assessments.h"

#include <cmath>

#include "core/event.h"
#include "traces/python_json.h"
#include "traces/span.h"
#include "traces/traces.h"
#include "track/validate.h"

namespace traces {

namespace json = base::json;
using base::invalid;
using base::not_found;
using base::Result;

namespace {

constexpr std::string_view kSourceRunId = "mlflow.assessment.sourceRunId";
constexpr std::string_view kColumns =
    "a.trace, a.assessment_id, a.name, a.kind, a.value, a.error, a.created_ms, a.updated_ms, a.source_type, "
    "a.source_id, a.run_id, a.span_id, a.rationale, a.overrides, a.valid, a.metadata, t.trace_id";

struct Number {
  std::optional<double> value;
  bool is_number = false;
};

// What statistics make of a value: numbers as they are, true and "yes" as 1, false and "no" as 0.
Number number_of(std::string_view value) {
  const auto parsed = try_parse(value);
  if (!parsed) return {};
  if (parsed->is_bool()) return {parsed->get_bool() ? 1.0 : 0.0, false};
  if (parsed->is_number()) {
    const double number = parsed->to_number<double>();
    return std::isfinite(number) ? Number{number, true} : Number{};
  }
  if (parsed->is_string()) {
    std::string word(parsed->get_string());
    word.erase(0, word.find_first_not_of(" \t\r\n"));
    word.erase(word.find_last_not_of(" \t\r\n") + 1);
    for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (word == "yes" || word == "no") return {word == "yes" ? 1.0 : 0.0, false};
  }
  return {};
}

std::optional<std::string> metadata_text(const track::Tags& metadata) {
  if (metadata.empty()) return std::nullopt;
  json::object object;
  for (const track::Tag& entry : metadata) object[entry.key] = entry.value;
  return to_python(object);
}

track::Tags metadata_of(std::string_view text) {
  track::Tags out;
  const auto parsed = try_parse(text);
  if (!parsed || !parsed->is_object()) return out;
  for (const auto& [key, value] : parsed->get_object()) {
    out.push_back({std::string(key), value.is_string() ? std::string(value.get_string()) : to_python(value)});
  }
  return out;
}

bool names_session(const track::Tags& metadata) {
  for (const track::Tag& entry : metadata) {
    if (entry.key == kSessionKey) return true;
  }
  return false;
}

AssessmentKind kind_of(std::string_view text) {
  return text == "issue"         ? AssessmentKind::kIssue
         : text == "expectation" ? AssessmentKind::kExpectation
                                 : AssessmentKind::kFeedback;
}

Assessment read(store::Rows& rows) {
  Assessment out;
  out.assessment_id = rows.str(1);
  out.name = rows.str(2);
  out.kind = kind_of(rows.text(3));
  out.value = rows.str(4);
  out.error = rows.opt_str(5);
  out.created_ms = rows.i64(6);
  out.updated_ms = rows.i64(7);
  out.source_type = rows.str(8);
  out.source_id = rows.opt_str(9);
  out.run_id = rows.opt_str(10);
  out.span_id = rows.opt_str(11);
  out.rationale = rows.opt_str(12);
  out.overrides = rows.opt_str(13).value_or("");
  out.valid = rows.boolean(14);
  if (!rows.is_null(15)) out.metadata = metadata_of(rows.text(15));
  out.trace_id = rows.str(16);
  return out;
}

std::unexpected<base::Error> no_assessment(std::string_view trace_id, std::string_view assessment_id) {
  return not_found("Assessment with ID '" + std::string(assessment_id) + "' not found for trace '" +
                   std::string(trace_id) + "'");
}

Result<void> check(const Assessment& assessment) {
  if (assessment.name.empty()) return track::missing_value("assessment.assessment_name");
  TRY(track::check_length("Assessment name", kAssessmentNameChars, assessment.name));
  TRY(track::check_length("Assessment ID", 250, assessment.assessment_id));
  const auto too_large = [](std::string_view what) {
    return base::fail(base::Code::kTooLarge, "An assessment's " + std::string(what) + " has more than " +
                                                 std::to_string(kAssessmentBytes) + " bytes");
  };
  if (assessment.value.size() > kAssessmentBytes) return too_large("value");
  if (assessment.error.value_or("").size() > kAssessmentBytes) return too_large("error");
  if (assessment.rationale.value_or("").size() > kAssessmentBytes) return too_large("rationale");
  size_t bytes = 0;
  for (const track::Tag& entry : assessment.metadata) bytes += entry.key.size() + entry.value.size();
  if (bytes > kAssessmentBytes) return too_large("metadata");
  if (assessment.kind == AssessmentKind::kExpectation && assessment.value == "null") {
    return invalid("The `value` field must be specified.");
  }
  return {};
}

void set_valid(store::Tx& tx, int64_t trace, std::string_view assessment_id, bool valid) {
  tx.exec("UPDATE trace_assessments SET valid = ? WHERE project = ? AND trace = ? AND assessment_id = ?", valid,
          tx.project(), trace, assessment_id);
}

}  // namespace

std::string_view name(AssessmentKind kind) {
  switch (kind) {
    case AssessmentKind::kFeedback: return "feedback";
    case AssessmentKind::kExpectation: return "expectation";
    case AssessmentKind::kIssue: return "issue";
  }
  return "feedback";
}

Result<void> put_assessment(store::Tx& tx, int64_t trace, Assessment& assessment) {
  TRY(check(assessment));
  const auto count =
      tx.query_i64("SELECT COUNT(*) FROM trace_assessments WHERE project = ? AND trace = ?", tx.project(), trace);
  if (count.value_or(0) >= kTraceAssessments) {
    return base::fail(base::Code::kTooLarge,
                      "A trace has at most " + std::to_string(kTraceAssessments) + " assessments");
  }
  if (assessment.assessment_id.empty()) assessment.assessment_id = "a-" + tx.ctx().new_hex32();
  if (assessment.created_ms == 0) assessment.created_ms = track::now_ms(tx);
  if (assessment.updated_ms == 0) assessment.updated_ms = track::now_ms(tx);
  for (const track::Tag& entry : assessment.metadata) {
    if (!assessment.run_id && entry.key == kSourceRunId) assessment.run_id = entry.value;
  }
  const Number number = number_of(assessment.value);
  const std::optional<std::string> overrides =
      assessment.overrides.empty() ? std::nullopt : std::optional(assessment.overrides);
  const int64_t changed = tx.exec(
      "INSERT INTO trace_assessments (project, trace, assessment_id, name, kind, value, error, number, is_number, "
      "created_ms, updated_ms, source_type, source_id, run_id, span_id, rationale, overrides, valid, metadata, "
      "of_session) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT (project, assessment_id) DO UPDATE SET name = excluded.name, kind = excluded.kind, "
      "value = excluded.value, error = excluded.error, number = excluded.number, is_number = excluded.is_number, "
      "updated_ms = excluded.updated_ms, rationale = excluded.rationale, metadata = excluded.metadata, "
      "of_session = excluded.of_session WHERE trace_assessments.trace = excluded.trace",
      tx.project(), trace, assessment.assessment_id, assessment.name, name(assessment.kind), assessment.value,
      assessment.error, number.value, number.is_number, assessment.created_ms, assessment.updated_ms,
      assessment.source_type, assessment.source_id, assessment.run_id, assessment.span_id, assessment.rationale,
      overrides, assessment.valid, metadata_text(assessment.metadata), names_session(assessment.metadata));
  TRY(tx.status());
  if (changed == 0) {
    return invalid("Assessment with ID '" + assessment.assessment_id + "' belongs to another trace");
  }
  return {};
}

Result<Assessment> create_assessment(store::Tx& tx, const Assessment& given) {
  Assessment assessment = given;
  TRY_SET(const int64_t trace, trace_row(tx, assessment.trace_id));
  tx.lock("trace", assessment.trace_id);
  if (!assessment.overrides.empty()) {
    const int64_t found =
        tx.exec("UPDATE trace_assessments SET valid = 0 WHERE project = ? AND trace = ? AND assessment_id = ?",
                tx.project(), trace, assessment.overrides);
    TRY(tx.status());
    if (found == 0) return no_assessment(assessment.trace_id, assessment.overrides);
  }
  assessment.valid = true;
  TRY(put_assessment(tx, trace, assessment));
  core::emit(tx, "assessment.created", "trace", assessment.trace_id,
             R"({"assessment": )" + python_string(assessment.assessment_id) + "}");
  return assessment;
}

Result<Assessment> get_assessment(store::Tx& tx, std::string_view trace_id, std::string_view assessment_id) {
  const auto trace = tx.query_i64("SELECT id FROM traces WHERE project = ? AND trace_id = ?", tx.project(), trace_id);
  if (!trace) return not_found("Trace with request_id '" + std::string(trace_id) + "' not found");
  auto rows = tx.query("SELECT " + std::string(kColumns) +
                           " FROM trace_assessments a JOIN traces t ON t.project = a.project AND t.id = a.trace "
                           "WHERE a.project = ? AND a.trace = ? AND a.assessment_id = ?",
                       tx.project(), *trace, assessment_id);
  if (!rows.next()) return no_assessment(trace_id, assessment_id);
  return read(rows);
}

Result<Assessment> update_assessment(store::Tx& tx, const AssessmentUpdate& update) {
  TRY_SET(const int64_t trace, trace_row(tx, update.trace_id));
  tx.lock("trace", update.trace_id);
  TRY_SET(Assessment assessment, get_assessment(tx, update.trace_id, update.assessment_id));
  if (update.kind && *update.kind != assessment.kind) {
    return invalid(*update.kind == AssessmentKind::kExpectation
                       ? "Cannot update expectation value on a Feedback assessment."
                       : "Cannot update feedback value on an Expectation assessment.");
  }
  if (update.name) assessment.name = *update.name;
  if (update.kind) {
    assessment.value = update.value;
    assessment.error = update.error;
  }
  if (update.rationale && assessment.kind == AssessmentKind::kFeedback) assessment.rationale = update.rationale;
  for (const track::Tag& entry : update.metadata.value_or(track::Tags())) {
    std::erase_if(assessment.metadata, [&](const track::Tag& old) { return old.key == entry.key; });
    assessment.metadata.push_back(entry);
  }
  assessment.updated_ms = track::now_ms(tx);
  TRY(put_assessment(tx, trace, assessment));
  core::emit(tx, "assessment.updated", "trace", assessment.trace_id,
             R"({"assessment": )" + python_string(assessment.assessment_id) + "}");
  return assessment;
}

Result<void> delete_assessment(store::Tx& tx, std::string_view trace_id, std::string_view assessment_id) {
  const auto row = tx.query_i64("SELECT id FROM traces WHERE project = ? AND trace_id = ?", tx.project(), trace_id);
  if (!row) return tx.status();  // gone with its trace
  const int64_t trace = *row;
  tx.lock("trace", trace_id);
  const auto found = get_assessment(tx, trace_id, assessment_id);
  if (!found) {  // gone already
    return found.error().code == base::Code::kNotFound ? tx.status() : std::unexpected(found.error());
  }
  if (!found->overrides.empty()) set_valid(tx, trace, found->overrides, true);
  tx.exec("DELETE FROM trace_assessments WHERE project = ? AND trace = ? AND assessment_id = ?", tx.project(), trace,
          assessment_id);
  core::emit(tx, "assessment.deleted", "trace", trace_id, R"({"assessment": )" + python_string(assessment_id) + "}");
  return tx.status();
}

std::map<int64_t, std::vector<Assessment>> load_assessments(store::Tx& tx, const std::vector<int64_t>& traces) {
  std::map<int64_t, std::vector<Assessment>> out;
  for (const int64_t trace : traces) {
    auto rows = tx.query("SELECT " + std::string(kColumns) +
                             " FROM trace_assessments a JOIN traces t ON t.project = a.project AND t.id = a.trace "
                             "WHERE a.project = ? AND a.trace = ? ORDER BY a.id",
                         tx.project(), trace);
    while (rows.next()) out[trace].push_back(read(rows));
  }
  return out;
}

}  // namespace traces
