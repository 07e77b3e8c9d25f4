#include "serve/test_models.h"

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/hash.h"
#include "base/process.h"

namespace serve {
namespace {

base::Path project_root() {
  base::Path folder = base::executable_path().value();
  while (folder.has_relative_path() && !std::filesystem::exists(folder / "tests/models/make_models.py"))
    folder = folder.parent_path();
  return folder;
}

base::Path make() {
  const base::Path root = project_root();
  const base::Path script = root / "tests/models/make_models.py";
  const base::Path out =
      base::executable_path()->parent_path() / ("models-" + base::md5(base::read_file(script).value()).hex());
  if (std::filesystem::exists(out)) return out;
  const base::Path made = base::make_temp_dir(out.parent_path(), "models").value();
  base::ChildSpec spec{.argv = {(root / ".venv/bin/python").string(), script.string(), made.string()},
                       .env = base::allowed_environment(),
                       .timeout_us = 100'000'000};
  auto child = base::run_child(spec);
  if (!child || !child->ok()) {
    std::fprintf(stderr, "make_models.py: %s\n",
                 child ? (child->describe() + "\n" + child->err).c_str() : child.error().message.c_str());
    std::exit(1);
  }
  std::error_code error;  // another test process may have been quicker: then its folder is as good
  std::filesystem::rename(made, out, error);
  if (error) std::filesystem::remove_all(made);
  return out;
}

}  // namespace

base::Path test_models() {
  static const base::Path made = make();
  return made;
}

}  // namespace serve
