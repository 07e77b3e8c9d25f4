#include "serve/python_environments.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <system_error>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/process.h"
#include "serve/python_workers.h"

extern char** environ;

namespace serve {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxRequirements = size_t{1} << 20;
constexpr size_t kShownBytes = 2000;  // of pip's last words

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 128 && name.front() != '.' && std::ranges::all_of(name, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  });
}

bool can_run(const base::Path& file) { return ::access(file.c_str(), X_OK) == 0; }

bool lies_below(const base::Path& folder, const base::Path& root) {
  const auto parts = std::ranges::mismatch(root, folder);
  return parts.in1 == root.end();
}

// pip's own settings, among them where an air-gapped machine has its packages.
std::map<std::string, std::string> pip_environment() {
  auto out = base::allowed_environment();
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string_view line(*entry);
    const size_t equals = line.find('=');
    const std::string_view name = line.substr(0, equals);
    const bool proxy = name == "HTTPS_PROXY" || name == "HTTP_PROXY" || name == "NO_PROXY" || name == "https_proxy" ||
                       name == "http_proxy" || name == "no_proxy";
    if (equals != line.npos && (name.starts_with("PIP_") || proxy))
      out.emplace(std::string(name), std::string(line.substr(equals + 1)));
  }
  out["PIP_DISABLE_PIP_VERSION_CHECK"] = "1";
  out["PIP_NO_INPUT"] = "1";
  return out;
}

std::string last_words(const base::ChildResult& child) {
  const std::string& text = child.err.empty() ? child.out : child.err;
  return text.size() <= kShownBytes ? text : "…" + text.substr(text.size() - kShownBytes);
}

}  // namespace

base::Result<base::Path> PythonEnvironments::interpreter_for(std::string_view named,
                                                             const base::Path& model_folder) const {
  if (!named.empty()) return find(named);
  std::error_code error;
  const base::Path requirements = model_folder / "requirements.txt";
  if (!options_.build_dir.empty() && fs::is_regular_file(requirements, error)) return built(requirements);
  return options_.interpreter;
}

base::Result<base::Path> PythonEnvironments::find(std::string_view named) const {
  const std::string shown = "the Python environment '" + std::string(named.substr(0, 200)) + "'";
  if (options_.roots.empty())
    return base::invalid(shown + " cannot be used: this server names no folder of environments (--python-envs)");
  std::error_code error;
  if (is_plain_name(named)) {
    for (const base::Path& root : options_.roots) {
      const base::Path python = root / named / "bin" / "python";
      if (can_run(python)) return fs::absolute(python, error);
    }
    std::string looked;
    for (const base::Path& root : options_.roots) looked += (looked.empty() ? "" : ", ") + root.string();
    return base::not_found(shown + " is not there: looked for " + std::string(named) + "/bin/python in " + looked);
  }
  const base::Path path(named);
  if (!path.is_absolute() || named.find('\0') != named.npos)
    return base::invalid(shown + " is neither a name (letters, digits, '.', '_', '-') nor an absolute path");
  // An environment's interpreter is a link out of it by nature: its folder is what must lie below a root.
  const base::Path python = fs::is_directory(path, error) ? path / "bin" / "python" : path;
  const base::Path folder = fs::canonical(python.parent_path(), error);
  const bool allowed = !error && std::ranges::any_of(options_.roots, [&](const base::Path& root) {
    std::error_code unknown;
    const base::Path whole = fs::canonical(root, unknown);
    return !unknown && folder != whole && lies_below(folder, whole);
  });
  if (!allowed) return base::invalid(shown + " does not lie below one of the server's folders of environments");
  if (!can_run(python)) return base::not_found(shown + " has no interpreter that can be run");
  return folder / python.filename();
}

// One environment for equal requirements and interpreter: a folder that is there is whole.
base::Result<base::Path> PythonEnvironments::built(const base::Path& requirements) const {
  TRY_SET(const std::string text, base::read_file(requirements, kMaxRequirements));
  base::Path python = options_.interpreter;
  if (python.empty()) {
    TRY_SET(python, python::find_interpreter());
  }
  TRY_SET(const base::ChildResult asked,
          base::run_child({.argv = {python.string(), "-c", "import sys; print(sys.version, sys.base_prefix)"},
                           .env = base::allowed_environment(),
                           .timeout_us = 30'000'000}));
  if (!asked.ok()) return base::invalid(python.string() + " does not start: " + asked.describe());
  const base::Path target = options_.build_dir / base::sha256(asked.out + '\n' + text).hex().substr(0, 32);
  std::lock_guard lock(building_);
  std::error_code error;
  if (!fs::exists(target / "whole", error)) {
    TRY(base::make_dirs(options_.build_dir));
    (void)base::remove_tree(target);  // half of one: an environment cannot be moved, so it is built in its place
    const int64_t began_us = base::system_clock().mono_us();
    base::log::info("building a Python environment",
                    {{"requirements", requirements.string()}, {"folder", target.string()}});
    if (auto done = build(python, requirements, target); !done) {
      (void)base::remove_tree(target);
      return std::unexpected(std::move(done).error());
    }
    TRY(base::write_file_durably(target / "whole", ""));
    base::log::info("Python environment built",
                    {{"folder", target.string()}, {"ms", (base::system_clock().mono_us() - began_us) / 1000}});
  }
  return fs::absolute(target, error) / "bin" / "python";
}

base::Result<void> PythonEnvironments::build(const base::Path& python, const base::Path& requirements,
                                             const base::Path& target) const {
  const auto run = [&](std::vector<std::string> argv, const char* what) -> base::Result<void> {
    TRY_SET(const base::ChildResult child,
            base::run_child({.argv = std::move(argv),
                             .env = pip_environment(),
                             .cwd = requirements.parent_path(),  // paths in it are relative to it
                             .timeout_us = options_.build_timeout_us,
                             .max_output_bytes = size_t{1} << 20}));
    if (child.ok()) return {};
    return base::invalid(std::string("the model's Python environment was not built: ") + what + ": " +
                         child.describe() + "\n" + last_words(child));
  };
  const base::Path whole = fs::absolute(target);
  TRY(run({python.string(), "-m", "venv", whole.string()}, "python -m venv"));
  return run({(whole / "bin" / "python").string(), "-m", "pip", "install", "-r", "requirements.txt"},
             "pip install -r requirements.txt");
}

}  // namespace serve
