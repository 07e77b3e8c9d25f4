#include "api/mlflow/graphql_syntax.h"

#include <algorithm>
#include <charconv>

#include "base/utf8.h"

namespace api::mlflow::graphql {

using base::Result;

namespace {

struct Token {
  enum class Kind : uint8_t { kEnd, kPunctuator, kName, kInt, kFloat, kString };
  Kind kind = Kind::kEnd;
  size_t at = 0;
  std::string text;  // of a string: its characters
};

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  Result<Token> next() {
    if (++count_ > kTokens) return fail(at_, "the query has more than " + std::to_string(kTokens) + " tokens");
    skip();
    Token token;
    token.at = at_;
    if (at_ == text_.size()) return token;
    const char c = text_[at_];
    if (is_name_start(c)) return name();
    if (is_digit(c) || c == '-') return number();
    if (c == '"') return text_.substr(at_).starts_with("\"\"\"") ? block_string() : string();
    token.kind = Token::Kind::kPunctuator;
    if (text_.substr(at_).starts_with("...")) {
      token.text = "...";
    } else if (std::string_view("!$&()[]{}:=@|").find(c) != std::string_view::npos) {
      token.text = std::string(1, c);
    } else {
      return fail(at_, "Unexpected character");
    }
    at_ += token.text.size();
    return token;
  }

  std::unexpected<base::Error> fail(size_t at, std::string_view what) const {
    const std::string_view before = text_.substr(0, at);
    const auto line = std::ranges::count(before, '\n') + 1;
    const size_t start = before.rfind('\n');
    const size_t column = at - (start == before.npos ? 0 : start + 1) + 1;
    return base::invalid("Syntax Error: " + std::string(what) + " (line " + std::to_string(line) + ", column " +
                         std::to_string(column) + ")");
  }

 private:
  void skip() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',') {
        ++at_;
      } else if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (text_.substr(at_).starts_with("\xef\xbb\xbf")) {
        at_ += 3;
      } else {
        return;
      }
    }
  }

  Token name() {
    const size_t from = at_;
    while (at_ < text_.size() && (is_name_start(text_[at_]) || is_digit(text_[at_]))) ++at_;
    return {Token::Kind::kName, from, std::string(text_.substr(from, at_ - from))};
  }

  Result<Token> number() {
    const size_t from = at_;
    const auto digits = [&] {
      const size_t first = at_;
      while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
      return at_ > first;
    };
    if (text_[at_] == '-') ++at_;
    const bool zero = at_ < text_.size() && text_[at_] == '0';
    const size_t whole = at_;
    if (!digits() || (zero && at_ - whole > 1)) return fail(from, "Invalid number");
    Token::Kind kind = Token::Kind::kInt;
    if (at_ < text_.size() && text_[at_] == '.') {
      ++at_;
      kind = Token::Kind::kFloat;
      if (!digits()) return fail(from, "Invalid number");
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      kind = Token::Kind::kFloat;
      if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
      if (!digits()) return fail(from, "Invalid number");
    }
    if (at_ < text_.size() && (is_name_start(text_[at_]) || text_[at_] == '.')) return fail(from, "Invalid number");
    return Token{kind, from, std::string(text_.substr(from, at_ - from))};
  }

  Result<Token> string() {
    Token token{Token::Kind::kString, at_, ""};
    ++at_;
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\n') {
      if (text_[at_] != '\\') {
        token.text += text_[at_++];
        continue;
      }
      TRY(escape(token.text));
    }
    if (at_ >= text_.size() || text_[at_] != '"') return fail(token.at, "Unterminated string.");
    ++at_;
    return token;
  }

  Result<uint32_t> hex4(size_t from) {
    uint32_t code = 0;
    const std::string_view digits = text_.substr(std::min(from, text_.size()), 4);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    if (digits.size() != 4 || error != std::errc() || end != digits.data() + 4)
      return fail(from, "Invalid Unicode escape sequence");
    return code;
  }

  Result<void> escape(std::string& out) {
    const size_t from = at_++;
    const char c = at_ < text_.size() ? text_[at_++] : '\0';
    constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
    if (const size_t known = kFrom.find(c); c != '\0' && known != kFrom.npos) {
      out += kTo[known];
      return {};
    }
    if (c != 'u') return fail(from, "Invalid character escape sequence");
    TRY_SET(uint32_t code, hex4(at_));
    at_ += 4;
    if (code >= 0xd800 && code < 0xdc00 && text_.substr(at_).starts_with("\\u")) {
      TRY_SET(const uint32_t low, hex4(at_ + 2));
      if (low < 0xdc00 || low > 0xdfff) return fail(from, "Invalid Unicode escape sequence");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      at_ += 6;
    }
    if ((code >= 0xd800 && code <= 0xdfff) || code == 0) return fail(from, "Invalid Unicode escape sequence");
    append_utf8(out, code);
    return {};
  }

  Result<Token> block_string() {  // as it stands: indentation means nothing in an argument
    Token token{Token::Kind::kString, at_, ""};
    at_ += 3;
    const size_t end = text_.find("\"\"\"", at_);
    if (end == text_.npos) return fail(token.at, "Unterminated string.");
    token.text = std::string(text_.substr(at_, end - at_));
    at_ = end + 3;
    return token;
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t count_ = 0;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : lexer_(text) {}

  Result<Document> document() {
    TRY(advance());
    Document out;
    do {
      if (is("{")) {
        Operation operation;
        TRY(selections(operation.selections, 0));
        out.operations.push_back(std::move(operation));
      } else if (token_.kind == Token::Kind::kName && token_.text == "fragment") {
        TRY(fragment(out));
      } else {
        TRY(operation(out));
      }
    } while (token_.kind != Token::Kind::kEnd);
    return out;
  }

 private:
  bool is(std::string_view text) const { return token_.kind == Token::Kind::kPunctuator && token_.text == text; }
  Result<void> advance() {
    TRY_SET(token_, lexer_.next());
    return {};
  }
  std::unexpected<base::Error> unexpected(std::string_view wanted) const {
    const std::string found = token_.kind == Token::Kind::kEnd ? "<EOF>" : "'" + token_.text.substr(0, 40) + "'";
    return lexer_.fail(token_.at, "Expected " + std::string(wanted) + ", found " + found + ".");
  }
  Result<void> expect(std::string_view text) {
    if (!is(text)) return unexpected("'" + std::string(text) + "'");
    return advance();
  }
  Result<std::string> name() {
    if (token_.kind != Token::Kind::kName) return unexpected("Name");
    std::string out = std::move(token_.text);
    TRY(advance());
    return out;
  }

  Result<void> operation(Document& out) {
    Operation operation;
    const std::string kind = token_.kind == Token::Kind::kName ? token_.text : "";
    if (kind == "mutation") {
      operation.kind = Operation::Kind::kMutation;
    } else if (kind == "subscription") {
      operation.kind = Operation::Kind::kSubscription;
    } else if (kind != "query") {
      return unexpected("an operation");
    }
    TRY(advance());
    if (token_.kind == Token::Kind::kName) {
      TRY_SET(operation.name, name());
    }
    if (is("(")) TRY(variables(operation.variables));
    std::vector<Directive> ignored;  // @component names who asks
    TRY(directives(ignored));
    TRY(selections(operation.selections, 0));
    out.operations.push_back(std::move(operation));
    return {};
  }

  Result<void> fragment(Document& out) {
    TRY(advance());
    Fragment fragment;
    TRY_SET(fragment.name, name());
    if (fragment.name == "on") return unexpected("a fragment's name");
    if (token_.kind != Token::Kind::kName || token_.text != "on") return unexpected("'on'");
    TRY(advance());
    TRY_SET(fragment.type, name());
    std::vector<Directive> ignored;
    TRY(directives(ignored));
    TRY(selections(fragment.selections, 0));
    out.fragments.push_back(std::move(fragment));
    return {};
  }

  Result<void> variables(std::vector<Variable>& out) {
    TRY(expect("("));
    while (!is(")")) {
      TRY(expect("$"));
      Variable variable;
      TRY_SET(variable.name, name());
      TRY(expect(":"));
      TRY(type(variable.type, 0));
      if (is("=")) {
        TRY(advance());
        variable.has_default = true;
        TRY_SET(variable.otherwise, value(0));
      }
      std::vector<Directive> ignored;
      TRY(directives(ignored));
      out.push_back(std::move(variable));
    }
    return advance();
  }

  Result<void> type(std::string& out, int depth) {
    if (depth > kNesting) return lexer_.fail(token_.at, "the query is nested too deeply");
    if (is("[")) {
      out += "[";
      TRY(advance());
      TRY(type(out, depth + 1));
      TRY(expect("]"));
      out += "]";
    } else {
      TRY_SET(const std::string named, name());
      out += named;
    }
    if (is("!")) {
      out += "!";
      TRY(advance());
    }
    return {};
  }

  Result<void> selections(std::vector<Selection>& out, int depth) {
    if (depth > kNesting) return lexer_.fail(token_.at, "the query is nested too deeply");
    TRY(expect("{"));
    if (is("}")) return unexpected("Name");
    while (!is("}")) {
      TRY_SET(Selection one, selection(depth));
      out.push_back(std::move(one));
    }
    return advance();
  }

  Result<Selection> selection(int depth) {
    Selection out;
    if (is("...")) {
      TRY(advance());
      if (token_.kind == Token::Kind::kName && token_.text != "on") {
        out.kind = Selection::Kind::kSpread;
        TRY_SET(out.name, name());
        TRY(directives(out.directives));
        return out;
      }
      out.kind = Selection::Kind::kInline;
      if (token_.kind == Token::Kind::kName) {
        TRY(advance());
        TRY_SET(out.name, name());
      }
      TRY(directives(out.directives));
      TRY(selections(out.selections, depth + 1));
      return out;
    }
    TRY_SET(out.name, name());
    if (is(":")) {
      TRY(advance());
      out.alias = std::move(out.name);
      TRY_SET(out.name, name());
    }
    if (is("(")) TRY(arguments(out.arguments));
    TRY(directives(out.directives));
    if (is("{")) TRY(selections(out.selections, depth + 1));
    return out;
  }

  Result<void> arguments(Arguments& out) {
    TRY(expect("("));
    if (is(")")) return unexpected("Name");
    while (!is(")")) {
      TRY_SET(std::string named, name());
      TRY(expect(":"));
      TRY_SET(Value given, value(0));
      out.emplace_back(std::move(named), std::move(given));
    }
    return advance();
  }

  Result<void> directives(std::vector<Directive>& out) {
    while (is("@")) {
      TRY(advance());
      Directive directive;
      TRY_SET(directive.name, name());
      if (is("(")) TRY(arguments(directive.arguments));
      out.push_back(std::move(directive));
    }
    return {};
  }

  Result<Value> value(int depth) {
    if (depth > kNesting) return lexer_.fail(token_.at, "the query is nested too deeply");
    Value out;
    if (is("$")) {
      TRY(advance());
      out.kind = Value::Kind::kVariable;
      TRY_SET(out.text, name());
      return out;
    }
    if (is("[")) return list(depth);
    if (is("{")) return object(depth);
    switch (token_.kind) {
      case Token::Kind::kInt: out.kind = Value::Kind::kInt; break;
      case Token::Kind::kFloat: out.kind = Value::Kind::kFloat; break;
      case Token::Kind::kString: out.kind = Value::Kind::kString; break;
      case Token::Kind::kName:
        out.flag = token_.text == "true";
        out.kind = out.flag || token_.text == "false" ? Value::Kind::kBool
                   : token_.text == "null"            ? Value::Kind::kNull
                                                      : Value::Kind::kEnum;
        break;
      default: return unexpected("a value");
    }
    out.text = std::move(token_.text);
    TRY(advance());
    return out;
  }

  Result<Value> list(int depth) {
    Value out;
    out.kind = Value::Kind::kList;
    TRY(advance());
    while (!is("]")) {
      TRY_SET(Value item, value(depth + 1));
      out.items.push_back(std::move(item));
    }
    TRY(advance());
    return out;
  }

  Result<Value> object(int depth) {
    Value out;
    out.kind = Value::Kind::kObject;
    TRY(advance());
    while (!is("}")) {
      TRY_SET(std::string named, name());
      TRY(expect(":"));
      TRY_SET(Value given, value(depth + 1));
      out.names.push_back(std::move(named));
      out.items.push_back(std::move(given));
    }
    TRY(advance());
    return out;
  }

  Lexer lexer_;
  Token token_;
};

}  // namespace

Result<Document> parse(std::string_view text) {
  if (text.size() > kQueryBytes) {
    return base::invalid("Syntax Error: the query has " + std::to_string(text.size()) +
                         " bytes; allowed: " + std::to_string(kQueryBytes));
  }
  if (!base::is_utf8(text) || text.find('\0') != text.npos)
    return base::invalid("Syntax Error: the query is not UTF-8");
  return Parser(text).document();
}

}  // namespace api::mlflow::graphql
