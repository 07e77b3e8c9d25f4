#include "serve/serving.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/fs.h"
#include "serve/model.h"
#include "serve/python_environments.h"
#include "serve/python_scaling.h"

namespace serve {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kAll =
    R"({"min_workers":0,"max_workers":4,"concurrency":2,"memory_mb":500,"timeout_ms":1500,"idle_ms":0,"python":"old",)"
    R"("batch":{"max_rows":64,"preferred":[16,32],"max_delay_us":500,"queue":9}})";

TEST(Serving, IsReadAndWrittenAlike) {
  const auto read = read_serving(kAll);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->min_workers, 0U);
  EXPECT_EQ(read->timeout_us, 1'500'000);
  EXPECT_EQ(read->idle_us, 0);
  EXPECT_THAT(*read->preferred, ElementsAre(16, 32));
  EXPECT_EQ(to_json(*read), kAll);
  EXPECT_EQ(*read_serving(to_json(*read)), *read);
  EXPECT_EQ(to_json(ServingSettings()), "");
  EXPECT_EQ(*read_serving(""), ServingSettings());
}

TEST(Serving, ErrorsSayWhatIsAllowed) {
  const auto problem = [](std::string_view text) {
    const auto read = read_serving(text);
    return read ? "no error" : read.error().message;
  };
  EXPECT_THAT(problem(R"({"max_workers":0})"), HasSubstr("'max_workers' must be a whole number from 1 to 64, found 0"));
  EXPECT_THAT(problem(R"({"workers":1})"), HasSubstr("'workers' is unknown; allowed: min_workers, max_workers"));
  EXPECT_THAT(problem(R"({"batch":{"size":1}})"), HasSubstr("'size' is unknown; allowed: max_rows"));
  EXPECT_THAT(problem(R"({"batch":{"max_rows":8,"preferred":[9]}})"), HasSubstr("from 1 to 'max_rows'"));
  EXPECT_THAT(problem(R"({"timeout_ms":1.5})"), HasSubstr("found 1.5"));
  EXPECT_THAT(problem(R"({"python":7})"), HasSubstr("'python' must be a text"));
  EXPECT_THAT(problem("[]"), HasSubstr("serving"));
}

TEST(Serving, TheEndpointWinsKeyByKey) {
  const ServingSettings model = *read_serving(R"({"min_workers":1,"max_workers":2,"timeout_ms":1000})");
  const ServingSettings both = merged(*read_serving(R"({"max_workers":8})"), model);
  EXPECT_EQ(both.min_workers, 1U);
  EXPECT_EQ(both.max_workers, 8U);
  EXPECT_EQ(both.timeout_us, 1'000'000);
  const RunLimits defaults = run_limits({});
  EXPECT_EQ(defaults.min_workers, 1U);
  EXPECT_EQ(defaults.max_workers, 2U);
  EXPECT_EQ(run_limits({.min_workers = 5}).max_workers, 5U);
  EXPECT_EQ(run_limits({.min_workers = 5, .max_workers = 3}).min_workers, 3U) << "the most counts";
}

TEST(Serving, BatchesOfTheModelAreChangedByTheEndpoint) {
  const BatchOptions own{.max_rows = 64, .preferred = {16, 64}, .max_delay_us = 5, .default_priority = 3};
  const BatchOptions now = batch_options({.max_rows = 32, .queue = 7}, own);
  EXPECT_EQ(now.max_rows, 32U);
  EXPECT_THAT(now.preferred, ElementsAre(16)) << "64 do not fit any more";
  EXPECT_EQ(now.max_delay_us, 5);
  EXPECT_EQ(now.queue, 7U);
  EXPECT_EQ(now.default_priority, 3U);
}

using python::kPatienceUs;
using python::Load;
using python::wanted_workers;

TEST(Scaling, FromNoneAtOnceAndOnlyForSomebody) {
  EXPECT_EQ(wanted_workers({}, 0, 4), 0U);
  EXPECT_EQ(wanted_workers({}, 2, 4), 2U);
  EXPECT_EQ(wanted_workers({.waiting = 1}, 0, 4), 1U);
  EXPECT_EQ(wanted_workers({.waiting = 9}, 0, 4), 1U) << "growth at most doubles; from none it is one";
  EXPECT_EQ(wanted_workers({.waiting = 1}, 0, 0), 1U) << "somebody must answer";
}

TEST(Scaling, APassingBurstStartsNothing) {
  EXPECT_EQ(wanted_workers({.live = 2, .waiting = 1, .longest_wait_us = kPatienceUs - 1}, 1, 8), 2U);
  EXPECT_EQ(wanted_workers({.live = 2, .waiting = 1, .longest_wait_us = kPatienceUs}, 1, 8), 3U);
  EXPECT_EQ(wanted_workers({.live = 2, .waiting = 2}, 1, 8), 4U) << "as many wait as there are seats";
  EXPECT_EQ(wanted_workers({.live = 2, .waiting = 100}, 1, 8), 4U) << "at most twice as many";
  EXPECT_EQ(wanted_workers({.live = 6, .waiting = 100}, 1, 8), 8U);
}

TEST(Scaling, WhatStartsAlreadyIsCounted) {
  EXPECT_EQ(wanted_workers({.live = 2, .starting = 1, .waiting = 1, .longest_wait_us = 1'000'000}, 1, 8), 2U);
  EXPECT_EQ(wanted_workers({.live = 1, .seats = 4, .waiting = 4, .longest_wait_us = 0}, 1, 8), 2U);
  EXPECT_EQ(wanted_workers({.live = 1, .seats = 4, .waiting = 3, .longest_wait_us = 0}, 1, 8), 1U);
}

TEST(Scaling, StaysWithinItsBounds) {
  for (size_t live = 0; live < 6; ++live) {
    for (size_t waiting = 0; waiting < 20; ++waiting) {
      for (size_t seats = 1; seats < 4; ++seats) {
        const size_t wanted =
            wanted_workers({.live = live, .seats = seats, .waiting = waiting, .longest_wait_us = kPatienceUs}, 1, 5);
        EXPECT_GE(wanted, 1U);
        EXPECT_LE(wanted, 5U);
        if (waiting == 0) EXPECT_EQ(wanted, std::clamp<size_t>(live, 1, 5));
      }
    }
  }
}

class Environments : public testing::Test {
 protected:
  Environments() : dir_(fs::canonical(base::make_temp_dir(fs::temp_directory_path(), "envs").value())) {
    make(dir_ / "root" / "old");
    make(dir_ / "elsewhere" / "env");
    fs::create_directory_symlink(dir_ / "elsewhere" / "env", dir_ / "root" / "out");
    fs::create_directories(dir_ / "model");
  }
  ~Environments() override { (void)base::remove_tree(dir_); }
  static void make(const fs::path& env) {
    fs::create_directories(env / "bin");
    fs::create_symlink("/bin/true", env / "bin" / "python");  // as a venv's own is a link
  }
  std::string ask(const std::string& named) {
    const PythonEnvironments environments({.roots = {dir_ / "root"}});
    const auto found = environments.interpreter_for(named, dir_ / "model");
    return found ? found->string() : found.error().message;
  }
  fs::path dir_;
};

TEST_F(Environments, AreNamedOrLieBelowARoot) {
  const std::string old = (dir_ / "root/old/bin/python").string();
  EXPECT_EQ(ask("old"), old);
  EXPECT_EQ(ask((dir_ / "root/old").string()), old);
  EXPECT_EQ(ask(old), old);
  EXPECT_EQ(ask(""), "") << "the server's own";
}

TEST_F(Environments, OutsideTheRootsThereIsNone) {
  for (const std::string& named :
       {(dir_ / "elsewhere/env").string(), (dir_ / "root/../elsewhere/env").string(), (dir_ / "root/out").string(),
        std::string("/usr/bin/python3"), (dir_ / "root").string(), dir_.string()})
    EXPECT_THAT(ask(named), HasSubstr("does not lie below")) << named;
  for (const char* named : {"../elsewhere/env", "a/b", "..", ".hidden", "old/../old"})
    EXPECT_THAT(ask(named), HasSubstr("neither a name")) << named;
  EXPECT_THAT(ask("new"), HasSubstr("new/bin/python"));
  const PythonEnvironments none({});
  EXPECT_THAT(none.interpreter_for("old", dir_ / "model").error().message, HasSubstr("--python-envs"));
}

TEST_F(Environments, AreBuiltOnlyWhereTheServerWasToldTo) {
  std::ofstream(dir_ / "model" / "requirements.txt") << "thing\n";
  EXPECT_EQ(ask(""), "");
  const PythonEnvironments building({.build_dir = dir_ / "built", .interpreter = "/bin/false"});
  const auto found = building.interpreter_for("", dir_ / "model");
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message, HasSubstr("/bin/false does not start"));
}

}  // namespace
}  // namespace serve
