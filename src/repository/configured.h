// Models as their configuration shows them to clients. Thread: as serve::Model.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/fs.h"
#include "base/result.h"
#include "repository/config.h"
#include "serve/model.h"
#include "serve/routes.h"

namespace repository {

// `model` under the names, types and dimensions of its configuration: batches up to max_batch_size, the outputs that it
// names, reshapes, classes from label_filename in `folder`. Fails where the two disagree, and says what each says.
base::Result<std::unique_ptr<serve::Model>> configure(std::unique_ptr<serve::Model> model, const ModelConfig& config,
                                                      const base::Path& folder);

// An ensemble's steps, in an order in which each finds its inputs. `find` is asked at each request, so that a step's
// model may be loaded anew; it answers kUnavailable for one that is not there.
using FindModel = std::function<base::Result<serve::LivePtr>(std::string_view name, int64_t version)>;
base::Result<std::unique_ptr<serve::Model>> make_ensemble(const ModelConfig& config, FindModel find);

// Runs the configuration's model_warmup; files of data lie in folder/warmup.
base::Result<void> run_warmups(const serve::Predictor& predictor, const ModelConfig& config, const base::Path& folder);

}  // namespace repository
