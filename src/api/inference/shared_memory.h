// Triton's system shared memory: regions that a client of this machine registers by name, and tensors that lie in them.
//
// A region is never mapped: its client may cut it short at any moment, and a mapping would then kill the server. It is
// read with pread into the request's own memory, after a look at its size. Regions belong to a project.
// Thread: SharedRegions is safe anywhere.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "api/inference/core.h"
#include "api/inference/oip_request.h"
#include "api/inference/outputs.h"

namespace api::inference {

class SharedRegions {
 public:
  static constexpr size_t kRegions = 256;  // of all projects: each is an open file
  static constexpr size_t kNameBytes = 256;

  struct Info {
    std::string name;
    std::string key;
    uint64_t offset = 0;
    uint64_t bytes = 0;
  };

  // Opens the object `key` ("/name" or "name", no other slash) of shm_open; it must have `offset + bytes` bytes.
  base::Result<void> add(int64_t project, Info info);
  void remove(int64_t project, std::string_view name);  // what is not there is no error, as in Triton
  void remove_all(int64_t project);
  base::Result<Info> find(int64_t project, std::string_view name) const;
  std::vector<Info> list(int64_t project) const;

  base::Result<std::string> read(int64_t project, const SharedPart& part) const;
  base::Result<void> write(int64_t project, const SharedPart& part, std::string_view bytes) const;

 private:
  struct Region;
  using RegionPtr = std::shared_ptr<const Region>;
  base::Result<RegionPtr> region_of(int64_t project, const SharedPart& part, uint64_t bytes) const;

  mutable std::mutex mutex_;  // of regions_; never held over I/O
  std::map<std::pair<int64_t, std::string>, RegionPtr> regions_;
};

// Who may: a client on this machine, of the server's own user, with nothing between us.
base::Result<void> check_shares_memory(const net::Request& request);

// Reads the inputs that lie in regions.
base::Result<void> fill_shared(const Door& door, const net::Request& request, OipRequest& wanted);
// Writes the outputs that are to lie in regions; `bytes` of their part is then what was written.
base::Result<void> store_shared(const Door& door, const net::Request& request, std::vector<Output>& outputs);

}  // namespace api::inference
