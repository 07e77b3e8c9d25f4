// What waits for a person, and what each card says next. Pure: the page's facts in, words and addresses out.
import { type MetricAlert, crossedBy } from "../../lib/alerts";
import { formatIn, formatMetric, fromUs, plural } from "../../lib/format";
import { placeOf } from "../../lib/places";
import type { Environment, Loop, OpenAlert, Overview } from "./types";

export interface Item { id: string; status: string; title: string; detail: string; at_us: number; act: string; href: string; weight: number }

export function alertSentence(a: OpenAlert): string {
  if (a.kind === "accuracy") return "accuracy on labelled traffic lies below what the gate measured";
  if (a.crossed === undefined) return `${a.kind} alert`;
  const worst = a.feature ? `: ${a.feature}${a.psi ? ` PSI ${formatMetric(a.psi)}` : ""}` : "";
  return a.kind === "quality" ? `${plural(a.crossed, "feature")} of bad quality${worst}` : `${a.crossed} of ${plural(a.family ?? a.crossed, "feature")} drifted${worst}`;
}

/** Why an open alert has not started a retraining, or what it started. */
export function retrainState(loop: Loop, env: Environment, alert: OpenAlert, now: number): string {
  if (env.retraining?.alert === alert.id) return loop.run?.id !== env.retraining.run ? "has started a retraining" : !loop.run.ended_us ? `retraining runs: ${loop.run.done} of ${loop.run.stages} tasks` : loop.run.state === "failed" ? "the retraining it started failed" : "its retraining has ended; the gate kept the champion";
  if (!env.retrains_on.includes(alert.kind)) return `${alert.kind} alerts start no retraining here`;
  if (env.cooldown_until_us) return `retrains ${formatIn(fromUs(env.cooldown_until_us) as number, now)}, after the cool-down`;
  if (env.monitor && env.monitor.labels < env.monitor.min_labels) return `waits for labels: ${env.monitor.labels} of ${env.monitor.min_labels}`;
  return "a retraining is about to start";
}

export function attentionOf(project: string, loop: Loop, now: number): Item[] {
  const out: Item[] = [];
  const { run, verdict } = loop;
  if (run?.state === "failed") {
    out.push({
      id: `run:${run.id}`, status: "failed", weight: 3, at_us: run.ended_us ?? run.created_us,
      title: `${loop.pipeline} run ${run.number} failed${run.problem ? ` in ${run.problem.stage}` : ""}`, detail: run.problem?.reason ?? "", act: "See the log",
      href: `/p/${encodeURIComponent(project)}/pipelines/${encodeURIComponent(loop.pipeline)}/runs/${run.number}${run.problem ? `?task=${encodeURIComponent(run.problem.stage)}` : ""}`,
    });
  }
  if (verdict && !verdict.passed && verdict.run === run?.id) {
    out.push({
      id: `verdict:${verdict.id}`, status: "refused", weight: 2, at_us: verdict.at_us, title: `The gate kept ${verdict.champion || "the first model"} ${verdict.champion ? `in ${verdict.environment}` : `out of ${verdict.environment}`}`,
      detail: verdict.reason, act: "Compare", href: `/p/${encodeURIComponent(project)}/models/${encodeURIComponent(loop.model)}`,
    });
  }
  for (const env of loop.environments) {
    if (env.endpoint?.problem) {
      out.push({ id: `endpoint:${env.endpoint.name}`, status: "failed", weight: 4, at_us: 0, title: `${env.endpoint.name} cannot answer`, detail: env.endpoint.problem, act: "Open", href: placeOf(project, "endpoint", env.endpoint.name) });
    }
    const traffic = env.endpoint?.traffic;
    if (env.endpoint && traffic && traffic.failures > 0) {
      out.push({
        id: `failures:${env.endpoint.name}`, status: "warning", weight: 2, at_us: 0, title: `${env.endpoint.name}: ${plural(traffic.failures, "request")} of ${plural(traffic.requests, "request")} failed`,
        detail: "in the last 15 minutes", act: "See when", href: `${placeOf(project, "endpoint", env.endpoint.name)}?from=now-15m`,
      });
    }
    for (const alert of env.monitor?.alerts ?? []) {
      out.push({
        id: `alert:${alert.id}`, status: "drifted", weight: 3, at_us: alert.raised_us, title: `${env.endpoint?.name ?? env.name}: ${alertSentence(alert)}`,
        detail: retrainState(loop, env, alert, now), act: "Look", href: placeOf(project, "alert", alert.id, { endpoint: env.endpoint?.name ?? "" }),
      });
    }
  }
  return out;
}

/** What crossed a rule lately: of a rule that many runs crossed, one line. */
export function runAttention(project: string, alerts: readonly MetricAlert[], now: number): Item[] {
  const byRule = new Map<string, MetricAlert[]>();
  for (const a of alerts) if (now - a.at_ms < RECENT_MS) byRule.set(a.rule, [...(byRule.get(a.rule) ?? []), a]);
  return [...byRule.values()].flatMap((of) => {
    const newest = of[0];
    if (!newest) return [];
    const one = of.length === 1;
    return [{
      id: `rule:${newest.rule}`, status: "warning", weight: 2, at_us: newest.at_ms * 1000, title: one ? `Run ${newest.run_name || newest.run.slice(0, 8)}: ${newest.name}` : `${plural(of.length, "run")}: ${newest.name}`,
      detail: crossedBy(newest), act: one ? "Open the run" : "See them", href: one ? placeOf(project, "run", newest.run) : placeOf(project, "metric_rule", newest.rule),
    }];
  });
}
const RECENT_MS = 24 * 3_600_000;

export const allAttention = (project: string, overview: Overview, now: number): Item[] =>
  overview.loops.flatMap((l) => attentionOf(project, l, now)).toSorted((a, b) => b.weight - a.weight || b.at_us - a.at_us);

export function causeWords(cause: string): string {
  if (cause.startsWith("alert:")) return "started by an alert";
  return { apply: "started by lathe apply", manual: "started by hand", cron: "on schedule", schedule: "on schedule" }[cause] ?? `started by ${cause}`;
}

/** The one next thing, in a sentence. */
export function nextStep(loop: Loop, env: Environment | undefined, now: number): string {
  const { run } = loop;
  if (!run) return "Start the first run: lathe run";
  if (!run.ended_us) return run.running.length ? `Running ${run.running.slice(0, 2).join(", ")}${run.running.length > 2 ? ` and ${run.running.length - 2} more` : ""}` : "Waits for a free slot";
  if (run.state === "failed") return `Mend ${run.problem?.stage ?? "the run"}, then lathe apply`;
  if (!env) return "Nothing is deployed: lathe.yaml names no environment";
  if (env.endpoint?.problem) return `${env.endpoint.name} cannot answer: see why`;
  if (!env.live) return "Nothing serves yet: no challenger has passed the gate";
  const alert = env.monitor?.alerts[0];
  if (alert) return capital(retrainState(loop, env, alert, now));
  if (!env.endpoint?.traffic?.requests && !env.monitor?.windows.length) return "Send the first request: the endpoint's page has the line";
  if (env.monitor && env.monitor.labels === 0) return "Send labels, and accuracy is watched too: lathe feedback";
  if (loop.cron_next_us) return `Nothing to do; retrains on schedule ${formatIn(fromUs(loop.cron_next_us) as number, now)}`;
  return "Nothing to do; the monitor watches";
}
const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);
