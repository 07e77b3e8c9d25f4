// What the browser's pages about pipelines ask for, each page in one request. GET below /api/lathe/v1/pages:
//   /pipelines?runs= · /pipelines/{name}?before=&runs=   the list; one pipeline's stages, schedule and grid of runs
//   /pipelines/{name}/runs/{run}                         one run: graph, stages, attempts, what each waits for
//   /attempts/{id}/log?from=&limit=                      lines of a log (a negative `from` counts from its end)
//   /attempts/{id}/log/search?q=&level=&limit=           numbers of the lines that hold a text, or of warnings and
//   errors
#pragma once

#include <memory>

#include "base/fs.h"
#include "base/line_index.h"
#include "net/offload.h"
#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

struct PipelinePagesDoor {  // all outlive the routes
  store::Store& store;
  net::Offload& offload;
  base::Path dir;  // DIR: logs lie in DIR/attempts/<id>/log
  std::shared_ptr<base::LineIndexes> logs = std::make_shared<base::LineIndexes>(false);
};

void add_pages_flow_routes(net::RouteTable& routes, const PipelinePagesDoor& door);

}  // namespace api::lathe
