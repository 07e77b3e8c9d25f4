// The MLflow REST door: the stock client's calls → src/track and back, under /api and /ajax-api, 2.0 and 3.0.
#pragma once

#include "blob/blob.h"
#include "net/offload.h"
#include "net/router.h"
#include "store/store.h"

namespace api::mlflow {

struct Options {
  // A model version's runs:/ source needs the run's id beside it, as MLflow 3.17 demands; off, as 3.12 did.
  bool strict_source = true;
};

void add_mlflow_routes(net::RouteTable& routes, net::ErrorWriters& errors, store::Store& store, blob::BlobStore& blobs,
                       net::Offload& offload, Options options = {});

}  // namespace api::mlflow
