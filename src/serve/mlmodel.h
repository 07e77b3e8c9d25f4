// A model folder as MLflow writes it: which file is the model, what its columns are called, what example it was logged
// with. A folder without an MLmodel file holds one bare model file. Thread: plain values.
#pragma once

#include <string>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "serve/model_format.h"

namespace serve {

struct ModelFolder {
  const ModelFormat* format = nullptr;
  base::Path folder;
  base::Path model_file;             // "" where the format is of the whole folder
  std::string model_class;           // what the flavor says wrote it ("xgboost.sklearn.XGBClassifier"), "" if nothing
  std::vector<std::string> classes;  // metadata `lathe.classes`: what the classes are called
  double threshold = 0.5;            // metadata `lathe.threshold`: the second of two classes is answered above it
  std::vector<std::string> columns;  // names of the signature's columns, if it has named ones
  bool transform_included = false;   // metadata `lathe.transform: included`
  std::string python;                // metadata `lathe.serving: {python: …}`: environment that runs it, "" if unsaid
  base::Path input_example;          // "" if there is none
  base::Path output_example;         // what the model answered to it (output_example.json), "" if there is none
};

base::Result<ModelFolder> read_model_folder(const base::Path& folder);

}  // namespace serve
