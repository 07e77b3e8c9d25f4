// What the browser's pages about data ask for. GET below /api/lathe/v1/pages; {ref}: "digits@3", "digits@latest", an
// id.
//   /data                                every data set with its newest version
//   /data/{ref}                          one version: files, schema, profile, what it is made of and where it is used;
//   and
//                                        the numbers of all versions
//   /data/{ref}/rows?file=&from=&limit=  rows of one of its CSV files
//   /data/{ref}/diff?against=            what differs from another version: files, schema, rows, columns
#pragma once

#include <memory>

#include "api/lathe/blobs.h"
#include "base/line_index.h"
#include "net/router.h"
#include "store/store.h"

namespace api::lathe {

class DiffCache;  // of pages_data.cc

struct DataPagesDoor {  // all outlive the routes
  DataPagesDoor(store::Store& s, const BlobDoor& b);
  store::Store& store;
  BlobDoor blobs;
  std::shared_ptr<base::LineIndexes> records;
  std::shared_ptr<DiffCache> diffs;
};

void add_pages_data_routes(net::RouteTable& routes, const DataPagesDoor& door);

}  // namespace api::lathe
