#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "track/best.h"
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
  static constexpr std::array kWords = {Word{"metric", Field::kMetric},
                                        Word{"metrics", Field::kMetric},
                                        Word{"parameter", Field::kParam},
                                        Word{"parameters", Field::kParam},
                                        Word{"param", Field::kParam},
                                        Word{"params", Field::kParam},
                                        Word{"tag", Field::kTag},
                                        Word{"tags", Field::kTag},
                                        Word{"attribute", Field::kAttribute},
                                        Word{"attributes", Field::kAttribute},
                                        Word{"attr", Field::kAttribute},
                                        Word{"run", Field::kAttribute},
                                        Word{"dataset", Field::kDataset},
                                        Word{"datasets", Field::kDataset},
                                        Word{"trace", Field::kAttribute},
                                        Word{"metadata", Field::kMetadata},
                                        Word{"request_metadata", Field::kMetadata},
                                        Word{"span", Field::kSpan},
                                        Word{"feedback", Field::kFeedback},
                                        Word{"expectation", Field::kExpectation},
                                        Word{"issue", Field::kIssue}};
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
    default: return dialect.traces;
  }
}

std::string attribute_names(const Dialect& dialect, bool for_order) {
  std::string out;
  for (const Attribute& a : dialect.attributes) {
    if (for_order ? a.orderable : a.filterable) out.append(out.empty() ? "" : ", ").append(python_repr(a.name));
  }
  return "{" + out + "}";
}

Result<void> span_key(std::string_view key) {
  constexpr std::string_view kAttributes = "attributes.";
  if (key == "name" || key == "type" || key == "status" || key == "content") return {};
  if (key == kAttributes) return invalid("Span attribute name cannot be empty after 'attributes.'");
  if (key.starts_with(kAttributes)) return {};
  return invalid("Invalid span attribute '" + std::string(key) +
                 "'. Supported attributes: name, status, type, attributes.<attribute_name>.");
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
    if (!field || !offered(dialect, *field) || (entity == "trace" && !dialect.traces)) {
      std::string valid = "'attribute'";
      if (dialect.metrics) valid += ", 'metric'";
      if (dialect.params) valid += ", 'parameter'";
      if (dialect.tags) valid += ", 'tag'";
      if (dialect.datasets) valid += ", 'dataset'";
      if (dialect.traces) valid += ", 'metadata', 'span', 'feedback', 'expectation', 'issue'";
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
  } else if (out.field == Field::kSpan) {
    TRY(span_key(out.key));
  } else if (out.field == Field::kIssue && out.key != "id") {
    return invalid("Invalid issue attribute '" + out.key + "'. Supported attributes: id");
  } else if (out.field == Field::kDataset && out.key != "name" && out.key != "digest" && out.key != "context") {
    return invalid("Invalid dataset key '" + out.key + "' specified. Valid keys are '{'name', 'digest', 'context'}'");
  }
  return out;
}

using PickOf = Pick (*)(std::string_view metric);

// What a word before a parenthesis picks of a metric's history; none for other words.
std::optional<PickOf> pick_function(std::string_view word) {
  if (same_word(word, "MIN")) return PickOf([](std::string_view) { return Pick::kMin; });
  if (same_word(word, "MAX")) return PickOf([](std::string_view) { return Pick::kMax; });
  if (same_word(word, "BEST")) return PickOf(best_of);
  return std::nullopt;
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
  size_t at() const { return lexed_ ? token_.at : lexer_.at(); }

 private:
  Result<void> advance() {
    lexed_ = false;
    TRY_SET(token_, lexer_.next());
    lexed_ = true;
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
    Filter out{.kind = Filter::Kind::kTerm, .children = {}, .term = {}};
    TRY_SET(const Operand left, left_side(out.term.pick));
    TRY(advance());
    out.term.field = left.field;
    out.term.key = left.key;
    TRY_SET(out.term.op, comparator(left));
    if (out.term.op == Op::kIsNull || out.term.op == Op::kIsNotNull) return out;
    if (out.term.op == Op::kIn || out.term.op == Op::kNotIn) {
      TRY_SET(out.term.list, list());
      return out;
    }
    TRY_SET(out.term.value, value(left, out.term.op));
    TRY(advance());
    return out;
  }

  // metrics.loss, or min(metrics.loss): up to the last token of it.
  Result<Operand> left_side(Pick& pick) {
    const auto function = pick_function(token_.text);
    Lexer ahead = lexer_;
    const auto open = ahead.next();
    if (!function || !open || open->kind != Kind::kOpen) return operand(token_.text, dialect_, false);
    if (!dialect_.histories) return error("min(), max() and best() are offered in searches of runs");
    TRY(advance());
    TRY(advance());
    if (token_.kind != Kind::kName) return error("expected a metric such as metrics.loss");
    TRY_SET(const Operand left, operand(token_.text, dialect_, false));
    if (left.field != Field::kMetric) return error("min(), max() and best() are of metrics");
    TRY(advance());
    if (token_.kind != Kind::kClose) return error("expected a closing parenthesis");
    pick = (*function)(left.key);
    return left;
  }

  // Reads the comparator and checks that the field has it.
  Result<Op> comparator(const Operand& left) {
    const std::string shown(token_.text);
    TRY_SET(const Op op, read_comparator());
    const bool ordering = op == Op::kLt || op == Op::kLe || op == Op::kGt || op == Op::kGe;
    const bool like = op == Op::kLike || op == Op::kIlike;
    const bool in = op == Op::kIn || op == Op::kNotIn;
    const bool null = op == Op::kIsNull || op == Op::kIsNotNull;
    if (dialect_.traces && left.field != Field::kAttribute) return trace_comparator(left, op, shown);
    if (op == Op::kRlike && (!dialect_.traces || left.numeric())) {
      return invalid("Invalid comparator 'RLIKE' for '" + left.key + "'");
    }
    if (null) {
      if (dialect_.null_tests && (left.field == Field::kTag || left.field == Field::kParam)) return op;
      return invalid("IS NULL / IS NOT NULL is only supported for tags and params, not for '" + left.key + "'");
    }
    if (left.numeric() ? like || (in && !(left.attribute && left.attribute->list)) : ordering) {
      return invalid(
          "Invalid comparator '" + shown + "' not one of '" +
          (left.numeric() ? "{'>', '>=', '!=', '=', '<', '<='}" : "{'!=', '=', 'LIKE', 'ILIKE', 'IN', 'NOT IN'}") +
          "'");
    }
    const bool listed = left.attribute ? left.attribute->list : left.field == Field::kDataset || dialect_.lists;
    if (in && !listed) {
      return invalid("Invalid comparator 'IN' for '" + left.key +
                     "': it does not support comparison with a list of quoted "
                     "string values.");
    }
    return op;
  }

  // What a trace's tags, metadata, spans, assessments and issues compare by.
  static Result<Op> trace_comparator(const Operand& left, Op op, const std::string& shown) {
    const bool ordering = op == Op::kLt || op == Op::kLe || op == Op::kGt || op == Op::kGe;
    const bool in = op == Op::kIn || op == Op::kNotIn;
    const bool null = op == Op::kIsNull || op == Op::kIsNotNull;
    const bool like = op == Op::kLike || op == Op::kIlike;
    bool fits = true;
    switch (left.field) {
      case Field::kSpan: fits = left.key == "content" ? like : !ordering && !null; break;
      case Field::kFeedback:
      case Field::kExpectation: fits = !in; break;
      case Field::kIssue: fits = op == Op::kEq; break;
      default: fits = !ordering && !in;
    }
    if (fits) return op;
    return invalid("Invalid comparator '" + shown + "' for '" + left.key + "'");
  }

  Result<Op> read_comparator() {
    struct Sign {
      std::string_view text;
      Op op;
    };
    static constexpr std::array kSigns = {Sign{"=", Op::kEq},  Sign{"!=", Op::kNe}, Sign{"<", Op::kLt},
                                          Sign{"<=", Op::kLe}, Sign{">", Op::kGt},  Sign{">=", Op::kGe}};
    if (token_.kind == Kind::kOperator) {
      const auto sign = std::ranges::find(kSigns, token_.text, &Sign::text);
      if (sign == kSigns.end()) return error("'" + std::string(token_.text) + "' is no comparator (= != < <= > >=)");
      TRY(advance());
      return sign->op;
    }
    if (is_word("LIKE") || is_word("ILIKE") || is_word("RLIKE") || is_word("IN")) {
      const Op op = is_word("LIKE") ? Op::kLike : is_word("IN") ? Op::kIn : is_word("ILIKE") ? Op::kIlike : Op::kRlike;
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
      return invalid(
          "While parsing a list in the query, expected a non-empty list of string values, but got empty list");
    }
    TRY(advance());
    return out;
  }

  Result<Value> value(const Operand& left, Op op) {
    if (token_.kind == Kind::kEnd) return error("a value is missing");
    if ((left.field == Field::kFeedback || left.field == Field::kExpectation) &&
        (op == Op::kLt || op == Op::kLe || op == Op::kGt || op == Op::kGe)) {
      if (token_.kind == Kind::kNumber) return number(left);
      return invalid("Expected a numeric value for assessment '" + left.key +
                     "' when using an ordering comparator. Got value " + std::string(token_.text));
    }
    if (left.numeric()) return number(left);
    if (is_text()) return Value::of(text());
    if (token_.kind == Kind::kName) {
      return invalid("Parameter value is either not quoted or unidentified quote types used for string value " +
                     std::string(token_.text) + ". Use either single or double quotes.");
    }
    if (left.field == Field::kAttribute || left.field == Field::kDataset || dialect_.traces) {
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
      if (dialect_.whole_numbers) {
        return error("numeric attribute '" + left.key + "' compares with whole numbers; found " +
                     std::string(token_.text));
      }
    }
    double number = 0;
    const auto [stop, failed] = std::from_chars(begin, end, number);
    if (failed != std::errc() || stop != end || !std::isfinite(number)) return error("this is no number");
    return Value::of(number);
  }

  Lexer lexer_;
  const Dialect& dialect_;
  Token token_;
  bool lexed_ = true;  // false: the lexer failed, and it knows where
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

Result<Filter> parse_filter(std::string_view text, const Dialect& dialect, size_t* error_at) {
  if (text.size() > kMaxFilterBytes) {
    return invalid("Invalid filter string: it has " + std::to_string(text.size()) + " bytes; at most " +
                   std::to_string(kMaxFilterBytes) + " are allowed");
  }
  Parser parser(text, dialect);
  auto filter = parser.parse();
  if (error_at != nullptr) *error_at = parser.at();
  return filter;
}

namespace {

// field | ("MIN" | "MAX" | "BEST") "(" metric ")"; none where the text has another shape.
Result<std::optional<Column>> column(Lexer& lexer, const Dialect& dialect) {
  auto token = lexer.next();
  if (!token || token->kind != Kind::kName) return std::optional<Column>();
  Column out;
  Lexer ahead = lexer;
  const auto function = dialect.histories ? pick_function(token->text) : std::nullopt;
  const auto open = ahead.next();
  const bool picks = function && open && open->kind == Kind::kOpen;
  if (picks) {
    token = ahead.next();
    const auto close = ahead.next();
    if (!token || token->kind != Kind::kName || !close || close->kind != Kind::kClose) return std::optional<Column>();
    lexer = ahead;
  }
  TRY_SET(const Operand named, operand(token->text, dialect, true));
  if (picks && named.field != Field::kMetric) {
    return invalid("min(), max() and best() are of metrics; found '" + std::string(token->text) + "'");
  }
  out.field = named.field;
  out.key = named.key;
  if (picks) out.pick = (*function)(named.key);
  return std::optional(std::move(out));
}

}  // namespace

Result<Column> parse_column(std::string_view text, const Dialect& dialect) {
  Lexer lexer(text);
  TRY_SET(auto found, column(lexer, dialect));
  const auto end = lexer.next();
  if (!found || !end || end->kind != Kind::kEnd) {
    return invalid("'" + std::string(first_chars(text, 200)) +
                   "' names no column; a column is like metrics.loss, min(metrics.loss), params.lr or tags.owner");
  }
  return std::move(*found);
}

Result<Order> parse_order(std::string_view text, const Dialect& dialect) {
  const auto bad = [&](std::string_view why) {
    return invalid("Invalid order_by clause '" + std::string(text) + "'. " + std::string(why));
  };
  Lexer lexer(text);
  TRY_SET(auto found, column(lexer, dialect));
  if (!found) return bad("Could not be parsed.");
  Order order{{std::move(*found)}};
  const auto direction = lexer.next();
  if (!direction) return bad("Could not be parsed.");
  if (direction->kind == Kind::kEnd) return order;
  const bool descending = direction->kind == Kind::kName && same_word(direction->text, "DESC");
  if (!descending && !(direction->kind == Kind::kName && same_word(direction->text, "ASC"))) {
    return invalid("Invalid ordering key in order_by clause '" + std::string(text) + "'.");
  }
  order.ascending = !descending;
  const auto end = lexer.next();
  if (!end || end->kind != Kind::kEnd) return bad("Could not be parsed.");
  return order;
}

}  // namespace track
