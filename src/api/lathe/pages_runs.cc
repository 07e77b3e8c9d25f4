#include "api/lathe/pages_runs.h"

#include <algorithm>
#include <array>

#include "api/lathe/errors.h"
#include "api/lathe/page_args.h"
#include "api/lathe/pages_runs_json.h"
#include "api/lathe/routes.h"
#include "stats/table.h"
#include "track/experiments.h"
#include "track/validate.h"

namespace api::lathe {

namespace {

constexpr net::RouteLimits kDownload{.body_bytes = 0, .deadline_us = 600'000'000};
constexpr int64_t kMaxCsvRows = 200'000;
constexpr int64_t kCsvWindow = track::kMaxWindow;
constexpr std::array<std::string_view, 3> kViews = {"active", "deleted", "all"};

using store::Tx;

struct RunsRequest {
  track::RunSearch search;
  std::vector<std::string> column_texts;
  std::vector<track::Column> columns;
  bool default_columns = false;
};

base::Result<RunsRequest> parse_runs(const net::Request& request) {
  PageArgs args(request);
  RunsRequest out;
  out.search = run_search(args);
  out.search.order_by = args.texts("sort");
  out.search.max_results = args.integer("limit", 200, 1, track::kMaxWindow);
  out.search.offset = args.integer("offset", 0, 0, track::kMaxRows);
  out.search.page_token = args.text("after");
  out.search.above_row = args.integer("above");
  TRY(args.status());
  out.column_texts = args.texts("col");
  for (const std::string& text : out.column_texts) {
    TRY_SET(track::Column column, track::run_column(text));
    out.columns.push_back(std::move(column));
  }
  out.default_columns = out.column_texts.empty() && !args.flag("bare");
  TRY(args.status());
  return out;
}

// A person who has chosen nothing sees the metrics that usually decide, then parameters; never the machine's own.
base::Result<std::vector<track::Column>> usual_columns(Tx& tx, const std::vector<std::string>& experiment_ids) {
  constexpr size_t kMetrics = 3, kParams = 2;  // fit on a laptop's screen beside what every run has
  static constexpr std::array<std::string_view, 9> kWords = {"accuracy", "auc",  "f1",  "score", "r2",
                                                             "loss",     "rmse", "mae", "error"};
  const auto rank = [](const std::string& name) {
    const auto word = std::ranges::find_if(kWords, [&](std::string_view w) { return name.find(w) != name.npos; });
    return std::pair(word - kWords.begin(), name.size());
  };
  std::vector<track::Column> out;
  track::KeySearch search{
      .experiment_ids = experiment_ids, .field = track::Field::kMetric, .contains = "", .limit = 200};
  TRY_SET(auto metrics, track::list_keys(tx, search));
  std::erase_if(metrics, [](const std::string& name) { return name.starts_with("system/"); });
  std::ranges::stable_sort(metrics, {}, rank);
  metrics.resize(std::min(metrics.size(), kMetrics));
  for (std::string& name : metrics) out.push_back({track::Field::kMetric, std::move(name)});
  search.field = track::Field::kParam;
  search.limit = kParams;
  TRY_SET(auto params, track::list_keys(tx, search));
  for (std::string& name : params) out.push_back({track::Field::kParam, std::move(name)});
  return out;
}

// False: answered with what is wrong.
bool checked(const base::Result<RunsRequest>& in, net::Request& request, net::Response& response) {
  if (!in) return fail(response, request, in.error()), false;
  const auto problem = track::check_run_filter(in->search.filter);
  if (problem) return fail_filter(response, request, in->search.filter, *problem), false;
  return true;
}

struct Window {
  track::Page<track::TableRow> page;
  std::vector<track::Column> columns;
  std::vector<bool> lost;  // row by row
  int64_t newest = 0;
};

base::Task<void> get_runs(const PageDoor& door, net::Request& request, net::Response& response) {
  const auto in = parse_runs(request);
  if (!checked(in, request, response)) co_return;
  auto read = [&](Tx& tx) -> base::Result<Window> {
    track::RunSearch search = in->search;
    TRY(add_experiments(tx, search.experiment_ids));
    Window out;
    out.newest = in->search.until_row ? *in->search.until_row : track::newest_run_row(tx);
    search.until_row = out.newest;
    out.columns = in->columns;
    if (in->default_columns) {
      TRY_SET(out.columns, usual_columns(tx, search.experiment_ids));
    }
    TRY_SET(out.page, track::run_window(tx, search, out.columns));
    for (const track::TableRow& row : out.page.rows) out.lost.push_back(is_lost(tx, row.info));
    return out;
  };
  const auto found = co_await door.store.read(request.ctx, read);
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().key("columns").begin_array();
  for (const track::Column& column : found->columns) w.value(column_name(column));
  w.end_array().key("rows").begin_array();
  for (size_t i = 0; i < found->page.rows.size(); ++i) write_row(w, found->page.rows[i], found->lost[i]);
  w.end_array().field("until", found->newest);
  if (!found->page.next_token.empty()) w.field("next", found->page.next_token);
  w.end_object();
  response.send_json(std::move(body));
}

base::Task<void> get_count(const PageDoor& door, net::Request& request, net::Response& response) {
  const auto in = parse_runs(request);
  if (!checked(in, request, response)) co_return;
  // Without a filter an index alone is counted; with one, every match must be looked at.
  const int64_t most = in->search.filter.empty() ? track::kMaxRows : track::kMaxCounted;
  auto read = [&](Tx& tx) -> base::Result<int64_t> {
    track::RunSearch search = in->search;
    TRY(add_experiments(tx, search.experiment_ids));
    return track::count_runs(tx, search, most);
  };
  const auto found = co_await door.store.read(request.ctx, read);
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter(body).begin_object().field("count", *found).field("at_least", *found >= most).end_object();
  response.send_json(std::move(body));
}

// --- names and values ------------------------------------------------------------------------------------------------

base::Task<void> send_names(const PageDoor& door, net::Request& request, net::Response& response, bool values) {
  static constexpr std::array<std::string_view, 3> kKinds = {"metric", "param", "tag"};
  PageArgs args(request);
  track::KeySearch search;
  search.experiment_ids = args.texts("exp");
  const auto kind = args.choice("kind", kKinds);
  search.field = kind == "metric" ? track::Field::kMetric : kind == "param" ? track::Field::kParam : track::Field::kTag;
  search.contains = args.text("contains");
  search.limit = args.integer("limit", 50, 1, track::kMaxListedKeys);
  const std::string key = args.text("key");
  if (const auto good = args.status(); !good) co_return fail(response, request, good.error());
  if (values && key.empty())
    co_return fail(response, request, {base::Code::kInvalid, "'key' is missing: whose values?"});
  auto read = [&](Tx& tx) -> base::Result<std::vector<std::string>> {
    track::KeySearch asked = search;
    TRY(add_experiments(tx, asked.experiment_ids));
    return values ? track::list_values(tx, asked, key) : track::list_keys(tx, asked);
  };
  const auto found = co_await door.store.read(request.ctx, read);
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().key(values ? "values" : "keys").begin_array();
  for (const std::string& name : *found) w.value(name);
  w.end_array().end_object();
  response.send_json(std::move(body));
}

base::Task<void> get_keys(const PageDoor& door, net::Request& request, net::Response& response) {
  return send_names(door, request, response, false);
}
base::Task<void> get_values(const PageDoor& door, net::Request& request, net::Response& response) {
  return send_names(door, request, response, true);
}

void write_experiment(base::JsonWriter& w, const track::ExperimentSummary& one) {
  w.begin_object().field("id", std::to_string(one.id)).field("name", one.name).field("runs", one.runs);
  w.key("newest_ms");
  one.newest_ms ? w.value(*one.newest_ms) : w.null();
  w.end_object();
}

base::Task<void> get_experiments(const PageDoor& door, net::Request& request, net::Response& response) {
  const auto found = co_await door.store.read(
      request.ctx, [&](Tx& tx) { return track::experiment_summaries(tx, track::kMaxSearchedExperiments); });
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().key("experiments").begin_array();
  for (const auto& one : *found) write_experiment(w, one);
  w.end_array().end_object();
  response.send_json(std::move(body));
}

base::Task<void> get_folder(const PageDoor& door, net::Request& request, net::Response& response) {
  std::string path = request.query_value("path").value_or("");
  while (path.ends_with('/')) path.pop_back();
  const auto found = co_await door.store.read(request.ctx, [&](Tx& tx) { return track::experiment_folder(tx, path); });
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().key("folders").begin_array();
  for (const auto& folder : found->folders) {
    w.begin_object().field("name", folder.name).field("experiments", folder.experiments).end_object();
  }
  w.end_array().key("experiments").begin_array();
  for (const auto& one : found->experiments) write_experiment(w, one);
  w.end_array().end_object();
  response.send_json(std::move(body));
}

// --- CSV -------------------------------------------------------------------------------------------------------------

void append_cell(std::string& out, const track::Cell& cell) {
  if (cell.kind == track::Cell::Kind::kNumber) stats::append_number(out, cell.number);
  if (cell.kind == track::Cell::Kind::kText) stats::append_csv_field(out, cell.text);
}

std::string csv_rows(const std::vector<track::TableRow>& rows) {
  std::string out;
  for (const track::TableRow& row : rows) {
    out += row.info.run_id + ",";
    stats::append_csv_field(out, row.info.name);
    out += "," + std::to_string(row.info.experiment) + "," + std::string(track::name(row.info.status)) + ",";
    stats::append_csv_field(out, row.info.user_id);
    out += "," + std::to_string(row.info.start_ms) + "," +
           (row.info.end_ms ? std::to_string(*row.info.end_ms) : std::string());
    for (const track::Cell& cell : row.cells) append_cell(out += ",", cell);
    out += "\n";
  }
  return out;
}

// The list as the page shows it, or the runs that were selected (?id=…), row window by row window.
base::Task<void> get_csv(const PageDoor& door, net::Request& request, net::Response& response) {
  const auto in = parse_runs(request);
  if (!checked(in, request, response)) co_return;
  const auto ids = request.query_values("id");
  Window window;
  window.columns = in->columns;
  track::RunSearch search = in->search;
  auto read = [&](Tx& tx) -> base::Result<track::Page<track::TableRow>> {
    TRY(add_experiments(tx, search.experiment_ids));
    if (in->default_columns && window.columns.empty()) {
      TRY_SET(window.columns, usual_columns(tx, search.experiment_ids));
    }
    if (ids.empty()) return track::run_window(tx, search, window.columns);
    track::Page<track::TableRow> page;
    TRY_SET(page.rows, track::run_rows(tx, ids, window.columns));
    return page;
  };
  search.max_results = kCsvWindow;
  search.offset = 0;
  auto page = co_await door.store.read(request.ctx, read);
  if (!page) co_return fail(response, request, page.error());
  std::string head = "run_id,name,experiment_id,status,user,start_ms,end_ms";
  for (const track::Column& column : window.columns) stats::append_csv_field(head += ",", column_name(column));
  response.header("Content-Disposition", "attachment; filename=\"runs.csv\"");
  if (!co_await response.begin(200, "text/csv; charset=utf-8")) co_return;
  if (!co_await response.write(head + "\n" + csv_rows(page->rows))) co_return;
  for (int64_t given = kCsvWindow; !page->next_token.empty() && given < kMaxCsvRows; given += kCsvWindow) {
    search.page_token = page->next_token;
    page = co_await door.store.read(request.ctx, read);
    if (!page || !co_await response.write(csv_rows(page->rows))) co_return;  // cut short: the peer sees no end
  }
  (void)co_await response.end();
}

}  // namespace

void add_pages_runs_routes(net::RouteTable& routes, const PageDoor& door) {
  const auto add = page_adder(routes, door);
  add("/experiments", get_experiments);
  add("/experiments/folder", get_folder);
  add("/runs", get_runs);
  add("/runs/count", get_count);
  add("/runs/keys", get_keys);
  add("/runs/values", get_values);
  add("/runs.csv", get_csv, kDownload);
}

// --- arguments, shared with pages_run_groups.cc ---------------------------------------------------------------------

track::RunSearch run_search(PageArgs& args) {
  track::RunSearch search;
  search.experiment_ids = args.texts("exp");
  search.filter = args.text("q");
  const auto view = args.choice("view", kViews);
  search.view = view == "active" ? track::View::kActive : view == "deleted" ? track::View::kDeleted : track::View::kAll;
  search.until_row = args.integer("until");
  return search;
}

base::Result<void> add_experiments(Tx& tx, std::vector<std::string>& ids) {
  if (!ids.empty()) return {};
  TRY_SET(ids, track::active_experiment_ids(tx, track::kMaxSearchedExperiments));
  return {};
}

void fail_filter(net::Response& response, const net::Request& request, const std::string& filter,
                 const track::FilterProblem& problem) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("error").begin_object().field("code", base::name(base::Code::kInvalid));
  json.field("message", problem.message).field("request_id", request.ctx.request_id);
  json.field("at", track::count_chars(std::string_view(filter).substr(0, problem.at)));
  json.end_object().end_object();
  response.send_json(std::move(body), net::http_status(base::Code::kInvalid));
}

// --- JSON, shared with pages_run.cc ----------------------------------------------------------------------------------

void write_run_info(base::JsonWriter& w, const track::RunInfo& info) {
  w.field("id", info.run_id).field("name", info.name).field("experiment", std::to_string(info.experiment));
  w.field("status", track::name(info.status)).field("user", info.user_id).field("start_ms", info.start_ms);
  w.key("end_ms");
  info.end_ms ? w.value(*info.end_ms) : w.null();
  if (!info.attempt.empty()) w.field("attempt", info.attempt);
  if (info.deleted) w.field("deleted", true);
}

void write_cell(base::JsonWriter& w, const track::Cell& cell) {
  switch (cell.kind) {
    case track::Cell::Kind::kNone: w.null(); return;
    case track::Cell::Kind::kNumber: w.value(cell.number); return;
    case track::Cell::Kind::kText: w.value(cell.text); return;
  }
}

void write_row(base::JsonWriter& w, const track::TableRow& row, bool lost) {
  w.begin_object();
  write_run_info(w, row.info);
  if (lost) w.field("lost", true);
  w.key("data").begin_array();
  for (const std::string& one : row.data) w.value(one);
  w.end_array().key("cells").begin_array();
  for (const track::Cell& cell : row.cells) write_cell(w, cell);
  w.end_array().end_object();
}

std::string column_name(const track::Column& column) {
  const std::string name = (column.field == track::Field::kMetric  ? "metrics."
                            : column.field == track::Field::kParam ? "params."
                                                                   : "tags.") +
                           ("`" + column.key + "`");
  const bool plain = std::ranges::all_of(column.key, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
  });
  const std::string shown = plain ? name.substr(0, name.find('`')) + column.key : name;
  if (column.pick == track::Pick::kLast) return shown;
  return (column.pick == track::Pick::kMin ? "min(" : "max(") + shown + ")";
}

}  // namespace api::lathe
