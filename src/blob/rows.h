// Digests as the columns of rows. Internal to src/blob. Thread: anywhere.
#pragma once

#include <algorithm>
#include <string_view>

#include "base/hash.h"
#include "store/tx.h"

namespace blob::detail {

inline store::Blob column(const base::Digest& digest) {
  return {{reinterpret_cast<const char*>(digest.bytes.data()), digest.size()}};
}

inline base::Digest digest_of(base::HashAlgo algo, std::string_view column) {
  base::Digest digest{.algo = algo};
  std::copy_n(column.begin(), std::min(column.size(), digest.size()), digest.bytes.begin());
  return digest;
}

}  // namespace blob::detail
