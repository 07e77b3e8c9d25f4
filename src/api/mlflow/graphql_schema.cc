#include "api/mlflow/graphql_schema.h"

#include <algorithm>
#include <charconv>
#include <map>

namespace api::mlflow::graphql {

namespace json = base::json;
using base::Result;

namespace {

// --- the schema -----------------------------------------------------------------------------------------------------

constexpr Field text(std::string_view name, std::string_view source) { return {name, source}; }
constexpr Field text(std::string_view name) { return {name, name}; }
constexpr Field number(std::string_view name, std::string_view source) { return {name, source, Scalar::kLong}; }
constexpr Field number(std::string_view name) { return {name, name, Scalar::kLong}; }
constexpr Field one(std::string_view name, std::string_view source, const Type& type) {
  return {name, source, Scalar::kObject, false, &type};
}
constexpr Field many(std::string_view name, std::string_view source, const Type& type) {
  return {name, source, Scalar::kObject, true, &type};
}

constexpr Field kErrorDetail[] = {text("field"), text("message")};
constexpr Type kErrorDetailType = {"ErrorDetail", kErrorDetail};
constexpr Field kApiError[] = {text("code"), text("message"), text("helpUrl", "help_url"), text("traceId", "trace_id"),
                               many("errorDetails", "error_details", kErrorDetailType)};
constexpr Type kApiErrorType = {"ApiError", kApiError};
constexpr Field kNoApiError = {"apiError", "apiError", Scalar::kObject, false, &kApiErrorType, true};

constexpr Field kPair[] = {text("key"), text("value")};
constexpr Type kExperimentTagType = {"MlflowExperimentTag", kPair};
constexpr Type kRunTagType = {"MlflowRunTag", kPair};
constexpr Type kParamType = {"MlflowParam", kPair};
constexpr Type kInputTagType = {"MlflowInputTag", kPair};
constexpr Type kVersionTagType = {"MlflowModelVersionTag", kPair};

constexpr Field kExperiment[] = {text("experimentId", "experiment_id"),
                                 text("name"),
                                 text("artifactLocation", "artifact_location"),
                                 text("lifecycleStage", "lifecycle_stage"),
                                 number("lastUpdateTime", "last_update_time"),
                                 number("creationTime", "creation_time"),
                                 many("tags", "tags", kExperimentTagType),
                                 text("effectiveTraceArchivalRetention", "effective_trace_archival_retention"),
                                 text("workspace")};
constexpr Type kExperimentType = {"MlflowExperiment", kExperiment};

constexpr Field kMetric[] = {text("key"),
                             {"value", "value", Scalar::kFloat},
                             number("timestamp"),
                             number("step"),
                             text("datasetName", "dataset_name"),
                             text("datasetDigest", "dataset_digest"),
                             text("modelId", "model_id"),
                             text("runId", "run_id")};
constexpr Type kMetricType = {"MlflowMetricExtension", kMetric};
constexpr Type kModelMetricType = {"MlflowModelMetric", kMetric};
constexpr Field kMetricOfRun[] = {
    text("key"), {"value", "value", Scalar::kFloat}, number("timestamp"), number("step"), text("runId", "run_id")};
constexpr Type kMetricOfRunType = {"MlflowMetricWithRunId", kMetricOfRun};

constexpr Field kModelParam[] = {text("name"), text("value")};
constexpr Type kModelParamType = {"MlflowModelParam", kModelParam};
constexpr Field kJobState[] = {text("jobId", "job_id"),
                               text("runId", "run_id"),
                               {"jobState", "job_state", Scalar::kEnum, false, nullptr, true},
                               {"runState", "run_state", Scalar::kEnum, false, nullptr, true},
                               text("currentTaskName", "current_task_name")};
constexpr Type kJobStateType = {"MlflowModelVersionDeploymentJobState", kJobState};
constexpr Field kVersion[] = {text("name"),
                              text("version"),
                              number("creationTimestamp", "creation_timestamp"),
                              number("lastUpdatedTimestamp", "last_updated_timestamp"),
                              text("userId", "user_id"),
                              text("currentStage", "current_stage"),
                              text("description"),
                              text("source"),
                              text("runId", "run_id"),
                              {"status", "status", Scalar::kEnum},
                              text("statusMessage", "status_message"),
                              many("tags", "tags", kVersionTagType),
                              text("runLink", "run_link"),
                              {"aliases", "aliases", Scalar::kString, true},
                              text("modelId", "model_id"),
                              many("modelParams", "model_params", kModelParamType),
                              many("modelMetrics", "model_metrics", kModelMetricType),
                              one("deploymentJobState", "deployment_job_state", kJobStateType)};
constexpr Type kVersionType = {"MlflowModelVersion", kVersion};

constexpr Field kRunInfo[] = {text("runId", "run_id"),
                              text("runUuid", "run_uuid"),
                              text("runName", "run_name"),
                              text("experimentId", "experiment_id"),
                              text("userId", "user_id"),
                              {"status", "status", Scalar::kEnum},
                              number("startTime", "start_time"),
                              number("endTime", "end_time"),
                              text("artifactUri", "artifact_uri"),
                              text("lifecycleStage", "lifecycle_stage")};
constexpr Type kRunInfoType = {"MlflowRunInfo", kRunInfo};
constexpr Field kRunData[] = {many("metrics", "metrics", kMetricType), many("params", "params", kParamType),
                              many("tags", "tags", kRunTagType)};
constexpr Type kRunDataType = {"MlflowRunData", kRunData};
constexpr Field kDataset[] = {text("name"),   text("digest"), text("sourceType", "source_type"),
                              text("source"), text("schema"), text("profile")};
constexpr Type kDatasetType = {"MlflowDataset", kDataset};
constexpr Field kDatasetInput[] = {many("tags", "tags", kInputTagType), one("dataset", "dataset", kDatasetType)};
constexpr Type kDatasetInputType = {"MlflowDatasetInput", kDatasetInput};
constexpr Field kModelInput[] = {text("modelId", "model_id")};
constexpr Type kModelInputType = {"MlflowModelInput", kModelInput};
constexpr Field kRunInputs[] = {many("datasetInputs", "dataset_inputs", kDatasetInputType),
                                many("modelInputs", "model_inputs", kModelInputType)};
constexpr Type kRunInputsType = {"MlflowRunInputs", kRunInputs};
constexpr Field kModelOutput[] = {text("modelId", "model_id"), number("step")};
constexpr Type kModelOutputType = {"MlflowModelOutput", kModelOutput};
constexpr Field kRunOutputs[] = {many("modelOutputs", "model_outputs", kModelOutputType)};
constexpr Type kRunOutputsType = {"MlflowRunOutputs", kRunOutputs};
constexpr Field kRun[] = {one("info", "info", kRunInfoType),
                          one("data", "data", kRunDataType),
                          one("inputs", "inputs", kRunInputsType),
                          one("outputs", "outputs", kRunOutputsType),
                          one("experiment", "experiment", kExperimentType),
                          many("modelVersions", "model_versions", kVersionType)};
constexpr Type kRunType = {"MlflowRunExtension", kRun};

constexpr Field kSummary[] = {text("experimentId", "experiment_id"), text("name"), text("digest"), text("context")};
constexpr Type kSummaryType = {"MlflowDatasetSummary", kSummary};
constexpr Field kFile[] = {text("path"), {"isDir", "is_dir", Scalar::kBool}, number("fileSize", "file_size")};
constexpr Type kFileType = {"MlflowFileInfo", kFile};

constexpr Field kExperimentAnswer[] = {one("experiment", "experiment", kExperimentType), kNoApiError};
constexpr Type kExperimentAnswerType = {"MlflowGetExperimentResponse", kExperimentAnswer};
constexpr Field kRunAnswer[] = {one("run", "run", kRunType), kNoApiError};
constexpr Type kRunAnswerType = {"MlflowGetRunResponse", kRunAnswer};
constexpr Field kRunsAnswer[] = {many("runs", "runs", kRunType), text("nextPageToken", "next_page_token"), kNoApiError};
constexpr Type kRunsAnswerType = {"MlflowSearchRunsResponse", kRunsAnswer};
constexpr Field kVersionsAnswer[] = {many("modelVersions", "model_versions", kVersionType),
                                     text("nextPageToken", "next_page_token"), kNoApiError};
constexpr Type kVersionsAnswerType = {"MlflowSearchModelVersionsResponse", kVersionsAnswer};
constexpr Field kDatasetsAnswer[] = {many("datasetSummaries", "dataset_summaries", kSummaryType), kNoApiError};
constexpr Type kDatasetsAnswerType = {"MlflowSearchDatasetsResponse", kDatasetsAnswer};
constexpr Field kHistoryAnswer[] = {many("metrics", "metrics", kMetricOfRunType), kNoApiError};
constexpr Type kHistoryAnswerType = {"MlflowGetMetricHistoryBulkIntervalResponse", kHistoryAnswer};
constexpr Field kFilesAnswer[] = {text("rootUri", "root_uri"), many("files", "files", kFileType),
                                  text("nextPageToken", "next_page_token"), kNoApiError};
constexpr Type kFilesAnswerType = {"MlflowListArtifactsResponse", kFilesAnswer};
constexpr Field kTestAnswer[] = {text("output")};
constexpr Type kTestType = {"Test", kTestAnswer};
constexpr Type kTestMutationType = {"TestMutation", kTestAnswer};

constexpr InputField in_text(std::string_view name, std::string_view source) { return {name, source}; }
constexpr InputField in_texts(std::string_view name, std::string_view source) {
  return {name, source, Scalar::kString, true};
}
constexpr InputField in_number(std::string_view name, std::string_view source) { return {name, source, Scalar::kInt}; }

constexpr InputField kExperimentIn[] = {in_text("experimentId", "experiment_id")};
constexpr InputField kRunIn[] = {in_text("runId", "run_id"), in_text("runUuid", "run_uuid")};
constexpr InputField kRunsIn[] = {in_texts("experimentIds", "experiment_ids"),
                                  in_text("filter", "filter"),
                                  {"runViewType", "run_view_type", Scalar::kEnum},
                                  in_number("maxResults", "max_results"),
                                  in_texts("orderBy", "order_by"),
                                  in_text("pageToken", "page_token")};
constexpr InputField kVersionsIn[] = {in_text("filter", "filter"),
                                      {"maxResults", "max_results", Scalar::kLong},
                                      in_texts("orderBy", "order_by"),
                                      in_text("pageToken", "page_token")};
constexpr InputField kDatasetsIn[] = {in_texts("experimentIds", "experiment_ids")};
constexpr InputField kHistoryIn[] = {in_texts("runIds", "run_ids"), in_text("metricKey", "metric_key"),
                                     in_number("startStep", "start_step"), in_number("endStep", "end_step"),
                                     in_number("maxResults", "max_results")};
constexpr InputField kFilesIn[] = {in_text("runId", "run_id"), in_text("runUuid", "run_uuid"), in_text("path", "path"),
                                   in_text("pageToken", "page_token")};

constexpr Root kRoots[] = {
    {"mlflowGetExperiment", Call::kGetExperiment, "input", "MlflowGetExperimentInput", kExperimentIn,
     &kExperimentAnswerType, true, false},
    {"mlflowGetRun", Call::kGetRun, "input", "MlflowGetRunInput", kRunIn, &kRunAnswerType, true, false},
    {"mlflowSearchRuns", Call::kSearchRuns, "input", "MlflowSearchRunsInput", kRunsIn, &kRunsAnswerType, true, true},
    {"mlflowSearchModelVersions", Call::kSearchVersions, "input", "MlflowSearchModelVersionsInput", kVersionsIn,
     &kVersionsAnswerType, true, false},
    {"mlflowSearchDatasets", Call::kSearchDatasets, "input", "MlflowSearchDatasetsInput", kDatasetsIn,
     &kDatasetsAnswerType, false, true},
    {"mlflowGetMetricHistoryBulkInterval", Call::kHistory, "input", "MlflowGetMetricHistoryBulkIntervalInput",
     kHistoryIn, &kHistoryAnswerType, true, false},
    {"mlflowListArtifacts", Call::kListArtifacts, "input", "MlflowListArtifactsInput", kFilesIn, &kFilesAnswerType,
     true, false},
    {"test", Call::kTest, "inputString", "String", {}, &kTestType, true, false},
    {"testMutation", Call::kTest, "inputString", "String", {}, &kTestMutationType, false, true},
};

constexpr std::string_view kViews[] = {"ACTIVE_ONLY", "DELETED_ONLY", "ALL"};

std::string in_quotes(std::string_view name) { return "'" + std::string(name.substr(0, 80)) + "'"; }

// --- planning -------------------------------------------------------------------------------------------------------

class Planner {
 public:
  Planner(const Document& document, const json::object& variables) : document_(document), variables_(variables) {}

  Result<Plan> run(std::string_view name) {
    TRY_SET(const Operation* operation, choose(name));
    TRY(take_variables(*operation));
    Plan out;
    mutation_ = operation->kind == Operation::Kind::kMutation;
    out.type = mutation_ ? "Mutation" : "Query";
    std::vector<const Selection*> fields;
    TRY(flatten(operation->selections, out.type, 1, fields));
    if (fields.size() > kRootFields) return too_many("root fields", kRootFields, fields.size());
    for (const Selection* field : fields) {
      TRY_SET(RootCall call, root_call(*field, out.type));
      const bool known = std::ranges::any_of(out.calls, [&](const RootCall& other) { return other.key == call.key; });
      if (known)
        return base::invalid("Fields " + in_quotes(call.key) + " conflict. Use different aliases on the fields.");
      out.calls.push_back(std::move(call));
    }
    return out;
  }

 private:
  static std::unexpected<base::Error> too_many(std::string_view what, size_t allowed, size_t found) {
    return base::invalid("GraphQL queries should have at most " + std::to_string(allowed) + " " + std::string(what) +
                         ", got " + std::to_string(found) + " " + std::string(what) + ".");
  }

  Result<const Operation*> choose(std::string_view name) {
    if (document_.operations.empty()) return base::invalid("Must provide an operation.");
    if (name.empty()) {
      if (document_.operations.size() > 1)
        return base::invalid("Must provide operation name if query contains multiple operations.");
      return &document_.operations.front();
    }
    const auto found = std::ranges::find(document_.operations, name, &Operation::name);
    if (found == document_.operations.end()) return base::invalid("Unknown operation named " + in_quotes(name) + ".");
    if (found->kind == Operation::Kind::kSubscription)
      return base::invalid("Schema is not configured for subscriptions.");
    return &*found;
  }

  Result<void> take_variables(const Operation& operation) {
    if (operation.kind == Operation::Kind::kSubscription)
      return base::invalid("Schema is not configured for subscriptions.");
    for (const Variable& variable : operation.variables) {
      const json::value* given = variables_.if_contains(variable.name);
      if (given != nullptr) {
        values_[variable.name] = *given;
      } else if (variable.has_default) {
        TRY_SET(auto value, to_json(variable.otherwise));
        values_[variable.name] = std::move(value);
      } else if (variable.type.ends_with('!')) {
        return base::invalid("Variable '$" + variable.name + "' of required type " + in_quotes(variable.type) +
                             " was not provided.");
      } else {
        values_[variable.name];  // declared, and absent
      }
    }
    return {};
  }

  Result<json::value> to_json(const Value& value) const {
    switch (value.kind) {
      case Value::Kind::kNull: return json::value();
      case Value::Kind::kBool: return json::value(value.flag);
      case Value::Kind::kString:
      case Value::Kind::kEnum: return json::value(json::string(value.text));
      case Value::Kind::kInt: {
        int64_t n = 0;
        const char* end = value.text.data() + value.text.size();
        const auto [stop, error] = std::from_chars(value.text.data(), end, n);
        if (error != std::errc() || stop != end) return base::invalid("Int cannot represent " + in_quotes(value.text));
        return json::value(n);
      }
      case Value::Kind::kFloat: {
        double d = 0;
        const auto [stop, error] = std::from_chars(value.text.data(), value.text.data() + value.text.size(), d);
        if (error != std::errc()) return base::invalid("Float cannot represent " + in_quotes(value.text));
        return json::value(d);
      }
      case Value::Kind::kVariable: {
        const auto found = values_.find(value.text);
        if (found == values_.end()) return base::invalid("Variable '$" + value.text + "' is not defined.");
        return found->second.value_or(json::value());
      }
      case Value::Kind::kList: {
        json::array out;
        for (const Value& item : value.items) {
          TRY_SET(auto one, to_json(item));
          out.push_back(std::move(one));
        }
        return json::value(std::move(out));
      }
      case Value::Kind::kObject: break;
    }
    json::object out;
    for (size_t i = 0; i < value.names.size(); ++i) {
      TRY_SET(auto one, to_json(value.items[i]));
      out[value.names[i]] = std::move(one);
    }
    return json::value(std::move(out));
  }

  Result<bool> wanted(const std::vector<Directive>& directives) const {
    for (const Directive& directive : directives) {
      if (directive.name != "include" && directive.name != "skip")
        return base::invalid("Unknown directive '@" + directive.name + "'.");
      if (directive.arguments.size() != 1 || directive.arguments[0].first != "if")
        return base::invalid("Directive '@" + directive.name + "' argument 'if' of type 'Boolean!' is required.");
      TRY_SET(const auto condition, to_json(directive.arguments[0].second));
      if (!condition.is_bool()) return base::invalid("Argument 'if' of '@" + directive.name + "' must be a Boolean.");
      if (condition.get_bool() != (directive.name == "include")) return false;
    }
    return true;
  }

  bool fits(std::string_view condition, std::string_view type) const {
    return condition.empty() || condition == type || (condition == "MlflowRun" && type == "MlflowRunExtension") ||
           (condition == "MlflowMetric" && type == "MlflowMetricExtension");
  }

  // The fields of a level, fragments taken apart. A fragment within itself is met again at most kSelections times.
  Result<void> flatten(const std::vector<Selection>& selections, std::string_view type, int depth,
                       std::vector<const Selection*>& out) {
    size_t aliases = 0;
    std::vector<std::string_view> inside;
    TRY(flatten_into(selections, type, out, aliases, inside));
    if (aliases > kAliases) return too_many("aliases", kAliases, aliases);
    if (depth > kDepth) return base::invalid("Query exceeds maximum depth of " + std::to_string(kDepth));
    return {};
  }

  Result<void> flatten_into(const std::vector<Selection>& selections, std::string_view type,
                            std::vector<const Selection*>& out, size_t& aliases,
                            std::vector<std::string_view>& inside) {
    for (const Selection& one : selections) {
      if (++count_ > kSelections)
        return base::invalid("Query exceeds maximum total selections of " + std::to_string(kSelections));
      TRY_SET(const bool take, wanted(one.directives));
      if (one.kind == Selection::Kind::kField) {
        aliases += one.alias.empty() ? 0 : 1;
        if (take) out.push_back(&one);
        continue;
      }
      const bool spread = one.kind == Selection::Kind::kSpread;
      const auto found = std::ranges::find(document_.fragments, one.name, &Fragment::name);
      if (spread && found == document_.fragments.end())
        return base::invalid("Unknown fragment " + in_quotes(one.name) + ".");
      const std::string_view condition = spread ? std::string_view(found->type) : std::string_view(one.name);
      if (!fits(condition, type)) {
        return base::invalid("Fragment cannot be spread here as objects of type " + in_quotes(type) +
                             " can never be of type " + in_quotes(condition) + ".");
      }
      if (spread && std::ranges::find(inside, one.name) != inside.end())
        return base::invalid("Cannot spread fragment " + in_quotes(one.name) + " within itself.");
      if (!take) continue;
      if (spread) inside.push_back(one.name);
      TRY(flatten_into(spread ? found->selections : one.selections, type, out, aliases, inside));
      if (spread) inside.pop_back();
    }
    return {};
  }

  Result<RootCall> root_call(const Selection& selection, std::string_view type) {
    RootCall call;
    call.key = selection.alias.empty() ? selection.name : selection.alias;
    if (selection.name == "__typename") return call;
    const auto* root = std::ranges::find_if(
        kRoots, [&](const Root& r) { return r.name == selection.name && (mutation_ ? r.in_mutation : r.in_query); });
    if (root == std::end(kRoots))
      return base::invalid("Cannot query field " + in_quotes(selection.name) + " on type " + in_quotes(type) + ".");
    call.root = root;
    for (const auto& [name, value] : selection.arguments) {
      if (name != root->argument)
        return base::invalid("Unknown argument " + in_quotes(name) + " on field '" + std::string(type) + "." +
                             std::string(root->name) + "'.");
      TRY_SET(const auto given, to_json(value));
      TRY_SET(call.input, input_of(*root, given));
    }
    TRY_SET(call.below, pick({&selection}, *root->answer, 2));
    return call;
  }

  static Result<json::value> coerce(const json::value& given, const InputField& field) {
    const auto wrong = [&](std::string_view type) {
      return base::invalid(std::string(type) + " cannot represent the value of field " + in_quotes(field.name) + ": " +
                           base::to_text(given).substr(0, 80));
    };
    int64_t n = 0;
    switch (field.scalar) {
      case Scalar::kString:
        if (given.is_string()) return given;
        return wrong("String");
      case Scalar::kEnum:
        if (given.is_string() && std::ranges::find(kViews, std::string_view(given.get_string())) != std::end(kViews))
          return given;
        return wrong("MlflowViewType");
      case Scalar::kInt:
        if (given.is_int64() && std::abs(given.get_int64()) < (int64_t{1} << 31)) return given;
        return wrong("Int");
      default: break;
    }
    if (given.is_int64()) return given;
    if (given.is_string()) {
      const std::string_view digits = given.get_string();
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
      if (error == std::errc() && end == digits.data() + digits.size()) return json::value(n);
    }
    return wrong("LongString");
  }

  static Result<json::object> input_of(const Root& root, const json::value& given) {
    json::object out;
    if (given.is_null()) return out;
    if (root.call == Call::kTest) {
      if (!given.is_string()) return base::invalid("String cannot represent a non string value");
      out["text"] = given;
      return out;
    }
    if (!given.is_object())
      return base::invalid("Expected value of type " + in_quotes(root.input) + ", found " +
                           std::string(base::kind_name(given.kind())) + ".");
    for (const auto& pair : given.get_object()) {
      const std::string_view name = pair.key();
      const auto found = std::ranges::find(root.fields, name, &InputField::name);
      if (found == root.fields.end())
        return base::invalid("Field " + in_quotes(name) + " is not defined by type " + in_quotes(root.input) + ".");
      if (pair.value().is_null()) continue;
      if (!found->list) {
        TRY_SET(out[found->source], coerce(pair.value(), *found));
        continue;
      }
      json::array items;
      if (pair.value().is_array()) {
        for (const json::value& item : pair.value().get_array()) {
          TRY_SET(auto one, coerce(item, *found));
          items.push_back(std::move(one));
        }
      } else {  // one stands for a list of one
        TRY_SET(auto one, coerce(pair.value(), *found));
        items.push_back(std::move(one));
      }
      out[found->source] = std::move(items);
    }
    return out;
  }

  // What is picked of a type by all the places that name one field.
  Result<std::vector<Picked>> pick(const std::vector<const Selection*>& places, const Type& type, int depth) {
    std::vector<const Selection*> fields;
    for (const Selection* place : places) TRY(flatten(place->selections, type.name, depth, fields));
    if (fields.empty())
      return base::invalid("Field " + in_quotes(places.front()->name) + " of type " + in_quotes(type.name) +
                           " must have a selection of subfields.");
    std::vector<Picked> out;
    std::map<std::string, std::vector<const Selection*>> same;
    for (const Selection* selection : fields) {
      const std::string& key = selection->alias.empty() ? selection->name : selection->alias;
      const Field* field = type.find(selection->name);
      if (field == nullptr && selection->name != "__typename")
        return base::invalid("Cannot query field " + in_quotes(selection->name) + " on type " + in_quotes(type.name) +
                             ".");
      if (!selection->arguments.empty())
        return base::invalid("Unknown argument " + in_quotes(selection->arguments[0].first) + " on field '" +
                             std::string(type.name) + "." + selection->name + "'.");
      const bool object = field != nullptr && field->scalar == Scalar::kObject;
      if (!object && !selection->selections.empty())
        return base::invalid("Field " + in_quotes(selection->name) +
                             " must not have a selection since it has no subfields.");
      auto& all = same[key];
      if (all.empty()) {
        out.push_back({key, selection, field, {}});
      } else if (all.front()->name != selection->name) {
        return base::invalid("Fields " + in_quotes(key) + " conflict because " + in_quotes(all.front()->name) +
                             " and " + in_quotes(selection->name) + " are different fields.");
      }
      all.push_back(selection);
    }
    for (Picked& picked : out) {
      if (picked.field == nullptr || picked.field->scalar != Scalar::kObject) continue;
      TRY_SET(picked.below, pick(same[picked.key], *picked.field->type, depth + 1));
    }
    return out;
  }

  const Document& document_;
  const json::object& variables_;
  std::map<std::string, std::optional<json::value>> values_;
  size_t count_ = 0;
  bool mutation_ = false;
};

// --- answering ------------------------------------------------------------------------------------------------------

void write_number(base::JsonWriter& out, const json::value* value) {
  if (value == nullptr) return void(out.value(0.0));
  if (value->is_double()) return void(out.value(value->get_double()));
  if (value->is_int64()) return void(out.value(value->get_int64()));
  out.null();  // NaN, which JSON has not
}

void write_scalar(base::JsonWriter& out, const Field& field, const json::value* value) {
  if (value == nullptr && field.optional) return void(out.null());
  switch (field.scalar) {
    case Scalar::kFloat: return write_number(out, value);
    case Scalar::kBool: return void(out.value(value != nullptr && value->is_bool() && value->get_bool()));
    case Scalar::kInt: return void(out.value(value != nullptr && value->is_int64() ? value->get_int64() : 0));
    default: break;
  }
  if (value == nullptr) return void(out.value(field.scalar == Scalar::kLong ? "0" : ""));
  if (value->is_string()) return void(out.value(std::string_view(value->get_string())));
  out.value(base::to_text(*value));
}

}  // namespace

const Field* Type::find(std::string_view field) const {
  const auto found = std::ranges::find(fields, field, &Field::name);
  return found == fields.end() ? nullptr : &*found;
}

bool RootCall::picks(std::string_view a, std::string_view b, std::string_view c) const {
  const auto has = [](const std::vector<Picked>& level, std::string_view name) -> const Picked* {
    const auto found = std::ranges::find_if(
        level, [&](const Picked& picked) { return picked.field != nullptr && picked.field->name == name; });
    return found == level.end() ? nullptr : &*found;
  };
  const Picked* at = has(below, a);
  if (at == nullptr || b.empty()) return at != nullptr;
  at = has(at->below, b);
  return at != nullptr && (c.empty() || has(at->below, c) != nullptr);
}

Result<Plan> plan(const Document& document, std::string_view operation, const json::object& variables) {
  return Planner(document, variables).run(operation);
}

void project(base::JsonWriter& out, const Type& type, const json::object& data, const std::vector<Picked>& picked) {
  static const json::object kNothing;
  out.begin_object();
  for (const Picked& one : picked) {
    out.key(one.key);
    if (one.field == nullptr) {
      out.value(type.name);
      continue;
    }
    const Field& field = *one.field;
    const json::value* value = data.if_contains(field.source);
    if (value != nullptr && value->is_null()) value = nullptr;
    const auto write = [&](const json::value* item) {
      if (field.scalar != Scalar::kObject) return write_scalar(out, field, item);
      if (item == nullptr && field.optional) return void(out.null());
      project(out, *field.type, item != nullptr && item->is_object() ? item->get_object() : kNothing, one.below);
    };
    if (!field.list) {
      write(value);
      continue;
    }
    out.begin_array();
    if (value != nullptr && value->is_array()) {
      for (const json::value& item : value->get_array()) write(&item);
    }
    out.end_array();
  }
  out.end_object();
}

}  // namespace api::mlflow::graphql
