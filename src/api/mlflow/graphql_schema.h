// What MLflow's GraphQL offers: its types over the JSON of the REST answers, whose field names are the sources. Static
// data, and the functions that hold a query against it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "api/mlflow/graphql_syntax.h"
#include "base/json.h"
#include "base/json_writer.h"

namespace api::mlflow::graphql {

enum class Scalar : uint8_t { kString, kLong, kInt, kFloat, kBool, kEnum, kObject };

struct Type;
struct Field {
  std::string_view name;    // in queries
  std::string_view source;  // in the REST answer
  Scalar scalar = Scalar::kString;
  bool list = false;
  const Type* type = nullptr;  // kObject
  bool optional = false;       // null where the source is absent; else a default, as protobuf has it
};
struct Type {
  std::string_view name;
  std::span<const Field> fields;
  const Field* find(std::string_view field) const;
};

struct InputField {
  std::string_view name, source;
  Scalar scalar = Scalar::kString;
  bool list = false;
};
enum class Call : uint8_t {
  kGetExperiment,
  kGetRun,
  kSearchRuns,
  kSearchVersions,
  kSearchDatasets,
  kHistory,
  kListArtifacts,
  kTest
};
struct Root {  // a field of Query or Mutation
  std::string_view name;
  Call call;
  std::string_view argument;  // its one argument
  std::string_view input;     // the type's name
  std::span<const InputField> fields;
  const Type* answer;
  bool in_query, in_mutation;
};

inline constexpr int kDepth = 10;
inline constexpr size_t kSelections = 1000;
inline constexpr size_t kRootFields = 10;
inline constexpr size_t kAliases = 10;  // of one level

// A field as it will be answered, with what is picked below it from all places where the query names it.
struct Picked {
  std::string key;  // in the answer
  const Selection* selection = nullptr;
  const Field* field = nullptr;  // null: __typename
  std::vector<Picked> below;
};
struct RootCall {
  std::string key;
  const Root* root = nullptr;  // null: __typename
  base::json::object input;    // by source names
  std::vector<Picked> below;
  bool picks(std::string_view a, std::string_view b, std::string_view c) const;  // a.b.c is asked for
};

struct Plan {
  std::string type;  // "Query", "Mutation"
  std::vector<RootCall> calls;
};

// Which operation, held against the schema and the limits. The error is for people; a query has at most one.
base::Result<Plan> plan(const Document& document, std::string_view operation, const base::json::object& variables);

// `data` is the REST answer's object; what is not there gets protobuf's default.
void project(base::JsonWriter& json, const Type& type, const base::json::object& data,
             const std::vector<Picked>& picked);

}  // namespace api::mlflow::graphql
