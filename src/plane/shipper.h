// Shipper: sends what was captured here to the control plane, where monitoring, feedback and lineage look for it. The
// spool is serve's own capture (segment files, bounded in bytes and age): the shipper reads on from what was taken last
// and writes that place down after each answer. What is sent twice is found by its id there and kept once.
//
// Thread: one of its own; counts from any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "plane/control.h"
#include "serve/capture.h"

namespace plane {

inline constexpr size_t kBatchBytes = size_t{8} << 20;  // of requests in one call; one request may be larger

class Shipper {
 public:
  Shipper(Control& control, serve::Capture& capture, std::string plane_id, base::Path file);
  ~Shipper();
  Shipper(const Shipper&) = delete;

  int64_t sent() const { return sent_; }
  int64_t lost() const { return lost_; }  // refused there
  // When the oldest request that is still to be sent was answered; 0: none waits.
  int64_t waiting_since_us() const { return waiting_since_us_; }

 private:
  void run(const std::stop_token& stop);
  bool send_some(int64_t project, const std::string& endpoint);  // true: there may be more
  void load();
  void advance(const std::string& endpoint, serve::CapturePosition to);
  void note_waiting(const std::string& endpoint, int64_t since_us);

  Control& control_;
  serve::Capture& capture_;
  const std::string plane_id_;
  const base::Path file_;
  std::map<std::string, serve::CapturePosition> places_;  // by endpoint; the thread's
  size_t limit_;                                          // requests in a batch; the thread's
  bool away_ = false;                                     // the control plane could not be asked; the thread's
  std::map<std::string, int64_t> waiting_;                // answer time of the oldest unsent, by endpoint; the thread's
  std::atomic<int64_t> sent_{0}, lost_{0}, waiting_since_us_{0};
  std::mutex mutex_;
  std::condition_variable_any wake_;  // by the stop request only
  std::jthread thread_;               // last
};

}  // namespace plane
