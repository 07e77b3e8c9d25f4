#include "api/lathe/pages_data.h"

#include <algorithm>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <ranges>

#include "api/lathe/page_args.h"
#include "api/lathe/page_text.h"
#include "core/lineage.h"
#include "data/data.h"
#include "data/diff.h"
#include "data/prepare.h"
#include "stats/table.h"

namespace api::lathe {

// Differences that were asked for lately. Versions never change, so neither do these. One is computed at a time: it
// holds a thread and memory.
class DiffCache {
 public:
  std::optional<std::string> find(const std::string& key) {
    std::lock_guard lock(mutex_);
    const auto at = std::ranges::find(known_, key, [](const auto& entry) { return entry.first; });
    if (at == known_.end()) return std::nullopt;
    known_.splice(known_.begin(), known_, at);
    return at->second;
  }
  void put(const std::string& key, std::string body) {
    std::lock_guard lock(mutex_);
    known_.emplace_front(key, std::move(body));
    if (known_.size() > kMost) known_.pop_back();
  }
  std::unique_lock<std::mutex> begin() { return {working_, std::try_to_lock}; }

 private:
  static constexpr size_t kMost = 32;
  std::mutex mutex_, working_;
  std::list<std::pair<std::string, std::string>> known_;
};

DataPagesDoor::DataPagesDoor(store::Store& s, const BlobDoor& b)
    : store(s), blobs(b), records(std::make_shared<base::LineIndexes>(true)), diffs(std::make_shared<DiffCache>()) {}

namespace {

using base::Result;
using base::Task;

constexpr size_t kListed = 1000;                      // versions
constexpr size_t kMaxUses = 200;                      // of a version, named
constexpr size_t kMaxDescription = size_t{16} << 20;  // schema.json, profile.json
constexpr int64_t kMaxRows = 1000;
constexpr int64_t kMaxDiffBytes = int64_t{128} << 20;  // parts of both versions

void write_version(base::JsonWriter& w, const data::DataVersion& v) {
  w.begin_object().field("id", v.id).field("name", v.name).field("number", v.number);
  w.field("created_us", v.created_us).field("label", v.label).field("features", v.features.size());
  w.key("rows").begin_object();
  for (const auto& [part, rows] : v.rows) w.field(part, rows);
  w.end_object().end_object();
}

void write_files(base::JsonWriter& w, const std::vector<blob::Artifact>& files) {
  w.begin_array();
  for (const auto& f : files)
    w.begin_object().field("path", f.path).field("size", f.size).field("digest", f.digest.hex()).end_object();
  w.end_array();
}

Task<void> list(const DataPagesDoor& door, net::Request& request, net::Response& response) {
  auto read = [](store::Tx& tx) -> Result<std::string> {
    std::string out;
    base::JsonWriter w(out);
    w.begin_object().key("data").begin_array();
    for (const auto& newest : data::list_newest(tx)) {
      int64_t bytes = 0;
      for (const auto& file : data::version_files(tx, newest.id)) bytes += file.size;
      w.begin_object().field("name", newest.name).field("bytes", bytes);
      w.field("versions", data::list_versions(tx, newest.name, kListed).size()).key("newest");
      write_version(w, newest);
      w.end_object();
    }
    w.end_array().end_object();
    TRY(tx.status());
    return out;
  };
  co_await answer_read(door.store, request, response, read);
}

// --- one version ----------------------------------------------------------------------------------------------------

struct Version {
  data::DataVersion version;
  std::vector<blob::Artifact> files;
  const blob::Artifact* file(std::string_view path) const {
    const auto at = std::ranges::find(files, path, &blob::Artifact::path);
    return at == files.end() ? nullptr : &*at;
  }
};

Result<Version> read_version(store::Tx& tx, std::string_view ref) {
  Version out;
  if (const size_t at = ref.rfind('@'); at != std::string_view::npos) {
    TRY_SET(out.version, data::find_version(tx, ref.substr(0, at), ref.substr(at + 1)));
  } else {
    TRY_SET(out.version, data::get_version(tx, ref));
  }
  out.files = data::version_files(tx, out.version.id);
  TRY(tx.status());
  return out;
}

struct VersionPage {
  Version version;
  std::vector<data::DataVersion> all;
  std::vector<core::Edge> from, to;
};

Result<VersionPage> read_version_page(store::Tx& tx, const std::string& ref) {
  VersionPage out;
  TRY_SET(out.version, read_version(tx, ref));
  out.all = data::list_versions(tx, out.version.version.name, kListed);
  const core::Node node{"data_version", out.version.version.id};
  out.from = core::edges_into(tx, node);
  out.to = core::edges_out_of(tx, node);
  TRY(tx.status());
  return out;
}

// A JSON file of the version, as it stands; "null" where there is none, or it is too large for a page.
Result<std::string> description(const BlobDoor& blobs, const Version& version, std::string_view path) {
  const auto* file = version.file(path);
  if (!file || file->size > static_cast<int64_t>(kMaxDescription)) return std::string("null");
  return blobs.blobs.get(file->digest, kMaxDescription);
}

void write_edges(base::JsonWriter& w, std::string_view key, const std::vector<core::Edge>& edges, bool up) {
  w.key(key).begin_array();
  for (const auto& edge : edges | std::views::take(kMaxUses)) {
    const core::Node& node = up ? edge.from : edge.to;
    w.begin_object().field("kind", node.kind).field("id", node.id).field("role", edge.role);
    w.field("at_us", edge.at_us).end_object();
  }
  w.end_array();
}

Task<void> show(const DataPagesDoor& door, net::Request& request, net::Response& response) {
  auto read = [ref = std::string(request.param("ref"))](store::Tx& tx) { return read_version_page(tx, ref); };
  const auto page = co_await door.store.read(request.ctx, read);
  if (!page) co_return fail(response, request, page.error());
  struct Texts {
    std::string schema, profile;
  };
  auto load = [&]() -> Result<Texts> {
    Texts texts;
    TRY_SET(texts.schema, description(door.blobs, page->version, "schema.json"));
    TRY_SET(texts.profile, description(door.blobs, page->version, "profile.json"));
    return texts;
  };
  const auto texts = co_await door.blobs.offload.run(load);
  if (!texts) co_return fail(response, request, texts.error());
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().key("version");
  write_version(w, page->version.version);
  w.key("source").raw(page->version.version.source).key("files");
  write_files(w, page->version.files);
  w.key("schema").raw(texts->schema).key("profile").raw(texts->profile).key("versions").begin_array();
  for (const auto& version : page->all) write_version(w, version);
  w.end_array();
  write_edges(w, "from", page->from, true);
  write_edges(w, "used_by", page->to, false);
  w.field("uses", page->to.size()).end_object();
  response.send_json(std::move(out));
}

// --- rows -----------------------------------------------------------------------------------------------------------

// A window's lines are whole CSV records.
Result<std::vector<std::string>> fields_of(std::string_view record) {
  stats::CsvReader reader(record);
  std::vector<std::string_view> fields;
  TRY(reader.next(fields));
  return std::vector<std::string>(fields.begin(), fields.end());
}

std::string rows_json(const std::string& file, const base::LineWindow& head, const base::LineWindow& window) {
  std::string out;
  base::JsonWriter w(out);
  const auto record = [&](std::string_view line) {
    w.begin_array();
    // A record that is no CSV is shown as its one field: the file is what it is.
    const auto fields = fields_of(clean_text(line)).value_or(std::vector{clean_text(line)});
    for (const auto& field : fields) w.value(field);
    w.end_array();
  };
  w.begin_object().field("file", file).field("total", std::max<int64_t>(window.total - 1, 0));
  w.field("from", std::max<int64_t>(window.first - 1, 0)).key("columns");
  record(head.lines.empty() ? std::string_view() : head.lines[0]);
  w.key("rows").begin_array();
  for (const auto& line : window.lines) record(line);
  w.end_array().end_object();
  return out;
}

Task<void> rows(const DataPagesDoor& door, net::Request& request, net::Response& response) {
  PageArgs args(request);
  const std::string path = args.text("file");
  const int64_t from = args.integer("from", 0, 0, INT64_MAX / 2);
  const auto limit = static_cast<size_t>(args.integer("limit", 100, 1, kMaxRows));
  if (auto ok = args.status(); !ok) co_return fail(response, request, ok.error());
  auto read = [ref = std::string(request.param("ref"))](store::Tx& tx) { return read_version(tx, ref); };
  const auto version = co_await door.store.read(request.ctx, read);
  if (!version) co_return fail(response, request, version.error());
  const auto* file = version->file(path);
  if (!file || !path.ends_with(".csv")) {
    std::string known;
    for (const auto& f : version->files)
      if (f.path.ends_with(".csv")) known += (known.empty() ? "" : ", ") + f.path;
    co_return fail(response, request,
                   {file ? base::Code::kInvalid : base::Code::kNotFound,
                    "'file' is '" + path + "'; this version's files of rows are: " + known});
  }
  auto look = [&]() -> Result<std::string> {
    TRY_SET(const auto blob, door.blobs.blobs.local_file(file->digest));
    const std::string key = file->digest.hex();
    TRY_SET(const auto head, door.records->window(key, blob.path, 0, 1));
    TRY_SET(const auto window, door.records->window(key, blob.path, from + 1, limit));
    return rows_json(path, head, window);
  };
  auto body = co_await door.blobs.offload.run(look);
  if (!body) co_return fail(response, request, body.error());
  response.send_json(std::move(*body));
}

// --- difference -----------------------------------------------------------------------------------------------------

bool is_part(std::string_view path) {
  return path == "train.csv" || path == "valid.csv" || path == "test.csv" || path == "recent.csv";
}

int64_t part_bytes(const Version& version) {
  int64_t bytes = 0;
  for (const auto& file : version.files) bytes += is_part(file.path) ? file.size : 0;
  return bytes;
}

using Held = std::vector<blob::BlobStore::LocalFile>;

// The parts of a version under their names, as links to the blobs, which `held` keeps.
Result<data::DataSide> side_of(const BlobDoor& blobs, const Version& version, const base::Path& dir, Held& held) {
  TRY_SET(const std::string schema, description(blobs, version, "schema.json"));
  if (schema == "null")
    return base::invalid("version " + std::to_string(version.version.number) +
                         " has no schema.json: it is not a table");
  data::DataSide side{.dir = dir};
  TRY_SET(side.layout, data::parse_schema(schema));
  TRY(base::make_dirs(dir));
  for (const auto& file : version.files) {
    if (!is_part(file.path)) continue;
    TRY_SET(auto blob, blobs.blobs.local_file(file.digest));
    held.push_back(std::move(blob));
    std::error_code error;
    std::filesystem::create_symlink(std::filesystem::absolute(held.back().path), dir / file.path, error);
    if (error) return base::internal("linking " + file.path + ": " + error.message());
    side.parts.push_back(file.path);
  }
  return side;
}

Result<data::DataDiff> compare(const BlobDoor& blobs, const Version& before, const Version& after) {
  TRY_SET(const auto scratch, base::make_temp_dir(std::filesystem::temp_directory_path(), "lathe-diff-"));
  Held held;
  auto work = [&]() -> Result<data::DataDiff> {
    TRY_SET(const auto old_side, side_of(blobs, before, scratch / "before", held));
    TRY_SET(const auto new_side, side_of(blobs, after, scratch / "after", held));
    return data::diff(old_side, new_side);
  };
  auto done = work();
  std::ignore = base::remove_tree(scratch);
  return done;
}

void write_file_changes(base::JsonWriter& w, const Version& before, const Version& after) {
  std::map<std::string, std::pair<const blob::Artifact*, const blob::Artifact*>> files;
  for (const auto& file : before.files) files[file.path].first = &file;
  for (const auto& file : after.files) files[file.path].second = &file;
  w.key("files").begin_array();
  for (const auto& [path, pair] : files) {
    const auto [old_file, new_file] = pair;
    const std::string_view change = !old_file                              ? "added"
                                    : !new_file                            ? "removed"
                                    : old_file->digest == new_file->digest ? ""
                                                                           : "changed";
    w.begin_object().field("path", path).field("change", change);
    w.field("size_before", old_file ? old_file->size : 0).field("size_after", new_file ? new_file->size : 0);
    w.end_object();
  }
  w.end_array();
}

std::string diff_json(const Version& before, const Version& after, const data::DataDiff& diff) {
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().key("before");
  write_version(w, before.version);
  w.key("after");
  write_version(w, after.version);
  write_file_changes(w, before, after);
  w.key("rows").begin_object().field("before", diff.rows_before).field("after", diff.rows_after);
  w.field("added", diff.added).field("removed", diff.removed).field("relabelled", diff.relabelled);
  w.field("moved", diff.moved).end_object().key("columns").begin_array();
  for (const auto& c : diff.columns) {
    w.begin_object().field("name", c.name).field("change", c.change).field("missing_before", c.missing_before);
    w.field("missing_after", c.missing_after).field("mean_before", c.mean_before).field("mean_after", c.mean_after);
    w.field("distance", c.distance).field("p", c.p).end_object();
  }
  w.end_array().end_object();
  return out;
}

Task<void> diff(const DataPagesDoor& door, net::Request& request, net::Response& response) {
  const std::string ref(request.param("ref")), against = request.query_value("against").value_or("");
  if (against.empty())
    co_return fail(response, request, {base::Code::kInvalid, "say which version to compare with: ?against=digits@1"});
  auto read = [&](store::Tx& tx) -> Result<std::pair<Version, Version>> {
    TRY_SET(auto old_version, read_version(tx, against));
    TRY_SET(auto new_version, read_version(tx, ref));
    return std::pair{std::move(old_version), std::move(new_version)};
  };
  const auto found = co_await door.store.read(request.ctx, read);
  if (!found) co_return fail(response, request, found.error());
  const auto& [old_version, new_version] = *found;
  const std::string key = std::to_string(request.ctx.project) + "/" + old_version.version.id + "/" +
                          std::to_string(old_version.version.number) + "/" + new_version.version.id + "/" +
                          std::to_string(new_version.version.number);
  if (auto known = door.diffs->find(key)) co_return response.send_json(std::move(*known));
  if (part_bytes(old_version) + part_bytes(new_version) > kMaxDiffBytes) {
    co_return fail(
        response, request,
        {base::Code::kTooLarge, "the two versions hold more than " + std::to_string(kMaxDiffBytes >> 20) +
                                    " MiB of rows; compare them with `lathe data diff " + against + " " + ref + "`"});
  }
  auto work = [&]() -> Result<std::string> {
    const auto mine = door.diffs->begin();
    if (!mine.owns_lock())
      return base::fail(base::Code::kTooMany, "another difference is being computed; try again in a moment");
    TRY_SET(const auto diff, compare(door.blobs, old_version, new_version));
    return diff_json(old_version, new_version, diff);
  };
  auto body = co_await door.blobs.offload.run(work);
  if (!body) co_return fail(response, request, body.error());
  door.diffs->put(key, *body);
  response.send_json(std::move(*body));
}

}  // namespace

void add_pages_data_routes(net::RouteTable& routes, const DataPagesDoor& door) {
  add_page(routes, door, "/data", list);
  add_page(routes, door, "/data/{ref}", show);
  add_page(routes, door, "/data/{ref}/rows", rows);
  add_page(routes, door, "/data/{ref}/diff", diff);
}

}  // namespace api::lathe
