// Triton's model configuration: read from config.pbtxt or from the JSON of a load request, checked, completed from the
// model where it is silent, and written as Triton writes it. Bytes from outside: errors say file, line and column, or
// the field; what is read and not acted on is named. Thread: free functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json_writer.h"
#include "base/result.h"
#include "model_config.pb.h"
#include "serve/routes.h"
#include "serve/tensor.h"

namespace repository {

using ModelConfig = ::inference::ModelConfig;

inline constexpr size_t kMaxConfigBytes = size_t{1} << 20;
inline constexpr size_t kMaxNameBytes = 256;     // of a model
inline constexpr int32_t kMaxBatch = 1'000'000;  // the highest max_batch_size
inline constexpr uint32_t kMaxLatest = 1'000;    // versions served at once
inline constexpr int kMaxSteps = 64;             // of an ensemble
inline constexpr int kMaxWarmups = 64;
inline constexpr uint32_t kMaxWarmupRuns = 1'000;

struct ReadConfig {
  ModelConfig config;
  std::vector<std::string> unknown;  // fields that are in no definition of ours
};
// `file` stands before line and column in errors.
base::Result<ReadConfig> read_config(std::string_view text, std::string_view file);
base::Result<ReadConfig> read_config_json(std::string_view json);

// What can be said of a configuration alone: its name is the folder's, dimensions, bounds, one scheduling.
base::Result<void> check_config(const ModelConfig& config, std::string_view folder_name);
// Fields that are set and that nothing here acts on.
struct ActedOn {
  bool batches = false;  // the model runs in workers: batches can form
  bool cache = false;    // the server has a response cache
};
std::vector<std::string> not_acted_on(const ModelConfig& config, const ActedOn& here);

// Fills in what is absent from what the model says of itself.
void complete(ModelConfig& config, std::string_view name, const serve::Predictor& predictor);
// The endpoint's own, or what would be completed for it.
ModelConfig config_of(const serve::LiveEndpoint& endpoint);

// As JSON: fields by their own names, all scalars, numbers as numbers.
void write_config(base::JsonWriter& json, const ModelConfig& config);

::inference::DataType config_type(serve::DataType type);
// kInvalid for TYPE_INVALID.
base::Result<serve::DataType> data_type(::inference::DataType type, std::string_view tensor);

// A model's name in a path or in a message: no separator, nothing hidden, not empty.
base::Result<void> check_model_name(std::string_view name);

}  // namespace repository
