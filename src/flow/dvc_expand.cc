#include "flow/dvc_expand.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/ids.h"
#include "flow/flow.h"

namespace flow {
namespace {

using base::yaml::Kind;

Node number_node(double value, int line) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  Node node = text_node(text, line);
  node.quoted = false;
  return node;
}

std::string key_of(const Node& value, const std::string& name, size_t index) {
  return value.is_scalar() ? plain_text(value) : name + std::to_string(index);
}

class Expander {
 public:
  Expander(const std::string& name, const Node& definition, const Scope& scope)
      : name_(name), where_("stages." + name), definition_(definition), scope_(scope) {}

  base::Result<std::vector<Variant>> run() {
    if (definition_.find("foreach") || definition_.find("do")) return foreach ();
    if (!definition_.find("matrix") && !definition_.find("tune"))
      return std::vector<Variant>{{.name = name_, .body = definition_, .scope = scope_, .values = {}}};
    std::vector<Choice> choices{{}};
    if (const Node* matrix = definition_.find("matrix")) {
      TRY_SET(choices, product(*matrix));
    }
    if (const Node* tune = definition_.find("tune")) {
      TRY_SET(choices, with_trials(*tune, choices));
    }
    Node body = definition_;
    std::erase_if(body.entries,
                  [](const base::yaml::Entry& entry) { return entry.key == "matrix" || entry.key == "tune"; });
    std::vector<Variant> out;
    for (const Choice& choice : choices) {
      Variant variant{.name = name_ + "@" + choice.key, .body = body, .scope = scope_, .values = {}};
      Node item;
      item.kind = Kind::kMap;
      for (const auto& [key, value] : choice.values) {
        item.entries.push_back({key, value, value.line});
        if (value.is_scalar()) variant.values[key] = plain_text(value);
      }
      variant.scope.set("item", item);
      variant.scope.set("key", text_node(choice.key, definition_.line));
      out.push_back(std::move(variant));
    }
    return out;
  }

 private:
  struct Choice {
    std::string key;
    std::vector<std::pair<std::string, Node>> values;
  };

  std::unexpected<base::Error> bad(int line, std::string_view key, std::string_view message) const {
    return dvc_error(scope_.file(), line, where_ + "." + std::string(key), message);
  }
  std::unexpected<base::Error> too_many(const Node& at, std::string_view key) const {
    return bad(at.line, key, "expands to more than " + std::to_string(kMaxStages) + " stages");
  }

  base::Result<std::vector<Variant>> foreach () {
    const Node* list = definition_.find("foreach");
    const Node* body = definition_.find("do");
    if (!list || !body || definition_.entries.size() != 2)
      return bad(definition_.line, "foreach", "a stage with foreach has exactly the keys foreach and do");
    TRY_SET(const Node values, scope_.resolve(*list, where_ + ".foreach"));
    std::vector<Variant> out;
    const auto add = [&](const std::string& key, const Node& item, bool with_key) {
      Variant variant{.name = name_ + "@" + key, .body = *body, .scope = scope_, .values = {}};
      variant.scope.set("item", item);
      if (with_key) variant.scope.set("key", text_node(key, item.line));
      out.push_back(std::move(variant));
    };
    if (values.items.size() > kMaxStages || values.entries.size() > kMaxStages) return too_many(*list, "foreach");
    if (values.is_sequence()) {
      const bool scalars = std::ranges::all_of(values.items, [](const Node& node) { return node.is_scalar(); });
      for (size_t i = 0; i < values.items.size(); ++i)
        add(scalars ? plain_text(values.items[i]) : std::to_string(i), values.items[i], false);
    } else if (values.is_map()) {
      for (const auto& [key, value, line] : values.entries) add(key, value, true);
    } else {
      return bad(list->line, "foreach", "found " + values.describe() + "; allowed: a list or a map");
    }
    return out;
  }

  // The last variable varies fastest.
  base::Result<std::vector<Choice>> product(const Node& matrix_node) const {
    TRY_SET(const Node matrix, scope_.resolve(matrix_node, where_ + ".matrix"));
    if (!matrix.is_map() || matrix.entries.empty())
      return bad(matrix_node.line, "matrix",
                 "found " + matrix.describe() + "; allowed: a map from names to lists of values");
    std::vector<Choice> out{{}};
    for (const auto& [name, values, line] : matrix.entries) {
      if (!values.is_sequence() || values.items.empty())
        return bad(values.line, "matrix." + name, "found " + values.describe() + "; allowed: a list of values");
      if (out.size() * values.items.size() > kMaxStages) return too_many(matrix_node, "matrix");
      std::vector<Choice> longer;
      for (const Choice& choice : out)
        for (size_t i = 0; i < values.items.size(); ++i) {
          Choice next = choice;
          next.key += (next.key.empty() ? "" : "-") + key_of(values.items[i], name, i);
          next.values.emplace_back(name, values.items[i]);
          longer.push_back(std::move(next));
        }
      out = std::move(longer);
    }
    return out;
  }

  // --- tune ---------------------------------------------------------------------------------------------------------

  struct Dimension {
    enum class Kind : uint8_t { kUniform, kLogUniform, kInt, kChoice } kind;
    std::string name;
    double low = 0, high = 0;
    int64_t points = 0;  // of a grid over a range
    std::vector<Node> choices;
    int line = 0;
  };

  base::Result<std::vector<Choice>> with_trials(const Node& tune_node, const std::vector<Choice>& choices) const {
    TRY_SET(const Node tune, scope_.resolve(tune_node, where_ + ".tune"));
    if (!tune.is_map())
      return bad(tune_node.line, "tune", "found " + tune.describe() + "; allowed: a map with n, method, seed, params");
    for (const auto& [key, value, line] : tune.entries)
      if (key != "n" && key != "method" && key != "seed" && key != "params")
        return bad(value.line, "tune." + key, "is unknown; allowed: n, method, seed, params");
    const Node* method = tune.find("method");
    const std::string how = method ? method->scalar : "random";
    if (how != "random" && how != "grid")
      return bad(method->line, "tune.method", "found '" + how + "'; allowed: random, grid");
    TRY_SET(const auto n, whole(tune, "n", 1, kMaxTrials));
    TRY_SET(const auto seed, whole(tune, "seed", 0, INT64_MAX));
    const Node* params = tune.find("params");
    if (!params || !params->is_map() || params->entries.empty())
      return bad(tune_node.line, "tune.params",
                 "is missing or empty; allowed: a map from names to {uniform: [a, b]}, {log_uniform: [a, b]}, {int: "
                 "[a, b]} or {choice: [...]}");
    std::vector<Dimension> space;
    for (const auto& [name, value, line] : params->entries) {
      TRY_SET(Dimension dimension, read_dimension(name, value));
      space.push_back(std::move(dimension));
    }
    if (how == "random" && !n)
      return bad(tune_node.line, "tune.n", "is missing; a random search needs the number of trials");
    std::vector<Choice> trials;
    if (how == "random") {
      trials = random_trials(space, *n, static_cast<uint64_t>(seed.value_or(0)));
    } else {
      TRY_SET(trials, grid_trials(space, n.value_or(kMaxTrials)));
    }
    if (choices.size() * trials.size() > kMaxStages) return too_many(tune_node, "tune");
    std::vector<Choice> out;
    for (const Choice& choice : choices)
      for (size_t i = 0; i < trials.size(); ++i) {
        Choice next = choice;
        next.key += (next.key.empty() ? "t" : "-t") + std::to_string(i + 1);
        next.values.insert(next.values.end(), trials[i].values.begin(), trials[i].values.end());
        out.push_back(std::move(next));
      }
    return out;
  }

  base::Result<std::optional<int64_t>> whole(const Node& map, std::string_view key, int64_t low, int64_t high) const {
    const Node* node = map.find(key);
    if (!node) return std::nullopt;
    const auto value = node->as_int();
    if (!value || *value < low || *value > high)
      return bad(node->line, "tune." + std::string(key),
                 "found " + node->describe() + "; allowed: a whole number from " + std::to_string(low) +
                     (high == INT64_MAX ? " on" : " to " + std::to_string(high)));
    return value;
  }

  base::Result<Dimension> read_dimension(const std::string& name, const Node& node) const {
    const std::string key = "tune.params." + name;
    const auto wrong = [&] {
      return bad(node.line, key,
                 "found " + node.describe() +
                     "; allowed: {uniform: [a, b]}, {log_uniform: [a, b]}, {int: [a, b]} or {choice: [...]}, for a "
                     "grid over a range with points: n");
    };
    if (!node.is_map() || node.entries.empty() || node.entries.size() > 2) return wrong();
    Dimension out{.kind = Dimension::Kind::kChoice, .name = name, .choices = {}, .line = node.line};
    const Node* range = nullptr;
    for (const auto& [kind, value, line] : node.entries) {
      if (kind == "points") {
        out.points = value.as_int().value_or(0);
        if (out.points < 1 || out.points > static_cast<int64_t>(kMaxTrials))
          return bad(value.line, key + ".points",
                     "found " + value.describe() + "; allowed: a whole number from 1 to " + std::to_string(kMaxTrials));
        continue;
      }
      if (range || !value.is_sequence()) return wrong();
      range = &value;
      if (kind == "choice")
        out.choices = value.items;
      else if (kind == "uniform")
        out.kind = Dimension::Kind::kUniform;
      else if (kind == "log_uniform")
        out.kind = Dimension::Kind::kLogUniform;
      else if (kind == "int")
        out.kind = Dimension::Kind::kInt;
      else
        return wrong();
    }
    if (!range) return wrong();
    if (out.kind == Dimension::Kind::kChoice) {
      if (out.choices.empty()) return bad(node.line, key + ".choice", "is empty");
      return out;
    }
    const bool ints = out.kind == Dimension::Kind::kInt;
    const bool pair = range->items.size() == 2 && range->items[0].as_double() && range->items[1].as_double() &&
                      (!ints || (range->items[0].as_int() && range->items[1].as_int()));
    if (!pair)
      return bad(range->line, key,
                 "a range is two numbers, [low, high]" + std::string(ints ? ", whole ones for int" : ""));
    out.low = *range->items[0].as_double(), out.high = *range->items[1].as_double();
    if (!(out.low < out.high) || !std::isfinite(out.low) || !std::isfinite(out.high))
      return bad(range->line, key, "the first number of a range must be below the second");
    if (out.kind == Dimension::Kind::kLogUniform && out.low <= 0)
      return bad(range->line, key, "log_uniform needs a range above 0");
    return out;
  }

  // `u` in [0, 1] along the dimension.
  static Node at(const Dimension& d, double u) {
    switch (d.kind) {
      case Dimension::Kind::kUniform: return number_node(d.low + u * (d.high - d.low), d.line);
      case Dimension::Kind::kLogUniform:
        return number_node(std::exp(std::log(d.low) + u * (std::log(d.high) - std::log(d.low))), d.line);
      case Dimension::Kind::kInt: {
        const double span = d.high - d.low + 1;
        Node node =
            text_node(std::to_string(static_cast<int64_t>(d.low + std::min(std::floor(u * span), span - 1))), d.line);
        node.quoted = false;
        return node;
      }
      case Dimension::Kind::kChoice: break;
    }
    const auto n = static_cast<double>(d.choices.size());
    return d.choices[static_cast<size_t>(std::min(std::floor(u * n), n - 1))];
  }

  static std::vector<Choice> random_trials(const std::vector<Dimension>& space, int64_t n, uint64_t seed) {
    base::SeededRandom random(seed);
    std::vector<Choice> out;
    for (int64_t i = 0; i < n; ++i) {
      Choice trial;
      for (const Dimension& d : space) trial.values.emplace_back(d.name, at(d, random.next_unit()));
      out.push_back(std::move(trial));
    }
    return out;
  }

  base::Result<std::vector<Choice>> grid_trials(const std::vector<Dimension>& space, int64_t most) const {
    std::vector<Choice> out{{}};
    for (const Dimension& d : space) {
      TRY_SET(const std::vector<Node> values, grid_values(d));
      std::vector<Choice> longer;
      if (out.size() * values.size() > kMaxStages) return too_many(definition_, "tune");
      for (const Choice& choice : out)
        for (const Node& value : values) {
          longer.push_back(choice);
          longer.back().values.emplace_back(d.name, value);
        }
      out = std::move(longer);
    }
    if (out.size() > static_cast<size_t>(most)) out.resize(static_cast<size_t>(most));
    return out;
  }

  base::Result<std::vector<Node>> grid_values(const Dimension& d) const {
    std::vector<Node> out;
    if (d.kind == Dimension::Kind::kChoice) return d.choices;
    int64_t points = d.points;
    if (points == 0 && d.kind == Dimension::Kind::kInt && d.high - d.low < static_cast<double>(kMaxTrials))
      points = static_cast<int64_t>(d.high - d.low) + 1;
    if (points == 0)
      return bad(d.line, "tune.params." + d.name,
                 "a grid over a range needs points, as in {uniform: [0, 1], points: 5}");
    for (int64_t i = 0; i < points; ++i) {
      const double u = points == 1 ? 0 : static_cast<double>(i) / static_cast<double>(points - 1);
      if (d.kind == Dimension::Kind::kInt) {
        Node node = text_node(std::to_string(std::llround(d.low + u * (d.high - d.low))), d.line);
        node.quoted = false;
        if (out.empty() || out.back().scalar != node.scalar) out.push_back(std::move(node));
      } else {
        out.push_back(at(d, u));
      }
    }
    return out;
  }

  const std::string& name_;
  std::string where_;
  const Node& definition_;
  const Scope& scope_;
};

}  // namespace

base::Result<std::vector<Variant>> expand(const std::string& name, const Node& definition, const Scope& scope) {
  return Expander(name, definition, scope).run();
}

}  // namespace flow
