// The whole surface of the registry; registry.h is the part that other rooms use.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/tx.h"
#include "track/artifact_root.h"
#include "track/registry.h"
#include "track/types.h"

namespace track {

struct RegisteredModel {
  int64_t row = 0;
  std::string name;
  std::optional<std::string> description;
  int64_t created_ms = 0;
  int64_t updated_ms = 0;
  Tags tags;
  std::map<std::string, int64_t> aliases;
  std::vector<ModelVersion> latest_versions;  // one per stage
};

inline constexpr std::string_view kPromptTag = "mlflow.prompt.is_prompt";  // a registered model that is a prompt

base::Result<RegisteredModel> create_registered_model(store::Tx& tx, std::string_view name,
                                                      const std::optional<std::string>& description, const Tags& tags);
base::Result<RegisteredModel> get_registered_model(store::Tx& tx, std::string_view name);
base::Result<RegisteredModel> rename_registered_model(store::Tx& tx, std::string_view name, std::string_view new_name);
base::Result<RegisteredModel> describe_registered_model(store::Tx& tx, std::string_view name,
                                                        const std::optional<std::string>& description);
base::Result<void> delete_registered_model(store::Tx& tx, std::string_view name);
base::Result<void> set_registered_tag(store::Tx& tx, std::string_view name, const Tag& tag);
base::Result<void> delete_registered_tag(store::Tx& tx, std::string_view name, std::string_view key);
base::Result<void> delete_alias(store::Tx& tx, std::string_view name, std::string_view alias);

// `stages` empty: every stage.
base::Result<std::vector<ModelVersion>> latest_versions(store::Tx& tx, std::string_view name,
                                                        const std::vector<std::string>& stages);
base::Result<ModelVersion> describe_version(store::Tx& tx, std::string_view name, int64_t version,
                                            const std::optional<std::string>& description);
base::Result<ModelVersion> transition_stage(store::Tx& tx, std::string_view name, int64_t version,
                                            std::string_view stage, bool archive_existing);
base::Result<void> delete_version(store::Tx& tx, std::string_view name, int64_t version);
base::Result<void> delete_version_tag(store::Tx& tx, std::string_view name, int64_t version, std::string_view key);

// Newest first with tags and aliases, those below `below` (0: from the newest).
base::Result<std::vector<ModelVersion>> versions_page(store::Tx& tx, std::string_view name, int64_t below,
                                                      size_t limit);
int64_t count_versions(store::Tx& tx, std::string_view name);
int64_t next_version(store::Tx& tx, std::string_view name);  // the number that the next one gets

// A version as a client asks for it, with the rules on where its files may lie: `strict` is upstream 3.17's rule that a
// source inside a run or logged model needs that run's or model's id beside it.
struct VersionRequest {
  NewModelVersion version;
  bool has_run_id = false;
  bool has_model_id = false;
  bool strict = true;
};
base::Result<ModelVersion> register_version(store::Tx& tx, const VersionRequest& request);

// Used by the other files of this room.
base::Result<int64_t> registered_row(store::Tx& tx, std::string_view name);  // checks the name, then finds it
inline constexpr std::string_view kVersionColumns =
    "v.id, g.name, v.version, v.source, v.storage_uri, v.artifact_root, v.run_id, v.run_link, v.model_id, "
    "v.description, v.stage, v.created_ms, v.updated_ms";
ModelVersion read_version(store::Rows& rows);                                // from kVersionColumns
void load_version(store::Tx& tx, ModelVersion& version, bool with_aliases);  // tags, aliases
inline constexpr std::string_view kRegisteredColumns = "g.id, g.name, g.description, g.created_ms, g.updated_ms";
RegisteredModel read_registered(store::Rows& rows);
void load_registered(store::Tx& tx, RegisteredModel& model);  // tags, aliases, latest versions

// The root that the files of a new version get; "" if there are none at that place.
std::string root_of_version(store::Tx& tx, const ArtifactPlace& place, bool logged_model, int64_t registered,
                            int64_t version);

// Whether files below an artifact root may still change: kConflict once versions stand for what is there.
base::Result<void> check_root_is_open(store::Tx& tx, std::string_view root);

}  // namespace track
