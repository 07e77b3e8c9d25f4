#include "track/best.h"

#include <algorithm>
#include <array>
#include <string>

namespace track {

namespace {

constexpr std::array<std::string_view, 25> kLessIsBetter = {
    "loss",     "error", "err",   "rmse",   "mse",  "mae",   "mape", "nll",     "perplexity",
    "ppl",      "brier", "wer",   "cer",    "fpr",  "fnr",   "time", "latency", "seconds",
    "duration", "ms",    "bytes", "memory", "size", "drift", "psi"};

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

}  // namespace

Pick best_of(std::string_view metric) {
  std::string word;
  const auto decides = [&] { return std::ranges::find(kLessIsBetter, word) != kLessIsBetter.end(); };
  char before = 0;
  for (const char c : metric) {
    const bool begins = is_upper(c) && is_lower(before);  // valLoss
    if (begins || !(is_lower(c) || is_upper(c))) {
      if (decides()) return Pick::kMin;
      word.clear();
    }
    if (is_lower(c)) word += c;
    if (is_upper(c)) word += static_cast<char>(c + 32);
    before = c;
  }
  return decides() ? Pick::kMin : Pick::kMax;
}

}  // namespace track
