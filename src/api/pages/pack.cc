#include "api/pages/pack.h"

#include <array>
#include <charconv>

namespace api::pages {

namespace {

constexpr std::string_view kHeader = "lathe-pages 1\n";

base::Error broken(std::string_view what) {
  return {base::Code::kInternal, "the packed pages are damaged: " + std::string(what)};
}

std::string_view take(std::string_view& text, char until) {
  const size_t end = text.find(until);
  const std::string_view piece = text.substr(0, end);
  text = end == text.npos ? std::string_view() : text.substr(end + 1);
  return piece;
}

}  // namespace

base::Result<Pack> Pack::load(std::string_view bytes) {
  Pack pack;
  if (bytes.empty()) return pack;
  const size_t blank = bytes.find("\n\n");
  if (!bytes.starts_with(kHeader) || blank == bytes.npos) return std::unexpected(broken("no index"));
  std::string_view index = bytes.substr(kHeader.size(), blank + 1 - kHeader.size());
  std::string_view rest = bytes.substr(blank + 2);
  while (!index.empty()) {
    std::string_view line = take(index, '\n');
    const std::string_view path = take(line, '\t');
    File file{.media_type = take(line, '\t'), .digest = take(line, '\t'), .immutable = take(line, '\t') == "i"};
    for (std::string_view* form : {&file.raw, &file.gzip, &file.brotli}) {
      const std::string_view text = take(line, '\t');
      size_t size = 0;
      const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), size);
      if (ec != std::errc() || end != text.data() + text.size() || size > rest.size())
        return std::unexpected(broken("the size of " + std::string(path)));
      *form = rest.substr(0, size);
      rest.remove_prefix(size);
    }
    if (!path.starts_with('/')) return std::unexpected(broken("a path"));
    pack.files_.emplace(path, file);
  }
  return pack;
}

const File* Pack::find(std::string_view path) const {
  const auto it = files_.find(path);
  return it == files_.end() ? nullptr : &it->second;
}

}  // namespace api::pages
