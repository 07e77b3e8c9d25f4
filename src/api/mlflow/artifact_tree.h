// The artifact proxy's namespace as a tree of files and folders: paths as clients write them
// (<experiment>/<run>/artifacts/…) over the rows of the artifact table. Functions on a transaction; no HTTP.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/mlflow/places.h"
#include "base/result.h"
#include "blob/blob.h"
#include "store/tx.h"

namespace api::mlflow {

struct Entry {
  std::string name;  // the last part of its path
  bool is_dir = false;
  int64_t size = 0;  // of a file
};

// What lies directly in a folder, by name; nothing for a folder that is not there.
std::vector<Entry> list_folder(store::Tx& tx, std::string_view path);
// kNotFound, or kInvalid for a folder.
base::Result<blob::Artifact> find_file(store::Tx& tx, std::string_view path);
// The same wherever the spot is; at the destination also what others have put there. A file that is no blob has the
// location kPlainFolder.
base::Result<std::vector<Entry>> list_spot(store::Tx& tx, const Places& places, const Spot& spot);
base::Result<blob::Artifact> find_spot(store::Tx& tx, const Places& places, const Spot& spot);
// Replaces a file of that path; kInvalid where a folder has the path or a file lies on the way to it.
base::Result<void> put_file(store::Tx& tx, std::string_view path, const blob::BlobInfo& info);
base::Result<void> delete_tree(store::Tx& tx, std::string_view path);  // a file or a folder with all that is in it

// Decodes and checks a path from outside: relative, without "..", empty parts, backslashes, '#' or control characters.
base::Result<std::string> safe_path(std::string_view path);

}  // namespace api::mlflow
