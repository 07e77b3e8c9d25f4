#include "api/lathe/serve.h"

#include <algorithm>
#include <charconv>

#include "api/lathe/errors.h"
#include "api/lathe/routes.h"
#include "base/json_writer.h"
#include "base/utf8.h"

namespace api::lathe {
namespace {

constexpr size_t kBatchRequests = 200;  // read, joined and written at once
constexpr size_t kMaxPage = 1000;       // requests in one bounded answer

using Labels = std::vector<std::vector<std::optional<std::string>>>;  // per request, per row

base::Result<int64_t> number(std::string_view text, const char* what) {
  int64_t n = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || n < 0) {
    return base::invalid(std::string(what) + " is '" + std::string(text.substr(0, 40)) +
                         "'; it must be a whole number");
  }
  return n;
}

base::Result<serve::CapturePosition> position_of(std::string_view text) {
  serve::CapturePosition position;
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos)
    return base::invalid("'from' is '" + std::string(text.substr(0, 40)) + "'; it must be what X-Lathe-Next said");
  TRY_SET(position.segment, number(text.substr(0, dot), "'from'"));
  TRY_SET(position.offset, number(text.substr(dot + 1), "'from'"));
  return position;
}

// Captured text is what clients sent: any bytes.
void write_text(base::JsonWriter& json, const std::string& text) {
  if (base::is_utf8(text)) return void(json.value(text));
  std::string shown;
  for (char c : text) shown += static_cast<unsigned char>(c) < 0x80 ? std::string(1, c) : std::string("\xef\xbf\xbd");
  json.value(shown);
}

void write_features(base::JsonWriter& json, const serve::CapturedRequest& request, size_t row) {
  json.begin_object();
  const size_t numbers = request.features.size(), texts = request.text_features.size();
  for (size_t i = 0; i < numbers; ++i) json.key(request.features[i]).value(request.rows[row * numbers + i]);
  for (size_t i = 0; i < texts; ++i) {
    json.key(request.text_features[i]);
    write_text(json, request.texts[row * texts + i]);
  }
  json.end_object();
}

void write_row(std::string& out, const serve::CapturedRequest& request, size_t row,
               const std::optional<std::string>& label) {
  base::JsonWriter json(out);
  json.begin_object()
      .field("id", request.id)
      .field("row", row)
      .field("at_us", request.at_us)
      .field("revision", request.revision);
  if (request.sample < 1) json.field("sample", request.sample);
  if (!request.role.empty()) json.field("role", request.role);
  if (!request.route.empty()) json.key("route").raw(request.route);
  if (!request.client_id.empty()) {
    json.key("client_id");
    write_text(json, request.client_id);
  }
  json.key("features");
  write_features(json, request, row);
  if (row < request.labels.size()) {
    json.key("prediction");
    write_text(json, request.labels[row]);
  }
  if (row < request.scores.size()) json.field("score", request.scores[row]);
  json.key("label");
  if (label) {
    json.value(*label);
  } else {
    json.null();
  }
  json.end_object();
}

Labels labels_of(const ServeDoor& door, store::Tx& tx, const std::vector<serve::CapturedRequest>& requests) {
  Labels labels;
  for (const auto& request : requests) {
    auto& rows = labels.emplace_back(request.row_count);
    for (size_t row = 0; door.label_of && row < rows.size(); ++row)
      rows[row] = door.label_of(tx, request.id, static_cast<int64_t>(row));
  }
  return labels;
}

// One batch as lines, and where the next begins.
struct Lines {
  std::string text;
  serve::CapturePosition next;
  size_t requests = 0;
};
base::Task<base::Result<Lines>> read_lines(const ServeDoor& door, base::Context ctx, std::string endpoint,
                                           serve::CapturePosition from, size_t limit, bool labelled,
                                           std::string_view role) {
  auto read = [&door, project = ctx.project, endpoint, from, limit] {
    return door.runtime.capture().read(project, endpoint, from, limit);
  };
  CO_TRY_SET(const serve::Capture::Batch batch, co_await door.offload.run(read));
  auto join = [&door, &batch](store::Tx& tx) -> base::Result<Labels> {
    Labels labels = labels_of(door, tx, batch.requests);
    TRY(tx.status());
    return labels;
  };
  CO_TRY_SET(const Labels labels, co_await door.store.read(ctx, join));
  Lines lines{.next = batch.next, .requests = batch.requests.size()};
  for (size_t i = 0; i < batch.requests.size(); ++i) {
    if (role != "all" && batch.requests[i].role != role) continue;
    for (size_t row = 0; row < batch.requests[i].row_count; ++row) {
      if (labelled && !labels[i][row]) continue;
      write_row(lines.text, batch.requests[i], row, labels[i][row]);
      lines.text += '\n';
    }
  }
  co_return lines;
}

// Without `limit` everything there is, streamed; with it one page, whose X-Lathe-Next says where the next one begins.
base::Task<void> requests(const ServeDoor& door, net::Request& request, net::Response& response) {
  const std::string endpoint(request.param("name"));
  const bool labelled = request.query_value("labelled").value_or("") == "true";
  // "": answers that were given; "shadow": to copies of requests; "all".
  const std::string role = request.query_value("role").value_or("");
  if (!role.empty() && role != "all" && role != serve::kShadowRole)
    co_return fail(response, request,
                   {base::Code::kInvalid, "'role' is '" + role.substr(0, 40) + "'; allowed: shadow, all"});
  serve::CapturePosition from;
  if (const auto text = request.query_value("from")) {
    auto position = position_of(*text);
    if (!position) co_return fail(response, request, position.error());
    from = *position;
  }
  auto known = [&endpoint](store::Tx& tx) { return serve::get_endpoint(tx, endpoint); };
  if (auto found = co_await door.store.read(request.ctx, known); !found)
    co_return fail(response, request, found.error());
  auto flush = [&door]() -> base::Result<void> {
    door.runtime.capture().flush();
    return {};
  };
  if (auto flushed = co_await door.offload.run(flush); !flushed) co_return fail(response, request, flushed.error());

  if (const auto text = request.query_value("limit")) {
    const auto limit = number(*text, "'limit'");
    if (!limit) co_return fail(response, request, limit.error());
    const size_t most = std::clamp<size_t>(static_cast<size_t>(*limit), 1, kMaxPage);
    auto lines = co_await read_lines(door, request.ctx, endpoint, from, most, labelled, role);
    if (!lines) co_return fail(response, request, lines.error());
    response.header("X-Lathe-Next", std::to_string(lines->next.segment) + "." + std::to_string(lines->next.offset));
    co_return response.send(200, "application/x-ndjson", std::move(lines->text));
  }
  if (!co_await response.begin(200, "application/x-ndjson")) co_return;
  for (;;) {
    const auto lines = co_await read_lines(door, request.ctx, endpoint, from, kBatchRequests, labelled, role);
    if (!lines) co_return;  // the answer has begun: without its end the reader knows that something is missing
    if (lines->requests == 0) break;
    from = lines->next;
    if (!lines->text.empty() && !co_await response.write(lines->text)) co_return;
  }
  std::ignore = co_await response.end();
}

base::Task<void> prediction(const ServeDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("id"));
  auto find = [&door, &id]() -> base::Result<std::optional<serve::CapturedRequest>> {
    auto found = door.runtime.capture().find(id);
    if (found && !*found) {  // perhaps still in a queue
      door.runtime.capture().flush();
      found = door.runtime.capture().find(id);
    }
    return found;
  };
  auto found = co_await door.offload.run(find);
  if (!found) co_return fail(response, request, found.error());
  if (!*found || (*found)->project != request.ctx.project) {
    co_return fail(response, request,
                   {base::Code::kNotFound, "prediction " + id + " was not captured, or retention has removed it"});
  }
  const std::vector<serve::CapturedRequest> one{std::move(**found)};
  auto join = [&](store::Tx& tx) -> base::Result<Labels> {
    Labels labels = labels_of(door, tx, one);
    TRY(tx.status());
    return labels;
  };
  const auto labels = co_await door.store.read(request.ctx, join);
  if (!labels) co_return fail(response, request, labels.error());
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().field("id", one[0].id).field("endpoint", one[0].endpoint).field("revision", one[0].revision);
  json.field("at_us", one[0].at_us).key("rows").begin_array();
  for (size_t row = 0; row < one[0].row_count; ++row) {
    std::string text;
    write_row(text, one[0], row, (*labels)[0][row]);
    json.raw(text);
  }
  json.end_array().end_object();
  response.send_json(std::move(body));
}

struct EndpointRows {
  serve::Endpoint endpoint;
  std::vector<serve::Revision> revisions;
};

// How its model is run: what the endpoint says, what is in force together with what the model says, and how that goes.
void write_serving(base::JsonWriter& json, const serve::Endpoint& endpoint, const serve::LiveEndpoint* live) {
  const std::string own = to_json(endpoint.serving);
  json.key("serving").begin_object().key("endpoint").raw(own.empty() ? "{}" : own);
  if (live && live->predictor && live->predictor->waits()) {
    const serve::Model& model = live->predictor->model();
    serve::ServingSettings now;
    if (const auto limits = model.limits()) {
      now = {.min_workers = limits->min_workers,
             .max_workers = limits->max_workers,
             .memory_mb = limits->memory_bytes >> 20,
             .timeout_us = limits->timeout_us,
             .idle_us = limits->idle_us};
    }
    const serve::BatchOptions batch = batch_options(endpoint.serving, model.batching());
    if (batch.max_rows > 1) {
      now.max_rows = batch.max_rows;
      now.preferred = batch.preferred;
      now.max_delay_us = batch.max_delay_us;
      now.queue = batch.queue;
    }
    json.key("in_force").raw(to_json(now));
    if (const auto counts = model.workers()) {
      json.key("workers").begin_object();
      json.field("ready", counts->workers).field("busy", counts->busy).field("waiting", counts->waiting);
      json.field("started", counts->started).field("failed", counts->crashed);
      json.field("waited", counts->waited).field("wait_us", counts->wait_us).end_object();
    }
  }
  json.end_object();
}

void write_endpoint(base::JsonWriter& json, const ServeDoor& door, int64_t project, const EndpointRows& rows,
                    bool revisions) {
  const serve::Endpoint& endpoint = rows.endpoint;
  const auto live = door.runtime.route(project, endpoint.name);
  json.begin_object()
      .field("name", endpoint.name)
      .field("environment", endpoint.environment)
      .field("default", endpoint.is_default);
  json.field("live_revision", endpoint.live_revision).field("previous_revision", endpoint.previous_revision);
  json.field("generation", endpoint.generation);
  const auto current = std::ranges::find(rows.revisions, endpoint.live_revision, &serve::Revision::number);
  json.field("model",
             current == rows.revisions.end() ? "" : current->model_name + "/" + std::to_string(current->model_version));
  json.field("state", endpoint.live_revision == 0 ? "empty" : live && live->ready() ? "ready" : "failed");
  if (const std::string trouble = live ? live->trouble() : std::string(); !trouble.empty())
    json.field("problem", trouble);
  if (live && live->cold) json.field("in_memory", false);
  write_serving(json, endpoint, live.get());
  if (live && live->predictor) {
    json.field("applies_transform", live->predictor->applies_transform()).key("features").begin_array();
    for (const auto& feature : live->predictor->features()) json.value(feature.name);
    json.end_array();
  }
  if (revisions) {
    json.key("revisions").begin_array();
    for (const serve::Revision& revision : rows.revisions) {
      json.begin_object()
          .field("number", revision.number)
          .field("model", revision.model_name)
          .field("version", revision.model_version);
      json.field("transform", revision.transform_digest).field("created_us", revision.created_us).end_object();
    }
    json.end_array();
  }
  json.end_object();
}

base::Task<void> list(const ServeDoor& door, net::Request& request, net::Response& response) {
  auto read = [](store::Tx& tx) -> base::Result<std::vector<EndpointRows>> {
    std::vector<EndpointRows> out;
    for (auto& endpoint : serve::list_endpoints(tx)) {
      auto revisions = serve::list_revisions(tx, endpoint.name);
      out.push_back({std::move(endpoint), std::move(revisions)});
    }
    TRY(tx.status());
    return out;
  };
  const auto all = co_await door.store.read(request.ctx, read);
  if (!all) co_return fail(response, request, all.error());
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("endpoints").begin_array();
  for (const auto& rows : *all) write_endpoint(json, door, request.ctx.project, rows, false);
  json.end_array().end_object();
  response.send_json(std::move(body));
}

base::Task<void> show(const ServeDoor& door, net::Request& request, net::Response& response) {
  const std::string name(request.param("name"));
  auto read = [&name](store::Tx& tx) -> base::Result<EndpointRows> {
    TRY_SET(serve::Endpoint endpoint, serve::get_endpoint(tx, name));
    return EndpointRows{std::move(endpoint), serve::list_revisions(tx, name)};
  };
  const auto rows = co_await door.store.read(request.ctx, read);
  if (!rows) co_return fail(response, request, rows.error());
  std::string body;
  base::JsonWriter json(body);
  write_endpoint(json, door, request.ctx.project, *rows, true);
  response.send_json(std::move(body));
}

}  // namespace

void add_serve_routes(net::RouteTable& routes, const ServeDoor& door) {
  const auto add = route_adder(routes, door);
  const auto get = [&add](std::string_view path, net::RouteLimits limits, auto call) {
    add(net::Method::kGet, path, base::Permission::kRead, limits, call);
  };
  get("/endpoints", kNoBody, list);
  get("/endpoints/{name}", kNoBody, show);
  get("/endpoints/{name}/requests", {.body_bytes = 0, .deadline_us = 0}, requests);
  get("/predictions/{id}", kNoBody, prediction);
}

}  // namespace api::lathe
