// A closed capture segment as Parquet, one row per predicted row, and back to the very frames it had. Runs in the
// server's child processes: here capture's format meets DuckDB. Columns: docs/formats/capture.md.
// Thread: one at a time. Blocks.
#pragma once

#include <string>

#include "base/fs.h"
#include "base/result.h"

namespace cli {

// Writes <segment>.parquet beside <segment>.cap, durable, after it was read back and compared. kInvalid: the segment
// does not fit (a request without rows, text that is not UTF-8); kUnavailable: no DuckDB.
base::Result<void> archive_capture(const base::Path& segment);

// The segment's bytes up to its footer. Missing numbers have one bit pattern, whichever they had.
base::Result<std::string> restore_capture(const base::Path& parquet);

}  // namespace cli
