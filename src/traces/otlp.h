// OTLP/HTTP's ExportTraceServiceRequest, in protobuf's wire format and in JSON, as a batch of spans. Bounded in depth,
// elements and bytes (span.h); unknown fields are skipped; kInvalid tells what is wrong. Thread: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "traces/span.h"

namespace traces {

base::Result<SpanBatch> decode_otlp(std::string_view bytes);
base::Result<SpanBatch> decode_otlp_json(std::string_view text);

// A body by its Content-Encoding: "" and "identity", "gzip", "deflate" (with or without zlib's header); kInvalid for
// another or a damaged one, kTooLarge past kOtlpBytes.
base::Result<std::string> decompress(std::string_view body, std::string_view encoding);

}  // namespace traces
