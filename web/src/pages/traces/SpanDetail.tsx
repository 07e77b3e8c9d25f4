// One span: what went in, what came out, and what else it says. Chat messages and retrieved passages are drawn as such.
import { SegmentedControl } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { JsonView } from "../../components/JsonView";
import { Facts } from "../../components/Peek";
import { copyText } from "../../lib/copy";
import { formatDuration } from "../../lib/format";
import type { Span } from "../../lib/traces";
import { kindOf } from "./Waterfall";
import classes from "./traces.module.css";

interface Message { role: string; content?: unknown }
const isMessages = (v: unknown): v is Message[] => Array.isArray(v) && v.length > 0 && v.every((m) => typeof m === "object" && m !== null && "role" in m && ("content" in m || "tool_calls" in m));
/** The messages in what a chat model was asked or answered; null when there are none. */
export function messagesIn(v: unknown): Message[] | null {
  if (isMessages(v)) return v;
  if (typeof v !== "object" || v === null) return null;
  const o = v as { messages?: unknown; choices?: { message?: unknown }[]; role?: unknown };
  if (isMessages(o.messages)) return o.messages;
  if (Array.isArray(o.choices)) { const found = o.choices.map((c) => c?.message); if (isMessages(found)) return found; }
  return isMessages([v]) ? [v as unknown as Message] : null;
}
interface Passage { page_content: string; metadata?: Record<string, unknown> }
const passagesIn = (v: unknown): Passage[] | null => (Array.isArray(v) && v.length > 0 && v.every((d) => typeof d?.page_content === "string") ? (v as Passage[]) : null);

function Pretty({ value }: { value: unknown }): ReactNode {
  const messages = messagesIn(value);
  if (messages) return <div className={classes.messages}>{messages.map((m, i) => <div key={`m${i.toString()}`} className={classes.message}><b>{m.role}</b><div>{typeof m.content === "string" ? m.content : <JsonView value={m.content ?? m} />}</div></div>)}</div>;
  const passages = passagesIn(value);
  if (passages) return <div className={classes.docs}>{passages.map((d, i) => <div key={`d${i.toString()}`} className={classes.doc}><p style={{ whiteSpace: "pre-wrap" }}>{d.page_content}</p><p className="muted small mono">{Object.entries(d.metadata ?? {}).map(([k, v]) => `${k} ${typeof v === "object" ? JSON.stringify(v) : String(v)}`).join("  ")}</p></div>)}</div>;
  if (typeof value === "string") return <p style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>{value}</p>;
  return <JsonView value={value} />;
}

export function SpanDetail({ span }: { span: Span }) {
  const [raw, setRaw] = useState(false);
  const [Icon] = kindOf(span.type);
  const attributes = Object.entries(span.attributes);
  const part = (title: string, value: unknown) => value !== undefined && value !== null && (
    <section className={classes.part} aria-label={title}>
      <h3>{title}<span className="spacer" /><button type="button" className="plain small" onClick={() => void copyText(typeof value === "string" ? value : JSON.stringify(value, null, 2))}>Copy {title.toLowerCase()}</button></h3>
      {raw ? <JsonView value={value} depth={6} /> : <Pretty value={value} />}
    </section>
  );
  return (
    <>
      <header>
        <Icon size={16} aria-hidden /><h2 className="cut" title={span.name}>{span.name}</h2><span className="tag">{span.type.toLowerCase().replace("_", " ")}</span><span className="muted">{formatDuration(span.ms)}</span>
        <span className="spacer" />
        <SegmentedControl aria-label="How values are shown" value={raw ? "raw" : "read"} data={[{ value: "read", label: "Read" }, { value: "raw", label: "JSON" }]} onChange={(v) => setRaw(v === "raw")} />
      </header>
      {span.status === "ERROR" && <pre className={classes.fault}>{span.message || String(span.events.find((e) => e.name === "exception")?.attributes["exception.message"] ?? "It failed and did not say why.")}</pre>}
      {part("Inputs", span.inputs)}
      {part("Outputs", span.outputs)}
      {span.events.length > 0 && (
        <section className={classes.part} aria-label="Events">
          <h3>Events</h3>
          <Facts facts={span.events.map((e) => [<span key={e.name} title={e.name}>{e.name} <span className="muted small">at {formatDuration(e.at)}</span></span>, Object.keys(e.attributes).length ? <JsonView key="v" value={e.attributes} depth={1} /> : ""] as const)} />
        </section>
      )}
      {attributes.length > 0 && <section className={classes.part} aria-label="Attributes"><h3>Attributes</h3><Facts facts={attributes.map(([k, v]) => [<span key={k} className="mono">{k.replace(/^mlflow\./, "")}</span>, typeof v === "object" ? <JsonView key="v" value={v} depth={1} /> : String(v)] as const)} /></section>}
    </>
  );
}
