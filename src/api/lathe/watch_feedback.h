// Reads the body of POST /feedback. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "watch/watch.h"

namespace api::lathe {

// A JSON array of {id, label, row?, at_us?}, one such object, or one a line (NDJSON). A label is text, a number or a
// boolean; numbers are stored in their shortest form, so that 7, 7.0 and "7" are one label. Errors name the element.
base::Result<std::vector<watch::Feedback>> parse_feedback(std::string_view body);

}  // namespace api::lathe
