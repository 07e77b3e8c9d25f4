// The formats of model files that Lathe reads, as a table: which flavor of MLflow stores them, what their files are
// called, and what loads them. A new format is a row here and an implementation of serve::Model.
//
// Thread: constants.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/fs.h"
#include "base/result.h"

namespace serve {

class Model;
struct ModelFolder;
struct LoadOptions;

struct ModelFormat {
  std::string_view flavor;                       // MLflow's; its `data` names the file
  std::span<const std::string_view> extensions;  // ".onnx"; a file of another name is not of this format
  bool common_names;  // the extensions are those of other things too: a bare file must be called model.*
  base::Result<std::unique_ptr<Model>> (*load)(const ModelFolder&, const LoadOptions&);
  std::string_view cure;      // how to log a model that is read
  bool whole_folder = false;  // load() reads the model's folder, not one file
};

std::span<const ModelFormat> model_formats();  // a model in several is read as the first
extern const ModelFormat& kPythonFormat;
const ModelFormat* format_of_flavor(std::string_view flavor);  // null if it is not known
bool is_file_of(const ModelFormat& format, const base::Path& file);

}  // namespace serve
