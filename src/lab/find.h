// Where the JupyterLab is that a person has installed. Thread: looks at files; blocks for as long as that takes.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/fs.h"
#include "base/result.h"

namespace lab {

// `wanted`: a Python that has jupyterlab, or a jupyter-lab; "": ROOT/.venv, ROOT/venv, then the PATH. Answers what is
// to be run; kNotFound says where it looked.
base::Result<base::Path> find_jupyterlab(const base::Path& root, std::string_view wanted, std::string_view path);

// The shell command that runs it with the given arguments.
std::string shell_command(const base::Path& program, std::span<const std::string> arguments);

}  // namespace lab
