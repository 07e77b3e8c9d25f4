// For tests of every room that has tables: a store of its own on the engine that the test runs on. SQLite always;
// PostgreSQL where LATHE_TEST_POSTGRES holds the URL of a cluster (tools/test.sh starts one), in a schema of its own.
//
//     class MyTest : public store::testing::EngineTest { … modules … };
//     INSTANTIATE_TEST_SUITE_P(Engines, MyTest, store::testing::engines(), store::testing::engine_name);
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "base/fs.h"
#include "base/ids.h"
#include "store/store.h"

namespace store::testing {

inline auto engines() { return ::testing::Values(Backend::kSqlite, Backend::kPostgres); }
inline std::string engine_name(const ::testing::TestParamInfo<Backend>& info) {
  return info.param == Backend::kSqlite ? "Sqlite" : "Postgres";
}
inline const char* postgres_url() { return std::getenv("LATHE_TEST_POSTGRES"); }

class EngineTest : public ::testing::TestWithParam<Backend> {
 protected:
  explicit EngineTest(std::vector<ModuleMigrations> modules) : modules_(std::move(modules)) {}

  void SetUp() override {
    if (GetParam() == Backend::kPostgres && postgres_url() == nullptr) GTEST_SKIP() << "LATHE_TEST_POSTGRES is not set";
    auto dir = base::make_temp_dir(::testing::TempDir(), "lathe-store-");
    ASSERT_TRUE(dir) << dir.error().message;
    dir_ = *dir;
    options_.holder = "a test";
    if (GetParam() == Backend::kSqlite) {
      options_.url = "sqlite:" + (dir_ / "lathe.db").string();
      options_.sync_full = false;
    } else {
      options_.url = postgres_url();
      options_.postgres_schema = "test_" + base::random_hex(base::system_random(), 8);
    }
    open();
  }
  void TearDown() override {
    store_.reset();
    (void)base::remove_tree(dir_);
  }

  void open() {
    store_.reset();
    auto store = Store::open(options_, modules_);
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
  }

  base::Context ctx() const { return base::Context::system(base::system_clock(), "a test"); }
  template <class F>
  auto write(F f) {
    return store_->write_blocking(ctx(), std::move(f));
  }
  template <class F>
  auto read(F f) {
    return store_->read_blocking(ctx(), std::move(f));
  }

  template <class F>
  auto ok(F f) {  // the value of a write that must succeed
    auto result = write(std::move(f));
    EXPECT_TRUE(result) << result.error().message;
    return std::move(*result);
  }
  template <class F>
  void done(F f) {  // the same without a value
    auto result = write(std::move(f));
    EXPECT_TRUE(result) << result.error().message;
  }
  template <class F>
  base::Error refused(F f) {  // the error of a write that must not succeed
    auto result = write(std::move(f));
    EXPECT_FALSE(result);
    return result ? base::Error{} : result.error();
  }

  std::vector<ModuleMigrations> modules_;
  base::Path dir_;
  Options options_;
  std::unique_ptr<Store> store_;
};

}  // namespace store::testing
