#include "serve/mlmodel.h"

#include <algorithm>
#include <system_error>

#include "base/json.h"
#include "base/yaml.h"

namespace serve {
namespace {

namespace fs = std::filesystem;
using base::yaml::Node;

constexpr const char* kLogCure = "log the model with mlflow.onnx.log_model (skl2onnx.to_onnx makes the ONNX form)";

base::Result<base::Path> inside(const base::Path& folder, const std::string& relative, const char* what) {
  if (!base::is_safe_relative_path(relative)) {
    return base::invalid(std::string("MLmodel: ") + what + " '" + relative + "' is not a plain relative path");
  }
  std::error_code error;
  if (!fs::is_regular_file(folder / relative, error)) {
    return base::invalid(std::string("MLmodel: ") + what + " '" + relative + "' is not in the model's folder");
  }
  return folder / relative;
}

base::Result<ModelFolder> bare_folder(const base::Path& folder) {
  std::vector<base::Path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".onnx") files.push_back(entry.path());
  }
  if (error) return base::not_found("model folder " + folder.string() + ": " + error.message());
  ModelFolder out;
  if (fs::is_regular_file(folder / "model.onnx", error)) {
    out.model_file = folder / "model.onnx";
  } else if (files.size() == 1) {
    out.model_file = files[0];
  } else {
    return base::invalid("the model's folder holds neither MLmodel nor one .onnx file (found " +
                         std::to_string(files.size()) + "); " + kLogCure);
  }
  return out;
}

// signature.inputs is JSON text: [{"type": "double", "name": "x"}, …] for columns, {"type": "tensor", …} for tensors.
base::Result<std::vector<std::string>> signature_columns(const Node& root) {
  std::vector<std::string> columns;
  const Node* signature = root.find("signature");
  const Node* inputs = signature && signature->is_map() ? signature->find("inputs") : nullptr;
  if (!inputs || !inputs->is_scalar()) return columns;
  auto parsed = base::parse_json(inputs->scalar);
  if (!parsed) return std::unexpected(std::move(parsed).error().within("MLmodel: signature.inputs"));
  if (!parsed->is_array()) return columns;
  for (const auto& entry : parsed->as_array()) {
    if (!entry.is_object()) continue;
    const auto* name = entry.as_object().if_contains("name");
    if (!name || !name->is_string()) return std::vector<std::string>();  // unnamed: only positions count
    columns.emplace_back(name->as_string().c_str());
  }
  return columns;
}

void find_examples(const Node& root, const base::Path& folder, ModelFolder& out) {
  std::string example = "input_example.json";
  if (const Node* info = root.find("saved_input_example_info"); info && info->is_map()) {
    if (const Node* path = info->find("artifact_path"); path && path->is_scalar()) example = path->scalar;
  }
  std::error_code error;
  if (base::is_safe_relative_path(example) && fs::is_regular_file(folder / example, error)) out.input_example = folder / example;
  if (fs::is_regular_file(folder / "output_example.json", error)) out.output_example = folder / "output_example.json";
}

}  // namespace

base::Result<ModelFolder> read_model_folder(const base::Path& folder) {
  std::error_code error;
  if (!fs::exists(folder / "MLmodel", error)) return bare_folder(folder);
  TRY_SET(const std::string text, base::read_file(folder / "MLmodel", size_t{1} << 20));
  base::yaml::Limits limits;
  limits.refuse_yaml11_booleans = false;  // MLflow writes YAML 1.1
  TRY_SET(const Node root, base::yaml::parse(text, "MLmodel", limits));

  const Node* flavors = root.find("flavors");
  if (!flavors || !flavors->is_map()) return base::invalid("MLmodel: 'flavors' is missing");
  const Node* onnx = flavors->find("onnx");
  if (!onnx || !onnx->is_map()) {
    std::string found;
    for (const auto& entry : flavors->entries) found += (found.empty() ? "" : ", ") + entry.key;
    return base::fail(base::Code::kUnsupported,
                      "the model has the flavors " + found + "; Lathe serves the flavor onnx: " + kLogCure);
  }
  const Node* data = onnx->find("data");
  if (!data || !data->is_scalar()) return base::invalid("MLmodel: flavors.onnx.data is missing");
  ModelFolder out;
  TRY_SET(out.model_file, inside(folder, data->scalar, "flavors.onnx.data"));
  TRY_SET(out.columns, signature_columns(root));
  if (const Node* metadata = root.find("metadata"); metadata && metadata->is_map()) {
    if (const Node* transform = metadata->find("lathe.transform"); transform && transform->is_scalar()) {
      if (transform->scalar != "included") {
        return base::invalid("MLmodel: metadata lathe.transform is " + transform->describe() + "; allowed: included");
      }
      out.transform_included = true;
    }
  }
  find_examples(root, folder, out);
  return out;
}

}  // namespace serve
