#include "serve/mlmodel.h"

#include <charconv>
#include <system_error>

#include "base/json.h"
#include "base/yaml.h"

namespace serve {
namespace {

namespace fs = std::filesystem;
using base::yaml::Node;

constexpr size_t kMaxClasses = 10'000;

std::string cures() {
  std::string out;
  for (const ModelFormat& format : model_formats()) {
    out += (out.empty() ? "log the model with " : "; ") + std::string(format.cure);
  }
  return out;
}

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

// model.onnx, model.ubj, …; or else the only file whose name is of one format alone.
base::Result<ModelFolder> bare_folder(const base::Path& folder) {
  std::vector<ModelFolder> called_model, others;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    for (const ModelFormat& format : model_formats()) {
      if (!is_file_of(format, entry.path())) continue;
      ModelFolder found;
      found.format = &format;
      found.model_file = entry.path();
      if (entry.path().stem() == "model") {
        called_model.push_back(std::move(found));
      } else if (!format.common_names || entry.path().extension() == ".ubj" || entry.path().extension() == ".xgb" ||
                 entry.path().extension() == ".lgb") {
        others.push_back(std::move(found));
      }
    }
  }
  if (error) return base::not_found("model folder " + folder.string() + ": " + error.message());
  const bool bento =
      fs::is_regular_file(folder / "service.py", error) || fs::is_regular_file(folder / "bento.yaml", error);
  if (fs::is_regular_file(folder / "model.py", error) || bento) {
    ModelFolder out;
    out.format = &kPythonFormat;
    for (const auto& [name, path] :
         {std::pair("input_example.json", &out.input_example), std::pair("output_example.json", &out.output_example)}) {
      if (fs::is_regular_file(folder / name, error)) *path = folder / name;
    }
    return out;
  }
  const auto& found = called_model.empty() ? others : called_model;
  if (found.size() == 1) return found[0];
  return base::invalid(
      "the model's folder holds neither MLmodel nor model.py nor service.py nor one model file (found " +
      std::to_string(found.size()) +
      "; looked for model.onnx, model.json, model.ubj, model.xgb, "
      "model.lgb, model.txt); " +
      cures());
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
  if (base::is_safe_relative_path(example) && fs::is_regular_file(folder / example, error))
    out.input_example = folder / example;
  if (fs::is_regular_file(folder / "output_example.json", error)) out.output_example = folder / "output_example.json";
}

// The first format of the table that the model is in.
base::Result<void> find_file(const Node& flavors, const base::Path& folder, ModelFolder& out) {
  std::string other_file;
  for (const ModelFormat& format : model_formats()) {
    const Node* flavor = flavors.find(format.flavor);
    if (!flavor || !flavor->is_map()) continue;
    out.format = &format;
    if (format.whole_folder) return {};
    const Node* data = flavor->find("data");
    const std::string name = "flavors." + std::string(format.flavor) + ".data";
    if (!data || !data->is_scalar()) return base::invalid("MLmodel: " + name + " is missing");
    TRY_SET(const base::Path file, inside(folder, data->scalar, name.c_str()));
    if (!is_file_of(format, file)) {  // a scikit-learn wrapper is stored as a pickle
      other_file = " (its file " + data->scalar + " is not in " + std::string(format.flavor) + "'s own format)";
      continue;
    }
    out.model_file = file;
    if (const Node* model_class = flavor->find("model_class"); model_class && model_class->is_scalar())
      out.model_class = model_class->scalar;
    return {};
  }
  std::string found;
  for (const auto& entry : flavors.entries) found += (found.empty() ? "" : ", ") + entry.key;
  std::string served;
  for (const ModelFormat& format : model_formats()) served += (served.empty() ? "" : ", ") + std::string(format.flavor);
  return base::fail(base::Code::kUnsupported, "the model has the flavors " + found + other_file +
                                                  "; Lathe serves the flavors " + served + ": " + cures());
}

base::Result<void> read_metadata(const Node& metadata, ModelFolder& out) {
  if (const Node* transform = metadata.find("lathe.transform"); transform && transform->is_scalar()) {
    if (transform->scalar != "included") {
      return base::invalid("MLmodel: metadata lathe.transform is " + transform->describe() + "; allowed: included");
    }
    out.transform_included = true;
  }
  if (const Node* classes = metadata.find("lathe.classes")) {
    if (!classes->is_sequence() || classes->items.empty() || classes->items.size() > kMaxClasses)
      return base::invalid("MLmodel: metadata lathe.classes must be a list of names, found " + classes->describe());
    for (const Node& item : classes->items) {
      if (!item.is_scalar()) return base::invalid("MLmodel: metadata lathe.classes holds " + item.describe());
      out.classes.push_back(item.scalar);
    }
  }
  const Node* serving = metadata.find("lathe.serving");  // the rest of it is the worker's to tell
  const Node* python = serving && serving->is_map() ? serving->find("python") : nullptr;
  if (python && !python->is_scalar())
    return base::invalid("MLmodel: metadata lathe.serving.python must be a name, found " + python->describe());
  if (python) out.python = python->scalar;
  if (const Node* threshold = metadata.find("lathe.threshold")) {
    const std::string& text = threshold->scalar;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out.threshold);
    if (!threshold->is_scalar() || error != std::errc() || end != text.data() + text.size() ||
        !(out.threshold >= 0 && out.threshold <= 1)) {
      return base::invalid("MLmodel: metadata lathe.threshold must be a number from 0 to 1, found " +
                           threshold->describe());
    }
  }
  return {};
}

}  // namespace

base::Result<ModelFolder> read_model_folder(const base::Path& folder) {
  std::error_code error;
  if (!fs::exists(folder / "MLmodel", error)) {
    TRY_SET(ModelFolder bare, bare_folder(folder));
    bare.folder = folder;
    return bare;
  }
  TRY_SET(const std::string text, base::read_file(folder / "MLmodel", size_t{1} << 20));
  base::yaml::Limits limits;
  limits.refuse_yaml11_booleans = false;  // MLflow writes YAML 1.1
  TRY_SET(const Node root, base::yaml::parse(text, "MLmodel", limits));

  const Node* flavors = root.find("flavors");
  if (!flavors || !flavors->is_map()) return base::invalid("MLmodel: 'flavors' is missing");
  ModelFolder out;
  out.folder = folder;
  TRY(find_file(*flavors, folder, out));
  if (!out.format->whole_folder) {
    TRY_SET(out.columns, signature_columns(root));
  }
  if (const Node* metadata = root.find("metadata"); metadata && metadata->is_map()) TRY(read_metadata(*metadata, out));
  find_examples(root, folder, out);
  return out;
}

}  // namespace serve
