#include "flow/dvc_yaml.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <span>

#include "base/fs.h"
#include "flow/dvc_expand.h"
#include "flow/dvc_scope.h"
#include "flow/workspace.h"

namespace flow {
namespace {

using base::Result;
using base::yaml::Entry;
using base::yaml::Kind;

constexpr std::array<std::string_view, 22> kStageKeys{
    "cmd",     "wdir",        "deps",    "params",         "vars",   "outs", "metrics", "plots",
    "desc",    "meta",        "frozen",  "always_changed", "matrix", "tune", "foreach", "do",
    "retries", "retry_delay", "timeout", "memory",         "cpus",   "env"};
constexpr std::array<std::string_view, 14> kOutFlags{"cache", "persist", "desc",    "type",     "labels",
                                                     "meta",  "remote",  "push",    "template", "x",
                                                     "y",     "x_label", "y_label", "title"};

struct Unit {
  std::string_view name;
  int64_t factor;
};
constexpr Unit kDurations[] = {{"us", 1},         {"ms", 1000},         {"s", 1'000'000},
                               {"m", 60'000'000}, {"h", 3'600'000'000}, {"d", 86'400'000'000}};
constexpr Unit kSizes[] = {{"b", 1},     {"kib", 1 << 10},  {"mib", 1 << 20},     {"gib", 1 << 30},
                           {"kb", 1000}, {"mb", 1'000'000}, {"gb", 1'000'000'000}};

// "90 s", "1.5h", "2GiB": a number and a unit.
std::optional<int64_t> quantity(std::string_view text, std::span<const Unit> units) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number) || number < 0) return std::nullopt;
  std::string unit(end, text.data() + text.size());
  std::erase(unit, ' ');
  std::ranges::transform(unit, unit.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto found = std::ranges::find(units, std::string_view(unit), &Unit::name);
  if (found == units.end() || number * static_cast<double>(found->factor) > 9e15) return std::nullopt;
  return static_cast<int64_t>(number * static_cast<double>(found->factor));
}

// "a/./b/../c" below wdir → "a/c"; nullopt when it leaves the project.
std::optional<std::string> project_path(std::string_view wdir, std::string_view path) {
  if (path.empty() || path.starts_with('/')) return std::nullopt;
  std::string out = (base::Path(wdir) / path).lexically_normal().string();
  while (out.ends_with('/')) out.pop_back();
  if (!base::is_safe_relative_path(out)) return std::nullopt;
  return out;
}

template <size_t N>
std::string listed(const std::array<std::string_view, N>& words) {
  std::string out;
  for (const std::string_view word : words) out += (out.empty() ? "" : ", ") + std::string(word);
  return out;
}

// One stage of an expanded definition, resolved, into a StageSpec.
class StageReader {
 public:
  StageReader(const DvcInput& input, const Variant& variant, std::string group, const Node& body)
      : input_(input), variant_(variant), where_("stages." + variant.name), body_(body) {
    stage_.name = variant.name;
    stage_.group = std::move(group);
  }

  Result<StageSpec> read() {
    for (const auto& [key, value, line] : body_.entries)
      if (std::ranges::find(kStageKeys, std::string_view(key)) == kStageKeys.end())
        return bad(line, key, "is unknown; allowed: " + listed(kStageKeys));
    TRY(read_cmd());
    TRY(read_wdir());
    TRY(read_deps());
    TRY(read_params());
    TRY(read_outs("outs", stage_.outs));
    TRY(read_outs("plots", stage_.outs));
    TRY(read_outs("metrics", stage_.metrics));
    TRY(read_flag("frozen", stage_.frozen));
    TRY(read_flag("always_changed", stage_.always));
    TRY(read_limits());
    TRY(read_env());
    if (const Node* desc = body_.find("desc")) stage_.desc = plain_text(*desc);
    return std::move(stage_);
  }

 private:
  std::unexpected<base::Error> bad(int line, std::string_view key, std::string_view message) const {
    return dvc_error(input_.file, line, where_ + "." + std::string(key), message);
  }

  Result<std::string> text(const Node& node, std::string_view key) const {
    if (!node.is_scalar()) return bad(node.line, key, "found " + node.describe() + "; allowed: text");
    return plain_text(node);
  }

  // The items of a list; a single one may stand without it.
  Result<std::vector<const Node*>> list(std::string_view key) const {
    std::vector<const Node*> out;
    const Node* node = body_.find(key);
    if (!node || node->is_null()) return out;
    if (!node->is_sequence()) return bad(node->line, key, "found " + node->describe() + "; allowed: a list");
    for (const Node& item : node->items) out.push_back(&item);
    return out;
  }

  Result<void> read_cmd() {
    const Node* cmd = body_.find("cmd");
    if (!cmd || cmd->is_null()) return bad(body_.line, "cmd", "is missing; a stage needs a command");
    if (!cmd->is_sequence()) {
      TRY_SET(stage_.cmd, text(*cmd, "cmd"));
      return stage_.cmd.empty() ? Result<void>(bad(cmd->line, "cmd", "is empty")) : Result<void>();
    }
    // Each in a shell of its own, and the first that fails ends the stage. The line break guards against a comment.
    for (const Node& item : cmd->items) {
      TRY_SET(std::string one, text(item, "cmd"));
      stage_.cmd += (stage_.cmd.empty() ? "(" : " &&\n(") + one + "\n)";
      stage_.cmd_list.push_back(std::move(one));
    }
    return stage_.cmd.empty() ? Result<void>(bad(cmd->line, "cmd", "is an empty list")) : Result<void>();
  }

  Result<void> read_wdir() {
    const Node* wdir = body_.find("wdir");
    if (!wdir) return {};
    TRY_SET(const std::string found, text(*wdir, "wdir"));
    if (found == "." || found == "./") return {};
    const auto path = project_path("", found);
    if (!path) return bad(wdir->line, "wdir", "found '" + found + "'; allowed: a folder inside the project");
    stage_.wdir = *path;
    return {};
  }

  Result<void> read_deps() {
    TRY_SET(const auto deps, list("deps"));
    for (const Node* dep : deps) {
      TRY_SET(const std::string found, text(*dep, "deps"));
      const std::string_view data = std::string_view(found).substr(0, found.find(':'));
      if (input_.data_sets.contains(std::string(data))) {
        if (found != data && found.substr(data.size()) != ":raw")
          return bad(dep->line, "deps",
                     "found '" + found + "'; allowed: '" + std::string(data) + "' or '" + std::string(data) + ":raw'");
        stage_.data_deps.push_back({.name = std::string(data), .parts = {"train", "valid"}, .raw = found != data});
        continue;
      }
      const auto path = project_path(stage_.wdir, found);
      if (!path)
        return bad(dep->line, "deps",
                   "found '" + found + "'; allowed: a path inside the project" +
                       (input_.data_sets.empty() ? "" : " or a data set (" + data_names() + ")"));
      stage_.file_deps.push_back(*path);
    }
    return {};
  }

  std::string data_names() const {
    std::string out;
    for (const std::string& name : input_.data_sets) out += (out.empty() ? "" : ", ") + name;
    return out;
  }

  Result<void> read_outs(std::string_view key, std::vector<std::string>& into) {
    TRY_SET(const auto outs, list(key));
    for (const Node* out : outs) {
      std::string found;
      bool cached = true;
      if (out->is_map() && out->entries.size() == 1) {
        found = out->entries[0].key;
        const Node& flags = out->entries[0].value;
        TRY(check_out_flags(key, flags));
        if (const Node* cache = flags.find("cache")) cached = cache->as_bool().value_or(true);
      } else {
        TRY_SET(found, text(*out, key));
      }
      const auto path = project_path(stage_.wdir, found);
      if (!path) return bad(out->line, key, "found '" + found + "'; allowed: a path inside the project");
      if (!cached) stage_.uncached.push_back(*path);
      into.push_back(*path);
    }
    return {};
  }

  Result<void> check_out_flags(std::string_view key, const Node& flags) const {
    if (flags.is_null()) return {};
    if (!flags.is_map())
      return bad(flags.line, key, "found " + flags.describe() + "; allowed: flags such as cache: false");
    for (const auto& [flag, value, line] : flags.entries) {
      if (flag != "header" && std::ranges::find(kOutFlags, std::string_view(flag)) == kOutFlags.end())
        return bad(line, key, "flag '" + flag + "' is unknown; allowed: " + listed(kOutFlags) + ", header");
      if (flag == "persist" && value.as_bool() == true)
        return bad(
            line, key,
            "persist: true is not offered: every run begins in a clean workspace; make the earlier file a dep instead");
    }
    return {};
  }

  // Items: "key" (of params.yaml), "file.yaml" with all its keys, or {file.yaml: [keys]}.
  Result<void> read_params() {
    TRY_SET(const auto params, list("params"));
    for (const Node* item : params) {
      if (item->is_map()) {
        for (const auto& [file, keys, line] : item->entries) TRY(read_params_of(file, keys, line));
        continue;
      }
      TRY_SET(const std::string name, text(*item, "params"));
      const bool file =
          input_.files.contains(name) || name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json");
      TRY(file ? read_params_of(name, Node{}, item->line) : add_param("params.yaml", name, item->line));
    }
    return {};
  }

  Result<void> read_params_of(const std::string& file, const Node& keys, int line) {
    if (keys.is_sequence() && !keys.items.empty()) {
      for (const Node& key : keys.items) {
        TRY_SET(const std::string name, text(key, "params"));
        TRY(add_param(file, name, key.line));
      }
      return {};
    }
    if (!keys.is_null() && !keys.is_sequence())
      return bad(line, "params",
                 "found " + keys.describe() + " for '" + file + "'; allowed: a list of keys, or nothing for all");
    TRY_SET(const Node root, params_file(file, line));
    for (const Entry& entry : root.entries) TRY(add_param(file, entry.key, line));
    return {};
  }

  Result<Node> params_file(const std::string& file, int line) const {
    const auto path = project_path(stage_.wdir, file);
    const auto text_of = input_.files.find(path.value_or(file));
    if (text_of == input_.files.end())
      return bad(
          line, "params",
          "file '" + file + "' is not there" +
              (file.ends_with(".toml") || file.ends_with(".py") ? "; parameters are read from YAML and JSON files"
                                                                : ""));
    return base::yaml::parse(text_of->second, text_of->first, {.refuse_yaml11_booleans = false});
  }

  Result<void> add_param(const std::string& file, const std::string& key, int line) {
    TRY_SET(const Node root, params_file(file, line));
    const Node* value = find_path(root, key);
    if (!value) return bad(line, "params", "'" + key + "' is not in '" + file + "'");
    stage_.params[file == "params.yaml" ? key : file + ":" + key] = value_text(*value);
    return {};
  }

  Result<void> read_flag(std::string_view key, bool& into) const {
    const Node* node = body_.find(key);
    if (!node || node->is_null()) return {};
    const auto flag = node->as_bool();
    if (!flag) return bad(node->line, key, "found " + node->describe() + "; allowed: true, false");
    into = *flag;
    return {};
  }

  Result<void> read_limits() {
    TRY_SET(const auto retries, whole("retries", 0, kMaxRetries));
    stage_.retries = static_cast<int>(retries.value_or(0));
    TRY_SET(const auto cpus, whole("cpus", 1, 4096));
    stage_.resources.cpus = cpus.value_or(1);
    TRY_SET(const auto timeout, amount("timeout", kDurations, "a duration such as 90s, 30m, 2h"));
    stage_.timeout_us = timeout.value_or(0);
    TRY_SET(const auto delay, amount("retry_delay", kDurations, "a duration such as 10s, 1m"));
    stage_.retry_delay_us = delay.value_or(stage_.retry_delay_us);
    TRY_SET(const auto memory, amount("memory", kSizes, "a size such as 512MiB, 4GiB"));
    stage_.resources.memory_bytes = memory.value_or(0);
    return {};
  }

  Result<std::optional<int64_t>> whole(std::string_view key, int64_t low, int64_t high) const {
    const Node* node = body_.find(key);
    if (!node) return std::nullopt;
    const auto value = node->as_int();
    if (!value || *value < low || *value > high)
      return bad(node->line, key,
                 "found " + node->describe() + "; allowed: a whole number from " + std::to_string(low) + " to " +
                     std::to_string(high));
    return value;
  }

  Result<std::optional<int64_t>> amount(std::string_view key, std::span<const Unit> units,
                                        std::string_view allowed) const {
    const Node* node = body_.find(key);
    if (!node) return std::nullopt;
    const auto value = node->is_scalar() ? quantity(node->scalar, units) : std::nullopt;
    if (!value) return bad(node->line, key, "found " + node->describe() + "; allowed: " + std::string(allowed));
    return value;
  }

  Result<void> read_env() {
    for (const auto& [name, value] : variant_.values) {
      std::string variable = "LATHE_PARAM_";
      for (const unsigned char c : name) variable.push_back(std::isalnum(c) ? static_cast<char>(std::toupper(c)) : '_');
      stage_.env[variable] = value;
    }
    const Node* env = body_.find("env");
    if (!env || env->is_null()) return {};
    if (!env->is_map())
      return bad(env->line, "env", "found " + env->describe() + "; allowed: a map from names to values");
    for (const auto& [key, value, line] : env->entries) {
      const bool good = !key.empty() && !std::isdigit(static_cast<unsigned char>(key[0])) &&
                        std::ranges::all_of(key, [](unsigned char c) { return std::isalnum(c) || c == '_'; });
      if (!good) return bad(line, "env", "'" + key + "' is not a variable's name; allowed: letters, digits and '_'");
      TRY_SET(stage_.env[key], text(value, "env." + key));
    }
    return {};
  }

  const DvcInput& input_;
  const Variant& variant_;
  std::string where_;
  const Node& body_;
  StageSpec stage_;
};

class PipelineReader {
 public:
  PipelineReader(const Node& root, const DvcInput& input) : root_(root), input_(input), scope_(input.file) {}

  Result<PipelineSpec> read() {
    TRY(read_scope());
    const Node* stages = root_.find("stages");
    if (!stages || !stages->is_map() || stages->entries.empty())
      return dvc_error(
          input_.file, stages ? stages->line : root_.line, "stages",
          "found " + (stages ? stages->describe() : std::string("nothing")) + "; allowed: a map from names to stages");
    for (const auto& [name, definition, line] : stages->entries) TRY(read_definition(name, definition, line));
    connect();
    return std::move(spec_);
  }

 private:
  // params.yaml, then vars: files, or maps of values.
  Result<void> read_scope() {
    if (const auto params = input_.files.find("params.yaml"); params != input_.files.end()) {
      TRY_SET(const Node values, base::yaml::parse(params->second, "params.yaml", {.refuse_yaml11_booleans = false}));
      if (values.is_map()) scope_.add(values);
    }
    if (const Node* vars = root_.find("vars")) TRY(add_vars(*vars, scope_, "vars"));
    return {};
  }

  Result<void> add_vars(const Node& vars, Scope& scope, const std::string& where) const {
    if (!vars.is_sequence())
      return dvc_error(input_.file, vars.line, where,
                       "found " + vars.describe() + "; allowed: a list of files and maps");
    for (const Node& item : vars.items) {
      if (item.is_map()) {
        TRY_SET(const Node values, scope.resolve(item, where));
        scope.add(values);
      } else if (item.is_scalar()) {
        TRY(add_vars_file(item, scope, where));
      } else {
        return dvc_error(input_.file, item.line, where,
                         "found " + item.describe() + "; allowed: a file's name or a map");
      }
    }
    return {};
  }

  // "file.yaml" or "file.yaml:key1,key2"
  Result<void> add_vars_file(const Node& item, Scope& scope, const std::string& where) const {
    const std::string& text = item.scalar;
    const size_t colon = text.find(':');
    const auto file = input_.files.find(text.substr(0, colon));
    if (file == input_.files.end())
      return dvc_error(input_.file, item.line, where, "file '" + text.substr(0, colon) + "' is not there");
    TRY_SET(const Node values, base::yaml::parse(file->second, file->first, {.refuse_yaml11_booleans = false}));
    if (colon == std::string::npos) {
      scope.add(values);
      return {};
    }
    for (size_t at = colon + 1; at <= text.size();) {
      const size_t comma = std::min(text.find(',', at), text.size());
      const std::string key = text.substr(at, comma - at);
      const Node* value = values.find(key);
      if (!value) return dvc_error(input_.file, item.line, where, "'" + key + "' is not in '" + file->first + "'");
      scope.set(key, *value);
      at = comma + 1;
    }
    return {};
  }

  Result<void> read_definition(const std::string& name, const Node& definition, int line) {
    const bool good = !name.empty() && std::ranges::all_of(name, [](unsigned char c) {
      return std::isalnum(c) || c == '_' || c == '-' || c == '.';
    });
    if (!good)
      return dvc_error(input_.file, line, "stages." + name, "a stage's name has letters, digits, '_', '-' and '.'");
    if (!definition.is_map())
      return dvc_error(input_.file, line, "stages." + name,
                       "found " + definition.describe() + "; allowed: a map with cmd, deps, outs, ...");
    Scope scope = scope_;
    if (const Node* vars = definition.find("vars")) TRY(add_vars(*vars, scope, "stages." + name + ".vars"));
    TRY_SET(const std::vector<Variant> variants, expand(name, definition, scope));
    for (const Variant& variant : variants) {
      if (spec_.stages.size() == kMaxStages)
        return dvc_error(input_.file, line, "stages", "expand to more than " + std::to_string(kMaxStages) + " stages");
      TRY_SET(const Node body, variant.scope.resolve(variant.body, "stages." + name));
      TRY_SET(StageSpec stage, StageReader(input_, variant, name, body).read());
      TRY(claim_outs(stage, line));
      spec_.stages.push_back(std::move(stage));
    }
    return {};
  }

  // Two stages may not make the same file, nor one make a folder in which the other's out lies.
  Result<void> claim_outs(const StageSpec& stage, int line) {
    for (const auto* outs : {&stage.outs, &stage.metrics})
      for (const std::string& out : *outs) {
        for (const auto& [other, maker] : makers_)
          if (maker != stage.name && (is_within(out, other) || is_within(other, out)))
            return dvc_error(input_.file, line, "stages." + stage.name,
                             "its out '" + out + "' and '" + other + "' of stage '" + maker +
                                 "' are in each other's way; each stage needs outs of its own" +
                                 (stage.group == group_of(maker) ? ", for example with ${item} in the path" : ""));
        makers_.emplace_back(out, stage.name);
      }
    return {};
  }

  static std::string group_of(const std::string& name) { return name.substr(0, name.find('@')); }

  // Edges: a dep that is, holds, or lies in an out of another stage. A frozen stage has none.
  void connect() {
    for (StageSpec& stage : spec_.stages) {
      if (stage.frozen) continue;
      for (const std::string& dep : stage.file_deps)
        for (const auto& [out, maker] : makers_)
          if (maker != stage.name && (is_within(out, dep) || is_within(dep, out)) &&
              std::ranges::find(stage.after, maker) == stage.after.end())
            stage.after.push_back(maker);
    }
  }

  const Node& root_;
  const DvcInput& input_;
  Scope scope_;
  PipelineSpec spec_;
  std::vector<std::pair<std::string, std::string>> makers_;  // out, stage
};

}  // namespace

Result<PipelineSpec> parse_stages(const Node& root, const DvcInput& input) {
  return PipelineReader(root, input).read();
}

}  // namespace flow
