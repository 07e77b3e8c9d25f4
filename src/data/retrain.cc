// Preparation for a retraining: old rows stay where they are, labelled traffic is split among train, valid and recent.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/json.h"
#include "base/json_writer.h"
#include "base/utf8.h"
#include "data/prepare.h"
#include "stats/table.h"

namespace data {
namespace {

constexpr size_t kTrafficLineBytes = size_t{16} << 20;

struct TrafficRow {
  std::string id;
  int64_t row = 0;
  int64_t at_us = 0;
  std::vector<std::string> fields;  // in the order of the layout's columns; "" is missing
  uint64_t key = 0, hash = 0;
  Part part = Part::kTrain;
};

struct Counts {
  int64_t seen = 0, repeated = 0, known = 0, held_out = 0, older = 0;
};

// What a JSON value is as a field of CSV.
base::Result<std::string> field_text(const base::json::value& value) {
  if (value.is_null()) return std::string();
  if (value.is_string()) {
    const std::string text(value.get_string());
    // Doubles that JSON cannot say come as text (base/json_writer.h); not a number is a missing one.
    return text == "NaN" ? std::string() : text;
  }
  if (value.is_bool()) return std::string(value.get_bool() ? "1" : "0");
  if (value.is_int64()) return std::to_string(value.get_int64());
  if (value.is_number()) return stats::number_text(value.to_number<double>());
  return base::invalid(fmt::format("found {}", base::kind_name(value.kind())));
}

class Retraining {
 public:
  Retraining(const RetrainRequest& request, Layout layout, RejectsWriter& rejects)
      : request_(request),
        layout_(std::move(layout)),
        rejects_(rejects),
        key_(layout_.features),
        rules_(request.spec, column_names(layout_), layout_.label) {}

  base::Result<void> copy_old(RowTable& table) {
    for (const Part part : {Part::kTrain, Part::kValid, Part::kTest}) {
      const base::Path path = request_.base_dir / (std::string(name(part)) + ".csv");
      TRY_SET(const MappedFile file, MappedFile::open(path.string()));
      stats::CsvReader reader(file.bytes());
      std::vector<std::string_view> fields;
      TRY(reader.next(fields));
      if (!std::ranges::equal(fields, layout_.columns, {}, {}, &KeptColumn::name)) {
        return base::invalid(fmt::format("{}: its columns are not those of schema.json", path.string()));
      }
      while (true) {
        TRY_SET(const bool some, reader.next(fields));
        if (!some) break;
        if (fields.size() != layout_.columns.size())
          return base::invalid(fmt::format("{}: line {} is ragged", path.string(), reader.line()));
        const auto [hash, key] = hashes_of(fields);
        (part == Part::kTest ? held_out_ : known_).insert(key);
        TRY(table.add(fields, hash, key, part));
      }
    }
    return {};
  }

  base::Result<void> read_traffic() {
    TRY_SET(const MappedFile file, MappedFile::open(request_.traffic.string()));
    const std::string_view text = file.bytes();
    int64_t line = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view record = text.substr(at, end - at);
      at = end + 1;
      ++line;
      if (record.empty()) continue;
      ++counts_.seen;
      if (auto row = parse(record); row) {
        take(std::move(*row));
      } else {
        TRY(rejects_.add(
            {.file = "traffic", .line = line, .column = bad_column_, .reason = row.error().message, .record = record}));
      }
    }
    keep_newest();
    return {};
  }

  base::Result<void> add_to(RowTable& table) {
    std::vector<std::string_view> fields;
    for (const TrafficRow& row : rows_) {
      fields.assign(row.fields.begin(), row.fields.end());
      TRY(table.add(fields, row.hash, row.key, row.part));
    }
    return {};
  }

  // Which predictions were taken, and where each went.
  base::Result<void> write_taken(const base::Path& path) const {
    std::string out = "id,row,at_us,part\n";
    for (const TrafficRow& row : rows_) {
      stats::append_csv_field(out, row.id);
      out += fmt::format(",{},{},{}\n", row.row, row.at_us, name(row.part));
    }
    return base::write_file_durably(path, out);
  }

  size_t taken() const { return rows_.size(); }
  std::string source_json(const std::string& engine) const;

 private:
  static std::vector<std::string> column_names(const Layout& layout) {
    std::vector<std::string> names;
    for (const KeptColumn& column : layout.columns) names.push_back(column.name);
    return names;
  }

  // Traffic has no group column, so its groups are rows with equal features, as for files without one.
  std::pair<uint64_t, uint64_t> hashes_of(std::span<const std::string_view> fields) {
    const std::string_view features = key_.bytes(fields.first(layout_.features.size()));
    const uint64_t key = features_hash(0, features);
    uint64_t hash = features_hash(request_.spec.seed, features);
    const size_t group_at = layout_.features.size();
    if (!layout_.group.empty() && !fields[group_at].empty()) {
      std::string group;
      append_canonical(group, fields[group_at]);
      hash = group_hash(request_.spec.seed, group);
    }
    return {hash, key};
  }

  base::Result<TrafficRow> parse(std::string_view record);
  void take(TrafficRow row);
  void keep_newest();

  const RetrainRequest& request_;
  Layout layout_;
  RejectsWriter& rejects_;
  FeatureKey key_;
  RuleChecker rules_;
  std::string bad_column_;
  std::unordered_set<uint64_t> known_;     // rows of old train and valid
  std::unordered_set<uint64_t> held_out_;  // rows of the frozen test set
  std::vector<TrafficRow> rows_;
  std::unordered_map<uint64_t, size_t> by_key_;
  Counts counts_;
};

base::Result<TrafficRow> Retraining::parse(std::string_view record) {
  bad_column_.clear();
  if (record.size() > kTrafficLineBytes) return base::invalid("the line is too long");
  if (!base::is_utf8(record)) return base::invalid("not UTF-8");
  TRY_SET(const auto document, base::parse_json(record));
  TRY_SET(const auto* object, base::as_object(document, "a line"));
  TrafficRow row;
  TRY_SET(row.id, base::required_string(*object, "id"));
  TRY_SET(const auto number, base::optional_int(*object, "row"));
  row.row = number.value_or(0);
  TRY_SET(row.at_us, base::required_int(*object, "at_us"));
  TRY_SET(const auto* features, base::required_object(*object, "features"));
  std::vector<std::string_view> fields;
  for (const KeptColumn& column : layout_.columns) {
    bad_column_ = column.name;
    const bool is_label = column.name == layout_.label;
    const auto* value = is_label ? object->if_contains("label") : features->if_contains(column.name);
    if (value == nullptr && column.name != layout_.group) return base::invalid("the captured row has no such value");
    std::string& field = row.fields.emplace_back();
    if (value != nullptr) {
      TRY_SET(field, field_text(*value));
    }
    if (column.numeric && !field.empty() && !stats::parse_number(field)) {
      return base::invalid(fmt::format("'{}' is not a number", field));
    }
    if (is_label && field.empty()) return base::invalid("the label is empty");
  }
  fields.assign(row.fields.begin(), row.fields.end());
  if (const auto breach = rules_.check(fields)) {
    bad_column_ = layout_.columns[breach->column].name;
    return base::invalid(breach->reason);
  }
  std::tie(row.hash, row.key) = hashes_of(fields);
  return row;
}

void Retraining::take(TrafficRow row) {
  // Copies of one row are one row; its newest label counts.
  if (const auto at = by_key_.find(row.key); at != by_key_.end()) {
    ++counts_.repeated;
    TrafficRow& kept = rows_[at->second];
    if (std::tie(kept.at_us, kept.id, kept.row) < std::tie(row.at_us, row.id, row.row)) kept = std::move(row);
    return;
  }
  by_key_.emplace(row.key, rows_.size());
  rows_.push_back(std::move(row));
}

void Retraining::keep_newest() {
  std::ranges::sort(rows_, [](const TrafficRow& a, const TrafficRow& b) {
    return std::tie(a.at_us, a.id, a.row) > std::tie(b.at_us, b.id, b.row);
  });
  if (const auto limit = static_cast<size_t>(request_.spec.feedback_rows); rows_.size() > limit) {
    counts_.older = static_cast<int64_t>(rows_.size() - limit);
    rows_.resize(limit);
  }
  std::erase_if(rows_, [&](TrafficRow& row) {
    row.part = part_at(unit(row.hash), request_.spec.feedback);
    if (row.part == Part::kTest) row.part = Part::kRecent;  // the third side of feedback
    if (known_.contains(row.key)) return ++counts_.known, true;
    // Nobody trains on a row of the frozen test set; to be judged on it is no harm.
    if (row.part != Part::kRecent && held_out_.contains(row.key)) return ++counts_.held_out, true;
    return false;
  });
}

std::string Retraining::source_json(const std::string& engine) const {
  std::map<Part, int64_t> parts;
  for (const TrafficRow& row : rows_) ++parts[row.part];
  auto rows_of = [&](Part part) { return parts.contains(part) ? parts.at(part) : int64_t{0}; };
  std::string out;
  base::JsonWriter json(out);
  json.begin_object().field("kind", "retraining").field("base", request_.base_version).key("traffic").begin_object();
  json.field("endpoint", request_.endpoint).field("file", "traffic.csv").field("seen", counts_.seen);
  json.field("train", rows_of(Part::kTrain))
      .field("valid", rows_of(Part::kValid))
      .field("recent", rows_of(Part::kRecent));
  json.field("repeated", counts_.repeated).field("known", counts_.known).field("held_out", counts_.held_out);
  json.field("older", counts_.older).field("rejected", rejects_.count()).end_object();
  const Fractions& sides = request_.spec.feedback;
  json.key("feedback")
      .begin_object()
      .field("train", sides.train)
      .field("valid", sides.valid)
      .field("recent", sides.test);
  json.field("seed", static_cast<int64_t>(request_.spec.seed)).end_object();
  json.field("prepare_sha256", request_.spec_sha256).field("engine", engine).end_object();
  return out;
}

}  // namespace

base::Result<Prepared> prepare_again(const RetrainRequest& request) {
  const base::Path work = request.out_dir / ".work";
  TRY(base::make_dirs(work));
  TRY_SET(const std::string schema, base::read_file(request.base_dir / "schema.json"));
  TRY_SET(const Layout layout, parse_schema(schema));
  if (layout.label.empty()) return base::invalid("a retraining needs a label column; the data has none");
  TRY_SET(const auto db, DuckDb::open({work, request.memory_limit}));
  TRY_SET(RejectsWriter rejects, RejectsWriter::create(request.out_dir / "rejects.csv"));
  TRY_SET(RowTable table, RowTable::create(*db, layout));
  Retraining retraining(request, layout, rejects);
  TRY(retraining.copy_old(table));
  TRY(retraining.read_traffic());
  if (retraining.taken() == 0) {
    return base::fail(
        base::Code::kConflict,
        fmt::format("no labelled traffic of endpoint '{}' is new to the model: nothing to retrain on{}{}",
                    request.endpoint, rejects.count() > 0 ? "; the first rejected row: " : "", rejects.first()));
  }
  TRY(retraining.add_to(table));
  TRY(table.end_of_rows());
  TRY(rejects.finish());
  TRY(retraining.write_taken(request.out_dir / "traffic.csv"));

  Prepared out;
  out.label = layout.label;
  out.features = layout.features;
  out.rows["rejected"] = rejects.count();
  out.rows["duplicates"] = 0;
  for (const Part part : {Part::kTrain, Part::kValid, Part::kRecent}) {
    const std::string word(name(part));
    TRY_SET(out.rows[word], table.write_part(part, request.out_dir / (word + ".csv")));
  }
  std::error_code error;
  std::filesystem::copy_file(request.base_dir / "test.csv", request.out_dir / "test.csv", error);
  if (error) return base::internal("copying test.csv: " + error.message());
  TRY_SET(out.rows["test"],
          db->count(fmt::format("SELECT count(*) FROM rows WHERE p = {}", static_cast<int>(Part::kTest))));
  TRY(table.write_descriptions(request.spec, request.out_dir,
                               {Part::kTrain, Part::kValid, Part::kTest, Part::kRecent}));
  out.files = {"export/train.csv", "export/valid.csv", "identity.json", "profile.json", "recent.csv",     "rejects.csv",
               "schema.json",      "test.csv",         "traffic.csv",   "train.csv",    "transform.json", "valid.csv"};
  std::ranges::sort(out.files);
  out.source = retraining.source_json("DuckDB " + db->version());
  return out;
}

}  // namespace data
