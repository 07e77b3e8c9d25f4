// What pipelines' pages say the same way: how long a run took, what started it, and its address.
import { Link } from "@tanstack/react-router";
import { currentProject } from "../../lib/api";
import { MISSING, formatDurationUs } from "../../lib/format";
import { placeOf } from "../../lib/places";
import type { Run } from "./types";

const RUNNING = new Set(["queued", "running"]);
export const isLive = (state: string): boolean => RUNNING.has(state);
export const isDone = (state: string): boolean => state === "succeeded" || state === "skipped";

export const runHref = (run: Pick<Run, "pipeline" | "number">, tab = ""): string =>
  `/p/${encodeURIComponent(currentProject())}/pipelines/${encodeURIComponent(run.pipeline)}/runs/${run.number}${tab && `/${tab}`}`;

/** Microseconds from start to end, or to now while it runs. */
export function elapsedUs(from: number, to: number, now: number = Date.now()): number | null {
  return from ? (to || now * 1000) - from : null;
}
export const formatElapsed = (from: number, to: number, now?: number): string => {
  const us = elapsedUs(from, to, now);
  return us === null ? MISSING : formatDurationUs(us);
};

const CAUSES: Record<string, string> = { apply: "lathe apply", manual: "by hand", cron: "schedule" };
/** What started a run, as words; an alert is linked. */
export function Cause({ cause, plain = false }: { cause: string; plain?: boolean }) {
  if (!cause.startsWith("alert:")) return <>{CAUSES[cause] ?? cause}</>;
  if (plain) return <>drift alert</>;
  return <Link to={placeOf(currentProject(), "alert", cause.slice("alert:".length)) as "/"}>drift alert</Link>;
}
export const causeText = (cause: string): string => (cause.startsWith("alert:") ? "drift alert" : (CAUSES[cause] ?? cause));

const WORDS: Record<string, string> = { "upstream-failed": "Not run" };
export const stateLabel = (state: string): string | undefined => WORDS[state];
