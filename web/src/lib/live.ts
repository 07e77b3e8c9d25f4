// The page's side of the event stream: an event marks the queries of its topic stale, four times a second at most. After a
// gap everything that is shown is asked for again. A hidden tab only marks; it fetches when it is looked at.
import { useEffect, useSyncExternalStore } from "react";
import { queries } from "./api";
import { type LiveEvent, type Message, openStream } from "./stream";

export type Liveness = "connecting" | "live" | "signed-out";
export type { LiveEvent };

const COALESCE_MS = 250;
let state: Liveness = "connecting";
const watchers = new Set<() => void>();
const listeners = new Set<(event: LiveEvent) => void>();
let pending = new Set<string>();
let timer: ReturnType<typeof setTimeout> | undefined;

function flush(): void {
  timer = undefined;
  const topics = pending;
  pending = new Set();
  void queries.invalidateQueries({
    refetchType: document.hidden ? "none" : "active",
    predicate: (query) => {
      const wanted = (query.meta?.topics ?? []) as readonly string[];
      return topics.has("*") ? wanted.length > 0 || query.state.status === "error" : wanted.includes("*") || wanted.some((t) => topics.has(t));
    },
  });
}

function mark(topic: string): void {
  pending.add(topic);
  if (timer === undefined) timer = setTimeout(flush, COALESCE_MS);
}

function receive(message: Message): void {
  if (message.type === "event") {
    mark(message.event.subject.kind);
    const kind = message.event.kind.split(".")[0];
    if (kind && kind !== message.event.subject.kind) mark(kind);
    for (const listen of listeners) listen(message.event);
    return;
  }
  const next: Liveness = message.type === "open" ? "live" : message.type === "signed-out" ? "signed-out" : state === "signed-out" ? state : "connecting";
  if (message.type === "open" && message.gap) mark("*");
  if (next === state) return;
  state = next;
  for (const watch of watchers) watch();
}

let leave = () => {};
/** Follows this project's events from now on; the one before is let go. */
export function followProject(project: string): void {
  leave();
  if (typeof SharedWorker === "function") leave = followInWorker(project);
  else leave = followAsLeader(project);
}

let worker: SharedWorker | undefined;
function followInWorker(project: string): () => void {
  if (!worker) {
    worker = new SharedWorker(new URL("./events.worker.ts", import.meta.url), { type: "module", name: "lathe-events" });
    worker.port.onmessage = (e: MessageEvent<Message>) => receive(e.data);
    addEventListener("pagehide", () => worker?.port.postMessage({}));
    addEventListener("pageshow", (e) => e.persisted && worker?.port.postMessage({ join: project }));
  }
  worker.port.postMessage({ join: project });
  return () => worker?.port.postMessage({});
}

/** Without SharedWorker (some mobile browsers) the tab that holds the lock reads the stream for all. */
function followAsLeader(project: string): () => void {
  const channel = new BroadcastChannel(`lathe-events-${project}`);
  channel.onmessage = (e: MessageEvent<Message>) => receive(e.data);
  const end = new AbortController();
  let close = () => {};
  void navigator.locks
    .request(`lathe-events-${project}`, { signal: end.signal }, () => {
      close = openStream(project, (m) => {
        receive(m);
        channel.postMessage(m);
      });
      return new Promise<void>((release) => end.signal.addEventListener("abort", () => release()));
    })
    .catch(() => {});
  return () => {
    end.abort();
    close();
    channel.close();
  };
}

const watch = (then: () => void) => {
  watchers.add(then);
  return () => watchers.delete(then);
};
export const useLiveness = (): Liveness => useSyncExternalStore(watch, () => state);

/** Calls `then` for each event as it comes; for what carries its own news (a log line, a toast), not for queries. */
export function useEvents(then: (event: LiveEvent) => void): void {
  useEffect(() => {
    listeners.add(then);
    return () => {
      listeners.delete(then);
    };
  }, [then]);
}
