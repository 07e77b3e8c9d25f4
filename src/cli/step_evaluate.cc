// lathe step evaluate: what a run's plan asks for, through the inference core that serves. The server measures; this
// process only predicts, so that a model library never runs in the server.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>

#include "base/fs.h"
#include "base/json.h"
#include "base/json_writer.h"
#include "cli/api.h"
#include "cli/command.h"
#include "cli/command_group.h"
#include "cli/data_files.h"
#include "serve/model.h"
#include "stats/table.h"
#include "stats/transform.h"

namespace cli {
namespace {

using base::json::object;
using base::json::value;

class Evaluator {
 public:
  explicit Evaluator(const Common& common) : api_(common) {}

  void run() {
    for (;;) {
      const value plan = api_.get("/evaluation-plan");
      const object& root = plan.as_object();
      const auto& todo = root.at("todo").as_array();
      if (todo.empty()) return report(root);
      for (const auto& work : todo) evaluate(root, work.as_object());
    }
  }

 private:
  std::string blob(const std::string& digest) { return api_.call({}, "/blobs/" + digest).body; }

  void report(const object& plan) {
    const std::string picked = text_of(plan, "picked"), champion = text_of(plan, "champion");
    std::printf("picked %s of %zu candidates; champion: %s\n", picked.c_str(), plan.at("candidates").as_array().size(),
                champion.empty() ? "none" : champion.c_str());
    if (plan.at("serves_already").as_bool()) std::printf("the picked model serves already\n");
  }

  // The model's files laid out once, however many parts it predicts.
  const serve::Predictor& predictor_of(const object& work) {
    const std::string model = text_of(work, "model");
    auto& slot = predictors_[model + " " + text_of(work, "transform")];  // what was fitted meanwhile makes it another
    if (slot) return *slot;
    const base::Path folder = root_.path() / std::to_string(predictors_.size());
    for (const auto& entry : work.at("files").as_array()) {
      const object& file = entry.as_object();
      const std::string path = text_of(file, "path");
      if (!base::is_safe_relative_path(path))
        throw Failure(kRefused, "the model names a file outside its folder: " + path);
      need(base::make_dirs((folder / path).parent_path()));
      need(base::write_file_durably(folder / path, blob(text_of(file, "digest"))));
    }
    stats::Transform transform;
    if (const std::string digest = text_of(work, "transform"); !digest.empty())
      transform = need(stats::Transform::parse(blob(digest)));
    auto loaded = serve::Predictor::load(folder, std::move(transform));
    if (!loaded) throw Failure(kRefused, "model " + model + ": " + loaded.error().message);
    slot = std::move(*loaded);
    return *slot;
  }

  const stats::Table& rows_of(const object& plan, const object& work) {
    const std::string digest = text_of(work.at("rows").as_object(), "digest");
    const auto found = rows_.find(digest);
    if (found != rows_.end()) return found->second;
    const stats::Table all = need(stats::parse_csv(blob(digest)));
    stats::Table features;  // without the label, which no model may see
    for (const auto& name : plan.at("data").at("features").as_array()) {
      const auto* column = all.find(std::string_view(name.as_string()));
      if (column == nullptr)
        throw Failure(kRefused, "the data version lacks its feature '" + std::string(name.as_string()) + "'");
      features.columns.push_back(*column);
    }
    return rows_.emplace(digest, std::move(features)).first->second;
  }

  void evaluate(const object& plan, const object& work) {
    const serve::Predictor& predictor = predictor_of(work);
    const auto prediction = predictor.predict(rows_of(plan, work));
    if (!prediction)
      throw Failure(kRefused, "model " + text_of(work, "model") + " on " + text_of(work, "part") + ": " +
                                  prediction.error().message);
    std::string body;
    base::JsonWriter w(body);
    w.begin_object();
    for (const char* key : {"purpose", "side", "part", "model"}) w.field(key, text_of(work, key));
    w.key("predictions").begin_array();
    for (const auto& label : prediction->labels) w.value(label);
    w.end_array();
    if (!prediction->classes.empty() && !prediction->scores.empty()) {
      w.key("classes").begin_array();
      for (const auto& label : prediction->classes) w.value(label);
      w.end_array().key("scores").begin_array();
      for (const double score : prediction->scores) w.value(score);
      w.end_array();
    }
    w.end_object();
    net::ClientRequest request{.method = "POST",
                               .headers = {{"Content-Type", "application/json"}},
                               .body = std::move(body),
                               .timeout_us = 300'000'000};
    const auto answer = need(base::parse_json(api_.call(std::move(request), "/evaluations").body));
    const object& e = answer.as_object();
    std::printf("%-10s %-6s %s  %s %.4f (%.4f to %.4f) on %lld rows\n", text_of(e, "side").c_str(),
                text_of(e, "part").c_str(), text_of(e, "model").c_str(), text_of(e, "metric").c_str(),
                e.at("value").to_number<double>(), e.at("low").to_number<double>(), e.at("high").to_number<double>(),
                static_cast<long long>(e.at("rows").to_number<int64_t>()));
    std::fflush(stdout);
  }

  Api api_;
  ScratchDir root_{"lathe-evaluate-"};
  std::map<std::string, std::unique_ptr<serve::Predictor>> predictors_;
  std::map<std::string, stats::Table> rows_;
};

}  // namespace

void add_step_evaluate_command(CLI::App& app, Common& common) {
  CLI::App& step = command_group(app, "step", "Lathe's own stages; pipelines run them, and people may");
  step.add_subcommand("evaluate", "Predict what the run's evaluation plan asks for")->callback([&common] {
    Evaluator(common).run();
  });
}

}  // namespace cli
