// A model folder as MLflow writes it: which file is the model, what its columns are called, what example it was logged
// with. A folder without an MLmodel file holds one bare .onnx file. Thread: plain values.
#pragma once

#include <string>
#include <vector>

#include "base/fs.h"
#include "base/result.h"

namespace serve {

struct ModelFolder {
  base::Path model_file;                  // the .onnx file
  std::vector<std::string> columns;       // names of the signature's columns, if it has named ones
  bool transform_included = false;        // metadata `lathe.transform: included`
  base::Path input_example;               // "" if there is none
  base::Path output_example;              // what the model answered to it (output_example.json), "" if there is none
};

base::Result<ModelFolder> read_model_folder(const base::Path& folder);

}  // namespace serve
