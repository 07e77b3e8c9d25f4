// Which Python runs a model, so that models with other versions of libraries live side by side: an environment that
// somebody made below one of the server's own roots and that the model or its endpoint names; else one that is built
// from the model's requirements.txt, where the server was told to build; else the server's interpreter.
//
// A model never brings its interpreter along: what it names is a name, or a path that must lie below a root. Building
// runs pip, and with it code that the requirements name, as the server's own user: it is off unless the operator turns
// it on, and happens only where the model may run code anyway. Without a network it needs PIP_FIND_LINKS and
// PIP_NO_INDEX, or an own index: pip's variables are passed on to it (and to nothing else).
//
// Thread: safe anywhere; interpreter_for() blocks while it builds, one environment at a time.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/fs.h"
#include "base/result.h"

namespace serve {

class PythonEnvironments {
 public:
  struct Options {
    std::vector<base::Path> roots;  // <root>/<name>/bin/python
    base::Path build_dir;           // built ones lie here; "": nothing is built
    base::Path interpreter;         // "": python::find_interpreter()
    int64_t build_timeout_us = 1'800'000'000;
  };
  explicit PythonEnvironments(Options options) : options_(std::move(options)) {}

  // `named` is an environment's name or path, or "". The answer is an interpreter; "": the server's own.
  base::Result<base::Path> interpreter_for(std::string_view named, const base::Path& model_folder) const;

 private:
  base::Result<base::Path> find(std::string_view named) const;
  base::Result<base::Path> built(const base::Path& requirements) const;
  base::Result<void> build(const base::Path& python, const base::Path& requirements, const base::Path& target) const;

  const Options options_;
  mutable std::mutex building_;
};

}  // namespace serve
