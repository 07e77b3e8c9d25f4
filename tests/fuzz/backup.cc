// A backup file: tar headers with right checksums around members of the input's choice, read as restore reads them.
#include "blob/backup.h"

#include <sys/mman.h>
#include <unistd.h>

#include "blob/tar.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int file = memfd_create("backup", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  fuzz::Input input(data, size);
  std::string bytes;
  if (const uint8_t how = input.byte(); how & 1) {
    bytes = input.rest();
    if (bytes.size() >= blob::tar::kBlock) {
      const auto member = blob::tar::parse_header(std::string_view(bytes).substr(0, blob::tar::kBlock));
      if (member && *member) REQUIRE((*member)->size >= 0);
    }
  } else {
    while (!input.empty()) {
      const std::string name(input.text().substr(0, 100));
      const std::string_view body = input.text();
      const auto claimed = static_cast<int64_t>(body.size() + (how & 2 ? input.byte() : 0));
      bytes += blob::tar::header({.name = name, .size = claimed});
      bytes += body;
      bytes.append(static_cast<size_t>(blob::tar::padding(static_cast<int64_t>(body.size()))), '\0');
    }
    bytes += blob::tar::end();
  }
  if (ftruncate(file, 0) != 0 || pwrite(file, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return 0;
  (void)blob::verify_backup(path);
  return 0;
}
