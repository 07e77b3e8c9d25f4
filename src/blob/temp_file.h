// Files being written: each holds a flock, so that leftovers of a crash are told from work, in whatever process.
// Internal to src/blob. Thread: safe anywhere.
#pragma once

#include "base/fs.h"

namespace blob {

struct TempFile {
  base::Fd fd;
  base::Path path;
};

base::Result<TempFile> make_temp_file(const base::Path& dir);
base::Result<void> remove_leftovers(const base::Path& dir);  // files whose writer is gone

}  // namespace blob
