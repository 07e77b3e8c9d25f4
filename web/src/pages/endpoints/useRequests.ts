// Captured requests as rows of a grid: windows, newest first, by the filters of the address.
import { useMemo } from "react";
import { useWindowRows } from "../../lib/rows";
import type { Captured, Layout, RequestsAnswer } from "./types";

export type Only = "" | "wrong" | "labelled" | "unsure";
export interface Filter { only?: string; q?: string; version?: string; role?: string; fromUs?: number; toUs?: number }
export interface RequestRow { request: Captured; layout: Layout }

const UNSURE = 0.6; // a top score below this is "unsure"

/** "label:3 >5ms pr_…": a prediction, a least latency, the head of an id. */
export function readQuery(q: string): Record<string, string | number> {
  const out: Record<string, string | number> = {};
  for (const word of q.split(/\s+/).filter(Boolean)) {
    const slow = /^>(\d+(?:\.\d+)?)(us|ms|s)?$/.exec(word);
    if (slow) out.least_us = Math.round(Number(slow[1]) * ({ us: 1, ms: 1000, s: 1e6 }[slow[2] ?? "ms"] as number));
    else if (word.startsWith("pr_")) out.id = word;
    else out.prediction = word.replace(/^prediction:/, "");
  }
  return out;
}

const read = (a: RequestsAnswer) => ({ rows: a.requests.map((request) => ({ request, layout: a.layouts[request.layout] as Layout })), next: a.next });

export function useRequests(endpoint: string, f: Filter, limit = 100) {
  const params = useMemo(
    () => ({
      ...readQuery(f.q ?? ""), role: f.role, revision: f.version || undefined, wrong: f.only === "wrong" || undefined, labelled: f.only === "labelled" || undefined,
      below_score: f.only === "unsure" ? UNSURE : undefined, from_us: f.fromUs, to_us: f.toUs,
    }),
    [f.q, f.version, f.only, f.role, f.fromUs, f.toUs],
  );
  return useWindowRows<RequestRow, RequestsAnswer>(`/pages/endpoints/${encodeURIComponent(endpoint)}/requests`, params, { topics: ["feedback", "window", "endpoint"], limit, read });
}
