// What an S3 server and its kin answer: XML, dates, the shared credentials file, a metadata service's JSON.
#include "fuzz.h"
#include "net/text.h"
#include "s3/credentials.h"
#include "s3/retry.h"
#include "s3/xml.h"

namespace {

size_t count(const s3::XmlElement& element, size_t depth) {
  REQUIRE(depth <= s3::kXmlDepth);
  REQUIRE(!element.name.empty());
  size_t n = 1;
  for (const auto& child : element.children) n += count(child, depth + 1);
  return n;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto root = s3::parse_xml(text)) REQUIRE(count(*root, 1) <= s3::kXmlElements);
  const auto escaped = s3::parse_xml("<t>" + net::escape_markup(text) + "</t>");
  REQUIRE(escaped && escaped->text == text);
  const int64_t wait_us = s3::parse_retry_after(text, 1'700'000'000'000'000);
  REQUIRE(wait_us >= 0 && wait_us <= 3'600'000'000);
  (void)s3::parse_credentials_file(text, "default");
  (void)s3::parse_credentials_json(text);
  return 0;
}
