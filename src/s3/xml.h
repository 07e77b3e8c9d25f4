// The XML that an S3 server answers with, as a small tree: elements and their text. No DTD, no entity but the five of
// XML and character references, and bounds on size, depth and number, since the answer comes from outside.
// Thread: plain values.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace s3 {

inline constexpr size_t kXmlBytes = size_t{16} << 20;  // a page of 1,000 keys of 1,024 characters, all escaped, fits
inline constexpr size_t kXmlDepth = 16;
inline constexpr size_t kXmlElements = 50'000;

struct XmlElement {
  std::string name;  // without a namespace's prefix
  std::string text;  // of this element alone, blanks at its ends kept
  std::vector<XmlElement> children;

  const XmlElement* child(std::string_view wanted) const;      // the first; null: none
  std::string_view child_text(std::string_view wanted) const;  // "" without it
};

base::Result<XmlElement> parse_xml(std::string_view text);  // the root

}  // namespace s3
