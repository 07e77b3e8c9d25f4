// Every named limit of the server in one place: what it bounds, and what happens past it. A limit that belongs to one
// file format or protocol lives beside its code; whatever bounds memory, queues or waiting of the server lives here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace base::limits {

inline constexpr size_t kKiB = size_t{1} << 10;
inline constexpr size_t kMiB = size_t{1} << 20;
inline constexpr size_t kGiB = size_t{1} << 30;

// net: connections and requests
inline constexpr size_t kConnections = 4096;          // past it: accept, answer 503, close
inline constexpr size_t kRequestsInFlight = 1024;     // past it: 503 with Retry-After
inline constexpr size_t kHeaderBytes = 32 * kKiB;     // request line + headers; past it: 431
inline constexpr size_t kHeaderCount = 128;           // past it: 431
inline constexpr size_t kTargetBytes = 16 * kKiB;     // past it: 414
inline constexpr size_t kSmallBody = 1 * kMiB;        // JSON calls of our own
inline constexpr size_t kInferBody = 64 * kMiB;       // inference requests (Triton's default)
inline constexpr size_t kUploadBody = 64 * kGiB;      // streamed to disk, never held
inline constexpr int64_t kIdleUs = 75'000'000;        // keep-alive connection without a request: closed
inline constexpr int64_t kHeaderReadUs = 15'000'000;  // from first byte to the end of the headers: 408
inline constexpr int64_t kBodyStallUs = 30'000'000;   // a body that stops coming: 408
inline constexpr int64_t kWriteStallUs = 30'000'000;  // a peer that stops reading: closed
inline constexpr int64_t kRequestUs = 60'000'000;     // default deadline of a request: 504
inline constexpr int64_t kLingerUs = 5'000'000;       // after a refusal: what still comes is read and dropped,
inline constexpr size_t kLingerBytes = 256 * kMiB;    //   so that the peer sees the answer; past either: closed
inline constexpr int64_t kSweepUs = 250'000;          // how often a loop looks for what has run out of time
inline constexpr int64_t kDrainUs = 10'000'000;       // SIGTERM to exit

// store
inline constexpr size_t kWriteQueue = 8192;          // waiting write jobs; past it: 429
inline constexpr size_t kReadQueue = 4096;           // waiting searches; past it: 429
inline constexpr size_t kGroupJobs = 256;            // write jobs in one commit
inline constexpr int64_t kJobUs = 5'000'000;         // one write job; past it it is rolled back
inline constexpr int64_t kJobRows = 100'000;         // rows changed by one write job; bulk work goes in steps
inline constexpr int64_t kReadUs = 60'000'000;       // one read without a deadline of its own
inline constexpr size_t kPointConnections = 8;       // threads with a read-only SQLite connection of their own
inline constexpr size_t kStatements = 512;           // prepared statements kept per connection; the oldest goes
inline constexpr size_t kSqlCacheBytes = 16 * kMiB;  // page caches of all SQLite connections together

// events
inline constexpr size_t kEventBatch = 256;  // events a consumer reads at once

}  // namespace base::limits
