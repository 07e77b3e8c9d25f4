// Dynamic batching in front of a model that waits: requests that came while the model was busy are run together. A
// request that finds the model idle runs at once, whatever `max_delay_us` says: a batch forms only from what queued.
//
// Leader and followers: no thread of its own. The thread whose turn it is takes what fits from the queue, runs it,
// hands each request its own rows of the answer, and passes the turn to the first that still waits. Only requests of
// equal input types, row shapes and params share a batch. A batch that the model refuses is halved until the request at
// fault is alone; one whose answer is not row by row is run apart, and the model is not batched again.
//
// Thread: infer() from many threads that may wait.
#pragma once

#include <memory>

#include "serve/model.h"

namespace serve {

std::unique_ptr<Predictor> make_batching(std::shared_ptr<const Predictor> inner, const BatchOptions& options);

}  // namespace serve
