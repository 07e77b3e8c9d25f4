// YAML, and the declarations that are read out of it: lathe.yaml, dvc.yaml with its parameter files, prepare.yaml.
#include "base/yaml.h"

#include "data/prepare_spec.h"
#include "flow/dvc_yaml.h"
#include "fuzz.h"
#include "loop/config.h"

namespace {

size_t count(const base::yaml::Node& node, size_t depth) {
  REQUIRE(depth <= 33);
  size_t n = 1;
  for (const auto& item : node.items) n += count(item, depth + 1);
  for (const auto& entry : node.entries) n += count(entry.value, depth + 1);
  return n;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const std::string_view text = input.text();
  const std::string params(input.rest());
  if (const auto node = base::yaml::parse(text, "lathe.yaml")) {
    REQUIRE(count(*node, 0) <= 100'001);
    const flow::DvcInput given{.file = "lathe.yaml", .data_sets = {"digits"}, .files = {{"params.yaml", params}}};
    if (const auto spec = flow::parse_stages(*node, given)) {
      for (const auto& stage : spec->stages) REQUIRE(!stage.name.empty());
    }
  }
  (void)loop::parse_config(text, "lathe.yaml", {{"params.yaml", params}, {"dvc.yaml", params}});
  (void)data::parse_prepare(text, "prepare.yaml", "digit");
  return 0;
}
