#include "cli/capture_parquet.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <vector>

#include "cli/data_files.h"
#include "data/duckdb.h"
#include "serve/capture_format.h"

namespace cli {
namespace {

namespace format = serve::format;

constexpr size_t kMaxSegmentBytes = size_t{256} << 20;
constexpr size_t kFixedColumns = 10;  // before the features: those of create_table()
constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

std::string lowered(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

// A feature's column. Two features share one if they are the same name and kind in two revisions.
struct FeatureColumn {
  std::string feature;
  bool text = false;
  std::string name;  // the feature's, with _2, _3, … where another column has it (DuckDB's names know no case)
};

struct Layout {
  std::vector<FeatureColumn> columns;
  struct Source {
    std::vector<size_t> numbers, texts;  // places in `columns`
  };
  std::vector<Source> sources;
  bool routed = false;  // a graph's: a column says which way each request took, before the features

  // The same sources give the same layout, in both directions.
  explicit Layout(const std::vector<serve::CaptureSource>& from) {
    for (const serve::CaptureSource& source : from)
      if (!source.role.empty()) taken_.insert("role");  // a column of its own, see write_parquet
    routed = std::ranges::any_of(from, &serve::CaptureSource::routed);
    if (routed) taken_.insert("route");
    for (const serve::CaptureSource& source : from) {
      Source places;
      for (const std::string& name : source.features) places.numbers.push_back(place_of(name, false));
      for (const std::string& name : source.text_features) places.texts.push_back(place_of(name, true));
      sources.push_back(std::move(places));
    }
  }

 private:
  size_t place_of(const std::string& feature, bool text) {
    for (size_t i = 0; i < columns.size(); ++i)
      if (columns[i].feature == feature && columns[i].text == text) return i;
    std::string name = feature.empty() ? "feature" : feature;
    for (int n = 2; !taken_.insert(lowered(name)).second; ++n) name = feature + "_" + std::to_string(n);
    columns.push_back({feature, text, name});
    return columns.size() - 1;
  }

  std::set<std::string> taken_{"id",  "at",    "client_id", "endpoint",    "revision", "source",
                               "row", "label", "score",     "sample_rate", "at_us",    "duration_us"};
};

struct Segment {
  std::string head;  // the file's bytes before the first frame
  format::FileHeader header;
  format::Footer footer;
  std::vector<std::pair<uint32_t, serve::CapturedRequest>> requests;  // with their source's number
};

base::Result<Segment> read_segment(std::string_view bytes) {
  Segment out;
  size_t head = 0;
  TRY_SET(out.header, format::decode_header(bytes, head));
  out.head = bytes.substr(0, head);
  std::vector<serve::CaptureSource> sources;
  for (bytes.remove_prefix(head); const auto frame = format::next_frame(bytes); bytes.remove_prefix(frame->length)) {
    if (frame->payload[0] == format::kFooterFrame) {
      TRY_SET(out.footer, format::decode_footer(frame->payload, out.header));
      if (out.footer.sources.size() < sources.size()) return base::invalid("its footer lacks a source");
      return out;
    }
    uint32_t number = format::source_number(frame->payload);
    if (frame->payload[0] == format::kSourceFrame) {
      TRY_SET(auto source, format::decode_source(frame->payload, out.header, number));
      sources.push_back(std::move(source));
    } else {
      if (number >= sources.size()) return base::invalid("a record names an unknown source");
      TRY_SET(auto request, format::decode_request(frame->payload, sources[number]));
      out.requests.emplace_back(number, std::move(request));
    }
  }
  return base::invalid("it is not closed");
}

void append_request(std::string& out, uint32_t source, const serve::CapturedRequest& request,
                    std::vector<double>& numbers) {
  numbers.clear();
  for (const double value : request.rows) numbers.push_back(std::isnan(value) ? kMissing : value);
  const serve::CaptureRecord record{.id = serve::parse_prediction_id(request.id).value_or(base::Uuid{}),
                                    .client_id = request.client_id,
                                    .at_us = request.at_us,
                                    .duration_us = request.duration_us,
                                    .row_count = request.row_count,
                                    .rows = numbers,
                                    .texts = request.texts,
                                    .labels = request.labels,
                                    .scores = request.scores,
                                    .route = request.route};
  std::string payload(format::request_bytes(record), 0);
  format::encode_request(record, payload.data());
  format::set_source_number(payload.data(), source);
  format::append_frame(out, payload);
}

// Frames as the writer lays them out: a source before the first request that names it.
class Frames {
 public:
  explicit Frames(const Segment& segment) : segment_(segment), bytes_(segment.head) {}
  void add(uint32_t source, const serve::CapturedRequest& request) {
    for (; written_ <= source; ++written_)
      format::append_frame(bytes_, format::encode_source(written_, segment_.footer.sources[written_]));
    append_request(bytes_, source, request, numbers_);
  }
  std::string take() { return std::move(bytes_); }

 private:
  const Segment& segment_;
  std::string bytes_;
  uint32_t written_ = 0;
  std::vector<double> numbers_;
};

std::string create_table(const Layout& layout) {
  std::string sql =
      "CREATE TABLE requests (id VARCHAR, at_us BIGINT, client_id VARCHAR, revision BIGINT, source BIGINT, \"row\" "
      "BIGINT, "
      "label VARCHAR, score DOUBLE, sample_rate DOUBLE, duration_us BIGINT";
  if (layout.routed) sql += ", route VARCHAR";
  for (const FeatureColumn& column : layout.columns)
    sql += ", " + data::sql_name(column.name) + (column.text ? " VARCHAR" : " DOUBLE");
  return sql + ")";
}

void append_text(data::DuckDb::Appender& to, const std::string& text, bool there) { there ? to.text(text) : to.null(); }

base::Result<void> append_rows(data::DuckDb::Appender& to, const Layout& layout, uint32_t source,
                               const serve::CapturedRequest& request) {
  const size_t rows = request.row_count;
  const Layout::Source& places = layout.sources[source];
  const bool fits =
      rows > 0 && request.labels.size() == rows && (request.scores.empty() || request.scores.size() == rows) &&
      request.rows.size() == rows * places.numbers.size() && request.texts.size() == rows * places.texts.size();
  if (!fits) return base::invalid("prediction " + request.id + " has no rows, or not one answer for each");
  struct Cell {
    const double* number = nullptr;
    const std::string* text = nullptr;
  };
  std::vector<Cell> cells(layout.columns.size());
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < places.numbers.size(); ++i)
      cells[places.numbers[i]].number = &request.rows[row * places.numbers.size() + i];
    for (size_t i = 0; i < places.texts.size(); ++i)
      cells[places.texts[i]].text = &request.texts[row * places.texts.size() + i];
    to.text(request.id);
    to.i64(request.at_us);
    append_text(to, request.client_id, !request.client_id.empty());
    to.i64(request.revision);
    to.i64(source);
    to.i64(static_cast<int64_t>(row));
    to.text(request.labels[row]);
    request.scores.empty() ? to.null() : to.f64(request.scores[row]);
    to.f64(request.sample);
    to.i64(request.duration_us);
    if (layout.routed) append_text(to, request.route, !request.route.empty());
    for (const Cell& cell : cells) {
      if (cell.number)
        std::isnan(*cell.number) ? to.null() : to.f64(*cell.number);
      else
        cell.text && !cell.text->empty() ? to.text(*cell.text) : to.null();
    }
    TRY(to.end_row());
  }
  return {};
}

base::Result<void> write_parquet(data::DuckDb& db, const Segment& segment, const base::Path& to) {
  const Layout layout(segment.footer.sources);
  TRY(db.run(create_table(layout)));
  {
    TRY_SET(auto appender, db.append("requests"));
    for (const auto& [source, request] : segment.requests) TRY(append_rows(appender, layout, source, request));
    TRY(appender.finish());
  }
  // Shadows' answers stand beside those that were given: their sources say which is which.
  std::string role;
  for (size_t i = 0; i < segment.footer.sources.size(); ++i)
    if (const std::string& named = segment.footer.sources[i].role; !named.empty())
      role += fmt::format(" WHEN {} THEN {}", i, data::sql_text(named));
  std::string columns;
  if (!role.empty()) columns = fmt::format(", CASE source{} ELSE 'primary' END AS \"role\"", role);
  if (layout.routed) columns += ", route";
  for (const FeatureColumn& column : layout.columns) columns += ", " + data::sql_name(column.name);
  const std::string footer = format::encode_footer(segment.footer).substr(8),
                    head = format::header_json(segment.header);
  return db.run(fmt::format(
      "COPY (SELECT id, make_timestamp(at_us) AS \"at\", client_id, CAST({} AS VARCHAR) AS endpoint, revision, source, "
      "\"row\", "
      "label, score, sample_rate, duration_us{} FROM requests) TO {} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE "
      "16384, "
      "KV_METADATA {{lathe_header: {}, lathe_footer: {}}})",
      data::sql_text(segment.header.endpoint), columns, data::sql_text(to.string()), data::sql_text(head),
      data::sql_text(footer)));
}

base::Result<std::string> metadata(data::DuckDb& db, const base::Path& file, std::string_view key) {
  std::optional<std::string> found;
  TRY(db.query(fmt::format("SELECT decode(value) FROM parquet_kv_metadata({}) WHERE decode(key) = {}",
                           data::sql_text(file.string()), data::sql_text(key)),
               [&](const data::DuckDb::Chunk& chunk) -> base::Result<void> {
                 if (chunk.rows() > 0) found = chunk.text(0, 0);
                 return {};
               }));
  if (!found) return base::invalid(file.filename().string() + " is not an archived capture segment");
  return std::move(*found);
}

// Rows of one request stand together, in order.
class RowReader {
 public:
  RowReader(const Segment& segment, const Layout& layout) : segment_(segment), layout_(layout), frames_(segment) {}

  base::Result<void> add(const data::DuckDb::Chunk& chunk) {
    for (size_t i = 0; i < chunk.rows(); ++i) {
      const int64_t source = chunk.i64(4, i), row = chunk.i64(5, i);
      if (source < 0 || static_cast<size_t>(source) >= layout_.sources.size() || (row != 0 && !open_))
        return base::invalid("the archived rows are not those of a segment");
      if (row == 0) begin(chunk, i, static_cast<uint32_t>(source));
      ++request_.row_count;
      request_.labels.emplace_back(chunk.text(6, i));
      if (!chunk.null(7, i)) request_.scores.push_back(chunk.f64(7, i));
      for (const size_t place : layout_.sources[source_].numbers) {
        const size_t column = first_feature() + place;
        request_.rows.push_back(chunk.null(column, i) ? kMissing : chunk.f64(column, i));
      }
      for (const size_t place : layout_.sources[source_].texts) {
        const size_t column = first_feature() + place;
        request_.texts.emplace_back(chunk.null(column, i) ? "" : chunk.text(column, i));
      }
    }
    return {};
  }
  std::string finish() {
    end();
    return frames_.take();
  }

 private:
  void begin(const data::DuckDb::Chunk& chunk, size_t i, uint32_t source) {
    end();
    open_ = true;
    source_ = source;
    request_ = {.id = std::string(chunk.text(0, i)), .at_us = chunk.i64(1, i), .duration_us = chunk.i64(9, i)};
    if (!chunk.null(2, i)) request_.client_id = chunk.text(2, i);
    if (layout_.routed && !chunk.null(kFixedColumns, i)) request_.route = chunk.text(kFixedColumns, i);
  }
  size_t first_feature() const { return kFixedColumns + (layout_.routed ? 1 : 0); }
  void end() {
    if (open_) frames_.add(source_, request_);
  }

  const Segment& segment_;
  const Layout& layout_;
  Frames frames_;
  bool open_ = false;
  uint32_t source_ = 0;
  serve::CapturedRequest request_;
};

base::Result<std::string> read_parquet(data::DuckDb& db, const base::Path& file) {
  Segment segment;
  TRY_SET(const std::string head, metadata(db, file, "lathe_header"));
  TRY_SET(segment.header, format::parse_header_json(head));
  segment.head = format::encode_header(segment.header);
  TRY_SET(const std::string footer, metadata(db, file, "lathe_footer"));
  TRY_SET(segment.footer, format::decode_footer(std::string(format::kFooterHead) + footer, segment.header));
  const Layout layout(segment.footer.sources);
  std::string columns = layout.routed ? ", route" : "";
  for (const FeatureColumn& column : layout.columns) columns += ", " + data::sql_name(column.name);
  RowReader reader(segment, layout);
  TRY(db.query(
      fmt::format(
          "SELECT id, epoch_us(\"at\"), client_id, CAST(revision AS BIGINT), CAST(source AS BIGINT), "
          "CAST(\"row\" AS BIGINT), label, score, sample_rate, CAST(duration_us AS BIGINT){} FROM read_parquet({})",
          columns, data::sql_text(file.string())),
      [&](const data::DuckDb::Chunk& chunk) { return reader.add(chunk); }));
  return reader.finish();
}

base::Result<std::unique_ptr<data::DuckDb>> open_duckdb(const ScratchDir& scratch) {
  return data::DuckDb::open({.work_dir = scratch.path(), .memory_limit = "256MB"});
}

}  // namespace

base::Result<void> archive_capture(const base::Path& file) {
  TRY_SET(const std::string bytes, base::read_file(file, kMaxSegmentBytes));
  TRY_SET(const Segment segment, read_segment(bytes));
  const base::Path target = base::Path(file).replace_extension(".parquet"), partial = target.string() + ".partial";
  std::error_code ignored;
  std::filesystem::remove(partial, ignored);
  const ScratchDir scratch("lathe-capture-");
  TRY_SET(const auto db, open_duckdb(scratch));
  TRY(write_parquet(*db, segment, partial));

  // The proof: what the file gives back is what the segment holds.
  Frames frames(segment);
  for (const auto& [source, request] : segment.requests) frames.add(source, request);
  auto back = read_parquet(*db, partial);
  if (!back || *back != frames.take()) {
    std::filesystem::remove(partial, ignored);
    return back ? base::Result<void>(base::invalid("Parquet does not give back what the segment holds"))
                : base::Result<void>(std::unexpected(back.error()));
  }
  TRY_SET(const base::Fd fd, base::open_file(partial, O_RDONLY));
  if (::fsync(fd.get()) != 0 || ::rename(partial.c_str(), target.c_str()) != 0)
    return base::errno_error(target.string(), errno);
  return base::fsync_dir(target.parent_path());
}

base::Result<std::string> restore_capture(const base::Path& parquet) {
  const ScratchDir scratch("lathe-capture-");
  TRY_SET(const auto db, open_duckdb(scratch));
  return read_parquet(*db, parquet);
}

}  // namespace cli
