// Snapshot: all that a data plane has to know of its project to answer for it: what is deployed, of which files, under
// which rules, and the place in the log of events from which to follow what changes. One JSON document, over the wire
// and in the plane's folder. Thread: values and functions on a Tx.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "blob/blob.h"
#include "core/event.h"
#include "serve/endpoint.h"

namespace plane {

inline constexpr size_t kMaxSnapshot = size_t{64} << 20;  // bytes

struct Snapshot {
  core::EventPosition position;  // events after it are not in here
  int64_t project = 0;           // the control plane's row id
  std::string project_name;
  bool require_login = false;  // also the server's own user on loopback must log in
  std::vector<serve::Deployment> deployments;
  std::map<std::string, std::vector<blob::Artifact>> files;  // of each artifact root

  const serve::Deployment* find(std::string_view endpoint) const;
};

std::string to_json(const Snapshot& snapshot);
base::Result<Snapshot> snapshot_of_json(std::string_view text);

// Of the Tx's project, on the control plane; require_login is the caller's to fill in.
base::Result<Snapshot> take_snapshot(store::Tx& tx);
// Whether these bytes are a file of some revision of the project: what its planes may fetch, and nothing else.
base::Result<bool> is_served_file(store::Tx& tx, const base::Digest& sha256);

}  // namespace plane
