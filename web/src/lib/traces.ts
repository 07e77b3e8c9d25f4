// Traces as MLflow's REST answers them (3.0), read into what the pages draw: spans as a tree with real values.
import { type InfiniteData, keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { type ApiError, ask, currentProject } from "./api";
import type { Rows } from "./rows";

export interface Assessment {
  assessment_id: string; assessment_name: string; trace_id: string; span_id?: string; source?: { source_type: string; source_id: string }; create_time: string; last_update_time?: string; rationale?: string; valid?: boolean;
  feedback?: { value?: unknown; error?: { error_code?: string; error_message?: string } }; expectation?: { value?: unknown; serialized_value?: { serialization_format: string; value: string } };
}
export interface TraceInfo {
  trace_id: string; trace_location?: { mlflow_experiment?: { experiment_id: string } }; request_time: string; execution_duration?: string; state: string;
  request_preview?: string; response_preview?: string; trace_metadata?: Record<string, string>; tags?: Record<string, string>; assessments?: Assessment[]; client_request_id?: string;
}
export interface SpanEvent { name: string; at: number; attributes: Record<string, unknown> } // at: ms since the trace began
export interface Span {
  id: string; parent: string; name: string; type: string; start: number; ms: number; // start: ms since the trace began
  status: "OK" | "ERROR" | "UNSET"; message: string; inputs: unknown; outputs: unknown; attributes: Record<string, unknown>; events: SpanEvent[];
}
export interface SpanRow { span: Span; depth: number; children: number }

const PREFIX = "mlflow.";
export const traceName = (t: TraceInfo): string => t.tags?.["mlflow.traceName"] || "trace";
/** "0.099s" → ms */
export function durationMs(t: TraceInfo): number | null {
  const s = Number(/^([\d.]+)s$/.exec(t.execution_duration ?? "")?.[1]);
  return Number.isFinite(s) ? s * 1000 : null;
}
export interface Tokens { input_tokens?: number; output_tokens?: number; total_tokens?: number }
export function tokensOf(t: TraceInfo): Tokens | null {
  try {
    return JSON.parse(t.trace_metadata?.["mlflow.trace.tokenUsage"] ?? "null") as Tokens | null;
  } catch {
    return null;
  }
}
export const ownPairs = (pairs: Record<string, string> | undefined): [string, string][] => Object.entries(pairs ?? {}).filter(([k]) => !k.startsWith(PREFIX));

export function assessedValue(a: Assessment): unknown {
  if (a.feedback) return a.feedback.error ? `failed: ${a.feedback.error.error_message ?? a.feedback.error.error_code ?? ""}` : a.feedback.value;
  if (a.expectation?.serialized_value) return maybeJson(a.expectation.serialized_value.value);
  return a.expectation?.value;
}

// --- spans: OTLP's JSON with typed values, or the older file's with values as JSON text ---

type Wire = Record<string, unknown>;
/** OTLP's AnyValue. */
export function anyValue(v: Wire | null | undefined): unknown {
  if (!v) return null;
  const pick = (snake: string) => v[snake] ?? v[snake.replace(/_(\w)/g, (_, c: string) => c.toUpperCase())];
  const [text, flag, whole, real, list, map, bytes] = ["string_value", "bool_value", "int_value", "double_value", "array_value", "kvlist_value", "bytes_value"].map(pick);
  if (text !== undefined) return text;
  if (flag !== undefined) return flag;
  if (whole !== undefined) return Number(whole);
  if (real !== undefined) return real;
  if (list !== undefined) return ((list as { values?: Wire[] }).values ?? []).map(anyValue);
  if (map !== undefined) return Object.fromEntries(((map as { values?: { key: string; value: Wire }[] }).values ?? []).map((p) => [p.key, anyValue(p.value)]));
  return bytes ?? null;
}
/** Text that is JSON becomes what it says: several clients write values so. */
export function maybeJson(v: unknown): unknown {
  if (typeof v !== "string" || !/^\s*["[{\dtfn-]/.test(v)) return v;
  try {
    return JSON.parse(v) as unknown;
  } catch {
    return v;
  }
}
function attributesOf(raw: unknown): Record<string, unknown> {
  if (Array.isArray(raw)) return Object.fromEntries((raw as { key: string; value: Wire }[]).map((a) => [a.key, anyValue(a.value)]));
  return Object.fromEntries(Object.entries((raw ?? {}) as Wire).map(([k, v]) => [k, maybeJson(v)]));
}

export function readSpans(raw: readonly Wire[]): Span[] {
  const nano = (v: unknown) => Number(v ?? 0);
  const began = raw.reduce((least, s) => Math.min(least, nano(s.start_time_unix_nano)), Number.POSITIVE_INFINITY);
  return raw.map((s): Span => {
    const attributes = attributesOf(s.attributes);
    const status = (s.status ?? {}) as { code?: string | number; message?: string };
    const code = String(status.code ?? "");
    const end = nano(s.end_time_unix_nano);
    return {
      id: String(s.span_id), parent: String(s.parent_span_id ?? ""), name: String(s.name ?? "span"), type: String(attributes["mlflow.spanType"] ?? "UNKNOWN"),
      start: (nano(s.start_time_unix_nano) - began) / 1e6, ms: end ? Math.max(0, (end - nano(s.start_time_unix_nano)) / 1e6) : 0,
      status: code === "STATUS_CODE_ERROR" || code === "2" || code === "ERROR" ? "ERROR" : code === "STATUS_CODE_OK" || code === "1" || code === "OK" ? "OK" : "UNSET", message: status.message ?? "",
      inputs: maybeJson(attributes["mlflow.spanInputs"]), outputs: maybeJson(attributes["mlflow.spanOutputs"]),
      attributes: Object.fromEntries(Object.entries(attributes).filter(([k]) => !["mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.spanType", "mlflow.traceRequestId"].includes(k))),
      events: ((s.events ?? []) as Wire[]).map((e) => ({ name: String(e.name), at: (nano(e.time_unix_nano) - began) / 1e6, attributes: attributesOf(e.attributes) })),
    };
  });
}

/** Depth first, children by their start; a span whose parent is not there stands at the root, and a ring is cut. */
export function treeOf(spans: readonly Span[], closed: ReadonlySet<string> = new Set()): SpanRow[] {
  const ids = new Set(spans.map((s) => s.id));
  const children = new Map<string, Span[]>();
  for (const s of [...spans].sort((a, b) => a.start - b.start || b.ms - a.ms)) {
    const parent = ids.has(s.parent) && s.parent !== s.id ? s.parent : "";
    children.set(parent, [...(children.get(parent) ?? []), s]);
  }
  const out: SpanRow[] = [];
  const seen = new Set<string>();
  const stack = [...(children.get("") ?? [])].reverse().map((span) => ({ span, depth: 0 }));
  while (stack.length) {
    const { span, depth } = stack.pop() as { span: Span; depth: number };
    if (seen.has(span.id)) continue;
    seen.add(span.id);
    const below = children.get(span.id) ?? [];
    out.push({ span, depth, children: below.length });
    if (!closed.has(span.id)) for (const c of [...below].reverse()) stack.push({ span: c, depth: depth + 1 });
  }
  if (closed.size === 0) for (const s of spans) if (!seen.has(s.id)) out.push({ span: s, depth: 0, children: 0 });
  return out;
}

// --- search ---

const WINDOW = 100;
export const MOST_EXPERIMENTS = 500;
interface Found { traces?: TraceInfo[]; next_page_token?: string }

export function useTraces(experiments: readonly string[], filter: string, order: string, enabled = true): Rows<TraceInfo> & { loaded: readonly TraceInfo[] } {
  const query = useInfiniteQuery<Found, ApiError, InfiniteData<Found, string>, unknown[], string>({
    queryKey: [currentProject(), "traces", experiments.join(","), filter, order],
    queryFn: async ({ pageParam, signal }) => (await (await ask("/ajax-api/3.0/mlflow/traces/search", {
      signal, json: {
        locations: experiments.slice(0, MOST_EXPERIMENTS).map((experiment_id) => ({ type: "MLFLOW_EXPERIMENT", mlflow_experiment: { experiment_id } })), max_results: WINDOW,
        ...(filter ? { filter } : {}), ...(order ? { order_by: [order] } : {}), ...(pageParam ? { page_token: pageParam } : {}),
      },
    })).json()) as Found,
    initialPageParam: "",
    getNextPageParam: (last) => last.next_page_token || undefined,
    placeholderData: keepPreviousData,
    enabled: enabled && experiments.length > 0,
    meta: { topics: ["trace"] },
  });
  const { data, hasNextPage, isFetchingNextPage, fetchNextPage } = query;
  const loaded = data?.pages.flatMap((p) => p.traces ?? []) ?? [];
  return {
    loaded, count: loaded.length + (hasNextPage ? 1 : 0), total: hasNextPage ? undefined : loaded.length, exact: !hasNextPage, at: (i) => loaded[i],
    want: (_, to) => { if (hasNextPage && !isFetchingNextPage && to > loaded.length - WINDOW / 2) void fetchNextPage(); },
    loading: (!enabled || experiments.length > 0) && !data && !query.error, stale: query.isPlaceholderData, error: data && !query.isError ? null : query.error, retry: () => void query.refetch(),
  };
}

/** Plain words look in the whole text of a trace; anything with an operator is the search language itself. */
export function traceFilter(q: string, state: string): string {
  const words = q.trim();
  const text = words === "" ? "" : /[=<>!]|\b(like|in|is)\b/i.test(words) ? words : `trace.text ILIKE '%${words.replaceAll("'", "")}%'`;
  return [text, state ? `trace.status = '${state}'` : ""].filter(Boolean).join(" AND ");
}
