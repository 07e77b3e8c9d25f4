#include "stats/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <unordered_set>
#include <utility>

#include "base/utf8.h"

namespace stats {

size_t Column::size() const {
  return std::visit([](const auto& values) { return values.size(); }, values);
}

const Column* Table::find(std::string_view name) const {
  for (const Column& column : columns) {
    if (column.name == name) return &column;
  }
  return nullptr;
}

// --- numbers --------------------------------------------------------------------------------------------------------

std::optional<double> parse_number(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-' && text[1] != '+') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || text.empty()) return std::nullopt;
  if (error == std::errc::result_out_of_range) {
    // Too small is zero or subnormal, too large is no finite number; from_chars does not say which.
    value = std::strtod(std::string(text).c_str(), nullptr);
  } else if (error != std::errc()) {
    return std::nullopt;
  }
  if (!std::isfinite(value)) return std::nullopt;  // "inf" and "nan" are text
  return value;
}

void append_number(std::string& out, double number) {
  if (std::isnan(number)) return;
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, number);
  out.append(buffer, end);
}

std::string number_text(double number) {
  std::string out;
  append_number(out, number);
  return out;
}

// --- reading --------------------------------------------------------------------------------------------------------

CsvReader::CsvReader(std::string_view text, const CsvOptions& options) : text_(text), options_(options) {
  if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
}

std::unexpected<base::Error> CsvReader::malformed(std::string_view what, size_t line) {
  // Go on after the line where the record began: what follows may be sound.
  const size_t end = text_.find('\n', record_.data() - text_.data());
  at_ = end == std::string_view::npos ? text_.size() : end + 1;
  line_ = record_line_ + 1;
  record_ = text_.substr(record_.data() - text_.data(), std::min(end, text_.size()) - (record_.data() - text_.data()));
  if (record_.ends_with('\r')) record_.remove_suffix(1);
  return base::invalid(fmt::format("line {}: {}", line, what));
}

base::Result<bool> CsvReader::next(std::vector<std::string_view>& fields) {
  fields.clear();
  quoted_.clear();
  unescaped_.clear();
  std::string_view line;
  size_t end;
  do {
    if (at_ >= text_.size()) return false;
    record_line_ = line_;
    end = text_.find('\n', at_);
    line = text_.substr(at_, end == std::string_view::npos ? std::string_view::npos : end - at_);
    if (line.ends_with('\r')) line.remove_suffix(1);
    record_ = line;
    if (line.empty()) {
      at_ = end == std::string_view::npos ? text_.size() : end + 1;
      ++line_;
    }
  } while (line.empty());

  if (line.find('"') != std::string_view::npos) {
    TRY(read_quoted(fields));
  } else {
    size_t begin = 0;
    while (true) {
      const size_t comma = line.find(',', begin);
      fields.push_back(line.substr(begin, comma == std::string_view::npos ? comma : comma - begin));
      if (comma == std::string_view::npos) break;
      begin = comma + 1;
    }
    quoted_.assign(fields.size(), 0);
    at_ = end == std::string_view::npos ? text_.size() : end + 1;
    ++line_;
  }
  if (record_.size() > options_.max_record_bytes) {
    return base::fail(base::Code::kTooLarge, fmt::format("line {}: a row of {} bytes; at most {} are allowed",
                                                         record_line_, record_.size(), options_.max_record_bytes));
  }
  if (fields.size() > options_.max_columns) {
    return base::fail(base::Code::kTooLarge, fmt::format("line {}: {} columns; at most {} are allowed", record_line_,
                                                         fields.size(), options_.max_columns));
  }
  if (const size_t valid = base::utf8_valid_prefix(record_); valid != record_.size()) {
    const auto lines_before = std::count(record_.begin(), record_.begin() + static_cast<ptrdiff_t>(valid), '\n');
    return base::invalid(fmt::format("line {}: byte 0x{:02X} is not UTF-8; save the file as UTF-8",
                                     record_line_ + static_cast<size_t>(lines_before),
                                     static_cast<unsigned char>(record_[valid])));
  }
  if (record_.find('\0') != std::string_view::npos) {
    return base::invalid(fmt::format("line {}: a NUL byte; text must not hold one", record_line_));
  }
  return true;
}

// A record with quotes, which may span lines. A quote inside a field that does not begin with one stands for itself.
base::Result<void> CsvReader::read_quoted(std::vector<std::string_view>& fields) {
  const size_t begin = at_;
  size_t at = at_;
  size_t line = line_;
  auto finish = [&](size_t end_of_record) {
    record_ = text_.substr(begin, end_of_record - begin);
    at_ = at;
    line_ = line;
  };
  while (true) {
    if (at < text_.size() && text_[at] == '"') {
      const size_t open_line = line;
      size_t from = ++at;
      std::string* joined = nullptr;
      while (true) {
        const size_t quote = text_.find('"', at);
        if (quote == std::string_view::npos || quote - begin > options_.max_record_bytes) {
          return malformed("a quote that is never closed", open_line);
        }
        line += static_cast<size_t>(std::count(text_.begin() + static_cast<ptrdiff_t>(at),
                                               text_.begin() + static_cast<ptrdiff_t>(quote), '\n'));
        at = quote + 1;
        if (at < text_.size() && text_[at] == '"') {  // an escaped quote
          if (joined == nullptr) joined = &unescaped_.emplace_back();
          joined->append(text_.substr(from, at - from));
          from = ++at;
          continue;
        }
        if (joined != nullptr) joined->append(text_.substr(from, quote - from));
        fields.push_back(joined != nullptr ? std::string_view(*joined) : text_.substr(from, quote - from));
        quoted_.push_back(1);
        break;
      }
    } else {
      const size_t end = std::min(text_.find_first_of(",\n", at), text_.size());
      std::string_view field = text_.substr(at, end - at);
      if ((end == text_.size() || text_[end] == '\n') && field.ends_with('\r')) field.remove_suffix(1);
      fields.push_back(field);
      quoted_.push_back(0);
      at = end;
    }
    const size_t end_of_field = at;
    if (at < text_.size() && text_[at] == '\r' && (at + 1 == text_.size() || text_[at + 1] == '\n')) ++at;
    if (at == text_.size() || text_[at] == '\n') {
      if (at < text_.size()) ++at;
      ++line;
      const bool carriage = end_of_field > begin && !quoted_.back() && text_[end_of_field - 1] == '\r';
      finish(carriage ? end_of_field - 1 : end_of_field);
      return {};
    }
    if (text_[at] != ',') return malformed("text after a closing quote; a quote inside quotes is written twice", line);
    ++at;
  }
}

namespace {

base::Result<std::vector<std::string>> read_header(CsvReader& reader, std::vector<std::string_view>& fields) {
  TRY_SET(const bool some, reader.next(fields));
  if (!some) return base::invalid("the text is empty; a header line with the columns' names is needed");
  std::vector<std::string> names(fields.begin(), fields.end());
  std::unordered_set<std::string_view> seen;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) {
      return base::invalid(fmt::format("line {}: column {} has no name", reader.line(), i + 1));
    }
    if (!seen.insert(names[i]).second) {
      return base::invalid(fmt::format("line {}: the column name '{}' is used twice", reader.line(), names[i]));
    }
  }
  return names;
}

}  // namespace

// Reads every column as numbers and stops at a column's first text; a second pass then fetches the text columns. So a
// numeric table (the common one) is tokenised once and never held as text.
base::Result<Table> parse_csv(std::string_view text, const CsvOptions& options) {
  if (text.size() > options.max_bytes) {
    return base::fail(base::Code::kTooLarge,
                      fmt::format("{} bytes of CSV; at most {} are allowed", text.size(), options.max_bytes));
  }
  std::vector<std::string_view> fields;
  CsvReader reader(text, options);
  TRY_SET(const auto names, read_header(reader, fields));
  const CsvReader body = reader;  // where the second pass begins

  std::vector<Numbers> numbers(names.size());
  std::vector<char> is_text(names.size(), 0);
  for (size_t c = 0; c < names.size(); ++c) is_text[c] = std::ranges::count(options.text_columns, names[c]) > 0;
  size_t rows = 0;
  while (true) {
    TRY_SET(const bool some, reader.next(fields));
    if (!some) break;
    if (fields.size() != names.size()) {
      return base::invalid(fmt::format("line {}: {} fields, but the header names {} columns", reader.line(),
                                       fields.size(), names.size()));
    }
    ++rows;
    for (size_t c = 0; c < names.size(); ++c) {
      if (is_text[c]) continue;
      if (fields[c].empty()) {
        numbers[c].push_back(std::numeric_limits<double>::quiet_NaN());
      } else if (const auto number = parse_number(fields[c])) {
        numbers[c].push_back(*number);
      } else {
        is_text[c] = 1;
        numbers[c] = {};
      }
    }
  }

  Table table;
  table.columns.resize(names.size());
  for (size_t c = 0; c < names.size(); ++c) {
    table.columns[c].name = names[c];
    if (is_text[c]) {
      table.columns[c].values = Texts();
      table.columns[c].texts().reserve(rows);
    } else {
      table.columns[c].values = std::move(numbers[c]);
    }
  }
  if (std::ranges::count(is_text, 1) == 0) return table;
  for (CsvReader second = body; second.next(fields).value_or(false);) {
    for (size_t c = 0; c < names.size(); ++c) {
      if (!is_text[c]) continue;
      Texts& texts = table.columns[c].texts();
      if (fields[c].empty())
        texts.emplace_back();
      else
        texts.emplace_back(std::string(fields[c]));
    }
  }
  return table;
}

// --- writing --------------------------------------------------------------------------------------------------------

void append_csv_field(std::string& out, std::string_view text) {
  // What begins with a byte-order mark would lose it as the first field of a file.
  if (text.find_first_of(",\"\r\n") == std::string_view::npos && !text.starts_with("\xEF\xBB\xBF")) {
    out += text;
    return;
  }
  out += '"';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

std::string to_csv(const Table& table) {
  std::string out;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    if (c != 0) out += ',';
    append_csv_field(out, table.columns[c].name);
  }
  out += '\n';
  const size_t rows = table.rows();
  for (size_t r = 0; r < rows; ++r) {
    const size_t begin = out.size();
    for (size_t c = 0; c < table.columns.size(); ++c) {
      if (c != 0) out += ',';
      const Column& column = table.columns[c];
      if (column.numeric())
        append_number(out, column.numbers()[r]);
      else if (column.texts()[r])
        append_csv_field(out, *column.texts()[r]);
    }
    if (out.size() == begin) out += "\"\"";  // one column, missing: a blank line would not be a row
    out += '\n';
  }
  return out;
}

}  // namespace stats
