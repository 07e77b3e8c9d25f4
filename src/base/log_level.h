// Changes the log's level while the server runs; log.h has the rest. Thread: safe anywhere.
#pragma once

#include "base/log.h"

namespace base::log {

void set_level(Level least);

}  // namespace base::log
