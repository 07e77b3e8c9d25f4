// Metric points that a store still keeps as rows (track_metric_points, from before there were chunks) become tails and
// chunks: once, before the server answers. In steps; an interruption loses nothing and the next start goes on.
// Thread: blocks the caller.
#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "store/store.h"

namespace track {

base::Result<void> take_over_old_points(store::Store& store, const base::Clock& clock);

}  // namespace track
