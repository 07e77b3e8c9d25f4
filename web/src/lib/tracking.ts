// Runs, models and evaluations as the server's page requests answer them, and the little that is decided here: which way a
// metric is better, and which colour a run has.
import { currentProject, href, useApi, type ApiOptions } from "./api";
import { formatMetric, numberOf } from "./format";

export type Value = number | string | null; // a metric: "NaN", "Infinity" come as text
export interface RunInfo {
  id: string;
  name: string;
  experiment: string;
  status: string;
  user: string;
  start_ms: number;
  end_ms: number | null;
  attempt?: string;
  lost?: boolean;
  deleted?: boolean;
}
export interface RunRow extends RunInfo { data: string[]; cells: Value[] }
export interface RunWindow { columns: string[]; rows: RunRow[]; until: number; next?: string }
export interface GroupRow { key: (string | null)[]; runs: number; running: number; failed: number; newest_ms: number; cells: ({ count: number; mean: number; sd: number | null; min: number; max: number } | null)[] }
export interface Groups { by: string[]; columns: string[]; runs: number; cut: boolean; groups: GroupRow[]; others?: GroupRow }
export interface Pair { key: string; value: string }
export interface MetricSummary { key: string; last: Value; step: number; at_ms: number; min: number | null; max: number | null }
export interface Dataset { name: string; digest: string; source_type: string; source: string; context?: string; schema?: string; profile?: string }
export interface VersionRef { name: string; version: number; aliases: string[] }
export interface LoggedModel { id: string; name: string; type: string; status: string; created_ms: number; versions: VersionRef[] }
export interface RunDetail {
  run: RunInfo & { artifact_uri: string; experiment_name: string };
  params: Pair[];
  tags: Pair[];
  metrics: MetricSummary[];
  datasets: Dataset[];
  models: LoggedModel[];
  versions: VersionRef[];
  children: RunInfo[];
  parent?: RunInfo;
  stage?: { pipeline: string; pipeline_run: string; stage: string; attempt: string; bundle: string };
}
export interface ComparedRun extends RunInfo { params: Pair[]; tags: Pair[]; metrics: MetricSummary[]; datasets: Dataset[] }
export interface Curve {
  run: string;
  key: string;
  start_ms: number;
  total: number;
  nans: number;
  sampled: boolean;
  cut: boolean;
  step: number[];
  at_ms: number[];
  value: (number | null)[];
  smooth?: (number | null)[];
}
export interface Experiment { id: string; name: string; runs: number; newest_ms: number | null }

export interface Evaluation {
  id: string; run: string; purpose: string; side: string; model: string; model_version: string | null; data_version: string; part: string; rows_sha256: string; rows: number;
  metric: string; value: number; low: number; high: number; predictions: string; created_us: number; summary?: Summary;
}
export interface Summary {
  rows: number; metric: string; value: number; low: number; high: number; confidence: number; interval: string;
  metrics: Record<string, number>;
  classes: { label: string; support: number; precision: number; recall: number; f1: number }[];
  confusion: { labels: string[]; counts: number[][] };
  slices: ({ column: string; value: string; rows: number } & Record<string, number | string>)[];
  worst: { row: number; label: string; predicted: string; score?: number }[];
}
export interface NamedEvaluation { evaluation: Evaluation; model_name: string; run_id: string; run_name: string; version: string; data_name: string; data_number: number }
export interface Measured { value: number; low: number; high: number; evaluation?: string }
export interface JudgedRows {
  data_version: string; part: string; sha256: string; rows: number; challenger: Measured; champion?: Measured;
  difference?: { value: number; low: number; high: number; p_greater: number; p_two_sided: number };
  mcnemar?: { champion_only: number; challenger_only: number; exact_p: number; exact_p_greater: number; chi2: number; chi2_p: number };
}
export interface Numbers { kind: string; metric?: string; rule?: Record<string, unknown>; rows?: JudgedRows[]; checks?: { check: string; passed: boolean; found: number; bound: number }[]; passed: boolean }
export interface Verdict {
  id: string; run: string; pipeline: string; environment: string; endpoint: string; model: string; challenger: string; champion: string | null; champion_revision: number;
  kind: string; passed: boolean; reason: string; at_us: number; numbers: Numbers;
}
export interface Promotion { endpoint: string; revision: number; previous: number; kind: string; verdict: string | null; model: string; version: number; actor: string; at_us: number }
export interface Deployed { endpoint: string; environment: string; revision: number; version: number; live: boolean; since_us: number }
export interface ModelSummary {
  name: string; created_ms: number; updated_ms: number; description: string | null; aliases: Record<string, number>; tags: Record<string, string>; versions: number; latest: number | null;
  deployed: Deployed[]; evaluation: Evaluation | null; verdict: Verdict | null;
}
export interface VersionSummary {
  name: string; version: number; source: string; run_id: string; run_name: string; model_id: string; stage: string; created_ms: number; updated_ms: number; has_files: boolean; description: string | null;
  aliases: string[]; tags: Record<string, string>; deployed: Deployed[]; evaluation: Evaluation | null; verdict: Verdict | null;
}
export interface ModelDetail { model: Omit<ModelSummary, "versions" | "latest" | "deployed" | "evaluation" | "verdict">; count: number; versions: VersionSummary[]; verdicts: Verdict[]; promotions: Promotion[]; ready: Preview[] }
export interface VersionDetail { version: VersionSummary; evaluations: Evaluation[]; verdicts: Verdict[]; promotions: Promotion[]; ready: Preview[] }
export interface Serving { model: string; version: number; subject: string; revision: number | null }
export interface Preview {
  endpoint: string; environment: string; alias: string; now: Serving | null; then: Serving | null; registers: boolean; verdict: Verdict | null; already: Promotion | null;
  baseline: Evaluation | null; refusal: string | null;
}

/** Measured on a sample: three digits say what can be known (0.940, 12.3). */
export function digits(value: Value | undefined, n = 3): string {
  const v = numberOf(value);
  if (v === null || !Number.isFinite(v) || v === 0 || Math.abs(v) >= 1000 || Math.abs(v) < 1e-3) return formatMetric(v);
  return v.toPrecision(n).replace("-", "−");
}
export const signed = (value: number, n = 3): string => (value > 0 ? `+${digits(value, n)}` : digits(value, n));
/** 0.842 [0.784, 0.887] */
export const interval = (m?: { value: number; low: number; high: number } | null): string => (m ? `${digits(m.value)} [${digits(m.low)}, ${digits(m.high)}]` : "–");

export type Query = Record<string, string | number | readonly string[] | undefined>;
/** A path with its query; lists repeat their name. */
export function withQuery(path: string, query: Query): string {
  const out = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (Array.isArray(value)) for (const one of value) out.append(key, one as string);
    else if (value !== undefined && value !== "") out.set(key, String(value));
  }
  const text = out.toString();
  return text ? `${path}?${text}` : path;
}
export const usePage = <T>(path: string, query: Query = {}, options?: ApiOptions) => useApi<T>(withQuery(`/pages${path}`, query), undefined, options);
export const pageHref = (path: string, query: Query = {}): string => href(withQuery(`/pages${path}`, query));

/** "min(metrics.loss)" → what a column shows. */
export interface ColumnName { kind: "metric" | "param" | "tag"; key: string; pick: "last" | "min" | "max" }
export function readColumn(text: string): ColumnName | null {
  const picked = /^(min|max)\((.*)\)$/.exec(text);
  const [, entity, key] = /^(metrics|params|tags)\.(.+)$/.exec(picked?.[2] ?? text) ?? [];
  if (!entity || !key) return null;
  return { kind: entity === "metrics" ? "metric" : entity === "params" ? "param" : "tag", key: key.replace(/^`(.*)`$/, "$1"), pick: (picked?.[1] as "min" | "max") ?? "last" };
}
/** A key as the filter language wants it. */
export const quoteKey = (key: string): string => (/^[A-Za-z0-9_.]+$/.test(key) ? key : `\`${key.replaceAll("`", "")}\``);
export function writeColumn({ kind, key, pick }: ColumnName): string {
  const name = `${kind === "metric" ? "metrics" : kind === "param" ? "params" : "tags"}.${quoteKey(key)}`;
  return pick === "last" ? name : `${pick}(${name})`;
}
export const quoteText = (text: string): string => (text.includes("'") ? `"${text.replaceAll('"', "")}"` : `'${text}'`);

const LESS_IS_BETTER = /(^|[^a-z])(loss|error|err|rmse|mse|mae|mape|nll|perplexity|ppl|brier|wer|cer|fpr|fnr|latency|time|duration|seconds|ms|bytes|memory|size|drift|psi)([^a-z]|$)/i;
const MORE_IS_BETTER = /(^|[^a-z])(acc|accuracy|auc|f1|precision|recall|score|r2|map|bleu|rouge|iou|dice|reward|throughput|ap|mcc|kappa)([^a-z]|$)/i;
/** Which way is better, by the name: 1 up, −1 down, 0 nobody knows (a step counter, a learning rate). */
export function better(metric: string): 1 | -1 | 0 {
  const words = metric.replace(/([a-z])([A-Z])/g, "$1_$2");
  if (LESS_IS_BETTER.test(words)) return -1;
  return MORE_IS_BETTER.test(words) || /accuracy|_auc|f1|score/i.test(words) ? 1 : 0;
}
export const bestOf = (m: MetricSummary): number | null => (better(m.key) > 0 ? m.max : better(m.key) < 0 ? m.min : null);

// A colour belongs to a run, not to its place in a list: the hash of its id wishes one, and the first to come keeps it.
const HUES = 8;
const slots = new Map<string, number>();
export function runColor(id: string): string {
  let slot = slots.get(id);
  if (slot === undefined) {
    let hash = 0;
    for (const c of id) hash = (hash * 31 + c.charCodeAt(0)) >>> 0;
    slot = hash % HUES;
    const taken = new Set(slots.values());
    for (let i = 0; taken.has(slot) && i < HUES; i++) slot = (slot + 1) % HUES;
    slots.set(id, slot);
  }
  return `--series-${slot + 1}`;
}

export const runStatus = (run: { status: string; lost?: boolean }): string => (run.lost ? "lost" : run.status);
export const runHref = (id: string): string => `/p/${encodeURIComponent(currentProject())}/runs/${id}`;
export const versionHref = (name: string, version: number | string): string => `/p/${encodeURIComponent(currentProject())}/models/${encodeURIComponent(name)}/${version}`;
export const evaluationHref = (id: string): string => `/p/${encodeURIComponent(currentProject())}/evaluations/${encodeURIComponent(id)}`;
/** How long it ran; of a run that still runs, until now. */
export const runDuration = (run: RunInfo): number | null => (run.end_ms ?? (run.status === "RUNNING" && !run.lost ? Date.now() : 0)) - run.start_ms > 0 ? (run.end_ms ?? Date.now()) - run.start_ms : null;
