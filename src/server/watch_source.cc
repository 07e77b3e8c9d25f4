#include "server/watch_source.h"

namespace server {
namespace {

class CaptureSource final : public watch::RequestSource {
 public:
  explicit CaptureSource(serve::Runtime& runtime) : runtime_(runtime) {}

  base::Result<Batch> read(int64_t project, std::string_view endpoint, int64_t segment, int64_t offset,
                           size_t limit) override {
    TRY_SET(auto found, runtime_.capture().read(project, endpoint, {segment, offset}, limit));
    Batch batch{.next_segment = found.next.segment, .next_offset = found.next.offset};
    batch.requests.reserve(found.requests.size());
    for (serve::CapturedRequest& r : found.requests) {
      if (!r.role.empty()) continue;  // answers to copies: nobody got them
      batch.requests.push_back({.id = std::move(r.id),
                                .at_us = r.at_us,
                                .revision = r.revision,
                                .features = std::move(r.features),
                                .rows = std::move(r.rows),
                                .text_features = std::move(r.text_features),
                                .texts = std::move(r.texts),
                                .labels = std::move(r.labels),
                                .redacted = std::move(r.redacted),
                                .row_count = r.row_count});
    }
    return batch;
  }

  std::optional<int64_t> live_revision(int64_t project, std::string_view endpoint) override {
    const auto live = runtime_.route(project, endpoint);
    if (!live || live->revision.number == 0) return std::nullopt;
    return live->revision.number;
  }

 private:
  serve::Runtime& runtime_;
};

}  // namespace

std::unique_ptr<watch::RequestSource> watch_source(serve::Runtime& runtime) {
  return std::make_unique<CaptureSource>(runtime);
}

}  // namespace server
