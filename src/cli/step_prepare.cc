// lathe step prepare: the stage that turns raw files (or, at a retraining, labelled traffic) into a data version. The
// work is data::prepare, in this process, which the warden runs like any stage; here are only its arguments, its inputs
// from the server, and the upload.
#include <fcntl.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>

#include "base/hash.h"
#include "base/json.h"
#include "cli/api.h"
#include "cli/command_group.h"
#include "cli/data_files.h"
#include "data/prepare.h"
#include "net/http.h"

namespace cli {
namespace {

struct PrepareOptions {
  std::string name;
  std::vector<std::string> files;
  std::string label;
  std::string spec;
  std::string endpoint;
  std::string base_version;
  std::string memory = "512MB";
  std::string out;
  bool retrain = false;
};

template <class T>
T value_of(base::Result<T> result) {
  if (!result) throw Failure(kRefused, result.error().message);
  return std::move(*result);
}

// Parameters of the pipeline run reach a stage as LATHE_PARAM_<NAME>.
std::string run_param(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct Declared {
  data::PrepareSpec spec;
  std::string sha256;
};
Declared read_spec(const std::string& path, const std::string& label) {
  std::string text;
  if (!path.empty()) text = value_of(base::read_file(path));
  return {value_of(data::parse_prepare(text, path.empty() ? "prepare.yaml" : path, label)),
          path.empty() ? "" : base::sha256(text).hex()};
}

void fetch_traffic(Api& api, const std::string& endpoint, const base::Path& to) {
  const auto fd = value_of(base::open_file(to, O_WRONLY | O_CREAT | O_TRUNC));
  std::optional<base::Error> failed;
  api.stream("/endpoints/" + net::percent_encode(endpoint) + "/requests?labelled=true", [&](std::string_view bytes) {
    auto written = base::write_all(fd.get(), bytes);
    if (!written) failed = written.error();
    return !failed;
  });
  if (failed) throw Failure(kRefused, failed->message);
}

std::string version_path(const std::string& name, const std::string& which) {
  return "/data/" + net::percent_encode(name) + "/versions/" + net::percent_encode(which);
}

// The data version that the live model was trained on: the nearest one of this data set in the revision's lineage.
// "" if nothing is live.
std::string champion_data(Api& api, const std::string& endpoint, const std::string& name) {
  const auto answer = api.try_call({}, "/endpoints/" + net::percent_encode(endpoint));
  if (answer.status == 404) return "";
  const auto found = answer.status == 200 ? value_of(base::parse_json(answer.body))
                                          : api.get("/endpoints/" + net::percent_encode(endpoint));
  const int64_t live = found.at("live_revision").to_number<int64_t>();
  if (live == 0) return "";
  const std::string revision = "revision:" + endpoint + "/" + std::to_string(live);
  const auto lineage = api.get("/lineage/" + net::percent_encode(revision) + "?direction=upstream");
  for (const auto& node : lineage.at("nodes").as_array()) {
    if (node.at("kind").as_string() != "data_version") continue;
    const std::string id(node.at("id").as_string());
    if (api.try_call({}, version_path(name, id)).status == 200) return id;
  }
  throw Failure(kRefused, "the lineage of " + revision + " names no version of '" + name +
                              "'; --base VERSION says what to go on from");
}

// Nothing when no traffic is new to the model.
std::optional<data::Prepared> retrain(const PrepareOptions& options, Api& api, const std::string& which,
                                      const base::Path& scratch, const base::Path& out) {
  const auto base_version = api.get(version_path(options.name, which));
  data::RetrainRequest request;
  request.base_version = base_version.at("id").as_string();
  request.base_dir = scratch / "base";
  for (const char* file : {"train.csv", "valid.csv", "test.csv", "schema.json"}) {
    download(api, options.name, request.base_version, file, request.base_dir / file);
  }
  request.traffic = scratch / "traffic.ndjson";
  fetch_traffic(api, options.endpoint, request.traffic);
  auto [spec, sha256] = read_spec(options.spec, std::string(base_version.at("label").as_string()));
  request.spec = std::move(spec), request.spec_sha256 = std::move(sha256);
  request.endpoint = options.endpoint;
  request.out_dir = out;
  request.memory_limit = options.memory;
  auto prepared = data::prepare_again(request);
  if (!prepared && prepared.error().code == base::Code::kConflict) {
    std::printf("%s\n", prepared.error().message.c_str());
    return std::nullopt;
  }
  return value_of(std::move(prepared));
}

data::Prepared prepare_files(const PrepareOptions& options, const base::Path& out) {
  if (options.files.empty()) throw Failure(kUsage, "--files PATTERN says which raw files are prepared");
  data::PrepareRequest request;
  request.patterns = options.files;
  request.label = options.label;
  auto [spec, sha256] = read_spec(options.spec, options.label);
  request.spec = std::move(spec), request.spec_sha256 = std::move(sha256);
  request.out_dir = out;
  request.memory_limit = options.memory;
  return value_of(data::prepare(request));
}

std::string describe_rows(const std::map<std::string, int64_t>& rows) {
  std::string out;
  for (const char* part : {"train", "valid", "test", "recent", "rejected", "duplicates"}) {
    const auto at = rows.find(part);
    if (at != rows.end()) out += (out.empty() ? "" : ", ") + std::to_string(at->second) + " " + part;
  }
  return out;
}

void publish(Api& api, const PrepareOptions& options, const data::Prepared& prepared, const std::string& base_version,
             const base::Path& dir) {
  boost::json::array files, features, raw_files;
  for (const auto& file : upload(api, dir, prepared.files)) {
    files.push_back({{"path", file.path}, {"digest", file.digest}, {"size", file.size}});
  }
  for (const auto& feature : prepared.features) features.emplace_back(feature);
  for (const auto& file : prepared.raw_files) raw_files.emplace_back(file);
  boost::json::object rows;
  for (const auto& [part, count] : prepared.rows) rows[part] = count;
  boost::json::object body{
      {"label", prepared.label}, {"features", features},   {"rows", rows},
      {"files", files},          {"raw_files", raw_files}, {"source", value_of(base::parse_json(prepared.source))}};
  if (!base_version.empty()) body["base_version"] = base_version;
  const auto version = api.post("/data/" + net::percent_encode(options.name) + "/versions", body);
  std::printf("%s@%lld  %s\n%s\n", options.name.c_str(), static_cast<long long>(version.at("number").as_int64()),
              version.at("id").as_string().c_str(), describe_rows(prepared.rows).c_str());
}

// The version that there is, made once more: this attempt's result is what the model was trained on already, so that
// what follows is skipped, and a retraining at night without news ends well.
void publish_again(Api& api, const std::string& name, const std::string& which) {
  const auto version = api.get(version_path(name, which));
  boost::json::object body;
  for (const char* key : {"label", "features", "rows", "source"}) body[key] = version.at(key);
  boost::json::array files;
  for (const auto& file : version.at("files").as_array())
    files.push_back({{"path", file.at("path")}, {"digest", file.at("digest")}, {"size", file.at("size")}});
  body["files"] = files;
  const auto made = api.post("/data/" + net::percent_encode(name) + "/versions", body);
  std::printf("%s@%lld stays as it is\n", name.c_str(), static_cast<long long>(made.at("number").as_int64()));
}

void run(const PrepareOptions& options, const Common& common) {
  if (options.retrain && options.endpoint.empty())
    throw Failure(kUsage, "a retraining takes labelled traffic: --endpoint NAME says whose");
  // A data set without an endpoint takes no traffic: at a retraining it is prepared from its files, as ever.
  bool again = !options.endpoint.empty() && (options.retrain || run_param("LATHE_PARAM_RETRAIN") == "1");
  std::unique_ptr<Api> api;
  if (again || options.out.empty()) api = std::make_unique<Api>(common);  // found before the work, not after it
  std::string which = options.base_version.empty() ? run_param("LATHE_PARAM_CHAMPION_DATA") : options.base_version;
  if (again && which.empty()) which = champion_data(*api, options.endpoint, options.name);
  if (again && which.empty()) {
    std::printf("nothing is live on endpoint %s yet: prepared from the files\n", options.endpoint.c_str());
    again = false;
  }
  const ScratchDir scratch("lathe-prepare-");
  base::Path out = scratch.path() / "out";
  if (!options.out.empty()) {
    out = options.out;
    std::error_code ignored;
    if (std::filesystem::exists(out, ignored) && !std::filesystem::is_empty(out, ignored))
      throw Failure(kUsage, "--out " + options.out + " is not an empty folder");
  }
  if (auto made = base::make_dirs(out); !made) throw Failure(kRefused, made.error().message);
  const auto made = again ? retrain(options, *api, which, scratch.path(), out) : prepare_files(options, out);
  if (!made && options.out.empty()) return publish_again(*api, options.name, which);
  if (!made) throw Failure(kRefused, "there is nothing to write to " + options.out);
  const data::Prepared& prepared = *made;
  std::ignore = base::remove_tree(out / ".work");
  if (!options.out.empty()) {
    std::printf("%s: %s\n", options.out.c_str(), describe_rows(prepared.rows).c_str());
    return;
  }
  std::string base_version;
  if (again) base_version = value_of(base::parse_json(prepared.source)).at("base").as_string();
  publish(*api, options, prepared, base_version, out);
}

}  // namespace

void add_step_prepare(CLI::App& app, Common& common) {
  CLI::App& step = command_group(app, "step", "Lathe's own stages; pipelines run them, and people may");
  auto* command =
      step.add_subcommand("prepare", "Raw files → a data version: rejects, split, fitted transform, profile");
  auto options = std::make_shared<PrepareOptions>();
  command->add_option("name", options->name, "the data set's name")->required();
  command->add_option("--files", options->files, "raw files: CSV or Parquet, shell patterns allowed; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--label", options->label, "the label's column");
  command->add_option("--spec", options->spec, "what is declared: prepare.yaml (docs/formats/prepare.md)");
  command->add_option("--endpoint", options->endpoint, "whose labelled traffic joins at a retraining");
  command->add_flag("--retrain", options->retrain,
                    "go on from a version, with labelled traffic (a run's parameter retrain=1 says the same)");
  command->add_option(
      "--base", options->base_version,
      "the version to go on from [the run's parameter champion_data, else what the live model was trained on]");
  command->add_option("--memory", options->memory, "DuckDB's limit; past it it spills to disk")->capture_default_str();
  command->add_option("--out", options->out, "write the files to this empty folder, and publish nothing");
  command->callback([options, &common] { run(*options, common); });
}

}  // namespace cli
