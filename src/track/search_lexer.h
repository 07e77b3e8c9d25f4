// Tokens of the filter language. Views point into the text that was given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace track {

struct Token {
  enum class Kind : uint8_t { kEnd, kName, kText, kNumber, kOperator, kOpen, kClose, kComma };
  Kind kind = Kind::kEnd;
  std::string_view text;       // as written; kText without its quotes
  size_t at = 0;               // byte offset
  bool double_quoted = false;  // a kName that is one "…": may also be a value
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}
  base::Result<Token> next();
  std::string_view whole() const { return text_; }
  size_t at() const { return at_; }  // after a failure: where

 private:
  base::Result<Token> quoted(char quote);
  base::Result<Token> name();
  Token number();

  std::string_view text_;
  size_t at_ = 0;
};

// "<message> at character N: …<the text around it>"; counts characters, from 1.
std::unexpected<base::Error> filter_error(std::string_view whole, size_t at, std::string_view message);
bool same_word(std::string_view a, std::string_view upper_case);  // ASCII, case-insensitive

}  // namespace track
