#include "base/install.h"

namespace base {

std::vector<Path> library_folders() {
  const auto self = executable_path();
  if (!self) return {};
  const Path folder = self->parent_path();
  return {folder, folder.parent_path() / "lib" / "lathe"};
}

}  // namespace base
