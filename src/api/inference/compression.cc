#include "api/inference/compression.h"

#include <zlib.h>

#include <algorithm>

#include "base/assert.h"
#include "net/text.h"

namespace api::inference {
namespace {

constexpr int kWindow = 15;    // zlib's largest, for its own format
constexpr int kGzipFlag = 16;  // added to it: gzip's format
constexpr size_t kPiece = 64 << 10;
constexpr int kFastest = 1;  // an answer is compressed while its client waits

struct Inflater {
  explicit Inflater(int window) { ASSERT_ALWAYS(inflateInit2(&z, window) == Z_OK); }
  ~Inflater() { inflateEnd(&z); }
  z_stream z{};
};

struct Deflater {
  explicit Deflater(int window) {
    ASSERT_ALWAYS(deflateInit2(&z, kFastest, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  }
  ~Deflater() { deflateEnd(&z); }
  z_stream z{};
};

void give(z_stream& z, std::string_view bytes) {
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());  // bodies are bounded far below 4 GiB
}

base::Result<std::string> run_inflate(int window, Coding coding, std::string_view packed, size_t limit) {
  Inflater inflater(window);
  give(inflater.z, packed);
  std::string out;
  size_t size = 0;
  for (int rc = Z_OK; rc != Z_STREAM_END;) {
    const size_t room = std::clamp(std::max(size, packed.size() * 2), kPiece, size_t{1} << 20);
    if (out.size() - size < room / 2) out.resize(size + room);
    inflater.z.next_out = reinterpret_cast<Bytef*>(out.data() + size);
    inflater.z.avail_out = static_cast<uInt>(out.size() - size);
    rc = inflate(&inflater.z, Z_NO_FLUSH);
    size = out.size() - inflater.z.avail_out;
    if (size > limit)
      return base::fail(base::Code::kTooLarge,
                        "uncompressed, the body has more than the " + std::to_string(limit) + " bytes allowed");
    if (rc != Z_OK && rc != Z_STREAM_END)
      return base::invalid("what should be " + std::string(name(coding)) + " data is broken or cut off");
  }
  if (inflater.z.avail_in != 0) return base::invalid("something follows the " + std::string(name(coding)) + " data");
  out.resize(size);
  return out;
}

}  // namespace

std::optional<Coding> parse_coding(std::string_view word) {
  if (word.empty() || net::equals_ignoring_case(word, "identity")) return Coding::kIdentity;
  if (net::equals_ignoring_case(word, "gzip")) return Coding::kGzip;
  if (net::equals_ignoring_case(word, "deflate")) return Coding::kDeflate;
  return std::nullopt;
}

std::string_view name(Coding coding) {
  return coding == Coding::kGzip ? "gzip" : coding == Coding::kDeflate ? "deflate" : "identity";
}

base::Result<std::string> unpack(Coding coding, std::string_view packed, size_t limit) {
  if (coding == Coding::kIdentity) return std::string(packed);
  if (coding == Coding::kGzip) return run_inflate(kWindow + kGzipFlag, coding, packed, limit);
  // zlib's header: method 8, and a check over two bytes.
  const bool zlib = packed.size() >= 2 && (packed[0] & 0x0f) == 8 &&
                    (static_cast<uint8_t>(packed[0]) * 256 + static_cast<uint8_t>(packed[1])) % 31 == 0;
  return run_inflate(zlib ? kWindow : -kWindow, coding, packed, limit);
}

std::string pack(Coding coding, std::string_view bytes) {
  if (coding == Coding::kIdentity) return std::string(bytes);
  Deflater deflater(coding == Coding::kGzip ? kWindow + kGzipFlag : kWindow);
  give(deflater.z, bytes);
  std::string out(deflateBound(&deflater.z, bytes.size()), '\0');
  deflater.z.next_out = reinterpret_cast<Bytef*>(out.data());
  deflater.z.avail_out = static_cast<uInt>(out.size());
  ASSERT_ALWAYS(deflate(&deflater.z, Z_FINISH) == Z_STREAM_END);
  out.resize(out.size() - deflater.z.avail_out);
  return out;
}

Coding best_coding(std::string_view accepts) {
  bool gzip = false, deflate = false;
  while (!accepts.empty()) {
    const size_t comma = std::min(accepts.find(','), accepts.size());
    const std::string_view item = accepts.substr(0, comma);
    accepts.remove_prefix(std::min(comma + 1, accepts.size()));
    const size_t semicolon = std::min(item.find(';'), item.size());
    const std::string_view weight = net::trim(item.substr(std::min(semicolon + 1, item.size())));
    const bool refused = weight == "q=0" || weight == "q=0.0" || weight == "q=0.00" || weight == "q=0.000";
    const auto coding = parse_coding(net::trim(item.substr(0, semicolon)));
    if (refused || !coding) continue;
    gzip |= *coding == Coding::kGzip;
    deflate |= *coding == Coding::kDeflate;
  }
  return gzip ? Coding::kGzip : deflate ? Coding::kDeflate : Coding::kIdentity;
}

}  // namespace api::inference
