// Runs by what they have in common: how many, and of each metric the mean, the spread, the least and the greatest. One
// pass over the matches, window by window; past kMaxGroupedRuns the answer says that it is cut.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

#include "api/lathe/errors.h"
#include "api/lathe/page_args.h"
#include "api/lathe/pages_runs.h"
#include "api/lathe/pages_runs_json.h"
#include "api/lathe/routes.h"

namespace api::lathe {

namespace {

constexpr int64_t kMaxGroupedRuns = 50'000;
constexpr size_t kMaxGroups = 2000;  // further values are counted together under "others"
constexpr size_t kMaxGroupKeys = 3;  // grouped by at once
constexpr size_t kMaxPinned = 100;   // rows asked for by id
constexpr std::array<std::string_view, 4> kOwn = {"experiment", "status", "user", "data"};

using store::Tx;

// Welford's sums: exact enough for values of any size.
struct Sums {
  int64_t count = 0;
  double mean = 0, squares = 0;
  double least = std::numeric_limits<double>::infinity();
  double greatest = -std::numeric_limits<double>::infinity();

  void add(double value) {
    if (!std::isfinite(value)) return;
    const double away = value - mean;
    mean += away / static_cast<double>(++count);
    squares += away * (value - mean);
    least = std::min(least, value);
    greatest = std::max(greatest, value);
  }
};

using GroupKey = std::vector<std::optional<std::string>>;  // nullopt: the run has no such value
struct Group {
  int64_t runs = 0;
  int64_t running = 0, failed = 0;
  int64_t newest_ms = 0;
  std::vector<Sums> cells;
};
struct Groups {
  std::map<GroupKey, Group> by_key;
  Group others;  // of keys past kMaxGroups
  int64_t runs = 0;
  bool cut = false;
};

struct GroupRequest {
  track::RunSearch search;
  std::vector<std::string> by;         // as asked
  std::vector<track::Column> columns;  // the metrics, then those that are grouped by
  std::vector<size_t> by_column;       // of each `by` its column; SIZE_MAX: one of kOwn
  size_t metrics = 0;
};

base::Result<GroupRequest> parse_groups(const net::Request& request) {
  PageArgs args(request);
  GroupRequest out;
  out.search = run_search(args);
  out.by = args.texts("by");
  TRY(args.status());
  if (out.by.empty() || out.by.size() > kMaxGroupKeys)
    return std::unexpected(base::Error{base::Code::kInvalid, "'by' names " + std::to_string(out.by.size()) +
                                                                 " columns; runs are grouped by 1 to " +
                                                                 std::to_string(kMaxGroupKeys)});
  for (const std::string& text : args.texts("col")) {
    TRY_SET(track::Column column, track::run_column(text));
    if (column.field == track::Field::kMetric) out.columns.push_back(std::move(column));
  }
  out.metrics = out.columns.size();
  for (const std::string& text : out.by) {
    out.by_column.push_back(SIZE_MAX);
    if (std::ranges::find(kOwn, text) != kOwn.end()) continue;
    TRY_SET(track::Column column, track::run_column(text));
    out.by_column.back() = out.columns.size();
    out.columns.push_back(std::move(column));
  }
  return out;
}

std::optional<std::string> own_value(const track::TableRow& row, std::string_view by) {
  if (by == "experiment") return std::to_string(row.info.experiment);
  if (by == "status") return std::string(track::name(row.info.status));
  if (by == "user") return row.info.user_id.empty() ? std::nullopt : std::optional(row.info.user_id);
  if (row.data.empty()) return std::nullopt;
  return row.data.front();
}

std::optional<std::string> cell_value(const track::Cell& cell) {
  if (cell.kind == track::Cell::Kind::kNone) return std::nullopt;
  if (cell.kind == track::Cell::Kind::kText) return cell.text;
  std::string text;
  if (std::isfinite(cell.number))
    base::append_double(text, cell.number);
  else
    text = std::isnan(cell.number) ? "NaN" : cell.number > 0 ? "Infinity" : "-Infinity";
  return text;
}

void add_row(Groups& groups, const GroupRequest& in, const track::TableRow& row) {
  GroupKey key;
  for (size_t i = 0; i < in.by.size(); ++i) {
    key.push_back(in.by_column[i] == SIZE_MAX ? own_value(row, in.by[i]) : cell_value(row.cells[in.by_column[i]]));
  }
  const auto found = groups.by_key.find(key);
  const bool full = found == groups.by_key.end() && groups.by_key.size() >= kMaxGroups;
  Group& group = full ? groups.others : groups.by_key[std::move(key)];
  group.cells.resize(in.metrics);
  ++group.runs;
  group.running += row.info.status == track::RunStatus::kRunning;
  group.failed += row.info.status == track::RunStatus::kFailed;
  group.newest_ms = std::max(group.newest_ms, row.info.start_ms);
  for (size_t i = 0; i < in.metrics; ++i) {
    if (row.cells[i].kind == track::Cell::Kind::kNumber) group.cells[i].add(row.cells[i].number);
  }
}

void write_group(base::JsonWriter& w, const GroupKey& key, const Group& group) {
  w.begin_object().key("key").begin_array();
  for (const auto& value : key) value ? w.value(*value) : w.null();
  w.end_array().field("runs", group.runs).field("running", group.running).field("failed", group.failed);
  w.field("newest_ms", group.newest_ms).key("cells").begin_array();
  for (const Sums& sums : group.cells) {
    if (sums.count == 0) {
      w.null();
      continue;
    }
    w.begin_object().field("count", sums.count).field("mean", sums.mean).key("sd");
    sums.count > 1 ? w.value(std::sqrt(sums.squares / static_cast<double>(sums.count - 1))) : w.null();
    w.field("min", sums.least).field("max", sums.greatest).end_object();
  }
  w.end_array().end_object();
}

base::Task<void> get_groups(const PageDoor& door, net::Request& request, net::Response& response) {
  const auto in = parse_groups(request);
  if (!in) co_return fail(response, request, in.error());
  if (const auto problem = track::check_run_filter(in->search.filter))
    co_return fail_filter(response, request, in->search.filter, *problem);
  Groups groups;
  track::RunSearch search = in->search;
  search.max_results = track::kMaxWindow;
  auto read = [&](Tx& tx) -> base::Result<track::Page<track::TableRow>> {
    TRY(add_experiments(tx, search.experiment_ids));
    if (!search.until_row) search.until_row = track::newest_run_row(tx);
    return track::run_window(tx, search, in->columns);
  };
  do {  // a read each: none holds a connection for long
    const auto page = co_await door.store.read(request.ctx, read);
    if (!page) co_return fail(response, request, page.error());
    for (const track::TableRow& row : page->rows) add_row(groups, *in, row);
    groups.runs += static_cast<int64_t>(page->rows.size());
    search.page_token = page->next_token;
    groups.cut = !search.page_token.empty() && groups.runs >= kMaxGroupedRuns;
  } while (!search.page_token.empty() && !groups.cut);
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().key("by").begin_array();
  for (const std::string& by : in->by) w.value(by);
  w.end_array().key("columns").begin_array();
  for (size_t i = 0; i < in->metrics; ++i) w.value(column_name(in->columns[i]));
  w.end_array().field("runs", groups.runs).field("cut", groups.cut).key("groups").begin_array();
  for (const auto& [key, group] : groups.by_key) write_group(w, key, group);
  w.end_array();
  if (groups.others.runs > 0) {
    w.key("others");
    write_group(w, {}, groups.others);
  }
  w.end_object();
  response.send_json(std::move(body));
}

// The rows of runs that are named, such as those a person pinned above the list.
base::Task<void> get_rows(const PageDoor& door, net::Request& request, net::Response& response) {
  const auto ids = request.query_values("id");
  if (ids.empty() || ids.size() > kMaxPinned)
    co_return fail(response, request,
                   {base::Code::kInvalid, "'id' names " + std::to_string(ids.size()) + " runs; from 1 to " +
                                              std::to_string(kMaxPinned) + " rows can be asked for"});
  std::vector<track::Column> columns;
  for (const std::string& text : request.query_values("col")) {
    auto column = track::run_column(text);
    if (!column) co_return fail(response, request, column.error());
    columns.push_back(std::move(*column));
  }
  struct Found {
    std::vector<track::TableRow> rows;
    std::vector<bool> lost;
  };
  auto read = [&](Tx& tx) -> base::Result<Found> {
    Found out;
    TRY_SET(out.rows, track::run_rows(tx, ids, columns));
    for (const track::TableRow& row : out.rows) out.lost.push_back(is_lost(tx, row.info));
    return out;
  };
  const auto found = co_await door.store.read(request.ctx, read);
  if (!found) co_return fail(response, request, found.error());
  std::string body;
  base::JsonWriter w(body);
  w.begin_object().key("rows").begin_array();
  for (size_t i = 0; i < found->rows.size(); ++i) write_row(w, found->rows[i], found->lost[i]);
  w.end_array().end_object();
  response.send_json(std::move(body));
}

}  // namespace

void add_pages_run_group_routes(net::RouteTable& routes, const PageDoor& door) {
  const auto add = page_adder(routes, door);
  add("/runs/groups", get_groups);
  add("/runs/rows", get_rows);
}

}  // namespace api::lathe
