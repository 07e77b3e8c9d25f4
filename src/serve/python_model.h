// A Python model as a Model: any MLflow model with the flavor python_function, or a folder with model.py (`class Model`
// with load(self, context) and predict(self, data)), run in worker processes of its own (python_workers.h).
// Thread: run_for() from many threads that may wait.
#pragma once

#include <memory>

#include "base/fs.h"
#include "base/result.h"
#include "serve/model.h"
#include "serve/python_workers.h"

namespace serve {

base::Result<std::unique_ptr<Model>> load_python_model(const python::Options& options);

}  // namespace serve
