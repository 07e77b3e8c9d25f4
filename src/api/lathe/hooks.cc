#include "api/lathe/hooks.h"

#include <algorithm>
#include <charconv>

#include "api/lathe/errors.h"
#include "api/lathe/page_args.h"
#include "api/lathe/routes.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "hooks/deliveries.h"
#include "hooks/public_address.h"

namespace api::lathe {
namespace {

using base::JsonWriter;
using base::Result;
using store::Tx;

constexpr net::RouteLimits kBody{.body_bytes = size_t{64} << 10};
constexpr int64_t kPage = 100, kMaxPage = 1000;

void write_hook(JsonWriter& json, const hooks::Hook& hook, const hooks::DeliveryCounts* counts) {
  json.begin_object().field("id", hook.id).field("name", hook.name);
  json.field("description", hook.description.value_or("")).field("url", hook.url).field("active", hook.active);
  json.field("signed", !hook.sealed_secret.empty()).key("events").begin_array();
  for (const std::string& event : hook.events) json.value(event);
  json.end_array().field("created_ms", hook.created_ms).field("updated_ms", hook.updated_ms);
  if (counts != nullptr) {
    json.key("deliveries").begin_object().field("waiting", counts->waiting);
    json.field("delivered", counts->delivered).field("dead", counts->dead).end_object();
  }
  json.end_object();
}

void write_delivery(JsonWriter& json, const hooks::Delivery& d, bool with_body) {
  json.begin_object().field("id", d.id).field("webhook", d.hook).field("webhook_name", d.hook_name);
  json.field("event", d.event).field("state", hooks::name(d.state)).field("attempts", d.attempts);
  json.field("created_us", d.created_us).field("due_us", d.due_us).field("finished_us", d.finished_us);
  json.field("status", d.status).field("error", d.error);
  if (with_body) json.key("body").raw(d.body);
  json.end_object();
}

// --- hooks ----------------------------------------------------------------------------------------------------------

struct HooksPage {
  std::vector<hooks::Hook> hooks;
  std::vector<hooks::DeliveryCounts> counts;
};

base::Task<void> list(const HookDoor& door, net::Request& request, net::Response& response) {
  auto read = [](Tx& tx) -> Result<HooksPage> {
    HooksPage page;
    TRY_SET(page.hooks, hooks::list_hooks(tx, {.limit = hooks::kHooksPerProject}));
    for (const hooks::Hook& hook : page.hooks) page.counts.push_back(hooks::count_deliveries(tx, hook.id));
    return page;
  };
  const auto page = co_await door.store.read(request.ctx, read);
  if (!page) co_return fail(response, request, page.error());
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("webhooks").begin_array();
  for (size_t i = 0; i < page->hooks.size(); ++i) write_hook(json, page->hooks[i], &page->counts[i]);
  json.end_array().key("events").begin_array();
  for (const auto event : hooks::mlflow_events()) json.value(event);
  for (const auto event : hooks::lathe_events()) json.value(event);
  json.end_array().end_object();
  response.send_json(std::move(text));
}

struct HookBody {
  hooks::HookChange change;
  std::optional<std::string> secret;
};

Result<std::vector<std::string>> parse_events(const base::json::object& body) {
  TRY_SET(const auto* list, base::required_array(body, "events"));
  std::vector<std::string> events;
  for (const auto& one : *list) {
    if (!one.is_string()) return base::invalid("field 'events' must be a list of texts such as \"alert.raised\"");
    events.emplace_back(one.get_string());
  }
  return events;
}

Result<HookBody> parse_hook(std::string_view text) {
  TRY_SET(const auto value, base::parse_json(text));
  TRY_SET(const auto* body, base::as_object(value, "the body"));
  HookBody out;
  TRY_SET(out.change.name, base::optional_string(*body, "name"));
  TRY_SET(out.change.description, base::optional_string(*body, "description"));
  TRY_SET(out.change.url, base::optional_string(*body, "url"));
  TRY_SET(out.change.active, base::optional_bool(*body, "active"));
  TRY_SET(out.secret, base::optional_string(*body, "secret"));
  if (out.secret && out.secret->size() > hooks::kSecretBytes)
    return base::invalid("field 'secret' has at most " + std::to_string(hooks::kSecretBytes) + " bytes");
  if (body->contains("events")) {
    TRY_SET(out.change.events, parse_events(*body));
  }
  return out;
}

Result<void> check_target(const hooks::Policy& policy, const std::string& url) {
  TRY_SET(const hooks::UrlParts parts, hooks::check_url(url, policy.schemes));
  if (policy.allow_private) return {};
  return hooks::check_host_is_public(parts.host);
}

void send_hook(net::Response& response, const hooks::Hook& hook, int status) {
  std::string text;
  JsonWriter json(text);
  write_hook(json, hook, nullptr);
  response.send_json(std::move(text), status);
}

base::Task<void> create(const HookDoor& door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  auto parsed = parse_hook(*body);
  if (!parsed) co_return fail(response, request, parsed.error());
  hooks::HookChange& given = parsed->change;
  if (!given.name || !given.url || !given.events)
    co_return fail(response, request, {base::Code::kInvalid, "a webhook needs name, url and events"});
  auto look = [&] { return check_target(door.courier.policy(), *given.url); };
  if (const auto good = co_await door.outgoing.run(look); !good) co_return fail(response, request, good.error());
  const std::string id = hooks::make_uuid4(base::system_random());
  const auto sealed = door.courier.sealer().seal(parsed->secret.value_or(""), id, base::system_random());
  if (!sealed) co_return fail(response, request, sealed.error());
  const hooks::NewHook hook{.name = std::move(*given.name),
                            .description = std::move(given.description),
                            .url = std::move(*given.url),
                            .active = given.active.value_or(true),
                            .events = std::move(*given.events)};
  auto act = [&](Tx& tx) { return hooks::create_hook(tx, id, hook, *sealed); };
  const auto made = co_await door.store.write(request.ctx, act);
  if (!made) co_return fail(response, request, made.error());
  send_hook(response, *made, 201);
}

base::Task<void> change(const HookDoor& door, net::Request& request, net::Response& response) {
  const auto body = co_await request.read_body();
  if (!body) co_return fail(response, request, body.error());
  const auto parsed = parse_hook(*body);
  if (!parsed) co_return fail(response, request, parsed.error());
  if (parsed->change.url) {
    auto look = [&] { return check_target(door.courier.policy(), *parsed->change.url); };
    if (const auto good = co_await door.outgoing.run(look); !good) co_return fail(response, request, good.error());
  }
  const std::string id(request.param("id"));
  std::optional<std::string> sealed;
  if (parsed->secret) {
    auto made = door.courier.sealer().seal(*parsed->secret, id, base::system_random());
    if (!made) co_return fail(response, request, made.error());
    sealed = std::move(*made);
  }
  auto act = [&](Tx& tx) { return hooks::change_hook(tx, id, parsed->change, sealed); };
  const auto changed = co_await door.store.write(request.ctx, act);
  if (!changed) co_return fail(response, request, changed.error());
  send_hook(response, *changed, 200);
}

base::Task<void> remove(const HookDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("id"));
  auto act = [&](Tx& tx) { return hooks::delete_hook(tx, id); };
  const auto gone = co_await door.store.write(request.ctx, act);
  if (!gone) co_return fail(response, request, gone.error());
  response.send(204, "", "");
}

// --- deliveries -----------------------------------------------------------------------------------------------------

// "CREATED_US.ID" of the last row given.
Result<void> parse_after(const std::string& text, hooks::DeliveryQuery& query) {
  if (text.empty()) return {};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), query.before_us);
  if (error != std::errc() || end == text.data() + text.size() || *end != '.')
    return base::invalid("'after' is '" + text + "'; it must be 'next' of the page before");
  query.before_id = std::string(end + 1, text.data() + text.size());
  return {};
}

base::Task<void> deliveries(const HookDoor& door, net::Request& request, net::Response& response) {
  PageArgs args(request);
  static constexpr std::string_view kStates[] = {"", "waiting", "delivered", "dead"};
  const std::string_view state = args.choice("state", kStates);
  hooks::DeliveryQuery query;
  query.hook = args.text("webhook");
  query.limit = args.integer("limit", kPage, 1, kMaxPage) + 1;
  if (!state.empty()) {
    query.state = static_cast<hooks::DeliveryState>(std::ranges::find(kStates, state) - std::begin(kStates) - 1);
  }
  if (const auto good = args.status(); !good) co_return fail(response, request, good.error());
  if (const auto good = parse_after(args.text("after"), query); !good) co_return fail(response, request, good.error());
  auto act = [&](Tx& tx) { return hooks::list_deliveries(tx, query); };
  auto found = co_await door.store.read(request.ctx, act);
  if (!found) co_return fail(response, request, found.error());
  const bool more = static_cast<int64_t>(found->size()) == query.limit;
  if (more) found->pop_back();
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("deliveries").begin_array();
  for (const auto& delivery : *found) write_delivery(json, delivery, false);
  json.end_array().key("next");
  if (more) {
    json.value(std::to_string(found->back().created_us) + "." + found->back().id);
  } else {
    json.null();
  }
  json.end_object();
  response.send_json(std::move(text));
}

base::Task<void> delivery(const HookDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("id"));
  auto act = [&](Tx& tx) { return hooks::get_delivery(tx, id); };
  const auto found = co_await door.store.read_point(request.ctx, act);
  if (!found) co_return fail(response, request, found.error());
  std::string text;
  JsonWriter json(text);
  write_delivery(json, *found, true);
  response.send_json(std::move(text));
}

base::Task<void> send_again(const HookDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("id"));
  auto act = [&](Tx& tx) { return hooks::send_again(tx, id); };
  const auto queued = co_await door.store.write(request.ctx, act);
  if (!queued) co_return fail(response, request, queued.error());
  door.courier.look();
  response.send_json("{}", 202);
}

}  // namespace

void add_hook_routes(net::RouteTable& routes, const HookDoor& door) {
  const auto add = route_adder(routes, door);
  using base::Permission;
  using net::Method;
  add(Method::kGet, "/webhooks", Permission::kAdmin, kNoBody, list);
  add(Method::kPost, "/webhooks", Permission::kAdmin, kBody, create);
  add(Method::kPatch, "/webhooks/{id}", Permission::kAdmin, kBody, change);
  add(Method::kDelete, "/webhooks/{id}", Permission::kAdmin, kNoBody, remove);
  add(Method::kGet, "/webhooks/deliveries", Permission::kAdmin, kNoBody, deliveries);
  add(Method::kGet, "/webhooks/deliveries/{id}", Permission::kAdmin, kNoBody, delivery);
  add(Method::kPost, "/webhooks/deliveries/{id}/send", Permission::kAdmin, kBody, send_again);
}

}  // namespace api::lathe
