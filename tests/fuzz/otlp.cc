// OTLP's two forms, and what is made of their spans: within the limits, UTF-8, and JSON that can be read again.
#include "traces/otlp.h"

#include "base/json.h"
#include "base/utf8.h"
#include "fuzz.h"
#include "traces/span_log.h"

namespace {

void check(const base::Result<traces::SpanBatch>& batch) {
  if (!batch) return;
  REQUIRE(batch->spans.size() <= traces::kRequestSpans);
  for (const traces::Span& span : batch->spans) {
    REQUIRE(span.trace_id.size() == 32 && span.span_id.size() == 16);
    REQUIRE(span.attributes.size() <= traces::kSpanAttributes);
    REQUIRE(span.resource < batch->resources.size());
    for (const traces::Attribute& attribute : span.attributes) REQUIRE(base::is_utf8(attribute.json));
    REQUIRE(base::is_utf8(traces::span_json(span)));
  }
  for (const traces::PreparedTrace& trace : traces::prepare_spans(*batch, store::Backend::kSqlite)) {
    REQUIRE(!trace.spans.empty() && base::is_utf8(trace.request_preview.value_or("")));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const uint8_t what = input.byte();
  const std::string_view rest = input.rest();
  switch (what % 3) {
    case 0: check(traces::decode_otlp(rest)); break;
    case 1: check(traces::decode_otlp_json(rest)); break;
    default: {
      const auto plain = traces::decompress(rest, what % 2 == 0 ? "gzip" : "deflate");
      if (plain) REQUIRE(plain->size() <= traces::kOtlpBytes);
    }
  }
  return 0;
}
