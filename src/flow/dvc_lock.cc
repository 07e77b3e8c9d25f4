#include "flow/dvc_lock.h"

#include <algorithm>
#include <map>

#include "flow/dvc_scope.h"
#include "flow/dvc_text.h"
#include "flow/flow.h"
#include "flow/inputs.h"
#include "flow/live_run.h"
#include "flow/workspace.h"

namespace flow {
namespace {

// One file or folder as dvc.lock lists it.
struct Item {
  std::string path;
  std::string md5;
  int64_t size = 0;
  size_t files = 0;  // 0: a single file
  bool executable = false;
};

struct HashedFile {
  std::string path;
  blob::BlobInfo blob;
  bool executable = false;
};

Item folder_item(const std::string& folder, const std::vector<HashedFile>& files) {
  Item item{.path = folder, .md5 = "", .files = files.size()};
  std::vector<DvcFile> listed;
  for (const HashedFile& file : files) {
    listed.push_back({file.path.substr(folder.size() + 1), file.blob.md5_hex()});
    item.size += file.blob.size;
  }
  item.md5 = base::md5(dvc_folder_object(std::move(listed))).hex() + ".dir";
  return item;
}

Item to_item(const std::string& path, const std::vector<HashedFile>& files) {
  if (files.size() == 1 && files[0].path == path)
    return {
        .path = path, .md5 = files[0].blob.md5_hex(), .size = files[0].blob.size, .executable = files[0].executable};
  return folder_item(path, files);
}

std::vector<HashedFile> within(const std::vector<HashedFile>& files, std::string_view path) {
  std::vector<HashedFile> out;
  std::ranges::copy_if(files, std::back_inserter(out),
                       [&](const HashedFile& file) { return is_within(file.path, path); });
  return out;
}

void write_items(std::string& out, std::string_view title, std::vector<Item> items) {
  if (items.empty()) return;
  std::ranges::sort(items, {}, &Item::path);
  out += "    " + std::string(title) + ":\n";
  for (const Item& item : items) {
    out += "    - path: " + yaml_scalar(item.path) + "\n      hash: md5\n      md5: " + yaml_scalar(item.md5) +
           "\n      size: " + std::to_string(item.size) + "\n";
    if (item.files) out += "      nfiles: " + std::to_string(item.files) + "\n";
    if (item.executable) out += "      isexec: true\n";
  }
}

// dvc.lock's paths are relative to the stage's folder.
std::string from_wdir(const std::string& path, const std::string& wdir) {
  return wdir.empty() ? path : base::Path(path).lexically_relative(wdir).generic_string();
}

class LockWriter {
 public:
  LockWriter(store::Tx& tx, const LiveRun& live) : tx_(tx), live_(live) {}

  base::Result<std::string> write() {
    TRY(read_bundle_hashes());
    std::string out = "schema: '2.0'\nstages:\n";
    for (uint32_t i = 0; i < live_.state.stages.size(); ++i) {
      const StageState& state = live_.state.stages[i];
      const bool good = state.result == State::kSucceeded || state.result == State::kSkipped;
      if (good && !live_.facts->spec.stages[i].internal) TRY(write_stage(out, i));
    }
    TRY(tx_.status());
    return out;
  }

 private:
  base::Result<void> read_bundle_hashes() {
    TRY_SET(bundle_, hashed("bundle/" + live_.facts->run.bundle));
    return {};
  }

  // MD5s were computed in the pass that stored the bytes.
  base::Result<std::vector<HashedFile>> hashed(const std::string& root) {
    std::vector<HashedFile> out;
    for (const blob::Artifact& artifact : blob::list_artifacts(tx_, root)) {
      TRY_SET(const auto info, blob::find_blob(tx_, artifact.digest));
      if (!info) return base::internal(root + "/" + artifact.path + " has no blob row");
      out.push_back({artifact.path, *info, artifact.address == "x"});
    }
    return out;
  }

  base::Result<void> write_stage(std::string& out, uint32_t index) {
    const StageSpec& stage = live_.facts->spec.stages[index];
    out += "  " + yaml_scalar(stage.name) + ":\n";
    if (stage.cmd_list.empty()) {
      append_yaml_entry(out, 4, "cmd", text_node(stage.cmd, 0));
    } else {
      out += "    cmd:\n";
      for (const std::string& cmd : stage.cmd_list) append_yaml_text_item(out, 4, cmd);
    }
    std::vector<Item> deps;
    for (const std::string& dep : stage.file_deps) {
      TRY_SET(std::vector<HashedFile> files, dep_files(index, dep));
      if (files.empty()) continue;
      deps.push_back(to_item(dep, files));
      deps.back().path = from_wdir(dep, stage.wdir);
    }
    TRY(add_data_deps(index, deps));
    write_items(out, "deps", std::move(deps));
    TRY(write_params(out, stage));
    TRY_SET(const std::vector<HashedFile> made, hashed("attempt/" + live_.state.stages[index].attempt + "/out"));
    std::vector<Item> outs;
    for (const auto* paths : {&stage.outs, &stage.metrics})
      for (const std::string& path : *paths) {
        outs.push_back(to_item(path, within(made, path)));
        outs.back().path = from_wdir(path, stage.wdir);
      }
    write_items(out, "outs", std::move(outs));
    return {};
  }

  base::Result<std::vector<HashedFile>> dep_files(uint32_t index, const std::string& dep) {
    for (uint32_t i = 0; i < live_.facts->spec.stages.size(); ++i) {
      if (i == index || live_.state.stages[i].attempt.empty() || !makes(live_.facts->spec.stages[i], dep)) continue;
      TRY_SET(const auto made, hashed("attempt/" + live_.state.stages[i].attempt + "/out"));
      return within(made, dep);
    }
    return within(bundle_, dep);
  }

  // A data set is a folder of the workspace; which version it was stands in the attempt's inputs.
  base::Result<void> add_data_deps(uint32_t index, std::vector<Item>& deps) {
    const StageSpec& stage = live_.facts->spec.stages[index];
    if (stage.data_deps.empty()) return {};
    TextMap inputs;
    {
      store::Rows rows = tx_.query("SELECT inputs FROM flow_attempts WHERE project = ? AND public_id = ?",
                                   tx_.project(), live_.state.stages[index].attempt);
      if (rows.next()) inputs = map_from_json(rows.text(0)).value_or(TextMap{});
    }
    for (const auto& dep : stage.data_deps) {
      const std::string text = inputs["data " + dep.name];
      const std::string root = "data/" + text.substr(0, text.find_first_of(" :"));
      TRY_SET(const std::vector<HashedFile> all, hashed(root));
      std::vector<HashedFile> files;
      for (const std::string& part : dep.parts)
        for (const std::string& path : {dep.raw ? part + ".csv" : "export/" + part + ".csv", part + ".csv"})
          if (const auto found = std::ranges::find(all, path, &HashedFile::path); found != all.end()) {
            files.push_back({dep.name + "/" + part + ".csv", found->blob, false});
            break;
          }
      if (const auto schema = std::ranges::find(all, "schema.json", &HashedFile::path); schema != all.end())
        files.push_back({dep.name + "/schema.json", schema->blob, false});
      if (!files.empty()) deps.push_back(folder_item(dep.name, std::move(files)));
    }
    return {};
  }

  // Keys are "key" (of params.yaml, which comes first) or "file:key".
  static base::Result<void> write_params(std::string& out, const StageSpec& stage) {
    std::map<std::pair<bool, std::string>, TextMap> by_file;
    for (const auto& [key, value] : stage.params) {
      const size_t colon = key.find(':');
      if (colon == std::string::npos)
        by_file[{false, "params.yaml"}][key] = value;
      else
        by_file[{true, key.substr(0, colon)}][key.substr(colon + 1)] = value;
    }
    if (by_file.empty()) return {};
    out += "    params:\n";
    for (const auto& [file, values] : by_file) {
      out += "      " + yaml_scalar(file.second) + ":\n";
      for (const auto& [key, text] : values) {
        TRY_SET(const Node value, base::yaml::parse(text, key, {.refuse_yaml11_booleans = false}));
        append_yaml_entry(out, 8, key, value);
      }
    }
    return {};
  }

  static bool makes(const StageSpec& stage, std::string_view dep) {
    const auto meets = [dep](const std::string& out) { return is_within(out, dep) || is_within(dep, out); };
    return std::ranges::any_of(stage.outs, meets) || std::ranges::any_of(stage.metrics, meets);
  }

  store::Tx& tx_;
  const LiveRun& live_;
  std::vector<HashedFile> bundle_;
};

std::string declared_out(const StageSpec& stage, const std::string& path) {
  for (const auto* outs : {&stage.outs, &stage.metrics})
    for (const std::string& out : *outs)
      if (is_within(path, out)) return out;
  return path;
}

base::Result<LiveRun> load_by_id(store::Tx& tx, std::string_view run) {
  const auto row = tx.query_i64("SELECT id FROM flow_runs WHERE project = ? AND public_id = ?", tx.project(), run);
  TRY(tx.status());
  if (!row) return base::not_found("no pipeline run has the id '" + std::string(run) + "'");
  return load_run(tx, *row);
}

}  // namespace

std::string dvc_folder_object(std::vector<DvcFile> files) {
  std::ranges::sort(files, {}, &DvcFile::path);
  std::string list = "[";
  for (const DvcFile& file : files) {
    if (list.size() > 1) list += ", ";
    list += "{\"md5\": \"" + file.md5 + "\", \"relpath\": ";
    append_ascii_json(list, file.path);
    list += "}";
  }
  return list + "]";
}

base::Result<std::vector<RunOut>> list_outs(store::Tx& tx, std::string_view run) {
  TRY_SET(const LiveRun live, load_by_id(tx, run));
  std::vector<RunOut> out;
  for (size_t i = 0; i < live.state.stages.size(); ++i) {
    const StageState& state = live.state.stages[i];
    if (state.result != State::kSucceeded && state.result != State::kSkipped) continue;
    for (const blob::Artifact& artifact : blob::list_artifacts(tx, "attempt/" + state.attempt + "/out")) {
      TRY_SET(const auto info, blob::find_blob(tx, artifact.digest));
      const StageSpec& stage = live.facts->spec.stages[i];
      const std::string declared = declared_out(stage, artifact.path);
      out.push_back({.stage = stage.name,
                     .attempt = state.attempt,
                     .path = artifact.path,
                     .out = declared,
                     .blob = info.value_or(blob::BlobInfo{.sha256 = artifact.digest, .size = artifact.size}),
                     .executable = artifact.address == "x",
                     .cached = std::ranges::find(stage.uncached, declared) == stage.uncached.end()});
    }
  }
  TRY(tx.status());
  return out;
}

base::Result<std::string> dvc_lock(store::Tx& tx, std::string_view run) {
  TRY_SET(const LiveRun live, load_by_id(tx, run));
  return LockWriter(tx, live).write();
}

}  // namespace flow
