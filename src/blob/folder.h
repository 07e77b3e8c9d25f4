// Folders of the artifact table, which has files only. Thread: functions on a Tx.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/tx.h"

namespace blob {

// What lies directly in a folder, in byte order. Of each subfolder little is read, however much is below it.
struct FolderEntry {
  std::string name;
  bool is_folder = false;
  int64_t size = 0;
};
std::vector<FolderEntry> list_folder(store::Tx& tx, std::string_view root, std::string_view folder,
                                     size_t limit = SIZE_MAX);
bool folder_exists(store::Tx& tx, std::string_view root, std::string_view folder);  // some file lies below it

}  // namespace blob
