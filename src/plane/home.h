// The folder of a data plane: who it is, and what it served last. Every file is written whole and durably.
//
//   plane.lock     one process at a time        plane.json     id and writer number, for ever
//   snapshot.json  what was applied last        callers.json   doorkeeper.h
//   sent.json      shipper.h                    blobs/, serve/ files of models; what is laid out; captured requests
//
// Thread: the owner's; save() one at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/fs.h"
#include "plane/snapshot.h"

namespace plane {

class Home {
 public:
  // Made if absent (0700). kConflict: another process has it.
  static base::Result<Home> open(const base::Path& dir, const base::Clock& clock);

  const base::Path& dir() const { return dir_; }
  const std::string& id() const { return id_; }
  std::optional<uint16_t> writer() const { return writer_; }
  base::Result<void> take_writer(uint16_t number);  // before its capture is opened; kConflict if it has another

  base::Result<std::optional<Snapshot>> stored() const;
  base::Result<void> save(const Snapshot& snapshot) const;

 private:
  Home(base::Path dir, base::FileLock lock) : dir_(std::move(dir)), lock_(std::move(lock)) {}
  base::Result<void> write() const;
  base::Path dir_;
  base::FileLock lock_;
  std::string id_;
  std::optional<uint16_t> writer_;
};

}  // namespace plane
