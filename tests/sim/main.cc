// flow_sim [--seeds N] [--first S]: the scheduler under seeded faults. `./dev sim` runs it.
#include <charconv>
#include <cstdio>
#include <cstring>

#include "world.h"

namespace {

bool number(const char* text, uint64_t& out) {
  const char* end = text + std::strlen(text);
  const auto [at, error] = std::from_chars(text, end, out);
  return error == std::errc() && at == end;
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t seeds = 2000, first = 1;
  for (int i = 1; i < argc; i += 2) {
    uint64_t* into = std::strcmp(argv[i], "--seeds") == 0   ? &seeds
                     : std::strcmp(argv[i], "--first") == 0 ? &first
                                                            : nullptr;
    if (!into || i + 1 == argc || !number(argv[i + 1], *into)) {
      std::fprintf(stderr, "usage: flow_sim [--seeds N] [--first S]\n");
      return 2;
    }
  }
  sim::Report all;
  int failed = 0;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    const sim::Report report = sim::run_world(seed);
    all.steps += report.steps, all.attempts += report.attempts, all.crashes += report.crashes,
        all.conflicts += report.conflicts;
    if (report.violation.empty()) continue;
    ++failed;
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), report.violation.c_str());
  }
  std::printf("%llu seeds, %d violated; %llu steps, %llu attempts, %llu crashes, %llu refused zombies\n",
              static_cast<unsigned long long>(seeds), failed, static_cast<unsigned long long>(all.steps),
              static_cast<unsigned long long>(all.attempts), static_cast<unsigned long long>(all.crashes),
              static_cast<unsigned long long>(all.conflicts));
  return failed ? 1 : 0;
}
