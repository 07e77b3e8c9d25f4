// The bytes of a capture segment (docs/formats/capture.md): file header, checked frames, footer and trailer. Encoding
// of one request happens in the recording thread, straight into its ring; everything else in the writer and the
// readers.
//
// Thread: free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "serve/capture.h"

namespace serve::format {

inline constexpr size_t kFrameHead = 8;      // u32 payload bytes, u32 CRC-32C of the payload
inline constexpr size_t kTrailerBytes = 16;  // u64 offset of the footer's frame, "CAPCLOSE"
inline constexpr char kSourceFrame = 'S';
inline constexpr char kRequestFrame = 'R';
inline constexpr char kFooterFrame = 'F';

// Places a prediction: which writer (a server's own number) and which of its segments hold it.
struct IdParts {
  uint16_t writer = 0;    // 14 bits
  uint32_t segment = 0;   // 24 bits
  uint8_t slot = 0;       // the recording thread
  uint32_t sequence = 0;  // 28 bits, of that thread
};
base::Uuid make_id(int64_t wall_us, const IdParts& parts);
IdParts parse_id(const base::Uuid& id);
// Writer and segment as one number (CaptureSource::origin); never 0.
inline uint64_t place_of(const IdParts& parts) { return uint64_t{parts.writer} << 24 | parts.segment; }

struct FileHeader {
  int64_t project = 0;
  std::string endpoint;
  uint16_t writer = 0;
  uint32_t segment = 0;
  int64_t created_us = 0;
};
std::string encode_header(const FileHeader& header);
std::string header_json(const FileHeader& header);
base::Result<FileHeader> parse_header_json(std::string_view json);
// Also answers how long the header is. Fails with kInvalid when it is not one (a torn write, another file).
base::Result<FileHeader> decode_header(std::string_view bytes, size_t& length);

// Request payload: size and encoding. The source's number within the file is patched in by the writer.
size_t request_bytes(const CaptureRecord& record);
void encode_request(const CaptureRecord& record, char* out);
void set_source_number(char* payload, uint32_t number);
uint32_t source_number(std::string_view payload);
base::Result<CapturedRequest> decode_request(std::string_view payload, const CaptureSource& source);
base::Uuid request_id(std::string_view payload);
int64_t request_time(std::string_view payload);

std::string encode_source(uint32_t number, const CaptureSource& source);  // payload
base::Result<CaptureSource> decode_source(std::string_view payload, const FileHeader& header, uint32_t& number);

struct Footer {
  int64_t requests = 0;
  int64_t first_us = 0, last_us = 0;
  base::Uuid first_id{}, last_id{};    // smallest and largest
  std::vector<CaptureSource> sources;  // by their number in the file
};
inline constexpr std::string_view kFooterHead{"F\0\0\0\0\0\0\0", 8};
std::string encode_footer(const Footer& footer);  // payload: kFooterHead, then JSON
base::Result<Footer> decode_footer(std::string_view payload, const FileHeader& header);

// Requests on their way to another process: frames of sources and requests, as in a segment. The receiver says what
// project and endpoint they belong to.
std::string pack_requests(std::span<const CapturedRequest> requests);
base::Result<std::vector<CapturedRequest>> unpack_requests(std::string_view bytes, const FileHeader& header);
// What a captured request's source is.
CaptureSource source_of(const CapturedRequest& request);
CaptureRecord record_of(const CapturedRequest& request);      // points into it; an id that is none becomes nought
std::string encode_captured(const CapturedRequest& request);  // the payload of its record

void append_frame(std::string& out, std::string_view payload);
std::string encode_trailer(uint64_t footer_offset);
std::optional<uint64_t> decode_trailer(std::string_view bytes);

// The next whole, valid frame at the front of `bytes`; nullopt if there is none (cut off, or its checksum is wrong).
// `wanted` then says how many bytes the frame needs, if its length could be read.
struct Frame {
  std::string_view payload;
  size_t length = 0;
};
std::optional<Frame> next_frame(std::string_view bytes, size_t* wanted = nullptr);

}  // namespace serve::format
