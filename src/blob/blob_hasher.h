// What a blob's bytes are, told while they pass: the digests that are wanted, and how many there were.
// Thread: one owner.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/hash.h"
#include "blob/blob.h"

namespace blob {

class BlobHasher {
 public:
  explicit BlobHasher(Hashes hashes) {
    if (hashes == Hashes::kSha256AndMd5) md5_.emplace(base::HashAlgo::kMd5);
  }
  void update(std::string_view bytes) {
    sha256_.update(bytes);
    if (md5_) md5_->update(bytes);
    size_ += static_cast<int64_t>(bytes.size());
  }
  int64_t size() const { return size_; }
  const BlobInfo& seal() {  // nothing is added after it
    if (!sealed_) sealed_ = BlobInfo{sha256_.finish(), md5_ ? std::optional(md5_->finish()) : std::nullopt, size_};
    return *sealed_;
  }

 private:
  base::Hasher sha256_{base::HashAlgo::kSha256};
  std::optional<base::Hasher> md5_;
  int64_t size_ = 0;
  std::optional<BlobInfo> sealed_;
};

}  // namespace blob
