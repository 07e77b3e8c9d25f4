// The search language: filters, order keys, page tokens.
#include <array>

#include "base/utf8.h"
#include "fuzz.h"
#include "track/page_token.h"
#include "track/search_ast.h"

namespace {

constexpr std::array kAttributes = {
    track::Attribute{.name = "start_time", .column = "r.start_ms", .numeric = true},
    track::Attribute{.name = "run_id", .column = "r.run_id", .list = true},
    track::Attribute{.name = "run_name", .column = "r.name"},
};
constexpr track::Dialect kDialect{.entity = "runs",
                                  .attributes = kAttributes,
                                  .metrics = true,
                                  .params = true,
                                  .datasets = true,
                                  .lists = true,
                                  .histories = true};

size_t terms(const track::Filter& filter, size_t depth) {
  REQUIRE(depth <= 3 * track::kMaxFilterDepth + 3);
  size_t n = filter.kind == track::Filter::Kind::kTerm ? 1 : 0;
  for (const auto& child : filter.children) n += terms(child, depth + 1);
  REQUIRE(filter.term.list.size() <= track::kMaxListItems);
  return n;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const std::string_view text = input.text();
  if (const auto filter = track::parse_filter(text, kDialect)) REQUIRE(terms(*filter, 0) <= track::kMaxFilterTerms);
  (void)track::parse_order(text, kDialect);
  const std::string_view token = input.text();
  if (const auto page = track::decode_page_token(text, token)) {
    REQUIRE(page->offset >= 0);
    if (!page->after.empty()) REQUIRE(track::decode_page_token(text, track::encode_page_token(text, page->after)));
  }
  // What we give is what we take.
  const std::vector<track::Value> after{track::Value::of(std::string(token)), track::Value::of(int64_t{-1}),
                                        track::Value::null(), track::Value::of(0.5)};
  const auto again = track::decode_page_token(text, track::encode_page_token(text, after));
  REQUIRE(again && again->after.size() == after.size() && again->after[0].text == token);
  return 0;
}
