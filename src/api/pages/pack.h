// The files of the browser's pages, as they are linked into the binary: an index in text, then the bytes.
//
//   lathe-pages 1\n
//   <path>\t<media type>\t<digest>\t<flags>\t<raw size>\t<gzip size>\t<br size>\n      one line a file; flags: i =
//   immutable, - = none
//   \n
//   the bytes of each line's three forms in that order; a size of 0 means that this form is not kept
//
// Ownership: views into memory that outlives the pack (the binary's own). Thread: immutable after load.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace api::pages {

struct File {
  std::string_view media_type;
  std::string_view digest;  // of the raw bytes; the base of the ETag
  bool immutable = false;   // its name holds a digest of its contents
  std::string_view raw, gzip, brotli;
};

class Pack {
 public:
  static base::Result<Pack> load(std::string_view bytes);  // empty bytes: a pack without files
  const File* find(std::string_view path) const;           // "/index.html"
  bool empty() const { return files_.empty(); }

 private:
  std::map<std::string_view, File> files_;
};

std::string_view embedded_pack();  // "" when this binary was built without pages

}  // namespace api::pages
