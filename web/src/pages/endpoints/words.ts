// What endpoints' pages say and compute the same way.
import type { EndpointFacts, Point } from "./types";

export function stateOf(e: EndpointFacts): { status: string; label: string } {
  if (e.state === "ready") return { status: "serving", label: "Serving" };
  if (e.state === "failed") return { status: "failed", label: "Cannot serve" };
  return { status: "idle", label: "Empty" };
}

/** One place per step of the range; null where nothing was asked. */
export function filled(points: readonly Point[], fromUs: number, toUs: number, stepUs: number): (Point | null)[] {
  const first = Math.floor(fromUs / stepUs);
  const out = new Array<Point | null>(Math.max(1, Math.ceil(toUs / stepUs) - first)).fill(null);
  for (const p of points) {
    const at = Math.floor(p.at_us / stepUs) - first;
    if (at >= 0 && at < out.length) out[at] = p;
  }
  return out;
}

/** A revision as people name it: by its model, or as a revision of the graph, which is no model. */
export const revisionName = (e: Pick<EndpointFacts, "graph">, r: { number: number; model: string; version: number }): string => (e.graph ? `revision ${r.number}` : `${r.model}/${r.version}`);
export const previousName = (e: EndpointFacts): string => (e.graph ? `revision ${e.previous_revision}` : e.previous_model);
