#include "plane/source.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"

namespace plane {
namespace {

constexpr int64_t kMaxFile = int64_t{64} << 30;  // bytes

}  // namespace

PlaneSource::PlaneSource(Control& control, std::shared_ptr<blob::Cache> cache, base::Registry& metrics)
    : control_(control),
      cache_(std::move(cache)),
      fetched_bytes_(metrics.counter("lathe_plane_fetched_bytes_total", "Bytes of models' files that were fetched.")),
      refused_(
          metrics.counter("lathe_plane_refused_files_total", "Files whose bytes were not those of their digest.")) {}

void PlaneSource::offer(std::shared_ptr<const Snapshot> wanted) {
  std::lock_guard lock(mutex_);
  offered_ = std::move(wanted);
}

void PlaneSource::apply(std::shared_ptr<const Snapshot> applied) {
  std::lock_guard lock(mutex_);
  applied_ = std::move(applied);
  offered_ = nullptr;
}

std::shared_ptr<const Snapshot> PlaneSource::applied() const {
  std::lock_guard lock(mutex_);
  return applied_;
}

std::vector<std::shared_ptr<const Snapshot>> PlaneSource::both() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<const Snapshot>> out;
  if (offered_) out.push_back(offered_);
  if (applied_) out.push_back(applied_);
  return out;
}

base::Result<std::vector<serve::Deployment>> PlaneSource::deployments() {
  const auto now = applied();
  return now ? now->deployments : std::vector<serve::Deployment>();
}

base::Result<serve::Wanted> PlaneSource::wanted(int64_t, std::string_view endpoint, int64_t number) {
  for (const auto& snapshot : both()) {
    const serve::Deployment* deployment = snapshot->find(endpoint);
    if (!deployment) continue;
    const serve::ServingSettings& serving = deployment->endpoint.serving;
    if (deployment->live.number == number) return serve::Wanted{deployment->live, serving};
    const auto other = std::ranges::find(deployment->others, number, &serve::Revision::number);
    if (other != deployment->others.end()) return serve::Wanted{*other, serving};
  }
  return base::not_found("endpoint '" + std::string(endpoint) + "' has no revision " + std::to_string(number) +
                         " that this plane was told of");
}

base::Result<std::vector<blob::Artifact>> PlaneSource::files_of(int64_t, const serve::Revision& revision) {
  for (const auto& snapshot : both()) {
    const auto found = snapshot->files.find(revision.artifact_root);
    if (found != snapshot->files.end()) return found->second;
  }
  return std::vector<blob::Artifact>();
}

base::Result<blob::BlobStore::LocalFile> PlaneSource::local_file(const base::Digest& sha256) {
  std::lock_guard lock(fetching_);
  if (auto held = cache_->hold(sha256)) return std::move(*held);
  TRY_SET(blob::TempFile file, cache_->begin());
  base::Hasher hasher(base::HashAlgo::kSha256);
  int64_t size = 0;
  const auto fetched = control_.fetch(sha256, [&](std::string_view bytes) -> base::Result<void> {
    size += static_cast<int64_t>(bytes.size());
    if (size > kMaxFile) return base::fail(base::Code::kTooLarge, "a model's file has more than 64 GiB");
    hasher.update(bytes);
    fetched_bytes_.add(bytes.size());
    return base::write_all(file.fd.get(), bytes);
  });
  const base::Digest found = hasher.finish();
  if (!fetched || found != sha256) {
    ::unlink(file.path.c_str());
    if (!fetched) return std::unexpected(base::Error(fetched.error()).within("file " + sha256.hex()));
    refused_.add();
    return base::fail(base::Code::kUnavailable, "file " + sha256.hex() +
                                                    " is refused: the bytes that came have the "
                                                    "digest " +
                                                    found.hex());
  }
  // Durable: what is laid out of it is trusted at the next start without another look.
  if (::fdatasync(file.fd.get()) != 0) return base::errno_error(file.path.string(), errno);
  return cache_->keep(std::move(file), sha256, size);
}

}  // namespace plane
