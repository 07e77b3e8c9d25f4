// `${…}` in dvc.yaml: the values in reach, and their interpolation into YAML nodes.
//
// A text that is one expression as a whole keeps the value's type; inside a longer text only scalars fit, but in cmd a
// map becomes flags (`--k v`) and a list words, as DVC writes them. `\${` stands for itself. Thread: values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/yaml.h"

namespace flow {

using base::yaml::Node;

Node text_node(std::string text, int line);

// "FILE:LINE: KEY: MESSAGE"
std::unexpected<base::Error> dvc_error(std::string_view file, int line, std::string_view key, std::string_view message);

// The value as dvc.lock and we compare it: by what it parses to, on one line.
std::string value_text(const Node& node);
// The value as it appears inside a command or a name.
std::string plain_text(const Node& node);
// "a.b[0]" below `root`; null if it is not there.
const Node* find_path(const Node& root, std::string_view path);

class Scope {
 public:
  explicit Scope(std::string file) : file_(std::move(file)) {}

  const std::string& file() const { return file_; }
  // Adds names; the later ones win. A map that is there already is merged.
  void add(const Node& map);
  void set(std::string_view name, Node value);

  // The node with every expression replaced. `where` is its key in errors; in cmd, maps and lists may stand in text.
  base::Result<Node> resolve(const Node& node, const std::string& where, bool in_cmd = false) const;

 private:
  base::Result<Node> resolve_text(const Node& node, const std::string& where, bool in_cmd) const;
  base::Result<const Node*> value_of(std::string_view expression, int line, const std::string& where) const;

  std::string file_;
  Node root_{.kind = base::yaml::Kind::kMap};
};

}  // namespace flow
