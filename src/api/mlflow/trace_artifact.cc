// GET …/get-trace-artifact: a trace's spans as the file traces.json, and with `path` one of its attachments. Spans that
// a client uploaded as a file, because it does not speak OTLP, are that file.
#include "api/mlflow/artifact_tree.h"
#include "api/mlflow/door.h"
#include "api/mlflow/media_type.h"
#include "api/mlflow/receive.h"
#include "traces/traces.h"
#include "track/artifact_root.h"

namespace api::mlflow {

using base::Result;
using net::Method;
using store::Tx;

namespace {

constexpr std::string_view kFile = "traces.json";

struct Found {
  std::string spans;                   // a JSON object; or else
  std::optional<blob::Artifact> file;  //   what lies in the artifact store
};

// Below the trace's own folder of the artifact store.
Result<blob::Artifact> file_of(Tx& tx, const traces::TraceInfo& info, std::string_view path) {
  // Not by the tag that tells it: a client may set that to anything.
  TRY_SET(const std::string location, traces::trace_artifact_location(tx, info.experiment, info.trace_id));
  const auto root = track::proxied_path(location);
  if (!root) return base::not_found("the trace's files are not in the server's own store");
  TRY_SET(const std::string below, safe_path(path));
  if (root->empty() || below.empty()) return base::invalid("Invalid path");
  return find_file(tx, *root + "/" + below);
}

Result<Found> find(Tx& tx, const std::string& trace_id, const std::string& path) {
  Found out;
  if (!path.empty()) {
    TRY_SET(const traces::TraceInfo info, traces::get_trace_info(tx, trace_id));
    TRY_SET(out.file, file_of(tx, info, "attachments/" + path));
    return out;
  }
  TRY_SET(const traces::Trace trace, traces::get_trace(tx, trace_id));
  if (trace.spans.empty()) {
    if (auto file = file_of(tx, trace.info, kFile)) {
      out.file = std::move(*file);
      return out;
    }
  }
  out.spans = "{\"spans\": [";
  for (size_t i = 0; i < trace.spans.size(); ++i) out.spans.append(i != 0 ? ", " : "").append(trace.spans[i]);
  out.spans += "]}";
  return out;
}

base::Task<void> answer(Shared shared, net::Request& request, net::Response& response) {
  Args args(request);
  const std::string trace_id = args.text("request_id"), path = args.text("path");
  if (args.error()) co_return fail(response, *args.error());
  if (trace_id.empty()) {
    co_return fail(response, {base::Code::kInvalid, "Request must include the \"request_id\" query parameter."});
  }
  auto job = [&](Tx& tx) { return find(tx, trace_id, path); };
  auto found = co_await shared.store->read(request.ctx, job);
  if (!found) co_return fail(response, found.error());
  if (found->file) {
    co_await send_file(shared, request, response, std::move(*found->file));
    co_return;
  }
  response.header("Content-Disposition", attachment_header(kFile));
  response.header("X-Content-Type-Options", "nosniff");
  response.send(200, "application/octet-stream", std::move(found->spans));
}

}  // namespace

void add_trace_artifact_routes(Door& door) {
  const Shared shared = shared_of(door);
  door.add(Method::kGet, "get-trace-artifact", base::Permission::kRead, {.body_bytes = 0},
           [shared](net::Request& request, net::Response& response) { return answer(shared, request, response); });
}

}  // namespace api::mlflow
