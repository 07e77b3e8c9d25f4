#include "traces/translate.h"

#include <array>
#include <charconv>

#include "traces/python_json.h"
#include "traces/traces.h"
#include "track/validate.h"

namespace traces {

namespace json = base::json;

namespace {

struct Word {
  std::string_view theirs, ours;
};

struct Convention {
  std::string_view kind;
  std::span<const Word> types;
  std::string_view input_tokens, output_tokens, total_tokens, cache_read, cache_creation;
  std::array<std::string_view, 2> inputs, outputs;
  std::array<std::string_view, 4> models;
  std::string_view provider;
};

constexpr std::array kOpenInferenceTypes = {
    Word{"TOOL", "TOOL"},           Word{"CHAIN", "CHAIN"},         Word{"LLM", "LLM"},
    Word{"RETRIEVER", "RETRIEVER"}, Word{"EMBEDDING", "EMBEDDING"}, Word{"AGENT", "AGENT"},
    Word{"RERANKER", "RERANKER"},   Word{"GUARDRAIL", "GUARDRAIL"}, Word{"EVALUATOR", "EVALUATOR"}};
constexpr std::array kGenAiTypes = {Word{"chat", "CHAT_MODEL"},      Word{"create_agent", "AGENT"},
                                    Word{"embeddings", "EMBEDDING"}, Word{"execute_tool", "TOOL"},
                                    Word{"generate_content", "LLM"}, Word{"invoke_agent", "AGENT"},
                                    Word{"text_completion", "LLM"},  Word{"response", "LLM"}};
constexpr std::array kTraceloopTypes = {Word{"workflow", "WORKFLOW"}, Word{"task", "TASK"}, Word{"agent", "AGENT"},
                                        Word{"tool", "TOOL"}};

constexpr std::array kConventions = {
    Convention{"openinference.span.kind",
               kOpenInferenceTypes,
               "llm.token_count.prompt",
               "llm.token_count.completion",
               "llm.token_count.total",
               "llm.token_count.prompt_details.cache_read",
               "llm.token_count.prompt_details.cache_write",
               {"input.value"},
               {"output.value"},
               {"llm.response.model_name", "llm.model_name", "llm.request.model_name", "embedding.model_name"},
               "llm.provider"},
    Convention{"gen_ai.operation.name",
               kGenAiTypes,
               "gen_ai.usage.input_tokens",
               "gen_ai.usage.output_tokens",
               "",
               "gen_ai.usage.cache_read.input_tokens",
               "gen_ai.usage.cache_write.input_tokens",
               {"gen_ai.input.messages", "gen_ai.tool.call.arguments"},
               {"gen_ai.output.messages", "gen_ai.tool.call.result"},
               {"gen_ai.response.model", "gen_ai.request.model"},
               "gen_ai.provider.name"},
    Convention{"traceloop.span.kind",
               kTraceloopTypes,
               "gen_ai.usage.prompt_tokens",
               "gen_ai.usage.completion_tokens",
               "llm.usage.total_tokens",
               "",
               "",
               {"traceloop.entity.input"},
               {"traceloop.entity.output"},
               {},
               "gen_ai.system"},
};

const std::string* look(const Span& span, std::string_view key) { return key.empty() ? nullptr : span.find(key); }

std::optional<int64_t> count_of(const std::string* json) {
  if (json == nullptr) return std::nullopt;
  const std::string digits = text_or_json(*json);
  int64_t number = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (failed != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

// A text that is itself JSON stands as that JSON, as upstream's inputs and outputs do.
std::string unwrapped(const std::string& json) {
  const std::string inner = text_or_json(json);
  return inner != json && try_parse(inner) ? inner : json;
}

void translate_type(Span& span) {
  const std::string* now = span.find("mlflow.spanType");
  if (now != nullptr && text_or_json(*now) != "UNKNOWN") return;
  for (const Convention& convention : kConventions) {
    const std::string* kind = look(span, convention.kind);
    if (kind == nullptr) continue;
    const std::string word = text_or_json(*kind);
    for (const Word& type : convention.types) {
      if (type.theirs == word) return span.set("mlflow.spanType", python_string(type.ours));
    }
  }
}

template <size_t n>
const std::string* first_of(const Span& span, const std::array<std::string_view, n>& keys) {
  for (const std::string_view key : keys) {
    if (const std::string* found = look(span, key); found != nullptr && *found != "\"\"" && *found != "null")
      return found;
  }
  return nullptr;
}

void translate_usage(Span& span) {
  if (span.find("mlflow.chat.tokenUsage") != nullptr) return;
  for (const Convention& convention : kConventions) {
    const auto input = count_of(look(span, convention.input_tokens));
    const auto output = count_of(look(span, convention.output_tokens));
    auto total = count_of(look(span, convention.total_tokens));
    if (!total && input && output) total = *input + *output;
    if (!input && !output && !total) continue;
    const auto cache_creation = count_of(look(span, convention.cache_creation));
    const std::array<std::optional<int64_t>, 5> counts = {input, output, total,
                                                          count_of(look(span, convention.cache_read)), cache_creation};
    std::string usage;
    for (size_t i = 0; i < counts.size(); ++i) {
      if (!counts[i]) continue;
      usage.append(usage.empty() ? "{" : ", ").append(python_string(kTokenKeys[i])).append(": ");
      usage += std::to_string(*counts[i]);
    }
    return span.set("mlflow.chat.tokenUsage", usage + "}");
  }
}

std::string model_within(const std::string* json) {
  if (json == nullptr) return "";
  const auto parsed = try_parse(*json);
  if (!parsed || !parsed->is_object()) return "";
  const auto* model = parsed->get_object().if_contains("model");
  return model != nullptr && model->is_string() ? std::string(model->get_string()) : "";
}

void translate_model(Span& span) {
  if (span.find("mlflow.llm.model") == nullptr) {
    std::string model;
    for (const Convention& convention : kConventions) {
      if (const std::string* found = first_of(span, convention.models); model.empty() && found != nullptr) {
        model = text_or_json(*found);
      }
    }
    if (model.empty()) model = model_within(span.find("mlflow.spanInputs"));
    if (model.empty()) model = model_within(span.find("mlflow.spanOutputs"));
    if (!model.empty()) span.set("mlflow.llm.model", python_string(model));
  }
  if (span.find("mlflow.llm.provider") != nullptr) return;
  for (const Convention& convention : kConventions) {
    if (const std::string* found = look(span, convention.provider)) {
      return span.set("mlflow.llm.provider", python_string(text_or_json(*found)));
    }
  }
}

bool is_message(const json::value& item) {
  return item.is_object() && item.get_object().contains("role") && item.get_object().contains("content");
}

std::vector<const json::object*> messages_of(const json::value& value) {
  std::vector<const json::object*> out;
  if (!value.is_object()) return out;
  const json::object& object = value.get_object();
  const auto take = [&](const json::value* items) {
    if (items == nullptr || !items->is_array() || items->get_array().empty()) return false;
    for (const json::value& item : items->get_array()) {
      if (is_message(item)) out.push_back(&item.get_object());
    }
    return true;
  };
  if (take(object.if_contains("messages"))) return out;
  if (const auto* choices = object.if_contains("choices"); choices != nullptr && choices->is_array() &&
                                                           !choices->get_array().empty() &&
                                                           choices->get_array()[0].is_object()) {
    const auto* message = choices->get_array()[0].get_object().if_contains("message");
    if (message != nullptr && is_message(*message)) {
      out.push_back(&message->get_object());
      return out;
    }
  }
  if (take(object.if_contains("input")) || take(object.if_contains("output"))) return out;
  if (const auto* request = object.if_contains("request")) return messages_of(*request);
  return out;
}

std::string text_of(const json::object& message) {
  const json::value* content = message.if_contains("content");
  if (content == nullptr) return "";
  if (content->is_string()) return std::string(content->get_string());
  if (!content->is_array()) return "";
  for (const json::value& part : content->get_array()) {
    if (part.is_string()) return std::string(part.get_string());
    if (!part.is_object()) continue;
    const auto* type = part.get_object().if_contains("type");
    const auto* text = part.get_object().if_contains("text");
    if (type != nullptr && text != nullptr && text->is_string() &&
        (*type == json::value("text") || *type == json::value("output_text"))) {
      return std::string(text->get_string());
    }
  }
  return "";
}

}  // namespace

void translate(Span& span) {
  translate_type(span);
  for (const Convention& convention : kConventions) {
    const std::string* inputs = first_of(span, convention.inputs);
    if (inputs != nullptr && span.find("mlflow.spanInputs") == nullptr)
      span.set("mlflow.spanInputs", unwrapped(*inputs));
    const std::string* outputs = first_of(span, convention.outputs);
    if (outputs != nullptr && span.find("mlflow.spanOutputs") == nullptr) {
      span.set("mlflow.spanOutputs", unwrapped(*outputs));
    }
  }
  translate_usage(span);
  translate_model(span);
}

std::string preview_of(const std::string& json, std::string_view role) {
  std::string content;
  if (const auto parsed = try_parse(json)) {
    const auto messages = messages_of(*parsed);
    const json::object* chosen = messages.empty() ? nullptr : messages.back();
    for (const json::object* message : messages) {
      if ((*message).at("role") == json::value(role)) chosen = message;
    }
    if (chosen != nullptr) content = text_of(*chosen);
  }
  if (content.empty()) content = json;
  std::erase(content, '\0');
  if (track::count_chars(content) <= kPreviewChars) return content;
  return std::string(track::first_chars(content, kPreviewChars - 3)) + "...";
}

}  // namespace traces
