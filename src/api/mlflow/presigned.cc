// POST artifacts/presigned-{upload,download}-url: clients that go to the bucket themselves ask for a signed address of
// a run's or logged model's own place. Files here are proxied, whose addresses come from mlflow-artifacts/presigned (to
// read) and mpu/create (to write); so the answer is a refusal, with the words that upstream has for such places.
#include "api/mlflow/presigned.h"

#include "track/artifact_root.h"
#include "track/models.h"
#include "track/runs.h"

namespace api::mlflow {
namespace {

using base::Result;
using store::Tx;

constexpr int64_t kMaxSeconds = 7 * 24 * 3600;  // what buckets take

struct Ask {
  std::string run_id, model_id;
};

Result<bool> refuse(std::string_view what, const std::string& uri) {
  const std::string scheme = uri.substr(0, uri.find(':'));
  if (scheme == "mlflow-artifacts" || scheme == "http" || scheme == "https") {
    return base::invalid("Presigned " + std::string(what) + " is not supported for " +
                         (what == "upload" ? "" : "runs with ") +
                         "proxied artifact storage (artifact URI scheme: " + scheme + "). This endpoint requires a " +
                         (what == "upload" ? "" : "run with a ") + "direct cloud storage artifact URI.");
  }
  return base::fail(base::Code::kUnsupported,
                    "Presigned " + std::string(what) + " is not supported for the current artifact repository");
}

}  // namespace

void add_presigned_routes(Door& door) {
  const auto no_answer = [](base::JsonWriter&, bool) {};
  door.write(
      net::Method::kPost, "artifacts/presigned-upload-url",
      [](Args& args) {
        Ask in{args.text("run_id"), args.text("model_id")};
        args.required_text("path");
        if (in.run_id.empty() == in.model_id.empty())
          args.fail({base::Code::kInvalid, "Exactly one of run_id and model_id must be provided."});
        return in;
      },
      [](Tx& tx, const Ask& in) -> Result<bool> {
        if (!in.run_id.empty()) {
          TRY_SET(const auto run, track::get_run_info(tx, in.run_id));
          return refuse("upload", run.artifact_uri);
        }
        TRY_SET(const auto model, track::get_model(tx, in.model_id));
        return refuse("upload", model.info.artifact_uri);
      },
      no_answer);
  door.read(
      net::Method::kPost, "artifacts/presigned-download-url",
      [](Args& args) {
        Ask in{args.required_text("run_id"), ""};
        args.required_text("path");
        if (const int64_t seconds = args.integer("expiration").value_or(1); seconds < 1 || seconds > kMaxSeconds) {
          args.fail({base::Code::kInvalid, "expiration must be between 1 and " + std::to_string(kMaxSeconds) +
                                               " seconds (got " + std::to_string(seconds) + ")."});
        }
        return in;
      },
      [](Tx& tx, const Ask& in) -> Result<bool> {
        TRY_SET(const auto run, track::get_run_info(tx, in.run_id));
        return refuse("download", run.artifact_uri);
      },
      no_answer);
}

}  // namespace api::mlflow
