// Table: columns of numbers or text in memory, the shape in which rows move between data, evaluation and monitoring.
// Missing is NaN in a numeric column and an empty optional in a text column. Plain values; no I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace stats {

using Numbers = std::vector<double>;                    // NaN: missing
using Texts = std::vector<std::optional<std::string>>;  // nullopt: missing

struct Column {
  std::string name;
  std::variant<Numbers, Texts> values;
  bool numeric() const { return std::holds_alternative<Numbers>(values); }
  const Numbers& numbers() const { return std::get<Numbers>(values); }
  Numbers& numbers() { return std::get<Numbers>(values); }
  const Texts& texts() const { return std::get<Texts>(values); }
  Texts& texts() { return std::get<Texts>(values); }
  size_t size() const;
};

struct Table {
  std::vector<Column> columns;  // all of the same length
  size_t rows() const { return columns.empty() ? 0 : columns[0].size(); }
  const Column* find(std::string_view name) const;
};

// What a CSV text may hold; past a limit the error (kTooLarge) names it.
struct CsvOptions {
  size_t max_bytes = size_t{1} << 30;
  size_t max_columns = 16384;
  size_t max_record_bytes = size_t{16} << 20;
  std::vector<std::string> text_columns;  // kept as text even where every field looks like a number ("007")
};

// RFC 4180 CSV with a header line. A column whose non-empty fields all parse as finite numbers is numeric; an empty
// field is missing. CRLF and LF, a byte-order mark and blank lines are accepted. Errors name the line: a row of another
// length than the header, an unfinished quote, bytes that are not UTF-8, NUL, a name used twice.
base::Result<Table> parse_csv(std::string_view text, const CsvOptions& options = {});
std::string to_csv(const Table& table);  // shortest round-trip numbers, LF, header

// One CSV record at a time, for readers that do not want a Table. Fields are views into `text` or, where a field had
// escaped quotes, into the reader; valid until the next call. Thread: one at a time.
class CsvReader {
 public:
  explicit CsvReader(std::string_view text, const CsvOptions& options = {});
  // Skips blank lines; false at the end. Fails on malformed quoting, NUL, invalid UTF-8 or a limit; may then be called
  // again: it goes on after the line at which the bad record began (so that one bad row costs one row).
  base::Result<bool> next(std::vector<std::string_view>& fields);
  size_t line() const { return record_line_; }         // 1-based line on which the newest record began
  std::string_view record() const { return record_; }  // its bytes as they stand in the text, without the line end
  bool quoted(size_t field) const { return quoted_[field] != 0; }

 private:
  base::Result<void> read_quoted(std::vector<std::string_view>& fields);
  std::unexpected<base::Error> malformed(std::string_view what, size_t line);

  std::string_view text_;
  CsvOptions options_;
  size_t at_ = 0;
  size_t line_ = 1;
  size_t record_line_ = 0;
  std::string_view record_;
  std::vector<char> quoted_;
  std::deque<std::string> unescaped_;  // a deque: views into its strings survive growth
};

std::optional<double> parse_number(std::string_view text);  // the whole text is one finite decimal number
void append_number(std::string& out, double number);        // shortest round trip; NaN: nothing
std::string number_text(double number);
void append_csv_field(std::string& out, std::string_view text);  // quoted where it must be

}  // namespace stats
