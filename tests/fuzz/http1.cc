// Http1Parser, fed in pieces of a size that the input chooses. The same bytes in one piece must give the same messages,
// and the same refusal (in which words depends on what was seen first).
#include <utility>

#include "base/limits.h"
#include "fuzz.h"
#include "net/http1_parser.h"
#include "request.h"

namespace {

std::string read_all(std::string_view bytes, size_t piece) {
  fuzz::HeadOnly request;
  net::Http1Parser parser(request, {.header_bytes = 2048, .header_count = 16, .target_bytes = 512});
  std::string seen, body;
  while (!bytes.empty()) {
    std::string_view part = bytes.substr(0, piece);
    bytes.remove_prefix(part.size());
    while (!part.empty()) {
      const size_t before = part.size();
      const auto was = parser.state();
      const auto state = parser.feed(part);
      for (const std::string_view slice : parser.slices()) body.append(slice);
      if (state == net::Http1Parser::State::kFailed) {
        REQUIRE(parser.failure().status >= 400 && parser.failure().status <= 599);
        return seen + "!";
      }
      if (state == net::Http1Parser::State::kComplete) {
        REQUIRE(request.headers.size() <= 16);
        REQUIRE(request.target.size() <= 512);
        for (const auto& [name, value] : request.headers) {
          REQUIRE(name.find_first_of("\r\n\0 ") == name.npos);
          REQUIRE(value.find_first_of("\r\n") == value.npos);
          seen.append("|").append(name).append(":").append(value);
        }
        seen.append("#")
            .append(std::exchange(body, {}))
            .append(net::name(request.method))
            .append(request.target)
            .append("\n");
        (void)request.query_value("name");
        (void)request.query_values("id");
        parser.next();
      } else {
        REQUIRE(part.size() < before || state != was);  // it always gets on
      }
    }
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const size_t piece = 1 + input.byte() % 64;
  const std::string_view bytes = input.rest();
  REQUIRE(read_all(bytes, piece) == read_all(bytes, std::max<size_t>(bytes.size(), 1)));
  return 0;
}
