#include "lab/find.h"

#include <unistd.h>

#include <filesystem>

namespace lab {
namespace {

namespace fs = std::filesystem;

bool runs(const base::Path& file) {
  std::error_code error;
  return fs::is_regular_file(file, error) && access(file.c_str(), X_OK) == 0;
}

// A Python environment's folder of packages is beside its bin; jupyterlab is there or it is not.
bool has_jupyterlab(const base::Path& python) {
  std::error_code error;
  const base::Path lib = python.parent_path().parent_path() / "lib";
  for (fs::directory_iterator at(lib, error), end; !error && at != end; at.increment(error)) {
    for (const char* packages : {"site-packages", "dist-packages"}) {
      if (fs::is_directory(at->path() / packages / "jupyterlab", error)) return true;
    }
  }
  return false;
}

bool is_python(const base::Path& program) { return program.filename().string().starts_with("python"); }

std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

}  // namespace

base::Result<base::Path> find_jupyterlab(const base::Path& root, std::string_view wanted, std::string_view path) {
  if (!wanted.empty()) {
    const base::Path program = wanted;
    if (!program.is_absolute()) return base::invalid("python is '" + program.string() + "'; it must be a whole path");
    if (!runs(program)) return base::not_found("python is '" + program.string() + "', which is no program");
    if (is_python(program) && !has_jupyterlab(program)) {
      return base::not_found("the environment of " + program.string() + " has no JupyterLab; install it there: " +
                             program.string() + " -m pip install jupyterlab");
    }
    return program;
  }
  std::string looked;
  const auto look = [&](const base::Path& file) {
    looked.append(looked.empty() ? "" : ", ").append(file.string());
    return runs(file);
  };
  for (const char* environment : {".venv", "venv"}) {
    const base::Path program = root / environment / "bin" / "jupyter-lab";
    if (look(program)) return program;
  }
  while (!path.empty()) {
    const std::string_view folder = path.substr(0, path.find(':'));
    path.remove_prefix(std::min(folder.size() + 1, path.size()));
    if (!folder.empty() && look(base::Path(folder) / "jupyter-lab")) return base::Path(folder) / "jupyter-lab";
  }
  return base::not_found("no JupyterLab was found; looked at " + looked +
                         ". Install it (pip install jupyterlab) in the project's .venv, or name a Python that has it");
}

std::string shell_command(const base::Path& program, std::span<const std::string> arguments) {
  std::string command = "exec " + shell_quoted(program.string());
  if (is_python(program)) command += " -m jupyterlab";
  for (const std::string& argument : arguments) command += " " + shell_quoted(argument);
  return command;
}

}  // namespace lab
