// Events that come in crowds are one line: labels, traces, runs of a sweep.
import type { PastEvent } from "./types";

/** Kinds of which each is of little interest by itself, and the page that lists them. */
export const CROWDS: Record<string, { many: string; page: string }> = {
  "trace.logged": { many: "traces logged", page: "traces" },
  "run.created": { many: "runs began", page: "runs" },
};
export interface Line { event: PastEvent; count: number } // the newest of them

export function together(events: readonly PastEvent[]): Line[] {
  const out: Line[] = [];
  for (const event of events) {
    const last = out.at(-1);
    if (last?.event.kind !== event.kind) out.push({ event, count: 1 });
    else if (event.kind === "feedback.received") last.event = { ...last.event, body: { ...last.event.body, labels: Number(last.event.body.labels ?? 0) + Number(event.body.labels ?? 0) } };
    else if (event.kind in CROWDS) last.count++;
    else out.push({ event, count: 1 });
  }
  return out;
}
