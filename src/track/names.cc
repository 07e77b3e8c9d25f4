#include "track/names.h"

#include <array>
#include <string_view>

namespace track {

namespace {

constexpr std::array<std::string_view, 64> kAdjectives = {
    "agile",   "amber",  "ample",   "azure",  "basic",  "bold",   "brave",  "brief",  "bright", "brisk",  "calm",
    "candid",  "casual", "civil",   "clear",  "clever", "cosmic", "cozy",   "crisp",  "daring", "dapper", "deft",
    "eager",   "early",  "earnest", "easy",   "epic",   "fair",   "fancy",  "fleet",  "fluent", "fond",   "frank",
    "fresh",   "gentle", "glad",    "golden", "grand",  "handy",  "happy",  "hardy",  "honest", "humble", "ideal",
    "jolly",   "keen",   "kind",    "lively", "lucid",  "lucky",  "mellow", "merry",  "mild",   "modest", "noble",
    "patient", "polite", "proud",   "quick",  "quiet",  "rapid",  "sharp",  "steady", "swift"};
constexpr std::array<std::string_view, 64> kNouns = {
    "acorn", "badger", "bear",  "birch", "bison",  "brook", "cedar", "cliff", "cloud",  "comet",  "coral",
    "crane", "creek",  "deer",  "delta", "dune",   "eagle", "elm",   "ember", "falcon", "fern",   "finch",
    "fjord", "forest", "fox",   "gale",  "gecko",  "glade", "goose", "grove", "gull",   "harbor", "hare",
    "hawk",  "heron",  "hill",  "horse", "island", "jay",   "lake",  "lark",  "lily",   "lion",   "lynx",
    "maple", "marsh",  "mole",  "moose", "oak",    "otter", "owl",   "panda", "peak",   "pine",   "quail",
    "raven", "reef",   "river", "robin", "seal",   "shark", "stork", "tiger", "wren"};

}  // namespace

std::string random_name(base::Random& random) {
  const uint64_t r = random.next_u64();
  std::string name(kAdjectives[r % kAdjectives.size()]);
  name.append("-").append(kNouns[(r >> 8) % kNouns.size()]);
  return name.append("-").append(std::to_string((r >> 16) % 1000));
}

}  // namespace track
