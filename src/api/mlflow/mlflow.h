// The MLflow REST door: the stock client's calls → src/track and back, under /api and /ajax-api, 2.0 and 3.0.
#pragma once

#include "api/mlflow/locations.h"
#include "api/mlflow/places.h"
#include "blob/blob.h"
#include "net/offload.h"
#include "net/router.h"
#include "store/store.h"

namespace api::mlflow {

struct Options {
  // A model version's runs:/ source needs the run's id beside it, as MLflow 3.17 demands; off, as 3.12 did.
  bool strict_source = true;
  std::string default_artifact_root;  // "": ours
  std::shared_ptr<const LocationPolicy> locations;
  std::shared_ptr<const Places> places;  // null: the content-addressed store alone
};

void add_mlflow_routes(net::RouteTable& routes, net::ErrorWriters& errors, store::Store& store, blob::BlobStore& blobs,
                       net::Offload& offload, const Options& options);

}  // namespace api::mlflow
