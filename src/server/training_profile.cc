#include "server/training_profile.h"

#include <map>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>

#include "base/clock.h"
#include "serve/runtime.h"
#include "watch/profile.h"
#include "watch/watch.h"

namespace server {
namespace {

using Ptr = std::shared_ptr<const serve::TrainingProfile>;
constexpr size_t kKept = 64;                  // profiles; past it all are read anew
constexpr int64_t kLookAgainUs = 10'000'000;  // for a profile that was not there

serve::TrainingFeature feature_of(const watch::FeatureProfile& in) {
  serve::TrainingFeature out{.name = in.name, .text = in.text};
  const auto rows = static_cast<double>(in.rows + in.missing);
  out.missing = rows > 0 ? static_cast<double>(in.missing) / rows : 0;
  if (!in.categories.empty()) {
    out.categories = in.categories;
    for (const int64_t count : in.counts) out.shares.push_back(rows > 0 ? static_cast<double>(count) / rows : 0);
    out.shares.resize(out.categories.size());
  } else if (in.kind == watch::FeatureKind::kConstant && !in.text) {
    out.sample = {in.low};
  } else {
    for (size_t i = 0; i < in.sample.values.size(); ++i)
      out.sample.insert(out.sample.end(), static_cast<size_t>(in.sample.counts[i]), in.sample.values[i]);
  }
  return out;
}

class Profiles {
 public:
  Profiles(store::Store& store, blob::BlobStore& blobs) : store_(store), blobs_(blobs) {}

  base::Result<Ptr> of(const serve::LiveEndpoint& endpoint) {
    const Key key{endpoint.project, endpoint.name, endpoint.revision.number};
    const int64_t now = base::system_clock().mono_us();
    {
      std::lock_guard lock(mutex_);
      const auto found = kept_.find(key);
      if (found != kept_.end() && (found->second.profile || now < found->second.look_again_us))
        return found->second.profile;
    }
    TRY_SET(Ptr profile, read(endpoint));
    std::lock_guard lock(mutex_);
    if (kept_.size() >= kKept) kept_.clear();
    kept_.insert_or_assign(key, Kept{profile, now + kLookAgainUs});
    return profile;
  }

 private:
  using Key = std::tuple<int64_t, std::string, int64_t>;  // project, endpoint, revision
  struct Kept {
    Ptr profile;
    int64_t look_again_us = 0;
  };

  base::Result<Ptr> read(const serve::LiveEndpoint& endpoint) {
    base::Context ctx = base::Context::system(base::system_clock(), "system:serve");
    ctx.project = endpoint.project;
    TRY_SET(const auto baseline,
            store_.read_blocking(ctx, [&](store::Tx& tx) -> base::Result<std::optional<watch::Baseline>> {
              return watch::get_baseline(tx, endpoint.name, endpoint.revision.number);
            }));
    if (!baseline) return Ptr();
    TRY_SET(const auto digest, base::Digest::from_hex(base::HashAlgo::kSha256, baseline->profile_digest));
    TRY_SET(const std::string json, blobs_.get(digest));
    TRY_SET(const watch::Profile frozen, watch::parse_profile(json));
    auto out = std::make_shared<serve::TrainingProfile>();
    out->rows = frozen.rows;
    for (const watch::FeatureProfile& feature : frozen.features) out->features.push_back(feature_of(feature));
    return Ptr(std::move(out));
  }

  store::Store& store_;
  blob::BlobStore& blobs_;
  std::mutex mutex_;
  std::map<Key, Kept> kept_;
};

}  // namespace

serve::ProfileSource training_profiles(store::Store& store, blob::BlobStore& blobs) {
  return [profiles = std::make_shared<Profiles>(store, blobs)](const serve::LiveEndpoint& endpoint) {
    return profiles->of(endpoint);
  };
}

}  // namespace server
