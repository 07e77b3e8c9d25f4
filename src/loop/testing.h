// For tests of what the loop keeps in the store: every room's tables, and a project that is applied and serves.
#pragma once

#include <map>
#include <string>

#include "blob/migrations.h"
#include "core/migrations.h"
#include "data/migrations.h"
#include "flow/migrations.h"
#include "loop/apply.h"
#include "loop/bundle.h"
#include "loop/migrations.h"
#include "serve/endpoint.h"
#include "serve/migrations.h"
#include "store/testing.h"
#include "track/migrations.h"
#include "track/registry.h"
#include "watch/migrations.h"

namespace loop::testing {

inline constexpr std::string_view kLatheYaml = R"(project: digits
data: {digits: {path: raw/*.csv, label: digit, feedback: true}}
stages:
  train: {cmd: python train.py, deps: [digits]}
model: {name: digits, from: train}
endpoint: {name: digits}
monitor: {labels: feedback}
retrain: {on: [drift, accuracy], cooldown: 10m, min_labels: 100}
)";

class LoopTest : public store::testing::EngineTest {
 protected:
  LoopTest()
      : EngineTest({core::migrations(), blob::migrations(), data::migrations(), flow::migrations(), track::migrations(),
                    serve::migrations(), watch::migrations(), loop::migrations()}) {}

  // A transaction at a time of the test's own.
  template <class F>
  auto at(int64_t now_us, F f) {
    auto context = ctx();
    context.now_us = now_us;
    return store_->write_blocking(context, std::move(f));
  }

  base::Result<ApplyOutcome> apply_project(store::Tx& tx) {
    const std::string text(kLatheYaml);
    TRY_SET(const Config config, parse_config(text, "lathe.yaml", {}));
    const std::vector<BundleFile> files{{.path = "lathe.yaml", .digest = base::sha256(text), .size = 1}};
    TRY_SET(const Bundle bundle, create_bundle(tx, files, "", false));
    return apply(tx, {.bundle = bundle.id, .file = "lathe.yaml", .start_run = false}, config, text, {});
  }

  // A registered version, live as the endpoint's next revision.
  static base::Result<int64_t> serve_version(store::Tx& tx, const std::string& source) {
    TRY(track::ensure_registered_model(tx, "digits"));
    TRY_SET(const auto version, track::create_model_version(tx, {.name = "digits", .source = source}));
    TRY_SET(const auto endpoint, serve::ensure_endpoint(tx, "digits", "production"));
    TRY_SET(const auto revision,
            serve::add_revision(tx, {.endpoint = "digits", .model_name = "digits", .model_version = version.version}));
    TRY(serve::set_live(tx, "digits", revision.number, endpoint.live_revision, false));
    return revision.number;
  }
};

}  // namespace loop::testing
