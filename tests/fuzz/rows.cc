// JSON rows and tensors: KServe v1's instances and inputs, pandas' split, records and columns, MLflow's scoring bodies;
// CSV; Seldon's messages.
#include "api/inference/rows_body.h"
#include "api/inference/seldon.h"
#include "fuzz.h"
#include "serve/json_rows.h"

namespace {

// The shape of a model of three named columns; it only has to be asked for names and types.
class ThreeColumns final : public serve::Predictor {
 public:
  const serve::Model& model() const override { std::abort(); }
  const stats::Transform& transform() const override { return transform_; }
  bool applies_transform() const override { return false; }
  const std::vector<serve::TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<serve::TensorInfo>& outputs() const override { return inputs_; }
  base::Result<std::vector<serve::Tensor>> infer(std::span<const serve::Tensor>, const serve::Call&) const override {
    std::abort();
  }
  base::Result<serve::Prediction> predict(const stats::Table&) const override { std::abort(); }
  const std::vector<serve::Feature>& features() const override { return features_; }
  bool features_named() const override { return true; }
  base::Result<std::vector<serve::Tensor>> tensors_of(const stats::Table& raw) const override {
    for (const auto& column : raw.columns) REQUIRE(column.size() == raw.rows());
    return std::vector<serve::Tensor>{};
  }
  void rows_of(std::span<const serve::Tensor>, serve::RawRows&) const override {}
  serve::Prediction read(std::span<const serve::Tensor>) const override { return {}; }

 private:
  stats::Transform transform_;
  std::vector<serve::TensorInfo> inputs_{{.name = "x", .type = serve::DataType::kFp32, .shape = {-1, 3}}};
  std::vector<serve::Feature> features_{
      {.name = "a", .text = false}, {.name = "b", .text = false}, {.name = "c", .text = true}};
};

void check(const base::Result<std::vector<serve::Tensor>>& tensors) {
  if (!tensors) return;
  for (const serve::Tensor& tensor : *tensors) REQUIRE(serve::element_count(tensor.name, tensor.shape));
}

void check(const base::Result<stats::Table>& table) {
  if (!table) return;
  for (const auto& column : table->columns) REQUIRE(column.size() == table->rows());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ThreeColumns kModel;
  fuzz::Input input(data, size);
  const uint8_t how = input.byte();
  const std::string_view text = input.rest();
  if ((how & 0xc0) == 0xc0) {
    check(api::inference::from_csv(kModel, text, (how & 1) != 0));
    return 0;
  }
  if ((how & 0xc0) == 0x80) {
    if (auto message = api::inference::parse_seldon(kModel, text)) check(std::move(message->tensors));
    return 0;
  }
  const auto json = base::parse_json(text);
  if (!json) return 0;
  if (how & 1) {
    check(api::inference::from_instances(kModel, *json));
    check(api::inference::from_inputs(kModel, *json));
  } else {
    const serve::TensorInfo info{.name = "x", .type = static_cast<serve::DataType>((how >> 1) % 14), .shape = {-1, 3}};
    if (const auto tensor = serve::tensor_from_json(*json, info)) {
      const auto count = serve::element_count("x", tensor->shape);
      REQUIRE(count);
      REQUIRE(info.type == serve::DataType::kBytes ? tensor->strings.size() == *count
                                                   : tensor->bytes.size() == *count * serve::byte_size(info.type));
      (void)serve::check_tensor(*tensor, info);
    }
  }
  if (const auto* object = json->if_object()) {
    check(api::inference::from_scoring(kModel, *object));
    check(serve::table_from_split(*object));
    check(serve::table_from_columns(*object));
  }
  if (const auto* array = json->if_array()) check(serve::table_from_records(*array));
  return 0;
}
