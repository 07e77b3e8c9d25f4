#include "repository/config.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <set>

#include "base/fs.h"
#include "base/utf8.h"
#include "repository/sequences.h"

namespace repository {
namespace {

namespace pb = google::protobuf;

constexpr int kMaxDepth = 32;
constexpr size_t kMaxUnknown = 32;  // named in the warning

// Keeps the first error and the names of unknown fields.
class Findings final : public pb::io::ErrorCollector {
 public:
  explicit Findings(std::string_view file) : file_(file) {}
  void AddError(int line, pb::io::ColumnNumber column, const std::string& message) override {
    if (!error.empty()) return;
    error = file_;
    if (line >= 0) error += ":" + std::to_string(line + 1) + ":" + std::to_string(column + 1);
    error += ": " + message;
  }
  void AddWarning(int line, pb::io::ColumnNumber, const std::string& message) override {
    if (unknown.size() >= kMaxUnknown) return;
    const size_t from = message.find('"');
    const size_t to = message.rfind('"');
    const size_t named = message.find("named \"");
    std::string name = message;
    if (named != message.npos && to > named + 7)
      name = message.substr(named + 7, to - named - 7);
    else if (from != message.npos && to > from)
      name = message.substr(from + 1, to - from - 1);
    if (name.size() > 80) name.resize(80);
    unknown.push_back(name + " (line " + std::to_string(line + 1) + ")");
  }
  std::string error;
  std::vector<std::string> unknown;

 private:
  std::string file_;
};

// Field numbers of ModelConfig that something here acts on, or that say what is true anyway.
const std::set<int>& acted_on() {
  static const std::set<int> fields = {
      ModelConfig::kNameFieldNumber,         ModelConfig::kPlatformFieldNumber,
      ModelConfig::kBackendFieldNumber,      ModelConfig::kVersionPolicyFieldNumber,
      ModelConfig::kMaxBatchSizeFieldNumber, ModelConfig::kInputFieldNumber,
      ModelConfig::kOutputFieldNumber,       ModelConfig::kEnsembleSchedulingFieldNumber,
      ModelConfig::kModelWarmupFieldNumber,  ModelConfig::kDefaultModelFilenameFieldNumber};
  return fields;
}

template <class Fields>
base::Result<void> check_tensors(const Fields& tensors, std::string_view kind) {
  std::set<std::string_view> names;
  for (const auto& tensor : tensors) {
    const std::string where = std::string(kind) + " '" + tensor.name() + "'";
    if (tensor.name().empty()) return base::invalid("an " + std::string(kind) + " has no name");
    if (!names.insert(tensor.name()).second) return base::invalid(where + " is there twice");
    if (tensor.data_type() == ::inference::TYPE_INVALID) return base::invalid(where + " has no data_type");
    if (tensor.dims_size() == 0 && !tensor.has_reshape())
      return base::invalid(where + " has no dims; a scalar has dims: [ 1 ] and reshape: { shape: [ ] }");
    if (tensor.dims_size() > static_cast<int>(serve::kMaxRank))
      return base::invalid(where + " has " + std::to_string(tensor.dims_size()) + " dimensions; at most " +
                           std::to_string(serve::kMaxRank) + " are allowed");
    int64_t elements = 1, reshaped = 1;
    for (const int64_t dim : tensor.dims()) {
      if (dim < -1 || dim == 0)
        return base::invalid(where + ": a dimension is " + std::to_string(dim) + "; allowed: -1 or above 0");
      elements = dim < 0 || elements < 0 || elements > (int64_t{1} << 40) / dim ? -1 : elements * dim;
    }
    if (!tensor.has_reshape()) continue;
    for (const int64_t dim : tensor.reshape().shape()) {
      if (dim < 1)
        return base::invalid(where + ": a dimension of its reshape is " + std::to_string(dim) + "; allowed: above 0");
      reshaped = reshaped < 0 || reshaped > (int64_t{1} << 40) / dim ? -1 : reshaped * dim;
    }
    if (elements < 0 || elements != reshaped)
      return base::invalid(where + ": its reshape has another number of elements than its dims");
  }
  return {};
}

base::Result<void> check_versions(const ModelConfig& config) {
  const auto& policy = config.version_policy();
  if (policy.has_latest() && (policy.latest().num_versions() < 1 || policy.latest().num_versions() > kMaxLatest))
    return base::invalid("version_policy.latest.num_versions is " + std::to_string(policy.latest().num_versions()) +
                         "; allowed: 1 to " + std::to_string(kMaxLatest));
  if (policy.has_specific() && policy.specific().versions().empty())
    return base::invalid("version_policy.specific names no versions");
  return {};
}

base::Result<void> check_ensemble(const ModelConfig& config) {
  const auto& steps = config.ensemble_scheduling().step();
  if (steps.empty()) return base::invalid("ensemble_scheduling has no step");
  if (steps.size() > kMaxSteps)
    return base::invalid("ensemble_scheduling has " + std::to_string(steps.size()) + " steps; at most " +
                         std::to_string(kMaxSteps) + " are allowed");
  if (config.input().empty() || config.output().empty())
    return base::invalid("an ensemble must name its inputs and outputs");
  std::set<std::string> given;  // whether each step finds its inputs is looked at when they are put in order
  for (const auto& input : config.input()) given.insert(input.name());
  for (const auto& step : steps) {
    if (step.model_name().empty()) return base::invalid("a step of the ensemble has no model_name");
    if (step.model_name() == config.name()) return base::invalid("the ensemble is a step of itself");
    if (step.model_version() < -1 || step.input_map().empty() || step.output_map().empty())
      return base::invalid("the step of model '" + step.model_name() +
                           "' must map inputs and outputs, and its model_version be -1 or a version");
    for (const auto& map : step.output_map()) {
      if (!given.insert(map.second).second)
        return base::invalid("the ensemble's tensor '" + map.second + "' is given twice");
    }
  }
  for (const auto& output : config.output()) {
    if (!given.contains(output.name()))
      return base::invalid("no step gives the ensemble's output '" + output.name() + "'");
  }
  return {};
}

base::Result<void> check_warmups(const ModelConfig& config) {
  if (config.model_warmup_size() > kMaxWarmups)
    return base::invalid("model_warmup has " + std::to_string(config.model_warmup_size()) + " entries; at most " +
                         std::to_string(kMaxWarmups) + " are allowed");
  for (const auto& warmup : config.model_warmup()) {
    const std::string where = "model_warmup '" + warmup.name() + "'";
    if (warmup.count() > kMaxWarmupRuns)
      return base::invalid(where + ": count is " + std::to_string(warmup.count()) + "; at most " +
                           std::to_string(kMaxWarmupRuns) + " is allowed");
    if (warmup.batch_size() > static_cast<uint32_t>(std::max(config.max_batch_size(), 1)))
      return base::invalid(where + ": batch_size is " + std::to_string(warmup.batch_size()) + ", above max_batch_size");
    for (const auto& [name, input] : warmup.inputs()) {
      for (const int64_t dim : input.dims()) {
        if (dim < 1) return base::invalid(where + ": a dimension of input '" + name + "' is " + std::to_string(dim));
      }
      if (input.has_input_data_file() && (!base::is_safe_relative_path(input.input_data_file()) ||
                                          input.input_data_file().find('/') != std::string::npos))
        return base::invalid(where + ": input_data_file '" + input.input_data_file().substr(0, 80) +
                             "' is not the plain name of a file in the model's folder warmup");
    }
  }
  return {};
}

// An escape in a text ("\377") may make any bytes.
bool has_only_text(const pb::Message& message) {
  std::vector<const pb::FieldDescriptor*> set;
  const pb::Reflection* r = message.GetReflection();
  r->ListFields(message, &set);
  for (const auto* f : set) {
    const int count = f->is_repeated() ? r->FieldSize(message, f) : 1;
    for (int at = 0; at < count; ++at) {
      if (f->cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING) {
        if (!base::is_utf8(f->is_repeated() ? r->GetRepeatedString(message, f, at) : r->GetString(message, f)))
          return false;
      } else if (f->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
        if (!has_only_text(f->is_repeated() ? r->GetRepeatedMessage(message, f, at) : r->GetMessage(message, f)))
          return false;
      }
    }
  }
  return true;
}

void write_message(base::JsonWriter& json, const pb::Message& message);

void write_value(base::JsonWriter& json, const pb::Message& m, const pb::FieldDescriptor* f, int at) {
  const pb::Reflection* r = m.GetReflection();
  const bool many = f->is_repeated();
  switch (f->cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_INT32:
      json.value(many ? r->GetRepeatedInt32(m, f, at) : r->GetInt32(m, f));
      break;
    case pb::FieldDescriptor::CPPTYPE_INT64:
      json.value(many ? r->GetRepeatedInt64(m, f, at) : r->GetInt64(m, f));
      break;
    case pb::FieldDescriptor::CPPTYPE_UINT32:
      json.value(many ? r->GetRepeatedUInt32(m, f, at) : r->GetUInt32(m, f));
      break;
    case pb::FieldDescriptor::CPPTYPE_UINT64:  // beyond what the writer's own integers hold
      json.raw(std::to_string(many ? r->GetRepeatedUInt64(m, f, at) : r->GetUInt64(m, f)));
      break;
    case pb::FieldDescriptor::CPPTYPE_DOUBLE:
      json.value(many ? r->GetRepeatedDouble(m, f, at) : r->GetDouble(m, f));
      break;
    case pb::FieldDescriptor::CPPTYPE_FLOAT:
      json.value(static_cast<double>(many ? r->GetRepeatedFloat(m, f, at) : r->GetFloat(m, f)));
      break;
    case pb::FieldDescriptor::CPPTYPE_BOOL: json.value(many ? r->GetRepeatedBool(m, f, at) : r->GetBool(m, f)); break;
    case pb::FieldDescriptor::CPPTYPE_STRING:
      json.value(many ? r->GetRepeatedString(m, f, at) : r->GetString(m, f));
      break;
    case pb::FieldDescriptor::CPPTYPE_ENUM: {
      const int number = many ? r->GetRepeatedEnumValue(m, f, at) : r->GetEnumValue(m, f);
      const auto* value = f->enum_type()->FindValueByNumber(number);
      value ? json.value(value->name()) : json.value(number);
      break;
    }
    case pb::FieldDescriptor::CPPTYPE_MESSAGE:
      write_message(json, many ? r->GetRepeatedMessage(m, f, at) : r->GetMessage(m, f));
      break;
  }
}

// Scalars and lists are always there, messages and members of a oneof if they are set.
void write_message(base::JsonWriter& json, const pb::Message& message) {
  const pb::Reflection* r = message.GetReflection();
  const pb::Descriptor* d = message.GetDescriptor();
  json.begin_object();
  for (int i = 0; i < d->field_count(); ++i) {
    const pb::FieldDescriptor* f = d->field(i);
    if (f->is_map()) {
      const pb::FieldDescriptor* value = f->message_type()->map_value();
      const pb::FieldDescriptor* key = f->message_type()->map_key();
      json.key(f->name()).begin_object();
      for (int at = 0; at < r->FieldSize(message, f); ++at) {
        const pb::Message& entry = r->GetRepeatedMessage(message, f, at);
        const pb::Reflection* er = entry.GetReflection();
        json.key(key->cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING ? er->GetString(entry, key)
                                                                        : std::to_string(er->GetUInt64(entry, key)));
        write_value(json, entry, value, 0);
      }
      json.end_object();
    } else if (f->is_repeated()) {
      json.key(f->name()).begin_array();
      for (int at = 0; at < r->FieldSize(message, f); ++at) write_value(json, message, f, at);
      json.end_array();
    } else if (f->has_presence() ? r->HasField(message, f) : true) {
      json.key(f->name());
      write_value(json, message, f, 0);
    }
  }
  json.end_object();
}

}  // namespace

base::Result<ReadConfig> read_config(std::string_view text, std::string_view file) {
  if (text.size() > kMaxConfigBytes)
    return base::invalid(std::string(file) + " has " + std::to_string(text.size()) + " bytes; at most " +
                         std::to_string(kMaxConfigBytes) + " are allowed");
  if (!base::is_utf8(text)) return base::invalid(std::string(file) + " is not UTF-8");
  Findings findings(file);
  pb::TextFormat::Parser parser;
  parser.RecordErrorsTo(&findings);
  parser.AllowUnknownField(true);
  parser.SetRecursionLimit(kMaxDepth);
  ReadConfig out;
  pb::io::ArrayInputStream stream(text.data(), static_cast<int>(text.size()));
  if (!parser.Parse(&stream, &out.config)) {
    return base::invalid(findings.error.empty() ? std::string(file) + " is no model configuration" : findings.error);
  }
  if (!has_only_text(out.config)) return base::invalid(std::string(file) + " has a text that is not UTF-8");
  // The parser appends a map's entries to a list; a key given twice would be there twice for whoever walks it by
  // reflection. The wire format knows no list of them: the last one counts.
  out.config.ParseFromString(out.config.SerializeAsString());
  out.unknown = std::move(findings.unknown);
  return out;
}

base::Result<ReadConfig> read_config_json(std::string_view json) {
  if (json.size() > kMaxConfigBytes)
    return base::fail(base::Code::kTooLarge, "the configuration has " + std::to_string(json.size()) +
                                                 " bytes; at most " + std::to_string(kMaxConfigBytes) + " are allowed");
  if (!base::is_utf8(json)) return base::invalid("the configuration is not UTF-8");
  ReadConfig out;
  pb::util::JsonParseOptions options;
  options.ignore_unknown_fields = false;
  const auto parsed = pb::util::JsonStringToMessage(std::string(json), &out.config, options);
  if (!parsed.ok()) return base::invalid("the configuration: " + std::string(parsed.message()).substr(0, 500));
  if (!has_only_text(out.config)) return base::invalid("the configuration has a text that is not UTF-8");
  return out;
}

base::Result<void> check_config(const ModelConfig& config, std::string_view folder_name) {
  if (!config.name().empty() && config.name() != folder_name)
    return base::invalid("name is '" + config.name() + "', and its folder is called '" + std::string(folder_name) +
                         "'; they must be the same, or name absent");
  if (config.max_batch_size() < 0 || config.max_batch_size() > kMaxBatch)
    return base::invalid("max_batch_size is " + std::to_string(config.max_batch_size()) + "; allowed: 0 to " +
                         std::to_string(kMaxBatch));
  TRY(check_tensors(config.input(), "input"));
  TRY(check_tensors(config.output(), "output"));
  TRY(check_versions(config));
  TRY(check_warmups(config));
  if (const auto& batching = config.dynamic_batching(); batching.default_priority_level() > batching.priority_levels())
    return base::invalid("default_priority_level is " + std::to_string(batching.default_priority_level()) +
                         "; priority_levels are " + std::to_string(batching.priority_levels()));
  const std::string& file = config.default_model_filename();
  if (!file.empty() && (!base::is_safe_relative_path(file) || file.find('/') != std::string::npos))
    return base::invalid("default_model_filename '" + file.substr(0, 80) + "' is not the plain name of a file");
  for (const auto& output : config.output()) {
    if (!output.label_filename().empty() && !base::is_safe_relative_path(output.label_filename()))
      return base::invalid("label_filename '" + output.label_filename().substr(0, 80) +
                           "' is not a plain relative path");
  }
  if (config.has_sequence_batching()) return check_sequences(config);
  if (config.has_ensemble_scheduling()) return check_ensemble(config);
  if (config.platform() == "ensemble") return base::invalid("platform is ensemble, and ensemble_scheduling is absent");
  return {};
}

std::vector<std::string> not_acted_on(const ModelConfig& config, const ActedOn& here) {
  std::vector<const pb::FieldDescriptor*> set;
  config.GetReflection()->ListFields(config, &set);
  std::vector<std::string> out;
  for (const auto* field : set) {
    if (field->number() == ModelConfig::kInstanceGroupFieldNumber) {
      // Any number of threads run a session at once: a count of instances on the CPU is always there.
      for (const auto& group : config.instance_group()) {
        if (group.kind() == ::inference::ModelInstanceGroup::KIND_GPU) {
          out.emplace_back("instance_group of KIND_GPU (models run on the CPU)");
          break;
        }
      }
      continue;
    }
    if (field->number() == ModelConfig::kModelTransactionPolicyFieldNumber &&
        !config.model_transaction_policy().decoupled())
      continue;
    if (field->number() == ModelConfig::kDynamicBatchingFieldNumber && here.batches) continue;
    if (field->number() == ModelConfig::kResponseCacheFieldNumber && (here.cache || !config.response_cache().enable()))
      continue;
    if (field->number() == ModelConfig::kSequenceBatchingFieldNumber) {
      // Each request of a sequence is an execution of its own.
      if (config.sequence_batching().iterative_sequence()) out.emplace_back("sequence_batching.iterative_sequence");
      if (config.sequence_batching().oldest().preferred_batch_size_size() > 0)
        out.emplace_back("sequence_batching.oldest.preferred_batch_size");
      continue;
    }
    if (field->number() == ModelConfig::kParametersFieldNumber && here.batches &&
        config.parameters().size() == config.parameters().count("EXECUTION_ENV_PATH"))
      continue;
    if (!acted_on().contains(field->number())) out.push_back(field->name());
  }
  return out;
}

void complete(ModelConfig& config, std::string_view name, const serve::Predictor& predictor) {
  config.set_name(std::string(name));
  if (config.platform().empty()) config.set_platform(std::string(predictor.model().platform()));
  if (config.backend().empty() && config.platform().starts_with("onnx")) config.set_backend("onnxruntime");
  if (config.version_policy().policy_choice_case() == ::inference::ModelVersionPolicy::POLICY_CHOICE_NOT_SET)
    config.mutable_version_policy()->mutable_latest()->set_num_versions(1);
  config.mutable_model_transaction_policy();
  const bool batches = config.max_batch_size() > 0;
  const auto fill = [&](const serve::TensorInfo& info, auto& told) {
    told.set_name(info.name);
    told.set_data_type(config_type(info.type));
    for (size_t i = batches ? 1 : 0; i < info.shape.size(); ++i) told.add_dims(info.shape[i]);
  };
  if (config.input().empty()) {
    for (const auto& info : predictor.inputs()) fill(info, *config.add_input());
  }
  if (config.output().empty()) {
    for (const auto& info : predictor.outputs()) fill(info, *config.add_output());
  }
}

ModelConfig config_of(const serve::LiveEndpoint& endpoint) {
  if (endpoint.config) return *endpoint.config;
  ModelConfig config;
  if (endpoint.predictor) complete(config, endpoint.name, *endpoint.predictor);
  return config;
}

void write_config(base::JsonWriter& json, const ModelConfig& config) { write_message(json, config); }

::inference::DataType config_type(serve::DataType type) {
  switch (type) {
    case serve::DataType::kBool: return ::inference::TYPE_BOOL;
    case serve::DataType::kUint8: return ::inference::TYPE_UINT8;
    case serve::DataType::kUint16: return ::inference::TYPE_UINT16;
    case serve::DataType::kUint32: return ::inference::TYPE_UINT32;
    case serve::DataType::kUint64: return ::inference::TYPE_UINT64;
    case serve::DataType::kInt8: return ::inference::TYPE_INT8;
    case serve::DataType::kInt16: return ::inference::TYPE_INT16;
    case serve::DataType::kInt32: return ::inference::TYPE_INT32;
    case serve::DataType::kInt64: return ::inference::TYPE_INT64;
    case serve::DataType::kFp16: return ::inference::TYPE_FP16;
    case serve::DataType::kBf16: return ::inference::TYPE_BF16;
    case serve::DataType::kFp32: return ::inference::TYPE_FP32;
    case serve::DataType::kFp64: return ::inference::TYPE_FP64;
    case serve::DataType::kBytes: return ::inference::TYPE_STRING;
  }
  return ::inference::TYPE_INVALID;
}

base::Result<serve::DataType> data_type(::inference::DataType type, std::string_view tensor) {
  for (int i = 0; i <= static_cast<int>(serve::DataType::kBytes); ++i) {
    const auto ours = static_cast<serve::DataType>(i);
    if (config_type(ours) == type) return ours;
  }
  return base::invalid("tensor '" + std::string(tensor) + "' has no data_type");
}

base::Result<void> check_model_name(std::string_view name) {
  if (name.empty()) return base::invalid("the model's name is empty");
  const bool plain = name.size() <= kMaxNameBytes && name.front() != '.' && name.find('/') == name.npos &&
                     base::is_safe_relative_path(name) &&
                     std::ranges::none_of(name, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (plain) return {};
  return base::invalid("'" + std::string(name.substr(0, 80)) +
                       "' is no name of a model: it must be the plain name of a folder");
}

}  // namespace repository
