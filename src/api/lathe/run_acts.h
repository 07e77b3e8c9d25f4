// Acts on many runs: POST /api/lathe/v1/runs/{move,copy,purge}.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "blob/blob.h"
#include "blob/plain_folder.h"
#include "net/offload.h"
#include "net/router.h"
#include "store/store.h"
#include "track/purge.h"

namespace api::lathe {

// What other rooms keep of the experiments that go; one step of it.
struct PurgedMore {
  bool more = false;
  std::vector<std::string> folders;  // as track::Purged has them
};
using PurgeMore = std::function<base::Result<PurgedMore>(store::Tx& tx, const track::Purge& purge)>;

struct RunActsDoor {  // outlives the routes
  store::Store& store;
  blob::BlobStore& blobs;
  net::Offload& offload;
  std::shared_ptr<const blob::PlainFolder> destination;  // where proxied files lie as plain files, too; or null
  PurgeMore purge_more;
};

void add_run_acts_routes(net::RouteTable& routes, const RunActsDoor& door);

}  // namespace api::lathe
