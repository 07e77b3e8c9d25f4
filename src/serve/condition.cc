#include "serve/condition.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

namespace serve {
namespace {

bool begins_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool in_name(char c) { return begins_name(c) || (c >= '0' && c <= '9'); }
bool digit(char c) { return c >= '0' && c <= '9'; }

std::string_view word(Condition::Type type) {
  switch (type) {
    case Condition::Type::kNumber: return "a number";
    case Condition::Type::kText: return "a text";
    case Condition::Type::kBool: return "true or false";
  }
  return "";
}

struct Token {
  enum class Kind : uint8_t { kEnd, kNumber, kText, kName, kSign } kind = Kind::kEnd;
  std::string_view shown;  // as it stands
  std::string text;        // of a text: unescaped
  double number = 0;
  size_t at = 0;  // from 0
};

}  // namespace

// Recursive descent, one function a level of precedence; the first error ends it.
class ConditionParser {
 public:
  explicit ConditionParser(std::string_view text) { out_.text_ = text; }

  base::Result<Condition> parse() {
    if (out_.text_.size() > kMaxConditionBytes)
      return base::invalid("a condition has at most " + std::to_string(kMaxConditionBytes) + " bytes, found " +
                           std::to_string(out_.text_.size()));
    TRY(next());
    TRY_SET(out_.root_, any_of());
    if (token_.kind != Token::Kind::kEnd) return unexpected("and, or, a comparison, or the end");
    TRY(expect(out_.root_, Type::kBool));
    for (Reference& reference : out_.references_) {  // what no use told: two names beside each other
      if (!known_[static_cast<size_t>(&reference - out_.references_.data())]) reference.type = Type::kNumber;
    }
    for (Term& term : out_.terms_)
      if (term.op == Op::kReference) term.type = out_.references_[term.left].type;
    return std::move(out_);
  }

 private:
  using Op = Condition::Op;
  using Type = Condition::Type;
  using Term = Condition::Term;
  using Reference = Condition::Reference;
  using Source = Condition::Source;
  using Index = base::Result<size_t>;

  static base::Error error_at(size_t at, const std::string& what) {
    return {base::Code::kInvalid, "at character " + std::to_string(at + 1) + ": " + what};
  }
  std::unexpected<base::Error> unexpected(std::string_view allowed) const {
    const std::string found = token_.kind == Token::Kind::kEnd ? "the end" : "'" + std::string(token_.shown) + "'";
    return std::unexpected(error_at(token_.at, "found " + found + "; allowed: " + std::string(allowed)));
  }

  // --- words ---------------------------------------------------------------------------------------------------------

  base::Result<void> next() {
    const std::string_view all = out_.text_;
    while (at_ < all.size() && (all[at_] == ' ' || all[at_] == '\t' || all[at_] == '\n' || all[at_] == '\r')) ++at_;
    token_ = {.at = at_};
    if (at_ == all.size()) return {};
    const char c = all[at_];
    if (digit(c) || (c == '.' && at_ + 1 < all.size() && digit(all[at_ + 1]))) {
      const auto [end, error] = std::from_chars(all.data() + at_, all.data() + all.size(), token_.number);
      if (error != std::errc() || (end != all.data() + all.size() && in_name(*end)))
        return std::unexpected(error_at(at_, "found a number that cannot be read; allowed: 2, 0.5, 1e-3"));
      return take(Token::Kind::kNumber, static_cast<size_t>(end - all.data()));
    }
    if (begins_name(c)) {
      size_t end = at_;
      while (end < all.size() && in_name(all[end])) ++end;
      return take(Token::Kind::kName, end);
    }
    if (c == '"' || c == '\'') return text(c);
    for (std::string_view sign : {"==", "!=", "<=", ">=", "&&", "||"})
      if (all.substr(at_).starts_with(sign)) return take(Token::Kind::kSign, at_ + 2);
    if (std::string_view("<>+-*/%()[],.!").find(c) != std::string_view::npos) return take(Token::Kind::kSign, at_ + 1);
    return std::unexpected(error_at(at_, "found '" + std::string(1, c) + "', which means nothing here"));
  }

  base::Result<void> take(Token::Kind kind, size_t end) {
    token_.kind = kind;
    token_.shown = std::string_view(out_.text_).substr(at_, end - at_);
    at_ = end;
    return {};
  }

  base::Result<void> text(char quote) {
    const std::string_view all = out_.text_;
    for (size_t i = at_ + 1; i < all.size(); ++i) {
      if (all[i] == quote) return take(Token::Kind::kText, i + 1);
      if (all[i] == '\\' && i + 1 < all.size()) ++i;
      token_.text += all[i];
    }
    return std::unexpected(error_at(at_, "found a text without its closing " + std::string(1, quote)));
  }

  bool is(std::string_view word) const {
    return (token_.kind == Token::Kind::kSign || token_.kind == Token::Kind::kName) && token_.shown == word;
  }
  base::Result<bool> accept(std::string_view word) {
    if (!is(word)) return false;
    TRY(next());
    return true;
  }
  base::Result<void> need(std::string_view sign) {
    if (!is(sign)) return unexpected("'" + std::string(sign) + "'");
    return next();
  }

  // --- terms ---------------------------------------------------------------------------------------------------------

  Index add(Term term) {
    if (out_.terms_.size() == kMaxConditionTerms)
      return std::unexpected(
          error_at(term.at, "a condition has at most " + std::to_string(kMaxConditionTerms) + " terms"));
    out_.terms_.push_back(std::move(term));
    return out_.terms_.size() - 1;
  }

  // The type of a term; nullopt: a name whose type nothing has told yet.
  std::optional<Type> type_of(size_t term) const {
    const Term& t = out_.terms_[term];
    if (t.op != Op::kReference) return t.type;
    return known_[t.left] ? std::optional(out_.references_[t.left].type) : std::nullopt;
  }

  base::Result<void> expect(size_t term, Type wanted) {
    const Term& t = out_.terms_[term];
    const auto found = type_of(term);
    if (!found) {
      out_.references_[t.left].type = wanted;
      known_[t.left] = true;
      return {};
    }
    if (*found == wanted) return {};
    const std::string what =
        t.op == Op::kReference ? "'" + out_.references_[t.left].shown() + "' is " : std::string("this is ");
    return std::unexpected(
        error_at(t.at, what + std::string(word(*found)) + "; it must be " + std::string(word(wanted)) + " here"));
  }

  Index binary(Op op, size_t left, size_t right, Type operands, Type result, size_t at) {
    TRY(expect(left, operands));
    TRY(expect(right, operands));
    return add({.op = op, .type = result, .left = left, .right = right, .at = at});
  }

  Index any_of() {
    TRY_SET(size_t left, all_of());
    while (is("or") || is("||")) {
      const size_t at = token_.at;
      TRY(next());
      TRY_SET(const size_t right, all_of());
      TRY_SET(left, binary(Op::kOr, left, right, Type::kBool, Type::kBool, at));
    }
    return left;
  }

  Index all_of() {
    TRY_SET(size_t left, negation());
    while (is("and") || is("&&")) {
      const size_t at = token_.at;
      TRY(next());
      TRY_SET(const size_t right, negation());
      TRY_SET(left, binary(Op::kAnd, left, right, Type::kBool, Type::kBool, at));
    }
    return left;
  }

  Index negation() {
    if (!is("not") && !is("!")) return comparison();
    const size_t at = token_.at;
    TRY(deeper());
    TRY(next());
    TRY_SET(const size_t of, negation());
    --depth_;
    TRY(expect(of, Type::kBool));
    return add({.op = Op::kNot, .type = Type::kBool, .left = of, .at = at});
  }

  Index comparison() {
    TRY_SET(const size_t left, sum());
    const size_t at = token_.at;
    if (is("in")) {
      TRY(next());
      return membership(left, at);
    }
    static constexpr std::pair<std::string_view, Op> kSigns[] = {{"==", Op::kEq}, {"!=", Op::kNe}, {"<=", Op::kLe},
                                                                 {">=", Op::kGe}, {"<", Op::kLt},  {">", Op::kGt}};
    for (const auto& [sign, op] : kSigns) {
      if (!is(sign)) continue;
      TRY(next());
      TRY_SET(const size_t right, sum());
      const auto type = type_of(left) ? type_of(left) : type_of(right);
      const bool order = op != Op::kEq && op != Op::kNe;
      if (order && type == Type::kBool)
        return std::unexpected(error_at(at, "true and false have no order; allowed: == and !="));
      return binary(op, left, right, type.value_or(Type::kNumber), Type::kBool, at);
    }
    return left;
  }

  Index membership(size_t left, size_t at) {
    TRY(need("["));
    Term term{.op = Op::kIn, .type = Type::kBool, .left = left, .at = at};
    for (;;) {
      const bool literal = token_.kind == Token::Kind::kNumber || token_.kind == Token::Kind::kText || is("-");
      if (!literal) return unexpected("a number or a text");
      TRY_SET(const size_t item, unary());
      if (!term.list.empty()) TRY(expect(item, out_.terms_[term.list.front()].type));
      term.list.push_back(item);
      TRY_SET(const bool more, accept(","));
      if (!more) break;
    }
    TRY(need("]"));
    TRY(expect(left, out_.terms_[term.list.front()].type));
    return add(std::move(term));
  }

  Index sum() {
    TRY_SET(size_t left, product());
    while (is("+") || is("-")) {
      const Op op = is("+") ? Op::kAdd : Op::kSub;
      const size_t at = token_.at;
      TRY(next());
      TRY_SET(const size_t right, product());
      TRY_SET(left, binary(op, left, right, Type::kNumber, Type::kNumber, at));
    }
    return left;
  }

  Index product() {
    TRY_SET(size_t left, unary());
    while (is("*") || is("/") || is("%")) {
      const Op op = is("*") ? Op::kMul : is("/") ? Op::kDiv : Op::kMod;
      const size_t at = token_.at;
      TRY(next());
      TRY_SET(const size_t right, unary());
      TRY_SET(left, binary(op, left, right, Type::kNumber, Type::kNumber, at));
    }
    return left;
  }

  Index unary() {
    if (!is("-")) return primary();
    const size_t at = token_.at;
    TRY(deeper());
    TRY(next());
    TRY_SET(const size_t of, unary());
    --depth_;
    TRY(expect(of, Type::kNumber));
    return add({.op = Op::kNegate, .type = Type::kNumber, .left = of, .at = at});
  }

  base::Result<void> deeper() {
    if (++depth_ <= kMaxConditionDepth) return {};
    return std::unexpected(
        error_at(token_.at, "nested more than " + std::to_string(kMaxConditionDepth) + " levels deep"));
  }

  Index primary() {
    const Token here = token_;
    if (here.kind == Token::Kind::kNumber) {
      TRY(next());
      return add({.type = Type::kNumber, .number = here.number, .at = here.at});
    }
    if (here.kind == Token::Kind::kText) {
      TRY(next());
      return add({.type = Type::kText, .text = here.text, .at = here.at});
    }
    if (is("true") || is("false")) {
      TRY(next());
      return add({.type = Type::kBool, .number = here.shown == "true" ? 1.0 : 0.0, .at = here.at});
    }
    if (is("(")) {
      TRY(deeper());
      TRY(next());
      TRY_SET(const size_t inner, any_of());
      --depth_;
      TRY(need(")"));
      return inner;
    }
    for (std::string_view reserved : {"and", "or", "not", "in"})
      if (is(reserved))
        return unexpected("a value; a column of this name is written request[\"" + std::string(reserved) + "\"]");
    if (here.kind == Token::Kind::kName) return name();
    return unexpected("a value: a column, response.…, header[\"…\"], a number, a text, true, false or (");
  }

  // --- names ---------------------------------------------------------------------------------------------------------

  // ".name" or "[\"any name\"]".
  base::Result<std::string> member() {
    TRY_SET(const bool dot, accept("."));
    std::string out;
    if (dot) {
      if (token_.kind != Token::Kind::kName) return unexpected("a name");
      out = token_.shown;
      TRY(next());
      return out;
    }
    TRY(need("["));
    if (token_.kind != Token::Kind::kText) return unexpected("a text");
    out = token_.text;
    TRY(next());
    TRY(need("]"));
    return out;
  }

  Index name() {
    Reference out{.name = std::string(token_.shown), .at = token_.at + 1};
    TRY(next());
    std::optional<Type> type;
    if (out.name == "header") {
      out.source = Source::kHeader;
      TRY_SET(out.name, member());
      std::ranges::transform(out.name, out.name.begin(),
                             [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
      type = Type::kText;
      return add_reference(std::move(out), type);
    }
    if (out.name == "request" || out.name == "response") {
      if (out.name == "response") out.source = Source::kResponse;
      TRY_SET(out.name, member());
    }
    if (is("[")) {
      TRY(next());
      const bool scores = out.source == Source::kResponse && out.name == "scores";
      if (scores && token_.kind == Token::Kind::kText) {
        out.key = token_.text;
      } else if (token_.kind == Token::Kind::kNumber && token_.number == std::floor(token_.number) &&
                 token_.number < 1e9) {
        out.index = static_cast<int64_t>(token_.number);
      } else {
        return unexpected(scores ? "a class or its number" : "a whole number");
      }
      TRY(next());
      TRY(need("]"));
    }
    if (out.source == Source::kResponse && (out.name == "score" || out.name == "scores")) type = Type::kNumber;
    if (out.source == Source::kResponse && out.name == "scores" && out.key.empty() && out.index < 0)
      return unexpected("[ and a class or its number");
    return add_reference(std::move(out), type);
  }

  Index add_reference(Reference reference, std::optional<Type> type) {
    const size_t at = reference.at - 1;
    const auto same = std::ranges::find_if(out_.references_, [&](const Reference& other) {
      return other.source == reference.source && other.name == reference.name && other.key == reference.key &&
             other.index == reference.index;
    });
    const auto place = static_cast<size_t>(same - out_.references_.begin());
    if (same == out_.references_.end()) {
      if (type) reference.type = *type;
      out_.references_.push_back(std::move(reference));
      known_.push_back(type.has_value());
    }
    return add({.op = Op::kReference, .left = place, .at = at});
  }

  Condition out_;
  std::vector<bool> known_;  // of each reference: has its type been told?
  Token token_;
  size_t at_ = 0;
  int depth_ = 0;
};

std::string Condition::Reference::shown() const {
  std::string out = source == Source::kHeader     ? "header[\"" + name + "\"]"
                    : source == Source::kResponse ? "response." + name
                                                  : name;
  if (!key.empty()) out += "[\"" + key + "\"]";
  if (index >= 0) out += "[" + std::to_string(index) + "]";
  return out;
}

base::Result<Condition> Condition::parse(std::string_view text) { return ConditionParser(text).parse(); }

bool Condition::holds(std::span<const Value> values) const { return value(root_, values).number != 0; }

Condition::Value Condition::value(size_t term, std::span<const Value> values) const {
  const Term& t = terms_[term];
  const auto truth = [](bool b) { return Value{.number = b ? 1.0 : 0.0}; };
  const auto left = [&] { return value(t.left, values); };
  const auto right = [&] { return value(t.right, values); };
  const auto compare = [&](auto&& fits) {
    const Value a = left(), b = right();
    return truth(terms_[t.left].type == Type::kText ? fits(a.text, b.text) : fits(a.number, b.number));
  };
  switch (t.op) {
    case Op::kLiteral: return {.number = t.number, .text = t.text};
    case Op::kReference: return values[t.left];
    case Op::kOr: return truth(left().number != 0 || right().number != 0);
    case Op::kAnd: return truth(left().number != 0 && right().number != 0);
    case Op::kNot: return truth(left().number == 0);
    case Op::kEq: return compare([](const auto& a, const auto& b) { return a == b; });
    case Op::kNe: return compare([](const auto& a, const auto& b) { return a != b; });
    case Op::kLt: return compare([](const auto& a, const auto& b) { return a < b; });
    case Op::kLe: return compare([](const auto& a, const auto& b) { return a <= b; });
    case Op::kGt: return compare([](const auto& a, const auto& b) { return a > b; });
    case Op::kGe: return compare([](const auto& a, const auto& b) { return a >= b; });
    case Op::kIn: {
      const Value of = left();
      return truth(std::ranges::any_of(t.list, [&](size_t item) {
        const Value one = value(item, values);
        return terms_[t.left].type == Type::kText ? one.text == of.text : one.number == of.number;
      }));
    }
    case Op::kAdd: return {.number = left().number + right().number};
    case Op::kSub: return {.number = left().number - right().number};
    case Op::kMul: return {.number = left().number * right().number};
    case Op::kDiv: return {.number = left().number / right().number};
    case Op::kMod: return {.number = std::fmod(left().number, right().number)};
    case Op::kNegate: return {.number = -left().number};
  }
  return {};
}

}  // namespace serve
