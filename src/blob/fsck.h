// Checks a store as a whole: the database by its own checker, and every blob by reading all of its bytes. Works beside
// a running server (on a read-only store) and on a restored folder. Thread: any that may block.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/result.h"
#include "blob/blob.h"
#include "store/store.h"

namespace blob {

struct FsckReport {
  int64_t blobs = 0;
  int64_t bytes = 0;
  int64_t orphans = 0;  // files that no row names: garbage, or an upload under way; no fault
  int64_t orphan_bytes = 0;
  std::vector<std::string> faults;  // one sentence each: missing, corrupt, wrong size, damaged database
  bool sound() const { return faults.empty(); }
};

// `with_files` false: the database only (a backup without blobs was restored).
base::Result<FsckReport> check_store(store::Store& store, BlobStore& blobs, const base::Context& ctx,
                                     bool with_files = true);

}  // namespace blob
