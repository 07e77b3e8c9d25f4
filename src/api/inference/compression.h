// Compressed bodies and messages: gzip and deflate (zlib), both ways, bounded. Thread: free functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace api::inference {

enum class Coding : uint8_t { kIdentity, kGzip, kDeflate };

std::optional<Coding> parse_coding(std::string_view word);  // "" and "identity" are the same
std::string_view name(Coding coding);

// kTooLarge past `limit` bytes, kInvalid for what is no such stream or is cut off. For kDeflate zlib's own format,
// which is what RFC 9110 means, or bare deflate data, which some clients send.
base::Result<std::string> unpack(Coding coding, std::string_view packed, size_t limit);
std::string pack(Coding coding, std::string_view bytes);

// The first of gzip and deflate that an Accept-Encoding (or grpc-accept-encoding) allows; kIdentity if none.
Coding best_coding(std::string_view accepts);

}  // namespace api::inference
