// Prompts are registered models with a tag, their versions model versions whose text is in another, as MLflow's clients
// write them.
import { type UseQueryResult, useQuery } from "@tanstack/react-query";
import { type ApiError, currentProject, get } from "./api";

interface Tag { key: string; value?: string }
interface WireModel { name: string; creation_timestamp?: number | string; last_updated_timestamp?: number | string; description?: string; tags?: Tag[]; aliases?: { alias: string; version: string | number }[]; latest_versions?: WireVersion[] }
interface WireVersion { name: string; version: string | number; creation_timestamp?: number | string; description?: string; tags?: Tag[]; aliases?: string[] }

export interface Prompt { name: string; description: string; created_ms: number; updated_ms: number; tags: Record<string, string>; aliases: Record<string, number> }
export interface PromptVersion { version: number; text: string; chat: Message[] | null; created_ms: number; message: string; tags: Record<string, string>; aliases: string[]; format?: string; model?: string }
export interface Message { role: string; content: string }

const IS_PROMPT = "tags.`mlflow.prompt.is_prompt` = 'true'";
const tagsOf = (tags: readonly Tag[] | undefined): Record<string, string> => Object.fromEntries((tags ?? []).map((t) => [t.key, t.value ?? ""]));
const own = (tags: Record<string, string>): Record<string, string> => Object.fromEntries(Object.entries(tags).filter(([k]) => !k.startsWith("mlflow.") && !k.startsWith("_mlflow")));

function readPrompt(m: WireModel): Prompt {
  return { name: m.name, description: m.description ?? "", created_ms: Number(m.creation_timestamp ?? 0), updated_ms: Number(m.last_updated_timestamp ?? 0), tags: own(tagsOf(m.tags)), aliases: Object.fromEntries((m.aliases ?? []).map((a) => [a.alias, Number(a.version)])) };
}
export function readVersion(v: WireVersion): PromptVersion {
  const tags = tagsOf(v.tags);
  const text = tags["mlflow.prompt.text"] ?? "";
  let chat: Message[] | null = null;
  if (tags._mlflow_prompt_type === "chat") {
    try {
      const messages = JSON.parse(text) as Message[];
      if (Array.isArray(messages)) chat = messages.map((m) => ({ role: String(m.role), content: typeof m.content === "string" ? m.content : JSON.stringify(m.content) }));
    } catch {
      /* as text */
    }
  }
  return { version: Number(v.version), text, chat, created_ms: Number(v.creation_timestamp ?? 0), message: v.description ?? "", tags: own(tags), aliases: v.aliases ?? [], format: tags._mlflow_prompt_response_format, model: tags._mlflow_prompt_model_config };
}
/** A chat as one text, so that two versions of it can be set against one another. */
export const asText = (v: PromptVersion): string => (v.chat ? v.chat.map((m) => `${m.role}:\n${m.content}`).join("\n\n") : v.text);
export const variablesOf = (text: string): string[] => [...new Set([...text.matchAll(/\{\{\s*([A-Za-z_][\w.]*)\s*\}\}/g)].map((m) => m[1] as string))];

const TOPICS = ["registered_model", "model_version", "prompt"];
const MOST = 1000;
export function usePrompts(part: string): UseQueryResult<{ prompts: Prompt[]; more: boolean }, ApiError> {
  return useQuery({
    queryKey: [currentProject(), "prompts", part],
    queryFn: async ({ signal }) => {
      const answer = await get<{ registered_models?: WireModel[]; next_page_token?: string }>("/ajax-api/2.0/mlflow/registered-models/search", { filter: part ? `${IS_PROMPT} AND name ILIKE '%${part.replaceAll("'", "")}%'` : IS_PROMPT, max_results: MOST }, signal);
      return { prompts: (answer.registered_models ?? []).map(readPrompt), more: !!answer.next_page_token };
    },
    meta: { topics: TOPICS },
  });
}

export function usePrompt(name: string): UseQueryResult<{ prompt: Prompt; versions: PromptVersion[] }, ApiError> {
  return useQuery({
    queryKey: [currentProject(), "prompt", name],
    queryFn: async ({ signal }) => {
      const [model, found] = await Promise.all([
        get<{ registered_model: WireModel }>("/ajax-api/2.0/mlflow/registered-models/get", { name }, signal),
        get<{ model_versions?: WireVersion[] }>("/ajax-api/2.0/mlflow/model-versions/search", { filter: `name = '${name.replaceAll("'", "")}' AND ${IS_PROMPT}`, max_results: 10_000, order_by: "version_number DESC" }, signal),
      ]);
      const prompt = readPrompt(model.registered_model);
      const versions = (found.model_versions ?? []).map(readVersion).sort((a, b) => b.version - a.version);
      for (const v of versions) v.aliases = Object.entries(prompt.aliases).filter(([, n]) => n === v.version).map(([a]) => a);
      return { prompt, versions };
    },
    meta: { topics: TOPICS },
  });
}
