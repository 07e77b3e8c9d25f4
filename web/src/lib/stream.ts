// Reads /events as a stream and goes on after a gap where it stopped (Last-Event-ID). EventSource is not used: it cannot
// send the project's header, hears only kinds it was told of, and does not notice a connection that went quiet.
export interface LiveEvent {
  id: string;
  at_us: number;
  kind: string; // "run.created"
  subject: { kind: string; id: string };
  actor: string;
  body: Record<string, unknown>;
}
export type Message = { type: "connecting" } | { type: "open"; gap: boolean } | { type: "event"; event: LiveEvent } | { type: "signed-out" };

const QUIET_MS = 40_000; // the server says something each 15 s
const LONGEST_WAIT_MS = 3_000;

export function openStream(project: string, tell: (m: Message) => void): () => void {
  let closed = false;
  let last = "";
  let wait = 250;
  let opened = false;
  let attempt = new AbortController();

  async function read(): Promise<void> {
    attempt = new AbortController();
    let quiet: ReturnType<typeof setTimeout> | undefined;
    const heard = () => {
      clearTimeout(quiet);
      quiet = setTimeout(() => attempt.abort(), QUIET_MS);
    };
    heard();
    try {
      const headers: Record<string, string> = { accept: "text/event-stream", "x-lathe-project": project };
      if (last) headers["last-event-id"] = last;
      const response = await fetch("/api/lathe/v1/events", { headers, signal: attempt.signal, cache: "no-store" });
      if (response.status === 401) tell({ type: "signed-out" });
      if (response.status === 400 || response.status === 410) last = ""; // the log was cut behind us, or begins anew
      if (!response.ok || !response.body) throw new Error(String(response.status));
      tell({ type: "open", gap: opened });
      opened = true;
      wait = 250;
      const reader = (response.body as ReadableStream<BufferSource>).pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        heard();
        rest += value;
        const blocks = rest.split("\n\n");
        rest = blocks.pop() ?? "";
        for (const block of blocks) deliver(block);
      }
    } finally {
      clearTimeout(quiet);
    }
  }

  function deliver(block: string): void {
    let data = "";
    for (const line of block.split("\n")) {
      if (line.startsWith("id: ")) last = line.slice(4);
      else if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (data) tell({ type: "event", event: JSON.parse(data) as LiveEvent });
  }

  async function run(): Promise<void> {
    while (!closed) {
      try {
        await read();
      } catch {
        /* the connection broke or was refused: try again below */
      }
      if (closed) return;
      tell({ type: "connecting" });
      await new Promise((resume) => setTimeout(resume, wait * (0.75 + Math.random() / 2)));
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    }
  }
  void run();
  return () => {
    closed = true;
    attempt.abort();
  };
}
