#include "api/lathe/page_args.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace api::lathe {

namespace {

template <class T>
bool parse(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

std::string in_quotes(std::string_view name, std::string_view found) {
  return "'" + std::string(name) + "' is '" + std::string(found.substr(0, 200)) + "'";
}

}  // namespace

bool PageArgs::flag(std::string_view name) {
  const auto text = request_.query_value(name);
  if (!text || *text == "0" || *text == "false") return false;
  if (*text != "1" && *text != "true") fail(in_quotes(name, *text) + "; allowed: 0, 1");
  return true;
}

std::optional<int64_t> PageArgs::integer(std::string_view name) {
  const auto text = request_.query_value(name);
  if (!text) return std::nullopt;
  int64_t out = 0;
  if (parse(*text, out)) return out;
  fail(in_quotes(name, *text) + "; it must be a whole number");
  return std::nullopt;
}

int64_t PageArgs::integer(std::string_view name, int64_t fallback, int64_t least, int64_t most) {
  const auto found = integer(name);
  if (!found) return fallback;
  if (*found < least || *found > most) {
    fail(in_quotes(name, std::to_string(*found)) + "; it must be a whole number from " + std::to_string(least) +
         " to " + std::to_string(most));
  }
  return *found;
}

double PageArgs::number(std::string_view name, double fallback) {
  const auto text = request_.query_value(name);
  if (!text) return fallback;
  double out = 0;
  if (!parse(*text, out) || !std::isfinite(out)) fail(in_quotes(name, *text) + "; it must be a number");
  return out;
}

std::string_view PageArgs::choice(std::string_view name, std::span<const std::string_view> allowed) {
  const auto text = request_.query_value(name);
  if (!text) return allowed[0];
  const auto found = std::ranges::find(allowed, *text);
  if (found != allowed.end()) return *found;
  std::string list;
  for (const std::string_view one : allowed) list.append(list.empty() ? "" : ", ").append(one);
  fail(in_quotes(name, *text) + "; allowed: " + list);
  return allowed[0];
}

}  // namespace api::lathe
