#include "flow/log_level.h"

#include <gtest/gtest.h>

namespace flow {
namespace {

TEST(LogLevel, ErrorsAndWarningsOfLoggersAndPython) {
  for (const char* line : {"2026-01-02 03:04:05 ERROR disk full", "ValueError: no rows", "error: cannot open",
                           "Traceback (most recent call last):", "[CRITICAL] x", "sklearn.exceptions.FitException: y"})
    EXPECT_EQ(level_of(line), LogLevel::kError) << line;
  for (const char* line : {"WARNING: old", "train.py:3: UserWarning: slow", "warn: hot", "WARN x"})
    EXPECT_EQ(level_of(line), LogLevel::kWarning) << line;
  for (const char* line :
       {"", "mean absolute error 0.1", "0 errors", "no warnings here", "TERROR", "Errors: none", "accuracy 0.9"})
    EXPECT_EQ(level_of(line), LogLevel::kOther) << line;
}

TEST(LogLevel, OnlyTheHeadOfALineCounts) { EXPECT_EQ(level_of(std::string(200, '.') + " ERROR"), LogLevel::kOther); }

}  // namespace
}  // namespace flow
