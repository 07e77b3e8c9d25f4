// Graphs become endpoints: a revision that holds the graph, with the versions it names resolved, goes live in the
// transaction of the apply that brings it. Thread: functions on a Tx.
#pragma once

#include <string>

#include "base/result.h"
#include "loop/config.h"
#include "serve/endpoint.h"
#include "store/tx.h"
#include "track/registry.h"

namespace loop {

// Nothing happens where the live revision holds this graph already. kNotFound: a step's endpoint or version does not
// exist; kInvalid: a step's endpoint is a graph itself, whose nodes belong into this one.
base::Result<void> put_graph(store::Tx& tx, const GraphConfig& wanted);

// The preparation that belongs to a version: what it was deployed with, else what the gate judged it with; "": none.
base::Result<std::string> transform_of_version(store::Tx& tx, const track::ModelVersion& version);

}  // namespace loop
