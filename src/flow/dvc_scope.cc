#include "flow/dvc_scope.h"

#include <algorithm>
#include <charconv>

#include "base/json_writer.h"
#include "flow/dvc_text.h"

namespace flow {
namespace {

using base::yaml::Entry;
using base::yaml::Kind;

void merge(Node& into, const Node& from) {
  for (const Entry& entry : from.entries) {
    const auto old = std::ranges::find(into.entries, entry.key, &Entry::key);
    if (old == into.entries.end())
      into.entries.push_back(entry);
    else if (old->value.is_map() && entry.value.is_map())
      merge(old->value, entry.value);
    else
      old->value = entry.value;
  }
}

std::string shell_word(const std::string& text) {
  const bool safe = !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) || std::string_view("_-./:=@%+,").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (safe) return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// {lr: 0.1, deep: {x: 1}, go: true, no: false, l: [1, 2]} → --lr 0.1 --deep.x 1 --go --l 1 2
void append_flags(std::string& out, const Node& map, const std::string& prefix) {
  for (const auto& [key, value, line] : map.entries) {
    const std::string flag = prefix + key;
    if (value.is_map()) {
      append_flags(out, value, flag + ".");
      continue;
    }
    if (value.as_bool() == false) continue;
    out += (out.empty() ? "--" : " --") + flag;
    if (value.as_bool() == true) continue;
    if (value.is_sequence()) {
      for (const Node& item : value.items) out += " " + shell_word(plain_text(item));
    } else {
      out += " " + shell_word(plain_text(value));
    }
  }
}

std::string command_text(const Node& node) {
  std::string out;
  if (node.is_map())
    append_flags(out, node, "");
  else if (node.is_sequence())
    for (const Node& item : node.items) out += (out.empty() ? "" : " ") + shell_word(plain_text(item));
  else
    out = plain_text(node);
  return out;
}

}  // namespace

Node text_node(std::string text, int line) {
  Node node;
  node.kind = Kind::kScalar;
  node.scalar = std::move(text);
  node.quoted = true;
  node.line = line;
  return node;
}

std::unexpected<base::Error> dvc_error(std::string_view file, int line, std::string_view key,
                                       std::string_view message) {
  return base::invalid(std::string(file) + ":" + std::to_string(line) + ": " + std::string(key) + ": " +
                       std::string(message));
}

std::string value_text(const Node& node) {
  if (node.is_null()) return "null";
  if (node.is_map()) {
    std::string out = "{";
    for (const auto& [key, value, line] : node.entries)
      out += (out.size() > 1 ? ", " : "") + yaml_scalar(key) + ": " + value_text(value);
    return out + "}";
  }
  if (node.is_sequence()) {
    std::string out = "[";
    for (const Node& item : node.items) out += (out.size() > 1 ? ", " : "") + value_text(item);
    return out + "]";
  }
  if (const auto flag = node.as_bool()) return *flag ? "true" : "false";
  if (const auto number = node.as_int()) return std::to_string(*number);
  if (const auto number = node.as_double()) {
    std::string out;
    if (*number - *number == 0)
      base::append_double(out, *number);
    else
      out = node.scalar;
    if (out.find_first_of(".eEn") == std::string::npos) out += ".0";
    return out;
  }
  std::string out = yaml_scalar(node.scalar);
  // Inside a flow collection a plain text may not hold these.
  if (!out.starts_with('\'') && !out.starts_with('"') && out.find_first_of(",[]{}") != std::string::npos)
    out = "'" + out + "'";
  return out;
}

std::string plain_text(const Node& node) {
  if (node.is_null()) return "null";
  if (!node.is_scalar()) return value_text(node);
  if (const auto flag = node.as_bool()) return *flag ? "true" : "false";
  return node.scalar;
}

const Node* find_path(const Node& root, std::string_view path) {
  const Node* at = &root;
  while (!path.empty() && at) {
    std::string_view part;
    if (path.front() == '[') {
      const size_t end = path.find(']');
      if (end == std::string_view::npos) return nullptr;
      part = path.substr(1, end - 1);
      path.remove_prefix(end + 1);
    } else {
      if (path.front() == '.') path.remove_prefix(1);
      part = path.substr(0, path.find_first_of(".["));
      path.remove_prefix(part.size());
    }
    if (part.empty()) return nullptr;
    if (at->is_map()) {
      at = at->find(part);
    } else if (at->is_sequence()) {
      size_t i = 0;
      const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), i);
      const bool number = error == std::errc() && end == part.data() + part.size();
      at = number && i < at->items.size() ? &at->items[i] : nullptr;
    } else {
      return nullptr;
    }
  }
  return at;
}

void Scope::add(const Node& map) { merge(root_, map); }

void Scope::set(std::string_view name, Node value) {
  const auto old = std::ranges::find(root_.entries, name, &Entry::key);
  const int line = value.line;
  if (old != root_.entries.end())
    old->value = std::move(value);
  else
    root_.entries.push_back({std::string(name), std::move(value), line});
}

base::Result<const Node*> Scope::value_of(std::string_view expression, int at_line, const std::string& where) const {
  while (expression.starts_with(' ')) expression.remove_prefix(1);
  while (expression.ends_with(' ')) expression.remove_suffix(1);
  if (const Node* value = expression.empty() ? nullptr : find_path(root_, expression)) return value;
  std::string known;
  for (const auto& [key, value, line] : root_.entries) known += (known.empty() ? "" : ", ") + key;
  return dvc_error(file_, at_line, where,
                   "found ${" + std::string(expression) + "}, which is not defined; known are " +
                       (known.empty() ? "no names" : known) +
                       " (from params.yaml, vars, and item in foreach and matrix)");
}

base::Result<Node> Scope::resolve(const Node& node, const std::string& where, bool in_cmd) const {
  if (node.is_scalar()) return resolve_text(node, where, in_cmd);
  Node out = node;
  for (Node& item : out.items) {
    TRY_SET(Node value, resolve(item, where, in_cmd));
    item = std::move(value);
  }
  for (auto& [key, value, line] : out.entries) {
    TRY_SET(const Node name, resolve_text(text_node(key, value.line), where, false));
    if (!name.is_scalar()) return dvc_error(file_, value.line, where, "a key must be text, found " + name.describe());
    key = name.scalar;
    TRY_SET(Node resolved, resolve(value, where + "." + key, in_cmd || key == "cmd"));
    value = std::move(resolved);
  }
  return out;
}

base::Result<Node> Scope::resolve_text(const Node& node, const std::string& where, bool in_cmd) const {
  const std::string_view text = node.scalar;
  if (text.find("${") == std::string_view::npos) return node;
  if (text.starts_with("${") && text.find('}') == text.size() - 1) {
    TRY_SET(const Node* value, value_of(text.substr(2, text.size() - 3), node.line, where));
    Node whole = *value;
    if (in_cmd && !whole.is_scalar()) whole = text_node(command_text(*value), node.line);
    whole.line = node.line;
    return whole;
  }
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (text.substr(i).starts_with("\\${")) {
      out += "${";
      i += 3;
    } else if (text.substr(i).starts_with("${")) {
      const size_t end = text.find('}', i);
      if (end == std::string_view::npos)
        return dvc_error(file_, node.line, where, "found '${' without its '}'; for a literal one write '\\${'");
      TRY_SET(const Node* value, value_of(text.substr(i + 2, end - i - 2), node.line, where));
      if (!in_cmd && !value->is_scalar())
        return dvc_error(file_, node.line, where,
                         "found " + value->describe() + " for " + std::string(text.substr(i, end - i + 1)) +
                             " inside a text; allowed there: text, numbers and booleans");
      out += in_cmd ? command_text(*value) : plain_text(*value);
      i = end + 1;
    } else {
      out += text[i++];
    }
  }
  return text_node(std::move(out), node.line);
}

}  // namespace flow
