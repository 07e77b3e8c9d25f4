// lathe apply: the folder's files as a bundle, uploaded where the server lacks them, and lathe.yaml put into force.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "base/json.h"
#include "base/json_writer.h"
#include "cli/api.h"
#include "cli/command.h"
#include "loop/bundle.h"

namespace cli {
namespace {

using base::json::value;

struct ApplyOptions {
  std::string file = "lathe.yaml";
  bool dry_run = false;
  bool no_run = false;
};

// Uploads what the server lacks; answers how many bytes.
int64_t upload(Api& api, const base::Path& folder, const loop::CollectedBundle& bundle) {
  std::map<std::string, const loop::BundleFile*> by_digest;
  std::string ask;
  base::JsonWriter w(ask);
  w.begin_object().key("digests").begin_array();
  for (const auto& file : bundle.files) {
    if (by_digest.emplace(file.digest.hex(), &file).second) w.value(file.digest.hex());
  }
  w.end_array().end_object();
  const value answer = api.send_slowly("POST", "/blobs/missing", std::move(ask));
  int64_t bytes = 0;
  for (const auto& missing : answer.at("missing").as_array()) {
    const std::string digest(missing.as_string());
    const loop::BundleFile& file = *by_digest.at(digest);
    net::ClientRequest request{.method = "PUT",
                               .headers = {{"Content-Type", "application/octet-stream"}},
                               .body_file = folder / file.path,
                               .timeout_us = 0};
    api.call(std::move(request), "/blobs/" + digest);
    bytes += file.size;
  }
  return bytes;
}

std::string manifest(const loop::CollectedBundle& bundle) {
  std::string out;
  base::JsonWriter w(out);
  w.begin_object().key("files").begin_array();
  for (const auto& file : bundle.files) {
    w.begin_object()
        .field("path", file.path)
        .field("digest", file.digest.hex())
        .field("size", file.size)
        .field("executable", file.executable)
        .end_object();
  }
  w.end_array().field("commit", bundle.commit).field("dirty", bundle.dirty).end_object();
  return out;
}

void print_changes(const value& outcome) {
  for (const auto& change : outcome.at("changes").as_array()) {
    const std::string what(change.at("what").as_string()), from(change.at("from").as_string()),
        to(change.at("to").as_string());
    if (from.empty()) {
      std::printf("  + %s: %s\n", what.c_str(), to.c_str());
    } else if (to.empty()) {
      std::printf("  - %s: %s\n", what.c_str(), from.c_str());
    } else {
      std::printf("  ~ %s: %s -> %s\n", what.c_str(), from.c_str(), to.c_str());
    }
  }
}

void print_settings(const value& outcome, const std::string& file) {
  std::printf("in force:\n");
  for (const auto& setting : outcome.at("settings").as_array()) {
    const bool fallback = setting.at("default").as_bool();
    const std::string where =
        fallback ? "default" : file + ":" + std::to_string(setting.at("line").to_number<int64_t>());
    std::printf("  %-40s %-28s %s\n", setting.at("key").as_string().c_str(), setting.at("value").as_string().c_str(),
                where.c_str());
  }
}

void apply(const Common& common, const ApplyOptions& options) {
  const base::Path folder = std::filesystem::current_path();
  if (!base::is_safe_relative_path(options.file))
    throw Failure(kUsage, "--file must be a path within this folder, relative and without '..'");
  if (!std::filesystem::exists(folder / options.file))
    throw Failure(kUsage,
                  "there is no '" + options.file +
                      "' here; name another with --file, or begin with the example in docs/formats/lathe.yaml.md");
  auto bundle = loop::collect_bundle(folder);
  if (!bundle) throw Failure(kRefused, bundle.error().message);
  Api api(common);
  const int64_t bytes = upload(api, folder, *bundle);
  const value made = api.send_slowly("POST", "/bundles", manifest(*bundle));
  const std::string id(made.at("bundle").as_string());
  std::printf("bundle %s: %zu files, %lld bytes uploaded, %s\n", id.substr(0, 12).c_str(), bundle->files.size(),
              static_cast<long long>(bytes),
              bundle->git
                  ? (bundle->commit.empty()
                         ? "no commit yet"
                         : (bundle->commit.substr(0, 12) + (bundle->dirty ? ", with uncommitted changes" : "")).c_str())
                  : "not under git");

  std::string ask;
  base::JsonWriter(ask)
      .begin_object()
      .field("bundle", id)
      .field("file", options.file)
      .field("dry_run", options.dry_run)
      .field("start_run", !options.no_run)
      .end_object();
  const value outcome = api.send_slowly("POST", "/apply", std::move(ask));
  const bool changed = !outcome.at("changes").as_array().empty();
  const std::string pipeline(outcome.at("pipeline").as_string());
  std::printf("%s: %s\n", pipeline.c_str(),
              !changed                        ? "nothing changed"
              : outcome.at("first").as_bool() ? "new"
                                              : "changes");
  print_changes(outcome);
  for (const auto& graph : outcome.at("graphs").as_array()) {
    const std::string endpoint(graph.at("endpoint").as_string()), problem(graph.at("problem").as_string());
    if (!options.dry_run)
      std::printf("graph %s: %s\n", endpoint.c_str(),
                  problem.empty() ? "ready" : ("cannot answer: " + problem).c_str());
  }
  if (options.dry_run) {
    print_settings(outcome, options.file);
    std::printf("dry run: nothing was written\n");
  } else if (outcome.at("run").is_string()) {
    std::printf("run %s started\n", outcome.at("run").as_string().c_str());
  } else if (!changed && !options.no_run) {
    std::printf("no run started; 'lathe run %s' starts one anyway\n", pipeline.c_str());
  }
}

}  // namespace

void add_apply_commands(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand(
      "apply", "Put lathe.yaml and this folder's files into force, and start a run if something changed");
  auto options = std::make_shared<ApplyOptions>();
  command->add_option("-f,--file", options->file, "the configuration, within this folder")->capture_default_str();
  command->add_flag("--dry-run", options->dry_run, "show what would change, and every default, without writing");
  command->add_flag("--no-run", options->no_run, "do not start a run");
  command->callback([options, &common] { apply(common, *options); });
}

}  // namespace cli
