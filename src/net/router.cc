#include "net/router.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <unordered_map>

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
    case Protocol::kGrpc: return "grpc";
    case Protocol::kKserveV1: return "kserve-v1";
    case Protocol::kMlflowScoring: return "mlflow-scoring";
    case Protocol::kSeldon: return "seldon";
    case Protocol::kBento: return "bento";
    case Protocol::kHub: return "hub";
    case Protocol::kPage: return "page";
    case Protocol::kOps: return "ops";
    case Protocol::kMetrics: return "metrics";
    case Protocol::kPlane: return "plane";
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
    case base::Permission::kPlane: return "plane";
  }
  return "admin";
}

std::string_view Route::asks() const {
  switch (scope) {
    case Scope::kSelf: return "self";
    case Scope::kServer: return "server";
    case Scope::kProject: break;
  }
  return name(permission);
}

namespace {

struct Group {
  std::string_view name;
  ProtocolSet protocols;
};

constexpr Group kGroups[] = {
    {"all", ProtocolSet::all()},
    // MLflow's scoring has /version, as its tracking does.
    {"inference",
     {Protocol::kInference, Protocol::kGrpc, Protocol::kKserveV1, Protocol::kMlflowScoring, Protocol::kSeldon,
      Protocol::kBento, Protocol::kMlflowText}},
    {"tracking", {Protocol::kMlflow, Protocol::kMlflowText}},
    {"api", {Protocol::kLathe}},
    {"ui", {Protocol::kPage, Protocol::kLathe, Protocol::kHub}},  // the pages, what they ask, and notebooks
    {"airflow", {Protocol::kAirflow}},
    {"metrics", {Protocol::kMetrics}},
    {"plane", {Protocol::kPlane}},
};

}  // namespace

base::Result<ProtocolSet> parse_group(std::string_view text) {
  ProtocolSet out{Protocol::kOps};
  for (;;) {
    const size_t plus = std::min(text.find('+'), text.size());
    const std::string_view word = text.substr(0, plus);
    const auto* group = std::ranges::find(kGroups, word, &Group::name);
    if (group == std::end(kGroups)) {
      std::string names;
      for (const Group& g : kGroups) names.append(names.empty() ? "" : ", ").append(g.name);
      return base::invalid("'" + std::string(word.substr(0, 40)) + "' is no group of protocols; allowed: " + names +
                           ", or several joined by '+'");
    }
    out = out | group->protocols;
    if (plus == text.size()) return out;
    text.remove_prefix(plus + 1);
  }
}

namespace {

constexpr size_t kMethods = 7;
constexpr size_t kMaxCaptures = 8;   // of one pattern
constexpr size_t kMaxSegments = 64;  // deeper paths match no route but one that ends in {rest...}
constexpr int32_t kNone = -1;

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

struct Node {
  std::unordered_map<std::string, std::unique_ptr<Node>, TextHash, std::equal_to<>> literals;
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

struct Captures {
  std::array<std::string_view, kMaxCaptures> values;
  size_t size = 0;
  void push(std::string_view value) { values[size++] = value; }
  void pop() { --size; }
};

// The first node, literals before captures, that serves `method` (or any method, when `method` is null).
const Node* walk(const Node& node, std::string_view path, bool at_end, size_t depth, const Method* method,
                 Captures& captured) {
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
      captured.push(value);
      const Node* found = walk(child, rest, last, depth + 1, method, captured);
      if (found == nullptr) captured.pop();
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
    captured.push(path);
    return node.rest.get();
  }
  return nullptr;
}

}  // namespace

struct RouteTable::Impl {
  std::vector<Route> routes;
  std::vector<std::vector<std::string>> names;  // captures of each route, in order
  Node root;
  std::array<int32_t, kMethods> fallbacks{kNone, kNone, kNone, kNone, kNone, kNone, kNone};
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
    ASSERT_ALWAYS(names.size() <= kMaxCaptures);
    if (!*child) *child = std::make_unique<Node>();
    node = child->get();
  }
  int32_t& slot = node->routes[static_cast<size_t>(route.method)];
  ASSERT_ALWAYS(slot == kNone);
  slot = static_cast<int32_t>(impl_->routes.size());
  impl_->routes.push_back(std::move(route));
  impl_->names.push_back(std::move(names));
}

void RouteTable::add_fallback(Route route) {
  const std::vector<Segment> pattern = parse_pattern(route.pattern);
  ASSERT_ALWAYS(pattern.size() == 1 && !pattern.front().name.empty() && pattern.front().literal.empty());
  int32_t& slot = impl_->fallbacks[static_cast<size_t>(route.method)];
  ASSERT_ALWAYS(slot == kNone);
  slot = static_cast<int32_t>(impl_->routes.size());
  impl_->routes.push_back(std::move(route));
  impl_->names.push_back({pattern.front().name});
}

RouteTable RouteTable::only(ProtocolSet protocols) const {
  RouteTable out;
  for (size_t i = 0; i < impl_->routes.size(); ++i) {
    const Route& route = impl_->routes[i];
    if (!protocols.contains(route.protocol)) continue;
    if (static_cast<int32_t>(i) == impl_->fallbacks[static_cast<size_t>(route.method)]) {
      out.add_fallback(route);
    } else {
      out.add(route);
    }
  }
  return out;
}

RouteTable::Match RouteTable::find(Method method, std::string_view decoded_path) const {
  Match match;
  if (decoded_path.empty() || decoded_path.front() != '/') return match;
  const std::string_view whole = decoded_path;
  decoded_path.remove_prefix(1);
  Captures captured;
  const Node* node = walk(impl_->root, decoded_path, false, 0, &method, captured);
  if (node == nullptr && method == Method::kHead) {  // HEAD is GET without the body
    method = Method::kGet;
    node = walk(impl_->root, decoded_path, false, 0, &method, captured);
  }
  if (node == nullptr) {
    match.path_known = walk(impl_->root, decoded_path, false, 0, nullptr, captured) != nullptr;
    const int32_t fallback = impl_->fallbacks[static_cast<size_t>(method)];
    if (match.path_known || fallback == kNone || protocol_of(whole) != Protocol::kPage) return match;
    const auto index = static_cast<size_t>(fallback);
    const bool any_depth = impl_->routes[index].pattern.ends_with("...}");
    if (!any_depth && (decoded_path.empty() || decoded_path.find('/') != decoded_path.npos)) return match;
    match.route = &impl_->routes[index];
    match.path_known = true;
    match.params.emplace_back(impl_->names[index].front(), decoded_path);
    return match;
  }
  const auto index = static_cast<size_t>(node->routes[static_cast<size_t>(method)]);
  match.route = &impl_->routes[index];
  match.path_known = true;
  const auto& names = impl_->names[index];
  match.params.reserve(captured.size);
  for (size_t i = 0; i < captured.size; ++i) match.params.emplace_back(names[i], captured.values[i]);
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
    {"/api/lathe/v1/plane", Protocol::kPlane},
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
    {"/inference.", Protocol::kGrpc, false},
    {"/grpc.", Protocol::kGrpc, false},
    {"/tensorflow.serving.", Protocol::kGrpc, false},
    {"/v1/models", Protocol::kKserveV1},
    {"/api/v1.0", Protocol::kSeldon},
    {"/api/v0.1", Protocol::kSeldon},
    {"/seldon", Protocol::kSeldon},
    {"/endpoints", Protocol::kMlflowScoring},
    {"/api/2.0/endpoints", Protocol::kMlflowScoring},
    {"/invocations", Protocol::kMlflowScoring},
    {"/ping", Protocol::kMlflowScoring},
    {"/schema.json", Protocol::kBento},
    {"/predict", Protocol::kBento},
    {"/healthz", Protocol::kOps},
    {"/hub", Protocol::kHub},
    {"/user", Protocol::kHub},
    {"/health", Protocol::kOps},
    {"/livez", Protocol::kOps},
    {"/readyz", Protocol::kOps},
    {"/metrics", Protocol::kMetrics},
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
  if (protocol == Protocol::kPage || protocol == Protocol::kOps || protocol == Protocol::kMetrics ||
      protocol == Protocol::kMlflowText) {
    return response.send(http_status(error.code), "text/plain; charset=utf-8", error.message + "\n");
  }
  response.send_json(json_error(error, request_id), http_status(error.code));
}

}  // namespace net
