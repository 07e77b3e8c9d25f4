// A capture segment: its frames one by one, and the whole file as a crashed server would leave it. Checksums are made
// right, or nothing behind them would ever be reached.
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "serve/capture_format.h"
#include "serve/capture_segment.h"

namespace format = serve::format;

namespace {

void decode(std::string_view payload, const format::FileHeader& header) {
  uint32_t number = 0;
  const auto source = format::decode_source(payload, header, number);
  if (const auto request = format::decode_request(payload, source ? *source : serve::CaptureSource{})) {
    REQUIRE(payload.size() >= 16);
    (void)format::request_id(payload);
    (void)format::request_time(payload);
    (void)format::source_number(payload);
  }
  if (const auto footer = format::decode_footer(payload, header)) {
    REQUIRE(footer->sources.size() <= payload.size());
    REQUIRE(format::decode_footer(format::encode_footer(*footer), header));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int file = memfd_create("segment", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  fuzz::Input input(data, size);
  const uint8_t how = input.byte();
  const format::FileHeader header{.project = 1, .endpoint = "digits", .writer = 3, .segment = 7, .created_us = 1};
  std::string bytes;
  if (how & 1) {
    bytes = input.rest();  // as it is
    size_t length = 0;
    if (const auto read = format::decode_header(bytes, length)) REQUIRE(length <= bytes.size());
    (void)format::next_frame(bytes);
    (void)format::decode_trailer(bytes);
  } else {
    bytes = format::encode_header(header);
    const size_t head = bytes.size();
    uint64_t last = 0;
    while (!input.empty()) {
      const size_t n = input.byte();
      const std::string_view payload = input.take(n);
      if (payload.empty()) continue;
      decode(payload, header);
      last = bytes.size();
      format::append_frame(bytes, payload);
    }
    if (const auto sent = format::unpack_requests(std::string_view(bytes).substr(head), header))
      REQUIRE(sent->size() <= bytes.size());
    if (how & 2) bytes += format::encode_trailer(last);
  }
  if (ftruncate(file, 0) != 0 || pwrite(file, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return 0;
  int64_t cut = 0;
  const auto segment = serve::recover_segment(path, cut);
  if (segment && *segment) {
    REQUIRE(cut >= 0);
    int frames = 0;
    (void)serve::walk_segment(**segment, (*segment)->data_begin,
                              [&](std::string_view, int64_t) -> base::Result<bool> { return ++frames < 1000; });
  }
  return 0;
}
