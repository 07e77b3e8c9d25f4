// POST /v1/traces: spans from any OpenTelemetry exporter over HTTP, in protobuf or JSON, compressed or not. The header
// x-mlflow-experiment-id says where they belong, x-mlflow-run-id the run that they are linked to.
#include "traces/otlp.h"

#include "api/mlflow/door.h"
#include "net/text.h"
#include "traces/span_log.h"

namespace api::mlflow {

using base::Result;
using net::Method;
using store::Tx;

namespace {

constexpr size_t kOtlpBody = size_t{32} << 20;  // as it travels
constexpr size_t kInline = size_t{128} << 10;   // larger bodies are decoded off the loop
constexpr std::string_view kProtobuf = "application/x-protobuf", kJson = "application/json";

struct Arrived {
  std::string_view body, encoding;
  bool json = false;
  store::Backend backend;
};

Result<std::vector<traces::PreparedTrace>> decode(const Arrived& arrived) {
  TRY_SET(const std::string plain, traces::decompress(arrived.body, arrived.encoding));
  TRY_SET(traces::SpanBatch batch, arrived.json ? traces::decode_otlp_json(plain) : traces::decode_otlp(plain));
  return traces::prepare_spans(std::move(batch), arrived.backend);
}

// Spans of a trace that is there already are added to it, wherever it is.
Claims claims_of(const traces::SpanLog& log) {
  Claims claims;
  claims.add(Subject::kExperiment, Need::kEdit, std::string(log.experiment_id));
  claims.add_if(Subject::kRun, Need::kEdit, std::string(log.run_id));
  for (const traces::PreparedTrace& trace : log.traces) claims.add(Subject::kTrace, Need::kEdit, trace.trace_id);
  return claims;
}

base::Task<void> receive_spans(store::Store* store, net::Offload* offload, net::Request& request,
                               net::Response& response) {
  traces::SpanLog log;
  log.experiment_id = request.header("x-mlflow-experiment-id");
  log.run_id = request.header("x-mlflow-run-id");
  if (log.experiment_id.empty()) {
    co_return fail(response, {base::Code::kInvalid,
                              "The header x-mlflow-experiment-id is missing: it names the experiment that the spans "
                              "belong to (OTEL_EXPORTER_OTLP_TRACES_HEADERS=x-mlflow-experiment-id=…)"});
  }
  const std::string_view header = request.header("content-type");
  const std::string_view type = net::trim(header.substr(0, header.find(';')));
  Arrived arrived{"", request.header("content-encoding"), net::equals_ignoring_case(type, kJson), store->backend()};
  if (!arrived.json && !net::equals_ignoring_case(type, kProtobuf)) {
    co_return fail(response, {base::Code::kInvalid, "Invalid Content-Type: " + std::string(header.substr(0, 100)) +
                                                        ". Expected: application/x-protobuf or application/json"});
  }
  std::string encoding(arrived.encoding);
  for (char& c : encoding) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  arrived.encoding = encoding;
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, body.error());
  arrived.body = *body;
  auto work = [&] { return decode(arrived); };
  Result<std::vector<traces::PreparedTrace>> decoded = base::internal("not run");
  if (body->size() <= kInline) {
    decoded = work();
  } else {
    decoded = co_await offload->run(work);
  }
  if (!decoded) co_return fail(response, decoded.error());
  log.traces = std::move(*decoded);
  const auto limits = limits_of(request);
  const Claims claims = limits ? claims_of(log) : Claims();
  auto job = [&](Tx& tx) -> Result<void> {
    if (limits) TRY(check(tx, *limits, claims));
    return traces::log_spans(tx, log);
  };
  const auto stored = co_await store->write(request.ctx, job);
  if (!stored) co_return fail(response, stored.error());
  // An ExportTraceServiceResponse without a partial failure: no bytes, or the empty object.
  arrived.json ? response.send(200, kJson, "{}") : response.send(200, kProtobuf, "");
}

}  // namespace

void add_otlp_routes(Door& door) {
  door.add(Method::kPost, "/v1/traces", base::Permission::kWrite, {.body_bytes = kOtlpBody},
           [store = &door.store(), offload = &door.offload()](net::Request& request, net::Response& response) {
             return receive_spans(store, offload, request, response);
           });
}

}  // namespace api::mlflow
