// Ids and paths that clients name.
#include "base/ids.h"

#include "base/fs.h"
#include "base/utf8.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  base::Uuid id{};
  if (base::from_base32(text, id)) REQUIRE(base::to_base32(id) == text);
  if (const auto kind = base::id_kind(text); !kind.empty()) REQUIRE(text.starts_with(kind));
  if (base::is_safe_relative_path(text)) {
    const auto joined = (base::Path("/place/store") / text).lexically_normal();
    REQUIRE(joined.string().starts_with("/place/store/"));
  }
  return 0;
}
