// Bodies that become blobs, and blobs that become answers. Thread: the connection's loop; disk work is offloaded.
#pragma once

#include "api/mlflow/door.h"
#include "api/mlflow/places.h"
#include "base/task.h"
#include "blob/blob.h"
#include "net/http.h"
#include "net/offload.h"
#include "store/store.h"

namespace api::mlflow {

struct Shared {  // what the streaming handlers need; lives in the route table
  store::Store* store;
  blob::BlobStore* blobs;
  net::Offload* offload;
  std::shared_ptr<const Places> places;  // never null
};
Shared shared_of(Door& door);

// The whole body, streamed into a blob that no row refers to yet.
base::Task<base::Result<blob::BlobInfo>> receive(Shared shared, net::Request& request);

// Once the row of a proxied path is written or removed: what lies at the destination becomes that.
base::Task<base::Result<void>> settle_plain(Shared shared, net::Request& request, std::string path);

// A stored artifact as the answer: its type by its name, ranges, a sandbox for what may hold scripts.
base::Task<void> send_file(Shared shared, net::Request& request, net::Response& response, blob::Artifact file);

}  // namespace api::mlflow
