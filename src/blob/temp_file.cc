#include "blob/temp_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "base/ids.h"

namespace blob {

base::Result<TempFile> make_temp_file(const base::Path& dir) {
  base::Path path = dir / base::random_hex(base::system_random(), 12);
  TRY_SET(base::Fd fd, base::open_file(path, O_RDWR | O_CREAT | O_EXCL, 0600));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return base::errno_error(path.string(), errno);
  return TempFile{std::move(fd), std::move(path)};
}

base::Result<void> remove_leftovers(const base::Path& dir) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
    auto fd = base::open_file(entry.path(), O_RDONLY);
    if (fd && ::flock(fd->get(), LOCK_EX | LOCK_NB) == 0) ::unlink(entry.path().c_str());
  }
  if (error) return base::errno_error(dir.string(), error.value());
  return {};
}

}  // namespace blob
