// Requests that belong together, as Triton's sequence_batching has them: a sequence's requests are run one after the
// other in the order in which they came, the model is told by control inputs which one it is and where it begins and
// ends, and tensors of state go from one answer into the next request. Clients see neither controls nor state.
//
// A sequence lives from the request that starts it to the one that ends it, or until nothing of it has come for its
// idle time. At most so many live at once (direct: max_batch_size; oldest: max_candidate_sequences); one more waits for
// a place within its request's deadline. Each request is an execution of its own: sequences do not share batches.
// A model that keeps its own state between requests is run by one worker, which has seen all of them.
//
// Thread: run_for() from many threads that may wait.
#pragma once

#include <memory>

#include "base/fs.h"
#include "base/result.h"
#include "repository/config.h"
#include "serve/model.h"

namespace repository {

inline constexpr size_t kMaxSequences = 100'000;            // of one model
inline constexpr size_t kMaxWaitingSequences = 256;         // for a place; past it: kUnavailable
inline constexpr size_t kMaxStateBytes = size_t{64} << 20;  // of one tensor of state

// What can be said of sequence_batching alone.
base::Result<void> check_sequences(const ModelConfig& config);
// Files of initial states lie in folder/initial_state. Fails where the model and its configuration disagree.
base::Result<std::unique_ptr<serve::Model>> make_sequenced(std::unique_ptr<serve::Model> model,
                                                           const ModelConfig& config, const base::Path& folder);

}  // namespace repository
