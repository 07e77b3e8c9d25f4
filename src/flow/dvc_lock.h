// What a run made, and the truthful dvc.lock that says so: format `schema: '2.0'`, MD5, as DVC 3 writes it. The lock
// names for each stage what it really read and wrote: for a skipped stage that is its earlier attempt. Thread: on a
// transaction.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "blob/blob.h"
#include "store/tx.h"

namespace flow {

struct RunOut {
  std::string stage;
  std::string attempt;
  std::string path;
  std::string out;  // as declared, relative to the project: the path itself, or a folder above it
  blob::BlobInfo blob;
  bool executable = false;
  bool cached = true;  // DVC keeps it in its cache (not so with `cache: false`)
};

base::Result<std::vector<RunOut>> list_outs(store::Tx& tx,
                                            std::string_view run);  // of stages that succeeded, in stage order
// A folder's object in DVC's cache: the JSON list of its files. Its name is the list's MD5 and ".dir".
struct DvcFile {
  std::string path;  // relative to the folder
  std::string md5;
};
std::string dvc_folder_object(std::vector<DvcFile> files);

base::Result<std::string> dvc_lock(store::Tx& tx, std::string_view run);

}  // namespace flow
