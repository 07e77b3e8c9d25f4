// Source: where a runtime learns what is to be served, and gets the files of models from: this server's own store, or
// what a control plane has said (src/plane).
//
// Thread: safe anywhere; the calls block.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "blob/blob.h"
#include "serve/endpoint.h"
#include "store/store.h"

namespace serve {

// A revision with what its endpoint says about running it.
struct Wanted {
  Revision revision;
  ServingSettings serving;
};

class Source {
 public:
  virtual ~Source() = default;
  virtual base::Result<std::vector<Deployment>> deployments() = 0;  // of all projects
  virtual base::Result<Wanted> wanted(int64_t project, std::string_view endpoint, int64_t number) = 0;  // kNotFound
  virtual base::Result<std::vector<blob::Artifact>> files_of(int64_t project, const Revision& revision) = 0;
  virtual base::Result<blob::BlobStore::LocalFile> local_file(const base::Digest& sha256) = 0;  // kNotFound
};

std::shared_ptr<Source> store_source(store::Store& store, blob::BlobStore& blobs);  // both outlive it

}  // namespace serve
