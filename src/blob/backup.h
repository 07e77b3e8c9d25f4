// Backups: the whole store as one tar file (docs/formats/backup.md), made from a running server, and its way back.
// No blob that the copied database names is missing: blobs are pinned before the database is copied, and never change.
// Thread: any that may block; a Backup belongs to one owner.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/fs.h"
#include "base/result.h"
#include "blob/blob.h"
#include "store/store.h"

namespace blob {

inline constexpr std::string_view kDatabaseFile = "lathe.db";  // in a server's folder, and in a backup

struct BackupInfo {
  int64_t created_us = 0;
  std::string version;  // of the Lathe that made it
  bool with_blobs = true;
  int64_t database_bytes = 0;
  std::string database_sha256;
  int64_t blobs = 0;
  int64_t blob_bytes = 0;
  std::vector<std::string> missing;  // digests that the database names and the store had lost (see fsck)
};

// A backup as a stream of bytes whose length is known from the start.
class Backup {
 public:
  struct Options {
    base::Path dir;  // where the copy of the database lies meanwhile (unlinked at once)
    std::string version;
    bool with_blobs = true;
  };
  static base::Result<std::unique_ptr<Backup>> begin(store::Store& store, BlobStore& blobs, const base::Clock& clock,
                                                     const Options& options);
  virtual ~Backup() = default;
  virtual const BackupInfo& info() const = 0;
  virtual int64_t size() const = 0;
  virtual base::Result<size_t> read(std::span<char> into) = 0;  // 0: the end
};

// What a backup file says about itself; the file is read to its end and every blob checked as restore would.
base::Result<BackupInfo> verify_backup(const base::Path& file);

// Into `dir`, which must be absent or empty: nothing is there before everything is.
base::Result<BackupInfo> restore_backup(const base::Path& file, const base::Path& dir);

}  // namespace blob
