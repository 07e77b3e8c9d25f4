// Reads the body of Seldon's POST /api/v1.0/feedback. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "watch/watch.h"

namespace api::lathe {

// {"response": {"meta": {"puid", "tags": {"prediction_id"}, …}}, "truth": {"data": {"ndarray": […]}}, "reward": 0.5}:
// the truth of each row, a value or, by classes as `names`, scores. Without a truth a reward of 1 says that the answer
// was right, and its labels are taken; any other reward alone names no label and is refused.
base::Result<std::vector<watch::Feedback>> parse_seldon_feedback(std::string_view body);

}  // namespace api::lathe
