#include "hooks/hooks.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/hash.h"
#include "base/json_writer.h"
#include "core/audit.h"
#include "core/event.h"

namespace hooks {

using base::invalid;
using base::Result;

namespace {

constexpr std::array<std::string_view, 15> kMlflowEvents = {"registered_model.created",
                                                            "model_version.created",
                                                            "model_version_tag.set",
                                                            "model_version_tag.deleted",
                                                            "model_version_alias.created",
                                                            "model_version_alias.deleted",
                                                            "prompt.created",
                                                            "prompt_version.created",
                                                            "prompt_tag.set",
                                                            "prompt_tag.deleted",
                                                            "prompt_version_tag.set",
                                                            "prompt_version_tag.deleted",
                                                            "prompt_alias.created",
                                                            "prompt_alias.deleted",
                                                            "budget_policy.exceeded"};
// Events of our own log, under their own kinds.
constexpr std::array<std::string_view, 7> kLatheEvents = {"alert.raised",   "alert.ended",    "endpoint.promoted",
                                                          "verdict.failed", "verdict.passed", "retraining.started",
                                                          "run.alerted"};
constexpr size_t kNameBytes = 63;

std::string in_quotes(std::string_view text) { return "'" + std::string(text) + "'"; }

std::string joined(std::span<const std::string> texts) {
  std::string out;
  for (const std::string& text : texts) out.append(out.empty() ? "" : ", ").append(text);
  return out;
}

bool is_alnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

Result<void> check_description(const std::optional<std::string>& description) {
  if (!description || description->size() <= kDescriptionBytes) return {};
  return invalid("a webhook's description has at most " + std::to_string(kDescriptionBytes) + " bytes; this one has " +
                 std::to_string(description->size()));
}

Result<void> check_events(const std::vector<std::string>& events) {
  if (events.empty()) return invalid("Webhook events must be a non-empty list of WebhookEvent objects: [].");
  for (const std::string& event : events) {
    if (std::ranges::find(kMlflowEvents, event) != kMlflowEvents.end()) continue;
    if (std::ranges::find(kLatheEvents, event) != kLatheEvents.end()) continue;
    std::string allowed;
    for (const auto known : kMlflowEvents) allowed.append(known).append(", ");
    for (const auto known : kLatheEvents) allowed.append(known).append(known == kLatheEvents.back() ? "" : ", ");
    return invalid("there is no webhook event " + in_quotes(event) + "; allowed: " + allowed);
  }
  return {};
}

void put_events(store::Tx& tx, std::string_view id, const std::vector<std::string>& events) {
  tx.exec("DELETE FROM hook_events WHERE project = ? AND hook = ?", tx.project(), id);
  int64_t place = 0;
  for (const std::string& event : events) {
    tx.exec("INSERT INTO hook_events (project, event, hook, place) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            tx.project(), event, id, place++);
  }
}

void load_events(store::Tx& tx, Hook& hook) {
  auto rows =
      tx.query("SELECT event FROM hook_events WHERE project = ? AND hook = ? ORDER BY place", tx.project(), hook.id);
  while (rows.next()) hook.events.push_back(rows.str(0));
}

Hook read_hook(store::Rows& rows) {
  Hook hook;
  hook.id = rows.str(0);
  hook.name = rows.str(1);
  hook.description = rows.opt_str(2);
  hook.url = rows.str(3);
  hook.active = rows.boolean(4);
  hook.sealed_secret = rows.str(5);
  hook.created_ms = rows.i64(6);
  hook.updated_ms = rows.i64(7);
  return hook;
}

// The URL may hold a password of its receiver, so neither line nor event repeats it.
void record(store::Tx& tx, std::string_view kind, std::string_view id, std::string_view name) {
  std::string body;
  base::JsonWriter(body).begin_object().field("name", name).end_object();
  core::emit(tx, kind, "webhook", id, body);
  core::audit(tx, kind, "webhook", id, body);
}

}  // namespace

std::span<const std::string_view> mlflow_events() { return kMlflowEvents; }
std::span<const std::string_view> lathe_events() { return kLatheEvents; }
bool is_mlflow_event(std::string_view event) { return std::ranges::find(kMlflowEvents, event) != kMlflowEvents.end(); }

std::string make_uuid4(base::Random& random) {
  std::array<uint8_t, 16> bytes{};
  random.fill(bytes);
  bytes[6] = static_cast<uint8_t>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<uint8_t>((bytes[8] & 0x3f) | 0x80);
  std::string out = base::to_hex(bytes);
  for (const size_t at : {20, 16, 12, 8}) out.insert(at, 1, '-');
  return out;
}

Result<void> check_name(std::string_view name) {
  const auto inner = [](char c) { return is_alnum(c) || c == '.' || c == '_' || c == '-'; };
  if (!name.empty() && name.size() <= kNameBytes && is_alnum(name.front()) && is_alnum(name.back()) &&
      std::ranges::all_of(name, inner)) {
    return {};
  }
  return invalid("Webhook name " + in_quotes(name) +
                 " is invalid. It must start and end with a letter or digit, be less than 63 characters long, and "
                 "contain only letters, digits, dots (.), underscores (_), and hyphens (-).");
}

Result<UrlParts> check_url(std::string_view url, std::span<const std::string> schemes) {
  if (url.find_first_not_of(" \t\r\n\f\v") == url.npos)
    return invalid("Webhook URL cannot be empty or just whitespace: " + in_quotes(url));
  if (url.size() > kUrlBytes) {
    return invalid("a webhook's URL has at most " + std::to_string(kUrlBytes) + " bytes; this one has " +
                   std::to_string(url.size()));
  }
  const auto odd = [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '\\'; };
  if (std::ranges::any_of(url, odd)) {
    return invalid("Invalid webhook URL " + in_quotes(url) +
                   ": it must have no blanks, control characters or backslashes");
  }
  UrlParts parts;
  const size_t colon = url.find("://");
  if (colon != url.npos) parts.scheme = std::string(url.substr(0, colon));
  std::ranges::transform(parts.scheme, parts.scheme.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (std::ranges::find(schemes, parts.scheme) == schemes.end()) {
    return invalid("Invalid webhook URL scheme: " + in_quotes(parts.scheme) +
                   ". Allowed schemes are: " + joined(schemes) + ".");
  }
  std::string_view authority = url.substr(colon + 3);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  if (const size_t at = authority.rfind('@'); at != authority.npos) authority.remove_prefix(at + 1);
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end != authority.npos) parts.host = std::string(authority.substr(1, end - 1));
  } else {
    parts.host = std::string(authority.substr(0, authority.find(':')));
  }
  if (parts.host.empty()) return invalid("Webhook URL must include a hostname: " + in_quotes(url));
  return parts;
}

Result<Hook> create_hook(store::Tx& tx, std::string_view id, const NewHook& hook, std::string_view sealed_secret) {
  TRY(check_name(hook.name));
  TRY(check_description(hook.description));
  TRY(check_events(hook.events));
  tx.lock("hooks", "count");
  if (tx.query_i64("SELECT COUNT(*) FROM hooks WHERE project = ?", tx.project()).value_or(0) >= kHooksPerProject)
    return invalid("a project has at most " + std::to_string(kHooksPerProject) + " webhooks; delete one first");
  const int64_t now_ms = tx.now_us() / 1000;
  tx.exec(
      "INSERT INTO hooks (project, id, name, description, url, active, secret, created_ms, updated_ms) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
      tx.project(), id, hook.name, hook.description, hook.url, hook.active, store::Blob{sealed_secret}, now_ms, now_ms);
  put_events(tx, id, hook.events);
  record(tx, "webhook.created", id, hook.name);
  return get_hook(tx, id);
}

Result<bool> import_hook(store::Tx& tx, const Hook& hook) {
  TRY(check_name(hook.name));
  TRY(check_events(hook.events));
  const int64_t made = tx.exec(
      "INSERT INTO hooks (project, id, name, description, url, active, secret, created_ms, updated_ms) "
      "VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?) ON CONFLICT DO NOTHING",
      tx.project(), hook.id, hook.name, hook.description, hook.url, store::Blob{""}, hook.created_ms, hook.updated_ms);
  TRY(tx.status());
  if (made == 0) return false;
  put_events(tx, hook.id, hook.events);
  record(tx, "webhook.created", hook.id, hook.name);
  TRY(tx.status());
  return true;
}

Result<Hook> get_hook(store::Tx& tx, std::string_view id) {
  std::optional<Hook> hook;
  {
    auto rows = tx.query(
        "SELECT id, name, description, url, active, secret, created_ms, updated_ms FROM hooks "
        "WHERE project = ? AND id = ?",
        tx.project(), id);
    if (rows.next()) hook = read_hook(rows);
  }
  TRY(tx.status());
  if (!hook) return base::not_found("Webhook with ID " + std::string(id) + " not found.");
  load_events(tx, *hook);
  return std::move(*hook);
}

Result<Hook> change_hook(store::Tx& tx, std::string_view id, const HookChange& change,
                         const std::optional<std::string>& sealed_secret) {
  tx.lock("hooks", id);
  TRY_SET(Hook hook, get_hook(tx, id));
  if (change.name) {
    TRY(check_name(*change.name));
    hook.name = *change.name;
  }
  if (change.description) {
    TRY(check_description(change.description));
    hook.description = change.description;
  }
  if (change.url) hook.url = *change.url;
  if (change.active) hook.active = *change.active;
  if (sealed_secret) hook.sealed_secret = *sealed_secret;
  if (change.events) {
    TRY(check_events(*change.events));
    put_events(tx, id, *change.events);
  }
  tx.exec(
      "UPDATE hooks SET name = ?, description = ?, url = ?, active = ?, secret = ?, updated_ms = ? "
      "WHERE project = ? AND id = ?",
      hook.name, hook.description, hook.url, hook.active, store::Blob{hook.sealed_secret}, tx.now_us() / 1000,
      tx.project(), id);
  record(tx, "webhook.changed", id, hook.name);
  return get_hook(tx, id);
}

Result<void> delete_hook(store::Tx& tx, std::string_view id) {
  TRY_SET(const Hook hook, get_hook(tx, id));
  tx.exec("DELETE FROM hook_events WHERE project = ? AND hook = ?", tx.project(), id);
  tx.exec("DELETE FROM hooks WHERE project = ? AND id = ?", tx.project(), id);
  record(tx, "webhook.deleted", id, hook.name);
  return {};
}

Result<std::vector<Hook>> list_hooks(store::Tx& tx, const HookPage& page) {
  std::vector<Hook> hooks;
  const bool from_start = page.before_id.empty();
  int64_t skip = page.offset;
  {
    // At most kHooksPerProject rows: a sort costs nothing.
    auto rows = tx.query(
        "SELECT id, name, description, url, active, secret, created_ms, updated_ms FROM hooks "
        "WHERE project = ? ORDER BY created_ms DESC, id DESC",
        tx.project());
    while (rows.next()) {
      const int64_t created_ms = rows.i64(6);
      const bool later = from_start || created_ms < page.before_ms ||
                         (created_ms == page.before_ms && rows.text(0) < std::string_view(page.before_id));
      if (later) hooks.push_back(read_hook(rows));
    }
  }
  std::vector<Hook> out;
  for (Hook& hook : hooks) {
    if (static_cast<int64_t>(out.size()) == page.limit) break;
    load_events(tx, hook);
    if (page.mlflow_only && std::ranges::none_of(hook.events, is_mlflow_event)) continue;
    if (skip-- > 0) continue;
    out.push_back(std::move(hook));
  }
  TRY(tx.status());
  return out;
}

std::vector<std::string> listeners(store::Tx& tx, std::string_view event) {
  std::vector<std::string> out;
  auto rows = tx.query(
      "SELECT h.id FROM hook_events e JOIN hooks h ON h.project = e.project AND h.id = e.hook "
      "WHERE e.project = ? AND e.event = ? AND h.active = 1 ORDER BY h.created_ms, h.id",
      tx.project(), event);
  while (rows.next()) out.push_back(rows.str(0));
  return out;
}

}  // namespace hooks
