#include "serve/xgboost_document.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <limits>

namespace serve {

const XgboostValue* XgboostValue::find(std::string_view key) const {
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i] == key) return &list[i];
  }
  return nullptr;
}

namespace {

using Kind = XgboostValue::Kind;

base::Error too_deep() { return {base::Code::kInvalid, "nested deeper than " + std::to_string(kMaxXgboostDepth)}; }
base::Error too_many() { return {base::Code::kInvalid, "more than " + std::to_string(kMaxXgboostValues) + " values"}; }

// --- JSON -----------------------------------------------------------------------------------------------------------

// XGBoost's JSON is JSON but for the words NaN, Infinity and -Infinity, which its trees may hold: a library for JSON
// refuses the file, so it is read here.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : rest_(text) {}
  base::Result<XgboostValue> document() {
    XgboostValue out;
    TRY(value(out, 0));
    skip_space();
    if (!rest_.empty()) return base::invalid("something follows the JSON document");
    return out;
  }

 private:
  void skip_space() {
    size_t i = 0;
    while (i < rest_.size() && (rest_[i] == ' ' || rest_[i] == '\n' || rest_[i] == '\r' || rest_[i] == '\t')) ++i;
    rest_.remove_prefix(i);
  }
  char peek() {
    skip_space();
    return rest_.empty() ? '\0' : rest_[0];
  }
  bool take(char c) {
    if (peek() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool take_word(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  std::unexpected<base::Error> unexpected(const char* wanted) const {
    return base::invalid(std::string("JSON: expected ") + wanted + ", found " +
                         (rest_.empty() ? "the end of the file" : "'" + std::string(rest_.substr(0, 20)) + "'"));
  }
  base::Result<void> value(XgboostValue& out, size_t depth);
  base::Result<void> object(XgboostValue& out, size_t depth);
  base::Result<void> array(XgboostValue& out, size_t depth);
  base::Result<void> text(std::string& out);
  base::Result<double> number();
  bool begins_number() {
    const char c = peek();
    return c == '-' || (c >= '0' && c <= '9') || c == 'N' || c == 'I' || c == 't' || c == 'f';
  }

  std::string_view rest_;
  size_t values_ = 0;
};

// What is written without point and exponent is an integer; everything else XGBoost wrote as float32, and it is read as
// one: rounded twice, by way of double, it could be another. Booleans are 0 and 1.
base::Result<double> JsonReader::number() {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (take_word("NaN")) return std::numeric_limits<double>::quiet_NaN();
  if (take_word("Infinity")) return kInfinity;
  if (take_word("-Infinity")) return -kInfinity;
  if (take_word("true")) return 1;
  if (take_word("false")) return 0;
  const std::string_view token = rest_.substr(0, rest_.find_first_not_of("+-.0123456789eE"));
  const char* const end = token.data() + token.size();
  const auto parse = [&](auto& number) {
    const auto [stop, error] = std::from_chars(token.data(), end, number);
    return stop == end ? error : std::errc::invalid_argument;
  };
  int64_t whole = 0;
  float single = 0;
  double out = 0;
  std::errc error = std::errc::invalid_argument;
  if (token.find_first_of(".eE") == token.npos) {
    error = parse(whole);
    out = static_cast<double>(whole);
  }
  if (error != std::errc()) {
    error = parse(single);
    out = static_cast<double>(single);
    if (error == std::errc::result_out_of_range) {  // too near to zero for float32, or too large for it
      error = parse(out);
      out = static_cast<double>(static_cast<float>(out));
    }
  }
  if (error != std::errc()) return unexpected("a number");
  rest_.remove_prefix(token.size());
  return out;
}

base::Result<void> JsonReader::text(std::string& out) {
  if (!take('"')) return unexpected("a string");
  for (;;) {
    const size_t plain = rest_.find_first_of("\"\\");
    if (plain == rest_.npos) return unexpected("the end of a string");
    out += rest_.substr(0, plain);
    const char stop = rest_[plain];
    rest_.remove_prefix(plain + 1);
    if (stop == '"') return {};
    if (rest_.empty()) return unexpected("an escape");
    const char escape = rest_[0];
    rest_.remove_prefix(1);
    switch (escape) {
      case 'n': out += '\n'; break;
      case 't': out += '\t'; break;
      case 'r': out += '\r'; break;
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'u': {  // XGBoost itself writes control characters this way, and everything else as UTF-8
        uint32_t code = 0;
        const char* const first = rest_.data();
        const char* const last = first + std::min<size_t>(4, rest_.size());
        const auto [end, error] = std::from_chars(first, last, code, 16);
        if (error != std::errc() || end != first + 4) return unexpected("four hex digits");
        rest_.remove_prefix(4);
        if (code < 0x80) {
          out += static_cast<char>(code);
        } else if (code < 0x800) {
          out += static_cast<char>(0xC0 | (code >> 6));
          out += static_cast<char>(0x80 | (code & 0x3F));
        } else {
          out += static_cast<char>(0xE0 | (code >> 12));
          out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
          out += static_cast<char>(0x80 | (code & 0x3F));
        }
        break;
      }
      default: out += escape;
    }
  }
}

base::Result<void> JsonReader::array(XgboostValue& out, size_t depth) {
  out.kind = Kind::kNumbers;
  if (take(']')) return {};
  for (;;) {
    if (out.kind == Kind::kNumbers && begins_number()) {
      TRY_SET(const double next, number());
      out.numbers.push_back(next);
    } else {
      if (!out.numbers.empty()) return unexpected("a number, like the others of its array");
      out.kind = Kind::kList;
      TRY(value(out.list.emplace_back(), depth + 1));
    }
    if (take(']')) return {};
    if (!take(',')) return unexpected("',' or ']'");
  }
}

base::Result<void> JsonReader::object(XgboostValue& out, size_t depth) {
  out.kind = Kind::kObject;
  if (take('}')) return {};
  for (;;) {
    TRY(text(out.keys.emplace_back()));
    if (!take(':')) return unexpected("':'");
    TRY(value(out.list.emplace_back(), depth + 1));
    if (take('}')) return {};
    if (!take(',')) return unexpected("',' or '}'");
  }
}

base::Result<void> JsonReader::value(XgboostValue& out, size_t depth) {
  if (depth > kMaxXgboostDepth) return std::unexpected(too_deep());
  if (++values_ > kMaxXgboostValues) return std::unexpected(too_many());
  if (take('{')) return object(out, depth);
  if (take('[')) return array(out, depth);
  if (peek() == '"') {
    out.kind = Kind::kText;
    return text(out.text);
  }
  if (take_word("null")) return {};
  if (!begins_number()) return unexpected("a value");
  out.kind = Kind::kNumber;
  TRY_SET(out.number, number());
  return {};
}

// --- UBJSON ---------------------------------------------------------------------------------------------------------

class UbjReader {
 public:
  explicit UbjReader(std::string_view bytes) : rest_(bytes) {}
  base::Result<XgboostValue> document() {
    TRY_SET(const char type, marker());
    XgboostValue out;
    TRY(value(type, out, 0));
    if (!rest_.empty()) return base::invalid("something follows the UBJSON document");
    return out;
  }

 private:
  base::Result<std::string_view> take(uint64_t count) {
    if (count > rest_.size()) {
      return base::invalid("cut off: " + std::to_string(count) + " bytes more are announced, " +
                           std::to_string(rest_.size()) + " are left");
    }
    const std::string_view out = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return out;
  }
  base::Result<char> marker() {
    for (;;) {
      TRY_SET(const std::string_view byte, take(1));
      if (byte[0] != 'N') return byte[0];  // N: nothing, on purpose
    }
  }
  static size_t width(char type) {
    switch (type) {
      case 'i':
      case 'U': return 1;
      case 'I': return 2;
      case 'l':
      case 'd': return 4;
      case 'L':
      case 'D': return 8;
      default: return 0;
    }
  }
  static double number(char type, const char* at) {
    uint64_t bits = 0;
    for (size_t i = 0; i < width(type); ++i) bits = (bits << 8) | static_cast<unsigned char>(at[i]);
    switch (type) {
      case 'i': return static_cast<int8_t>(bits);
      case 'U': return static_cast<double>(bits);
      case 'I': return static_cast<int16_t>(bits);
      case 'l': return static_cast<int32_t>(bits);
      case 'L': return static_cast<double>(static_cast<int64_t>(bits));
      case 'd': return static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits)));
      default: return std::bit_cast<double>(bits);
    }
  }
  base::Result<uint64_t> length() {
    TRY_SET(const char type, marker());
    if (width(type) == 0 || type == 'd' || type == 'D') {
      return base::invalid("a length has the type byte " + std::to_string(static_cast<unsigned char>(type)));
    }
    TRY_SET(const std::string_view at, take(width(type)));
    const double count = number(type, at.data());
    if (count < 0 || count > static_cast<double>(rest_.size())) return base::invalid("a length is past the file's end");
    return static_cast<uint64_t>(count);
  }
  base::Result<void> value(char type, XgboostValue& out, size_t depth);
  base::Result<void> object(XgboostValue& out, size_t depth);
  base::Result<void> array(XgboostValue& out, size_t depth);
  base::Result<void> packed(XgboostValue& out);
  base::Result<void> item(char type, XgboostValue& out, size_t depth);

  std::string_view rest_;
  size_t values_ = 0;
};

base::Result<void> UbjReader::value(char type, XgboostValue& out, size_t depth) {
  if (depth > kMaxXgboostDepth) return std::unexpected(too_deep());
  if (++values_ > kMaxXgboostValues) return std::unexpected(too_many());
  switch (type) {
    case 'Z': return {};
    case 'T':
    case 'F':
      out.kind = Kind::kNumber;
      out.number = type == 'T';
      return {};
    case 'C': {
      TRY_SET(const std::string_view at, take(1));
      out.kind = Kind::kText;
      out.text = std::string(at);
      return {};
    }
    case 'S': {
      TRY_SET(const uint64_t count, length());
      TRY_SET(const std::string_view at, take(count));
      out.kind = Kind::kText;
      out.text = std::string(at);
      return {};
    }
    case '[': return array(out, depth);
    case '{': return object(out, depth);
    default: break;
  }
  if (width(type) == 0)
    return base::invalid("a value has the type byte " + std::to_string(static_cast<unsigned char>(type)));
  TRY_SET(const std::string_view at, take(width(type)));
  out.kind = Kind::kNumber;
  out.number = number(type, at.data());
  return {};
}

base::Result<void> UbjReader::object(XgboostValue& out, size_t depth) {
  out.kind = Kind::kObject;
  uint64_t left = UINT64_MAX;
  if (!rest_.empty() && rest_[0] == '#') {
    rest_.remove_prefix(1);
    TRY_SET(left, length());
  }
  const bool counted = left != UINT64_MAX;
  for (;;) {
    if (counted && left-- == 0) return {};
    if (!counted && !rest_.empty() && rest_[0] == '}') {
      rest_.remove_prefix(1);
      return {};
    }
    TRY_SET(const uint64_t size, length());
    TRY_SET(const std::string_view key, take(size));
    TRY_SET(const char type, marker());
    out.keys.emplace_back(key);
    TRY(value(type, out.list.emplace_back(), depth + 1));
  }
}

// An array of one type: `$`, the type, `#`, how many.
base::Result<void> UbjReader::packed(XgboostValue& out) {
  TRY_SET(const std::string_view head, take(2));
  const char type = head[0];
  if (width(type) == 0 || head[1] != '#')
    return base::invalid("a packed array has the type byte " + std::to_string(static_cast<unsigned char>(type)));
  TRY_SET(const uint64_t count, length());
  TRY_SET(const std::string_view bytes, take(count * width(type)));
  out.numbers.resize(count);
  for (size_t i = 0; i < count; ++i) out.numbers[i] = number(type, bytes.data() + i * width(type));
  return {};
}

base::Result<void> UbjReader::item(char type, XgboostValue& out, size_t depth) {
  XgboostValue next;
  TRY(value(type, next, depth + 1));
  if (next.kind == Kind::kNumber && out.kind == Kind::kNumbers) {
    out.numbers.push_back(next.number);
    return {};
  }
  if (!out.numbers.empty()) return base::invalid("an array holds numbers and other values");
  out.kind = Kind::kList;
  out.list.push_back(std::move(next));
  return {};
}

base::Result<void> UbjReader::array(XgboostValue& out, size_t depth) {
  out.kind = Kind::kNumbers;
  uint64_t left = UINT64_MAX;
  if (!rest_.empty() && rest_[0] == '$') {
    rest_.remove_prefix(1);
    return packed(out);
  }
  if (!rest_.empty() && rest_[0] == '#') {
    rest_.remove_prefix(1);
    TRY_SET(left, length());
  }
  const bool counted = left != UINT64_MAX;
  for (;;) {
    if (counted && left-- == 0) return {};
    TRY_SET(const char type, marker());
    if (!counted && type == ']') return {};
    TRY(item(type, out, depth));
  }
}

}  // namespace

base::Result<XgboostValue> read_xgboost_document(std::string_view bytes) {
  // Both begin with '{'. In UBJSON a key's length follows, in JSON a quotation mark or space.
  const size_t start = bytes.find_first_not_of(" \t\r\n");
  if (start == bytes.npos || bytes[start] != '{') {
    return base::invalid(
        "neither JSON nor UBJSON; XGBoost's old binary format is not read: load the model with an XGBoost that wrote "
        "it "
        "and save it as model.json or model.ubj");
  }
  const char next = start + 1 < bytes.size() ? bytes[start + 1] : '\0';
  if (start == 0 && (next == 'i' || next == 'U' || next == 'I' || next == 'l' || next == 'L' || next == '#'))
    return UbjReader(bytes).document();
  return JsonReader(bytes).document();
}

}  // namespace serve
