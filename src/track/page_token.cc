#include "track/page_token.h"

#include <bit>
#include <charconv>

#include "base/hash.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

constexpr std::string_view kMagic = "lt1:";

void put(std::string& out, char type, std::string_view text) {
  out += type;
  out.append(std::to_string(text.size())).append(":").append(text);
}

bool take_int(std::string_view text, int64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

// Upstream's token: {"offset": 20}, perhaps with more fields (its search of logged models has some).
Result<PageToken> decode_offset(std::string_view text) {
  const std::string shown(text.substr(0, 200));
  const size_t name = text.find("\"offset\"");
  size_t at = name == text.npos ? text.npos : text.find(':', name);
  if (at == text.npos) return invalid("Invalid page token, parsed value=" + shown);
  at = text.find_first_not_of(" \"", at + 1);
  const size_t end = at == text.npos ? at : text.find_first_not_of("0123456789", at);
  PageToken token;
  if (end == text.npos || !take_int(text.substr(at, end - at), token.offset)) {
    return invalid("Invalid page token, not stringable " + shown);
  }
  return token;
}

bool decode_value(std::string_view& rest, Value& value) {
  const size_t colon = rest.find(':');
  int64_t size = 0;
  if (colon == rest.npos || colon < 1 || !take_int(rest.substr(1, colon - 1), size) || size < 0 ||
      static_cast<size_t>(size) > rest.size() - colon - 1) {
    return false;
  }
  const char type = rest[0];
  const std::string_view body = rest.substr(colon + 1, static_cast<size_t>(size));
  rest.remove_prefix(colon + 1 + static_cast<size_t>(size));
  int64_t number = 0;
  switch (type) {
    case 'n': value = Value::null(); return true;
    case 't': value = Value::of(std::string(body)); return true;
    case 'i':
    case 'd':
      if (!take_int(body, number)) return false;
      value = type == 'i' ? Value::of(number) : Value::of(std::bit_cast<double>(number));
      return true;
    default: return false;
  }
}

std::string search_hash(std::string_view search) { return base::sha256(search).hex().substr(0, 16); }

}  // namespace

std::string encode_page_token(std::string_view search, const std::vector<Value>& after) {
  std::string out = std::string(kMagic) + search_hash(search);
  for (const Value& value : after) {
    switch (value.type) {
      case Value::Type::kNull: put(out, 'n', ""); break;
      case Value::Type::kInt: put(out, 'i', std::to_string(value.i)); break;
      case Value::Type::kDouble: put(out, 'd', std::to_string(std::bit_cast<int64_t>(value.d))); break;
      case Value::Type::kText: put(out, 't', value.text); break;
    }
  }
  return base::base64_encode(out);
}

Result<PageToken> decode_page_token(std::string_view search, std::string_view token) {
  if (token.empty()) return PageToken{};
  const auto decoded = base::base64_decode(token);
  if (!decoded) return invalid("Invalid page token, could not base64-decode");
  std::string_view rest = *decoded;
  if (!rest.starts_with(kMagic)) return decode_offset(rest);
  rest.remove_prefix(kMagic.size());
  if (rest.substr(0, 16) != search_hash(search)) {
    return invalid("Invalid page token: it belongs to a search with another filter or order");
  }
  rest.remove_prefix(16);
  PageToken out;
  while (!rest.empty()) {
    if (!decode_value(rest, out.after.emplace_back())) return invalid("Invalid page token: it is damaged");
  }
  return out;
}

}  // namespace track
