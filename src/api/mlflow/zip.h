// A zip file whose entries are stored as they are, laid out before a byte of it is written: so its length is known, and
// files go from the disk to the socket untouched. Entries and archives past 4 GiB are written as ZIP64.
// Thread: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace api::mlflow {

class ZipLayout {
 public:
  // `name` is a safe relative path in UTF-8.
  void add(std::string name, uint64_t size);
  size_t count() const { return entries_.size(); }
  uint64_t size() const;  // of the whole archive

  std::string local_header(size_t entry, uint32_t crc);  // stands before the entry's bytes; remembers the CRC
  std::string end() const;                               // stands behind the last entry's bytes

 private:
  struct Entry {
    std::string name;
    uint64_t size = 0;
    uint64_t offset = 0;  // of its local header
    uint32_t crc = 0;
  };
  std::vector<Entry> entries_;
  uint64_t offset_ = 0;
};

class Crc32 {
 public:
  void add(std::string_view bytes);
  uint32_t value() const { return ~state_; }

 private:
  uint32_t state_ = 0xFFFFFFFF;
};

}  // namespace api::mlflow
