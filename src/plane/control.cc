#include "plane/control.h"

#include <algorithm>

#include "base/json.h"
#include "base/json_writer.h"
#include "core/event_text.h"

namespace plane {
namespace {

constexpr std::string_view kRoot = "/api/lathe/v1/plane";
constexpr int64_t kCallUs = 30'000'000;
constexpr int64_t kAskUs = 5'000'000;    // about a caller, who waits
constexpr int64_t kStallUs = 3'000'000;  // of the events: heartbeats come once a second
constexpr int64_t kFetchStallUs = 30'000'000;
constexpr size_t kMaxLine = 1 << 20;  // of the event stream

base::Code code_of(int status) {
  switch (status) {
    case 401: return base::Code::kUnauthenticated;
    case 403: return base::Code::kForbidden;
    case 404: return base::Code::kNotFound;
    case 409: return base::Code::kConflict;
    case 413: return base::Code::kTooLarge;
    default: return status >= 500 || status == 429 ? base::Code::kUnavailable : base::Code::kInvalid;
  }
}

base::Error error_of(const net::ClientResponse& response) {
  std::string message = "the control plane answered " + std::to_string(response.status);
  if (const auto parsed = base::parse_json(response.body); parsed && parsed->is_object()) {
    const auto* error = parsed->get_object().if_contains("error");
    const auto* text = error && error->is_object() ? error->get_object().if_contains("message") : nullptr;
    if (text && text->is_string()) message = "the control plane said: " + std::string(text->get_string());
  }
  return {code_of(response.status), std::move(message)};
}

// Lines of text/event-stream into events.
class EventReader {
 public:
  explicit EventReader(const std::function<void(const Control::Heard&)>& listener) : listener_(listener) {}

  bool take(std::string_view bytes) {
    for (;;) {
      const size_t end = bytes.find('\n');
      line_.append(bytes.substr(0, end));
      if (line_.size() > kMaxLine) return false;
      if (end == bytes.npos) return true;
      if (!end_line()) return false;
      line_.clear();
      bytes.remove_prefix(end + 1);
    }
  }

 private:
  bool end_line() {
    const std::string_view line(line_);
    if (line.starts_with("id: ")) id_ = line.substr(4);
    if (line.starts_with("event: ")) heard_.kind = line.substr(7);
    if (line.starts_with("data: ")) data_ = line.substr(6);
    if (!line.empty() || id_.empty()) return true;
    const auto position = core::parse_event_position(id_);
    if (!position) return false;
    heard_.position = *position;
    if (heard_.kind == "heartbeat") heard_.kind.clear();
    if (const auto data = base::parse_json(data_); data && data->is_object()) {
      if (const auto* subject = data->get_object().if_contains("subject"); subject && subject->is_string())
        heard_.subject = std::string(subject->get_string());
    }
    listener_(heard_);
    heard_ = {};
    id_.clear();
    data_.clear();
    return true;
  }

  const std::function<void(const Control::Heard&)>& listener_;
  std::string line_, id_, data_;
  Control::Heard heard_;
};

}  // namespace

class Control::Lent {
 public:
  explicit Lent(Control& owner) : owner_(owner) {
    {
      std::lock_guard lock(owner_.mutex_);
      if (!owner_.idle_.empty()) {
        client_ = std::move(owner_.idle_.back());
        owner_.idle_.pop_back();
      }
    }
    if (client_) return;
    client_ = std::make_unique<net::Client>();
    if (!owner_.options_.ca_file.empty()) client_->trust(owner_.options_.ca_file);
    client_->present(owner_.options_.certificate);
  }
  ~Lent() {
    std::lock_guard lock(owner_.mutex_);
    owner_.idle_.push_back(std::move(client_));
  }
  Lent(const Lent&) = delete;
  net::Client* operator->() const { return client_.get(); }

 private:
  Control& owner_;
  std::unique_ptr<net::Client> client_;
};

net::ClientRequest Control::request(std::string method, std::string_view path) const {
  net::ClientRequest out;
  out.method = std::move(method);
  out.url = options_.url + std::string(kRoot) + std::string(path);
  out.headers.emplace_back("Authorization", "Bearer " + options_.token);
  if (!options_.project.empty()) out.headers.emplace_back("X-Lathe-Project", options_.project);
  out.timeout_us = kCallUs;
  return out;
}

base::Result<std::string> Control::call(const net::ClientRequest& request) {
  const Lent client(*this);
  TRY_SET(net::ClientResponse response, client->call(request));
  if (response.status < 200 || response.status >= 300) return std::unexpected(error_of(response));
  return std::move(response.body);
}

base::Result<std::string> Control::post(std::string_view path, std::string body, const char* method) {
  net::ClientRequest question = request(method, path);
  question.headers.emplace_back("Content-Type", "application/json");
  question.body = std::move(body);
  return call(question);
}

base::Result<Snapshot> Control::snapshot() {
  net::ClientRequest question = request("GET", "/snapshot");
  question.max_answer_bytes = kMaxSnapshot;
  TRY_SET(const std::string text, call(question));
  return snapshot_of_json(text);
}

base::Result<uint16_t> Control::report(const std::string& id, const Report& report) {
  TRY_SET(const std::string text, post("/planes/" + id, to_json(report), "PUT"));
  TRY_SET(const base::json::value value, base::parse_json(text));
  TRY_SET(const base::json::object* object, base::as_object(value, "the answer"));
  TRY_SET(const int64_t writer, base::required_int(*object, "writer"));
  return static_cast<uint16_t>(writer);
}

base::Result<std::vector<std::optional<Caller>>> Control::callers(std::span<const std::string> hashes) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("hashes").begin_array();
  for (const std::string& hash : hashes)
    json.value(base::to_hex({reinterpret_cast<const uint8_t*>(hash.data()), hash.size()}));
  json.end_array().end_object();
  net::ClientRequest question = request("POST", "/callers");
  question.body = std::move(body);
  question.timeout_us = kAskUs;
  TRY_SET(const std::string text, call(question));
  TRY_SET(auto callers, callers_of_json(text));
  if (callers.size() != hashes.size()) return base::invalid("the control plane answered about other callers");
  return callers;
}

base::Result<void> Control::fetch(const base::Digest& sha256,
                                  const std::function<base::Result<void>(std::string_view)>& sink) {
  net::ClientRequest question = request("GET", "/blobs/" + sha256.hex());
  question.timeout_us = 0;
  question.stall_us = kFetchStallUs;
  question.accept = [](const net::ClientResponse& response) { return response.status == 200; };
  base::Result<void> taken;
  const Lent client(*this);
  TRY_SET(const net::ClientResponse response, client->stream(question, [&](std::string_view bytes) {
    taken = sink(bytes);
    return taken.has_value();
  }));
  if (response.status != 200) return std::unexpected(error_of(response));
  return taken;
}

base::Result<void> Control::send_captures(const std::string& id, std::string_view endpoint, std::string packed) {
  net::ClientRequest question =
      request("POST", "/planes/" + id + "/captures/" + std::string(endpoint));  // a name needs no escapes
  question.body = std::move(packed);
  TRY(call(question));
  return {};
}

base::Result<void> Control::follow(core::EventPosition after, const std::function<void(const Heard&)>& listener,
                                   const std::stop_token& stop) {
  net::ClientRequest question = request("GET", "/events");
  question.headers.emplace_back("Last-Event-ID", core::to_text(after));
  question.headers.emplace_back("Accept", "text/event-stream");
  question.timeout_us = 0;
  question.stall_us = kStallUs;
  question.cancelled = stop;
  question.accept = [](const net::ClientResponse& response) { return response.status == 200; };
  EventReader reader(listener);
  const Lent client(*this);
  TRY_SET(const net::ClientResponse response,
          client->stream(question, [&](std::string_view bytes) { return reader.take(bytes); }));
  if (response.status != 200) return std::unexpected(error_of(response));
  return base::fail(base::Code::kUnavailable, "the control plane ended the stream of events");
}

}  // namespace plane
