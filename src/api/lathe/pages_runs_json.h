// Runs as the pages ask for and write them. Used by pages_runs.cc, pages_run.cc and pages_run_groups.cc.
#pragma once

#include "api/lathe/page_args.h"
#include "base/json_writer.h"
#include "net/http.h"
#include "track/run_table.h"

namespace api::lathe {

void write_run_info(base::JsonWriter& w, const track::RunInfo& info);  // fields of an open object
void write_cell(base::JsonWriter& w, const track::Cell& cell);
void write_row(base::JsonWriter& w, const track::TableRow& row, bool lost);
// Its stage ended and it never said so: whatever ran it is gone.
bool is_lost(store::Tx& tx, const track::RunInfo& info);
// exp, q, view and until of a request.
track::RunSearch run_search(PageArgs& args);
// No experiment named: all that are active.
base::Result<void> add_experiments(store::Tx& tx, std::vector<std::string>& ids);
// The error of a filter tells the page where to mark it.
void fail_filter(net::Response& response, const net::Request& request, const std::string& filter,
                 const track::FilterProblem& problem);
std::string column_name(const track::Column& column);  // as it is asked for: "min(metrics.loss)"

}  // namespace api::lathe
