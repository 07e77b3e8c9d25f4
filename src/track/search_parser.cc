#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "track/search_ast.h"
#include "track/search_lexer.h"
#include "track/validate.h"

namespace track {

using base::invalid;
using base::Result;

namespace {

using Kind = Token::Kind;

struct Operand {
  Field field = Field::kAttribute;
  std::string key;
  const Attribute* attribute = nullptr;  // of kAttribute
  bool numeric() const { return field == Field::kMetric || (attribute && attribute->numeric); }
};

std::string_view strip(std::string_view text, char quote) {
  if (text.size() >= 2 && text.front() == quote && text.back() == quote) return text.substr(1, text.size() - 2);
  return text;
}

std::string_view unquote(std::string_view key) { return strip(strip(strip(key, '\''), '"'), '`'); }

std::optional<Field> field_of(std::string_view entity) {
  struct Word {
    std::string_view word;
    Field field;
  };
  static constexpr std::array kWords = {
      Word{"metric", Field::kMetric},       Word{"metrics", Field::kMetric},       Word{"parameter", Field::kParam},
      Word{"parameters", Field::kParam},    Word{"param", Field::kParam},          Word{"params", Field::kParam},
      Word{"tag", Field::kTag},             Word{"tags", Field::kTag},             Word{"attribute", Field::kAttribute},
      Word{"attributes", Field::kAttribute}, Word{"attr", Field::kAttribute},      Word{"run", Field::kAttribute},
      Word{"dataset", Field::kDataset},     Word{"datasets", Field::kDataset}};
  const auto found = std::ranges::find(kWords, entity, &Word::word);
  if (found == kWords.end()) return std::nullopt;
  return found->field;
}

bool offered(const Dialect& dialect, Field field) {
  switch (field) {
    case Field::kAttribute: return true;
    case Field::kMetric: return dialect.metrics;
    case Field::kParam: return dialect.params;
    case Field::kTag: return dialect.tags;
    case Field::kDataset: return dialect.datasets;
  }
  return false;
}

std::string attribute_names(const Dialect& dialect, bool for_order) {
  std::string out;
  for (const Attribute& a : dialect.attributes) {
    if (for_order ? a.orderable : a.filterable) out.append(out.empty() ? "" : ", ").append(python_repr(a.name));
  }
  return "{" + out + "}";
}

// Splits "entity.key" and resolves what it names.
Result<Operand> operand(std::string_view text, const Dialect& dialect, bool for_order) {
  Operand out;
  // The dot that separates: not one inside a quoted entity.
  const size_t dot = text[0] == '`' || text[0] == '"' ? text.find('.', text.find(text[0], 1)) : text.find('.');
  std::string_view key = text;
  if (dot != text.npos) {
    const std::string_view entity = strip(text.substr(0, dot), '`');
    const auto field = field_of(entity);
    if (!field || !offered(dialect, *field)) {
      std::string valid = "'attribute'";
      if (dialect.metrics) valid += ", 'metric'";
      if (dialect.params) valid += ", 'parameter'";
      if (dialect.tags) valid += ", 'tag'";
      if (dialect.datasets) valid += ", 'dataset'";
      return invalid("Invalid entity type '" + std::string(entity) + "'. Valid values are [" + valid + "]");
    }
    out.field = *field;
    key = text.substr(dot + 1);
  }
  out.key = unquote(key);
  if (out.field == Field::kAttribute) {
    out.attribute = find_attribute(dialect, out.key);
    if (!out.attribute || !(for_order ? out.attribute->orderable : out.attribute->filterable)) {
      return invalid("Invalid attribute key '" + out.key + "' specified. Valid keys are '" +
                     attribute_names(dialect, for_order) + "'");
    }
    out.key = out.attribute->name;
  } else if (out.field == Field::kDataset && out.key != "name" && out.key != "digest" && out.key != "context") {
    return invalid("Invalid dataset key '" + out.key + "' specified. Valid keys are '{'name', 'digest', 'context'}'");
  }
  return out;
}

class Parser {
 public:
  Parser(std::string_view text, const Dialect& dialect) : lexer_(text), dialect_(dialect) {}

  Result<Filter> parse() {
    TRY(advance());
    if (token_.kind == Kind::kEnd) return Filter{};
    TRY_SET(Filter filter, any(0));
    if (token_.kind != Kind::kEnd) return error("expected AND, OR or the end");
    return filter;
  }

 private:
  Result<void> advance() {
    TRY_SET(token_, lexer_.next());
    return {};
  }
  bool is_word(std::string_view upper) const { return token_.kind == Kind::kName && same_word(token_.text, upper); }
  std::unexpected<base::Error> error(std::string_view message) const {
    return filter_error(lexer_.whole(), token_.at, message);
  }

  Result<Filter> any(size_t depth) { return chain(depth, "OR", Filter::Kind::kAny, &Parser::all); }
  Result<Filter> all(size_t depth) { return chain(depth, "AND", Filter::Kind::kAll, &Parser::one); }

  Result<Filter> chain(size_t depth, std::string_view word, Filter::Kind kind, Result<Filter> (Parser::*part)(size_t)) {
    TRY_SET(Filter first, (this->*part)(depth));
    if (!is_word(word)) return first;
    Filter out{.kind = kind, .children = {}, .term = {}};
    out.children.push_back(std::move(first));
    while (is_word(word)) {
      TRY(advance());
      TRY_SET(Filter next, (this->*part)(depth));
      out.children.push_back(std::move(next));
    }
    return out;
  }

  Result<Filter> one(size_t depth) {
    if (depth > kMaxFilterDepth) {
      return error("more than " + std::to_string(kMaxFilterDepth) + " nested parentheses or NOTs");
    }
    if (is_word("NOT")) {
      TRY(advance());
      TRY_SET(Filter inner, one(depth + 1));
      Filter out{.kind = Filter::Kind::kNot, .children = {}, .term = {}};
      out.children.push_back(std::move(inner));
      return out;
    }
    if (token_.kind == Kind::kOpen) {
      TRY(advance());
      TRY_SET(Filter inner, any(depth + 1));
      if (token_.kind != Kind::kClose) return error("expected a closing parenthesis");
      TRY(advance());
      return inner;
    }
    return comparison();
  }

  Result<Filter> comparison() {
    if (++terms_ > kMaxFilterTerms) {
      return error("more than " + std::to_string(kMaxFilterTerms) + " comparisons");
    }
    if (token_.kind != Kind::kName) return error("expected a field such as metrics.loss");
    TRY_SET(const Operand left, operand(token_.text, dialect_, false));
    TRY(advance());
    Filter out{.kind = Filter::Kind::kTerm, .children = {}, .term = {}};
    out.term.field = left.field;
    out.term.key = left.key;
    TRY_SET(out.term.op, comparator(left));
    if (out.term.op == Op::kIsNull || out.term.op == Op::kIsNotNull) return out;
    if (out.term.op == Op::kIn || out.term.op == Op::kNotIn) {
      TRY_SET(out.term.list, list());
      return out;
    }
    TRY_SET(out.term.value, value(left));
    TRY(advance());
    return out;
  }

  // Reads the comparator and checks that the field has it.
  Result<Op> comparator(const Operand& left) {
    const std::string shown(token_.text);
    TRY_SET(const Op op, read_comparator());
    const bool ordering = op == Op::kLt || op == Op::kLe || op == Op::kGt || op == Op::kGe;
    const bool like = op == Op::kLike || op == Op::kIlike;
    const bool in = op == Op::kIn || op == Op::kNotIn;
    const bool null = op == Op::kIsNull || op == Op::kIsNotNull;
    if (null) {
      if (dialect_.null_tests && (left.field == Field::kTag || left.field == Field::kParam)) return op;
      return invalid("IS NULL / IS NOT NULL is only supported for tags and params, not for '" + left.key + "'");
    }
    if (left.numeric() ? like || (in && !(left.attribute && left.attribute->list)) : ordering) {
      return invalid("Invalid comparator '" + shown + "' not one of '" +
                     (left.numeric() ? "{'>', '>=', '!=', '=', '<', '<='}" : "{'!=', '=', 'LIKE', 'ILIKE', 'IN', 'NOT IN'}") +
                     "'");
    }
    if (in && left.field != Field::kDataset && !(left.attribute && left.attribute->list)) {
      return invalid("Invalid comparator 'IN' for '" + left.key + "': it does not support comparison with a list of quoted "
                     "string values.");
    }
    return op;
  }

  Result<Op> read_comparator() {
    struct Sign {
      std::string_view text;
      Op op;
    };
    static constexpr std::array kSigns = {Sign{"=", Op::kEq}, Sign{"!=", Op::kNe}, Sign{"<", Op::kLt},
                                          Sign{"<=", Op::kLe}, Sign{">", Op::kGt}, Sign{">=", Op::kGe}};
    if (token_.kind == Kind::kOperator) {
      const auto sign = std::ranges::find(kSigns, token_.text, &Sign::text);
      if (sign == kSigns.end()) return error("'" + std::string(token_.text) + "' is no comparator (= != < <= > >=)");
      TRY(advance());
      return sign->op;
    }
    if (is_word("LIKE") || is_word("ILIKE") || is_word("IN")) {
      const Op op = is_word("LIKE") ? Op::kLike : is_word("IN") ? Op::kIn : Op::kIlike;
      TRY(advance());
      return op;
    }
    if (is_word("NOT")) {
      TRY(advance());
      if (!is_word("IN")) return error("expected IN after NOT");
      TRY(advance());
      return Op::kNotIn;
    }
    if (is_word("IS")) {
      TRY(advance());
      const bool negated = is_word("NOT");
      if (negated) TRY(advance());
      if (!is_word("NULL")) return error("expected NULL or NOT NULL after IS");
      TRY(advance());
      return negated ? Op::kIsNotNull : Op::kIsNull;
    }
    return error("expected a comparator (=, !=, <, <=, >, >=, LIKE, ILIKE, IN, IS NULL)");
  }

  bool is_text() const { return token_.kind == Kind::kText || (token_.kind == Kind::kName && token_.double_quoted); }
  std::string text() const { return std::string(token_.kind == Kind::kText ? token_.text : strip(token_.text, '"')); }

  Result<std::vector<std::string>> list() {
    std::vector<std::string> out;
    if (token_.kind != Kind::kOpen) return error("expected a list of quoted values in parentheses");
    TRY(advance());
    while (token_.kind != Kind::kClose) {
      if (!is_text()) return error("expected a quoted value in the list");
      if (out.size() == kMaxListItems) {
        return error("more than " + std::to_string(kMaxListItems) + " values in one list");
      }
      out.push_back(text());
      TRY(advance());
      if (token_.kind == Kind::kComma) {
        TRY(advance());
      } else if (token_.kind != Kind::kClose) {
        return error("expected a comma or a closing parenthesis");
      }
    }
    if (out.empty()) {
      return invalid("While parsing a list in the query, expected a non-empty list of string values, but got empty list");
    }
    TRY(advance());
    return out;
  }

  Result<Value> value(const Operand& left) {
    if (token_.kind == Kind::kEnd) return error("a value is missing");
    if (left.numeric()) return number(left);
    if (is_text()) return Value::of(text());
    if (token_.kind == Kind::kName) {
      return invalid("Parameter value is either not quoted or unidentified quote types used for string value " +
                     std::string(token_.text) + ". Use either single or double quotes.");
    }
    if (left.field == Field::kAttribute || left.field == Field::kDataset) {
      return invalid("Expected a quoted string value for attributes. Got value " + std::string(token_.text));
    }
    return invalid(std::string("Expected a quoted string value for ") +
                   (left.field == Field::kTag ? "tag" : "parameter") + " (e.g. 'my-value'). Got value " +
                   std::string(token_.text));
  }

  Result<Value> number(const Operand& left) {
    if (token_.kind != Kind::kNumber) {
      const std::string shown = token_.kind == Kind::kText ? python_repr(token_.text) : std::string(token_.text);
      if (left.field == Field::kMetric) return invalid("Expected numeric value type for metric. Found " + shown);
      return invalid("Expected numeric value type for numeric attribute: " + left.key + ". Found " + shown);
    }
    const char* begin = token_.text.data();
    const char* end = begin + token_.text.size();
    int64_t whole = 0;
    if (left.field == Field::kAttribute) {
      const auto [stop, failed] = std::from_chars(begin, end, whole);
      if (failed == std::errc() && stop == end) return Value::of(whole);
    }
    double number = 0;
    const auto [stop, failed] = std::from_chars(begin, end, number);
    if (failed != std::errc() || stop != end || !std::isfinite(number)) return error("this is no number");
    return Value::of(number);
  }

  Lexer lexer_;
  const Dialect& dialect_;
  Token token_;
  size_t terms_ = 0;
};

}  // namespace

std::string_view sql(Op op) {
  switch (op) {
    case Op::kEq: return "=";
    case Op::kNe: return "<>";
    case Op::kLt: return "<";
    case Op::kLe: return "<=";
    case Op::kGt: return ">";
    case Op::kGe: return ">=";
    default: return "=";
  }
}

const Attribute* find_attribute(const Dialect& dialect, std::string_view name) {
  // Upstream's alternate spellings of two of a run's attributes.
  if (name == "created" || name == "Created") name = "start_time";
  if (name == "run name" || name == "Run name" || name == "Run Name") name = "run_name";
  const auto found = std::ranges::find(dialect.attributes, name, &Attribute::name);
  return found == dialect.attributes.end() ? nullptr : &*found;
}

Result<Filter> parse_filter(std::string_view text, const Dialect& dialect) {
  if (text.size() > kMaxFilterBytes) {
    return invalid("Invalid filter string: it has " + std::to_string(text.size()) + " bytes; at most " +
                   std::to_string(kMaxFilterBytes) + " are allowed");
  }
  return Parser(text, dialect).parse();
}

Result<Order> parse_order(std::string_view text, const Dialect& dialect) {
  const auto bad = [&](std::string_view why) {
    return invalid("Invalid order_by clause '" + std::string(text) + "'. " + std::string(why));
  };
  Lexer lexer(text);
  const auto field = lexer.next();
  if (!field || field->kind != Kind::kName) return bad("Could not be parsed.");
  Order order;
  const auto direction = lexer.next();
  if (!direction) return bad("Could not be parsed.");
  if (direction->kind != Kind::kEnd) {
    const bool descending = direction->kind == Kind::kName && same_word(direction->text, "DESC");
    if (!descending && !(direction->kind == Kind::kName && same_word(direction->text, "ASC"))) {
      return invalid("Invalid ordering key in order_by clause '" + std::string(text) + "'.");
    }
    order.ascending = !descending;
    const auto end = lexer.next();
    if (!end || end->kind != Kind::kEnd) return bad("Could not be parsed.");
  }
  TRY_SET(const Operand operand_, operand(field->text, dialect, true));
  order.field = operand_.field;
  order.key = operand_.key;
  return order;
}

}  // namespace track
