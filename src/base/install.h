// Where an installed Lathe keeps the libraries that came with it. Thread: pure.
#pragma once

#include <vector>

#include "base/fs.h"

namespace base {

// Beside the binary, and ../lib/lathe from it: what packages, the tarball and the wheel have in common.
std::vector<Path> library_folders();

}  // namespace base
