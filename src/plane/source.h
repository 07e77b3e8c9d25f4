// What a data plane serves, as serve's runtime asks for it: the deployments that were applied last, and their files,
// pulled from the control plane by digest into a cache bounded in bytes. A file whose bytes are not its digest's is
// refused, and nothing of it stays.
//
// Thread: safe anywhere; local_file() blocks on the network.
#pragma once

#include <memory>
#include <mutex>

#include "base/metrics.h"
#include "blob/cache.h"
#include "plane/control.h"
#include "plane/snapshot.h"
#include "serve/source.h"

namespace plane {

class PlaneSource final : public serve::Source {
 public:
  PlaneSource(Control& control, std::shared_ptr<blob::Cache> cache, base::Registry& metrics);

  // `wanted` is about to be tried: its revisions and files are found beside those that were applied.
  void offer(std::shared_ptr<const Snapshot> wanted);
  void apply(std::shared_ptr<const Snapshot> applied);  // is what is served from now on; nothing is offered any more
  std::shared_ptr<const Snapshot> applied() const;      // null: nothing yet

  base::Result<std::vector<serve::Deployment>> deployments() override;
  base::Result<serve::Wanted> wanted(int64_t project, std::string_view endpoint, int64_t number) override;
  base::Result<std::vector<blob::Artifact>> files_of(int64_t project, const serve::Revision& revision) override;
  base::Result<blob::BlobStore::LocalFile> local_file(const base::Digest& sha256) override;

 private:
  std::vector<std::shared_ptr<const Snapshot>> both() const;  // what is offered, then what was applied

  Control& control_;
  const std::shared_ptr<blob::Cache> cache_;
  base::Counter& fetched_bytes_;
  base::Counter& refused_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Snapshot> offered_, applied_;  // guarded by mutex_
  std::mutex fetching_;                                // one file at a time: none is fetched twice
};

}  // namespace plane
