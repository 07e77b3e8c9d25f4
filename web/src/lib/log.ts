// An attempt's log of any length: windows of lines as they are looked at, and new lines as they are written. Only what was
// looked at is held; a tab that is hidden lets its connection go.
import { useEffect, useMemo, useRef, useState } from "react";
import { ApiError, ask, get } from "./api";

export interface LogLines {
  count: number;
  at: (index: number) => string | undefined; // undefined: not here yet
  want: (from: number, to: number) => void; // these are looked at: fetch what is missing
  find: (query: string, level: string) => Promise<Found>; // numbers of lines, from 0
  live: boolean;
  error?: ApiError;
}
export interface Found { lines: number[]; truncated: boolean }
interface Window { first: number; total: number; bytes: number; open_end: boolean; ended: boolean; lines: string[] }

const CHUNK = 500;
const SHOWN_EVERY_MS = 200;
const AGAIN_MS = 1000;

/** What is known of one log. Lines that have ended are numbered and kept in chunks; `rest` is the line being written. */
export class Kept {
  chunks = new Map<number, string[]>();
  asked = new Set<number>();
  ended = 0;
  rest = "";

  get count(): number {
    return this.ended + (this.rest ? 1 : 0);
  }
  at(index: number): string | undefined {
    return index === this.ended && this.rest ? this.rest : this.chunks.get(Math.floor(index / CHUNK))?.[index % CHUNK];
  }
  /** How many lines of a chunk are here, and how many there are by now. */
  have(chunk: number): number {
    return this.chunks.get(chunk)?.length ?? 0;
  }
  whole(chunk: number): number {
    return Math.min(CHUNK, this.ended - chunk * CHUNK);
  }
  /** A window within one chunk, going on from what is here of it. Answers whether it brought something. */
  take(w: Window): boolean {
    const last = w.open_end && w.first + w.lines.length === w.total;
    const lines = last ? w.lines.slice(0, -1) : w.lines;
    const chunk = Math.floor(w.first / CHUNK);
    const here = this.chunks.get(chunk) ?? [];
    const from = w.first % CHUNK;
    if (from > here.length || from + lines.length <= here.length) return false;
    this.chunks.set(chunk, [...here.slice(0, from), ...lines]);
    return true;
  }
  append(text: string): void {
    const parts = (this.rest + text).split("\n");
    this.rest = parts.pop() ?? "";
    for (const line of parts) {
      const chunk = Math.floor(this.ended / CHUNK);
      const at = this.ended % CHUNK;
      if (at === 0 && !this.chunks.has(chunk)) this.chunks.set(chunk, [line]);
      else if (this.have(chunk) === at) this.chunks.get(chunk)?.push(line);
      this.ended++;
    }
  }
}

export function useLog(attempt: string | undefined, follow: boolean): LogLines {
  const kept = useRef(new Kept());
  const [, show] = useState(0);
  const [state, setState] = useState<{ live: boolean; error?: ApiError }>({ live: follow });
  const [visible, setVisible] = useState(!document.hidden);
  useEffect(() => {
    const changed = () => setVisible(!document.hidden);
    document.addEventListener("visibilitychange", changed);
    return () => document.removeEventListener("visibilitychange", changed);
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another attempt is another log
  useMemo(() => {
    kept.current = new Kept();
  }, [attempt]);

  useEffect(() => {
    if (!attempt || !visible) return;
    const mine = kept.current;
    const end = new AbortController();
    const path = `/pages/attempts/${attempt}/log`;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const later = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        show((n) => n + 1);
      }, SHOWN_EVERY_MS);
    };
    /** Where the log stands: the first chunk, and the line that has no end yet. Answers the byte to go on from. */
    async function begin(): Promise<Window> {
      const first = await get<Window>(path, { from: 0, limit: CHUNK }, end.signal);
      mine.take(first);
      mine.ended = first.total - (first.open_end ? 1 : 0);
      mine.rest = first.open_end ? (first.lines[first.total - 1] ?? (await get<Window>(path, { from: first.total - 1, limit: 1 }, end.signal)).lines[0] ?? "") : "";
      show((n) => n + 1);
      return first;
    }
    async function read(): Promise<void> {
      const first = await begin();
      setState({ live: follow && !first.ended });
      if (!follow || first.ended) return;
      const response = await ask(`/attempts/${attempt}/log`, { params: { follow: true, offset: first.bytes }, headers: { accept: "text/plain" }, signal: end.signal });
      const reader = (response.body as ReadableStream<BufferSource>).pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        mine.append(value);
        later();
      }
      setState({ live: false });
      show((n) => n + 1);
    }
    async function keepReading(): Promise<void> {
      for (;;) {
        try {
          return await read();
        } catch (e) {
          if (end.signal.aborted) return;
          const error = e instanceof ApiError ? e : new ApiError(0, "", String(e), "");
          if (error.status >= 400) return setState({ live: false, error });
          await new Promise((r) => setTimeout(r, AGAIN_MS)); // the server is away; it goes on where it was
        }
      }
    }
    void keepReading();
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, [attempt, follow, visible]);

  const ways = useMemo(() => {
    const path = `/pages/attempts/${attempt}/log`;
    const mine = kept.current;
    /** Long lines come in several answers. */
    async function fetchChunk(chunk: number): Promise<void> {
      mine.asked.add(chunk);
      try {
        while (mine.have(chunk) < mine.whole(chunk)) {
          const have = mine.have(chunk);
          if (!mine.take(await get<Window>(path, { from: chunk * CHUNK + have, limit: CHUNK - have }))) break;
          show((n) => n + 1);
        }
      } catch {
        /* asked again when it is looked at again */
      } finally {
        mine.asked.delete(chunk);
      }
    }
    return {
      at: (index: number) => mine.at(index),
      want: (from: number, to: number) => {
        for (let chunk = Math.floor(from / CHUNK); chunk <= Math.floor(to / CHUNK); chunk++) if (!mine.asked.has(chunk) && mine.have(chunk) < mine.whole(chunk)) void fetchChunk(chunk);
      },
      find: (query: string, level: string) => get<Found>(`${path}/search`, { q: query, level, limit: 10_000 }),
    };
  }, [attempt]);
  return { ...ways, count: attempt ? kept.current.count : 0, live: state.live, error: state.error };
}
