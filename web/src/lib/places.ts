// Where things live: the order of the side bar, the address of any object, and MLflow's own deep links.
import type { ComponentType } from "react";
import { IconActivity, IconBinaryTree2, IconCube, IconDatabase, IconFlask, IconMessage2, IconNotebook, IconPlayerPlay, IconPlugConnected, IconScale, IconTimeline, IconTopologyRing } from "@tabler/icons-react";

export interface Place { path: string; name: string; key: string; icon: ComponentType<{ size?: number; "aria-hidden"?: boolean }>; hint: string }

/** In the order of the loop. A page is listed when it is built. */
export const PLACES: Place[] = [
  { path: "", name: "Overview", key: "o", icon: IconBinaryTree2, hint: "The loop, and what needs attention" },
  { path: "data", name: "Data", key: "d", icon: IconDatabase, hint: "Versions, schema, profile, rejected rows" },
  { path: "pipelines", name: "Pipelines", key: "p", icon: IconPlayerPlay, hint: "Graphs, schedules, runs and logs" },
  { path: "runs", name: "Runs", key: "r", icon: IconFlask, hint: "Parameters, metrics and artifacts of every run" },
  { path: "models", name: "Models", key: "m", icon: IconCube, hint: "Versions, aliases, promotion" },
  { path: "evaluations", name: "Evaluations", key: "e", icon: IconScale, hint: "Measured on held-back rows, with intervals" },
  { path: "traces", name: "Traces", key: "t", icon: IconTimeline, hint: "What an application was asked and answered, span by span" },
  { path: "prompts", name: "Prompts", key: "q", icon: IconMessage2, hint: "Texts for language models, with versions" },
  { path: "endpoints", name: "Endpoints", key: "n", icon: IconPlugConnected, hint: "Traffic, latency, requests" },
  { path: "monitors", name: "Monitors", key: "w", icon: IconActivity, hint: "Drift, alerts and what they started" },
  { path: "lab", name: "Lab", key: "b", icon: IconNotebook, hint: "JupyterLab beside your data" },
  { path: "lineage", name: "Lineage", key: "l", icon: IconTopologyRing, hint: "What came from what" },
];

const LAST = "lathe.project";
export const lastProject = (): string => globalThis.localStorage?.getItem(LAST) ?? "default";
export const rememberProject = (name: string): void => localStorage.setItem(LAST, name);

const e = encodeURIComponent;
/** The page of an object, by what it is and its id (as events, alerts and lineage name them). */
export function placeOf(project: string, kind: string, id: string, extra: Record<string, string> = {}): string {
  const p = `/p/${e(project)}`;
  switch (kind) {
    case "run": return `${p}/runs/${e(id)}`;
    case "experiment": return `${p}/runs?exp=${e(id)}`;
    case "model": case "registered_model": return `${p}/models/${e(id)}`;
    case "model_version": {
      const at = id.lastIndexOf("/");
      return at > 0 ? `${p}/models/${e(id.slice(0, at))}/${e(id.slice(at + 1))}` : `${p}/lineage?id=${e(id)}`;
    }
    case "metric_rule": return `${p}/runs/alerts?rule=${e(id)}`;
    case "webhook": return `/admin/webhooks?peek=${e(id)}`;
    case "trace": return `${p}/traces/${e(id)}`;
    case "prompt": return `${p}/prompts/${e(id)}`;
    case "data": return `${p}/data?q=${e(id)}`;
    case "data_version": return `${p}/data/${e(id)}`;
    case "pipeline": return `${p}/pipelines/${e(id)}`;
    case "pipeline_run": return extra.pipeline ? `${p}/pipelines/${e(extra.pipeline)}/runs/${e(id)}` : `${p}/lineage?id=${e(id)}`;
    case "evaluation": return `${p}/evaluations/${e(id)}`;
    case "endpoint": return `${p}/endpoints/${e(id)}`;
    case "monitor": return `${p}/monitors/${e(id)}`;
    case "alert": return extra.endpoint ? `${p}/monitors/${e(extra.endpoint)}?alert=${e(id)}` : `${p}/lineage?id=${e(id)}`;
    case "prediction": return extra.endpoint ? `${p}/endpoints/${e(extra.endpoint)}/requests?peek=${e(id)}` : `${p}/lineage?id=${e(id)}`;
    default: return `${p}/lineage?id=${e(id)}`;
  }
}

/** "#/experiments/E/runs/R" of a link made for MLflow's pages → ours; null when it is none. */
export function mlflowTarget(hash: string): string | null {
  let text = hash.replace(/^#/, "");
  try {
    text = decodeURIComponent(text);
  } catch {
    return null; // not a link of anybody's
  }
  const [path = "", query = ""] = text.split("?");
  const [first, second, third, fourth] = path.split("/").filter(Boolean);
  const p = `/p/${e(lastProject())}`;
  if (first === "experiments" && second && third === "runs" && fourth) return `${p}/runs/${e(fourth)}`;
  if (first === "experiments" && second && third === "traces") return `${p}/traces?exp=${e(second)}`;
  if (first === "prompts") return second ? `${p}/prompts/${e(second)}` : `${p}/prompts`;
  if (first === "experiments" && second) return `${p}/runs?exp=${e(second)}`;
  if (first === "experiments") return `${p}/runs`;
  if (first === "runs" && second) return `${p}/runs/${e(second)}`;
  if (first === "compare-runs") {
    const runs = /\["?(.*?)"?\]/.exec(new URLSearchParams(query).get("runs") ?? "")?.[1]?.split(/"?,\s*"?/) ?? [];
    return runs.length ? `${p}/runs/compare?ids=${runs.map(e).join(",")}` : `${p}/runs`;
  }
  if (first === "models" && second && third === "versions" && fourth) return `${p}/models/${e(second)}/${e(fourth)}`;
  if (first === "models" && second) return `${p}/models/${e(second)}`;
  if (first === "models") return `${p}/models`;
  return null;
}
