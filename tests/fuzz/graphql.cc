// MLflow's GraphQL: a query's text, and the query held against the schema with variables from outside, then answered
// from data of another shape than it hopes for.
#include "api/mlflow/graphql_schema.h"
#include "base/utf8.h"
#include "fuzz.h"

namespace graphql = api::mlflow::graphql;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const std::string_view query = input.text(), operation = input.text(), variables = input.rest();
  const auto document = graphql::parse(query);
  if (!document) return 0;
  base::json::object given;
  if (auto parsed = base::parse_json(variables); parsed && parsed->is_object()) given = std::move(parsed->get_object());
  const auto plan = graphql::plan(*document, operation, given);
  if (!plan) {
    REQUIRE(!plan.error().message.empty());
    return 0;
  }
  REQUIRE(plan->calls.size() <= graphql::kRootFields);
  for (const graphql::RootCall& call : plan->calls) {
    if (call.root == nullptr) continue;
    std::string out;
    base::JsonWriter json(out);
    project(json, *call.root->answer, given, call.below);
    REQUIRE(base::parse_json(out));
  }
  return 0;
}
