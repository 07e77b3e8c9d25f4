// Rules on metrics of runs and what they raised: GET /metric-rules, /metric-alerts; the same as sentences.
import { formatDuration, formatMetric } from "./format";

export const RULE_KINDS = ["above", "below", "not_finite", "stalled"] as const;
export type RuleKind = (typeof RULE_KINDS)[number];
export interface MetricRule { id: string; experiment: string; name: string; kind: RuleKind; metric: string; threshold?: number; silent_s?: number; filter: string; created_ms: number; created_by: string }
export interface MetricAlert {
  rule: string; name: string; kind: RuleKind; run: string; run_name: string; experiment: string; at_ms: number;
  numbers: { metric?: string; value?: number | string; threshold?: number; step?: number; silent_s?: number; allowed_s?: number };
}

/** "accuracy above 0.97", "any metric silent for 10 m 00 s" */
export function conditionOf(rule: Pick<MetricRule, "kind" | "metric" | "threshold" | "silent_s">): string {
  const of = rule.metric || "any metric";
  if (rule.kind === "stalled") return `${of} silent for ${formatDuration((rule.silent_s ?? 0) * 1000)}`;
  if (rule.kind === "not_finite") return `${of} is NaN or infinite`;
  return `${of} ${rule.kind} ${formatMetric(rule.threshold)}`;
}

/** What crossed the rule, in numbers. */
export function crossedBy({ kind, numbers }: Pick<MetricAlert, "kind" | "numbers">): string {
  const of = numbers.metric || "any metric";
  if (kind === "stalled") return `${of} silent for ${formatDuration((numbers.silent_s ?? 0) * 1000)}, ${formatDuration((numbers.allowed_s ?? 0) * 1000)} allowed`;
  const at = numbers.step ? ` by step ${numbers.step}` : "";
  if (kind === "not_finite") return `${of} was ${formatMetric(numbers.value)}${at}`;
  return `${of} ${formatMetric(numbers.value)}, ${kind} ${formatMetric(numbers.threshold)}${at}`;
}

export interface Draft { experiment: string; kind: RuleKind; metric: string; threshold: string; minutes: string; filter: string; name: string }

/** What is missing in a rule that is being written; undefined: nothing. */
export function problemOf(d: Draft): string | undefined {
  if (!d.experiment) return "Choose the experiment whose runs it looks at";
  if ((d.kind === "above" || d.kind === "below") && !d.metric) return "Choose the metric";
  if ((d.kind === "above" || d.kind === "below") && !Number.isFinite(d.threshold.trim() === "" ? Number.NaN : Number(d.threshold))) return "A threshold is a number";
  if (d.kind === "stalled" && !(Number(d.minutes) > 0)) return "Say for how many minutes a run may be silent";
  return undefined;
}

export function bodyOf(d: Draft): Record<string, unknown> {
  const threshold = d.kind === "above" || d.kind === "below" ? { threshold: Number(d.threshold) } : {};
  const silent = d.kind === "stalled" ? { silent_s: Number(d.minutes) * 60 } : {};
  const words = conditionOf({ kind: d.kind, metric: d.metric, threshold: Number(d.threshold), silent_s: Number(d.minutes) * 60 });
  return { experiment: d.experiment, name: d.name.trim() || words, kind: d.kind, ...(d.metric ? { metric: d.metric } : {}), ...threshold, ...silent, ...(d.filter.trim() ? { filter: d.filter.trim() } : {}) };
}
