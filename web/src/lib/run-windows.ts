// The runs of a filter as a grid shows them: any window of a long list, by its place, each asked for when it is scrolled
// to. The list is a snapshot (`until`): runs that come later are counted, and join when the person asks for them.
import { keepPreviousData, useQueries, useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useState } from "react";
import { type ApiError, currentProject, get } from "./api";
import { useEvents } from "./live";
import type { Rows } from "./rows";
import { type Query, type RunRow, type RunWindow, usePage, withQuery } from "./tracking";

const WINDOW = 200;

interface Kept { text: string; until?: number; rows: Map<number, RunWindow>; end?: number }

export interface RunList extends Rows<RunRow> {
  columns: readonly string[];
  fresh: number; // runs that match and came since
  refresh: () => void;
  moved: boolean; // values changed since the order was made
}

/** `query`: exp, q, sort, col, view of GET /pages/runs. */
export function useRunWindows(query: Query): RunList {
  const text = withQuery("", query);
  const [generation, setGeneration] = useState(0);
  const [range, setRange] = useState<readonly [number, number]>([0, 0]);
  // A list by start time keeps its order while values change; any other order would move under the pointer.
  const still = !query.sort || /^start_time/.test(String(query.sort));
  const topics = still ? ["run"] : [];
  const [movedAt, setMovedAt] = useState("");
  const here = `${text} ${generation}`;
  useEvents(useCallback((event) => { if (event.subject.kind === "run") setMovedAt(here); }, [here]));
  const head = useQuery<RunWindow, ApiError>({
    queryKey: [currentProject(), "/pages/runs", text, "head", generation],
    queryFn: ({ signal }) => get<RunWindow>(withQuery("/pages/runs", { ...query, limit: String(WINDOW) }), undefined, signal),
    placeholderData: keepPreviousData,
    // Its own answer fixed the snapshot; asking again would move it. The window below refreshes the values.
    staleTime: Number.POSITIVE_INFINITY,
  });
  const until = head.isPlaceholderData ? undefined : head.data?.until;
  const wanted = useMemo(() => {
    const [first, last] = [Math.floor(range[0] / WINDOW), Math.floor(range[1] / WINDOW)];
    const out: number[] = [];
    for (let w = Math.max(0, first - 1); w <= last + 1 && out.length < 8; w++) out.push(w);
    return out;
  }, [range]);
  const count = usePage<{ count: number; at_least: boolean }>("/runs/count", { ...query, sort: undefined, col: undefined, until }, { enabled: until !== undefined, keep: true });
  const total = count.data?.count;
  const [kept, setKept] = useState<Kept>({ text: "", rows: new Map() });
  const before = (w: number) => (kept.text === text && kept.until === until ? kept.rows.get(w - 1)?.next : undefined);
  const windows = useQueries({
    queries: wanted.map((w) => ({
      queryKey: [currentProject(), "/pages/runs", text, until, w],
      // The window before knows where this one begins, which costs nothing; a place far away is found by counting.
      queryFn: ({ signal }: { signal: AbortSignal }) => get<RunWindow>(withQuery("/pages/runs", { ...query, limit: String(WINDOW), ...(before(w) ? { after: before(w) } : { offset: String(w * WINDOW) }), until }), undefined, signal),
      enabled: until !== undefined && (w === 0 || (head.data?.next !== undefined && (total === undefined || count.data?.at_least || w * WINDOW < total))),
      initialData: w === 0 && !head.isPlaceholderData ? head.data : undefined,
      meta: { topics },
    })),
  });
  const marks = windows.map((w) => w.dataUpdatedAt).join();
  // biome-ignore lint/correctness/useExhaustiveDependencies: `marks` tells when a window has new rows
  useEffect(() => {
    if (until === undefined) return;
    setKept((old) => {
      const same = old.text === text && old.until === until;
      const rows = new Map(same ? old.rows : []);
      let end = same ? old.end : undefined;
      wanted.forEach((w, i) => {
        const data = windows[i]?.data;
        if (!data) return;
        rows.set(w, data);
        if (!data.next) end = Math.min(end ?? Number.POSITIVE_INFINITY, w * WINDOW + data.rows.length);
      });
      return { text, until, rows, end };
    });
  }, [marks, wanted, until, text]);

  const shown: Pick<Kept, "rows" | "end"> = kept.text === text && kept.until === until ? kept : { rows: new Map(head.data ? [[0, head.data]] : []), end: undefined };
  const deepest = Math.max(0, ...shown.rows.keys());
  const furthest = deepest * WINDOW + (shown.rows.get(deepest)?.rows.length ?? 0);
  const known = shown.end ?? (count.data && !count.data.at_least ? count.data.count : undefined);
  const rowsThere = head.data === undefined ? 0 : head.data.next === undefined ? head.data.rows.length : (known ?? Math.max(total ?? 0, furthest + 1));
  const later = usePage<{ count: number }>("/runs/count", { ...query, sort: undefined, col: undefined, above: until }, { topics: ["run"], enabled: until !== undefined });
  return {
    count: rowsThere,
    total: total ?? (head.data && !head.data.next ? head.data.rows.length : undefined),
    exact: !count.data?.at_least,
    at: (i) => shown.rows.get(Math.floor(i / WINDOW))?.rows[i % WINDOW],
    want: useCallback((first, last) => setRange((old) => (Math.floor(old[0] / WINDOW) === Math.floor(first / WINDOW) && Math.floor(old[1] / WINDOW) === Math.floor(last / WINDOW) ? old : [first, last])), []),
    loading: head.data === undefined && !head.error,
    stale: head.isPlaceholderData,
    error: head.data ? null : head.error,
    retry: () => void head.refetch(),
    columns: head.data?.columns ?? [],
    fresh: later.data?.count ?? 0,
    refresh: () => setGeneration((g) => g + 1),
    moved: !still && movedAt === here,
  };
}
