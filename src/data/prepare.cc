#include "data/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/json.h"
#include "base/json_writer.h"
#include "base/utf8.h"
#include "stats/table.h"

namespace data {
namespace {

constexpr size_t kRejectBytes = 4096;  // of a bad row that are kept

// Valid UTF-8 without NUL: what is not becomes U+FFFD.
std::string printable(std::string_view text) {
  std::string out;
  const bool cut = text.size() > kRejectBytes;
  if (cut) text = text.substr(0, kRejectBytes);
  while (!text.empty()) {
    const size_t valid = base::utf8_valid_prefix(text);
    for (const char c : text.substr(0, valid)) c == '\0' ? out += "\uFFFD" : out += c;
    text.remove_prefix(valid);
    if (text.empty()) break;
    out += "\uFFFD";
    text.remove_prefix(1);
  }
  return cut ? out + "…" : out;
}

std::string source_json(const PrepareRequest& request, const RawRows& raw, const std::string& engine) {
  std::string out;
  base::JsonWriter json(out);
  json.begin_object().field("kind", "files").key("files").begin_array();
  for (const RawFile& file : raw.files()) {
    json.begin_object().field("path", file.path).field("sha256", file.sha256.hex()).field("size", file.size);
    json.field("rows", file.rows).field("rejected", file.rejected).end_object();
  }
  const PrepareSpec& spec = request.spec;
  json.end_array().key("split").begin_object();
  json.field("train", spec.split.train).field("valid", spec.split.valid).field("test", spec.split.test);
  json.field("seed", static_cast<int64_t>(spec.seed)).field("stratify", spec.stratify).field("group", spec.group);
  json.end_object().field("prepare_sha256", request.spec_sha256).field("engine", engine).end_object();
  return out;
}

}  // namespace

base::Result<RejectsWriter> RejectsWriter::create(const base::Path& path) {
  TRY_SET(FileWriter writer, FileWriter::create(path));
  writer.buffer() += "file,line,column,reason,row\n";
  return RejectsWriter(std::move(writer));
}

base::Result<void> RejectsWriter::add(const RejectedRow& row) {
  std::string& out = writer_.buffer();
  stats::append_csv_field(out, row.file);
  out += fmt::format(",{},", row.line);
  stats::append_csv_field(out, row.column);
  out += ',';
  stats::append_csv_field(out, printable(row.reason));
  out += ',';
  stats::append_csv_field(out, printable(row.record));
  out += '\n';
  if (count_++ == 0) {
    first_ = fmt::format("{}:{}: {}{}{}", row.file, row.line, row.column, row.column.empty() ? "" : ": ", row.reason);
  }
  return writer_.flush_if_full();
}

base::Result<Prepared> prepare(const PrepareRequest& request) {
  const PrepareSpec& spec = request.spec;
  const base::Path work = request.out_dir / ".work";
  TRY(base::make_dirs(work));
  TRY_SET(const auto paths, find_files(request.patterns));
  TRY_SET(const auto db, DuckDb::open({work, request.memory_limit}));
  TRY_SET(RawRows raw, RawRows::scan(*db, paths, spec, request.label));
  TRY_SET(RowTable table, RowTable::create(*db, {raw.kept(), raw.features(), spec.group, request.label}));

  Prepared out;
  out.label = request.label;
  out.features = raw.features();
  TRY_SET(RejectsWriter rejects, RejectsWriter::create(request.out_dir / "rejects.csv"));
  FeatureKey key(raw.features());
  const size_t feature_count = raw.features().size();
  std::string group;
  TRY(raw.visit(
      [&](std::span<const std::string_view> fields) -> base::Result<void> {
        const std::string_view features = key.bytes(fields.first(feature_count));
        const uint64_t row_key = features_hash(0, features);
        uint64_t hash = spec.seed == 0 ? row_key : features_hash(spec.seed, features);
        if (!spec.group.empty() && !fields[feature_count].empty()) {
          group.clear();
          append_canonical(group, fields[feature_count]);
          hash = group_hash(spec.seed, group);
        }
        return table.add(fields, hash, row_key, part_at(unit(hash), spec.split));
      },
      [&](const RejectedRow& row) { return rejects.add(row); }));
  TRY(table.end_of_rows());
  TRY(rejects.finish());
  out.rows["rejected"] = rejects.count();
  out.rows["duplicates"] = 0;
  if (spec.drop_duplicates) {
    TRY_SET(out.rows["duplicates"], table.drop_duplicates(spec.duplicate_keys));
  }
  if (!spec.stratify.empty()) TRY(table.stratify(spec));

  for (const Part part : {Part::kTrain, Part::kValid, Part::kTest}) {
    const std::string file = std::string(name(part)) + ".csv";
    TRY_SET(out.rows[std::string(name(part))], table.write_part(part, request.out_dir / file));
    out.files.push_back(file);
  }
  if (out.rows["train"] == 0) {
    if (rejects.count() > 0) {
      return base::invalid(fmt::format("no row is left to train on: {} were rejected, the first is {}", rejects.count(),
                                       rejects.first()));
    }
    return base::invalid(
        fmt::format("no row is left to train on: the files have {} rows", out.rows["valid"] + out.rows["test"]));
  }
  TRY(table.write_descriptions(spec, request.out_dir, {Part::kTrain, Part::kValid, Part::kTest}));
  out.files.insert(out.files.end(), {"export/train.csv", "export/valid.csv", "identity.json", "profile.json",
                                     "rejects.csv", "schema.json", "transform.json"});
  std::ranges::sort(out.files);
  for (const RawFile& file : raw.files()) out.raw_files.push_back(file.path + "@" + file.sha256.hex());
  out.source = source_json(request, raw, "DuckDB " + db->version());
  return out;
}

base::Result<Layout> parse_schema(std::string_view text) {
  TRY_SET(const auto document, base::parse_json(text));
  TRY_SET(const auto* schema, base::as_object(document, "schema.json"));
  TRY_SET(const std::string format, base::required_string(*schema, "format"));
  if (format != "lathe.schema.v1") return base::invalid(fmt::format("schema.json: format '{}' is unknown", format));
  Layout layout;
  TRY_SET(const auto* columns, base::required_array(*schema, "columns"));
  for (const auto& value : *columns) {
    TRY_SET(const auto* column, base::as_object(value, "a column"));
    TRY_SET(const std::string name, base::required_string(*column, "name"));
    TRY_SET(const std::string type, base::required_string(*column, "type"));
    TRY_SET(const std::string role, base::required_string(*column, "role"));
    layout.columns.push_back({name, type == "number"});
    if (role == "feature")
      layout.features.push_back(name);
    else if (role == "group")
      layout.group = name;
    else
      layout.label = name;
  }
  return layout;
}

}  // namespace data
