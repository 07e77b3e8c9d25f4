#include "store/packed_text.h"

#include <re2/re2.h>
#include <sqlite3.h>
#include <zlib.h>

#include <memory>

namespace store {

namespace {

constexpr size_t kShort = 128;  // shorter texts hardly shrink
constexpr int kLevel = 3;       // a quarter of the time of zlib's default for a few per cent more bytes
constexpr char kRaw = 'r', kDeflated = 'z';
constexpr size_t kLengthBytes = 4;
constexpr int64_t kRegexBytes = 1 << 20;  // memory of one compiled pattern

RE2::Options regex_options() {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kRegexBytes);
  options.set_dot_nl(false);
  return options;
}

// The length before the bytes: 4 bytes, little-endian.
size_t read_length(std::string_view bytes) {
  size_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) length |= size_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return length;
}

std::string_view value_bytes(sqlite3_value* value) {
  const void* bytes = sqlite3_value_blob(value);
  return {static_cast<const char*>(bytes), static_cast<size_t>(sqlite3_value_bytes(value))};
}

void sql_unpacked(sqlite3_context* context, int, sqlite3_value** values) {
  if (sqlite3_value_type(values[0]) == SQLITE_NULL) return sqlite3_result_null(context);
  const auto text = unpack_text(Backend::kSqlite, value_bytes(values[0]));
  if (!text) return sqlite3_result_error(context, text.error().message.c_str(), -1);
  sqlite3_result_text64(context, text->data(), text->size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

void sql_regexp(sqlite3_context* context, int, sqlite3_value** values) {
  if (sqlite3_value_type(values[0]) == SQLITE_NULL || sqlite3_value_type(values[1]) == SQLITE_NULL) return;
  auto* regex = static_cast<RE2*>(sqlite3_get_auxdata(context, 0));  // compiled once a statement
  std::unique_ptr<RE2> fresh;
  if (regex == nullptr) {
    fresh = std::make_unique<RE2>(re2::StringPiece(value_bytes(values[0])), regex_options());
    regex = fresh.get();
  }
  if (!regex->ok()) return sqlite3_result_error(context, "the regular expression is not valid", -1);
  sqlite3_result_int(context, RE2::PartialMatch(re2::StringPiece(value_bytes(values[1])), *regex) ? 1 : 0);
  if (fresh) sqlite3_set_auxdata(context, 0, fresh.release(), [](void* old) { delete static_cast<RE2*>(old); });
}

}  // namespace

std::string pack_text(Backend backend, std::string_view text) {
  if (backend == Backend::kPostgres) return std::string(text);
  std::string out;
  if (text.size() >= kShort && text.size() <= kPackedTextBytes) {
    uLongf size = compressBound(text.size());
    out.resize(1 + kLengthBytes + size);
    out[0] = kDeflated;
    for (size_t i = 0; i < kLengthBytes; ++i) out[1 + i] = static_cast<char>(text.size() >> (8 * i));
    const int code = compress2(reinterpret_cast<Bytef*>(out.data() + 1 + kLengthBytes), &size,
                               reinterpret_cast<const Bytef*>(text.data()), text.size(), kLevel);
    if (code == Z_OK && 1 + kLengthBytes + size < text.size()) {
      out.resize(1 + kLengthBytes + size);
      return out;
    }
  }
  return out.assign(1, kRaw).append(text);
}

base::Result<std::string> unpack_text(Backend backend, std::string_view packed) {
  if (backend == Backend::kPostgres) return std::string(packed);
  if (!packed.empty() && packed[0] == kRaw) return std::string(packed.substr(1));
  if (packed.size() < 1 + kLengthBytes || packed[0] != kDeflated) return base::internal("a packed text is damaged");
  const size_t length = read_length(packed.substr(1));
  packed.remove_prefix(1 + kLengthBytes);
  if (length > kPackedTextBytes) return base::internal("a packed text is damaged");
  std::string text(length, '\0');
  uLongf size = length;
  const int code = uncompress(reinterpret_cast<Bytef*>(text.data()), &size,
                              reinterpret_cast<const Bytef*>(packed.data()), packed.size());
  if (code != Z_OK || size != length) return base::internal("a packed text is damaged");
  return text;
}

std::string packed_text_sql(Backend backend, std::string_view column) {
  if (backend == Backend::kPostgres) return "convert_from(" + std::string(column) + ", 'UTF8')";
  return "unpacked(" + std::string(column) + ")";
}

base::Result<void> check_regex(std::string_view pattern) {
  const RE2 regex(re2::StringPiece(pattern.data(), pattern.size()), regex_options());
  if (!regex.ok()) return base::invalid("the regular expression is not valid: " + regex.error());
  return {};
}

int detail::register_text_functions(sqlite3* db) {
  constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
  const int code =
      sqlite3_create_function_v2(db, "unpacked", 1, kFlags, nullptr, sql_unpacked, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return code;
  return sqlite3_create_function_v2(db, "regexp", 2, kFlags, nullptr, sql_regexp, nullptr, nullptr, nullptr);
}

}  // namespace store
