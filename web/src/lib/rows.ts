// Rows of a grid: a whole small array, or windows of a long list that the server hands out with keyset tokens.
import { type InfiniteData, keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { type ApiError, currentProject, get } from "./api";

export interface Rows<R> {
  count: number; // rows that can be scrolled to: those that are here, and one more while there are others
  total?: number; // of the whole list, when it is known
  exact: boolean;
  at: (index: number) => R | undefined;
  want: (from: number, to: number) => void; // the grid shows these: fetch what is missing
  loading: boolean; // nothing has come yet
  stale: boolean; // what is shown belongs to the filter before
  error: ApiError | null;
  retry: () => void;
}

export function useArrayRows<R>(rows: readonly R[] | undefined, state: { error?: ApiError | null; retry?: () => void; stale?: boolean } = {}): Rows<R> {
  return {
    count: rows?.length ?? 0,
    total: rows?.length,
    exact: true,
    at: (i) => rows?.[i],
    want: () => {},
    loading: rows === undefined && !state.error,
    stale: state.stale ?? false,
    error: rows === undefined ? (state.error ?? null) : null,
    retry: state.retry ?? (() => {}),
  };
}

/** One answer: rows, the token of the next window (absent at the end), and the count when the server knows it. */
export interface Window<R> {
  rows: R[];
  next?: string | null;
  total?: number;
  total_exact?: boolean;
}

interface WindowOptions<R, A> {
  topics?: readonly string[];
  limit?: number;
  enabled?: boolean;
  /** For answers of another shape. */
  read?: (answer: A) => Window<R>;
}

type Params = Record<string, string | number | boolean | null | undefined>;

export function useWindowRows<R, A = Window<R>>(path: string, params: Params, { topics = [], limit = 200, enabled = true, read }: WindowOptions<R, A> = {}): Rows<R> & { first?: A } {
  const query = useInfiniteQuery<A, ApiError, InfiniteData<A, string>, unknown[], string>({
    queryKey: [currentProject(), path, params, limit],
    queryFn: ({ pageParam, signal }) => get<A>(path, { ...params, limit, after: pageParam }, signal),
    initialPageParam: "",
    getNextPageParam: (last) => (read ? read(last) : (last as unknown as Window<R>)).next || undefined,
    placeholderData: keepPreviousData,
    enabled,
    meta: { topics },
  });
  const { data, hasNextPage, isFetchingNextPage, fetchNextPage } = query;
  const rows = useMemo(() => data?.pages.flatMap((p) => (read ? read(p) : (p as unknown as Window<R>)).rows) ?? [], [data, read]);
  const firstAnswer = data?.pages[0];
  const first = firstAnswer && (read ? read(firstAnswer) : (firstAnswer as unknown as Window<R>));
  return {
    count: rows.length + (hasNextPage ? 1 : 0),
    total: first?.total ?? (hasNextPage ? undefined : rows.length),
    exact: first?.total_exact ?? true,
    at: (i) => rows[i],
    want: (_, to) => {
      if (hasNextPage && !isFetchingNextPage && to > rows.length - limit / 2) void fetchNextPage();
    },
    loading: !data && !query.error,
    stale: query.isPlaceholderData,
    error: data ? null : query.error,
    retry: () => void query.refetch(),
    first: firstAnswer,
  };
}
