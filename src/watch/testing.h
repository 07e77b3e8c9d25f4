// For tests: traffic that looks like the handwritten digits (64 pixels of 0..16, some always 0, all depending on the
// class), a request source in memory.
#pragma once

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "base/ids.h"
#include "watch/watcher.h"

namespace watch::testing {

inline constexpr int kPixels = 64;

struct Image {
  std::vector<double> pixels;
  int digit = 0;
};

class Digits {
 public:
  explicit Digits(uint64_t seed) : random_(seed) {}

  // contrast 1: as the baseline; 0.6: the new scanner.
  Image image(double contrast = 1) {
    Image image;
    image.digit = static_cast<int>(random_.below(10));
    for (int p = 0; p < kPixels; ++p) {
      const bool border = p % 8 == 0 || p % 8 == 7;
      const double shape = 8 + 7 * std::sin(0.7 * p * (image.digit + 1));
      const double ink = border ? 0 : std::clamp(std::round(shape + 3 * normal()), 0.0, 16.0);
      image.pixels.push_back(std::round(ink * contrast));
    }
    return image;
  }
  std::vector<Image> images(int count, double contrast = 1) {
    std::vector<Image> images;
    for (int i = 0; i < count; ++i) images.push_back(image(contrast));
    return images;
  }
  double unit() { return random_.next_unit(); }

 private:
  double normal() {
    return std::sqrt(-2 * std::log(1 - random_.next_unit())) * std::cos(6.283185307179586 * random_.next_unit());
  }
  base::SeededRandom random_;
};

inline const std::vector<std::string>& pixel_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> made;
    for (int p = 0; p < kPixels; ++p) made.push_back("pixel_" + std::to_string(p));
    return made;
  }();
  return names;
}

inline stats::Table table_of(const std::vector<Image>& images) {
  stats::Table table;
  for (int p = 0; p < kPixels; ++p) {
    stats::Numbers column;
    for (const Image& image : images) column.push_back(image.pixels[static_cast<size_t>(p)]);
    table.columns.push_back({pixel_names()[static_cast<size_t>(p)], std::move(column)});
  }
  return table;
}
inline std::vector<std::string> labels_of_images(const std::vector<Image>& images) {
  std::vector<std::string> labels;
  for (const Image& image : images) labels.push_back(std::to_string(image.digit));
  return labels;
}

inline Request request_of(std::string id, int64_t at_us, int64_t revision, const Image& image, std::string predicted) {
  return {.id = std::move(id),
          .at_us = at_us,
          .revision = revision,
          .features = pixel_names(),
          .rows = image.pixels,
          .labels = {std::move(predicted)},
          .row_count = 1};
}

// The offset counts requests; one endpoint.
class MemorySource final : public RequestSource {
 public:
  base::Result<Batch> read(int64_t, std::string_view, int64_t segment, int64_t offset, size_t limit) override {
    Batch batch{.next_segment = segment, .next_offset = offset};
    while (static_cast<size_t>(batch.next_offset) < requests.size() && batch.requests.size() < limit) {
      batch.requests.push_back(requests[static_cast<size_t>(batch.next_offset++)]);
    }
    return batch;
  }
  std::optional<int64_t> live_revision(int64_t, std::string_view) override {
    if (live == 0) return std::nullopt;
    return live;
  }
  std::vector<Request> requests;
  int64_t live = 1;
};

}  // namespace watch::testing
