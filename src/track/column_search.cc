#include "track/column_search.h"

#include <algorithm>
#include <array>
#include <compare>
#include <string>

#include "track/runs.h"
#include "track/search_sql.h"

namespace track {

using base::Result;

namespace {

// SQL's three truths, so that AND is the least of them, OR the greatest, and NOT the distance from kYes.
enum Truth : uint8_t { kNo = 0, kUnknown = 1, kYes = 2 };
using Truths = std::array<uint8_t, kChunkRuns>;  // of the runs of one chunk

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

size_t next_character(std::string_view text, size_t at) {
  for (++at; at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80;) ++at;
  return at;
}

bool is_null_test(Op op) { return op == Op::kIsNull || op == Op::kIsNotNull; }

// What of a run a filter or an order looks at.
struct Source {
  enum class Kind : uint8_t { kColumn, kStart, kId } kind = Kind::kColumn;
  ColumnKey column;
};

std::optional<Source> source_of(const Column& what, const std::function<int64_t(std::string_view)>& key) {
  const auto column = [](ColumnKind kind, int64_t key_id = 0) { return Source{Source::Kind::kColumn, {kind, key_id}}; };
  switch (what.field) {
    case Field::kMetric:
      return column(what.pick == Pick::kLast  ? ColumnKind::kMetric
                    : what.pick == Pick::kMin ? ColumnKind::kLeast
                                              : ColumnKind::kGreatest,
                    key(what.key));
    case Field::kParam: return column(ColumnKind::kParam, key(what.key));
    case Field::kTag:
      return what.key == kRunNameTag ? column(ColumnKind::kName) : column(ColumnKind::kTag, key(what.key));
    case Field::kAttribute:
      if (what.key == "start_time") return Source{Source::Kind::kStart, {}};
      if (what.key == "run_id") return Source{Source::Kind::kId, {}};
      if (what.key == "end_time") return column(ColumnKind::kEndTime);
      if (what.key == "run_name") return column(ColumnKind::kName);
      if (what.key == "status") return column(ColumnKind::kStatus);
      if (what.key == "user_id") return column(ColumnKind::kUser);
      if (what.key == "artifact_uri") return column(ColumnKind::kUri);
      return std::nullopt;
    default: return std::nullopt;
  }
}

std::optional<Source> source_of(const Comparison& term, const std::function<int64_t(std::string_view)>& key) {
  // Whether an attribute "is null" is asked of the tag mlflow.runName alone.
  if (term.field == Field::kAttribute && is_null_test(term.op))
    return Source{Source::Kind::kColumn, {ColumnKind::kName, 0}};
  return source_of(Column{term.field, term.key, term.pick}, key);
}

template <class T>
bool holds(const T& a, Op op, const T& b) {
  switch (op) {
    case Op::kEq: return a == b;
    case Op::kNe: return a != b;
    case Op::kLt: return a < b;
    case Op::kLe: return a <= b;
    case Op::kGt: return a > b;
    case Op::kGe: return a >= b;
    default: return false;
  }
}

// f(op) with the op as a constant, so that its loop is a tight one.
template <class F>
void with_op(Op op, F f) {
  switch (op) {
    case Op::kEq: return f(std::integral_constant<Op, Op::kEq>{});
    case Op::kNe: return f(std::integral_constant<Op, Op::kNe>{});
    case Op::kLt: return f(std::integral_constant<Op, Op::kLt>{});
    case Op::kLe: return f(std::integral_constant<Op, Op::kLe>{});
    case Op::kGt: return f(std::integral_constant<Op, Op::kGt>{});
    default: return f(std::integral_constant<Op, Op::kGe>{});
  }
}

// A comparison of texts.
class TextTest {
 public:
  explicit TextTest(const Comparison& term) : term_(term) {
    if (term.op == Op::kLike || term.op == Op::kIlike) like_.emplace(term.value.text, term.op == Op::kIlike);
  }
  bool operator()(std::string_view text) const {
    if (like_) return like_->matches(text);
    if (term_.op == Op::kIn || term_.op == Op::kNotIn)
      return (std::ranges::find(term_.list, text) != term_.list.end()) == (term_.op == Op::kIn);
    return holds<std::string_view>(text, term_.op, term_.value.text);
  }

 private:
  const Comparison& term_;
  std::optional<LikePattern> like_;
};

// A filter made ready for one snapshot.
class Matcher {
 public:
  Matcher(const Filter& filter, const RunSnapshot& runs, const std::function<int64_t(std::string_view)>& key)
      : runs_(runs), kind_(filter.kind) {
    for (const Filter& child : filter.children) children_.emplace_back(child, runs, key);
    if (kind_ != Filter::Kind::kTerm) return;
    term_ = &filter.term;
    source_ = *source_of(filter.term, key);
    if (source_.kind == Source::Kind::kColumn) column_ = runs.find(source_.column);
    text_.emplace(filter.term);
  }

  void match(size_t chunk, Truths& out) const {
    const size_t count = runs_.runs[chunk]->rows.size();
    switch (kind_) {
      case Filter::Kind::kTerm: return match_term(chunk, count, out);
      case Filter::Kind::kNot:
        children_[0].match(chunk, out);
        for (size_t i = 0; i < count; ++i) out[i] = static_cast<uint8_t>(kYes - out[i]);
        return;
      case Filter::Kind::kAll:
      case Filter::Kind::kAny: match_list(chunk, count, out);
    }
  }

 private:
  void match_list(size_t chunk, size_t count, Truths& out) const {
    if (children_.empty()) return out.fill(kYes);
    children_[0].match(chunk, out);
    Truths other;
    for (size_t child = 1; child < children_.size(); ++child) {
      if (kind_ == Filter::Kind::kAll &&
          std::all_of(out.begin(), out.begin() + count, [](uint8_t t) { return t == kNo; }))
        return;
      children_[child].match(chunk, other);
      for (size_t i = 0; i < count; ++i)
        out[i] = kind_ == Filter::Kind::kAll ? std::min(out[i], other[i]) : std::max(out[i], other[i]);
    }
  }

  static uint8_t truth(bool yes) { return yes ? kYes : kNo; }

  void match_term(size_t chunk, size_t count, Truths& out) const {
    const RunChunk& runs = *runs_.runs[chunk];
    if (source_.kind == Source::Kind::kStart) return match_integers(runs.starts_ms, nullptr, count, out);
    if (source_.kind == Source::Kind::kId) {
      for (size_t i = 0; i < count; ++i) out[i] = truth((*text_)(run_id_text(runs.ids[i])));
      return;
    }
    if (column_ == nullptr) {  // nobody used the key
      std::fill_n(out.begin(), count, truth(term_->op == Op::kIsNull));
      return;
    }
    const ColumnChunk& values = *(*column_)[chunk];
    if (is_null_test(term_->op)) {
      const bool wants = term_->op == Op::kIsNotNull;
      for (size_t i = 0; i < count; ++i) out[i] = truth((values.flags[i] != kNone) == wants);
    } else if (source_.column.is_number()) {
      match_numbers(values, count, out);
    } else if (source_.column.is_integer()) {
      match_integers(values.integers, &values.flags, count, out);
    } else {
      for (size_t i = 0; i < count; ++i) out[i] = truth(values.flags[i] == kHere && (*text_)(values.text(i)));
    }
  }

  // A metric that is not a number differs from every number.
  void match_numbers(const ColumnChunk& values, size_t count, Truths& out) const {
    const double bound = term_->value.type == Value::Type::kInt ? static_cast<double>(term_->value.i) : term_->value.d;
    with_op(term_->op, [&](auto op) {
      const uint8_t nan = truth(op() == Op::kNe);
      for (size_t i = 0; i < count; ++i) {
        const uint8_t here = truth(holds(values.numbers[i], op(), bound));
        out[i] = values.flags[i] == kHere ? here : values.flags[i] == kNotANumber ? nan : uint8_t{kNo};
      }
    });
  }

  // A time that is not there is neither before nor after.
  void match_integers(const std::vector<int64_t>& values, const std::vector<uint8_t>* flags, size_t count,
                      Truths& out) const {
    with_op(term_->op, [&](auto op) {
      if (term_->value.type == Value::Type::kInt) {
        for (size_t i = 0; i < count; ++i) out[i] = truth(holds(values[i], op(), term_->value.i));
      } else {  // a long double holds both exactly
        const long double bound = term_->value.d;
        for (size_t i = 0; i < count; ++i) out[i] = truth(holds(static_cast<long double>(values[i]), op(), bound));
      }
    });
    if (flags == nullptr) return;
    for (size_t i = 0; i < count; ++i) out[i] = (*flags)[i] == kHere ? out[i] : uint8_t{kUnknown};
  }

  const RunSnapshot& runs_;
  Filter::Kind kind_;
  std::vector<Matcher> children_;
  const Comparison* term_ = nullptr;
  Source source_;
  const ColumnChunks* column_ = nullptr;
  std::optional<TextTest> text_;
};

struct RunRef {  // a run of one of the snapshots
  uint32_t snapshot = 0;
  uint32_t at = 0;
  size_t chunk() const { return at / kChunkRuns; }
  size_t place() const { return at % kChunkRuns; }
};

// The order that a search asks for, ended by start time and id: no two runs are equal.
class RunOrder {
 public:
  RunOrder(std::span<const RunSnapshotPtr> snapshots, const ColumnQuery& query) : snapshots_(snapshots) {
    bool by_start = false;
    for (const Order& order : query.order) {
      const Source source = *source_of(order, query.key);
      by_start |= source.kind == Source::Kind::kStart;
      add(source, order.ascending, order.field != Field::kAttribute || order.key != "run_name");
    }
    if (!by_start) add({Source::Kind::kStart, {}}, false, false);
    keys_.push_back({{Source::Kind::kId, {}}, true, false, false, {}});
  }

  bool before(RunRef a, RunRef b) const {
    for (const Key& key : keys_) {
      if (const auto order = compare(key, a, b); order != 0) return (order < 0) == key.ascending;
    }
    return false;
  }

  // Whether a run comes after the one whose sort values a token holds.
  bool is_after(RunRef run, const std::vector<Value>& token) const {
    size_t at = 0;
    for (const Key& key : keys_) {
      if (key.flagged) {
        const int64_t flag = token_flag(key, run);
        if (flag != token[at].i) return flag > token[at].i;
        ++at;
      }
      const Value& value = token[at++];
      if (value.type == Value::Type::kNull) continue;
      if (const auto order = compare(key, run, value); order != 0) return (order > 0) == key.ascending;
    }
    return false;
  }

  std::vector<Value> values(RunRef run) const {
    std::vector<Value> out;
    for (const Key& key : keys_) {
      if (key.flagged) out.push_back(Value::of(token_flag(key, run)));
      out.push_back(value(key, run));
    }
    return out;
  }

  std::vector<SortKey> token_keys() const {
    std::vector<SortKey> out;
    for (const Key& key : keys_) {
      if (key.flagged) out.push_back({"", true, Value::Type::kInt});
      out.push_back({"", key.ascending, type(key)});
    }
    return out;
  }

 private:
  struct Key {
    Source source;
    bool ascending = true;
    bool flagged = false;                      // a token says first whether there is a value
    bool flags_count = true;                   // a name stands even where its tag was deleted
    std::vector<const ColumnChunks*> columns;  // by snapshot; null: nobody has a value
  };

  void add(const Source& source, bool ascending, bool flags_count) {
    Key key{source, ascending, source.kind != Source::Kind::kStart, flags_count, {}};
    if (source.kind == Source::Kind::kColumn) {
      for (const RunSnapshotPtr& each : snapshots_) key.columns.push_back(each->find(source.column));
    }
    keys_.push_back(std::move(key));
  }

  const RunChunk& runs(RunRef run) const { return *snapshots_[run.snapshot]->runs[run.chunk()]; }
  static const ColumnChunk* values_of(const Key& key, RunRef run) {
    const ColumnChunks* column = key.columns[run.snapshot];
    return column == nullptr ? nullptr : (*column)[run.chunk()].get();
  }
  static uint8_t flag(const Key& key, RunRef run) {
    if (key.source.kind != Source::Kind::kColumn || !key.flags_count) return kHere;
    const ColumnChunk* values = values_of(key, run);
    return values == nullptr ? kNone : values->flags[run.place()];
  }
  // As the SQL writes it: only a metric's latest value can be not a number.
  static int64_t token_flag(const Key& key, RunRef run) {
    const uint8_t here = flag(key, run);
    const bool metric = key.source.kind == Source::Kind::kColumn && key.source.column.kind == ColumnKind::kMetric;
    return metric || here == kHere ? here : 1;
  }
  static Value::Type type(const Key& key) {
    if (key.source.kind == Source::Kind::kStart) return Value::Type::kInt;
    if (key.source.kind == Source::Kind::kId) return Value::Type::kText;
    return key.source.column.is_number()    ? Value::Type::kDouble
           : key.source.column.is_integer() ? Value::Type::kInt
                                            : Value::Type::kText;
  }

  std::partial_ordering compare(const Key& key, RunRef a, RunRef b) const {
    switch (key.source.kind) {
      case Source::Kind::kStart: return runs(a).starts_ms[a.place()] <=> runs(b).starts_ms[b.place()];
      case Source::Kind::kId: return runs(a).ids[a.place()] <=> runs(b).ids[b.place()];
      case Source::Kind::kColumn: break;
    }
    const uint8_t one = flag(key, a), other = flag(key, b);
    // Runs without a value come last whichever way the values go.
    if (one != other) return key.ascending ? one <=> other : other <=> one;
    if (one == kNone) return std::partial_ordering::equivalent;
    const ColumnChunk &x = *values_of(key, a), &y = *values_of(key, b);
    if (key.source.column.is_number()) return x.numbers[a.place()] <=> y.numbers[b.place()];
    if (key.source.column.is_integer()) return x.integers[a.place()] <=> y.integers[b.place()];
    return x.text(a.place()) <=> y.text(b.place());
  }

  std::partial_ordering compare(const Key& key, RunRef run, const Value& value) const {
    switch (key.source.kind) {
      case Source::Kind::kStart: return runs(run).starts_ms[run.place()] <=> value.i;
      case Source::Kind::kId: return run_id_text(runs(run).ids[run.place()]) <=> value.text;
      case Source::Kind::kColumn: break;
    }
    if (flag(key, run) == kNone) return std::partial_ordering::equivalent;
    const ColumnChunk& values = *values_of(key, run);
    if (key.source.column.is_number()) return values.numbers[run.place()] <=> value.d;
    if (key.source.column.is_integer()) return values.integers[run.place()] <=> value.i;
    return values.text(run.place()) <=> std::string_view(value.text);
  }

  Value value(const Key& key, RunRef run) const {
    switch (key.source.kind) {
      case Source::Kind::kStart: return Value::of(runs(run).starts_ms[run.place()]);
      case Source::Kind::kId: return Value::of(run_id_text(runs(run).ids[run.place()]));
      case Source::Kind::kColumn: break;
    }
    if (flag(key, run) == kNone) return Value::null();
    const ColumnChunk& values = *values_of(key, run);
    if (key.source.column.is_number()) return Value::of(values.numbers[run.place()]);
    if (key.source.column.is_integer()) return Value::of(values.integers[run.place()]);
    return Value::of(std::string(values.text(run.place())));
  }

  std::span<const RunSnapshotPtr> snapshots_;
  std::vector<Key> keys_;
};

// The first so many of all runs that are offered.
class Best {
 public:
  Best(const RunOrder& order, size_t wanted) : order_(order), wanted_(wanted) {}

  void offer(RunRef run) {
    if (bar_ && !order_.before(run, *bar_)) return;
    runs_.push_back(run);
    if (runs_.size() >= 2 * wanted_ + kChunkRuns) cut();
  }
  std::vector<RunRef> take() {
    std::ranges::sort(runs_, [this](RunRef a, RunRef b) { return order_.before(a, b); });
    runs_.resize(std::min(runs_.size(), wanted_));
    return std::move(runs_);
  }

 private:
  void cut() {
    const auto last = runs_.begin() + static_cast<ptrdiff_t>(wanted_) - 1;
    std::ranges::nth_element(runs_, last, [this](RunRef a, RunRef b) { return order_.before(a, b); });
    bar_ = *last;
    runs_.resize(wanted_);
  }

  const RunOrder& order_;
  size_t wanted_;
  std::vector<RunRef> runs_;
  std::optional<RunRef> bar_;  // nothing at or after it counts
};

// visit(run) for all that match.
template <class Visit>
void each_match(std::span<const RunSnapshotPtr> snapshots, const ColumnQuery& query, Visit visit) {
  const auto truths = std::make_unique<Truths>();
  for (size_t number = 0; number < snapshots.size(); ++number) {
    const RunSnapshot& snapshot = *snapshots[number];
    const Matcher matcher(query.filter, snapshot, query.key);
    for (size_t chunk = 0; chunk < snapshot.runs.size(); ++chunk) {
      const RunChunk& runs = *snapshot.runs[chunk];
      if (query.until_row && runs.rows.front() > *query.until_row) break;
      if (query.above_row && runs.rows.back() <= *query.above_row) continue;
      matcher.match(chunk, *truths);
      for (size_t i = 0; i < runs.rows.size(); ++i) {
        if ((*truths)[i] != kYes || runs.states[i] == kGoneRun) continue;
        if (query.view != View::kAll && (runs.states[i] == kActiveRun) != (query.view == View::kActive)) continue;
        if (query.until_row && runs.rows[i] > *query.until_row) continue;
        if (query.above_row && runs.rows[i] <= *query.above_row) continue;
        visit(RunRef{static_cast<uint32_t>(number), static_cast<uint32_t>(chunk * kChunkRuns + i)});
      }
    }
  }
}

bool add_needed(const Filter& filter, const ColumnQuery& query, std::vector<ColumnKey>& out) {
  if (filter.kind != Filter::Kind::kTerm)
    return std::ranges::all_of(filter.children, [&](const Filter& child) { return add_needed(child, query, out); });
  const auto source = source_of(filter.term, query.key);
  if (!source || filter.term.op == Op::kRlike) return false;
  if (source->kind == Source::Kind::kColumn) out.push_back(source->column);
  return true;
}

}  // namespace

LikePattern::LikePattern(std::string_view pattern, bool ignore_case) : pattern_(pattern), ignore_case_(ignore_case) {
  if (ignore_case) std::ranges::transform(pattern_, pattern_.begin(), lower);
  if (pattern_.find('_') != pattern_.npos) return;
  const size_t from = pattern_.find_first_not_of('%');
  if (from == pattern_.npos) return;
  const size_t to = pattern_.find_last_not_of('%') + 1;
  if (pattern_.find('%', from) < to) return;  // within
  const bool open_start = from > 0, open_end = to < pattern_.size();
  shape_ = open_start ? (open_end ? Shape::kWithin : Shape::kSuffix) : open_end ? Shape::kPrefix : Shape::kWhole;
  pattern_ = pattern_.substr(from, to - from);
}

bool LikePattern::matches(std::string_view text) const {
  if (!ignore_case_) return matches_folded(text);
  std::string folded(text);
  std::ranges::transform(folded, folded.begin(), lower);
  return matches_folded(folded);
}

bool LikePattern::matches_folded(std::string_view text) const {
  switch (shape_) {
    case Shape::kWhole: return text == pattern_;
    case Shape::kPrefix: return text.starts_with(pattern_);
    case Shape::kSuffix: return text.ends_with(pattern_);
    case Shape::kWithin: return text.find(pattern_) != text.npos;
    case Shape::kAny: break;
  }
  return matches_any(text);
}

// A % first takes nothing; where the rest then fails, the last % takes one character more.
bool LikePattern::matches_any(std::string_view text) const {
  size_t at = 0, in_pattern = 0;
  size_t after_any = pattern_.npos, taken = 0;
  while (at < text.size()) {
    if (in_pattern < pattern_.size() && pattern_[in_pattern] == '%') {
      after_any = ++in_pattern;
      taken = at;
    } else if (in_pattern < pattern_.size() && pattern_[in_pattern] == '_') {
      ++in_pattern;
      at = next_character(text, at);
    } else if (in_pattern < pattern_.size() && pattern_[in_pattern] == text[at]) {
      ++in_pattern;
      ++at;
    } else if (after_any != pattern_.npos) {
      in_pattern = after_any;
      at = taken = next_character(text, taken);
    } else {
      return false;
    }
  }
  return pattern_.find_first_not_of('%', in_pattern) == pattern_.npos;
}

std::optional<std::vector<ColumnKey>> needed_columns(const ColumnQuery& query) {
  std::vector<ColumnKey> out;
  if (!add_needed(query.filter, query, out)) return std::nullopt;
  for (const Order& order : query.order) {
    const auto source = source_of(order, query.key);
    if (!source) return std::nullopt;
    if (source->kind == Source::Kind::kColumn) out.push_back(source->column);
  }
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

Result<ColumnPage> search_columns(std::span<const RunSnapshotPtr> experiments, const ColumnQuery& query) {
  const RunOrder order(experiments, query);
  TRY(check_token(query.after, order.token_keys()));
  Best best(order, static_cast<size_t>(query.offset + query.limit + 1));
  each_match(experiments, query, [&](RunRef run) {
    if (query.after.empty() || order.is_after(run, query.after)) best.offer(run);
  });
  const std::vector<RunRef> runs = best.take();
  ColumnPage page;
  const auto end = std::min(runs.size(), static_cast<size_t>(query.offset + query.limit));
  for (size_t i = static_cast<size_t>(query.offset); i < end; ++i)
    page.rows.push_back(experiments[runs[i].snapshot]->runs[runs[i].chunk()]->rows[runs[i].place()]);
  if (runs.size() > end && !page.rows.empty()) page.next = order.values(runs[end - 1]);
  return page;
}

int64_t count_columns(std::span<const RunSnapshotPtr> experiments, const ColumnQuery& query) {
  int64_t count = 0;
  each_match(experiments, query, [&](RunRef) { ++count; });
  return count;
}

}  // namespace track
