// The profile that monitoring froze for a revision (watch), as serving reads it (serve/outlier.h), kept in memory once
// it was asked for.
//
// Thread: the source may be called from many threads; it blocks at a revision's first call.
#pragma once

#include "blob/blob.h"
#include "serve/outlier.h"
#include "store/store.h"

namespace server {

serve::ProfileSource training_profiles(store::Store& store, blob::BlobStore& blobs);

}  // namespace server
