// KServe v1 :explain: what each feature adds to the answer. {"instances": […], "parameters"?, "background"?} →
// {"predictions": […], "explanations": [{"base_values", "values"} per instance], "method", "of", "features",
// "classes"}.
//   parameters.method   tree, kernel or occlusion; by default tree where the model offers it
//   parameters.samples  kernel: how many subsets of features are asked; parameters.seed: which
//   background          rows that stand for "not knowing a feature"; by default drawn from the profile of the rows on
//                       which the gate judged the model
#include "serve/explain.h"

#include <algorithm>
#include <cmath>

#include "api/inference/core.h"
#include "api/inference/rows_body.h"
#include "base/clock.h"
#include "base/json_writer.h"

namespace api::inference {
namespace {

namespace json = base::json;

constexpr size_t kDrawnBackground = 32;  // rows, if the request brings none
constexpr int64_t kExplainUs = 30'000'000;

enum class Method : uint8_t { kAuto, kTree, kKernel, kOcclusion };

struct Wanted {
  Method method = Method::kAuto;
  serve::ExplainOptions options;
};

base::Result<Wanted> read_parameters(const json::object& body, const net::Request& request) {
  Wanted out;
  const int64_t own_end = base::system_clock().mono_us() + kExplainUs;
  const int64_t request_end = request.ctx.deadline_mono_us;
  out.options.deadline_mono_us = request_end == 0 ? own_end : std::min(own_end, request_end);
  const auto* parameters = body.if_contains("parameters");
  if (!parameters) return out;
  TRY_SET(const json::object* object, base::as_object(*parameters, "parameters"));
  TRY_SET(const auto method, base::optional_string(*object, "method"));
  TRY_SET(const auto samples, base::optional_int(*object, "samples"));
  TRY_SET(const auto seed, base::optional_int(*object, "seed"));
  if (method) {
    if (*method == "tree")
      out.method = Method::kTree;
    else if (*method == "kernel")
      out.method = Method::kKernel;
    else if (*method == "occlusion")
      out.method = Method::kOcclusion;
    else
      return base::invalid("parameters.method is '" + method->substr(0, 40) + "'; allowed: tree, kernel, occlusion");
  }
  if (samples) {
    if (*samples < 1 || *samples > static_cast<int64_t>(serve::kMaxCoalitions))
      return base::invalid("parameters.samples is " + std::to_string(*samples) + "; allowed: 1 to " +
                           std::to_string(serve::kMaxCoalitions));
    out.options.coalitions = static_cast<size_t>(*samples);
  }
  if (seed) out.options.seed = static_cast<uint64_t>(*seed);
  return out;
}

// The rows inside tensors as a table: one column a feature.
stats::Table table_of(const serve::Predictor& predictor, std::span<const serve::Tensor> tensors) {
  serve::RawRows rows;
  predictor.rows_of(tensors, rows);
  const auto& features = predictor.features();
  const auto texts = static_cast<size_t>(std::ranges::count_if(features, &serve::Feature::text));
  const size_t numbers = features.size() - texts;
  stats::Table out;
  size_t number = 0, text = 0;
  for (const serve::Feature& feature : features) {
    if (feature.text) {
      stats::Texts column(rows.count);
      for (size_t row = 0; row < rows.count; ++row) {
        const std::string& value = rows.texts[row * texts + text];
        if (!value.empty()) column[row] = value;
      }
      ++text;
      out.columns.push_back({feature.name, std::move(column)});
    } else {
      stats::Numbers column(rows.count);
      for (size_t row = 0; row < rows.count; ++row) column[row] = rows.numbers[row * numbers + number];
      ++number;
      out.columns.push_back({feature.name, std::move(column)});
    }
  }
  return out;
}

base::Result<stats::Table> background_of(const Door& door, const serve::LiveEndpoint& endpoint,
                                         const json::object& body, uint64_t seed) {
  if (const auto* given = body.if_contains("background")) {
    if (given->is_array() && given->as_array().size() > serve::kMaxBackgroundRows) {
      return base::invalid("the background must have 1 to " + std::to_string(serve::kMaxBackgroundRows) +
                           " rows, found " + std::to_string(given->as_array().size()));
    }
    auto tensors = from_instances(*endpoint.predictor, *given);
    if (!tensors) return std::unexpected(std::move(tensors).error().within("background"));
    // Rows may be taken out only of tensors that the model accepts.
    if (auto ran = endpoint.predictor->infer(*tensors); !ran)
      return std::unexpected(std::move(ran).error().within("background"));
    return table_of(*endpoint.predictor, *tensors);
  }
  if (door.profiles) {
    TRY_SET(const auto profile, door.profiles(endpoint));
    if (profile) {
      stats::Table drawn = serve::background_rows(*profile, endpoint.predictor->features(), kDrawnBackground, seed);
      if (!drawn.columns.empty()) return drawn;
    }
  }
  return base::invalid("endpoint '" + endpoint.name +
                       "' has no profile of the rows on which its model was judged; send rows as 'background'");
}

void append_number(base::JsonWriter& out, double value) {
  if (std::isfinite(value))
    out.value(value);
  else
    out.null();
}

void append_explanations(base::JsonWriter& out, const serve::Contributions& of) {
  const size_t width = of.features + 1;
  out.key("explanations").begin_array();
  for (size_t row = 0; row < of.rows; ++row) {
    const double* const values = of.values.data() + row * of.groups * width;
    out.begin_object().key("base_values").begin_array();
    for (size_t g = 0; g < of.groups; ++g) append_number(out, values[g * width + of.features]);
    out.end_array().key("values").begin_array();
    for (size_t g = 0; g < of.groups; ++g) {
      out.begin_array();
      for (size_t i = 0; i < of.features; ++i) append_number(out, values[g * width + i]);
      out.end_array();
    }
    out.end_array().end_object();
  }
  out.end_array();
}

struct Explained {
  serve::Contributions values;
  Method method = Method::kTree;
};

base::Result<Explained> explain_rows(const Door& door, const serve::LiveEndpoint& endpoint, const json::object& body,
                                     const std::vector<serve::Tensor>& tensors, const Wanted& wanted) {
  const serve::Predictor& predictor = *endpoint.predictor;
  const bool tree = predictor.model().explains() && !predictor.applies_transform();
  Explained out{.values = {}, .method = wanted.method};
  if (wanted.method == Method::kAuto) out.method = tree ? Method::kTree : Method::kKernel;
  if (out.method == Method::kTree) {
    if (!tree) {
      return base::invalid(predictor.applies_transform()
                               ? "the data's transform stands before the trees, whose values would be of its columns; "
                                 "use method kernel"
                               : "the model has no trees to explain; use method kernel or occlusion");
    }
    TRY_SET(out.values, predictor.model().contributions(tensors));
    return out;
  }
  TRY_SET(const stats::Table background, background_of(door, endpoint, body, wanted.options.seed));
  const stats::Table rows = table_of(predictor, tensors);
  TRY_SET(out.values, out.method == Method::kKernel ? serve::kernel_shap(predictor, rows, background, wanted.options)
                                                    : serve::occlusion(predictor, rows, background, wanted.options));
  return out;
}

base::Result<void> explain(const Door& door, net::Request& request, net::Response& response, std::string_view body) {
  TRY_SET(const Target target,
          find_target(door, request, request.param("model"), request.param("version"), Purpose::kLong));
  const serve::LiveEndpoint& endpoint = *target.endpoint;
  if (!endpoint.predictor) return std::unexpected(endpoint.problem);
  TRY_SET(const json::value value, base::parse_json(body));
  TRY_SET(const json::object* object, base::as_object(value, "the body"));
  const auto* instances = object->if_contains("instances");
  if (!instances) return base::invalid("the body must hold 'instances' (rows)");
  TRY_SET(const Wanted wanted, read_parameters(*object, request));
  TRY_SET(const std::vector<serve::Tensor> tensors, from_instances(*endpoint.predictor, *instances));
  const auto& features = endpoint.predictor->features();
  const size_t rows = tensors.empty() || tensors[0].shape.empty() ? 0 : static_cast<size_t>(tensors[0].shape[0]);
  if (rows == 0 || rows > serve::kMaxExplainRows) {
    return base::invalid("explained are 1 to " + std::to_string(serve::kMaxExplainRows) +
                         " instances of a request, found " + std::to_string(rows));
  }
  Answer answer;
  TRY_SET(answer.outputs, endpoint.predictor->infer(tensors));
  answer.prediction = endpoint.predictor->read(answer.outputs);
  TRY_SET(const Explained explained, explain_rows(door, endpoint, *object, tensors, wanted));

  std::string out = "{\"predictions\":";
  append_predictions(out, answer);
  out += ',';
  std::string rest;
  base::JsonWriter json(rest);
  json.begin_object();
  append_explanations(json, explained.values);
  const bool tree = explained.method == Method::kTree;
  json.field("method", tree ? "tree" : explained.method == Method::kKernel ? "kernel" : "occlusion");
  // The trees' sums are before the link: a classifier's log-odds.
  json.field("of", tree ? "margin" : "score").key("features").begin_array();
  for (const serve::Feature& feature : features) json.value(feature.name);
  json.end_array();
  const auto& classes = endpoint.predictor->model().classes();
  if (classes.size() == explained.values.groups) {
    json.key("classes").begin_array();
    for (const std::string& name : classes) json.value(name);
    json.end_array();
  }
  json.end_object();
  response.header("X-Lathe-Model-Version", endpoint.version);
  send_packed(request, response, "application/json", out += std::string_view(rest).substr(1));
  return {};
}

}  // namespace

void add_explain_routes(net::RouteTable& routes, const DoorPtr& door) {
  constexpr auto kProtocol = net::Protocol::kKserveV1;
  constexpr net::RouteLimits kRows{.body_bytes = base::limits::kSmallBody};
  for (const char* pattern : {"/v1/models/{model}:explain", "/v1/models/{model}/versions/{version}:explain"}) {
    routes.add({net::Method::kPost, pattern, kProtocol, base::Permission::kInfer, kRows,
                with_body(door, kProtocol, explain, base::limits::kSmallBody)});
  }
}

}  // namespace api::inference
