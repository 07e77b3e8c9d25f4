#include "api/mlflow/webhooks.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "api/mlflow/door.h"
#include "api/mlflow/webhook_notice.h"
#include "base/utf8.h"
#include "hooks/public_address.h"
#include "track/page_token.h"

namespace api::mlflow {
namespace {

using base::JsonWriter;
using base::Permission;
using base::Result;
using net::Method;
using store::Tx;

constexpr net::RouteLimits kNoBody{.body_bytes = 64 << 10};  // the client repeats the id in one
constexpr net::RouteLimits kBody{.body_bytes = size_t{256} << 10};
constexpr int64_t kDefaultPage = 100, kMaxPage = 1000;
constexpr std::string_view kSearch = "webhooks";  // what a page token belongs to

constexpr std::array<std::string_view, 11> kEntities = {
    "entity_unspecified",  "registered_model", "model_version",  "model_version_tag",
    "model_version_alias", "prompt",           "prompt_version", "prompt_tag",
    "prompt_version_tag",  "prompt_alias",     "budget_policy"};
constexpr std::array<std::string_view, 6> kActions = {
    "action_unspecified", "created", "updated", "deleted", "set", "exceeded"};

struct WebhookDoor {
  store::Store& store;
  hooks::Courier& courier;
  net::Offload& outgoing;
};

std::string upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return out;
}

// --- events ---------------------------------------------------------------------------------------------------------

// An enumeration's value by name or by number, as protobuf's JSON allows.
std::string_view choice_in(Args& args, const base::json::object& object, std::string_view name, std::string_view where,
                           std::span<const std::string_view> names) {
  const auto* value = object.if_contains(name);
  const std::string path = std::string(where).append(".").append(name);
  if (value == nullptr || value->is_null()) {
    args.missing(path);
    return names[0];
  }
  if (value->is_int64() && value->get_int64() >= 0 && value->get_int64() < static_cast<int64_t>(names.size()))
    return names[static_cast<size_t>(value->get_int64())];
  if (value->is_string()) {
    const auto found =
        std::ranges::find_if(names, [&](std::string_view one) { return upper(one) == value->get_string(); });
    if (found != names.end()) return *found;
  }
  args.wrong(path, *value);
  return names[0];
}

void check_combination(Args& args, std::string_view entity, std::string_view action) {
  const std::string event = std::string(entity).append(".").append(action);
  if (hooks::is_mlflow_event(event)) return;
  std::string allowed;
  for (const std::string_view known : hooks::mlflow_events()) {  // by entity, actions in order of the alphabet
    if (!known.starts_with(std::string(entity) + ".")) continue;
    const std::string one = "'" + std::string(known.substr(entity.size() + 1)) + "'";
    allowed = allowed.empty() ? one : one < allowed ? one + ", " + allowed : allowed + ", " + one;
  }
  args.fail({base::Code::kInvalid, "Invalid action '" + std::string(action) + "' for entity '" + std::string(entity) +
                                       "'. Valid actions are: [" + allowed + "]"});
}

std::string event_in(Args& args, const base::json::object& object, std::string_view where) {
  const std::string_view entity = choice_in(args, object, "entity", where, kEntities);
  const std::string_view action = choice_in(args, object, "action", where, kActions);
  if (!args.error()) check_combination(args, entity, action);
  return std::string(entity).append(".").append(action);
}

std::vector<std::string> parse_events(Args& args) {
  std::vector<std::string> events;
  for (const auto* object : args.objects("events")) {
    events.push_back(event_in(args, *object, "events[" + std::to_string(events.size()) + "]"));
    if (args.error()) return {};
  }
  return events;
}

void write_event(JsonWriter& json, std::string_view event) {
  const size_t dot = event.find('.');
  json.begin_object().field("entity", upper(event.substr(0, dot)));
  json.field("action", upper(event.substr(dot + 1))).end_object();
}

void write_hook(JsonWriter& json, const hooks::Hook& hook) {
  json.begin_object().field("webhook_id", hook.id).field("name", hook.name);
  if (hook.description) json.field("description", *hook.description);
  json.field("url", hook.url).key("events").begin_array();
  for (const std::string& event : hook.events) {
    if (hooks::is_mlflow_event(event)) write_event(json, event);  // its clients know no others
  }
  json.end_array().field("status", hook.active ? "ACTIVE" : "DISABLED");
  json.field("creation_timestamp", hook.created_ms).field("last_updated_timestamp", hook.updated_ms).end_object();
}

std::string one_hook(const hooks::Hook& hook) {
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("webhook");
  write_hook(json, hook);
  json.end_object();
  return body;
}

// --- reading and checking -------------------------------------------------------------------------------------------

std::optional<bool> parse_active(Args& args) {
  static constexpr std::string_view kNames[] = {"ACTIVE", "DISABLED"};
  const auto status = args.choice("status", kNames, 1);
  return status ? std::optional(*status == 1) : std::nullopt;
}

Result<void> check_secret(const std::optional<std::string>& secret) {
  if (!secret || secret->size() <= hooks::kSecretBytes) return {};
  return base::invalid("a webhook's secret has at most " + std::to_string(hooks::kSecretBytes) +
                       " bytes; this one has " + std::to_string(secret->size()));
}

// On a thread that may wait for the resolver. Only a friendly first look: each delivery's own connection is checked.
Result<void> check_target(const hooks::Policy& policy, const std::string& url) {
  TRY_SET(const hooks::UrlParts parts, hooks::check_url(url, policy.schemes));
  if (policy.allow_private) return {};
  return hooks::check_host_is_public(parts.host);
}

// --- handlers -------------------------------------------------------------------------------------------------------

base::Task<void> create(const WebhookDoor& door, net::Request& request, net::Response& response) {
  Args args(request);
  if (const auto read = co_await read_args(request, args); !read) co_return fail(response, read.error());
  hooks::NewHook hook{.name = args.required_text("name"),
                      .description = args.optional_text("description"),
                      .url = args.required_text("url"),
                      .active = parse_active(args).value_or(true),
                      .events = {}};
  if (!args.has("events")) args.missing("events");
  if (!args.error()) hook.events = parse_events(args);
  const std::optional<std::string> secret = args.optional_text("secret");
  if (args.error()) co_return fail(response, *args.error());
  if (hook.description && hook.description->empty()) hook.description.reset();
  if (const auto named = hooks::check_name(hook.name); !named) co_return fail(response, named.error());
  if (const auto fits = check_secret(secret); !fits) co_return fail(response, fits.error());
  auto look = [&] { return check_target(door.courier.policy(), hook.url); };
  if (const auto good = co_await door.outgoing.run(look); !good) co_return fail(response, good.error());
  const std::string id = hooks::make_uuid4(base::system_random());
  const auto sealed = door.courier.sealer().seal(secret.value_or(""), id, base::system_random());
  if (!sealed) co_return fail(response, sealed.error());
  auto act = [&](Tx& tx) { return hooks::create_hook(tx, id, hook, *sealed); };
  const auto made = co_await door.store.write(request.ctx, act);
  if (!made) co_return fail(response, made.error());
  response.send_json(one_hook(*made));
}

base::Task<void> update(const WebhookDoor& door, net::Request& request, net::Response& response) {
  Args args(request);
  if (const auto read = co_await read_args(request, args); !read) co_return fail(response, read.error());
  const std::string id = args.path_param("webhook_id");
  hooks::HookChange change;
  if (std::string name = args.text("name"); !name.empty()) change.name = std::move(name);
  change.description = args.optional_text("description");
  if (std::string url = args.text("url"); !url.empty()) change.url = std::move(url);
  change.active = parse_active(args);
  if (auto events = parse_events(args); !events.empty()) change.events = std::move(events);
  const std::optional<std::string> secret = args.optional_text("secret");
  if (args.error()) co_return fail(response, *args.error());
  auto find = [&](Tx& tx) { return hooks::get_hook(tx, id); };
  if (const auto there = co_await door.store.read_point(request.ctx, find); !there)
    co_return fail(response, there.error());
  if (change.name) {
    if (const auto named = hooks::check_name(*change.name); !named) co_return fail(response, named.error());
  }
  if (const auto fits = check_secret(secret); !fits) co_return fail(response, fits.error());
  if (change.url) {
    auto look = [&] { return check_target(door.courier.policy(), *change.url); };
    if (const auto good = co_await door.outgoing.run(look); !good) co_return fail(response, good.error());
  }
  std::optional<std::string> sealed;
  if (secret) {
    auto made = door.courier.sealer().seal(*secret, id, base::system_random());
    if (!made) co_return fail(response, made.error());
    sealed = std::move(*made);
  }
  auto act = [&](Tx& tx) { return hooks::change_hook(tx, id, change, sealed); };
  const auto changed = co_await door.store.write(request.ctx, act);
  if (!changed) co_return fail(response, changed.error());
  response.send_json(one_hook(*changed));
}

base::Task<void> get(const WebhookDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("webhook_id"));
  auto find = [&](Tx& tx) { return hooks::get_hook(tx, id); };
  const auto hook = co_await door.store.read_point(request.ctx, find);
  if (!hook) co_return fail(response, hook.error());
  response.send_json(one_hook(*hook));
}

base::Task<void> remove(const WebhookDoor& door, net::Request& request, net::Response& response) {
  const std::string id(request.param("webhook_id"));
  auto act = [&](Tx& tx) { return hooks::delete_hook(tx, id); };
  const auto gone = co_await door.store.write(request.ctx, act);
  if (!gone) co_return fail(response, gone.error());
  response.send_json("{}");
}

base::Task<void> list(const WebhookDoor& door, net::Request& request, net::Response& response) {
  Args args(request);
  int64_t limit = args.integer("max_results").value_or(kDefaultPage);
  if (limit == 0) limit = kDefaultPage;
  if (limit < 1 || limit > kMaxPage) args.fail({base::Code::kInvalid, "max_results must be between 1 and 1000."});
  const auto token = track::decode_page_token(kSearch, args.text("page_token"));
  if (!token) args.fail(token.error());
  if (args.error()) co_return fail(response, *args.error());
  hooks::HookPage page{
      .limit = limit + 1, .before_ms = 0, .before_id = "", .offset = token->offset, .mlflow_only = true};
  if (token->after.size() == 2) page.before_ms = token->after[0].i, page.before_id = token->after[1].text;
  auto act = [&](Tx& tx) { return hooks::list_hooks(tx, page); };
  auto found = co_await door.store.read(request.ctx, act);
  if (!found) co_return fail(response, found.error());
  const bool more = static_cast<int64_t>(found->size()) > limit;
  if (more) found->resize(static_cast<size_t>(limit));
  std::string body;
  JsonWriter json(body);
  json.begin_object();
  if (!found->empty()) {
    json.key("webhooks").begin_array();
    for (const hooks::Hook& hook : *found) write_hook(json, hook);
    json.end_array();
  }
  if (more) {
    const std::vector<track::Value> last = {track::Value::of(found->back().created_ms),
                                            track::Value::of(found->back().id)};
    json.field("next_page_token", track::encode_page_token(kSearch, last));
  }
  json.end_object();
  response.send_json(std::move(body));
}

std::string test_answer(const Result<hooks::Answer>& answer) {
  std::string body;
  JsonWriter json(body);
  json.begin_object().key("result").begin_object();
  json.field("success", answer.has_value() && answer->status < 300);
  if (answer) {
    std::string text = answer->body;
    text.resize(base::utf8_valid_prefix(text));
    json.field("response_status", answer->status).field("response_body", text);
    if (answer->status >= 300 && answer->status < 400) json.field("error_message", "redirects are not followed");
  } else {
    json.field("error_message", "Failed to test webhook: " + answer.error().message);
  }
  json.end_object().end_object();
  return body;
}

base::Task<void> test(const WebhookDoor& door, net::Request& request, net::Response& response) {
  Args args(request);
  if (const auto read = co_await read_args(request, args); !read) co_return fail(response, read.error());
  const std::string id = args.path_param("webhook_id");
  std::string event;
  if (const auto* given = args.root().if_contains("event"); given != nullptr && !given->is_null()) {
    if (given->is_object()) {
      event = event_in(args, given->get_object(), "event");
    } else {
      args.wrong("event", *given);
    }
  }
  if (args.error()) co_return fail(response, *args.error());
  auto find = [&](Tx& tx) { return hooks::get_hook(tx, id); };
  const auto hook = co_await door.store.read_point(request.ctx, find);
  if (!hook) co_return fail(response, hook.error());
  if (event.empty()) event = hook->events.front();
  auto post = [&] { return door.courier.test(*hook, event, example_data(event)); };
  const auto answer = co_await door.outgoing.run(post);
  if (!answer && answer.error().code == base::Code::kTooMany) co_return fail(response, answer.error());
  response.send_json(test_answer(answer));
}

}  // namespace

void add_webhook_routes(net::RouteTable& routes, store::Store& store, blob::BlobStore& blobs, hooks::Courier& courier,
                        net::Offload& outgoing) {
  Door door(routes, store, blobs, outgoing, {});
  // What is sent out of the house is for whoever administers the project, as upstream has it.
  const auto add = [&door, hooks = WebhookDoor{store, courier, outgoing}](Method method, std::string_view path,
                                                                          net::RouteLimits limits, auto handler) {
    door.add(
        method, path, Permission::kAdmin, limits,
        [hooks, handler](net::Request& request, net::Response& response) { return handler(hooks, request, response); });
  };
  add(Method::kPost, "webhooks", kBody, create);
  add(Method::kGet, "webhooks", kNoBody, list);
  add(Method::kGet, "webhooks/{webhook_id}", kNoBody, get);
  add(Method::kPatch, "webhooks/{webhook_id}", kBody, update);
  add(Method::kDelete, "webhooks/{webhook_id}", kNoBody, remove);
  net::RouteLimits waits = kBody;
  waits.deadline_us = courier.policy().timeout_us + 30'000'000;
  add(Method::kPost, "webhooks/{webhook_id}/test", waits, test);
}

}  // namespace api::mlflow
