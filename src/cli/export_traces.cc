// Traces in an mlruns folder: trace_info.yaml, a file for each tag and entry of the metadata, one for each assessment,
// and the spans as the artifact traces.json.
#include "base/clock.h"
#include "cli/export_mlflow.h"

namespace cli {
namespace {

std::string time_text(int64_t ms) {
  std::string text = base::format_iso8601(ms * 1000);  // …:03.568000Z
  return text.substr(0, text.size() - 4) + "Z";
}

}  // namespace

void MlflowExport::one_trace(const traces::TraceInfo& info) {
  const auto home = homes_.find(info.experiment);
  if (home == homes_.end()) return;
  ++traces_.here;
  if (!is_one_name(info.trace_id)) return leave_out("trace '" + info.trace_id + "': its id is no name of a folder");
  const std::string place = home->second + "/traces/" + info.trace_id;
  if (tree_.exists(place)) {
    ++traces_.there;
    return;
  }
  const std::string part = begin_part(), exp = std::to_string(info.experiment), what = "trace " + info.trace_id + ": ";
  for (const char* each : {"/request_metadata", "/tags", "/assessments", "/artifacts"}) tree_.make_dirs(part + each);
  YamlMap meta;
  if (info.client_request_id) meta.text("client_request_id", *info.client_request_id);
  if (info.duration_ms) meta.number("execution_duration_ms", *info.duration_ms);
  if (info.request_preview) meta.text("request_preview", *info.request_preview);
  meta.text("request_time", time_text(info.start_ms));
  if (info.response_preview) meta.text("response_preview", *info.response_preview);
  meta.text("state", info.state).text("trace_id", info.trace_id);
  meta.raw("trace_location", "{mlflow_experiment: {experiment_id: " + yaml_text(exp) + "}, type: MLFLOW_EXPERIMENT}");
  track::Tags tags;
  for (const track::Tag& tag : info.tags)  // where the spans are is another place now
    if (tag.key != traces::kSpansLocationTag && tag.key != traces::kArtifactLocationTag) tags.push_back(tag);
  tags.push_back(
      {std::string(traces::kArtifactLocationTag), tree_.uri(exp + "/traces/" + info.trace_id + "/artifacts")});
  values(part + "/tags", tags, what + "tag");
  values(part + "/request_metadata", info.metadata, what + "metadata");
  for (const traces::Assessment& each : info.assessments) assessment(each, part + "/assessments/");

  const traces::Trace trace = read([&](store::Tx& tx) { return traces::get_trace(tx, info.trace_id); });
  if (!trace.spans.empty()) {
    std::string spans = "{\"spans\": [";
    for (size_t i = 0; i < trace.spans.size(); ++i) spans.append(i != 0 ? ", " : "").append(trace.spans[i]);
    need(tree_.write(part + "/artifacts/traces.json", spans + "]}"));
  }
  const std::string location =
      read([&](store::Tx& tx) { return traces::trace_artifact_location(tx, info.experiment, info.trace_id); });
  if (const auto path = track::proxied_path(location); path && !path->empty()) {
    const track::ArtifactPlace files = track::artifact_place(*path);
    copy_root(files.root, files.path, part + "/artifacts", trace.spans.empty() ? "" : "traces.json");
  }
  need(tree_.write(part + "/trace_info.yaml", meta.str()));
  end_part(part, place);
  ++traces_.there, ++traces_.written;
}

void MlflowExport::assessment(const traces::Assessment& from, const std::string& dir) {
  const std::string what = "trace " + from.trace_id + ": assessment '" + from.assessment_id + "'";
  // The file store finds an assessment by its file's name up to the first dot.
  if (!is_one_name(from.assessment_id) || from.assessment_id.find('.') != std::string::npos)
    return leave_out(what + ": its id is no name of a file");
  YamlMap meta;
  meta.text("assessment_id", from.assessment_id).text("assessment_name", from.name).text("trace_id", from.trace_id);
  if (from.span_id) meta.text("span_id", *from.span_id);
  std::string source = "{source_type: " + yaml_text(from.source_type);
  if (from.source_id) source += ", source_id: " + yaml_text(*from.source_id);
  meta.raw("source", source + "}");
  meta.text("create_time", time_text(from.created_ms)).text("last_update_time", time_text(from.updated_ms));
  switch (from.kind) {
    case traces::AssessmentKind::kFeedback:
      meta.raw("feedback", "{value: " + yaml_value(from.value) +
                               (from.error ? ", error: " + yaml_value(*from.error) : std::string()) + "}");
      break;
    case traces::AssessmentKind::kExpectation:
      // Lists and maps as text, scalars as themselves, which is how the client tells them apart.
      meta.raw("expectation",
               from.value.starts_with('{') || from.value.starts_with('[')
                   ? "{serialized_value: {serialization_format: JSON_FORMAT, value: " + yaml_text(from.value) + "}}"
                   : "{value: " + yaml_value(from.value) + "}");
      break;
    case traces::AssessmentKind::kIssue: meta.raw("issue", yaml_value(from.value)); break;
  }
  if (from.rationale) meta.text("rationale", *from.rationale);
  if (!from.metadata.empty()) meta.tags("metadata", from.metadata);
  if (!from.overrides.empty()) meta.text("overrides", from.overrides);
  meta.raw("valid", from.valid ? "true" : "false");
  if (const auto done = tree_.write(dir + from.assessment_id + ".yaml", meta.str()); !done)
    return leave_out(what + ": " + done.error().message);
  ++assessments_;
}

}  // namespace cli
