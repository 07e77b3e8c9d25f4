// A workspace: the folder in which one attempt runs, made from a bundle and its inputs, never the live folder. Files
// are copies (reflinks where the file system can), so that nothing a stage does to them reaches a blob; only files
// beyond kCopyLimit are hard links to the read-only blob. Thread: free functions over folders that one attempt owns.
#pragma once

#include <string>
#include <vector>

#include "base/fs.h"
#include "base/result.h"
#include "blob/blob.h"
#include "flow/executor.h"

namespace flow {

inline constexpr int64_t kCopyLimit = int64_t{256} << 20;
inline constexpr size_t kMaxOutFiles = 100'000;  // of one attempt
inline constexpr size_t kMaxOutDepth = 64;

// Makes `root` anew with the spec's files; what the stage is to make itself (its outs) is left out. Folders for wdir
// and for the outs are there.
base::Result<void> build_workspace(const base::Path& root, const AttemptSpec& spec, blob::BlobStore& blobs);

// Takes the outs into the BlobStore. An error names the out that was not made, or a file that cannot be taken.
base::Result<std::vector<OutFile>> collect_outs(const base::Path& root, const std::vector<std::string>& outs,
                                                blob::BlobStore& blobs);

// `path` is `folder` or lies in it.
bool is_within(std::string_view path, std::string_view folder);

}  // namespace flow
