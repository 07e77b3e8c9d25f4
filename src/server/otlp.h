// OTLP's ExportTraceServiceRequest in protobuf's wire format, written by hand: six message types, no generated code.
// Thread: pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/trace.h"

namespace server {

std::string otlp_request(std::span<const base::SpanData> spans, std::string_view service, std::string_view version,
                         std::string_view instance);

}  // namespace server
