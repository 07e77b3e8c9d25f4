#include "serve/graph_model.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/hash.h"
#include "serve/bound_condition.h"
#include "serve/graph_rows.h"

namespace serve {
namespace {

// What a node's steps are given as $request: the graph's own inputs, or an answer before.
struct Schema {
  std::vector<TensorInfo> tensors;
  std::vector<Feature> features;  // empty: their number is open
  bool named = false;
};

// Rows of a request, or a part of them.
struct Slice {
  std::span<const Tensor> tensors;
  std::vector<Tensor> own;  // what `tensors` shows, where it is a part
  const Schema* schema = nullptr;
  size_t rows = 0;
  mutable std::optional<RawRows> raw;

  const RawRows& features() const {
    if (!raw) flatten(schema->tensors, tensors, raw.emplace());
    return *raw;
  }
};

base::Result<Slice> part_of(const Slice& whole, const Places& places) {
  Slice out{.schema = whole.schema, .rows = places.size()};
  TRY_SET(out.own, pick(whole.tensors, whole.rows, places));
  out.tensors = out.own;
  return out;
}

// One request's way through the graph.
struct Walk {
  const Call& call;
  std::vector<std::string> headers;      // values, by the graph's number of them
  std::vector<const LiveEndpoint*> ran;  // of each leaf: who answered; null: it was not asked
  std::map<std::string, int64_t, std::less<>> splits;
};

RowsView view(const BoundCondition& condition, const Slice& slice, const GraphAnswer* before, const Walk& walk) {
  return {.raw = condition.reads_columns() ? &slice.features() : nullptr, .before = before, .headers = walk.headers};
}

// --- leaves: a model that is asked -----------------------------------------------------------------------------------

// How a model's inputs come out of a node's request (or the answer before, which then is the request).
class Feed {
 public:
  base::Result<void> plan(const Schema& from, const Predictor& to, bool aligned) {
    const auto alike = [](const TensorInfo& a, const TensorInfo& b) {
      return a.type == b.type && a.shape.size() == b.shape.size() &&
             std::equal(a.shape.begin(), a.shape.end(), b.shape.begin(),
                        [](int64_t x, int64_t y) { return x == y || x < 0 || y < 0; });
    };
    // Two matrices of the same name may hold the same columns in another order.
    const bool in_order = aligned || to.inputs().size() > 1 || !from.named || !to.features_named() ||
                          std::ranges::equal(from.features, to.features(), {}, &Feature::name, &Feature::name);
    // All inputs are there under their own names: they are handed over as they are.
    for (const TensorInfo& info : to.inputs()) {
      if (!in_order) break;
      const auto found = std::ranges::find(from.tensors, info.name, &TensorInfo::name);
      if (found == from.tensors.end() || !alike(*found, info)) break;
      names_.emplace_back(info.name, info.name);
    }
    if (names_.size() == to.inputs().size()) return {};
    names_.clear();
    if (in_order && from.tensors.size() == 1 && to.inputs().size() == 1 && alike(from.tensors[0], to.inputs()[0])) {
      names_.emplace_back(from.tensors[0].name, to.inputs()[0].name);
      return {};
    }
    return plan_columns(from, to, aligned);
  }

  base::Result<std::vector<Tensor>> tensors(const Slice& slice, const Predictor& to) const {
    if (!names_.empty()) {
      std::vector<Tensor> out;
      for (const auto& [ours, theirs] : names_) {
        const auto found = std::ranges::find(slice.tensors, ours, &Tensor::name);
        if (found == slice.tensors.end()) return base::invalid("input '" + ours + "' is missing");
        out.push_back(*found);
        out.back().name = theirs;
      }
      return out;
    }
    const RawRows& raw = slice.features();
    const auto texts = static_cast<size_t>(std::ranges::count_if(slice.schema->features, &Feature::text));
    const size_t numbers = slice.schema->features.size() - texts;
    if (raw.count != slice.rows || raw.numbers.size() != raw.count * numbers || raw.texts.size() != raw.count * texts)
      return base::invalid("it is given rows that do not have the form that their model declares");
    stats::Table table;
    for (const auto& [slot, name] : columns_) {
      stats::Column column{name, {}};
      if (slot.text) {
        stats::Texts values(raw.count);
        for (size_t row = 0; row < raw.count; ++row)
          if (const std::string& text = raw.texts[row * texts + slot.place]; !text.empty()) values[row] = text;
        column.values = std::move(values);
      } else {
        stats::Numbers values(raw.count);
        for (size_t row = 0; row < raw.count; ++row) values[row] = raw.numbers[row * numbers + slot.place];
        column.values = std::move(values);
      }
      table.columns.push_back(std::move(column));
    }
    return to.tensors_of(table);
  }

 private:
  base::Result<void> plan_columns(const Schema& from, const Predictor& to, bool aligned) {
    const std::vector<Slot> slots = slots_of(from.features);
    if (to.features().empty())
      return base::invalid("its inputs have no fixed number of columns, and are not among what it is given");
    const bool by_place = aligned || (!to.features_named() && to.features().size() == from.features.size());
    for (size_t i = 0; i < to.features().size(); ++i) {
      const Feature& wanted = to.features()[i];
      const auto found = by_place ? from.features.begin() + static_cast<std::ptrdiff_t>(i)
                                  : std::ranges::find(from.features, wanted.name, &Feature::name);
      if (found == from.features.end())
        return base::invalid("it takes a column '" + wanted.name + "', and is given " + names_of(from.features));
      if (found->text && !wanted.text) return base::invalid("column '" + wanted.name + "' must be a number");
      columns_.emplace_back(slots[static_cast<size_t>(found - from.features.begin())], wanted.name);
    }
    return {};
  }

  std::vector<std::pair<std::string, std::string>> names_;  // ours, the model's; else
  std::vector<std::pair<Slot, std::string>> columns_;
};

struct Candidate {  // one revision that may answer for a leaf
  LivePtr live;
  Feed feed;
};

struct Leaf {
  size_t number = 0;
  std::string path;
  LivePtr endpoint;                   // as the snapshot has it
  std::vector<Candidate> candidates;  // the live revision first
  AnswerShape shape;

  const Candidate& choose(const Walk& walk) const;
  base::Result<GraphAnswer> ask(const Slice& slice, Walk& walk) const;
};

const Candidate& Leaf::choose(const Walk& walk) const {
  if (!endpoint->split) return candidates[0];
  std::string_view key;
  if (!endpoint->split->sticky.empty() && walk.call.header) key = walk.call.header(endpoint->split->sticky);
  if (key.empty()) key = walk.call.key;
  const LivePtr& chosen = serve::choose(endpoint, key);
  // A revision that answers in another form than the live one is not used here.
  const auto found = std::ranges::find(candidates, chosen, &Candidate::live);
  return found == candidates.end() ? candidates[0] : *found;
}

base::Result<void> still_wanted(const Call& call) {
  if (call.cancelled.stop_requested())
    return base::fail(base::Code::kCancelled, "the client went away before the graph's end");
  if (call.deadline_mono_us != 0 && base::system_clock().mono_us() > call.deadline_mono_us)
    return base::fail(base::Code::kDeadline, "the request's time was over before the graph's end");
  return {};
}

base::Result<GraphAnswer> Leaf::ask(const Slice& slice, Walk& walk) const {
  const Candidate& chosen = choose(walk);
  const LiveEndpoint& live = *chosen.live;
  const Predictor& predictor = *live.predictor;
  walk.ran[number] = &live;
  TRY(still_wanted(walk.call));
  TRY_SET(const auto inputs, chosen.feed.tensors(slice, predictor));
  Call call = walk.call;  // what the request says of its model is not about a step's
  call.params.clear();
  call.shown = nullptr;
  call.route = nullptr;
  call.follow = nullptr;
  const int64_t start_us = base::system_clock().mono_us();
  auto outputs = predictor.infer(inputs, call);
  if (live.requests) {
    live.requests->add();
    if (outputs) {
      live.rows->add(slice.rows);
      live.seconds->observe(static_cast<double>(base::system_clock().mono_us() - start_us) * 1e-6);
    } else {
      live.failures->add();
      if (outputs.error().code != base::Code::kInvalid) live.faults->add();
    }
  }
  if (!outputs) return std::unexpected(std::move(outputs).error());
  return read_answer(predictor, std::move(*outputs), slice.rows);
}

// --- nodes -----------------------------------------------------------------------------------------------------------

struct BoundNode;

struct BoundStep {
  std::string label;
  std::optional<Leaf> leaf;         // either a model …
  std::unique_ptr<BoundNode> node;  // … or a node
  BoundCondition condition;
  StepMeters meters;  // null where nobody counts
  bool response = false, soft = false;
  double weight = 0;

  const AnswerShape& shape() const;
  base::Result<GraphAnswer> run(const Slice& slice, Walk& walk) const;
};

struct BoundNode {
  std::string path;
  Router router = Router::kSequence;
  Combine how = Combine::kAverage;
  Schema request;                 // of steps that are given the node's request
  std::vector<Schema> responses;  // of step i + 1, where it is given step i's answer
  std::vector<BoundStep> steps;
  AnswerShape shape;

  base::Result<GraphAnswer> run(const Slice& slice, Walk& walk) const;

 private:
  base::Result<GraphAnswer> go_on(size_t step, const Slice& slice, GraphAnswer answer, size_t from, Walk& walk) const;
  base::Result<GraphAnswer> run_switch(const Slice& slice, Walk& walk) const;
  base::Result<GraphAnswer> run_ensemble(const Slice& slice, Walk& walk) const;
  base::Result<GraphAnswer> run_splitter(const Slice& slice, Walk& walk) const;
  const AnswerShape& shape_after(size_t step) const { return steps[step].shape(); }
};

const AnswerShape& BoundStep::shape() const { return leaf ? leaf->shape : node->shape; }

base::Result<GraphAnswer> BoundStep::run(const Slice& slice, Walk& walk) const {
  const int64_t start_us = base::system_clock().mono_us();
  auto answer = leaf ? leaf->ask(slice, walk) : node->run(slice, walk);
  if (meters.requests) {
    meters.requests->add();
    if (answer) {
      meters.rows->add(slice.rows);
      meters.seconds->observe(static_cast<double>(base::system_clock().mono_us() - start_us) * 1e-6);
    } else {
      meters.failures->add();
    }
  }
  if (!answer && leaf) return std::unexpected(std::move(answer).error().within("step '" + leaf->path + "'"));
  return answer;
}

base::Result<GraphAnswer> BoundNode::run(const Slice& slice, Walk& walk) const {
  switch (router) {
    case Router::kSequence: {
      TRY_SET(GraphAnswer first, steps[0].run(slice, walk));
      return go_on(1, slice, std::move(first), 0, walk);
    }
    case Router::kSwitch: return run_switch(slice, walk);
    case Router::kEnsemble: return run_ensemble(slice, walk);
    case Router::kSplitter: return run_splitter(slice, walk);
  }
  return base::internal("a node of no kind");
}

// The steps of a sequence from `step` on; `answer` is what step `from` gave. Rows for which a condition does not hold
// keep it.
base::Result<GraphAnswer> BoundNode::go_on(size_t step, const Slice& slice, GraphAnswer answer, size_t from,
                                           Walk& walk) const {
  if (step == steps.size()) return fitted(std::move(answer), shape_after(from), shape);
  const BoundStep& next = steps[step];
  Places all(slice.rows);
  for (uint32_t i = 0; i < all.size(); ++i) all[i] = i;
  Places on = all;
  if (next.condition.there()) {
    TRY_SET(on, next.condition.holds(view(next.condition, slice, &answer, walk), all));
    if (on.empty()) return fitted(std::move(answer), shape_after(from), shape);
  }
  const auto advance = [&](const Slice& rows, GraphAnswer before) -> base::Result<GraphAnswer> {
    Slice own;
    const Slice* given = &rows;
    if (next.response) {
      own = {.tensors = before.outputs, .schema = &responses[step], .rows = rows.rows};
      given = &own;
    }
    auto done = next.run(*given, walk);
    if (!done && next.soft && done.error().code != base::Code::kCancelled && done.error().code != base::Code::kDeadline)
      return go_on(step + 1, rows, std::move(before), from, walk);
    if (!done) return std::unexpected(std::move(done).error());
    return go_on(step + 1, rows, std::move(*done), step, walk);
  };
  if (on.size() == all.size()) return advance(slice, std::move(answer));
  Places off;
  std::ranges::set_difference(all, on, std::back_inserter(off));
  TRY_SET(const Slice some, part_of(slice, on));
  TRY_SET(GraphAnswer before, pick(answer, on));
  TRY_SET(GraphAnswer further, advance(some, std::move(before)));
  TRY_SET(GraphAnswer kept, pick(answer, off));
  TRY_SET(kept, fitted(std::move(kept), shape_after(from), shape));
  std::vector<AnswerPart> parts;
  parts.push_back({std::move(on), std::move(further)});
  parts.push_back({std::move(off), std::move(kept)});
  return put_together(std::move(parts), slice.rows);
}

base::Result<GraphAnswer> BoundNode::run_switch(const Slice& slice, Walk& walk) const {
  Places left(slice.rows);
  for (uint32_t i = 0; i < left.size(); ++i) left[i] = i;
  std::vector<AnswerPart> parts;
  for (const BoundStep& step : steps) {
    if (left.empty()) break;
    Places taken = left;
    if (step.condition.there()) {
      TRY_SET(taken, step.condition.holds(view(step.condition, slice, nullptr, walk), left));
    }
    if (taken.empty()) continue;
    Places rest;
    std::ranges::set_difference(left, taken, std::back_inserter(rest));
    left = std::move(rest);
    std::optional<Slice> some;
    if (taken.size() != slice.rows) {
      TRY_SET(some, part_of(slice, taken));
    }
    TRY_SET(GraphAnswer answer, step.run(some ? *some : slice, walk));
    TRY_SET(answer, fitted(std::move(answer), step.shape(), shape));
    parts.push_back({std::move(taken), std::move(answer)});
  }
  if (!left.empty())
    return base::not_found("no condition of '" + path + "' holds for row " + std::to_string(left[0]) +
                           ": none of its steps answers it");
  return put_together(std::move(parts), slice.rows);
}

base::Result<GraphAnswer> BoundNode::run_ensemble(const Slice& slice, Walk& walk) const {
  std::vector<Vote> votes;
  std::optional<base::Error> failed;
  for (const BoundStep& step : steps) {
    auto answer = step.run(slice, walk);
    if (!answer) {
      const bool ends = answer.error().code == base::Code::kCancelled || answer.error().code == base::Code::kDeadline;
      if (!step.soft || ends) return std::unexpected(std::move(answer).error());
      failed = std::move(answer).error();
      continue;
    }
    votes.push_back({std::move(*answer), step.weight, step.label});
  }
  if (votes.empty()) return std::unexpected(*failed);
  return combine(how, std::move(votes), shape);
}

base::Result<GraphAnswer> BoundNode::run_splitter(const Slice& slice, Walk& walk) const {
  size_t chosen = steps.size() - 1;
  if (const auto* follow = walk.call.follow) {
    const auto found = follow->splits.find(path);
    if (found == follow->splits.end() || found->second < 0 || static_cast<size_t>(found->second) >= steps.size())
      return base::invalid("the record does not say which step of '" + path + "' was taken");
    chosen = static_cast<size_t>(found->second);
  } else {
    const double place = place_of(walk.call.key, base::crc32c(path)) / static_cast<double>(kWholeShare) * 100;
    double upto = 0;
    for (size_t i = 0; i < steps.size(); ++i) {
      if (place >= (upto += steps[i].weight)) continue;
      chosen = i;
      break;
    }
  }
  walk.splits[path] = static_cast<int64_t>(chosen);
  TRY_SET(GraphAnswer answer, steps[chosen].run(slice, walk));
  return fitted(std::move(answer), steps[chosen].shape(), shape);
}

// --- binding ---------------------------------------------------------------------------------------------------------

class Binder {
 public:
  Binder(const Graph& graph, const FindTarget& find, const MeterStep& meter)
      : graph_(graph), find_(find), meter_(meter) {}

  base::Result<void> bind() {
    TRY(check(graph_));
    const GraphNode& root = *graph_.find(kGraphRoot);
    TRY(collect(root));
    TRY_SET(inputs_, request_schema());
    TRY_SET(root_, bind_node(root, inputs_, true, std::string(root.name)));
    return {};
  }

  Schema inputs_;
  std::unique_ptr<BoundNode> root_;
  std::vector<std::string> headers_;
  std::vector<GraphRoute::Step> leaves_;
  bool waits_ = false;

 private:
  base::Result<LivePtr> target(const GraphStep& step) const {
    auto found = find_(step);
    if (!found) return std::unexpected(std::move(found).error().within("step '" + step.label() + "'"));
    if (!(*found)->predictor)
      return base::fail((*found)->problem.code, "step '" + step.label() + "': " + (*found)->problem.message);
    return found;
  }

  // The models that are given the graph's request, in the order of the file.
  base::Result<void> collect(const GraphNode& node) {
    for (const GraphStep& step : node.steps) {
      if (step.response) continue;
      if (!step.node.empty()) {
        TRY(collect(*graph_.find(step.node)));
        continue;
      }
      TRY_SET(const LivePtr live, target(step));
      first_.push_back(live);
    }
    return {};
  }

  // All take the same columns in the same order, as far as their names are known.
  bool aligned() const {
    const std::vector<Feature>* named = nullptr;
    for (const LivePtr& live : first_) {
      const Predictor& p = *live->predictor;
      if (p.features().empty() || p.features().size() != first_[0]->predictor->features().size()) return false;
      for (size_t i = 0; i < p.features().size(); ++i)
        if (p.features()[i].text != first_[0]->predictor->features()[i].text) return false;
      if (!p.features_named()) continue;
      if (named && !std::ranges::equal(*named, p.features(), {}, &Feature::name, &Feature::name)) return false;
      named = &p.features();
    }
    return true;
  }

  bool same_inputs() const {
    return std::ranges::all_of(first_, [&](const LivePtr& live) {
      return std::ranges::equal(live->predictor->inputs(), first_[0]->predictor->inputs(),
                                [](const TensorInfo& a, const TensorInfo& b) {
                                  return a.name == b.name && a.type == b.type && a.shape == b.shape;
                                });
    });
  }

  base::Result<Schema> request_schema() {
    const Predictor& first = *first_[0]->predictor;
    aligned_ = aligned();
    if ((aligned_ || (first.features().empty() && same_inputs())) && graph_.columns.empty()) {
      Schema out{.tensors = first.inputs(), .features = first.features(), .named = first.features_named()};
      for (const LivePtr& live : first_) {
        if (!aligned_ || out.named || !live->predictor->features_named()) continue;
        out.features = live->predictor->features();
        out.named = true;
      }
      return out;
    }
    return union_schema();
  }

  // One input for each column that any model or condition takes; one matrix where all are numbers.
  base::Result<Schema> union_schema() {
    Schema out{.named = true};
    const auto add = [&](const Feature& feature) -> base::Result<void> {
      const auto same = std::ranges::find(out.features, feature.name, &Feature::name);
      if (same == out.features.end()) {
        out.features.push_back(feature);
      } else if (same->text != feature.text) {
        return base::invalid("column '" + feature.name + "' is text for one of its steps and a number for another");
      }
      return {};
    };
    const Predictor* named = nullptr;  // of aligned models: one that knows its columns' names
    for (const LivePtr& live : first_) {
      const Predictor& p = *live->predictor;
      if (p.features_named()) named = &p;
    }
    if (aligned_ && named) {
      for (const Feature& feature : named->features()) TRY(add(feature));
    } else {
      for (const LivePtr& live : first_) {
        const Predictor& p = *live->predictor;
        if (p.features().empty() || !p.features_named())
          return base::invalid("the steps take different inputs, and the columns of '" + live->name +
                               "' have no names by which they could be told apart; log the model with a signature");
        for (const Feature& feature : p.features()) TRY(add(feature));
      }
    }
    for (const GraphColumn& column : graph_.columns) TRY(add({column.name, column.text}));
    // The first model takes them all: its clients need not learn another input.
    const Predictor& first = *first_[0]->predictor;
    if (first.features_named() &&
        std::ranges::equal(out.features, first.features(), {}, &Feature::name, &Feature::name)) {
      out.tensors = first.inputs();
      return out;
    }
    const bool numbers = std::ranges::none_of(out.features, &Feature::text);
    if (numbers) {
      const auto width = static_cast<int64_t>(out.features.size());
      out.tensors.push_back({"input", DataType::kFp64, {-1, width}});
    } else {
      for (const Feature& feature : out.features)
        out.tensors.push_back({feature.name, feature.text ? DataType::kBytes : DataType::kFp64, {-1, 1}});
    }
    return out;
  }

  static Schema schema_of(const AnswerShape& answer) {
    Schema out{.tensors = answer.outputs, .named = true};
    for (const TensorInfo& info : answer.outputs) {
      const auto columns = columns_of(info);
      if (columns.empty()) return {.tensors = answer.outputs};
      out.features.insert(out.features.end(), columns.begin(), columns.end());
    }
    return out;
  }

  base::Result<Leaf> bind_leaf(const GraphStep& step, const Schema& request, bool from_request,
                               const std::string& path) {
    TRY_SET(LivePtr live, target(step));
    Leaf out{.number = leaves_.size(), .path = path, .endpoint = live};
    // Columns go by place only where the request's columns are the models' own: with the graph's own columns behind
    // them they still stand first.
    const bool by_place = from_request && aligned_;
    const auto add = [&](const LivePtr& who) -> base::Result<void> {
      Candidate candidate{.live = who};
      auto planned = candidate.feed.plan(request, *who->predictor, by_place);
      if (!planned) return std::unexpected(std::move(planned).error().within("step '" + path + "'"));
      out.candidates.push_back(std::move(candidate));
      return {};
    };
    TRY(add(live));
    out.shape = shape_of(*live->predictor);
    waits_ |= live->waits;
    if (live->split) {
      for (const LiveSplit::Part& part : live->split->parts) {
        if (!part.target || !(shape_of(*part.target->predictor) == out.shape)) continue;
        if (add(part.target)) waits_ |= part.target->waits;
      }
    }
    leaves_.push_back({.path = path,
                       .endpoint = step.endpoint,
                       .revision = step.endpoint.empty() ? 0 : live->revision.number,
                       .model = live->revision.model_name,
                       .version = live->revision.model_version});
    return out;
  }

  base::Result<std::unique_ptr<BoundNode>> bind_node(const GraphNode& node, const Schema& request, bool from_request,
                                                     const std::string& path) {
    auto out = std::make_unique<BoundNode>();
    out->path = path;
    out->router = node.router;
    out->how = node.combine;
    out->request = request;
    out->responses.resize(node.steps.size());
    for (size_t i = 0; i < node.steps.size(); ++i) {
      const GraphStep& step = node.steps[i];
      BoundStep bound{.label = step.label(), .response = step.response, .soft = step.soft, .weight = step.weight};
      if (node.router == Router::kEnsemble && bound.weight == 0) bound.weight = 1;
      const std::string where = path + "/" + step.label();
      if (meter_) bound.meters = meter_(where);
      const AnswerShape* before = i > 0 && node.router == Router::kSequence ? &out->steps[i - 1].shape() : nullptr;
      if (step.response) out->responses[i] = schema_of(*before);
      const Schema& given = step.response ? out->responses[i] : out->request;
      const bool own = from_request && !step.response;
      if (step.node.empty()) {
        TRY_SET(bound.leaf, bind_leaf(step, given, own, where));
      } else {
        TRY_SET(bound.node, bind_node(*graph_.find(step.node), given, own, where));
      }
      if (!step.condition.empty()) {
        auto done = bound.condition.bind(step.condition, out->request.features, before, headers_);
        if (!done) return std::unexpected(std::move(done).error().within("step '" + where + "'"));
      }
      out->steps.push_back(std::move(bound));
    }
    auto shape = shape_of_node(node, *out);
    if (!shape) return std::unexpected(std::move(shape).error().within("node '" + path + "'"));
    out->shape = std::move(*shape);
    return out;
  }

  // Of a sequence, every step where it may end.
  static base::Result<AnswerShape> shape_of_node(const GraphNode& node, const BoundNode& bound) {
    std::vector<AnswerShape> shapes;
    std::vector<std::string> whose;
    const size_t steps = node.steps.size();
    std::vector<bool> ends(steps, node.router != Router::kSequence);
    if (node.router == Router::kSequence) {
      ends[steps - 1] = true;
      for (size_t i = 1; i < steps; ++i) {
        if (!node.steps[i].condition.empty()) ends[i - 1] = true;
        // A soft step that fails leaves the answer before, and so on.
        if (node.steps[i].soft) ends[i - 1] = true;
      }
      for (size_t i = steps; i-- > 1;) {
        // What is left standing after a failure goes on into the next step, which may read it.
        if (node.steps[i].soft && i + 1 < steps &&
            (node.steps[i + 1].response || !node.steps[i + 1].condition.empty()) &&
            !(bound.steps[i].shape() == bound.steps[i - 1].shape()))
          return base::invalid("step '" + node.steps[i].label() +
                               "' may fail, and the step after it reads the answer: it must answer in the same form as "
                               "the step before it");
      }
    }
    for (size_t i = 0; i < steps; ++i) {
      if (!ends[i]) continue;
      shapes.push_back(bound.steps[i].shape());
      whose.push_back(bound.steps[i].label);
    }
    if (node.router == Router::kEnsemble) return combined_shape(node.combine, shapes, whose);
    return common_shape(shapes, whose);
  }

  const Graph& graph_;
  const FindTarget& find_;
  const MeterStep& meter_;
  std::vector<LivePtr> first_;
  bool aligned_ = false;
};

// --- as a model ------------------------------------------------------------------------------------------------------

class GraphModel final : public Model {
 public:
  explicit GraphModel(Binder&& bound)
      : request_(std::move(bound.inputs_)),
        root_(std::move(bound.root_)),
        headers_(std::move(bound.headers_)),
        leaves_(std::move(bound.leaves_)),
        waits_(bound.waits_) {}

  const std::vector<TensorInfo>& inputs() const override { return request_.tensors; }
  const std::vector<TensorInfo>& outputs() const override { return root_->shape.outputs; }
  const std::vector<std::string>& classes() const override { return root_->shape.classes; }
  std::string_view platform() const override { return "inference_graph"; }
  Answers answers() const override { return root_->shape.answers; }
  bool many_values() const override { return !root_->shape.labelled; }
  bool waits() const override { return waits_; }
  bool wants_call() const override { return true; }
  std::vector<std::string> column_names() const override {
    std::vector<std::string> out;
    if (request_.named)
      for (const Feature& feature : request_.features) out.push_back(feature.name);
    return out;
  }

  base::Result<std::vector<Tensor>> run(std::span<const Tensor> inputs) const override { return run_for(inputs, {}); }
  base::Result<std::vector<Tensor>> run_for(std::span<const Tensor> inputs, const Call& call) const override {
    TRY_SET(const size_t rows, rows_of(inputs));
    Walk walk{.call = call, .ran = std::vector<const LiveEndpoint*>(leaves_.size())};
    for (const std::string& header : headers_) walk.headers.push_back(header_of(header, call));
    const Slice slice{.tensors = inputs, .schema = &request_, .rows = rows};
    auto answer = root_->run(slice, walk);
    if (call.route) *call.route = route_text(walk);
    if (!answer) return std::unexpected(std::move(answer).error());
    return std::move(answer->outputs);
  }

 private:
  // Numbers may come in any type: each step's model has its own word on that.
  base::Result<size_t> rows_of(std::span<const Tensor> inputs) const {
    if (inputs.size() != request_.tensors.size())
      return base::invalid("the graph takes " + std::to_string(request_.tensors.size()) + " input(s), found " +
                           std::to_string(inputs.size()));
    int64_t rows = -1;
    for (const TensorInfo& info : request_.tensors) {
      const auto given = std::ranges::find(inputs, info.name, &Tensor::name);
      if (given == inputs.end()) return base::invalid("input '" + info.name + "' is missing");
      TensorInfo wanted = info;
      if (info.type != DataType::kBytes && given->type != DataType::kBytes) wanted.type = given->type;
      TRY(check_tensor(*given, wanted));
      if (given->shape.empty() || (rows >= 0 && given->shape[0] != rows))
        return base::invalid("input '" + info.name + "' has shape " + shape_text(given->shape) +
                             "; every input of a graph has one row for each of the request's");
      rows = given->shape[0];
    }
    if (rows <= 0) return base::invalid("the request has no rows");
    return static_cast<size_t>(rows);
  }

  static std::string header_of(const std::string& header, const Call& call) {
    if (!call.follow) return header_value(call.header ? call.header(header) : std::string_view());
    const auto found = call.follow->headers.find(header);
    return found == call.follow->headers.end() ? std::string() : found->second;
  }

  std::string route_text(Walk& walk) const {
    GraphRoute route{.steps = leaves_, .splits = std::move(walk.splits)};
    for (size_t i = 0; i < leaves_.size(); ++i) {
      if (!walk.ran[i]) continue;
      GraphRoute::Step& step = route.steps[i];
      step.ran = true;
      if (!step.endpoint.empty()) step.revision = walk.ran[i]->revision.number;
      step.model = walk.ran[i]->revision.model_name;
      step.version = walk.ran[i]->revision.model_version;
    }
    for (size_t i = 0; i < headers_.size(); ++i) route.headers.emplace(headers_[i], walk.headers[i]);
    return to_json(route);
  }

  const Schema request_;
  const std::unique_ptr<BoundNode> root_;
  const std::vector<std::string> headers_;
  const std::vector<GraphRoute::Step> leaves_;  // as they are bound; a divided endpoint may choose another revision
  const bool waits_;
};

}  // namespace

base::Result<std::unique_ptr<Predictor>> make_graph_predictor(const Graph& graph, const FindTarget& find,
                                                              const MeterStep& meter) {
  Binder binder(graph, find, meter);
  TRY(binder.bind());
  return Predictor::over(std::make_unique<GraphModel>(std::move(binder)));
}

}  // namespace serve
