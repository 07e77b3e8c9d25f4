// Assessments of traces: …/traces/{trace_id}/assessments.
#include "traces/assessments.h"

#include "api/mlflow/door.h"
#include "api/mlflow/trace_args.h"
#include "api/mlflow/trace_json.h"

namespace api::mlflow {

namespace json = base::json;
using base::JsonWriter;
using net::Method;
using store::Tx;

namespace {

struct One {
  std::string trace_id, assessment_id;
};
One parse_one(Args& args) { return {args.path_param("trace_id"), args.path_param("assessment_id")}; }

traces::Assessment parse_create(Args& args) {
  const json::object* object = args.object_in(args.root(), "assessment", "");
  if (object == nullptr) {
    args.missing("assessment");
    return {};
  }
  traces::Assessment out = parse_assessment(args, *object, "assessment");
  out.trace_id = args.path_param("trace_id");
  return out;
}

// protobuf's FieldMask in JSON: "assessmentName,feedback"; also {"paths": […]} and snake_case.
std::vector<std::string> parse_mask(Args& args) {
  std::vector<std::string> out;
  const json::value* mask = args.value_in(args.root(), "update_mask");
  if (mask == nullptr) {
    args.missing("update_mask");
    return out;
  }
  if (mask->is_object()) return args.texts_in(mask->get_object(), "paths", "update_mask");
  if (!mask->is_string()) {
    args.wrong("update_mask", *mask);
    return out;
  }
  std::string_view rest = mask->get_string();
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    out.emplace_back(rest.substr(0, comma));
    rest.remove_prefix(comma == rest.npos ? rest.size() : comma + 1);
  }
  return out;
}

traces::AssessmentUpdate parse_update(Args& args) {
  traces::AssessmentUpdate out;
  out.trace_id = args.path_param("trace_id");
  out.assessment_id = args.path_param("assessment_id");
  const json::object* object = args.object_in(args.root(), "assessment", "");
  if (object == nullptr) {
    args.missing("assessment");
    return out;
  }
  for (const std::string& path : parse_mask(args)) {
    if (path == "assessmentName" || path == "assessment_name") {
      out.name = args.text_in(*object, "assessment_name", "assessment", false);
    } else if (path == "rationale") {
      out.rationale = args.text_in(*object, "rationale", "assessment", false);
    } else if (path == "metadata") {
      out.metadata = args.map_in(*object, "metadata", "assessment");
    } else if (path == "feedback" || path == "expectation") {
      traces::Assessment value;
      if (!parse_assessment_value(args, *object, "assessment", value) || traces::name(value.kind) != path) {
        args.missing("assessment." + path);
      }
      out.kind = value.kind;
      out.value = value.value;
      out.error = value.error;
    }
  }
  return out;
}

void render(JsonWriter& out, const traces::Assessment& assessment) {
  out.key("assessment");
  write(out, assessment);
}

}  // namespace

void add_assessment_routes(Door& door) {
  door.write(Method::kPost, "traces/{trace_id}/assessments", parse_create, traces::create_assessment, render);
  door.point(
      Method::kGet, "traces/{trace_id}/assessments/{assessment_id}", parse_one,
      [](Tx& tx, const One& in) { return traces::get_assessment(tx, in.trace_id, in.assessment_id); }, render);
  door.write(Method::kPatch, "traces/{trace_id}/assessments/{assessment_id}", parse_update, traces::update_assessment,
             render);
  door.write(Method::kDelete, "traces/{trace_id}/assessments/{assessment_id}", parse_one,
             [](Tx& tx, const One& in) { return traces::delete_assessment(tx, in.trace_id, in.assessment_id); });
}

}  // namespace api::mlflow
