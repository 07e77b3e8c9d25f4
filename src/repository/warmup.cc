#include <random>

#include "repository/configured.h"

namespace repository {
namespace {

using serve::Tensor;

constexpr size_t kMaxWarmupBytes = size_t{64} << 20;  // of one input

base::Result<Tensor> warmup_tensor(const std::string& name, const ::inference::ModelWarmup::Input& told, int64_t batch,
                                   const base::Path& folder) {
  Tensor tensor{.name = name};
  TRY_SET(tensor.type, data_type(told.data_type(), name));
  if (batch > 0) tensor.shape.push_back(batch);
  tensor.shape.insert(tensor.shape.end(), told.dims().begin(), told.dims().end());
  TRY_SET(const size_t count, serve::element_count(name, tensor.shape));
  const size_t width = std::max<size_t>(serve::byte_size(tensor.type), 8);
  if (count > kMaxWarmupBytes / width)
    return base::invalid("input '" + name + "' of shape " + serve::shape_text(tensor.shape) + " is too large");
  if (told.has_input_data_file()) {
    if (tensor.type == serve::DataType::kBytes)
      return base::fail(base::Code::kUnsupported, "input '" + name + "': input_data_file of TYPE_STRING is not read");
    TRY_SET(tensor.bytes, base::read_file(folder / "warmup" / told.input_data_file(), kMaxWarmupBytes));
    if (tensor.bytes.size() != count * serve::byte_size(tensor.type))
      return base::invalid("input '" + name + "': " + told.input_data_file() + " has " +
                           std::to_string(tensor.bytes.size()) + " bytes, its shape needs " +
                           std::to_string(count * serve::byte_size(tensor.type)));
  } else if (tensor.type == serve::DataType::kBytes) {
    tensor.strings.resize(count);
  } else if (told.random_data()) {
    std::mt19937 random(42);  // the same at each load
    for (size_t i = 0; i < count; ++i) {
      const bool wide = serve::is_floating(tensor.type);
      serve::append_number(tensor, wide ? random() / 4294967296.0 : random() % 2);
    }
  } else {
    tensor.bytes.assign(count * serve::byte_size(tensor.type), 0);
  }
  return tensor;
}

}  // namespace

base::Result<void> run_warmups(const serve::Predictor& predictor, const ModelConfig& config, const base::Path& folder) {
  for (const auto& warmup : config.model_warmup()) {
    const std::string where = "model_warmup '" + warmup.name() + "'";
    const int64_t batch = config.max_batch_size() > 0 ? std::max<int64_t>(warmup.batch_size(), 1) : 0;
    std::vector<Tensor> tensors;
    for (const auto& [name, told] : warmup.inputs()) {
      auto tensor = warmup_tensor(name, told, batch, folder);
      if (!tensor) return std::unexpected(std::move(tensor).error().within(where));
      tensors.push_back(std::move(*tensor));
    }
    for (uint32_t i = 0; i < std::max(warmup.count(), 1U); ++i) {
      // Of a model that answers in sequences: one of its own.
      const serve::Call call{.sequence = {.id = "1", .start = true, .end = true}};
      if (auto ran = predictor.infer(tensors, call); !ran) return std::unexpected(std::move(ran).error().within(where));
    }
  }
  return {};
}

}  // namespace repository
