// JSON as such, and what is read out of it: MLflow's call arguments, feedback, stored pipelines, transforms.
#include "base/json.h"

#include "api/lathe/watch_feedback.h"
#include "api/lathe/watch_seldon.h"
#include "api/mlflow/args.h"
#include "base/utf8.h"
#include "flow/spec_json.h"
#include "fuzz.h"
#include "request.h"
#include "stats/transform.h"

namespace {

void mlflow_call(std::string_view body) {
  fuzz::HeadOnly request;
  request.method = net::Method::kPost;
  api::mlflow::Args args(request);
  args.take_body(std::string(body));
  (void)args.required_text("experiment_id");
  (void)args.run_id();
  (void)args.integer("max_results");
  (void)args.boolean("finished");
  (void)args.choice("status", std::span<const std::string_view>(), 1);
  (void)args.texts("ids");
  (void)args.tags("tags");
  for (const auto* metric : args.objects("metrics")) {
    (void)args.text_in(*metric, "key", "metrics[0]", true);
    (void)args.number_in(*metric, "value", "metrics[0]");
    (void)args.integer_in(*metric, "step", "metrics[0]");
    (void)args.boolean_in(*metric, "is_nan", "metrics[0]", false);
  }
  if (args.error()) REQUIRE(!args.error()->message.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto value = base::parse_json(text)) {
    const auto again = base::parse_json(base::to_text(*value));
    REQUIRE(again);
    REQUIRE(base::to_text(*again) == base::to_text(*value));
  }
  mlflow_call(text);
  if (const auto feedback = api::lathe::parse_feedback(text)) REQUIRE(feedback->size() <= text.size());
  if (const auto feedback = api::lathe::parse_seldon_feedback(text)) REQUIRE(feedback->size() <= text.size());
  if (const auto spec = flow::spec_from_json(text)) {
    const std::string written = flow::spec_to_json(*spec);
    const auto again = flow::spec_from_json(written);
    REQUIRE(again);
    REQUIRE(flow::spec_to_json(*again) == written);
  }
  if (const auto map = flow::map_from_json(text)) {
    const auto again = flow::map_from_json(flow::map_to_json(*map));
    REQUIRE(again);
    REQUIRE(*again == *map);
  }
  if (const auto transform = stats::Transform::parse(text)) {
    const auto again = stats::Transform::parse(transform->to_json());
    REQUIRE(again);
    REQUIRE(again->to_json() == transform->to_json());
  }
  return 0;
}
