#include "base/yaml.h"

#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

namespace base::yaml {
namespace {

constexpr std::array<std::string_view, 22> kYaml11Booleans = {
    "y", "Y", "yes", "Yes", "YES", "n", "N", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF",
    // tilde and Null spellings are fine; these two look like booleans of other languages
    "TRUE", "FALSE", "True", "False", "t", "f"};

// Thrown inside the handler (the parser offers no other way out), caught in parse().
struct Refused {
  int line;
  std::string message;
};

size_t count_nodes(const Node& node) {
  size_t n = 1;
  for (const auto& item : node.items) n += count_nodes(item);
  for (const auto& entry : node.entries) n += count_nodes(entry.value);
  return n;
}

// Builds the tree from yaml-cpp's events: only they carry source positions for every node.
class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(const Limits& limits) : limits_(limits) {}

  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { add(at(mark, Kind::kNull), anchor); }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw Refused{mark.line + 1, "an alias names an anchor that is not complete here"};
    nodes_ += count_nodes(found->second);
    check_nodes(mark.line + 1);
    place(found->second, mark.line + 1);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node = at(mark, Kind::kScalar);
    node.scalar = value;
    node.quoted = tag == "!";  // yaml-cpp tags every quoted or block scalar so; plain ones "?"
    if (tag != "!" && tag != "?" && !tag.empty()) throw Refused{node.line, "the tag '" + tag + "' is not allowed"};
    if (!node.quoted && (value == "~" || value == "null" || value == "Null" || value == "NULL"))
      node.kind = Kind::kNull;
    add(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    push(at(mark, Kind::kSequence), anchor);
  }
  void OnSequenceEnd() override { pop(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    push(at(mark, Kind::kMap), anchor);
  }
  void OnMapEnd() override { pop(); }

 private:
  struct Open {
    Node node;
    YAML::anchor_t anchor;
    bool have_key = false;
    std::string key;
    int key_line = 0;
    std::set<std::string> keys;
  };

  static Node at(const YAML::Mark& mark, Kind kind) {
    Node node;
    node.kind = kind;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    return node;
  }

  void check_nodes(int line) {
    if (nodes_ > limits_.nodes)
      throw Refused{line, "more than " + std::to_string(limits_.nodes) + " values (aliases count each time)"};
  }

  void push(Node node, YAML::anchor_t anchor) {
    if (open_.size() >= limits_.depth)
      throw Refused{node.line, "nested deeper than " + std::to_string(limits_.depth) + " levels"};
    open_.push_back(Open{std::move(node), anchor});
  }

  void pop() {
    Open done = std::move(open_.back());
    open_.pop_back();
    add(std::move(done.node), done.anchor);
  }

  void add(Node node, YAML::anchor_t anchor) {
    ++nodes_;
    check_nodes(node.line);
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
    const int line = node.line;
    place(std::move(node), line);
  }

  // `line` is where the value is written (for an alias: where the alias stands).
  void place(Node node, int line) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == Kind::kSequence) {
      refuse_boolean(node, line);
      parent.node.items.push_back(std::move(node));
    } else if (!parent.have_key) {
      if (node.kind != Kind::kScalar) throw Refused{line, "a key must be plain text, found " + node.describe()};
      if (node.scalar == "<<" && !node.quoted)
        throw Refused{line, "merge keys (<<) are not part of YAML 1.2; write the entries out"};
      if (!parent.keys.insert(node.scalar).second)
        throw Refused{line, "the key '" + node.scalar + "' appears twice in one mapping"};
      parent.key = node.scalar;
      parent.key_line = line;
      parent.have_key = true;
    } else {
      refuse_boolean(node, line);
      parent.have_key = false;
      parent.node.entries.push_back(Entry{std::move(parent.key), std::move(node), parent.key_line});
    }
  }

  void refuse_boolean(const Node& node, int line) const {
    if (!limits_.refuse_yaml11_booleans || node.kind != Kind::kScalar || node.quoted) return;
    for (std::string_view word : kYaml11Booleans) {
      if (node.scalar == word) {
        throw Refused{line, "the unquoted word '" + node.scalar +
                                "' is a boolean for some tools and text for others; write true or false, or quote it"};
      }
    }
  }

  const Limits& limits_;
  Node root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, Node> anchors_;
  size_t nodes_ = 0;
};

}  // namespace

const Node* Node::find(std::string_view key) const {
  for (const auto& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

std::optional<bool> Node::as_bool() const {
  if (kind != Kind::kScalar || quoted) return std::nullopt;
  if (scalar == "true") return true;
  if (scalar == "false") return false;
  return std::nullopt;
}

std::optional<int64_t> Node::as_int() const {
  if (kind != Kind::kScalar || quoted || scalar.empty()) return std::nullopt;
  std::string_view text = scalar;
  if (text.front() == '+') text.remove_prefix(1);
  int base = 10;
  if (text.starts_with("0x"))
    text.remove_prefix(2), base = 16;
  else if (text.starts_with("0o"))
    text.remove_prefix(2), base = 8;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> Node::as_double() const {
  if (auto whole = as_int()) return double(*whole);
  if (kind != Kind::kScalar || quoted || scalar.empty()) return std::nullopt;
  if (scalar == ".nan" || scalar == ".NaN" || scalar == ".NAN") return NAN;
  if (scalar == ".inf" || scalar == "+.inf" || scalar == ".Inf") return INFINITY;
  if (scalar == "-.inf" || scalar == "-.Inf") return -INFINITY;
  std::string_view text = scalar;
  if (text.front() == '+') text.remove_prefix(1);
  if (text.empty() || std::string_view("0123456789.-").find(text.front()) == std::string_view::npos)
    return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string Node::describe() const {
  switch (kind) {
    case Kind::kNull: return "nothing";
    case Kind::kSequence: return "a list";
    case Kind::kMap: return "a mapping";
    case Kind::kScalar: break;
  }
  if (as_bool()) return scalar;
  if (as_double()) return "the number " + scalar;
  return "the text '" + (scalar.size() > 60 ? scalar.substr(0, 60) + "…" : scalar) + "'";
}

Result<Node> parse(std::string_view text, std::string_view name, const Limits& limits) {
  const std::string file(name);
  if (text.size() > limits.bytes) {
    return fail(Code::kTooLarge, file + ": has " + std::to_string(text.size()) + " bytes, at most " +
                                     std::to_string(limits.bytes) + " are allowed");
  }
  if (text.find('\0') != std::string_view::npos) return invalid(file + ": holds a NUL byte; it must be UTF-8 text");
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Builder builder(limits);
    if (!parser.HandleNextDocument(builder)) return Node{};
    Node root = builder.take();
    Builder rest(limits);
    if (parser.HandleNextDocument(rest)) return invalid(file + ": holds more than one document");
    return root;
  } catch (const Refused& refused) {
    return invalid(file + ":" + std::to_string(refused.line) + ": " + refused.message);
  } catch (const YAML::Exception& e) {
    return invalid(file + ":" + std::to_string(e.mark.line + 1) + ": " + e.msg);
  } catch (const std::exception& e) {
    return invalid(file + ": " + e.what());
  }
}

}  // namespace base::yaml
