#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>

#include "base/json.h"
#include "cli/api.h"
#include "cli/capture_parquet.h"
#include "cli/command.h"
#include "cli/command_group.h"
#include "net/http.h"
#include "serve/capture_archive.h"
#include "serve/replay.h"
#include "serve/trial.h"

namespace cli {
namespace {

std::string text_of(const base::json::value& value) {
  return value.is_string() ? std::string(value.as_string()) : base::to_text(value);
}

void endpoints(const Common& common) {
  Api api(common);
  const auto answer = api.get("/endpoints");
  std::printf("%-24s %-12s %-10s %-28s %s\n", "ENDPOINT", "ENVIRONMENT", "REVISION", "MODEL", "STATE");
  for (const auto& entry : answer.as_object().at("endpoints").as_array()) {
    const auto& e = entry.as_object();
    std::printf("%-24s %-12s %-10s %-28s %s\n", text_of(e.at("name")).c_str(), text_of(e.at("environment")).c_str(),
                text_of(e.at("live_revision")).c_str(), text_of(e.at("model")).c_str(), text_of(e.at("state")).c_str());
  }
}

void print_object(const base::json::object& object, const std::string& prefix) {
  for (const auto& [key, value] : object) {
    const std::string name = prefix + std::string(key);
    if (value.is_object())
      print_object(value.as_object(), name + ".");
    else
      std::printf("%-32s %s\n", name.c_str(), text_of(value).c_str());
  }
}

void endpoint(const Common& common, const std::string& name) {
  Api api(common);
  auto answer = api.get("/endpoints/" + net::percent_encode(name));
  auto& object = answer.as_object();
  object.erase("revisions");
  object.erase("features");
  print_object(object, "");
}

void requests(const Common& common, const std::string& endpoint, size_t limit, const std::string& from) {
  Api api(common);
  std::string path = "/endpoints/" + net::percent_encode(endpoint) + "/requests?limit=" + std::to_string(limit);
  if (!from.empty()) path += "&from=" + net::percent_encode(from);
  std::fputs(api.call({}, path).body.c_str(), stdout);
}

// A child's answer: what it has on stdout, or the error there and a code that says which kind it is.
void answer(const base::Result<std::string>& result) {
  const std::string& text = result ? *result : result.error().message;
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
  if (result) return;
  const bool unavailable = result.error().code == base::Code::kUnavailable;
  ::_exit(unavailable ? serve::kArchiveUnavailable : serve::kArchiveRefused);
}

void add_capture_children(CLI::App& child) {
  auto file = std::make_shared<std::string>();
  auto* archive = child.add_subcommand("archive-capture", "A closed segment into Parquet");
  archive->add_option("file", *file)->required();
  archive->callback([file] {
    if (::nice(10) == -1) errno = 0;  // whoever is asked for an answer comes first
    const auto done = archive_capture(*file);
    answer(done ? base::Result<std::string>(std::string()) : std::unexpected(done.error()));
  });
  auto* restore = child.add_subcommand("restore-capture", "An archived segment's bytes");
  restore->add_option("file", *file)->required();
  restore->callback([file] { answer(restore_capture(*file)); });
}

}  // namespace

void add_serve_commands(CLI::App& app, Common& common) {
  auto* endpoints_command = app.add_subcommand("endpoints", "List the endpoints and what they serve, or show one");
  auto one = std::make_shared<std::string>();
  endpoints_command->add_option("endpoint", *one, "its name: how its model is run, what is in force");
  endpoints_command->callback([one, &common] { one->empty() ? endpoints(common) : endpoint(common, *one); });

  auto* requests_command =
      app.add_subcommand("requests", "Print captured requests of an endpoint, one JSON object a line");
  auto name = std::make_shared<std::string>();
  auto from = std::make_shared<std::string>();
  auto limit = std::make_shared<size_t>(20);
  requests_command->add_option("endpoint", *name, "its name")->required();
  requests_command->add_option("--limit", *limit, "at most so many [20]");
  requests_command->add_option("--from", *from, "where to go on: the `next` of an earlier answer");
  requests_command->callback([=, &common] { requests(common, *name, *limit, *from); });

  // What the server starts of itself before a model may serve; not for people.
  CLI::App& child = command_group(app, "child", "");
  child.group("");
  auto* try_model = child.add_subcommand("try-model", "Load a model, run it once, and say whether it may serve");
  auto folder = std::make_shared<std::string>();
  auto transform = std::make_shared<std::string>();
  auto memory_bytes = std::make_shared<size_t>(0);
  try_model->add_option("folder", *folder)->required();
  try_model->add_option("transform", *transform);
  try_model->add_option("memory_bytes", *memory_bytes);
  try_model->callback([=] { serve::run_trial(*folder, *transform, *memory_bytes); });
  add_capture_children(child);
  auto* replay = child.add_subcommand("replay", "Answer captured requests with a model, into a file");
  auto files = std::make_shared<std::vector<std::string>>();
  replay->add_option("files", *files, "model's folder, transform or \"\", requests, answers")->required()->expected(4);
  replay->callback([files] { serve::run_replay((*files)[0], (*files)[1], (*files)[2], (*files)[3]); });
  auto* replay_graph = child.add_subcommand("replay-graph", "The same with a graph's models");
  replay_graph->add_option("files", *files, "plan, requests, answers")->required()->expected(3);
  replay_graph->callback([files] { serve::run_replay_graph((*files)[0], (*files)[1], (*files)[2]); });
}

}  // namespace cli
