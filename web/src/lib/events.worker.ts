// One event stream for all tabs of a browser (and one per project that is open). A browser allows six HTTP/1.1
// connections to a server: with a stream per tab the seventh tab hangs without an error.
import { type Message, openStream } from "./stream";

const scope = self as unknown as { onconnect: (e: MessageEvent) => void };
interface Source { ports: Set<MessagePort>; last: Message; close: () => void }
const sources = new Map<string, Source>();

function join(project: string, port: MessagePort): void {
  let source = sources.get(project);
  if (!source) {
    const made: Source = { ports: new Set(), last: { type: "connecting" }, close: () => {} };
    source = made;
    sources.set(project, made);
    made.close = openStream(project, (message) => {
      if (message.type !== "event") made.last = message;
      for (const p of made.ports) p.postMessage(message);
    });
  }
  source.ports.add(port);
  port.postMessage(source.last);
}

function leave(port: MessagePort): void {
  for (const [project, source] of sources) {
    if (!source.ports.delete(port) || source.ports.size > 0) continue;
    source.close();
    sources.delete(project);
  }
}

scope.onconnect = (e) => {
  const port = e.ports[0] as MessagePort;
  port.onmessage = (m: MessageEvent<{ join?: string }>) => {
    leave(port);
    if (m.data.join !== undefined) join(m.data.join, port);
  };
};
