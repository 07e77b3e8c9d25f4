// lathe score MODEL INPUT OUTPUT: a table's rows through a model, in this process, without a request per row.
//
// Exactly once and resumable: the rows are scored in parts, each written to OUTPUT.parts under a name of its own by an
// atomic rename; a run that is started again goes on after the parts that are there, and refuses to if the model or the
// input is another. At the end the parts become OUTPUT, again by a rename, and go. A row that cannot be scored has no
// prediction but an error, and is counted by its reason.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <limits>
#include <map>
#include <memory>
#include <optional>

#include "base/hash.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/data_files.h"
#include "data/duckdb.h"
#include "net/http.h"
#include "serve/mirror.h"
#include "serve/model.h"
#include "serve/trial.h"

namespace cli {
namespace {

using base::json::value;

constexpr int64_t kPartRows = 50'000;
constexpr size_t kBatchRows = 1024;  // predicted at once; a batch that fails is tried row by row
constexpr std::string_view kOwnColumns[] = {"prediction", "score", "error"};

struct ScoreOptions {
  std::string model, input, output, transform, memory = "512MB";
  int64_t part_rows = kPartRows;
  bool restart = false, as_json = false;
};

struct LoadedModel {
  std::unique_ptr<serve::Predictor> predictor;
  std::string name;    // for the report
  std::string digest;  // of what lies inside: another one is another model
};

std::string text_at(const value& from, std::string_view key) {
  const auto* found = from.as_object().if_contains(key);
  return found != nullptr && found->is_string() ? std::string(found->as_string()) : std::string();
}

LoadedModel from_folder(const base::Path& folder, const std::string& transform_file) {
  std::vector<base::Path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::ranges::sort(files);
  std::string inside;
  for (const auto& file : files)
    inside +=
        std::filesystem::relative(file, folder).string() + ' ' + base::sha256(need(base::read_file(file))).hex() + '\n';
  if (!transform_file.empty()) inside += base::sha256(need(base::read_file(transform_file))).hex();
  auto transform = need(serve::load_transform(transform_file));
  return {need(serve::Predictor::load(folder, std::move(transform))), folder.string(), base::sha256(inside).hex()};
}

// models:/name@alias, models:/name/3, name/3, or an endpoint's name: the server knows its files.
LoadedModel from_server(const Common& common, const std::string& model, const base::Path& scratch) {
  Api api(common);
  const value found = api.get("/model-files?model=" + net::percent_encode(model));
  const base::Path folder = scratch / "model";
  std::string inside = text_at(found, "transform");
  for (const auto& file : found.at("files").as_array()) {
    const std::string path = text_at(file, "path"), digest = text_at(file, "digest");
    if (!base::is_safe_relative_path(path))
      throw Failure(kRefused, "the model names a file outside its folder: " + path);
    need(base::make_dirs((folder / path).parent_path()));
    need(base::write_file_durably(folder / path, api.call({}, "/blobs/" + digest).body));
    inside += '\n' + path + ' ' + digest;
  }
  stats::Transform transform;
  if (const std::string digest = text_at(found, "transform"); !digest.empty())
    transform = need(stats::Transform::parse(api.call({}, "/blobs/" + digest).body));
  return {need(serve::Predictor::load(folder, std::move(transform))), text_at(found, "model"),
          base::sha256(inside).hex()};
}

bool is_csv(const base::Path& path) { return path.extension() == ".csv"; }

std::string reader_of(const base::Path& path) {
  return (is_csv(path) ? "read_csv(" : "read_parquet(") + data::sql_text(path.string()) +
         (is_csv(path) ? ", header = true)" : ")");
}

class Scorer {
 public:
  Scorer(const ScoreOptions& options, LoadedModel model)
      : options_(options), model_(std::move(model)), parts_(options.output + ".parts") {}

  void run() {
    begin();
    for (int64_t from = done_rows(); from < rows_; from += options_.part_rows) score_part(from);
    finish();
  }

 private:
  struct Column {
    const serve::Feature* feature = nullptr;
    std::string name;  // in the input
  };

  base::Path part(int64_t number, std::string_view suffix) const {
    char text[32];
    std::snprintf(text, sizeof text, "part-%08lld", static_cast<long long>(number));
    return parts_ / (text + std::string(suffix));
  }
  int64_t part_count() const { return (rows_ + options_.part_rows - 1) / options_.part_rows; }

  std::string manifest() const {
    struct stat info{};
    if (::stat(options_.input.c_str(), &info) != 0) throw Failure(kUsage, "there is no file " + options_.input);
    std::string out;
    base::JsonWriter w(out);
    w.begin_object().field("input", std::filesystem::absolute(options_.input).string());
    w.field("bytes", static_cast<int64_t>(info.st_size));
    w.field("modified_ns", static_cast<int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec);
    w.field("model", model_.digest).field("part_rows", options_.part_rows).end_object();
    return out;
  }

  void begin() {
    if (options_.restart) need(base::remove_tree(parts_));
    const std::string wanted = manifest();
    need(base::make_dirs(parts_));
    const auto there = base::read_file(parts_ / "manifest.json", 1 << 16);
    if (!there)
      need(base::write_file_durably(parts_ / "manifest.json", wanted));
    else if (*there != wanted)
      throw Failure(kRefused, parts_.string() + " holds parts of another model or input; remove it, or say --restart");
    need(base::remove_tree(parts_ / "work"));
    need(base::make_dirs(parts_ / "work"));
    db_ = need(data::DuckDb::open({.work_dir = parts_ / "work", .memory_limit = options_.memory}));
    // On disk once, so that a part is a range of rows and their order is fixed.
    need(db_->run("CREATE TABLE input AS SELECT * FROM " + reader_of(options_.input)));
    rows_ = need(db_->count("SELECT count(*) FROM input"));
    find_columns();
    need(db_->run("CREATE TABLE answers (\"row\" BIGINT, prediction VARCHAR, score DOUBLE, error VARCHAR)"));
  }

  void find_columns() {
    const auto given = need(db_->describe("SELECT * FROM input"));
    for (const auto& column : given)
      if (std::ranges::find(kOwnColumns, column.name) != std::end(kOwnColumns))
        throw Failure(kRefused,
                      "the input has a column '" + column.name + "', which is what the output adds; rename it");
    const auto& features = model_.predictor->features();
    if (features.empty())
      throw Failure(kRefused, "the model's inputs have no fixed number of columns; it cannot score a table");
    for (size_t i = 0; i < features.size(); ++i) {
      const auto found = std::ranges::find(given, features[i].name, &data::DuckDb::ColumnType::name);
      if (found != given.end()) {
        columns_.push_back({&features[i], found->name});
      } else if (!model_.predictor->features_named() && given.size() == features.size()) {
        columns_.push_back({&features[i], given[i].name});  // only numbered: by position
      } else {
        throw Failure(kRefused, "the input has no column '" + features[i].name + "', which the model takes");
      }
    }
  }

  int64_t done_rows() {
    int64_t number = 0;
    while (number < part_count() && std::filesystem::exists(part(number, ".parquet"))) {
      read_counts(number++);
    }
    if (number > 0 && !options_.as_json)
      std::printf("going on after %lld parts of an earlier run\n", static_cast<long long>(number));
    return number * options_.part_rows;
  }

  // What a part counted, kept beside it: a run that goes on knows the whole.
  void read_counts(int64_t number) {
    const value counts = need(base::parse_json(need(base::read_file(part(number, ".json"), 1 << 20))));
    for (const auto& entry : counts.as_object()) bad_[std::string(entry.key())] += entry.value().to_number<int64_t>();
  }

  struct Rows {
    std::vector<int64_t> ids;
    stats::Table table;
    std::vector<std::string> errors;  // "": none yet
  };

  // Numbers that are none become an error of their row, in the engine's eyes and ours alike.
  Rows read_rows(int64_t from) {
    std::string select = "SELECT rowid";
    for (const auto& c : columns_) {
      const std::string name = data::sql_name(c.name);
      if (c.feature->text)
        select += ", CAST(" + name + " AS VARCHAR)";
      else
        select += ", TRY_CAST(" + name + " AS DOUBLE), CAST(CASE WHEN " + name + " IS NOT NULL AND TRY_CAST(" + name +
                  " AS DOUBLE) IS NULL THEN CAST(" + name + " AS VARCHAR) END AS VARCHAR)";
    }
    select += " FROM input WHERE rowid >= " + std::to_string(from) + " AND rowid < " +
              std::to_string(from + options_.part_rows) + " ORDER BY rowid";
    Rows rows;
    std::vector<stats::Numbers> numbers(columns_.size());
    std::vector<stats::Texts> texts(columns_.size());
    need(db_->query(select, [&](const data::DuckDb::Chunk& chunk) -> base::Result<void> {
      for (size_t row = 0; row < chunk.rows(); ++row) {
        rows.ids.push_back(chunk.i64(0, row));
        std::string& error = rows.errors.emplace_back();
        size_t at = 1;
        for (size_t c = 0; c < columns_.size(); ++c) {
          if (columns_[c].feature->text) {
            auto& text = texts[c].emplace_back();
            if (!chunk.null(at, row)) text = std::string(chunk.text(at, row));
            ++at;
            continue;
          }
          numbers[c].push_back(chunk.null(at, row) ? std::numeric_limits<double>::quiet_NaN() : chunk.f64(at, row));
          if (!chunk.null(at + 1, row) && error.empty()) error = "column '" + columns_[c].name + "' is not a number";
          at += 2;
        }
      }
      return {};
    }));
    for (size_t c = 0; c < columns_.size(); ++c) {
      if (columns_[c].feature->text)
        rows.table.columns.push_back({columns_[c].feature->name, std::move(texts[c])});
      else
        rows.table.columns.push_back({columns_[c].feature->name, std::move(numbers[c])});
    }
    return rows;
  }

  static stats::Table slice(const stats::Table& table, const std::vector<size_t>& rows) {
    stats::Table out;
    for (const auto& column : table.columns) {
      const auto pick = [&](const auto& values) {
        std::remove_cvref_t<decltype(values)> some;
        some.reserve(rows.size());
        for (const size_t row : rows) some.push_back(values[row]);
        return some;
      };
      if (column.numeric())
        out.columns.push_back({column.name, pick(column.numbers())});
      else
        out.columns.push_back({column.name, pick(column.texts())});
    }
    return out;
  }

  struct Answers {
    std::vector<std::string> labels;
    std::vector<std::optional<double>> scores;
  };
  // The rows of one batch; if the model refuses them together, one by one, so that only what is wrong fails.
  void predict(Rows& rows, const std::vector<size_t>& batch, Answers& out) {
    if (batch.empty()) return;
    const auto prediction = model_.predictor->predict(slice(rows.table, batch));
    if (prediction) {
      std::vector<double> scores;
      serve::top_scores(*prediction, scores);
      for (size_t i = 0; i < batch.size(); ++i) {
        out.labels[batch[i]] = prediction->labels[i];
        if (i < scores.size()) out.scores[batch[i]] = scores[i];
      }
      text_ |= prediction->text;
    } else if (batch.size() == 1) {
      rows.errors[batch[0]] = "the model refused it: " + prediction.error().message;
    } else {
      for (const size_t row : batch) predict(rows, {row}, out);
    }
  }

  void score_part(int64_t from) {
    Rows rows = read_rows(from);
    Answers answers{std::vector<std::string>(rows.ids.size()), std::vector<std::optional<double>>(rows.ids.size())};
    for (size_t begin = 0; begin < rows.ids.size(); begin += kBatchRows) {
      std::vector<size_t> batch;
      for (size_t row = begin; row < std::min(begin + kBatchRows, rows.ids.size()); ++row)
        if (rows.errors[row].empty()) batch.push_back(row);
      predict(rows, batch, answers);
    }
    write_part(from / options_.part_rows, rows, answers);
  }

  void write_part(int64_t number, const Rows& rows, const Answers& answers) {
    need(db_->run("DELETE FROM answers"));
    std::map<std::string, int64_t> counts;
    {
      auto appender = need(db_->append("answers"));
      for (size_t row = 0; row < rows.ids.size(); ++row) {
        appender.i64(rows.ids[row]);
        const std::string& error = rows.errors[row];
        if (error.empty()) {
          appender.text(answers.labels[row]);
          answers.scores[row] ? appender.f64(*answers.scores[row]) : appender.null();
          appender.null();
        } else {
          ++counts[error];
          appender.null();
          appender.null();
          appender.text(error);
        }
        need(appender.end_row());
      }
      need(appender.finish());
    }
    std::string text;
    base::JsonWriter w(text);
    w.begin_object();
    for (const auto& [reason, count] : counts) w.field(reason, count), bad_[reason] += count;
    w.end_object();
    need(base::write_file_durably(part(number, ".json"), text));
    const base::Path temp = part(number, ".tmp");
    need(
        db_->run("COPY (SELECT i.*, a.prediction, a.score, a.error FROM input i JOIN answers a ON i.rowid = a.\"row\" "
                 "ORDER BY a.\"row\") TO " +
                 data::sql_text(temp.string()) + " (FORMAT parquet, COMPRESSION zstd)"));
    put_in_place(temp, part(number, ".parquet"));  // from here on the part is done
  }

  static void put_in_place(const base::Path& temp, const base::Path& to) {
    const base::Fd file = need(base::open_file(temp, O_RDONLY));
    if (::fsync(file.get()) != 0) throw Failure(kRefused, temp.string() + " could not be made durable");
    std::error_code error;
    std::filesystem::rename(temp, to, error);
    if (error) throw Failure(kRefused, to.string() + ": " + error.message());
    need(base::fsync_dir(to.parent_path().empty() ? base::Path(".") : to.parent_path()));
  }

  void finish() {
    std::string list;
    for (int64_t number = 0; number < part_count(); ++number)
      list += (number ? ", " : "") + data::sql_text(part(number, ".parquet").string());
    // Labels that are all whole numbers, or all numbers, are written as such.
    std::string kind = "VARCHAR";
    const std::string from =
        list.empty() ? "(SELECT *, CAST(NULL AS VARCHAR) AS prediction, CAST(NULL AS DOUBLE) AS score, CAST(NULL AS "
                       "VARCHAR) AS error FROM input)"
                     : "read_parquet([" + list + "])";
    if (!text_ && !list.empty()) {
      for (const char* type : {"DOUBLE", "BIGINT"}) {
        const std::string other = std::string("SELECT count(*) FROM ") + from +
                                  " WHERE prediction IS NOT NULL AND TRY_CAST(prediction AS " + type + ") IS NULL";
        // "1.5" casts to BIGINT as 2: only text that says the same counts.
        const std::string whole = std::string(" OR CAST(TRY_CAST(prediction AS BIGINT) AS VARCHAR) <> prediction");
        if (need(db_->count(other + (std::string_view(type) == "BIGINT" ? whole : ""))) == 0) kind = type;
      }
    }
    const base::Path temp = parts_ / ("output.tmp" + base::Path(options_.output).extension().string());
    const std::string format = is_csv(options_.output) ? "(FORMAT csv, HEADER)" : "(FORMAT parquet, COMPRESSION zstd)";
    need(db_->run("COPY (SELECT * REPLACE (CAST(prediction AS " + kind + ") AS prediction) FROM " + from + ") TO " +
                  data::sql_text(temp.string()) + " " + format));
    put_in_place(temp, options_.output);
    db_.reset();
    need(base::remove_tree(parts_));
    report();
  }

  void report() {
    int64_t bad = 0;
    for (const auto& [reason, count] : bad_) bad += count;
    if (options_.as_json) {
      std::string out;
      base::JsonWriter w(out);
      w.begin_object().field("model", model_.name).field("output", options_.output).field("rows", rows_);
      w.field("scored", rows_ - bad).field("bad", bad).key("reasons").begin_object();
      for (const auto& [reason, count] : bad_) w.field(reason, count);
      w.end_object().end_object();
      std::printf("%s\n", out.c_str());
      return;
    }
    std::printf("%lld rows scored with %s into %s", static_cast<long long>(rows_ - bad), model_.name.c_str(),
                options_.output.c_str());
    std::printf(bad ? "; %lld could not be:\n" : "\n", static_cast<long long>(bad));
    for (const auto& [reason, count] : bad_)
      std::printf("  %8lld  %s\n", static_cast<long long>(count), reason.c_str());
  }

  const ScoreOptions options_;
  const LoadedModel model_;
  const base::Path parts_;
  std::unique_ptr<data::DuckDb> db_;
  std::vector<Column> columns_;
  int64_t rows_ = 0;
  bool text_ = false;
  std::map<std::string, int64_t> bad_;
};

void score(const Common& common, const ScoreOptions& options) {
  if (options.part_rows < 1) throw Failure(kUsage, "--part-rows must be at least 1");
  const ScratchDir scratch("lathe-score-");
  std::error_code error;
  LoadedModel model = std::filesystem::is_directory(options.model, error)
                          ? from_folder(options.model, options.transform)
                          : from_server(common, options.model, scratch.path());
  Scorer(options, std::move(model)).run();
}

}  // namespace

void add_score_command(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("score", "Score a table's rows with a model (batch)");
  auto options = std::make_shared<ScoreOptions>();
  command
      ->add_option("model", options->model,
                   "models:/NAME@ALIAS, models:/NAME/VERSION, NAME/VERSION, an endpoint, or a model's folder")
      ->required();
  command->add_option("input", options->input, "Parquet or CSV")->required();
  command->add_option("output", options->output, "Parquet or CSV: the input's columns, prediction, score, error")
      ->required();
  command->add_option("--transform", options->transform, "transform.json of a model given as a folder");
  command->add_option("--part-rows", options->part_rows, "rows of a part [50000]");
  command->add_option("--memory", options->memory, "of the table engine [512MB]");
  command->add_flag("--restart", options->restart, "forget the parts of an earlier run");
  command->add_flag("--json", options->as_json, "the report as JSON");
  command->callback([options, &common] { score(common, *options); });
}

}  // namespace cli
