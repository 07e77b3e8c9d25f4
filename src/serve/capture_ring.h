// CaptureRing: bytes from one recording thread to the capture writer. One producer, one consumer, no lock, no wait: a
// record that does not fit is the producer's loss, and counted by it.
//
// Thread: reserve/commit by the producer, front/pop by the consumer.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/assert.h"

namespace serve {

class CaptureStream;

class CaptureRing {
 public:
  struct Entry {  // precedes each record in the ring
    CaptureStream* stream;
    uint32_t bytes;  // of the record; kWrap: the rest up to the ring's end is unused
    uint32_t unused;
  };

  CaptureRing(size_t capacity, uint8_t slot) : capacity_(capacity), bytes_(new char[capacity]), slot_(slot) {
    ASSERT_ALWAYS(std::has_single_bit(capacity) && capacity >= 4096);
  }

  // Producer: contiguous room for `size` bytes, or null. commit() makes the reserved record visible.
  char* reserve(CaptureStream* stream, size_t size) {
    const size_t need = sizeof(Entry) + rounded(size);
    size_t at = head_ & (capacity_ - 1);
    const size_t to_end = capacity_ - at;
    const size_t skip = need > to_end ? to_end : 0;  // records do not wrap: the consumer reads them in place
    if (!fits(skip + need)) return nullptr;
    if (skip > 0) {
      write_entry(at, {nullptr, kWrap, 0});
      head_ += skip;
      at = 0;
    }
    write_entry(at, {stream, static_cast<uint32_t>(size), 0});
    reserved_ = need;
    return bytes_.get() + at + sizeof(Entry);
  }
  void commit() {
    head_ += reserved_;
    published_.store(head_, std::memory_order_release);
  }

  // Consumer: the oldest record; a null stream if there is none. Its bytes may be changed in place until pop().
  struct Record {
    CaptureStream* stream = nullptr;
    char* bytes = nullptr;
    size_t size = 0;
  };
  Record front() {
    for (;;) {
      if (read_ == published_.load(std::memory_order_acquire)) return {};
      const size_t at = read_ & (capacity_ - 1);
      Entry entry;
      std::memcpy(&entry, bytes_.get() + at, sizeof entry);
      if (entry.bytes != kWrap) {
        front_bytes_ = sizeof(Entry) + rounded(entry.bytes);
        return {entry.stream, bytes_.get() + at + sizeof(Entry), entry.bytes};
      }
      read_ += capacity_ - at;
      released_.store(read_, std::memory_order_release);
    }
  }
  void pop() {
    read_ += front_bytes_;
    released_.store(read_, std::memory_order_release);
  }
  bool empty() const { return released_.load(std::memory_order_relaxed) == published_.load(std::memory_order_acquire); }

  uint8_t slot() const { return slot_; }
  uint32_t next_sequence() { return sequence_++; }  // producer

 private:
  static constexpr uint32_t kWrap = UINT32_MAX;
  // Entries stay 16-byte aligned, so that one always fits before the ring's end.
  static size_t rounded(size_t size) { return (size + 15) & ~size_t{15}; }
  bool fits(size_t need) {
    if (head_ + need - known_released_ <= capacity_) return true;
    known_released_ = released_.load(std::memory_order_acquire);
    return head_ + need - known_released_ <= capacity_;
  }
  void write_entry(size_t at, const Entry& entry) { std::memcpy(bytes_.get() + at, &entry, sizeof entry); }

  const size_t capacity_;
  const std::unique_ptr<char[]> bytes_;
  const uint8_t slot_;
  alignas(64) uint64_t head_ = 0;  // producer's own
  uint64_t known_released_ = 0;
  size_t reserved_ = 0;
  uint32_t sequence_ = 0;
  alignas(64) std::atomic<uint64_t> published_{0};
  alignas(64) uint64_t read_ = 0;  // consumer's own
  size_t front_bytes_ = 0;
  alignas(64) std::atomic<uint64_t> released_{0};
};

}  // namespace serve
