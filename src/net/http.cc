#include "net/http.h"

#include <algorithm>
#include <cstring>

#include "net/text.h"

namespace net {

std::string_view name(Method method) {
  switch (method) {
    case Method::kGet: return "GET";
    case Method::kHead: return "HEAD";
    case Method::kPost: return "POST";
    case Method::kPut: return "PUT";
    case Method::kPatch: return "PATCH";
    case Method::kDelete: return "DELETE";
    case Method::kOptions: return "OPTIONS";
  }
  return "GET";
}

int http_status(base::Code code) {
  switch (code) {
    case base::Code::kInvalid: return 400;
    case base::Code::kUnauthenticated: return 401;
    case base::Code::kForbidden: return 403;
    case base::Code::kNotFound: return 404;
    case base::Code::kConflict: return 409;
    case base::Code::kAlreadyExists: return 409;
    case base::Code::kTooLarge: return 413;
    case base::Code::kTooMany: return 429;
    case base::Code::kUnsupported: return 501;
    case base::Code::kUnavailable: return 503;
    case base::Code::kDeadline: return 504;
    case base::Code::kCancelled: return 499;
    case base::Code::kInternal: return 500;
  }
  return 500;
}

std::string_view Request::header(std::string_view lower_case_name) const {
  for (const auto& [key, value] : headers) {
    if (key == lower_case_name) return value;
  }
  return {};
}

bool Request::has_header(std::string_view lower_case_name) const {
  return std::ranges::any_of(headers, [&](const Header& h) { return h.first == lower_case_name; });
}

std::string_view Request::param(std::string_view key) const {
  for (const auto& [name, value] : params) {
    if (name == key) return value;
  }
  return {};
}

std::vector<std::string> Request::query_values(std::string_view key) const {
  std::vector<std::string> values;
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    const auto name = percent_decode(pair.substr(0, equals), true);
    if (!name || *name != key) continue;
    const std::string_view raw = pair.substr(std::min(equals + 1, pair.size()));
    if (auto value = percent_decode(raw, true)) values.push_back(std::move(*value));
  }
  return values;
}

std::optional<std::string> Request::query_value(std::string_view key) const {
  auto values = query_values(key);
  if (values.empty()) return std::nullopt;
  return std::move(values.front());
}

void Response::append_line(std::string& lines, std::string_view name, std::string_view value) {
  const auto ends_line = [](char c) { return c == '\r' || c == '\n' || c == '\0'; };
  lines.append(name).append(": ");
  const size_t begin = lines.size();
  lines.append(value).append("\r\n");
  unsigned char least = 0xff;
  for (char c : value) least = std::min(least, static_cast<unsigned char>(c));
  if (least < ' ') std::replace_if(lines.begin() + static_cast<ptrdiff_t>(begin), lines.end() - 2, ends_line, ' ');
}

base::Task<base::Result<std::string>> Request::read_body() {
  constexpr size_t kPiece = 64 << 10;
  std::string body;
  size_t room = content_length ? static_cast<size_t>(std::min<uint64_t>(*content_length + 1, kPiece)) : kPiece;
  size_t size = 0;
  for (;;) {
    if (body.size() - size < room) body.resize(size + room);  // content_length is a promise: memory follows the bytes
    auto n = co_await read_some({body.data() + size, body.size() - size});
    if (!n) co_return std::unexpected(std::move(n).error());
    if (*n == 0) break;
    size += *n;
    room = std::min(std::max(size, kPiece), size_t{1} << 20);
    if (content_length)
      room = static_cast<size_t>(
          std::min<uint64_t>(room, *content_length + 1 - std::min<uint64_t>(size, *content_length)));
  }
  body.reserve(size + kBodyPadding);
  body.resize(size);
  co_return body;
}

std::string escape_markup(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

bool percent_decode_into(std::string_view text, bool plus_is_space, std::string& out) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  const bool plain =
      text.find('%') == text.npos && text.find('\0') == text.npos && (!plus_is_space || text.find('+') == text.npos);
  if (plain) {
    out.assign(text);
    return true;
  }
  out.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return false;
      const int high = digit(text[i + 1]);
      const int low = digit(text[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (c == '\0') return false;
    out += c;
  }
  return true;
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  if (!percent_decode_into(text, plus_is_space, out)) return std::nullopt;
  return out;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (unsigned char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      out += static_cast<char>(c);
    } else {
      out += {'%', kHex[c >> 4], kHex[c & 15]};
    }
  }
  return out;
}

}  // namespace net
