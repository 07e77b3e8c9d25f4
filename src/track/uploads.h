// Uploads in parts: begun, filled part by part in any order, then made one file or dropped. The parts are files of the
// artifact table under the upload's own root until then, or lie where blob::DirectUploads put them. Thread: functions
// on a Tx.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "blob/blob.h"
#include "store/tx.h"

namespace track {

inline constexpr int64_t kMaxUploadParts = 10'000;
inline constexpr int64_t kUploadUs = int64_t{24} * 3'600'000'000;  // one that is not completed by then is dropped

struct Upload {
  std::string id;
  std::string path;  // where the file will be, as the artifact proxy names it
  int64_t parts = 0;
  std::string remote;  // its parts go past this server: blob::DirectUploads' id of it; else ""
};

base::Result<Upload> begin_upload(store::Tx& tx, std::string_view path, int64_t parts);
base::Result<Upload> get_upload(store::Tx& tx, std::string_view id);  // kNotFound
base::Result<void> note_remote(store::Tx& tx, std::string_view id, std::string_view remote);
// A part sent twice is the later one.
base::Result<void> put_part(store::Tx& tx, std::string_view id, int64_t number, const blob::BlobInfo& info);
// All of them, by number; kInvalid names what is missing.
base::Result<std::vector<blob::Artifact>> upload_parts(store::Tx& tx, const Upload& upload);
base::Result<void> end_upload(store::Tx& tx, std::string_view id);  // completed or aborted: its parts go

}  // namespace track
