// A graph that is ready to answer: bound to the revisions that are loaded now, held to their inputs and outputs, and
// dressed as a Predictor, so that every door answers it as it answers a model. It is made anew with each snapshot of
// the routes, so what a step means never changes under a request.
//
//   inputs   those of the first model that is given the request, where no other takes a column more; else one for each
//            column that any of them takes, and for the graph's own columns
//   outputs  those of its ends, where all are alike; else `label` (or `value`) and, where all have as many classes,
//            `probabilities`
//   rows     models are given columns by name: one that takes others, or in another order, gets its own
//
// Thread: immutable; safe anywhere. Errors: kUnavailable while a step has no loaded model, kInvalid where models do not
// fit together; both name the step.
#pragma once

#include <functional>
#include <memory>

#include "base/result.h"
#include "serve/graph.h"
#include "serve/model.h"
#include "serve/routes.h"

namespace serve {

// What stands behind a step's endpoint or model version.
using FindTarget = std::function<base::Result<LivePtr>(const GraphStep&)>;
// What counts a step with this path; asked once for each while the graph is bound.
using MeterStep = std::function<StepMeters(const std::string& path)>;

base::Result<std::unique_ptr<Predictor>> make_graph_predictor(const Graph& graph, const FindTarget& find,
                                                              const MeterStep& meter = {});

}  // namespace serve
