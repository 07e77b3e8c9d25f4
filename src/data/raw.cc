#include "data/raw.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <glob.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "data/split.h"
#include "stats/table.h"

namespace data {
namespace {

bool is_parquet(std::string_view path) { return path.ends_with(".parquet") || path.ends_with(".pq"); }

// "line 3: what" → "what": a rejected row carries its line apart.
std::string_view without_line(std::string_view message) {
  if (!message.starts_with("line ")) return message;
  const size_t colon = message.find(": ");
  return colon == std::string_view::npos ? message : message.substr(colon + 2);
}

std::string canonical(std::string_view value) {
  std::string out;
  append_canonical(out, value);
  return out;
}

}  // namespace

// --- rules ----------------------------------------------------------------------------------------------------------

RuleChecker::RuleChecker(const PrepareSpec& spec, std::span<const std::string> columns, std::string_view label) {
  for (size_t c = 0; c < columns.size(); ++c) {
    const auto declared = spec.rules.find(columns[c]);
    if (declared == spec.rules.end() && columns[c] != label) continue;
    Rule rule{c, {}, {}};
    if (declared != spec.rules.end()) rule.rule = declared->second;
    if (columns[c] == label) rule.rule.not_null = true;  // a row without its label teaches nothing
    for (const std::string& value : rule.rule.one_of) rule.one_of.insert(canonical(value));
    rules_.push_back(std::move(rule));
  }
}

std::optional<RuleChecker::Breach> RuleChecker::check(std::span<const std::string_view> fields) const {
  for (const auto& [column, rule, one_of] : rules_) {
    const std::string_view value = fields[column];
    auto breach = [&](std::string reason) { return Breach{column, std::move(reason)}; };
    if (value.empty()) {
      if (rule.not_null) return breach("missing");
      continue;
    }
    if ((rule.type && *rule.type != ColumnType::kText) || rule.min || rule.max) {
      const auto number = stats::parse_number(value);
      if (!number) return breach(fmt::format("'{}' is not a number", value));
      if (rule.type == ColumnType::kInteger && *number != std::floor(*number)) {
        return breach(fmt::format("{} is not an integer", value));
      }
      if (rule.min && *number < *rule.min) return breach(fmt::format("{} is below {}", value, *rule.min));
      if (rule.max && *number > *rule.max) return breach(fmt::format("{} is above {}", value, *rule.max));
    }
    if (!one_of.empty() && !one_of.contains(canonical(value))) {
      return breach(fmt::format("'{}' is none of {}", value, fmt::join(rule.one_of, ", ")));
    }
  }
  return std::nullopt;
}

// --- scan -----------------------------------------------------------------------------------------------------------

base::Result<RawRows> RawRows::scan(DuckDb& db, const std::vector<std::string>& paths, const PrepareSpec& spec,
                                    const std::string& label) {
  RawRows rows(db, spec, label);
  for (const std::string& path : paths) {
    RawFile file;
    file.path = path;
    if (auto read = rows.read_columns(file, rows.files_.empty()); !read) {
      return std::unexpected(std::move(read).error().within(path));
    }
    rows.files_.push_back(std::move(file));
  }
  TRY(rows.settle_columns());
  TRY(rows.infer_types());
  return rows;
}

base::Result<void> RawRows::read_columns(RawFile& file, bool first) {
  std::vector<std::string> names;
  {
    TRY_SET(const MappedFile mapped, MappedFile::open(file.path));
    file.sha256 = base::sha256(mapped.bytes());
    file.size = static_cast<int64_t>(mapped.bytes().size());
    if (!is_parquet(file.path)) {
      // A table of no rows: the header is checked as everywhere else.
      const std::string_view bytes = mapped.bytes();
      stats::CsvReader header(bytes);
      std::vector<std::string_view> fields;
      TRY(header.next(fields));
      const size_t header_end = fields.empty() ? 0 : static_cast<size_t>(header.record().end() - bytes.begin());
      TRY_SET(const stats::Table table, stats::parse_csv(bytes.substr(0, header_end)));
      for (const auto& column : table.columns) names.push_back(column.name);
    }
  }
  if (is_parquet(file.path)) {
    TRY_SET(const auto columns, db_->describe("SELECT * FROM read_parquet(" + sql_text(file.path) + ")"));
    for (const auto& [name, type] : columns) {
      if (type.find('[') != type.npos || type.find('(') != type.npos
              ? !type.starts_with("DECIMAL") && !type.starts_with("ENUM")
              : type == "BLOB") {
        return base::invalid(fmt::format(
            "column '{}' is of type {}; numbers, text, booleans, dates and times are possible", name, type));
      }
      if (type == "VARCHAR" || type.starts_with("ENUM")) text_.insert(name);
      names.push_back(name);
    }
  }
  if (first) {
    columns_ = std::move(names);
    return {};
  }
  for (const std::string& name : names) {
    if (std::ranges::find(columns_, name) == columns_.end()) {
      return base::invalid(
          fmt::format("column '{}' is not in {}; all files of a data set have the same columns", name, files_[0].path));
    }
  }
  for (const std::string& name : columns_) {
    if (std::ranges::find(names, name) == names.end()) {
      return base::invalid(fmt::format("column '{}' of {} is missing; all files of a data set have the same columns",
                                       name, files_[0].path));
    }
  }
  return {};
}

base::Result<void> RawRows::settle_columns() {
  auto known = [&](std::string_view what, const std::string& column) -> base::Result<void> {
    if (std::ranges::find(columns_, column) != columns_.end()) return {};
    return base::invalid(
        fmt::format("{}: no file has a column '{}'; the columns are {}", what, column, fmt::join(columns_, ", ")));
  };
  const std::string& group = spec_->group;
  if (!label_.empty()) TRY(known("label", label_));
  if (!group.empty()) TRY(known("split.group", group));
  if (!spec_->stratify.empty()) TRY(known("split.stratify", spec_->stratify));
  for (const auto& [column, rule] : spec_->rules) TRY(known("columns or rejects", column));
  for (const std::string& column : spec_->exclude) TRY(known("exclude", column));
  if (!label_.empty() && group == label_) return base::invalid("split.group: the label cannot be the group");
  auto excluded = [&](const std::string& column) {
    return std::ranges::find(spec_->exclude, column) != spec_->exclude.end();
  };
  if (excluded(label_)) return base::invalid(fmt::format("exclude: '{}' is the label", label_));
  for (const std::string& column : columns_) {
    if (column != label_ && column != group && !excluded(column)) features_.push_back(column);
  }
  if (features_.empty()) return base::invalid("no features: every column is the label, the group or excluded");

  std::vector<std::string> names = features_;
  if (!group.empty()) names.push_back(group);
  if (!label_.empty()) names.push_back(label_);
  for (const std::string& column : spec_->duplicate_keys) {
    if (std::ranges::find(names, column) == names.end()) {
      return base::invalid(
          fmt::format("drop_duplicates: '{}' is not kept; the kept columns are {}", column, fmt::join(names, ", ")));
    }
  }
  if (!spec_->stratify.empty() && std::ranges::find(names, spec_->stratify) == names.end()) {
    return base::invalid(fmt::format("split.stratify: '{}' is excluded", spec_->stratify));
  }
  for (const std::string& column : names) {
    kept_.push_back({column, false});
    kept_from_.push_back(static_cast<size_t>(std::ranges::find(columns_, column) - columns_.begin()));
  }
  return {};
}

// A kept column is numeric if every value of every sound row is. The group is a name, whatever it looks like.
base::Result<void> RawRows::infer_types() {
  std::vector<char> open(kept_.size(), 1);
  for (size_t k = 0; k < kept_.size(); ++k) {
    const auto rule = spec_->rules.find(kept_[k].name);
    const bool declared = rule != spec_->rules.end() && rule->second.type;
    kept_[k].numeric = declared ? *rule->second.type != ColumnType::kText : !text_.contains(kept_[k].name);
    if (kept_[k].name == spec_->group) kept_[k].numeric = false;
    open[k] = kept_[k].numeric;  // a declared number is one: what is not was rejected
  }
  return visit_all(
      [&](RawFile&, std::span<const std::string_view> fields) -> base::Result<void> {
        for (size_t k = 0; k < kept_.size(); ++k) {
          const std::string_view value = fields[kept_from_[k]];
          if (open[k] && !value.empty() && !stats::parse_number(value)) open[k] = kept_[k].numeric = false;
        }
        return {};
      },
      [](const RejectedRow&) -> base::Result<void> { return {}; });
}

// --- rows -----------------------------------------------------------------------------------------------------------

base::Result<void> RawRows::visit(const OnRow& on_row, const OnReject& on_reject) {
  for (RawFile& file : files_) file.rows = file.rejected = 0;
  std::vector<std::string_view> kept(kept_.size());
  return visit_all(
      [&](RawFile& file, std::span<const std::string_view> fields) {
        ++file.rows;
        for (size_t k = 0; k < kept.size(); ++k) kept[k] = fields[kept_from_[k]];
        return on_row(kept);
      },
      [&](const RejectedRow& row) {
        const auto file = std::ranges::find(files_, row.file, &RawFile::path);
        ++file->rejected;
        return on_reject(row);
      });
}

base::Result<void> RawRows::visit_all(
    const std::function<base::Result<void>(RawFile&, std::span<const std::string_view>)>& on_row,
    const OnReject& on_reject) {
  const RuleChecker rules(*spec_, columns_, label_);
  const std::set<std::string_view> missing(spec_->missing_values.begin(), spec_->missing_values.end());
  std::vector<std::string_view> fields;
  for (RawFile& file : files_) {
    auto each = [&](const FileRow& row) -> base::Result<void> {
      RejectedRow rejected{.file = file.path, .line = row.line, .column = {}, .reason = {}, .record = row.record};
      if (!row.bad.empty()) {
        rejected.reason = row.bad;
        return on_reject(rejected);
      }
      fields.assign(row.fields.begin(), row.fields.end());
      if (!missing.empty()) {
        for (auto& field : fields) field = missing.contains(field) ? std::string_view() : field;
      }
      if (const auto breach = rules.check(fields)) {
        rejected.column = columns_[breach->column];
        rejected.reason = breach->reason;
        return on_reject(rejected);
      }
      return on_row(file, fields);
    };
    if (auto read = read_file(file, each); !read) return std::unexpected(std::move(read).error().within(file.path));
  }
  return {};
}

base::Result<void> RawRows::read_file(const RawFile& file, const OnFileRow& on_row) {
  return is_parquet(file.path) ? read_parquet(file, on_row) : read_csv(file, on_row);
}

base::Result<void> RawRows::read_csv(const RawFile& file, const OnFileRow& on_row) {
  TRY_SET(const MappedFile mapped, MappedFile::open(file.path));
  stats::CsvReader reader(mapped.bytes());
  std::vector<std::string_view> header;
  TRY(reader.next(header));
  std::vector<size_t> from(columns_.size());  // column → field of this file
  for (size_t c = 0; c < columns_.size(); ++c) {
    from[c] = static_cast<size_t>(std::ranges::find(header, columns_[c]) - header.begin());
  }
  std::vector<std::string_view> fields, ordered(columns_.size());
  while (true) {
    FileRow row;
    std::string bad;
    const auto next = reader.next(fields);
    if (next && !*next) return {};
    row.line = static_cast<int64_t>(reader.line());
    row.record = reader.record();
    if (!next) {
      bad = without_line(next.error().message);
    } else if (fields.size() != columns_.size()) {
      bad = fmt::format("{} fields where the header has {}", fields.size(), columns_.size());
    } else {
      for (size_t c = 0; c < columns_.size(); ++c) ordered[c] = fields[from[c]];
      row.fields = ordered;
    }
    row.bad = bad;
    TRY(on_row(row));
  }
}

base::Result<void> RawRows::read_parquet(const RawFile& file, const OnFileRow& on_row) {
  const std::string table = "read_parquet(" + sql_text(file.path) + ", file_row_number = true)";
  TRY_SET(const auto types, db_->describe("SELECT * FROM " + table));
  std::string select = "SELECT file_row_number";
  std::vector<char> floating(columns_.size(), 0);
  for (size_t c = 0; c < columns_.size(); ++c) {
    const auto type = std::ranges::find(types, columns_[c], &DuckDb::ColumnType::name);
    floating[c] = type->type == "DOUBLE" || type->type == "FLOAT";
    const std::string column = sql_name(columns_[c]);
    if (floating[c])
      select += ", CAST(" + column + " AS DOUBLE)";
    else if (type->type == "BOOLEAN")
      select += ", CASE WHEN " + column + " THEN '1' WHEN NOT " + column + " THEN '0' END";
    else
      select += ", CAST(" + column + " AS VARCHAR)";
  }
  std::vector<std::string_view> fields(columns_.size());
  std::vector<std::string> numbers(columns_.size());
  std::string record;
  return db_->query(select + " FROM " + table + " ORDER BY file_row_number",
                    [&](const DuckDb::Chunk& chunk) -> base::Result<void> {
                      for (size_t r = 0; r < chunk.rows(); ++r) {
                        std::string bad;
                        record.clear();
                        for (size_t c = 0; c < columns_.size(); ++c) {
                          if (chunk.null(c + 1, r)) {
                            fields[c] = {};
                          } else if (floating[c]) {
                            const double number = chunk.f64(c + 1, r);
                            if (std::isinf(number)) bad = fmt::format("column '{}' is infinite", columns_[c]);
                            numbers[c] = stats::number_text(number);  // NaN: missing
                            fields[c] = numbers[c];
                          } else {
                            fields[c] = chunk.text(c + 1, r);
                            if (fields[c].find('\0') != fields[c].npos)
                              bad = fmt::format("column '{}' holds a NUL byte", columns_[c]);
                          }
                          if (c != 0) record += ',';
                          stats::append_csv_field(record, fields[c]);
                        }
                        FileRow row{.line = chunk.i64(0, r) + 1, .fields = fields, .bad = bad, .record = record};
                        TRY(on_row(row));
                      }
                      return {};
                    });
}

// --- files ----------------------------------------------------------------------------------------------------------

base::Result<MappedFile> MappedFile::open(const std::string& path) {
  TRY_SET(const base::Fd fd, base::open_file(path, O_RDONLY));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return base::errno_error(path, errno);
  if (!S_ISREG(info.st_mode)) return base::invalid(path + " is not a file");
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) return MappedFile(nullptr, 0);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (data == MAP_FAILED) return base::errno_error("mapping " + path, errno);
  ::madvise(data, size, MADV_SEQUENTIAL);
  return MappedFile(data, size);
}
MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

base::Result<std::vector<std::string>> find_files(const std::vector<std::string>& patterns) {
  std::set<std::string> found;
  for (const std::string& pattern : patterns) {
    glob_t matches{};
    const int rc = ::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &matches);
    for (size_t i = 0; rc == 0 && i < matches.gl_pathc; ++i) {
      std::error_code ignored;
      if (std::filesystem::is_regular_file(matches.gl_pathv[i], ignored)) found.insert(matches.gl_pathv[i]);
    }
    const bool none = rc != 0 || matches.gl_pathc == 0;
    ::globfree(&matches);
    if (none)
      return base::not_found(
          fmt::format("no file matches '{}' under {}", pattern, std::filesystem::current_path().string()));
  }
  if (found.empty()) return base::not_found("no files: the patterns match only folders");
  return std::vector<std::string>(found.begin(), found.end());
}

}  // namespace data
