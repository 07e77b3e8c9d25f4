// The memory of header fields, used again by the next request of the thread, whichever connection it comes over: what
// was used last is in the processor's cache, and an idle connection holds none. Thread: each has its own.
#pragma once

#include <vector>

#include "net/http.h"

namespace net {

// Appends an empty field.
Header& append_spare(std::vector<Header>& headers);
// Empties the list.
void take_back(std::vector<Header>& headers);

}  // namespace net
