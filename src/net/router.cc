#include "net/router.h"

#include <array>
#include <string>

#include "base/assert.h"
#include "base/json_writer.h"

namespace net {

std::string_view name(Protocol protocol) {
  switch (protocol) {
    case Protocol::kLathe: return "lathe";
    case Protocol::kMlflow: return "mlflow";
    case Protocol::kMlflowText: return "mlflow-text";
    case Protocol::kAirflow: return "airflow";
    case Protocol::kInference: return "inference";
    case Protocol::kKserveV1: return "kserve-v1";
    case Protocol::kMlflowScoring: return "mlflow-scoring";
    case Protocol::kSeldon: return "seldon";
    case Protocol::kHub: return "hub";
    case Protocol::kPage: return "page";
    case Protocol::kOps: return "ops";
  }
  return "page";
}

std::string_view name(base::Permission permission) {
  switch (permission) {
    case base::Permission::kNone: return "none";
    case base::Permission::kRead: return "read";
    case base::Permission::kWrite: return "write";
    case base::Permission::kRunCode: return "run-code";
    case base::Permission::kInfer: return "infer";
    case base::Permission::kAdmin: return "admin";
  }
  return "admin";
}

namespace {

constexpr size_t kMethods = 7;
constexpr size_t kMaxSegments = 64;  // deeper paths match no route but one that ends in {rest...}
constexpr int32_t kNone = -1;

struct Node {
  std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
  std::vector<std::pair<std::string, std::unique_ptr<Node>>> suffixes;  // {name}:predict
  std::unique_ptr<Node> capture;                                        // {name}
  std::unique_ptr<Node> rest;                                           // {name...}
  std::array<int32_t, kMethods> routes{kNone, kNone, kNone, kNone, kNone, kNone, kNone};
  bool served() const {
    for (int32_t r : routes) {
      if (r != kNone) return true;
    }
    return false;
  }
};

struct Segment {
  std::string literal;  // or the suffix after the capture
  std::string name;     // of the capture, or ""
  bool rest = false;
};

std::string_view take_segment(std::string_view& path) {
  const size_t slash = path.find('/');
  const std::string_view segment = path.substr(0, slash);
  path = slash == path.npos ? std::string_view() : path.substr(slash + 1);
  return segment;
}

std::vector<Segment> parse_pattern(std::string_view pattern) {
  ASSERT_ALWAYS(!pattern.empty() && pattern.front() == '/');
  std::vector<Segment> out;
  size_t at = 1;
  while (at <= pattern.size()) {
    const size_t slash = std::min(pattern.find('/', at), pattern.size());
    const std::string_view text = pattern.substr(at, slash - at);
    at = slash + 1;
    if (text.empty() || text.front() != '{') {
      out.push_back({.literal = std::string(text)});
      continue;
    }
    const size_t close = text.find('}');
    ASSERT_ALWAYS(close != text.npos);
    std::string_view name = text.substr(1, close - 1);
    const bool rest = name.ends_with("...");
    if (rest) name.remove_suffix(3);
    ASSERT_ALWAYS(!name.empty() && (!rest || at > pattern.size()));
    out.push_back({.literal = std::string(text.substr(close + 1)), .name = std::string(name), .rest = rest});
  }
  return out;
}

// The first node, literals before captures, that serves `method` (or any method, when `method` is null).
const Node* walk(const Node& node, std::string_view path, bool at_end, size_t depth, const Method* method,
                 std::vector<std::string_view>& captured) {
  const auto serves = [&](const Node& n) {
    return method != nullptr ? n.routes[static_cast<size_t>(*method)] != kNone : n.served();
  };
  if (at_end) return serves(node) ? &node : nullptr;
  if (depth < kMaxSegments) {
    std::string_view rest = path;
    const bool last = path.find('/') == path.npos;
    const std::string_view segment = take_segment(rest);
    if (auto it = node.literals.find(segment); it != node.literals.end()) {
      if (const Node* found = walk(*it->second, rest, last, depth + 1, method, captured)) return found;
    }
    const auto try_capture = [&](const Node& child, std::string_view value) -> const Node* {
      if (value.empty()) return nullptr;
      captured.push_back(value);
      const Node* found = walk(child, rest, last, depth + 1, method, captured);
      if (found == nullptr) captured.pop_back();
      return found;
    };
    for (const auto& [suffix, child] : node.suffixes) {
      if (!segment.ends_with(suffix)) continue;
      if (const Node* found = try_capture(*child, segment.substr(0, segment.size() - suffix.size()))) return found;
    }
    if (node.capture) {
      if (const Node* found = try_capture(*node.capture, segment)) return found;
    }
  }
  if (node.rest && !path.empty() && serves(*node.rest)) {
    captured.push_back(path);
    return node.rest.get();
  }
  return nullptr;
}

}  // namespace

struct RouteTable::Impl {
  std::vector<Route> routes;
  std::vector<std::vector<std::string>> names;  // captures of each route, in order
  Node root;
};

RouteTable::RouteTable() : impl_(std::make_unique<Impl>()) {}
RouteTable::~RouteTable() = default;
RouteTable::RouteTable(RouteTable&&) noexcept = default;

const std::vector<Route>& RouteTable::routes() const { return impl_->routes; }

void RouteTable::add(Route route) {
  Node* node = &impl_->root;
  std::vector<std::string> names;
  for (auto& segment : parse_pattern(route.pattern)) {
    std::unique_ptr<Node>* child = nullptr;
    if (segment.name.empty()) {
      child = &node->literals[segment.literal];
    } else if (segment.rest) {
      child = &node->rest;
    } else if (!segment.literal.empty()) {
      for (auto& entry : node->suffixes) {
        if (entry.first == segment.literal) child = &entry.second;
      }
      if (child == nullptr) child = &node->suffixes.emplace_back(segment.literal, nullptr).second;
    } else {
      child = &node->capture;
    }
    if (!segment.name.empty()) names.push_back(segment.name);
    if (!*child) *child = std::make_unique<Node>();
    node = child->get();
  }
  int32_t& slot = node->routes[static_cast<size_t>(route.method)];
  ASSERT_ALWAYS(slot == kNone);
  slot = static_cast<int32_t>(impl_->routes.size());
  impl_->routes.push_back(std::move(route));
  impl_->names.push_back(std::move(names));
}

RouteTable::Match RouteTable::find(Method method, std::string_view decoded_path) const {
  Match match;
  if (decoded_path.empty() || decoded_path.front() != '/') return match;
  decoded_path.remove_prefix(1);
  std::vector<std::string_view> captured;
  const Node* node = walk(impl_->root, decoded_path, false, 0, &method, captured);
  if (node == nullptr && method == Method::kHead) {  // HEAD is GET without the body
    method = Method::kGet;
    node = walk(impl_->root, decoded_path, false, 0, &method, captured);
  }
  if (node == nullptr) {
    match.path_known = walk(impl_->root, decoded_path, false, 0, nullptr, captured) != nullptr;
    return match;
  }
  const auto index = static_cast<size_t>(node->routes[static_cast<size_t>(method)]);
  match.route = &impl_->routes[index];
  match.path_known = true;
  const auto& names = impl_->names[index];
  for (size_t i = 0; i < captured.size(); ++i) match.params.emplace_back(names[i], captured[i]);
  return match;
}

namespace {

struct Prefix {
  std::string_view text;
  Protocol protocol;
  bool whole_segment = true;  // "/v2" is not a prefix of "/v20"
};

// Every prefix that a protocol of Lathe speaks, or will: nothing else may take one of these paths.
constexpr Prefix kPrefixes[] = {
    {"/api/lathe/v1", Protocol::kLathe},
    {"/api/2.0/mlflow", Protocol::kMlflow, false},  // also mlflow-artifacts
    {"/api/3.0/mlflow", Protocol::kMlflow, false},
    {"/ajax-api", Protocol::kMlflow},
    {"/graphql", Protocol::kMlflow},
    {"/get-artifact", Protocol::kMlflow},
    {"/model-versions/get-artifact", Protocol::kMlflow},
    {"/v1/traces", Protocol::kMlflow},
    {"/version", Protocol::kMlflowText},
    {"/api/v2", Protocol::kAirflow},
    {"/ui", Protocol::kAirflow},
    {"/execution", Protocol::kAirflow},
    {"/auth", Protocol::kAirflow},
    {"/v2", Protocol::kInference},
    {"/inference.", Protocol::kInference, false},
    {"/v1/models", Protocol::kKserveV1},
    {"/api/v1.0", Protocol::kSeldon},
    {"/api/v0.1", Protocol::kSeldon},
    {"/endpoints", Protocol::kMlflowScoring},
    {"/invocations", Protocol::kMlflowScoring},
    {"/ping", Protocol::kMlflowScoring},
    {"/schema.json", Protocol::kMlflowScoring},
    {"/hub", Protocol::kHub},
    {"/user", Protocol::kHub},
    {"/health", Protocol::kOps},
    {"/metrics", Protocol::kOps},
    {"/", Protocol::kPage, false},  // "/", /p/*, /admin, and whatever nobody else claims
};

std::string json_error(const base::Error& error, std::string_view request_id) {
  std::string body;
  base::JsonWriter json(body);
  json.begin_object().key("error").begin_object();
  json.field("code", name(error.code)).field("message", error.message).field("request_id", request_id);
  json.end_object().end_object();
  return body;
}

}  // namespace

Protocol protocol_of(std::string_view path) {
  const Prefix* best = nullptr;
  for (const auto& prefix : kPrefixes) {
    if (!path.starts_with(prefix.text)) continue;
    if (prefix.whole_segment && path.size() > prefix.text.size() && path[prefix.text.size()] != '/') continue;
    if (best == nullptr || prefix.text.size() > best->text.size()) best = &prefix;
  }
  return best != nullptr ? best->protocol : Protocol::kPage;
}

void ErrorWriters::set(Protocol protocol, ErrorWriter writer) { writers_[protocol] = std::move(writer); }

void ErrorWriters::write(Protocol protocol, Response& response, const base::Error& error,
                         std::string_view request_id) const {
  if (auto it = writers_.find(protocol); it != writers_.end()) return it->second(response, error, request_id);
  if (protocol == Protocol::kPage || protocol == Protocol::kOps || protocol == Protocol::kMlflowText) {
    return response.send(http_status(error.code), "text/plain; charset=utf-8", error.message + "\n");
  }
  response.send_json(json_error(error, request_id), http_status(error.code));
}

}  // namespace net
