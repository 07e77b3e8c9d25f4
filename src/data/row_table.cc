#include "data/row_table.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/json_writer.h"
#include "stats/table.h"

namespace data {
namespace {

constexpr size_t kExportRows = 4096;     // rows transformed at once
constexpr size_t kProfiledLabels = 200;  // more labels than this are a quantity, not classes

}  // namespace

base::Result<FileWriter> FileWriter::create(const base::Path& path) {
  TRY(base::make_dirs(path.parent_path()));
  TRY_SET(base::Fd fd, base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC));
  return FileWriter(std::move(fd));
}
base::Result<void> FileWriter::flush() {
  TRY(base::write_all(fd_.get(), buffer_));
  buffer_.clear();
  return {};
}

// --- filling --------------------------------------------------------------------------------------------------------

base::Result<RowTable> RowTable::create(DuckDb& db, Layout layout) {
  std::string sql = "CREATE TABLE rows (h UBIGINT, k UBIGINT, p BIGINT";
  for (size_t c = 0; c < layout.columns.size(); ++c) {
    sql += fmt::format(", c{} {}", c, layout.columns[c].numeric ? "DOUBLE" : "VARCHAR");
  }
  TRY(db.run(sql + ")"));
  RowTable table(db, std::move(layout));
  TRY_SET(auto appender, db.append("rows"));
  table.appender_.emplace(std::move(appender));
  return table;
}

base::Result<void> RowTable::add(std::span<const std::string_view> fields, uint64_t group_hash, uint64_t row_key,
                                 Part part) {
  appender_->u64(group_hash);
  appender_->u64(row_key);
  appender_->i64(static_cast<int64_t>(part));
  for (size_t c = 0; c < fields.size(); ++c) {
    const KeptColumn& column = layout_.columns[c];
    if (fields[c].empty()) {
      appender_->null();
    } else if (!column.numeric) {
      appender_->text(fields[c]);
    } else if (const auto number = stats::parse_number(fields[c])) {
      appender_->f64(*number + 0.0);  // -0 and 0 are one value
    } else {
      return base::invalid(fmt::format("column '{}': '{}' is not a number", column.name, fields[c]));
    }
  }
  return appender_->end_row();
}

base::Result<void> RowTable::end_of_rows() {
  TRY(appender_->finish());
  appender_.reset();
  return {};
}

size_t RowTable::index_of(std::string_view column) const {
  return static_cast<size_t>(std::ranges::find(layout_.columns, column, &KeptColumn::name) - layout_.columns.begin());
}

// --- duplicates and strata ------------------------------------------------------------------------------------------

base::Result<int64_t> RowTable::drop_duplicates(const std::vector<std::string>& keys) {
  TRY_SET(const int64_t before, db_->count("SELECT count(*) FROM rows"));
  if (keys.empty()) {
    // h, k and p follow from the values, so whole rows can be compared.
    TRY(db_->run("CREATE TABLE kept AS SELECT DISTINCT * FROM rows"));
  } else {
    std::string by, order;
    for (const std::string& key : keys) by += (by.empty() ? "c" : ", c") + std::to_string(index_of(key));
    for (size_t c = 0; c < layout_.columns.size(); ++c) order += (c == 0 ? "c" : ", c") + std::to_string(c);
    // Of rows with one key the least stays, so that the order of the files does not matter.
    TRY(
        db_->run(fmt::format("CREATE TABLE kept AS SELECT * EXCLUDE (place) FROM (SELECT *, row_number() OVER "
                             "(PARTITION BY {} ORDER BY {}) AS place FROM rows) WHERE place = 1",
                             by, order)));
  }
  TRY(db_->run("DROP TABLE rows"));
  TRY(db_->run("ALTER TABLE kept RENAME TO rows"));
  TRY_SET(const int64_t after, db_->count("SELECT count(*) FROM rows"));
  return before - after;
}

base::Result<void> RowTable::stratify(const PrepareSpec& spec) {
  const size_t by = index_of(spec.stratify);
  const bool numeric = layout_.columns[by].numeric;
  std::vector<StratifiedGroup> groups;
  std::vector<std::string> strata;
  std::map<std::string, uint32_t, std::less<>> known;
  // A group with several values of the column belongs to its most frequent one (of equals, the least).
  TRY(db_->query(fmt::format("SELECT h, c{0}, count(*) AS n FROM rows GROUP BY h, c{0} ORDER BY h, n DESC, c{0}", by),
                 [&](const DuckDb::Chunk& chunk) -> base::Result<void> {
                   for (size_t r = 0; r < chunk.rows(); ++r) {
                     const uint64_t hash = chunk.u64(0, r);
                     if (!groups.empty() && groups.back().hash == hash) {
                       groups.back().rows += chunk.i64(2, r);
                       continue;
                     }
                     std::string value;
                     if (!chunk.null(1, r))
                       append_canonical(value, numeric ? stats::number_text(chunk.f64(1, r)) : chunk.text(1, r));
                     const auto [at, added] = known.emplace(std::move(value), static_cast<uint32_t>(strata.size()));
                     if (added) strata.push_back(at->first);
                     groups.push_back({hash, at->second, chunk.i64(2, r), Part::kTrain});
                   }
                   return {};
                 }));
  assign_stratified(groups, strata, spec.seed, spec.split);
  TRY(db_->run("CREATE TABLE sides (h UBIGINT, p BIGINT)"));
  TRY_SET(auto sides, db_->append("sides"));
  for (const StratifiedGroup& group : groups) {
    sides.u64(group.hash);
    sides.i64(static_cast<int64_t>(group.part));
    TRY(sides.end_row());
  }
  TRY(sides.finish());
  TRY(db_->run("UPDATE rows SET p = sides.p FROM sides WHERE rows.h = sides.h"));
  return db_->run("DROP TABLE sides");
}

// --- files ----------------------------------------------------------------------------------------------------------

base::Result<int64_t> RowTable::write_part(Part part, const base::Path& file) {
  TRY_SET(FileWriter writer, FileWriter::create(file));
  std::string select = "SELECT h, k";
  for (size_t c = 0; c < layout_.columns.size(); ++c) {
    if (c != 0) writer.buffer() += ',';
    stats::append_csv_field(writer.buffer(), layout_.columns[c].name);
    select += fmt::format(", c{}", c);
  }
  writer.buffer() += '\n';
  int64_t rows = 0;
  std::pair<uint64_t, uint64_t> place{};
  std::vector<std::string> equals;  // lines of the newest (h, k): equal features, so rarely more than one
  auto flush_equals = [&] {
    std::ranges::sort(equals);
    for (const std::string& line : equals) writer.buffer() += line;
    equals.clear();
  };
  TRY(db_->query(fmt::format("{} FROM rows WHERE p = {} ORDER BY h, k", select, static_cast<int>(part)),
                 [&](const DuckDb::Chunk& chunk) -> base::Result<void> {
                   for (size_t r = 0; r < chunk.rows(); ++r, ++rows) {
                     if (std::pair(chunk.u64(0, r), chunk.u64(1, r)) != place) flush_equals();
                     place = {chunk.u64(0, r), chunk.u64(1, r)};
                     std::string& line = equals.emplace_back();
                     for (size_t c = 0; c < layout_.columns.size(); ++c) {
                       if (c != 0) line += ',';
                       if (chunk.null(c + 2, r)) continue;
                       if (layout_.columns[c].numeric)
                         stats::append_number(line, chunk.f64(c + 2, r));
                       else
                         stats::append_csv_field(line, chunk.text(c + 2, r));
                     }
                     if (line.empty()) line = "\"\"";
                     line += '\n';
                   }
                   return writer.flush_if_full();
                 }));
  flush_equals();
  TRY(writer.flush());
  return rows;
}

namespace {

// Calls `visit` for pieces of a part: tables of at most `piece` rows. Types are the layout's, not guessed again.
base::Result<void> for_each_piece(const base::Path& part_csv, const Layout& layout, size_t piece,
                                  const std::function<bool(const KeptColumn&)>& wanted,
                                  const std::function<base::Result<void>(const stats::Table&)>& visit) {
  TRY_SET(const MappedFile file, MappedFile::open(part_csv.string()));
  stats::CsvReader reader(file.bytes());
  std::vector<std::string_view> fields;
  TRY(reader.next(fields));
  stats::Table table;
  std::vector<size_t> from;  // table column → field
  for (const KeptColumn& column : layout.columns) {
    const auto at = std::ranges::find(fields, column.name);
    if (at == fields.end())
      return base::invalid(fmt::format("{}: column '{}' is missing", part_csv.string(), column.name));
    stats::Column& added = table.columns.emplace_back();
    added.name = column.name;
    if (!column.numeric) added.values = stats::Texts();
    from.push_back(static_cast<size_t>(at - fields.begin()));
  }
  const size_t width = fields.size();
  size_t rows = 0;
  auto hand_over = [&]() -> base::Result<void> {
    TRY(visit(table));
    for (stats::Column& column : table.columns) std::visit([](auto& values) { values.clear(); }, column.values);
    rows = 0;
    return {};
  };
  while (true) {
    TRY_SET(const bool some, reader.next(fields));
    if (!some) break;
    if (fields.size() != width)
      return base::invalid(fmt::format("{}: line {}: {} fields", part_csv.string(), reader.line(), fields.size()));
    for (size_t c = 0; c < from.size(); ++c) {
      const KeptColumn& column = layout.columns[c];
      if (!wanted(column)) continue;
      const std::string_view field = fields[from[c]];
      if (column.numeric) {
        const auto number = stats::parse_number(field);
        if (!number && !field.empty()) {
          return base::invalid(fmt::format("{}: line {}: column '{}': '{}' is not a number", part_csv.string(),
                                           reader.line(), column.name, field));
        }
        table.columns[c].numbers().push_back(number.value_or(std::numeric_limits<double>::quiet_NaN()));
      } else if (field.empty()) {
        table.columns[c].texts().emplace_back();
      } else {
        table.columns[c].texts().emplace_back(std::string(field));
      }
    }
    if (++rows == piece) TRY(hand_over());
  }
  return rows > 0 ? hand_over() : base::Result<void>();
}

}  // namespace

base::Result<stats::Table> read_columns(const base::Path& part_csv, const Layout& layout,
                                        const std::function<bool(const KeptColumn&)>& wanted) {
  stats::Table all;
  TRY(for_each_piece(part_csv, layout, std::numeric_limits<size_t>::max(), wanted,
                     [&](const stats::Table& table) -> base::Result<void> {
                       all = table;
                       return {};
                     }));
  if (!all.columns.empty()) return all;
  for (const KeptColumn& column : layout.columns) {  // a part without rows still has its columns
    all.columns.push_back(
        {column.name, column.numeric ? decltype(stats::Column::values)(stats::Numbers()) : stats::Texts()});
  }
  return all;
}

base::Result<void> export_part(const base::Path& part_csv, const base::Path& export_csv, const Layout& layout,
                               const stats::Transform& transform) {
  TRY_SET(FileWriter writer, FileWriter::create(export_csv));
  bool first = true;
  auto write = [&](const stats::Table& raw) -> base::Result<void> {
    TRY_SET(stats::Table table, transform.apply(raw));
    if (!layout.label.empty()) table.columns.push_back(*raw.find(layout.label));
    const std::string csv = stats::to_csv(table);
    writer.buffer().append(csv, first ? 0 : csv.find('\n') + 1);
    first = false;
    return writer.flush_if_full();
  };
  TRY(for_each_piece(part_csv, layout, kExportRows, [](const KeptColumn&) { return true; }, write));
  if (first) {
    TRY_SET(const stats::Table nothing, read_columns(part_csv, layout, [](const KeptColumn&) { return true; }));
    TRY(write(nothing));
  }
  return writer.flush();
}

// --- descriptions ---------------------------------------------------------------------------------------------------

base::Result<void> RowTable::write_descriptions(const PrepareSpec& spec, const base::Path& dir,
                                                const std::vector<Part>& parts) {
  const auto& steps = spec.transform;
  auto needed = [&](const KeptColumn& column) {
    auto names = [&](const std::string& name) { return name == column.name || (name == "*" && column.numeric); };
    return std::ranges::any_of(steps.fill, names, &stats::TransformSpec::Fill::column) ||
           std::ranges::any_of(steps.scale, names, &stats::TransformSpec::Scale::column) ||
           std::ranges::any_of(steps.one_hot, names);
  };
  stats::Transform transform, identity;
  {
    TRY_SET(const stats::Table train, read_columns(dir / "train.csv", layout_, needed));
    TRY_SET(transform, stats::Transform::fit(steps, train, layout_.features));
    TRY_SET(identity, stats::Transform::fit({}, train, layout_.features));
  }
  TRY(base::write_file_durably(dir / "transform.json", transform.to_json()));
  TRY(base::write_file_durably(dir / "identity.json", identity.to_json()));
  for (const char* part : {"train.csv", "valid.csv"})
    TRY(export_part(dir / part, dir / "export" / part, layout_, transform));

  TRY_SET(const auto columns, profile_table(*db_, "rows", layout_.columns));
  std::vector<PartProfile> part_profiles;
  for (const Part part : parts) {
    TRY_SET(auto profile, part_profile(part));
    part_profiles.push_back(std::move(profile));
  }
  TRY(base::write_file_durably(dir / "profile.json", profile_json(columns, part_profiles)));
  return base::write_file_durably(dir / "schema.json", schema_json(spec, columns));
}

base::Result<PartProfile> RowTable::part_profile(Part part) const {
  PartProfile profile;
  profile.part = name(part);
  TRY_SET(profile.rows, db_->count(fmt::format("SELECT count(*) FROM rows WHERE p = {}", static_cast<int>(part))));
  if (layout_.label.empty()) return profile;
  const size_t label = index_of(layout_.label);
  TRY(db_->query(fmt::format("SELECT c{0}, count(*) FROM rows WHERE p = {1} GROUP BY c{0} ORDER BY c{0} LIMIT {2}",
                             label, static_cast<int>(part), kProfiledLabels + 1),
                 [&](const DuckDb::Chunk& chunk) -> base::Result<void> {
                   for (size_t r = 0; r < chunk.rows(); ++r) {
                     profile.labels.emplace_back(layout_.columns[label].numeric ? stats::number_text(chunk.f64(0, r))
                                                                                : std::string(chunk.text(0, r)),
                                                 chunk.i64(1, r));
                   }
                   return {};
                 }));
  if (profile.labels.size() > kProfiledLabels) profile.labels.clear();
  return profile;
}

std::string RowTable::schema_json(const PrepareSpec& spec, const std::vector<ColumnProfile>& columns) const {
  std::string out;
  base::JsonWriter json(out);
  json.begin_object().field("format", "lathe.schema.v1").key("label");
  layout_.label.empty() ? json.null() : json.value(layout_.label);
  json.key("group");
  layout_.group.empty() ? json.null() : json.value(layout_.group);
  json.key("columns").begin_array();
  for (const ColumnProfile& column : columns) {
    const auto declared = spec.rules.find(column.name);
    const ColumnRule rule = declared == spec.rules.end() ? ColumnRule() : declared->second;
    json.begin_object().field("name", column.name).field("type", column.numeric ? "number" : "text");
    json.field("role", column.name == layout_.label ? "label" : column.name == layout_.group ? "group" : "feature");
    json.field("integer", rule.type == ColumnType::kInteger).field("missing", column.missing > 0);
    if (column.numeric && column.count > 0) {
      // What is declared is a promise, what is observed a fact: the promise wins where there is one.
      json.field("min", rule.min.value_or(column.min)).field("max", rule.max.value_or(column.max));
    } else if (!column.numeric && column.distinct == static_cast<int64_t>(column.top.size())) {  // few: all are known
      std::vector<std::string> values;
      for (const auto& [value, count] : column.top) values.push_back(value);
      std::ranges::sort(values);
      json.key("values").begin_array();
      for (const std::string& value : values) json.value(value);
      json.end_array();
    }
    json.end_object();
  }
  json.end_array().end_object();
  return out + "\n";
}

}  // namespace data
