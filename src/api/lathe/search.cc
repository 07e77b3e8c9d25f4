#include "api/lathe/search.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/lathe/page_text.h"
#include "data/data.h"
#include "flow/browse.h"
#include "loop/lineage.h"
#include "serve/endpoint.h"
#include "track/find.h"
#include "watch/watch.h"

namespace api::lathe {
namespace {

constexpr size_t kMaxText = 200;
constexpr size_t kPerKind = 8, kMostResults = 30;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return out;
}

struct Result {
  std::string kind, id, name, detail, pipeline, endpoint;
  std::pair<int, size_t> order;  // how well it fits, then as it was found
};

class Finder {
 public:
  Finder(store::Tx& tx, std::string_view text) : tx_(tx), text_(text), lower_(lower(text)) {}

  base::Result<std::vector<Result>> run() {
    for (const auto& endpoint : serve::list_endpoints(tx_)) {
      add_named({.kind = "endpoint", .id = endpoint.name, .name = endpoint.name, .detail = endpoint.environment});
    }
    for (const auto& pipeline : flow::list_pipelines(tx_))
      add_named({.kind = "pipeline", .id = pipeline, .name = pipeline});
    for (const auto& version : data::list_newest(tx_)) {
      add_named({.kind = "data_version",
                 .id = version.id,
                 .name = version.name,
                 .detail = "version " + std::to_string(version.number)});
    }
    for (const auto& spec : watch::list_monitors(tx_))
      add_named({.kind = "monitor", .id = spec.endpoint, .name = spec.endpoint});
    TRY_SET(const auto tracked, track::find(tx_, text_, kPerKind));
    for (const auto& one : tracked) add({.kind = one.kind, .id = one.id, .name = one.name, .detail = one.detail});
    TRY(add_by_id());
    TRY(tx_.status());
    // What begins with the text comes first; within that the order above.
    for (size_t i = 0; i < out_.size(); ++i) {
      const std::string name = lower(out_[i].name);
      const bool whole = name == lower_ || out_[i].id == text_;
      const bool begins = name.starts_with(lower_) || out_[i].id.starts_with(text_);
      out_[i].order = {whole ? 0 : begins ? 1 : 2, i};
    }
    std::ranges::sort(out_, {}, &Result::order);
    if (out_.size() > kMostResults) out_.resize(kMostResults);
    return std::move(out_);
  }

 private:
  void add(Result result) {
    if (seen_.emplace(result.kind, result.id).second) out_.push_back(std::move(result));
  }
  void add_named(Result result) {
    if (lower(result.name).find(lower_) == std::string::npos && !result.id.starts_with(text_)) return;
    if (++of_kind_[result.kind] <= kPerKind) add(std::move(result));
  }

  // Whole ids of any kind, as lineage knows them ("pl_…", "ev_…", "digits/3").
  base::Result<void> add_by_id() {
    const bool marked = text_.find_first_of("_/") != text_.npos;
    if (text_.size() < 3 || (!marked && text_.size() < 32)) return {};
    const auto node = loop::find_node(tx_, text_);
    if (!node) return {};  // it is no id of ours; that is an answer
    Result result{.kind = node->kind, .id = node->id, .name = node->id};
    if (node->kind == "pipeline_run") {
      if (const auto run = flow::get_run(tx_, node->id)) {
        result.name = run->pipeline + " run " + std::to_string(run->number);
        result.pipeline = run->pipeline;
      }
    } else if (node->kind == "alert") {
      if (const auto alert = watch::get_alert(tx_, node->id)) {
        result.name = alert->kind + " alert of " + alert->endpoint;
        result.endpoint = alert->endpoint;
      }
    }
    add(std::move(result));
    return {};
  }

  store::Tx& tx_;
  std::string_view text_;
  std::string lower_;
  std::vector<Result> out_;
  std::set<std::pair<std::string, std::string>> seen_;
  std::map<std::string, size_t> of_kind_;
};

base::Task<void> search(const SearchDoor& door, net::Request& request, net::Response& response) {
  const std::string text = request.query_value("q").value_or("");
  if (text.size() > kMaxText) {
    const std::string found = "'q' has " + std::to_string(text.size()) + " bytes; at most " + std::to_string(kMaxText);
    co_return fail(response, request, {base::Code::kInvalid, found});
  }
  co_await answer_read(door.store, request, response, [text](store::Tx& tx) -> base::Result<std::string> {
    std::vector<Result> results;
    if (!text.empty()) {
      TRY_SET(results, Finder(tx, text).run());
    }
    std::string out;
    base::JsonWriter w(out);
    w.begin_object().key("results").begin_array();
    for (const auto& r : results) {
      w.begin_object().field("kind", r.kind).field("id", clean_text(r.id)).field("name", clean_text(r.name));
      if (!r.detail.empty()) w.field("detail", clean_text(r.detail));
      if (!r.pipeline.empty()) w.field("pipeline", r.pipeline);
      if (!r.endpoint.empty()) w.field("endpoint", r.endpoint);
      w.end_object();
    }
    w.end_array().end_object();
    return out;
  });
}

}  // namespace

void add_search_routes(net::RouteTable& routes, const SearchDoor& door) {
  routes.add({net::Method::kGet,
              "/api/lathe/v1/search",
              net::Protocol::kLathe,
              base::Permission::kRead,
              {.body_bytes = 0},
              [door](net::Request& request, net::Response& response) { return search(door, request, response); }});
}

}  // namespace api::lathe
