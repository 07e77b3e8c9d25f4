// The one door to the server: fetch with the project's header, errors in the server's own words, and queries that events
// make stale (lib/live.ts). Nothing else in the pages calls fetch.
import { QueryClient, type UseQueryResult, keepPreviousData, useQuery } from "@tanstack/react-query";

export const API = "/api/lathe/v1";

export class ApiError extends Error {
  constructor(
    readonly status: number, // 0: the server could not be reached
    readonly code: string,
    message: string,
    readonly requestId: string,
  ) {
    super(message);
  }
}

let project = "default";
export const currentProject = (): string => project;
export function setProject(name: string): void {
  project = name;
}

type Params = Record<string, string | number | boolean | null | undefined>;
/** "/runs" → "/api/lathe/v1/runs"; a path that names another protocol ("/ajax-api/…", "/v2/…") is left as it is. */
export function url(path: string, params?: Params): string {
  const base = OTHER_PROTOCOLS.test(path) || path.startsWith(API) ? path : API + path;
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params ?? {})) if (value !== undefined && value !== null && value !== "") query.set(key, String(value));
  const text = query.toString();
  return text ? `${base}${base.includes("?") ? "&" : "?"}${text}` : base;
}
const OTHER_PROTOCOLS = /^\/(ajax-api|api\/2\.0|v1|v2|endpoints\/[^/]+\/invocations|invocations|get-artifact|model-versions\/get-artifact|user)(\/|$|\?)/;

/** A link that the browser itself opens (a download, an image) cannot send headers: the project goes into the query. */
export const href = (path: string, params?: Params): string => url(path, { ...params, ...(project === "default" ? {} : { project }) });

export interface Ask {
  method?: string;
  params?: Params;
  json?: unknown;
  body?: BodyInit;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** The raw answer; throws ApiError for whatever is not 2xx. */
export async function ask(path: string, { method, params, json, body, headers, signal }: Ask = {}): Promise<Response> {
  const init: RequestInit = {
    method: method ?? (json === undefined && body === undefined ? "GET" : "POST"),
    headers: { accept: "application/json", "x-lathe-project": project, ...(json === undefined ? {} : { "content-type": "application/json" }), ...headers },
    body: json === undefined ? body : JSON.stringify(json),
    signal,
  };
  let response: Response;
  try {
    response = await fetch(url(path, params), init);
  } catch (e) {
    if (e instanceof DOMException && e.name === "AbortError") throw e;
    throw new ApiError(0, "unreachable", "The server does not answer. It may be restarting; this page tries again when it is back.", "");
  }
  if (response.ok) return response;
  throw await errorOf(response);
}

/** Ours is {"error": {code, message, request_id}}; MLflow's {error_code, message}; inference answers {"error": "…"}. */
async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => "");
  let code = "";
  let message = text.trim() || `${response.status} ${response.statusText}`;
  let id = response.headers.get("x-request-id") ?? "";
  try {
    const body = JSON.parse(text) as { error?: string | { code?: string; message?: string; request_id?: string }; error_code?: string; message?: string };
    if (typeof body.error === "object") {
      code = body.error.code ?? "";
      message = body.error.message ?? message;
      id = body.error.request_id ?? id;
    } else {
      code = body.error_code ?? "";
      message = body.error ?? body.message ?? message;
    }
  } catch {
    /* plain text: as it is */
  }
  if (response.status === 401) onSignedOut();
  return new ApiError(response.status, code, message, id);
}

/** Numbers that JSON has no word for come as strings ("NaN", "Infinity"); lib/format.ts shows them. */
export async function get<T>(path: string, params?: Params, signal?: AbortSignal): Promise<T> {
  return (await (await ask(path, { params, signal })).json()) as T;
}

/** POST (or another method) with a JSON body, DELETE without one; the answer's JSON, or undefined when it has none. */
export async function send<T = unknown>(path: string, json?: unknown, method = "POST", headers?: Record<string, string>): Promise<T> {
  const response = await ask(path, { json: json ?? (method === "DELETE" ? undefined : {}), method, headers });
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

let signedOut = () => {};
function onSignedOut(): void {
  signedOut();
}
/** The shell says what to do when the server no longer knows us: go to the login page and come back. */
export function whenSignedOut(then: () => void): void {
  signedOut = then;
}

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: Number.POSITIVE_INFINITY, // events say when something is stale; nothing polls
      gcTime: 10 * 60_000,
      refetchOnWindowFocus: true, // only what an event marked while the tab was hidden
      refetchOnReconnect: false,
      retry: (count, error) => count < 2 && error instanceof ApiError && (error.status === 0 || error.status === 503),
      retryDelay: (count) => Math.min(4000, 500 * 2 ** count),
    },
  },
});

export interface ApiOptions {
  /** Subject kinds whose events make this stale ("run", "endpoint"); "*" for any. See lib/live.ts. */
  topics?: readonly string[];
  enabled?: boolean;
  /** Keep the old rows, dimmed, while the new ones come: for filters and order. */
  keep?: boolean;
}

/** One GET of our API as a query. The key is (project, path, params), so that any page may share or prefetch it. */
export function useApi<T>(path: string, params?: Params, { topics = [], enabled = true, keep = false }: ApiOptions = {}): UseQueryResult<T, ApiError> {
  return useQuery<T, ApiError>({
    queryKey: [project, path, params ?? {}],
    queryFn: ({ signal }) => get<T>(path, params, signal),
    enabled,
    meta: { topics },
    placeholderData: keep ? (keepPreviousData as never) : undefined,
  });
}

/** Makes every query of these paths stale now: after an act of ours whose event has not come yet. */
export const refresh = (...paths: string[]): Promise<void> =>
  queries.invalidateQueries({ predicate: (q) => paths.some((p) => String(q.queryKey[1]).startsWith(p)) });
