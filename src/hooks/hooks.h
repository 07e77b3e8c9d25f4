// Hooks: who wants to hear of which events, at which URL. Domain functions on a Tx; ids are UUIDs as MLflow's are. A
// secret is handed in sealed (secret.h) and leaves this room only sealed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "store/tx.h"

namespace hooks {

inline constexpr int64_t kHooksPerProject = 1000;
inline constexpr size_t kUrlBytes = 2000;
inline constexpr size_t kDescriptionBytes = 5000;
inline constexpr size_t kSecretBytes = 1000;

// "entity.action". MLflow's 15 events, and ours behind them.
std::span<const std::string_view> mlflow_events();
std::span<const std::string_view> lathe_events();
bool is_mlflow_event(std::string_view event);

struct Hook {
  std::string id;
  std::string name;
  std::optional<std::string> description;
  std::string url;
  bool active = true;
  std::vector<std::string> events;  // in the order given
  std::string sealed_secret;        // "": deliveries are not signed
  int64_t created_ms = 0;
  int64_t updated_ms = 0;
};

struct NewHook {
  std::string name;
  std::optional<std::string> description;
  std::string url;
  bool active = true;
  std::vector<std::string> events;
};

struct HookChange {  // what is absent stays
  std::optional<std::string> name;
  std::optional<std::string> description;
  std::optional<std::string> url;
  std::optional<bool> active;
  std::optional<std::vector<std::string>> events;
};

std::string make_uuid4(base::Random& random);

base::Result<void> check_name(std::string_view name);

// Where a URL leads, and whether a hook may have it at all: scheme among `schemes`, a host, no more than kUrlBytes.
// The text of errors is what MLflow's users know.
struct UrlParts {
  std::string scheme;  // lower case
  std::string host;    // without brackets
};
base::Result<UrlParts> check_url(std::string_view url, std::span<const std::string> schemes);

// `sealed_secret` is sealed for `id`, which therefore is made before (make_uuid4).
base::Result<Hook> create_hook(store::Tx& tx, std::string_view id, const NewHook& hook, std::string_view sealed_secret);
// One of another server, as it is there but inactive and without its secret, which only that server can read. False:
// one of that id is here, and stays as it is.
base::Result<bool> import_hook(store::Tx& tx, const Hook& hook);
base::Result<Hook> get_hook(store::Tx& tx, std::string_view id);
base::Result<Hook> change_hook(store::Tx& tx, std::string_view id, const HookChange& change,
                               const std::optional<std::string>& sealed_secret);
base::Result<void> delete_hook(store::Tx& tx, std::string_view id);  // its deliveries go with the next trim()

// Newest first; those before (created_ms, id) where given. Past it by `offset` rows (MLflow's page tokens).
struct HookPage {
  int64_t limit = 100;
  int64_t before_ms = 0;
  std::string before_id;
  int64_t offset = 0;
  bool mlflow_only = false;  // hooks that listen to one of MLflow's events
};
base::Result<std::vector<Hook>> list_hooks(store::Tx& tx, const HookPage& page);

// Ids of the active hooks that listen to an event.
std::vector<std::string> listeners(store::Tx& tx, std::string_view event);

}  // namespace hooks
