#include "plane/shipper.h"

#include <algorithm>
#include <chrono>

#include "base/json.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "serve/capture_format.h"

namespace plane {
namespace {

constexpr size_t kFewest = 1, kFirst = 500, kMost = 5000;  // requests in a batch
constexpr std::chrono::milliseconds kLook{250};            // between two looks for new requests
constexpr std::chrono::milliseconds kAway{2000};           // while the control plane cannot be asked

}  // namespace

Shipper::Shipper(Control& control, serve::Capture& capture, std::string plane_id, base::Path file)
    : control_(control), capture_(capture), plane_id_(std::move(plane_id)), file_(std::move(file)), limit_(kFirst) {
  load();
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Shipper::~Shipper() = default;

void Shipper::load() {
  const auto text = base::read_file(file_);
  const auto value = text ? base::parse_json(*text) : base::Result<base::json::value>(std::unexpected(text.error()));
  if (!value || !value->is_object()) return;  // then all is sent again, and found there
  for (const auto& [endpoint, place] : value->get_object()) {
    const auto* pair = place.if_array();
    if (pair && pair->size() == 2 && (*pair)[0].is_int64() && (*pair)[1].is_int64())
      places_[std::string(endpoint)] = {(*pair)[0].get_int64(), (*pair)[1].get_int64()};
  }
}

void Shipper::advance(const std::string& endpoint, serve::CapturePosition to) {
  places_[endpoint] = to;
  std::string text;
  base::JsonWriter json(text);
  json.begin_object();
  for (const auto& [name, place] : places_)
    json.key(name).begin_array().value(place.segment).value(place.offset).end_array();
  json.end_object();
  if (const auto written = base::write_file_durably(file_, text); !written)
    base::log::warn("what was sent could not be written down; it will be sent again",
                    {{"why", written.error().message}});
}

void Shipper::note_waiting(const std::string& endpoint, int64_t since_us) {
  if (since_us == 0)
    waiting_.erase(endpoint);
  else
    waiting_[endpoint] = since_us;
  int64_t oldest = 0;
  for (const auto& [name, at_us] : waiting_) oldest = oldest == 0 ? at_us : std::min(oldest, at_us);
  waiting_since_us_ = oldest;
}

void Shipper::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    bool more = false;
    away_ = false;
    for (const auto& [project, endpoint] : capture_.endpoints()) {
      if (stop.stop_requested() || away_) break;
      more = send_some(project, endpoint) || more;
    }
    if (more && !away_) continue;
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, away_ ? kAway : kLook, [] { return false; });
  }
}

bool Shipper::send_some(int64_t project, const std::string& endpoint) {
  const serve::CapturePosition from = places_[endpoint];
  const auto batch = capture_.read(project, endpoint, from, limit_);
  if (!batch) {
    base::log::error("captured requests cannot be read", {{"endpoint", endpoint}, {"why", batch.error().message}});
    return false;
  }
  note_waiting(endpoint, batch->requests.empty() ? 0 : batch->requests.front().at_us);
  if (batch->requests.empty()) return false;
  std::string packed = serve::format::pack_requests(batch->requests);
  if (packed.size() > kBatchBytes && limit_ > kFewest) {
    limit_ = std::max(limit_ / 2, kFewest);
    return true;
  }
  if (packed.size() < kBatchBytes / 8) limit_ = std::min(limit_ * 2, kMost);
  const auto count = static_cast<int64_t>(batch->requests.size());
  const auto sent = control_.send_captures(plane_id_, endpoint, std::move(packed));
  if (sent) {
    sent_ += count;
  } else if (sent.error().code == base::Code::kInvalid || sent.error().code == base::Code::kNotFound ||
             sent.error().code == base::Code::kTooLarge) {
    lost_ += count;  // it will never be taken
    base::log::error("captured requests are refused, and dropped",
                     {{"endpoint", endpoint}, {"requests", count}, {"why", sent.error().message}});
  } else {
    away_ = true;
    base::log::debug("captured requests wait", {{"why", sent.error().message}});
    return false;
  }
  advance(endpoint, batch->next);
  return true;
}

}  // namespace plane
