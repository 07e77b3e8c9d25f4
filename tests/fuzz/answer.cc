// The answer of a backend behind our proxy, in pieces: a notebook server is not ours to trust.
#include "fuzz.h"
#include "net/proxy_headers.h"
#include "net/response_parser.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using State = net::ResponseParser::State;
  fuzz::Input input(data, size);
  const uint8_t how = input.byte();
  const size_t piece = 1 + how % 64;
  net::ResponseParser parser;
  parser.begin((how & 128) != 0);
  size_t body = 0;
  while (!input.empty()) {
    std::string_view part = input.take(piece);
    while (!part.empty()) {
      const size_t before = part.size();
      const State was = parser.state();
      const State state = parser.feed(part);
      for (const std::string_view slice : parser.slices()) body += slice.size();
      if (state == State::kFailed || state == State::kSwitched) return 0;
      if (state == State::kComplete) {
        REQUIRE(body <= size);
        REQUIRE(parser.status() >= 100 && parser.status() <= 999);
        for (const auto& [name, value] : parser.headers()) REQUIRE(value.find_first_of("\r\n") == value.npos);
        parser.begin((how & 128) != 0);
        body = 0;
      } else {
        REQUIRE(part.size() < before || state != was);
      }
    }
  }
  (void)parser.finish();
  return 0;
}
