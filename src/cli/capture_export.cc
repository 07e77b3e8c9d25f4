#include "cli/capture_export.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "cli/api.h"
#include "cli/data_files.h"
#include "data/duckdb.h"
#include "net/http.h"

namespace cli {
namespace {

using base::json::object;
using base::json::value;

// A cell of CSV: quoted where it must be (RFC 4180).
std::string csv_cell(const value& cell) {
  if (cell.is_null()) return "";
  if (!cell.is_string()) return base::to_text(cell);
  const std::string text(cell.as_string());
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out += '"';
}

// The rows of one captured request, as the server's lines give them.
struct Captured {
  std::string id, client_id;
  int64_t at_us = 0, revision = 0;
  std::vector<object> rows;
};

class Sink {
 public:
  explicit Sink(const std::string& path) {
    if (path.empty()) return;
    fd_ = need(base::open_file(path, O_WRONLY | O_CREAT | O_TRUNC));
  }
  void write(const std::string& text) { need(base::write_all(fd_ ? fd_->get() : STDOUT_FILENO, text)); }

 private:
  std::optional<base::Fd> fd_;
};

void write_sagemaker(std::string& out, const Captured& c) {
  std::string input, answers;
  for (const object& row : c.rows) {
    bool first = true;
    for (const auto& cell : row.at("features").as_object()) {
      if (!first) input += ',';
      first = false;
      input += csv_cell(cell.value());
    }
    input += '\n';
    if (const auto* prediction = row.if_contains("prediction")) answers += csv_cell(*prediction);
    answers += '\n';
  }
  base::JsonWriter w(out);
  w.begin_object().key("captureData").begin_object();
  for (const auto& [key, mode, text] :
       {std::tuple("endpointInput", "INPUT", &input), {"endpointOutput", "OUTPUT", &answers}}) {
    w.key(key).begin_object().field("observedContentType", "text/csv").field("mode", mode);
    w.field("data", *text).field("encoding", "CSV").end_object();
  }
  w.end_object().key("eventMetadata").begin_object().field("eventId", c.id);
  if (!c.client_id.empty()) w.field("inferenceId", c.client_id);
  w.field("inferenceTime", base::format_iso8601(c.at_us)).end_object().field("eventVersion", "0").end_object();
  out += '\n';
}

void write_cloud_events(std::string& out, const std::string& endpoint, const Captured& c) {
  for (const char* kind : {"request", "response"}) {
    const bool asks = std::string_view(kind) == "request";
    base::JsonWriter w(out);
    w.begin_object().field("specversion", "1.0").field("id", c.id).field("source", "/endpoints/" + endpoint);
    w.field("type", std::string("org.kubeflow.serving.inference.") + kind);
    w.field("time", base::format_iso8601(c.at_us)).field("datacontenttype", "application/json");
    w.field("inferenceservicename", endpoint).field("component", "predictor");
    w.field("endpoint", std::to_string(c.revision)).key("data").begin_object();
    w.key(asks ? "instances" : "predictions").begin_array();
    for (const object& row : c.rows) {
      const auto* prediction = row.if_contains("prediction");
      if (asks)
        w.raw(base::to_text(row.at("features")));
      else
        prediction ? w.raw(base::to_text(*prediction)) : w.null();
    }
    w.end_array().end_object().end_object();
    out += '\n';
  }
}

// Calls `take` for each request; its rows follow each other in the server's lines.
template <class Take>
void each_request(Api& api, const std::string& endpoint, Take take) {
  std::optional<Captured> open;
  std::string rest;
  const auto line = [&](std::string_view text) {
    value parsed = need(base::parse_json(text));
    object row = std::move(parsed.as_object());
    const std::string id = text_of(row, "id");
    if (open && open->id != id) {
      take(*open);
      open.reset();
    }
    if (!open)
      open = Captured{.id = id,
                      .client_id = text_of(row, "client_id"),
                      .at_us = row.at("at_us").to_number<int64_t>(),
                      .revision = row.at("revision").to_number<int64_t>()};
    open->rows.push_back(std::move(row));
  };
  std::optional<Failure> failed;
  api.stream("/endpoints/" + net::percent_encode(endpoint) + "/requests", [&](std::string_view bytes) {
    rest += bytes;
    try {
      size_t begin = 0;
      for (size_t end; (end = rest.find('\n', begin)) != std::string::npos; begin = end + 1)
        line(std::string_view(rest).substr(begin, end - begin));
      rest.erase(0, begin);
    } catch (const Failure& failure) {
      failed = failure;
    }
    return !failed;
  });
  if (failed) throw *failed;
  if (open) take(*open);
}

// The server's lines as they are, which DuckDB reads; the file is put in place whole.
void write_parquet(Api& api, const ExportOptions& options) {
  const ScratchDir scratch("lathe-export-");
  const base::Path lines = scratch.path() / "rows.ndjson";
  bool any = false;
  {
    Sink sink(lines.string());
    api.stream("/endpoints/" + net::percent_encode(options.endpoint) + "/requests", [&](std::string_view bytes) {
      sink.write(std::string(bytes));
      any |= !bytes.empty();
      return true;
    });
  }
  if (!any) throw Failure(kRefused, "nothing of '" + options.endpoint + "' is captured");
  const auto db = need(data::DuckDb::open({.work_dir = scratch.path()}));
  const base::Path temp = base::Path(options.output + ".tmp");
  need(
      db->run("COPY (SELECT * EXCLUDE (at_us, features), make_timestamp(CAST(at_us AS BIGINT)) AS \"at\", "
              "unnest(features) FROM read_json(" +
              data::sql_text(lines.string()) +
              ", format = 'newline_delimited', sample_size = -1, maximum_object_size = 16777216)) TO " +
              data::sql_text(temp.string()) + " (FORMAT parquet, COMPRESSION zstd)"));
  std::error_code error;
  std::filesystem::rename(temp, options.output, error);
  if (error) throw Failure(kRefused, options.output + ": " + error.message());
}

}  // namespace

void export_capture(const Common& common, const ExportOptions& options) {
  Api api(common);
  if (options.format == "parquet") {
    if (options.output.empty()) throw Failure(kUsage, "Parquet needs a file: --output FILE.parquet");
    return write_parquet(api, options);
  }
  Sink sink(options.output);
  std::string out;
  each_request(api, options.endpoint, [&](const Captured& captured) {
    out.clear();
    if (options.format == "sagemaker")
      write_sagemaker(out, captured);
    else
      write_cloud_events(out, options.endpoint, captured);
    sink.write(out);
  });
}

}  // namespace cli
