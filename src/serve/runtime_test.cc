#include "serve/runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <thread>

#include "base/clock.h"
#include "blob/migrations.h"
#include "core/event.h"
#include "core/lineage.h"
#include "core/migrations.h"
#include "serve/migrations.h"
#include "serve/test_models.h"
#include "serve/trial.h"

namespace serve {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const store::ModuleMigrations kModules[] = {core::migrations(), blob::migrations(), serve::migrations()};

class RuntimeTest : public testing::Test {
 protected:
  RuntimeTest() : dir_(base::make_temp_dir(fs::temp_directory_path(), "serve").value()) {
    store_ = store::Store::open({.url = "sqlite:" + (dir_ / "db").string(), .sync_full = false}, kModules).value();
    blobs_ = blob::BlobStore::open(dir_).value();
    child("exit 0");
  }
  ~RuntimeTest() override {
    runtime_.reset();
    store_.reset();
    (void)base::remove_tree(dir_);
  }

  // What the trial child is here: a shell script. (The real one is tried by the API tests.)
  void child(const std::string& script) {
    const fs::path file = dir_ / "child";
    ASSERT_TRUE(base::write_file_durably(file, "#!/bin/sh\n" + script + "\n", 0755));
  }
  void start(int64_t bake_us = 60'000'000) {
    runtime_.reset();
    metrics_ = std::make_unique<base::Registry>();
    auto started = Runtime::start(*store_, *blobs_, {.dir = dir_ / "serve", .self = dir_ / "child", .bake_us = bake_us},
                                  *metrics_);
    ASSERT_TRUE(started) << started.error().message;
    runtime_ = std::move(*started);
  }
  template <class F>
  auto write(F f) {
    return store_->write_blocking(base::Context::system(base::system_clock()), std::move(f));
  }
  std::string log_model(const std::string& model) {
    const std::string root = "test/" + model;
    for (const auto& entry : fs::directory_iterator(test_models() / model)) {
      const auto info = blobs_->put_file(entry.path()).value();
      EXPECT_TRUE(write([&](store::Tx& tx) {
        return blob::put_artifact(
            tx, {.root = root, .path = entry.path().filename().string(), .size = info.size, .digest = info.sha256});
      }));
    }
    return root;
  }
  int64_t add(const std::string& endpoint, const std::string& model, int64_t version) {
    const std::string root = log_model(model);
    auto revision = write([&](store::Tx& tx) -> base::Result<Revision> {
      TRY(ensure_endpoint(tx, endpoint, "production"));
      return add_revision(tx,
                          {.endpoint = endpoint, .model_name = model, .model_version = version, .artifact_root = root});
    });
    EXPECT_TRUE(revision) << (revision ? "" : revision.error().message);
    return revision ? revision->number : 0;
  }
  base::Result<Endpoint> flip(const std::string& endpoint, int64_t number, int64_t expected, bool rollback = false) {
    return write([&](store::Tx& tx) { return set_live(tx, endpoint, number, expected, rollback); });
  }

  base::Path dir_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<blob::BlobStore> blobs_;
  std::unique_ptr<base::Registry> metrics_;
  std::unique_ptr<Runtime> runtime_;
};

TEST_F(RuntimeTest, WithinABudgetModelsComeAtTheirFirstRequestAndTheOldestGoes) {
  for (const char* name : {"a", "b", "c"}) {
    ASSERT_EQ(add(name, "iris", 1), 1);
    ASSERT_TRUE(flip(name, 1, 0));
  }
  // Revisions of one model share what is in memory: these are three.
  for (const char* name : {"b", "c"}) {
    const std::string root = log_model(name == std::string("b") ? "iris_zipmap" : "iris_bare");
    const auto other = write([&](store::Tx& tx) {
      return add_revision(tx, {.endpoint = name, .model_name = name, .model_version = 2, .artifact_root = root});
    });
    ASSERT_TRUE(other);
    ASSERT_TRUE(flip(name, 2, 1));
  }
  metrics_ = std::make_unique<base::Registry>();
  runtime_ = Runtime::start(*store_, *blobs_,
                            {.dir = dir_ / "serve", .self = dir_ / "child", .memory_budget = 600 << 10}, *metrics_)
                 .value();
  EXPECT_TRUE(runtime_->ready()) << "what is not in memory can answer";
  const auto warm = [&](const char* name) {
    const LivePtr live = runtime_->route(1, name);
    if (!live->cold) return live;
    auto loaded = runtime_->warm(*live, 0);
    EXPECT_TRUE(loaded) << (loaded ? "" : loaded.error().message);
    return loaded ? *loaded : nullptr;
  };
  std::vector<std::thread> together;
  std::vector<const Predictor*> got(4);
  for (size_t i = 0; i < got.size(); ++i) together.emplace_back([&, i] { got[i] = warm("a")->predictor.get(); });
  for (auto& thread : together) thread.join();
  EXPECT_EQ(std::set(got.begin(), got.end()).size(), 1U) << "loaded once however many ask";
  ASSERT_TRUE(warm("b"));
  runtime_->route(1, "a")->used_us->store(1);
  ASSERT_TRUE(warm("c"));
  EXPECT_TRUE(runtime_->route(1, "a")->cold) << "the least recently used one went";
  EXPECT_FALSE(runtime_->route(1, "b")->cold);
  EXPECT_EQ(runtime_->route(1, "c")->version, "2");
  ASSERT_TRUE(runtime_->refresh());
  EXPECT_TRUE(runtime_->route(1, "a")->cold) << "a refresh loads nothing that nobody asked for";
}

TEST_F(RuntimeTest, AnEndpointsSettingsAreKept) {
  ASSERT_EQ(add("flowers", "iris", 1), 1);
  const ServingSettings settings{.min_workers = 0, .max_workers = 4, .max_rows = 16, .python = "old"};
  const auto set = [&](const ServingSettings& to) {
    return write([&](store::Tx& tx) -> base::Result<void> { return set_serving(tx, "flowers", to); });
  };
  const auto kept = [&] {
    return store_
        ->read_blocking(base::Context::system(base::system_clock()),
                        [](store::Tx& tx) { return get_endpoint(tx, "flowers"); })
        ->serving;
  };
  ASSERT_TRUE(set(settings));
  EXPECT_EQ(kept(), settings);
  EXPECT_FALSE(set({.max_workers = 1000}));
  EXPECT_EQ(kept(), settings);
  ASSERT_TRUE(set({}));
  EXPECT_EQ(kept(), ServingSettings());
}

TEST_F(RuntimeTest, PromotionSwapsAndRollbackSwapsBack) {
  start();
  EXPECT_EQ(runtime_->route(1, ""), nullptr);
  const int64_t first = add("flowers", "iris", 1), second = add("flowers", "iris_zipmap", 2);
  ASSERT_TRUE(runtime_->prepare(1, "flowers", first, Runtime::Code::kMayRun));
  EXPECT_EQ(runtime_->route(1, "flowers"), nullptr);  // prepared is not live
  ASSERT_TRUE(flip("flowers", first, 0));
  ASSERT_TRUE(runtime_->refresh());
  const auto held = runtime_->route(1, "flowers");
  ASSERT_TRUE(held && held->predictor);
  EXPECT_EQ(held->version, "1");
  EXPECT_EQ(runtime_->route(1, ""), held);  // the only one is the default one
  EXPECT_EQ(runtime_->route(2, "flowers"), nullptr);

  ASSERT_TRUE(runtime_->prepare(1, "flowers", second, Runtime::Code::kMayRun));
  ASSERT_TRUE(flip("flowers", second, first));
  ASSERT_TRUE(runtime_->refresh());
  EXPECT_EQ(runtime_->route(1, "flowers")->version, "2");
  EXPECT_EQ(held->version, "1");  // a request keeps what it began with
  ASSERT_TRUE(flip("flowers", first, second, true));
  ASSERT_TRUE(runtime_->refresh());
  EXPECT_EQ(runtime_->route(1, "flowers")->predictor, held->predictor);
}

TEST_F(RuntimeTest, FlipIsRefusedWhenTheChampionMoved) {
  const int64_t first = add("flowers", "iris", 1), second = add("flowers", "iris_zipmap", 2);
  ASSERT_TRUE(flip("flowers", first, 0));
  auto late = flip("flowers", second, 0);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, base::Code::kConflict);
  EXPECT_EQ(flip("flowers", 9, first).error().code, base::Code::kNotFound);
  auto live = flip("flowers", second, first);
  ASSERT_TRUE(live);
  EXPECT_EQ(live->previous_revision, first);
  EXPECT_EQ(live->generation, 2);
  (void)write([&](store::Tx& tx) -> base::Result<void> {
    const auto edges = core::edges_into(tx, {"revision", "flowers/2"});
    EXPECT_EQ(edges.size(), 1u);
    EXPECT_EQ(edges[0].from.id, "iris_zipmap/2");
    auto events = core::read_events(tx, {}, 100);
    EXPECT_EQ(events->back().kind, "endpoint.promoted");
    return {};
  });
}

TEST_F(RuntimeTest, ARestartServesWhatWasLive) {
  const int64_t first = add("flowers", "iris", 1);
  add("other", "diabetes", 1);
  ASSERT_TRUE(flip("flowers", first, 0));
  ASSERT_TRUE(flip("other", 1, 0));
  start();
  EXPECT_EQ(runtime_->live().size(), 2u);
  EXPECT_EQ(runtime_->route(1, ""), nullptr);  // two, and none marked
  ASSERT_TRUE(write([&](store::Tx& tx) { return set_default_endpoint(tx, "other"); }));
  child("exit 1");  // the trial is not repeated
  start();
  ASSERT_TRUE(runtime_->route(1, ""));
  EXPECT_EQ(runtime_->route(1, "")->name, "other");
  EXPECT_TRUE(runtime_->route(1, "flowers")->predictor);
}

TEST_F(RuntimeTest, ATrialThatEndsBadlyIsAnErrorAndNothingElse) {
  start();
  add("flowers", "iris", 1);
  child("kill -SEGV $$");
  auto crashed = runtime_->prepare(1, "flowers", 1, Runtime::Code::kMayRun);
  ASSERT_FALSE(crashed);
  EXPECT_THAT(crashed.error().message, HasSubstr("signal 11"));
  child("echo 'unavailable: no library'; exit 3");
  auto refused = runtime_->prepare(1, "flowers", 1, Runtime::Code::kMayRun);
  EXPECT_EQ(refused.error().code, base::Code::kUnavailable);
  EXPECT_EQ(refused.error().message, "no library");
  EXPECT_EQ(runtime_->prepare(1, "flowers", 7, Runtime::Code::kMayRun).error().code, base::Code::kNotFound);
  child("exit 0");
  EXPECT_TRUE(runtime_->prepare(1, "flowers", 1, Runtime::Code::kMayRun));
}

TEST_F(RuntimeTest, APythonModelIsLoadedForWhoMayRunCode) {
  start();
  const base::Path folder = dir_ / "plain";
  ASSERT_TRUE(base::make_dirs(folder));
  // Of the standard library alone: numpy need not be there, as nothing is predicted before the refusal.
  ASSERT_TRUE(
      base::write_file_durably(folder / "model.py", "class Model:\n    def predict(self, data): return data\n"));
  add("flowers", folder.string(), 1);
  const auto refused = runtime_->prepare(1, "flowers", 1, Runtime::Code::kMayNotRun);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kForbidden);
  EXPECT_THAT(refused.error().message, HasSubstr("right to run code"));
  add("onnx", "iris", 1);
  child("exit 0");
  EXPECT_TRUE(runtime_->prepare(1, "onnx", 1, Runtime::Code::kMayNotRun));
}

TEST_F(RuntimeTest, AnEndpointThatCannotLoadIsThereWithItsProblem) {
  add("flowers", "iris", 1);
  ASSERT_TRUE(flip("flowers", 1, 0));
  child("echo 'invalid: it is broken'; exit 3");
  start();
  const auto route = runtime_->route(1, "flowers");
  ASSERT_TRUE(route);
  EXPECT_EQ(route->predictor, nullptr);
  EXPECT_EQ(route->problem.code, base::Code::kUnavailable);
  EXPECT_THAT(route->problem.message, HasSubstr("it is broken"));
}

TEST_F(RuntimeTest, BakedRevisionsAreUnloaded) {
  start(1);
  add("flowers", "iris", 1);
  add("flowers", "iris_zipmap", 2);
  ASSERT_TRUE(flip("flowers", 1, 0));
  ASSERT_TRUE(runtime_->refresh());
  std::weak_ptr<const Predictor> old = runtime_->route(1, "flowers")->predictor;
  ASSERT_TRUE(flip("flowers", 2, 1));
  ASSERT_TRUE(runtime_->refresh());
  for (int i = 0; i < 500 && !old.expired(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_TRUE(old.expired());
  const auto folders = [&] {
    return std::distance(fs::directory_iterator(dir_ / "serve/models"), fs::directory_iterator());
  };
  for (int i = 0; i < 500 && folders() > 1; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(folders(), 1);                   // gone a moment after the model
  ASSERT_TRUE(flip("flowers", 1, 2, true));  // rollback after its bake time loads it again
  ASSERT_TRUE(runtime_->refresh());
  EXPECT_TRUE(runtime_->route(1, "flowers")->predictor);
}

TEST_F(RuntimeTest, NamesAreChecked) {
  for (const char* name : {"", "a/b", "..", "a b", ".hidden"}) {
    auto made = write([&](store::Tx& tx) { return ensure_endpoint(tx, name, "production"); });
    ASSERT_FALSE(made) << name;
    EXPECT_EQ(made.error().code, base::Code::kInvalid);
  }
}

TEST_F(RuntimeTest, ATrialThatNeverEndsIsEnded) {
  child("sleep 60");
  const auto tried = try_in_child(dir_ / "child", dir_, "", {.timeout_us = 200'000});
  ASSERT_FALSE(tried);
  EXPECT_THAT(tried.error().message, HasSubstr("timed out"));
}

TEST(Trial, HoldsAModelAgainstItsOwnExample) {
  const auto warm = [](const char* model) {
    auto predictor = Predictor::load(test_models() / model, {});
    return warm_up(**predictor, test_models() / model);
  };
  EXPECT_TRUE(warm("iris"));
  EXPECT_TRUE(warm("mixed"));  // no example: zeros
  EXPECT_THAT(warm("iris_wrong_example").error().message, HasSubstr("does not give the answers stored"));
}

TEST(Rcu, ReadersNeverSeeAFreedValue) {
  struct Value {
    explicit Value(int n) : a(n), b(n) {}
    ~Value() { a = -1; }
    int a, b;
  };
  Rcu<Value> cell(std::make_unique<Value>(0));
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&] {
      int last = 0;
      while (!stop) {
        const auto guard = cell.read();
        const auto nested = cell.read();
        EXPECT_EQ(guard->a, guard->b);
        EXPECT_GE(guard->a, last);
        last = guard->a;
        EXPECT_EQ(nested->a, guard->a);
      }
    });
  }
  for (int i = 1; i < 3000; ++i) cell.store(std::make_unique<Value>(i));
  stop = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(cell.reclaim(), 0u);
}

TEST_F(RuntimeTest, TrafficIsDividedAndAFlipEndsIt) {
  start();
  const int64_t first = add("flowers", "iris", 1), second = add("flowers", "iris_zipmap", 2);
  ASSERT_TRUE(flip("flowers", first, 0));
  ASSERT_TRUE(runtime_->refresh());
  const auto divide = [&](const TrafficPlan& plan, int64_t generation) {
    return write([&](store::Tx& tx) { return set_traffic(tx, "flowers", plan, generation); });
  };
  EXPECT_EQ(divide({.parts = {{first, 9000}, {9, 1000}}}, 1).error().code, base::Code::kNotFound);
  EXPECT_EQ(divide({.parts = {{first, 9000}, {second, 1000}}}, 0).error().code, base::Code::kConflict);
  ASSERT_TRUE(divide({.parts = {{first, 7000}, {second, 3000}}, .sticky = "x-user"}, 1));
  ASSERT_TRUE(runtime_->refresh());
  const auto live = runtime_->route(1, "flowers");
  ASSERT_TRUE(live && live->split);
  int to_second = 0;
  std::map<std::string, int64_t> answered;
  for (int i = 0; i < 2000; ++i) {
    const std::string key = "u" + std::to_string(i);
    answered[key] = choose(live, key)->revision.number;
    to_second += answered[key] == second;
  }
  EXPECT_NEAR(to_second, 600, 80);
  EXPECT_EQ((*find_revision(live, second))->version, "2");
  EXPECT_EQ((*find_version(live, "2"))->revision.number, second);
  EXPECT_EQ(find_revision(live, 9), nullptr);
  EXPECT_EQ(runtime_->loaded().size(), 2u);

  // A canary that grows keeps whom it had.
  ASSERT_TRUE(divide({.parts = {{first, 4000}, {second, 6000}}, .sticky = "x-user"}, 2));
  ASSERT_TRUE(runtime_->refresh());
  const auto grown = runtime_->route(1, "flowers");
  for (const auto& [key, revision] : answered) {
    if (revision == second) EXPECT_EQ(choose(grown, key)->revision.number, second);
  }

  auto promoted = flip("flowers", second, first);
  ASSERT_TRUE(promoted);
  EXPECT_TRUE(promoted->traffic.parts.empty());
  EXPECT_EQ(promoted->traffic.sticky, "x-user");
  ASSERT_TRUE(runtime_->refresh());
  EXPECT_FALSE(runtime_->route(1, "flowers")->split);
}

TEST_F(RuntimeTest, TheShadowAnswersCopiesAndNobodyWaits) {
  start();
  const int64_t first = add("flowers", "iris", 1), second = add("flowers", "iris_zipmap", 2);
  ASSERT_TRUE(flip("flowers", first, 0));
  ASSERT_TRUE(write([&](store::Tx& tx) { return set_traffic(tx, "flowers", {.shadow = second}, 1); }));
  ASSERT_TRUE(runtime_->refresh());
  const auto live = runtime_->route(1, "flowers");
  ASSERT_TRUE(live->shadow);
  const TensorInfo& input = live->predictor->inputs()[0];
  Tensor tensor{.name = input.name, .type = input.type, .shape = {1, 4}};
  for (const double x : {5.1, 3.5, 1.4, 0.2}) ASSERT_TRUE(append_number(tensor, x));
  const auto outputs = live->predictor->infer({&tensor, 1});
  ASSERT_TRUE(outputs) << outputs.error().message;
  const Prediction answer = live->predictor->read(*outputs);
  std::vector<double> scores;
  top_scores(answer, scores);
  const base::Uuid id = runtime_->capture().new_id(*live->capture, 1'700'000'000'000'000);
  for (int i = 0; i < 3; ++i) {
    runtime_->mirror()->offer(*live, live->shadow->target, {&tensor, 1},
                              {.id = id, .at_us = 1'700'000'000'000'000, .labels = answer.labels, .scores = scores});
  }
  tensor.shape = {1, 3};
  runtime_->mirror()->offer(*live, live->shadow->target, {&tensor, 1}, {.id = id, .labels = answer.labels});
  runtime_->mirror()->finish();
  const auto taken = runtime_->mirror()->take();
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].point.requests, 4);
  EXPECT_EQ(taken[0].point.agreed, 0);  // it names its classes, the other one numbers them
  EXPECT_EQ(taken[0].point.scored, 3);
  EXPECT_LT(taken[0].point.most, 0.1);
  EXPECT_EQ(taken[0].point.failures, 1);
  EXPECT_EQ(taken[0].point.revision, first);
  EXPECT_EQ(taken[0].point.shadow, second);
  EXPECT_TRUE(runtime_->mirror()->take().empty());
  runtime_->capture().flush();
  const auto kept = runtime_->capture().read(1, "flowers", {}, 10);
  ASSERT_TRUE(kept);
  ASSERT_EQ(kept->requests.size(), 3u);
  EXPECT_EQ(kept->requests[0].role, "shadow");
  EXPECT_EQ(kept->requests[0].revision, second);
  EXPECT_EQ(kept->requests[0].client_id, prediction_id(id));
  EXPECT_EQ(kept->requests[0].labels, std::vector<std::string>{"setosa"});
}

}  // namespace
}  // namespace serve
