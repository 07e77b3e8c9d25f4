// lathe data …: what has been prepared, and how versions differ.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <memory>

#include "base/json.h"
#include "base/json_writer.h"
#include "cli/api.h"
#include "cli/command_group.h"
#include "cli/data_files.h"
#include "data/diff.h"
#include "data/prepare.h"
#include "data/prepare_spec.h"
#include "net/http.h"

namespace cli {
namespace {

namespace json = boost::json;

constexpr size_t kShownFeatures = 8;
constexpr double kNoticeable = 0.01;  // columns whose distribution moved less are counted, not listed

std::string text(const json::value& value) { return std::string(std::string_view(value.as_string())); }

std::string time_text(int64_t at_us) {
  const time_t seconds = at_us / 1'000'000;
  tm parts{};
  gmtime_r(&seconds, &parts);
  char buffer[32];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%SZ", &parts);
  return buffer;
}

std::string rows_text(const json::value& rows) {
  std::string out;
  for (const char* part : {"train", "valid", "test", "recent", "rejected", "duplicates"}) {
    const auto* count = rows.as_object().if_contains(part);
    if (count != nullptr) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", count->as_int64(), part);
  }
  return out;
}

std::string version_path(const std::string& name, const std::string& which) {
  return "/data/" + net::percent_encode(name) + "/versions/" + net::percent_encode(which);
}

// "digits", "digits@3", "digits@ab12cd", or the id alone.
json::value resolve(Api& api, const std::string& reference) {
  const size_t at = reference.rfind('@');
  if (at != std::string::npos) return api.get(version_path(reference.substr(0, at), reference.substr(at + 1)));
  const auto answer = api.get("/data");
  const auto& known = answer.at("data").as_array();
  for (const auto& data : known) {
    if (text(data.at("name")) == reference) return api.get(version_path(reference, "latest"));
  }
  for (const auto& data : known) {
    const auto response = api.try_call({}, version_path(text(data.at("name")), reference));
    if (response.status != 200) continue;
    if (auto version = base::parse_json(response.body)) return std::move(*version);
  }
  throw Failure(kRefused, "no data set and no version is called '" + reference +
                              "'; NAME, NAME@NUMBER, NAME@ID and ID are understood");
}

void list(const Common& common, const std::string& name) {
  Api api(common);
  const auto answer = api.get(name.empty() ? "/data" : "/data/" + net::percent_encode(name) + "/versions");
  const auto& versions = answer.at(name.empty() ? "data" : "versions").as_array();
  if (versions.empty()) std::printf("no data has been prepared yet\n");
  for (const auto& version : versions) {
    std::printf("%-24s %.12s  %s  %s\n",
                (text(version.at("name")) + "@" + std::to_string(version.at("number").as_int64())).c_str(),
                text(version.at("id")).c_str(), time_text(version.at("created_us").as_int64()).c_str(),
                rows_text(version.at("rows")).c_str());
  }
}

void show(const Common& common, const std::string& reference, bool as_json) {
  Api api(common);
  const auto version = resolve(api, reference);
  if (as_json) {
    std::printf("%s\n", base::to_text(version).c_str());
    return;
  }
  std::printf("%s@%lld\n  id        %s\n  created   %s\n  label     %s\n  rows      %s\n",
              text(version.at("name")).c_str(), static_cast<long long>(version.at("number").as_int64()),
              text(version.at("id")).c_str(), time_text(version.at("created_us").as_int64()).c_str(),
              text(version.at("label")).c_str(), rows_text(version.at("rows")).c_str());
  const auto& features = version.at("features").as_array();
  std::string shown;
  for (size_t i = 0; i < features.size() && i < kShownFeatures; ++i) shown += (i == 0 ? "" : ", ") + text(features[i]);
  if (features.size() > kShownFeatures) shown += ", …";
  std::printf("  features  %zu: %s\n  files\n", features.size(), shown.c_str());
  for (const auto& file : version.at("files").as_array()) {
    std::printf("    %-20s %12lld  %.12s\n", text(file.at("path")).c_str(),
                static_cast<long long>(file.at("size").as_int64()), text(file.at("digest")).c_str());
  }
  std::printf("  source    %s\n", base::to_text(version.at("source")).c_str());
}

void get(const Common& common, const std::string& reference, const std::string& to) {
  Api api(common);
  const auto version = resolve(api, reference);
  for (const auto& file : version.at("files").as_array()) {
    download(api, text(version.at("name")), text(version.at("id")), text(file.at("path")),
             base::Path(to) / text(file.at("path")));
  }
  std::printf("%zu files in %s\n", version.at("files").as_array().size(), to.c_str());
}

data::DataSide fetch_side(Api& api, const json::value& version, const base::Path& dir) {
  data::DataSide side;
  side.dir = dir;
  const std::string name = text(version.at("name")), id = text(version.at("id"));
  for (const auto& file : version.at("files").as_array()) {
    const std::string path = text(file.at("path"));
    const bool part = path == "train.csv" || path == "valid.csv" || path == "test.csv" || path == "recent.csv";
    if (!part && path != "schema.json") continue;
    download(api, name, id, path, dir / path);
    if (part) side.parts.push_back(path);
  }
  const auto schema = base::read_file(dir / "schema.json");
  if (!schema) throw Failure(kRefused, "the version " + id.substr(0, 12) + " has no schema.json: it is not a table");
  auto layout = data::parse_schema(*schema);
  if (!layout) throw Failure(kRefused, layout.error().message);
  side.layout = std::move(*layout);
  return side;
}

std::string diff_json(const data::DataDiff& diff) {
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().key("rows").begin_object().field("before", diff.rows_before).field("after", diff.rows_after);
  w.field("added", diff.added)
      .field("removed", diff.removed)
      .field("relabelled", diff.relabelled)
      .field("moved", diff.moved)
      .end_object();
  w.key("columns").begin_array();
  for (const auto& column : diff.columns) {
    w.begin_object().field("name", column.name).field("change", column.change);
    w.field("missing_before", column.missing_before).field("missing_after", column.missing_after);
    w.field("mean_before", column.mean_before)
        .field("mean_after", column.mean_after)
        .field("distance", column.distance)
        .field("p", column.p)
        .end_object();
  }
  w.end_array().end_object();
  return out;
}

void diff(const Common& common, const std::string& before, const std::string& after, bool as_json) {
  Api api(common);
  const ScratchDir scratch("lathe-diff-");
  const auto old_version = resolve(api, before), new_version = resolve(api, after);
  const auto compared = data::diff(fetch_side(api, old_version, scratch.path() / "before"),
                                   fetch_side(api, new_version, scratch.path() / "after"));
  if (!compared) throw Failure(kRefused, compared.error().message);
  if (as_json) {
    std::printf("%s\n", diff_json(*compared).c_str());
    return;
  }
  std::printf("rows     %lld → %lld: %lld added, %lld removed, %lld relabelled, %lld moved to another part\n",
              static_cast<long long>(compared->rows_before), static_cast<long long>(compared->rows_after),
              static_cast<long long>(compared->added), static_cast<long long>(compared->removed),
              static_cast<long long>(compared->relabelled), static_cast<long long>(compared->moved));
  size_t quiet = 0;
  for (const auto& column : compared->columns) {
    if (!column.change.empty()) {
      std::printf("%-20s %s\n", column.name.c_str(), column.change.c_str());
    } else if (column.distance < kNoticeable && column.missing_before == column.missing_after) {
      ++quiet;
    } else {
      std::printf("%-20s distance %.4f (p %.3g), mean %.6g → %.6g, missing %lld → %lld\n", column.name.c_str(),
                  column.distance, column.p, column.mean_before, column.mean_after,
                  static_cast<long long>(column.missing_before), static_cast<long long>(column.missing_after));
    }
  }
  if (quiet > 0) std::printf("%zu columns are distributed as before\n", quiet);
}

}  // namespace

void add_data_commands(CLI::App& app, Common& common) {
  CLI::App& data = command_group(app, "data", "Data versions: list, show, get, diff; the schema of prepare.yaml");
  struct Arguments {
    std::string first, second, out = ".";
    bool json = false;
  };
  auto args = std::make_shared<Arguments>();

  auto* list_command = data.add_subcommand("list", "Data sets, or the versions of one");
  list_command->add_option("name", args->first, "a data set");
  list_command->callback([args, &common] { list(common, args->first); });

  data.add_subcommand("schema", "Print the JSON Schema of prepare.yaml, for editors")->callback([] {
    std::printf("%s\n", std::string(data::prepare_json_schema()).c_str());
  });

  auto* show_command = data.add_subcommand("show", "One version: rows, files, where it came from");
  show_command->add_option("version", args->first, "NAME, NAME@NUMBER, NAME@ID or ID")->required();
  show_command->add_flag("--json", args->json, "as JSON");
  show_command->callback([args, &common] { show(common, args->first, args->json); });

  auto* get_command = data.add_subcommand("get", "Write a version's files to a folder");
  get_command->add_option("version", args->first, "NAME, NAME@NUMBER, NAME@ID or ID")->required();
  get_command->add_option("--out", args->out, "the folder")->capture_default_str();
  get_command->callback([args, &common] { get(common, args->first, args->out); });

  auto* diff_command =
      data.add_subcommand("diff", "What changed from one version to another: rows, columns, distributions");
  diff_command->add_option("before", args->first, "NAME, NAME@NUMBER, NAME@ID or ID")->required();
  diff_command->add_option("after", args->second, "the same")->required();
  diff_command->add_flag("--json", args->json, "as JSON");
  diff_command->callback([args, &common] { diff(common, args->first, args->second, args->json); });
}

}  // namespace cli
