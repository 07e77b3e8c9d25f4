// The blob store that the settings name. Thread: at start, or a tool's own.
#pragma once

#include <memory>
#include <string>

#include "base/metrics.h"
#include "blob/blob.h"
#include "server/config.h"

namespace server {

// `beside_server`: for a tool that may run beside the server that owns the blobs.
base::Result<std::unique_ptr<blob::BlobStore>> open_blobs(const Config& config, bool beside_server,
                                                          base::Registry* metrics = nullptr);
// Of another place than the settings', by the same words: "folder" or "s3://bucket/prefix".
base::Result<std::unique_ptr<blob::BlobStore>> open_blobs_at(const Config& config, const std::string& place,
                                                             bool beside_server);
// For `lathe doctor`: asks the bucket. "" where the blobs are in the folder.
base::Result<std::string> reach_blobs(const Config& config);

}  // namespace server
