// Label schemas: the questions of a review.
#include "traces/label_schemas.h"

#include "api/mlflow/door.h"

namespace api::mlflow {

namespace json = base::json;
using base::JsonWriter;
using net::Method;
using store::Tx;
using traces::LabelInput;

namespace {

constexpr std::string_view kTypes[] = {"LABEL_SCHEMA_TYPE_UNSPECIFIED", "FEEDBACK", "EXPECTATION"};

std::optional<double> number(Args& args, const json::object& object, std::string_view name) {
  if (args.value_in(object, name) == nullptr) return std::nullopt;
  return args.number_in(object, name, "input");
}

LabelInput parse_input(Args& args, const json::object& input) {
  LabelInput out;
  if (const json::object* pass_fail = args.object_in(input, "pass_fail", "input")) {
    out.kind = LabelInput::Kind::kPassFail;
    out.positive = args.text_in(*pass_fail, "positive_label", "input.pass_fail", false);
    out.negative = args.text_in(*pass_fail, "negative_label", "input.pass_fail", false);
  } else if (const json::object* categorical = args.object_in(input, "categorical", "input")) {
    out.kind = LabelInput::Kind::kCategorical;
    out.options = args.texts_in(*categorical, "options", "input.categorical");
    out.multi_select = args.boolean_in(*categorical, "multi_select", "input.categorical", false);
  } else if (const json::object* numeric = args.object_in(input, "numeric", "input")) {
    out.kind = LabelInput::Kind::kNumeric;
    out.min_value = number(args, *numeric, "min_value");
    out.max_value = number(args, *numeric, "max_value");
  } else if (const json::object* text = args.object_in(input, "text", "input")) {
    out.kind = LabelInput::Kind::kText;
    out.max_length = args.integer_in(*text, "max_length", "input.text");
  }
  return out;
}

traces::NewLabelSchema parse_create(Args& args) {
  traces::NewLabelSchema out;
  out.experiment_id = args.required_text("experiment_id");
  out.name = args.required_text("name");
  out.type = args.choice("type", kTypes, 0).value_or(0);
  out.instruction = args.optional_text("instruction");
  out.enable_comment = args.boolean("enable_comment").value_or(false);
  if (const json::object* input = args.object_in(args.root(), "input", "")) out.input = parse_input(args, *input);
  return out;
}

traces::LabelSchemaUpdate parse_update(Args& args) {
  traces::LabelSchemaUpdate out;
  out.schema_id = args.required_text("schema_id");
  out.name = args.optional_text("name");
  out.instruction = args.optional_text("instruction");
  out.enable_comment = args.boolean("enable_comment");
  if (const json::object* input = args.object_in(args.root(), "input", "")) out.input = parse_input(args, *input);
  return out;
}

void write_schema(JsonWriter& out, const traces::LabelSchema& schema) {
  out.begin_object().field("schema_id", schema.schema_id).field("experiment_id", std::to_string(schema.experiment));
  out.field("name", schema.name).field("type", kTypes[static_cast<size_t>(schema.type)]);
  if (schema.instruction) out.field("instruction", *schema.instruction);
  out.field("enable_comment", schema.enable_comment).key("input").raw(schema.input);
  out.field("created_at", schema.created_ms).field("last_updated_at", schema.updated_ms);
  out.field("is_default", schema.is_default).end_object();
}

void render(JsonWriter& out, const traces::LabelSchema& schema) {
  out.key("label_schema");
  write_schema(out, schema);
}

}  // namespace

void add_label_schema_routes(Door& door) {
  const auto parse_id = [](Args& args) { return args.required_text("schema_id"); };
  door.write(Method::kPost, "label-schemas/create", parse_create, traces::create_label_schema, render);
  door.read(
      Method::kGet, "label-schemas/get", parse_id,
      [](Tx& tx, const std::string& id) { return traces::get_label_schema(tx, id); }, render);
  struct Named {
    std::string experiment_id, name;
  };
  door.point(
      Method::kGet, "label-schemas/get-by-name",
      [](Args& args) { return Named{args.required_text("experiment_id"), args.required_text("name")}; },
      [](Tx& tx, const Named& in) { return traces::get_label_schema_by_name(tx, in.experiment_id, in.name); }, render);
  door.read(
      Method::kGet, "label-schemas/list",
      [](Args& args) {
        return traces::PageQuery{args.required_text("experiment_id"), args.integer("max_results").value_or(100),
                                 args.text("page_token")};
      },
      traces::list_label_schemas,
      [](JsonWriter& out, const track::Page<traces::LabelSchema>& page) {
        out.key("label_schemas").begin_array();
        for (const traces::LabelSchema& schema : page.rows) write_schema(out, schema);
        out.end_array();
        out.field("next_page_token", page.next_token);
      });
  door.write(Method::kPatch, "label-schemas/update", parse_update, traces::update_label_schema, render);
  door.write(Method::kDelete, "label-schemas/delete", parse_id,
             [](Tx& tx, const std::string& id) { return traces::delete_label_schema(tx, id); });
}

}  // namespace api::mlflow
