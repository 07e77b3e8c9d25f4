#include "serve/source.h"

#include "base/clock.h"

namespace serve {
namespace {

class StoreSource final : public Source {
 public:
  StoreSource(store::Store& store, blob::BlobStore& blobs) : store_(store), blobs_(blobs) {}

  base::Result<std::vector<Deployment>> deployments() override {
    return store_.read_blocking(
        context(base::kDefaultProject),
        [](store::Tx& tx) -> base::Result<std::vector<Deployment>> { return list_deployments(tx); });
  }
  base::Result<Wanted> wanted(int64_t project, std::string_view endpoint, int64_t number) override {
    return store_.read_blocking(context(project), [&](store::Tx& tx) -> base::Result<Wanted> {
      TRY_SET(Revision revision, get_revision(tx, endpoint, number));
      TRY_SET(Endpoint row, get_endpoint(tx, endpoint));
      return Wanted{std::move(revision), std::move(row.serving)};
    });
  }
  base::Result<std::vector<blob::Artifact>> files_of(int64_t project, const Revision& revision) override {
    return store_.read_blocking(context(project), [&](store::Tx& tx) -> base::Result<std::vector<blob::Artifact>> {
      return blob::list_artifacts(tx, revision.artifact_root);
    });
  }
  base::Result<blob::BlobStore::LocalFile> local_file(const base::Digest& sha256) override {
    return blobs_.local_file(sha256);
  }

 private:
  static base::Context context(int64_t project) {
    base::Context ctx = base::Context::system(base::system_clock(), "system:serve");
    ctx.project = project;
    return ctx;
  }
  store::Store& store_;
  blob::BlobStore& blobs_;
};

}  // namespace

std::shared_ptr<Source> store_source(store::Store& store, blob::BlobStore& blobs) {
  return std::make_shared<StoreSource>(store, blobs);
}

}  // namespace serve
