#include "server/blob_place.h"

#include "base/clock.h"
#include "blob/s3_store.h"
#include "s3/client.h"

namespace server {
namespace {

struct Place {
  std::string bucket, prefix;
};

Place split(const std::string& url) {
  const std::string rest = url.substr(std::string_view("s3://").size());
  const size_t slash = rest.find('/');
  if (slash == std::string::npos) return {rest, ""};
  return {rest.substr(0, slash), rest.substr(slash + 1)};
}

base::Result<std::unique_ptr<s3::Client>> make_client(const Config& config, const Place& place,
                                                      base::Registry* metrics) {
  const S3Settings& settings = config.s3;
  s3::Options options{.bucket = place.bucket, .endpoint = settings.endpoint};
  if (!settings.region.empty()) options.region = settings.region;
  if (settings.addressing == "path") options.addressing = s3::Addressing::kPath;
  if (settings.addressing == "virtual") options.addressing = s3::Addressing::kVirtualHost;
  options.credentials = {.profile = settings.profile, .metadata = settings.metadata};
  options.ca_file = settings.ca_file;
  return s3::Client::make(std::move(options), base::system_clock(), metrics);
}

base::Result<std::unique_ptr<blob::BlobStore>> open_at(const Config& config, const std::string& place,
                                                       bool beside_server, base::Registry* metrics) {
  if (place == "folder") return blob::BlobStore::open(config.dir);
  const Place bucket = split(place);
  TRY_SET(auto client, make_client(config, bucket, metrics));
  return blob::open_s3_store(std::move(client),
                             {.prefix = bucket.prefix,
                              .dir = config.dir,
                              .cache_bytes = config.s3.cache_bytes,
                              .beside_server = beside_server},
                             base::system_clock(), metrics);
}

}  // namespace

base::Result<std::unique_ptr<blob::BlobStore>> open_blobs(const Config& config, bool beside_server,
                                                          base::Registry* metrics) {
  return open_at(config, config.blobs, beside_server, metrics);
}

base::Result<std::unique_ptr<blob::BlobStore>> open_blobs_at(const Config& config, const std::string& place,
                                                             bool beside_server) {
  TRY_SET(const std::string checked, read_blob_place(place));
  return open_at(config, checked, beside_server, nullptr);
}

base::Result<std::string> reach_blobs(const Config& config) {
  if (config.blobs == "folder") return std::string();
  TRY_SET(const auto client, make_client(config, split(config.blobs), nullptr));
  const int64_t begun_us = base::system_clock().mono_us();
  TRY(client->check());
  const int64_t took_ms = (base::system_clock().mono_us() - begun_us) / 1000;
  return config.blobs + " at " + client->address() + ", answered in " + std::to_string(took_ms) + " ms";
}

}  // namespace server
