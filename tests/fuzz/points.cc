// A chunk of metric points: whatever decodes is encoded again to the same points.
#include <cstring>

#include "fuzz.h"
#include "track/point_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::vector<track::Point> points, again;
  if (!track::decode_points(bytes, points)) return 0;
  REQUIRE(points.size() <= track::kChunkPoints);
  REQUIRE(track::decode_points(track::encode_points(points), again));
  REQUIRE(again.size() == points.size());
  for (size_t i = 0; i < points.size(); ++i) REQUIRE(std::memcmp(&points[i], &again[i], sizeof(track::Point)) == 0);
  track::sort_unique(points);
  REQUIRE(points.size() <= again.size());
  return 0;
}
