// Names for runs that nobody named: "<adjective>-<noun>-<number>", at most 20 characters.
#pragma once

#include <string>

#include "base/ids.h"

namespace track {

std::string random_name(base::Random& random);

}  // namespace track
