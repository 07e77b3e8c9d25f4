// Trying a model before it serves: load it, run it once, and hold it against its own example. The server does that in a
// child process of the same binary (`lathe child try-model`), so that a model or library that crashes, hangs or eats
// memory costs an error message and not the server.
//
// Thread: free functions; they block.
#pragma once

#include <cstdint>
#include <string>

#include "base/fs.h"
#include "base/result.h"
#include "serve/model.h"

namespace serve {

struct TrialLimits {
  int64_t timeout_us = 60'000'000;
  size_t memory_bytes = 0;  // of the child, resident; 0: half of what the machine has free
};

// Runs the model once: on its own input example if the folder has one, else on one row of zeros. If the folder also has
// output_example.json, the answers must agree with it.
base::Result<void> warm_up(const Predictor& predictor, const base::Path& folder);

// The child's side: load and warm up under a watch on memory. Answers the process's exit code; an error goes to stdout
// as "<code>: <message>".
int run_trial(const base::Path& folder, const base::Path& transform_file, size_t memory_bytes);

// The parent's side.
base::Result<void> try_in_child(const base::Path& self, const base::Path& folder, const base::Path& transform_file,
                                const TrialLimits& limits = {});

// A child that runs a model for somebody else: the kernel chooses it first when memory runs out, and it ends when it
// has taken more than `memory_bytes` (0: half of what the machine has free).
void guard_child(size_t memory_bytes);

base::Result<stats::Transform> load_transform(const base::Path& file);  // "" is the identity

}  // namespace serve
