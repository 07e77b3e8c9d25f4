#include "serve/model_format.h"

#include <algorithm>
#include <array>

#include "serve/mlmodel.h"
#include "serve/onnx_model.h"
#include "serve/python_model.h"
#include "serve/tree_model.h"

namespace serve {
namespace {

constexpr std::array<std::string_view, 1> kOnnxFiles = {".onnx"};
constexpr std::array<std::string_view, 3> kXgboostFiles = {".ubj", ".json", ".xgb"};
constexpr std::array<std::string_view, 2> kLightgbmFiles = {".lgb", ".txt"};

using Loaded = base::Result<std::unique_ptr<Model>>;

Loaded load_onnx(const ModelFolder& folder, const LoadOptions&) { return load_onnx_model(folder.model_file); }
Loaded load_xgboost(const ModelFolder& folder, const LoadOptions&) { return load_xgboost_model(folder); }
Loaded load_lightgbm(const ModelFolder& folder, const LoadOptions&) { return load_lightgbm_model(folder); }
Loaded load_python(const ModelFolder& folder, const LoadOptions& options) {
  return load_python_model({.folder = folder.folder, .interpreter = options.interpreter, .serving = options.serving});
}

constexpr std::array<ModelFormat, 4> kFormats = {{
    {"onnx", kOnnxFiles, false, load_onnx, "mlflow.onnx.log_model (skl2onnx.to_onnx makes the ONNX form)"},
    {"xgboost", kXgboostFiles, true, load_xgboost, "mlflow.xgboost.log_model"},
    {"lightgbm", kLightgbmFiles, true, load_lightgbm,
     "mlflow.lightgbm.log_model of a Booster (a scikit-learn wrapper has one: model.booster_)"},
    {"python_function", {}, false, load_python, "log_model of any other flavor, which is run by Python", true},
}};

}  // namespace

constinit const ModelFormat& kPythonFormat = kFormats.back();

std::span<const ModelFormat> model_formats() { return kFormats; }

const ModelFormat* format_of_flavor(std::string_view flavor) {
  const auto found = std::ranges::find(kFormats, flavor, &ModelFormat::flavor);
  return found == kFormats.end() ? nullptr : &*found;
}

bool is_file_of(const ModelFormat& format, const base::Path& file) {
  return std::ranges::find(format.extensions, file.extension().string()) != format.extensions.end();
}

}  // namespace serve
