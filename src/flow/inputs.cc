#include "flow/inputs.h"

#include <algorithm>

#include "core/lineage.h"
#include "flow/workspace.h"

namespace flow {
namespace {

// A dep and an out meet if they are the same path or one lies in the other.
bool meets(std::string_view a, std::string_view b) { return is_within(a, b) || is_within(b, a); }

std::string digest_of(const std::vector<WorkFile>& files) {
  base::Hasher hasher(base::HashAlgo::kSha256);
  for (const WorkFile& file : files) {
    hasher.update(file.path);
    hasher.update({"\0", 1});
    hasher.update(file.sha256.hex());
    hasher.update(file.executable ? "x\n" : "\n");
  }
  return hasher.finish().hex();
}

WorkFile to_work_file(const blob::Artifact& artifact) {
  return {.path = artifact.path, .sha256 = artifact.digest, .executable = artifact.address == "x"};
}

class Reader {
 public:
  Reader(store::Tx& tx, const RunFacts& facts, const RunState& state, uint32_t stage,
         const std::vector<WorkFile>& bundle, const NewestData& newest)
      : tx_(tx),
        facts_(facts),
        state_(state),
        stage_(facts.spec.stages[stage]),
        self_(stage),
        bundle_(bundle),
        newest_(newest) {}

  base::Result<StageInputs> read() {
    out_.parts["command"] = stage_.cmd;
    out_.parts["folder"] = stage_.wdir;
    std::string outs;
    for (const std::string& path : stage_.outs) outs += path + "\n";
    for (const std::string& path : stage_.metrics) outs += path + "\n";
    out_.parts["outs"] = outs;
    for (const auto& [key, value] : stage_.params) out_.parts["parameter " + key] = value;
    for (const auto& [key, value] : facts_.run.params) out_.parts["run parameter " + key] = value;
    for (const auto& [key, value] : stage_.env) out_.parts["variable " + key] = value;
    for (const std::string& dep : stage_.file_deps) TRY(read_file_dep(dep));
    for (const auto& dep : stage_.data_deps) TRY(read_data_dep(dep));
    TRY(tx_.status());
    return std::move(out_);
  }

 private:
  base::Result<void> read_file_dep(const std::string& dep) {
    std::vector<WorkFile> found;
    bool made = false;
    for (uint32_t i = 0; i < facts_.spec.stages.size(); ++i) {
      if (i == self_ || !makes(facts_.spec.stages[i], dep)) continue;
      made = true;
      add_outs(state_.stages[i].attempt, dep, found);
    }
    if (!made)
      std::ranges::copy_if(bundle_, std::back_inserter(found),
                           [&](const WorkFile& file) { return is_within(file.path, dep); });
    if (found.empty())
      return base::not_found("dep '" + dep +
                             "' is neither in the bundle nor an out of another stage; is it ignored by git?");
    out_.parts["file " + dep] = found.size() == 1 && found[0].path == dep ? found[0].sha256.hex() : digest_of(found);
    return {};
  }

  static bool makes(const StageSpec& stage, std::string_view dep) {
    const auto meets_dep = [dep](const std::string& out) { return meets(out, dep); };
    return std::ranges::any_of(stage.outs, meets_dep) || std::ranges::any_of(stage.metrics, meets_dep);
  }

  void add_outs(const std::string& attempt, const std::string& dep, std::vector<WorkFile>& found) {
    if (attempt.empty()) return;
    out_.attempts.push_back(attempt);
    for (const blob::Artifact& artifact : blob::list_artifacts(tx_, "attempt/" + attempt + "/out")) {
      if (!is_within(artifact.path, dep)) continue;
      found.push_back(to_work_file(artifact));
      add_file(found.back());
    }
  }

  base::Result<void> read_data_dep(const StageSpec::DataDep& dep) {
    TRY_SET(const std::string version, find_version(dep.name));
    out_.versions.push_back(version);
    std::string& part_of_key = out_.parts["data " + dep.name];
    part_of_key += version + (dep.raw ? ":raw" : "");
    const std::string root = "data/" + version;
    for (const std::string& part : dep.parts) {
      // Where nothing is fitted, the raw features are the export.
      const std::string file = part + ".csv";
      auto artifact = blob::get_artifact(tx_, root, dep.raw ? file : "export/" + file);
      if (!artifact && !dep.raw) artifact = blob::get_artifact(tx_, root, file);
      if (!artifact)
        return base::not_found("data set '" + dep.name + "' has no part '" + part + "' in its version " + version);
      add_file({.path = dep.name + "/" + file, .sha256 = artifact->digest});
      part_of_key += " " + part;
    }
    if (const auto schema = blob::get_artifact(tx_, root, "schema.json"))
      add_file({.path = dep.name + "/schema.json", .sha256 = schema->digest});
    return {};
  }

  // What this run's own preparation made, else the newest there is.
  base::Result<std::string> find_version(const std::string& data) {
    if (const auto given = facts_.run.params.find("data." + data); given != facts_.run.params.end())
      return given->second;
    for (uint32_t i = 0; i < facts_.spec.stages.size(); ++i) {
      if (facts_.spec.stages[i].name != "prepare:" + data || state_.stages[i].attempt.empty()) continue;
      for (const core::Edge& edge : core::edges_out_of(tx_, {"attempt", state_.stages[i].attempt}))
        if (edge.to.kind == "data_version") return edge.to.id;
    }
    if (newest_) {
      TRY_SET(std::string version, newest_(tx_, data));
      if (!version.empty()) return version;
    }
    return base::not_found("data set '" + data + "' has no version yet; its prepare stage makes one");
  }

  void add_file(WorkFile file) {
    const bool known = std::ranges::any_of(out_.files, [&](const WorkFile& other) { return other.path == file.path; });
    if (!known) out_.files.push_back(std::move(file));
  }

  store::Tx& tx_;
  const RunFacts& facts_;
  const RunState& state_;
  const StageSpec& stage_;
  uint32_t self_;
  const std::vector<WorkFile>& bundle_;
  const NewestData& newest_;
  StageInputs out_;
};

std::string short_value(const std::string& value) {
  return value.size() <= 40 ? "'" + value + "'" : "'" + value.substr(0, 37) + "…'";
}

struct Earlier {
  std::string attempt;
  TextMap parts;
  int64_t run_number = 0;
};

std::optional<Earlier> read_earlier(store::Rows rows) {
  if (!rows.next()) return std::nullopt;
  return Earlier{
      .attempt = rows.str(0), .parts = map_from_json(rows.text(1)).value_or(TextMap{}), .run_number = rows.i64(2)};
}

Decided verdict(uint32_t stage, Decided::Verdict verdict, std::string reason, std::string reuse = "") {
  return {.stage = stage, .verdict = verdict, .reason = std::move(reason), .reuse = std::move(reuse)};
}

}  // namespace

base::Result<BundleFiles> read_bundle(store::Tx& tx, std::string_view bundle) {
  auto files = std::make_shared<std::vector<WorkFile>>();
  if (!bundle.empty())
    for (const blob::Artifact& artifact : blob::list_artifacts(tx, "bundle/" + std::string(bundle)))
      files->push_back(to_work_file(artifact));
  TRY(tx.status());
  return files;
}

base::Result<StageInputs> read_inputs(store::Tx& tx, const RunFacts& facts, const RunState& state, uint32_t stage,
                                      const std::vector<WorkFile>& bundle, const NewestData& newest_data) {
  return Reader(tx, facts, state, stage, bundle, newest_data).read();
}

std::string input_key(const TextMap& parts) { return base::sha256(map_to_json(parts)).hex(); }

std::string explain_change(const TextMap& before, const TextMap& now) {
  std::vector<std::string> changes;
  for (const auto& [key, value] : now) {
    const auto old = before.find(key);
    if (old == before.end()) {
      changes.push_back(key + " is new");
    } else if (old->second != value) {
      const bool readable =
          key.starts_with("parameter ") || key.starts_with("run parameter ") || key.starts_with("variable ");
      changes.push_back(readable ? key + " changed from " + short_value(old->second) + " to " + short_value(value)
                                 : key + " changed");
    }
  }
  for (const auto& [key, value] : before)
    if (!now.contains(key)) changes.push_back(key + " is gone");
  std::string text;
  constexpr size_t kNamed = 3;
  for (size_t i = 0; i < std::min(changes.size(), kNamed); ++i) text += (i ? "; " : "") + changes[i];
  if (changes.size() > kNamed) text += "; and " + std::to_string(changes.size() - kNamed) + " more";
  return text;
}

Decided decide(store::Tx& tx, const RunFacts& facts, uint32_t index, const base::Result<StageInputs>& inputs) {
  using Verdict = Decided::Verdict;
  const StageSpec& stage = facts.spec.stages[index];
  if (!inputs && !stage.frozen) return verdict(index, Verdict::kFail, inputs.error().message);
  if (stage.always) return verdict(index, Verdict::kRun, "it always runs");
  if (facts.forced) return verdict(index, Verdict::kRun, "the run was forced");
  constexpr std::string_view kSame =
      "SELECT f.attempt, f.inputs, r.number FROM flow_results f JOIN flow_attempts a ON a.project = f.project AND "
      "a.public_id = f.attempt "
      "JOIN flow_runs r ON r.id = a.run WHERE f.project = ? AND f.pipeline = ? AND f.stage = ? AND f.input_key = ?";
  constexpr std::string_view kNewest =
      "SELECT f.attempt, f.inputs, r.number FROM flow_results f JOIN flow_attempts a ON a.project = f.project AND "
      "a.public_id = f.attempt "
      "JOIN flow_runs r ON r.id = a.run WHERE f.project = ? AND f.pipeline = ? AND f.stage = ? ORDER BY f.at_us DESC "
      "LIMIT 1";
  const auto newest = read_earlier(tx.query(kNewest, facts.project, facts.run.pipeline, stage.name));
  if (stage.frozen && newest)
    return verdict(index, Verdict::kSkip,
                   "it is frozen; its result is that of run " + std::to_string(newest->run_number), newest->attempt);
  if (!inputs) return verdict(index, Verdict::kFail, inputs.error().message);
  const auto same =
      read_earlier(tx.query(kSame, facts.project, facts.run.pipeline, stage.name, input_key(inputs->parts)));
  if (same)
    return verdict(index, Verdict::kSkip,
                   "nothing it depends on has changed since run " + std::to_string(same->run_number), same->attempt);
  if (!newest) return verdict(index, Verdict::kRun, "it has not succeeded before");
  return verdict(index, Verdict::kRun, explain_change(newest->parts, inputs->parts));
}

}  // namespace flow
