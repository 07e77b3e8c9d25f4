#include "api/inference/core.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <thread>

#include "api/inference/compression.h"
#include "api/inference/inference.h"
#include "api/inference/shared_memory.h"
#include "base/clock.h"
#include "base/json_writer.h"
#include "base/loop.h"
#include "base/trace.h"
#include "base/utf8.h"
#include "net/event_loop.h"

namespace api::inference {
namespace {

using serve::DataType;
using serve::Tensor;

// From find_target() to the wrapper of the handler that called it. The flag is looked at for each request, what it
// stands for only if it is set.
thread_local bool detoured = false;
thread_local Detour detour;
constexpr uint64_t kMaxLevel = 1000;  // of priority
static_assert(net::Lanes::Limits().lane_threads + net::Lanes::Limits().lane_queue == serve::kMostInHouse);
constexpr uint64_t kShadowSalt = 0x5ad0;  // which requests are mirrored says nothing about who answers them

template <class T>
T element(const Tensor& tensor, size_t index) {
  T value;
  std::memcpy(&value, tensor.bytes.data() + index * sizeof(T), sizeof value);
  return value;
}

template <class T>
void append_number(std::string& out, T value) {
  if constexpr (std::is_floating_point_v<T>) {
    // JSON has no such numbers; these words are what numpy reads back.
    if (std::isnan(value)) return void(out += "\"NaN\"");
    if (std::isinf(value)) return void(out += value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
  }
  char text[32];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

// BYTES elements are any bytes; JSON is UTF-8.
void append_text(std::string& out, const std::string& text) {
  if (base::is_utf8(text)) return base::append_json_string(out, text);
  std::string shown;
  for (char c : text) shown += static_cast<unsigned char>(c) < 0x80 ? std::string(1, c) : std::string("\xef\xbf\xbd");
  base::append_json_string(out, shown);
}

void append_element(std::string& out, const Tensor& tensor, size_t i) {
  switch (tensor.type) {
    case DataType::kBool: out += tensor.bytes[i] ? "true" : "false"; break;
    case DataType::kUint8: append_number(out, unsigned{element<uint8_t>(tensor, i)}); break;
    case DataType::kUint16: append_number(out, element<uint16_t>(tensor, i)); break;
    case DataType::kUint32: append_number(out, element<uint32_t>(tensor, i)); break;
    case DataType::kUint64: append_number(out, element<uint64_t>(tensor, i)); break;
    case DataType::kInt8: append_number(out, int{element<int8_t>(tensor, i)}); break;
    case DataType::kInt16: append_number(out, element<int16_t>(tensor, i)); break;
    case DataType::kInt32: append_number(out, element<int32_t>(tensor, i)); break;
    case DataType::kInt64: append_number(out, element<int64_t>(tensor, i)); break;
    case DataType::kFp16: append_number(out, serve::from_half(element<uint16_t>(tensor, i))); break;
    case DataType::kBf16: append_number(out, serve::from_bfloat(element<uint16_t>(tensor, i))); break;
    case DataType::kFp32: append_number(out, element<float>(tensor, i)); break;
    case DataType::kFp64: append_number(out, element<double>(tensor, i)); break;
    case DataType::kBytes: append_text(out, tensor.strings[i]); break;
  }
}

size_t elements(const Tensor& tensor) {
  return tensor.type == DataType::kBytes ? tensor.strings.size() : tensor.bytes.size() / serve::byte_size(tensor.type);
}

void append_level(std::string& out, const Tensor& tensor, size_t depth, size_t& next) {
  if (depth == tensor.shape.size()) return append_element(out, tensor, next++);
  out += '[';
  for (int64_t i = 0; i < tensor.shape[depth]; ++i) {
    if (i) out += ',';
    append_level(out, tensor, depth + 1, next);
  }
  out += ']';
}

void capture(const Door& door, const serve::LiveEndpoint& endpoint, std::span<const Tensor> inputs, Answer& answer,
             int64_t duration_us, const net::Request& request, std::string_view client_id, net::Response& response) {
  response.header("X-Lathe-Model-Version", endpoint.version);
  thread_local serve::RawRows rows;  // their memory is used again
  if (!endpoint.capture) {
    endpoint.predictor->rows_of(inputs, rows);
    endpoint.rows->add(rows.count ? rows.count : answer.prediction.labels.size());
    return;
  }
  serve::Capture& capture = *door.runtime.recorder();
  const base::Uuid id = answer.id = capture.new_id(*endpoint.capture, request.ctx.now_us);
  response.header("X-Lathe-Prediction-Id", serve::prediction_id(id));
  if (!endpoint.told_revision.empty()) {
    response.header("X-Lathe-Revision", endpoint.told_revision);
    response.header("X-Amzn-Invoked-Production-Variant", endpoint.told_revision);
  }
  if (client_id.empty()) client_id = request.header("x-amzn-sagemaker-inference-id");
  if (client_id.empty()) client_id = request.header("x-request-id");
  thread_local std::vector<double> scores;
  endpoint.predictor->rows_of(inputs, rows);
  serve::top_scores(answer.prediction, scores);
  const size_t count = rows.count ? rows.count : answer.prediction.labels.size();
  const bool labelled = answer.prediction.labels.size() == count;
  endpoint.rows->add(count);
  capture.record(*endpoint.capture, {.id = id,
                                     .client_id = client_id,
                                     .at_us = request.ctx.now_us,
                                     .duration_us = duration_us,
                                     .row_count = static_cast<uint32_t>(count),
                                     .rows = rows.numbers,
                                     .texts = rows.texts,
                                     .labels = labelled ? std::span<const std::string>(answer.prediction.labels)
                                                        : std::span<const std::string>(),
                                     .scores = labelled ? std::span<const double>(scores) : std::span<const double>(),
                                     .route = answer.route});
  if (!endpoint.shadow || serve::place_of(request.ctx.request_id, kShadowSalt) >= endpoint.shadow->share) return;
  door.runtime.mirror()->offer(
      endpoint, endpoint.shadow->target, inputs,
      {.id = id, .at_us = request.ctx.now_us, .labels = answer.prediction.labels, .scores = scores});
}

// Whether the tensors are what the model says it takes: then an error is the model's.
bool fits(const serve::Predictor& predictor, std::span<const Tensor> inputs) {
  const auto& wanted = predictor.inputs();
  return wanted.size() == inputs.size() && std::ranges::all_of(wanted, [&](const serve::TensorInfo& info) {
           const auto given = std::ranges::find(inputs, info.name, &Tensor::name);
           return given != inputs.end() && given->type == info.type && serve::check_tensor(*given, info).has_value();
         });
}

// The number of the revision that a request asks for itself; 0: none.
base::Result<int64_t> named_revision(const net::Request& request) {
  std::string_view text = request.header("x-lathe-revision");
  if (text.empty()) text = request.header("x-amzn-sagemaker-target-variant");
  if (text.empty() || text == "AllTraffic") return 0;  // SageMaker's name of an endpoint's only variant
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number <= 0)
    return base::invalid("the revision asked for is '" + std::string(text.substr(0, 40)) +
                         "'; it must be a revision's number");
  return number;
}

serve::HeaderSource headers_of(const net::Request& request) {
  return [&request](std::string_view name) { return request.header(name); };
}

// Whom a rule that reads columns sends the request to; null: nobody else than found before. A request that names its
// revision itself is not sent anywhere.
base::Result<serve::LivePtr> by_columns(const serve::LiveEndpoint& endpoint, std::span<const Tensor> inputs,
                                        const net::Request& request) {
  if (!endpoint.rules || !endpoint.rules->by_columns || !endpoint.predictor) return serve::LivePtr();
  TRY_SET(const int64_t named, named_revision(request));
  if (named != 0) return serve::LivePtr();
  thread_local serve::RawRows rows;
  endpoint.predictor->rows_of(inputs, rows);
  return serve::ruled(*endpoint.rules, headers_of(request), &rows);
}

std::string loaded_revisions(const serve::LiveEndpoint& endpoint) {
  std::string out = std::to_string(endpoint.revision.number) + " (version " + endpoint.version + ")";
  if (!endpoint.split) return out;
  for (const auto& part : endpoint.split->parts)
    if (part.target)
      out += ", " + std::to_string(part.target->revision.number) + " (version " + part.target->version + ")";
  return out;
}

base::Error no_target(const serve::RouteSnapshot& routes, int64_t project, std::string_view name,
                      std::string_view version) {
  const auto versions = name.empty() ? std::vector<serve::LivePtr>() : routes.versions(project, name);
  if (!versions.empty()) {
    std::string served;
    for (const auto& live : versions) served += (served.empty() ? "" : ", ") + live->version;
    return {base::Code::kNotFound, "endpoint '" + std::string(name) + "' serves version " + served + ", not " +
                                       std::string(version.substr(0, 40))};
  }
  if (!name.empty())
    return {base::Code::kNotFound,
            "endpoint '" + std::string(name.substr(0, 200)) + "' does not exist or serves nothing yet"};
  return {base::Code::kNotFound,
          "no endpoint is marked default, and there is not exactly one; name it: /endpoints/NAME/invocations"};
}

base::Result<const serve::LivePtr*> pick_revision(const serve::RouteSnapshot& routes, const net::Request& request,
                                                  std::string_view name, std::string_view version, Purpose purpose) {
  const int64_t project = request.ctx.project;
  const serve::LivePtr* found = routes.find(project, name, version);
  if (!found && !version.empty()) {
    if (const auto* live = routes.find(project, name)) found = serve::find_version(*live, version);
  }
  if (!found) return std::unexpected(no_target(routes, project, name, version));
  TRY_SET(const int64_t revision, named_revision(request));
  if (revision != 0) {
    if (const auto* named = serve::find_revision(*found, revision)) return named;
    return base::not_found("endpoint '" + (*found)->name + "' has no revision " + std::to_string(revision) +
                           (version.empty() ? "" : " of version " + std::string(version)) +
                           " that answers; loaded: " + loaded_revisions(**found));
  }
  const bool runs = purpose == Purpose::kRun || purpose == Purpose::kLong;
  if (!version.empty() || !runs || !(*found)->split) return found;
  if (const auto* rules = (*found)->rules.get(); rules && !rules->by_columns) {
    TRY_SET(const serve::LivePtr by_rule, serve::ruled(*rules, headers_of(request), nullptr));
    if (by_rule) return serve::find_revision(*found, by_rule->revision.number);
  }
  const std::string& sticky = (*found)->split->sticky;
  std::string_view key = sticky.empty() ? std::string_view() : request.header(sticky);
  if (key.empty()) key = request.ctx.request_id;
  return &serve::choose(*found, key);
}

// A request knows when it came by the wall.
int64_t arrived_mono_us(const net::Request& request) {
  const base::Clock& clock = base::system_clock();
  return clock.mono_us() - std::max<int64_t>(clock.wall_us() - request.ctx.now_us, 0);
}

serve::Call call_of(const net::Request& request, std::string params, const Wish& wish, std::string& shown,
                    std::string& route) {
  constexpr uint64_t kLongestUs = 86'400'000'000;
  const auto timeout_us = static_cast<int64_t>(std::min(wish.timeout_us, kLongestUs));
  return {.deadline_mono_us = request.ctx.deadline_mono_us,
          .begin_by_mono_us = timeout_us ? arrived_mono_us(request) + timeout_us : 0,
          .cancelled = request.ctx.cancelled,
          .priority = static_cast<uint32_t>(std::min(wish.priority, kMaxLevel)),
          .sequence = wish.sequence,
          .params = std::move(params),
          .shown = &shown,
          .key = request.ctx.request_id,
          .header = headers_of(request),
          .route = &route};
}

// Whether a request that runs on this loop comes up too late in its round, and refusing it takes less than answering.
// The first of a round never does: nobody was before it, whatever held up the thread, and each round answers somebody.
bool too_late(const serve::LiveEndpoint& endpoint) {
  thread_local int64_t last_round_us = 0;
  const int64_t round_us = net::EventLoop::round_began_us();
  if (std::exchange(last_round_us, round_us) != round_us || round_us == 0) return false;
  if (base::system_clock().mono_us() - round_us <= kRoundUs) [[likely]]
    return false;
  const auto answered = static_cast<double>(std::max<uint64_t>(endpoint.requests->value(), 1));
  return endpoint.seconds->sum() / answered * 1e6 >= kRefusalPaysUs;
}

// Its requests are run where they may wait, or be long.
void leave_loop(const serve::LiveEndpoint& endpoint) {
  detour.limiter = endpoint.limiter;
  detour.refused = endpoint.refused;
  detour.place.priority = 1;
  detour.priority_levels = 0;
  if (!endpoint.predictor) return;
  const serve::Model& model = endpoint.predictor->model();
  if (!model.waits()) {
    detour.place.threads = std::max(std::thread::hardware_concurrency(), 1U);
  } else {
    const serve::BatchOptions batching = model.batching();
    detour.place.priority = batching.default_priority;
    detour.priority_levels = batching.priority_levels;
  }
}

bool asks_outlier_score(const Door& door, const net::Request& request) {
  const auto asked = request.header("x-lathe-outlier-score");
  return !asked.empty() && asked != "0" && door.profiles;
}

// On a thread that may wait. Without a profile there is no header: that is no reason to fail an answer.
void add_outlier_score(const Door& door, const serve::LiveEndpoint& endpoint, std::span<const Tensor> inputs,
                       net::Response& response) {
  const auto profile = door.profiles(endpoint);
  if (!profile || !*profile) return;
  serve::RawRows rows;
  endpoint.predictor->rows_of(inputs, rows);
  const auto outlier = serve::outlier_score(**profile, endpoint.predictor->features(), rows);
  if (!outlier) return;
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, outlier->score, std::chars_format::fixed, 3).ptr;
  response.header(kOutlierHeader, std::string_view(text, static_cast<size_t>(end - text)));
}

}  // namespace

base::Result<Target> find_target(const Door& door, const net::Request& request, std::string_view name,
                                 std::string_view version, Purpose purpose) {
  Target target{.pin = door.runtime.pin()};
  const serve::RouteSnapshot& routes = **target.pin;
  TRY_SET(const serve::LivePtr* found, pick_revision(routes, request, name, version, purpose));
  target.endpoint = found->get();
  if (target.endpoint->used_us) target.endpoint->used_us->store(request.ctx.now_us, std::memory_order_relaxed);
  const bool cold = target.endpoint->cold && purpose != Purpose::kLook;
  const bool slow = target.endpoint->limiter && target.endpoint->limiter->slow();
  const bool waits =
      purpose == Purpose::kLong ||
      (purpose == Purpose::kRun && (target.endpoint->waits || slow || asks_outlier_score(door, request)));
  if (cold || waits) [[unlikely]] {
    if (auto aside = step_aside(target.endpoint->name, target.endpoint->project); !aside) {
      if (purpose == Purpose::kRun) leave_loop(*target.endpoint);
      return std::unexpected(std::move(aside).error());
    }
    target.held = *found;  // a pin holds up the freeing of every replaced snapshot: not for as long as a model waits
    target.pin.reset();
    if (cold) {
      TRY_SET(target.held, door.runtime.warm(*target.held, request.ctx.deadline_mono_us));
      target.endpoint = target.held.get();
    }
  } else if (purpose == Purpose::kRun && too_late(*target.endpoint)) [[unlikely]] {
    target.endpoint->refused->add();
    return base::fail(base::Code::kUnavailable, "too many requests are being answered; try again");
  }
  return target;
}

base::Result<void> step_aside(std::string_view name, int64_t project) {
  if (!base::Loop::current()) return {};
  detour = {.place = {.lane = std::hash<std::string_view>()(name) ^ static_cast<uint64_t>(project)}};
  detoured = true;
  return base::fail(base::Code::kUnavailable, "this model is run on another thread");
}

bool has_detour() { return detoured; }

void set_detour_priority(uint64_t priority) {
  if (priority == 0 || (detour.priority_levels != 0 && priority > detour.priority_levels)) return;
  detour.place.priority = static_cast<uint32_t>(std::min(priority, kMaxLevel));
}

std::optional<Detour> take_detour() {
  if (!detoured) [[likely]]
    return std::nullopt;
  detoured = false;
  return std::exchange(detour, {});
}

base::Task<base::Result<void>> run_in_lane(const Door& door, Detour way, const net::Request& request,
                                           std::function<base::Result<void>()> work) {
  serve::Limiter* limiter = way.limiter.get();
  if (limiter && !limiter->enter()) {
    way.refused->add();
    co_return base::fail(base::Code::kUnavailable, "too many requests wait for this model already (" +
                                                       std::to_string(limiter->limit()) +
                                                       " are answered in time); try again");
  }
  auto once_more = [&request, &work]() -> base::Result<void> {
    const int64_t deadline_us = request.ctx.deadline_mono_us;
    if (deadline_us != 0 && base::system_clock().mono_us() > deadline_us)
      return base::fail(base::Code::kDeadline, "the request's time was over before its turn came");
    if (request.ctx.cancelled.stop_requested())
      return base::fail(base::Code::kCancelled, "the client went away before the request's turn came");
    return work();
  };
  auto done = co_await door.lanes->run(way.place, std::move(once_more));
  if (limiter) {
    const bool ran = done || done.error().code == base::Code::kInvalid || done.error().code == base::Code::kInternal;
    ran ? limiter->leave(base::system_clock().mono_us()) : limiter->leave_unanswered();
  }
  co_return done;
}

bool all_ready(const Door& door) { return door.runtime.ready(); }

std::vector<std::string> versions_of(const Door& door, const serve::LiveEndpoint& endpoint) {
  std::vector<std::string> out;
  const auto pin = door.runtime.pin();
  for (const auto& live : pin->versions(endpoint.project, endpoint.name)) out.push_back(live->version);
  std::ranges::reverse(out);
  return out;
}

std::vector<repository::ModelState> index_of(const Door& door, const net::Request& request, bool ready_only) {
  if (door.control) return door.control->index(ready_only);
  std::vector<repository::ModelState> out;
  const auto pin = door.runtime.pin();
  for (const auto& endpoint : pin->endpoints) {
    const bool ready = endpoint->ready();
    if (endpoint->project != request.ctx.project || (ready_only && !ready)) continue;
    out.push_back({endpoint->name, endpoint->version, ready ? "READY" : "UNAVAILABLE",
                   ready ? std::string() : endpoint->problem.message});
  }
  return out;
}

base::Result<void> load_model(const Door& door, std::string_view name, const std::optional<std::string>& config_json) {
  if (!door.control) return base::fail(base::Code::kUnavailable, std::string(kNoExplicitLoad));
  TRY(step_aside(name));
  return door.control->load(name, config_json);
}

base::Error refused_parameter(std::string_view name) {
  if (name.starts_with("file:"))
    return {base::Code::kUnsupported,
            "parameter '" + std::string(name.substr(0, 80)) +
                "': files of a model are not taken with a request; put them into the repository"};
  return {base::Code::kInvalid, "parameter '" + std::string(name.substr(0, 80)) +
                                    "' is unknown; allowed: config (load), unload_dependents (unload)"};
}

base::Result<void> unload_model(const Door& door, std::string_view name, bool dependents) {
  if (!door.control) return base::fail(base::Code::kUnavailable, std::string(kNoExplicitLoad));
  TRY(step_aside(name));
  return door.control->unload(name, dependents);
}

void count_failure(const serve::LiveEndpoint& endpoint) {
  endpoint.requests->add();
  endpoint.failures->add();
}

namespace {

// How long whoever asks still waits for the answer, as the proxy in front of us knows it (Envoy, Istio, KServe's
// ingress). Only ever less than the route's own time.
base::Result<void> take_expected_timeout(net::Request& request) {
  const std::string_view text = request.header("x-envoy-expected-rq-timeout-ms");
  if (text.empty()) return {};
  uint32_t ms = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
  if (error != std::errc() || end != text.data() + text.size())
    return base::invalid("X-Envoy-Expected-Rq-Timeout-Ms '" + std::string(text.substr(0, 40)) +
                         "' is not a number of milliseconds");
  if (ms == 0) return {};  // Envoy's word for: no timeout
  int64_t& deadline_us = request.ctx.deadline_mono_us;
  const int64_t until_us = arrived_mono_us(request) + int64_t{ms} * 1000;
  if (deadline_us == 0 || until_us < deadline_us) deadline_us = until_us;
  if (base::system_clock().mono_us() <= deadline_us) return {};
  return base::fail(base::Code::kDeadline, "the request's time was over before it was read");
}

// Of the model that the request's path names, before its body is read. Of others the route's own limit is enough.
size_t body_limit(const Door& door, const net::Request& request) {
  std::string_view name = request.param("model");
  if (name.empty()) name = request.param("name");
  if (name.empty() || request.path.starts_with("/v2/repository/")) return base::limits::kInferBody;
  const auto pin = door.runtime.pin();
  const serve::LivePtr* found = pin->find(request.ctx.project, name);
  if (!found) return base::limits::kInferBody;
  size_t most = (*found)->body_bytes;
  if ((*found)->split)
    for (const auto& part : (*found)->split->parts)
      if (part.target) most = std::max(most, part.target->body_bytes);
  return most;
}

base::Task<base::Result<std::string>> read_bounded(net::Request& request, size_t most) {
  const auto too_large = [&](const std::string& found) {
    return base::fail(base::Code::kTooLarge,
                      "the body has " + found + " bytes; this model takes at most " + std::to_string(most));
  };
  if (request.content_length) {
    if (*request.content_length > most) co_return too_large(std::to_string(*request.content_length));
    co_return co_await request.read_body();
  }
  constexpr size_t kPiece = 64 * base::limits::kKiB;
  std::string body;
  for (;;) {
    const size_t size = body.size();
    body.resize(size + kPiece);
    CO_TRY_SET(const size_t n, co_await request.read_some({body.data() + size, kPiece}));
    body.resize(size + n);
    if (n == 0) break;
    if (body.size() > most) co_return too_large("more than " + std::to_string(most));
  }
  body.reserve(body.size() + net::Request::kBodyPadding);
  co_return body;
}

void write_refusal(const Door& door, net::Protocol protocol, const net::Request& request, net::Response& response,
                   const base::Error& error) {
  if (error.code == base::Code::kUnavailable || error.code == base::Code::kTooMany) response.header("Retry-After", "1");
  door.errors.write(protocol, response, error, request.ctx.request_id);
}

}  // namespace

base::Result<void> check_timeout(const net::Request& request, uint64_t timeout_us) {
  if (timeout_us == 0) return {};
  const int64_t passed_us = base::system_clock().wall_us() - request.ctx.now_us;
  if (passed_us <= 0 || static_cast<uint64_t>(passed_us) <= timeout_us) return {};
  return base::fail(base::Code::kUnavailable, std::string(serve::kTimeoutExpired) + ": " + std::to_string(passed_us) +
                                                  " us have passed, and its timeout is " + std::to_string(timeout_us));
}

base::Result<Answer> run(const Door& door, const serve::LiveEndpoint& found, std::span<const serve::Tensor> inputs,
                         const net::Request& request, std::string_view client_id, net::Response& response,
                         std::string params, const Wish& wish) {
  serve::LivePtr by_rule;
  if (found.rules) [[unlikely]] {
    TRY_SET(by_rule, by_columns(found, inputs, request));
    // As find_target() does for those that it finds.
    if (by_rule && by_rule->waits && !found.waits) TRY(step_aside(by_rule->name, by_rule->project));
  }
  const serve::LiveEndpoint& endpoint = by_rule ? *by_rule : found;
  if (!endpoint.predictor) {
    count_failure(endpoint);
    endpoint.faults->add();
    return std::unexpected(endpoint.problem);
  }
  std::optional<base::Span> span;
  if (request.ctx.trace) {
    span.emplace(request.ctx.trace, "infer " + endpoint.name);
    span->set("lathe.endpoint", endpoint.name);
    span->set("lathe.model.version", endpoint.version);
  }
  const int64_t start_us = base::system_clock().mono_us();
  std::string shown, route;
  serve::Call call;
  if (endpoint.waits || endpoint.graph) call = call_of(request, std::move(params), wish, shown, route);
  auto outputs = endpoint.predictor->infer(inputs, call);
  const int64_t duration_us = base::system_clock().mono_us() - start_us;
  if (endpoint.limiter && !endpoint.waits) endpoint.limiter->ran(duration_us);
  if (!outputs) {
    if (span) span->fail(outputs.error().message);
    count_failure(endpoint);
    const base::Error& error = outputs.error();
    const bool own_time = error.code == base::Code::kCancelled || error.message == serve::kTimeoutExpired;
    if (!own_time && (error.code != base::Code::kInvalid || fits(*endpoint.predictor, inputs))) endpoint.faults->add();
    return std::unexpected(std::move(outputs).error());
  }
  Answer answer{.outputs = std::move(*outputs), .prediction = {}, .shown = std::move(shown), .route = std::move(route)};
  answer.prediction = endpoint.predictor->read(answer.outputs);
  answer.by = std::move(by_rule);
  capture(door, endpoint, inputs, answer, std::max<int64_t>(duration_us, 1), request, client_id, response);
  endpoint.requests->add();
  endpoint.seconds->observe(static_cast<double>(duration_us) * 1e-6);
  if (!base::Loop::current() && asks_outlier_score(door, request)) add_outlier_score(door, endpoint, inputs, response);
  return answer;
}

net::Handler with_body(DoorPtr door, net::Protocol protocol, BodyHandler handler, size_t unpacked_bytes) {
  return [door, protocol, unpacked_bytes, handler = std::move(handler)](net::Request& request,
                                                                        net::Response& response) -> base::Task<void> {
    base::Result<std::string> read;
    auto body = request.body_at_hand();
    if (!body) {
      read = co_await read_bounded(request, body_limit(*door, request));
      if (read) body = *read;
    }
    base::Result<void> done;
    base::Result<std::string> unpacked;
    if (!read) {
      done = std::unexpected(std::move(read).error());
    } else if (done = take_expected_timeout(request); !done) {
      // it is told below
    } else if (const auto encoding = request.header("content-encoding"); encoding.empty()) {
      done = handler(*door, request, response, *body);
    } else if (const auto coding = parse_coding(encoding); !coding) {
      done = base::invalid("Content-Encoding '" + std::string(encoding.substr(0, 40)) +
                           "' is not offered; allowed: gzip, deflate, identity");
    } else if (unpacked = unpack(*coding, *body, std::min(unpacked_bytes, body_limit(*door, request))); !unpacked) {
      done = std::unexpected(std::move(unpacked).error());
    } else {
      unpacked->reserve(unpacked->size() + net::Request::kBodyPadding);
      body = *unpacked;
      done = handler(*door, request, response, *body);
    }
    if (const auto lane = take_detour()) [[unlikely]] {
      done = co_await run_in_lane(*door, *lane, request, [&] { return handler(*door, request, response, *body); });
    }
    if (!done) write_refusal(*door, protocol, request, response, done.error());
  };
}

void send_packed(const net::Request& request, net::Response& response, std::string_view type, std::string body) {
  constexpr size_t kWorthwhile = 8192;
  const auto coding = body.size() < kWorthwhile ? Coding::kIdentity : best_coding(request.header("accept-encoding"));
  if (coding != Coding::kIdentity) {
    response.header("Content-Encoding", name(coding));
    response.header("Vary", "Accept-Encoding");
    body = pack(coding, body);
  }
  response.send(200, type, std::move(body));
}

net::Handler without_body(DoorPtr door, net::Protocol protocol, PlainHandler handler) {
  return [door, protocol, handler = std::move(handler)](net::Request& request,
                                                        net::Response& response) -> base::Task<void> {
    auto done = handler(*door, request, response);
    if (const auto lane = take_detour()) [[unlikely]] {
      done = co_await run_in_lane(*door, *lane, request, [&] { return handler(*door, request, response); });
    }
    if (!done) write_refusal(*door, protocol, request, response, done.error());
    co_return;
  };
}

void append_flat(std::string& out, const serve::Tensor& tensor) {
  out += '[';
  const size_t count = elements(tensor);
  for (size_t i = 0; i < count; ++i) {
    if (i) out += ',';
    append_element(out, tensor, i);
  }
  out += ']';
}

void append_nested(std::string& out, const serve::Tensor& tensor) {
  size_t next = 0;
  append_level(out, tensor, 0, next);
}

namespace {

// The scores of each row; of a Booster of two classes the second's alone, as its own predict answers.
void append_scores(std::string& out, const serve::Prediction& prediction) {
  const size_t rows = prediction.labels.size(), width = prediction.scores.size() / rows;
  const bool last_only = prediction.answers == serve::Answers::kLastScore;
  out += '[';
  for (size_t row = 0; row < rows; ++row) {
    if (row) out += ',';
    if (!last_only) out += '[';
    for (size_t i = last_only ? width - 1 : 0; i < width; ++i) {
      if (i && !last_only) out += ',';
      append_number(out, prediction.scores[row * width + i]);
    }
    if (!last_only) out += ']';
  }
  out += ']';
}

}  // namespace

void append_predictions(std::string& out, const Answer& answer) {
  if (!answer.shown.empty()) return void(out += answer.shown);
  if (answer.prediction.answers != serve::Answers::kLabels && !answer.prediction.scores.empty() &&
      !answer.prediction.labels.empty()) {
    return append_scores(out, answer.prediction);
  }
  if (answer.prediction.labels.empty() && answer.outputs.size() == 1) return append_nested(out, answer.outputs[0]);
  if (answer.prediction.labels.empty()) {
    out += '{';
    for (size_t i = 0; i < answer.outputs.size(); ++i) {
      if (i) out += ',';
      base::append_json_string(out, answer.outputs[i].name);
      out += ':';
      append_nested(out, answer.outputs[i]);
    }
    out += '}';
    return;
  }
  out += '[';
  for (size_t i = 0; i < answer.prediction.labels.size(); ++i) {
    if (i) out += ',';
    const std::string& label = answer.prediction.labels[i];
    const bool special = label == "NaN" || label.ends_with("Infinity");
    if (answer.prediction.text || special) {
      append_text(out, label);
    } else {
      out += label;
    }
  }
  out += ']';
}

void add_inference_routes(net::RouteTable& routes, net::ErrorWriters& errors, serve::Routes& runtime,
                          std::string version, Extras extras) {
  Door made{runtime, errors, std::move(version), extras.control, std::move(extras.profiles)};
  made.regions = std::make_shared<SharedRegions>();
  const auto door = std::make_shared<const Door>(std::move(made));
  const auto brief = [](net::Response& response, const base::Error& error, std::string_view) {
    std::string body = "{\"error\":";
    base::append_json_string(body, error.message);
    response.send_json(body += '}', net::http_status(error.code));
  };
  errors.set(net::Protocol::kInference, brief);
  errors.set(net::Protocol::kKserveV1, brief);
  errors.set(net::Protocol::kBento, brief);
  errors.set(net::Protocol::kSeldon, [](net::Response& response, const base::Error& error, std::string_view) {
    const int status = net::http_status(error.code);
    std::string body;
    base::JsonWriter json(body);
    json.begin_object().key("status").begin_object().field("status", "FAILURE").field("code", status);
    json.field("info", error.message).field("reason", base::name(error.code)).end_object().end_object();
    response.send_json(std::move(body), status);
  });
  errors.set(net::Protocol::kMlflowScoring, [](net::Response& response, const base::Error& error, std::string_view) {
    const int status = net::http_status(error.code);
    // For SageMaker's clients, who ask on the same route; the others do not look.
    response.header("x-amzn-errortype", status == 401 || status == 403 ? "AccessDeniedException"
                                        : status < 500                 ? "ValidationError"
                                        : status == 503                ? "ServiceUnavailable"
                                                                       : "InternalFailure");
    std::string body;
    base::JsonWriter(body)
        .begin_object()
        .field("error_code", status == 404  ? "RESOURCE_DOES_NOT_EXIST"
                             : status < 500 ? "BAD_REQUEST"
                                            : "INTERNAL_ERROR")
        .field("message", error.message)
        .end_object();
    response.send_json(std::move(body), status);
  });
  add_oip_routes(routes, door);
  add_triton_routes(routes, door);
  add_v1_routes(routes, door);
  add_explain_routes(routes, door);
  add_tfserving_routes(routes, door);
  add_scoring_routes(routes, door);
  add_sagemaker_routes(routes, door);
  add_seldon_routes(routes, door);
  add_bento_routes(routes, door);
  add_grpc_routes(routes, errors, door);
  if (extras.control) add_container_routes(routes, door);
}

}  // namespace api::inference
