#include "data/data.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "base/fs.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "core/event.h"
#include "core/lineage.h"

namespace data {
namespace {

constexpr size_t kShortestPrefix = 6;
constexpr size_t kMaxNameBytes = 200;

std::string root_of(std::string_view version) { return "data/" + std::string(version); }

std::string features_json(const std::vector<std::string>& features) {
  std::string out;
  base::JsonWriter json(out);
  json.begin_array();
  for (const std::string& feature : features) json.value(feature);
  json.end_array();
  return out;
}

std::string rows_json(const std::map<std::string, int64_t>& rows) {
  std::string out;
  base::JsonWriter json(out);
  json.begin_object();
  for (const auto& [part, count] : rows) json.field(part, count);
  json.end_object();
  return out;
}

constexpr std::string_view kSelect =
    "SELECT version, name, number, created_us, label, features, rows_json, source FROM data_versions ";

base::Result<DataVersion> read_row(store::Rows& rows) {
  DataVersion version;
  version.id = rows.str(0), version.name = rows.str(1), version.number = rows.i64(2), version.created_us = rows.i64(3);
  version.label = rows.str(4), version.source = rows.str(7);
  TRY_SET(const auto features, base::parse_json(rows.text(5)));
  for (const auto& feature : features.get_array()) version.features.emplace_back(feature.get_string());
  TRY_SET(const auto counts, base::parse_json(rows.text(6)));
  for (const auto& [part, count] : counts.get_object()) version.rows[part] = count.to_number<int64_t>();
  return version;
}

template <class... A>
std::vector<DataVersion> read_all(store::Tx& tx, const std::string& sql, const A&... args) {
  std::vector<DataVersion> out;
  store::Rows rows = tx.query(sql, args...);
  while (rows.next()) {
    if (auto version = read_row(rows)) out.push_back(std::move(*version));
  }
  return out;
}

base::Result<void> check(const NewDataVersion& version) {
  if (version.name.size() > kMaxNameBytes || !base::is_safe_relative_path(version.name) || version.name.contains('/')) {
    return base::invalid(fmt::format("the data set's name '{}' must be one path segment of at most {} bytes",
                                     version.name, kMaxNameBytes));
  }
  if (version.files.empty()) return base::invalid("a data version has at least one file");
  if (version.files.size() > kMaxVersionFiles) {
    return base::fail(base::Code::kTooLarge,
                      fmt::format("{} files; a data version has at most {}", version.files.size(), kMaxVersionFiles));
  }
  if (version.features.size() > kMaxFeatures) {
    return base::fail(base::Code::kTooLarge,
                      fmt::format("{} features; a data version has at most {}", version.features.size(), kMaxFeatures));
  }
  std::set<std::string_view> paths;
  for (const auto& file : version.files) {
    if (!base::is_safe_relative_path(file.path)) {
      return base::invalid(fmt::format("the path '{}' must be relative, without empty, '.' or '..' parts", file.path));
    }
    if (!paths.insert(file.path).second) return base::invalid(fmt::format("the path '{}' stands twice", file.path));
  }
  return {};
}

// What made it and of what: also where the bytes existed before.
base::Result<void> add_edges(store::Tx& tx, const NewDataVersion& version, const std::string& id) {
  const core::Node node{"data_version", id};
  for (const std::string& file : version.raw_files)
    core::add_edge(tx, {"file", version.name + "/" + file}, node, "input");
  if (!version.base_version.empty() && version.base_version != id) {
    TRY(get_version(tx, version.base_version));
    core::add_edge(tx, {"data_version", version.base_version}, node, "input");
  }
  if (tx.ctx().actor.kind == base::ActorKind::kAttempt) {
    core::add_edge(tx, {"attempt", tx.ctx().actor.attempt}, node, "produced");
  }
  return {};
}

}  // namespace

std::string manifest_id(const std::vector<blob::Artifact>& files) {
  std::vector<std::string> lines;
  for (const auto& file : files) lines.push_back(file.path + '\0' + file.digest.hex() + '\n');
  std::ranges::sort(lines);
  std::string manifest;
  for (const std::string& line : lines) manifest += line;
  return base::sha256(manifest).hex();
}

base::Result<DataVersion> create_version(store::Tx& tx, const NewDataVersion& version) {
  TRY(check(version));
  const std::string id = manifest_id(version.files);
  tx.lock("data", version.name);
  const int64_t known = tx.exec("UPDATE data_versions SET made_us = ? WHERE project = ? AND name = ? AND version = ?",
                                tx.now_us(), tx.project(), version.name, id);
  if (known == 0) {
    const int64_t number =
        tx.query_i64("SELECT MAX(number) FROM data_versions WHERE project = ? AND name = ?", tx.project(), version.name)
            .value_or(0) +
        1;
    tx.exec(
        "INSERT INTO data_versions (project, name, number, version, label, features, rows_json, source, created_us, "
        "made_us) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        tx.project(), version.name, number, id, version.label, features_json(version.features), rows_json(version.rows),
        version.source, tx.now_us(), tx.now_us());
    for (blob::Artifact file : version.files) {
      file.root = root_of(id);
      file.at_us = tx.now_us();
      TRY(blob::put_artifact(tx, file));
    }
  }
  TRY(add_edges(tx, version, id));
  TRY_SET(DataVersion made, find_version(tx, version.name, id));
  if (known == 0) {
    std::string body;
    base::JsonWriter(body)
        .begin_object()
        .field("name", made.name)
        .field("number", made.number)
        .key("rows")
        .raw(rows_json(made.rows))
        .end_object();
    core::emit(tx, "data_version.created", "data_version", id, body);
  }
  TRY(tx.status());
  return made;
}

base::Result<DataVersion> get_version(store::Tx& tx, std::string_view id) {
  auto found =
      read_all(tx, std::string(kSelect) + "WHERE project = ? AND version = ? ORDER BY id LIMIT 1", tx.project(), id);
  TRY(tx.status());
  if (found.empty()) return base::not_found(fmt::format("no data version '{}'", id));
  return std::move(found[0]);
}

base::Result<DataVersion> find_version(store::Tx& tx, std::string_view name, std::string_view which) {
  std::vector<DataVersion> found;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(which.data(), which.data() + which.size(), number);
  const bool is_number = error == std::errc() && end == which.data() + which.size() && number > 0;
  if (which == "latest") {
    TRY_SET(auto newest, newest_version(tx, name));
    if (newest) found.push_back(std::move(*newest));
  } else if (is_number && which.size() < kShortestPrefix) {
    found = read_all(tx, std::string(kSelect) + "WHERE project = ? AND name = ? AND number = ?", tx.project(), name,
                     number);
  } else if (which.size() >= kShortestPrefix) {
    // Between the prefix and what follows every id that begins with it ('g' comes after all hex digits).
    found =
        read_all(tx, std::string(kSelect) + "WHERE project = ? AND name = ? AND version >= ? AND version < ? LIMIT 2",
                 tx.project(), name, which, std::string(which) + "g");
    if (found.empty() && is_number) {
      found = read_all(tx, std::string(kSelect) + "WHERE project = ? AND name = ? AND number = ?", tx.project(), name,
                       number);
    }
  }
  TRY(tx.status());
  if (found.empty())
    return base::not_found(
        fmt::format("the data set '{}' has no version '{}'; `lathe data list {}` shows them", name, which, name));
  if (found.size() > 1)
    return base::invalid(fmt::format("several versions of '{}' begin with '{}'; give more of the id", name, which));
  return std::move(found[0]);
}

base::Result<std::optional<DataVersion>> newest_version(store::Tx& tx, std::string_view name) {
  auto found =
      read_all(tx, std::string(kSelect) + "WHERE project = ? AND name = ? ORDER BY made_us DESC, number DESC LIMIT 1",
               tx.project(), name);
  TRY(tx.status());
  if (found.empty()) return std::optional<DataVersion>();
  return std::optional(std::move(found[0]));
}

std::vector<DataVersion> list_versions(store::Tx& tx, std::string_view name, size_t limit) {
  return read_all(tx, std::string(kSelect) + "WHERE project = ? AND name = ? ORDER BY number DESC LIMIT ?",
                  tx.project(), name, limit);
}

std::vector<DataVersion> list_newest(store::Tx& tx) {
  return read_all(tx,
                  std::string(kSelect) +
                      "d WHERE project = ? AND number = (SELECT MAX(e.number) FROM data_versions e WHERE "
                      "e.project = d.project AND e.name = d.name) ORDER BY name",
                  tx.project());
}

std::vector<blob::Artifact> version_files(store::Tx& tx, std::string_view id) {
  return blob::list_artifacts(tx, root_of(id));
}

}  // namespace data
