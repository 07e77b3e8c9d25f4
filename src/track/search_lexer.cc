#include "track/search_lexer.h"

#include <algorithm>
#include <string>

#include "track/validate.h"

namespace track {

using base::Result;

namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c == '@' ||
         static_cast<unsigned char>(c) >= 0x80;
}

}  // namespace

std::unexpected<base::Error> filter_error(std::string_view whole, size_t at, std::string_view message) {
  constexpr size_t kAround = 40;
  at = std::min(at, whole.size());
  const size_t from = at > kAround ? at - kAround : 0;
  std::string shown(whole.substr(from, at - from));
  // Never cut inside a character.
  while (!shown.empty() && (static_cast<unsigned char>(shown[0]) & 0xC0) == 0x80) shown.erase(0, 1);
  const std::string_view after = first_chars(whole.substr(at), kAround);
  return base::invalid("Invalid filter string: " + std::string(message) + " at character " +
                       std::to_string(count_chars(whole.substr(0, at)) + 1) + ": " + (from ? "…" : "") + shown + "▶" +
                       std::string(after) + (at + after.size() < whole.size() ? "…" : ""));
}

bool same_word(std::string_view a, std::string_view upper_case) {
  return std::ranges::equal(a, upper_case,
                            [](char x, char y) { return (x >= 'a' && x <= 'z' ? char(x - 32) : x) == y; });
}

// Doubled quotes and backslash-quotes do not end a quoted text; they stay in it as they are, as upstream does.
Result<Token> Lexer::quoted(char quote) {
  const size_t begin = at_++;
  while (at_ < text_.size()) {
    const char c = text_[at_];
    const bool escaped_pair =
        at_ + 1 < text_.size() && text_[at_ + 1] == quote && (c == quote || (c == '\\' && quote != '`'));
    if (escaped_pair) {
      at_ += 2;
    } else if (c == quote) {
      ++at_;
      return Token{Token::Kind::kText, text_.substr(begin + 1, at_ - begin - 2), begin};
    } else {
      ++at_;
    }
  }
  at_ = begin;
  return filter_error(text_, begin, "a quote is opened and never closed");
}

// a.b.c, params."x y", `tags`.`mlflow.user`
Result<Token> Lexer::name() {
  const size_t begin = at_;
  bool one_double_quoted = text_[at_] == '"';
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '"' || c == '`' || (c == '\'' && at_ > begin)) {
      TRY(quoted(c));
    } else if (is_name_char(c)) {
      while (at_ < text_.size() && is_name_char(text_[at_])) ++at_;
    } else {
      return filter_error(text_, at_, "a key is missing after the dot");
    }
    if (at_ >= text_.size() || text_[at_] != '.') break;
    ++at_;
    one_double_quoted = false;
    if (at_ >= text_.size()) return filter_error(text_, at_, "a key is missing after the dot");
  }
  return Token{Token::Kind::kName, text_.substr(begin, at_ - begin), begin, one_double_quoted};
}

Token Lexer::number() {
  const size_t begin = at_;
  if (text_[at_] == '-') ++at_;
  const auto digits = [&] {
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
  };
  digits();
  if (at_ < text_.size() && text_[at_] == '.') ++at_, digits();
  if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
    ++at_;
    if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
    digits();
  }
  return {Token::Kind::kNumber, text_.substr(begin, at_ - begin), begin};
}

Result<Token> Lexer::next() {
  while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  if (at_ >= text_.size()) return Token{Token::Kind::kEnd, {}, at_};
  const char c = text_[at_];
  const auto peek = [&](size_t ahead) { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; };
  switch (c) {
    case '(': return Token{Token::Kind::kOpen, text_.substr(at_, 1), at_++};
    case ')': return Token{Token::Kind::kClose, text_.substr(at_, 1), at_++};
    case ',': return Token{Token::Kind::kComma, text_.substr(at_, 1), at_++};
    case '\'': return quoted(c);
    case '"':
    case '`': return name();
    case '=':
    case '!':
    case '<':
    case '>': {
      const size_t begin = at_++;
      while (at_ < text_.size() && (text_[at_] == '=' || text_[at_] == '>' || text_[at_] == '<')) ++at_;
      return Token{Token::Kind::kOperator, text_.substr(begin, at_ - begin), begin};
    }
    default: break;
  }
  if (is_digit(c) || (c == '.' && is_digit(peek(1))) || (c == '-' && (is_digit(peek(1)) || peek(1) == '.'))) {
    return number();
  }
  if (is_name_char(c)) return name();
  return filter_error(text_, at_, "this character belongs to no field, value or operator");
}

}  // namespace track
