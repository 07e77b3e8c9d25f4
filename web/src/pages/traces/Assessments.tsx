// How a trace was judged: by people, by code, by other models; and a place to judge it oneself.
import { Button, SegmentedControl, Textarea, TextInput } from "@mantine/core";
import { useState } from "react";
import { ActButton } from "../../components/ActButton";
import { currentProject, send } from "../../lib/api";
import { formatAgo, formatInstant } from "../../lib/format";
import { useMe } from "../../lib/me";
import { toast, toastError } from "../../lib/toast";
import { type Assessment, type Span, type TraceInfo, assessedValue, maybeJson } from "../../lib/traces";
import { shortValue } from "./Verdicts";
import classes from "./traces.module.css";

const SOURCES: Record<string, string> = { HUMAN: "by", LLM_JUDGE: "by the judge", CODE: "by the code", AI_JUDGE: "by the judge" };

export function Assessments({ info, span, onChanged }: { info: TraceInfo; span?: Span; onChanged: () => void }) {
  const [adding, setAdding] = useState(false);
  const all = (info.assessments ?? []).filter((a) => a.valid !== false);
  return (
    <section className={classes.part} aria-label="Assessments">
      <h3>Assessments<span className="spacer" />{!adding && <ActButton needs="own" size="compact-xs" onClick={() => setAdding(true)}>Judge it</ActButton>}</h3>
      {adding && <Judge trace={info.trace_id} onDone={(changed) => { setAdding(false); if (changed) onChanged(); }} />}
      {all.length === 0 && !adding ? <p className="muted">Nobody has judged this trace. Write what you think of it, or let a judge do it with mlflow.genai.evaluate.</p> : (
        <ul className={classes.judged}>{all.map((a) => <Line key={a.assessment_id} a={a} here={a.span_id !== undefined && a.span_id === span?.id} />)}</ul>
      )}
    </section>
  );
}

function Line({ a, here }: { a: Assessment; here: boolean }) {
  const value = assessedValue(a);
  return (
    <li>
      <b className="cut" title={a.assessment_name}>{a.assessment_name}</b>
      <span title={typeof value === "string" ? value : JSON.stringify(value)} style={{ overflowWrap: "anywhere" }}>
        {a.expectation ? <><span className="muted">expected </span>{typeof value === "string" ? value : JSON.stringify(value)}</> : <span style={{ color: value === false ? "var(--fail)" : undefined }}>{shortValue(value)}</span>}
        {here && <span className="muted"> of this span</span>}
      </span>
      <p className="muted small">{a.source ? `${SOURCES[a.source.source_type] ?? "by"} ${a.source.source_id} ` : ""}<span title={formatInstant(Date.parse(a.create_time))}>{formatAgo(Date.parse(a.create_time))}</span></p>
      {a.rationale && <p style={{ overflowWrap: "anywhere" }}>{a.rationale}</p>}
    </li>
  );
}

function Judge({ trace, onDone }: { trace: string; onDone: (changed: boolean) => void }) {
  const [name, setName] = useState("helpful");
  const [value, setValue] = useState("true");
  const [rationale, setRationale] = useState("");
  const [busy, setBusy] = useState(false);
  const me = useMe(currentProject()).data;
  async function save() {
    setBusy(true);
    try {
      const at = new Date().toISOString();
      await send(`/ajax-api/3.0/mlflow/traces/${encodeURIComponent(trace)}/assessments`, {
        assessment: { assessment_name: name.trim(), trace_id: trace, source: { source_type: "HUMAN", source_id: me?.name ?? "local" }, create_time: at, last_update_time: at, feedback: { value: maybeJson(value) }, ...(rationale ? { rationale } : {}), valid: true },
      });
      toast(`${name} noted`);
      onDone(true);
    } catch (e) {
      toastError("The assessment could not be stored", e);
      setBusy(false);
    }
  }
  const own = value !== "true" && value !== "false";
  return (
    <form className="stack" style={{ gap: 8, marginBottom: 12, maxWidth: 460 }} onSubmit={(e) => { e.preventDefault(); void save(); }}>
      <div className="row wrap">
        <TextInput aria-label="What is judged" w={150} value={name} onChange={(e) => setName(e.currentTarget.value)} />
        <SegmentedControl aria-label="Your judgement" value={own ? "own" : value} data={[{ value: "true", label: "✓ Yes" }, { value: "false", label: "✕ No" }, { value: "own", label: "Value" }]} onChange={(v) => setValue(v === "own" ? "" : v)} />
        {own && <TextInput aria-label="Value" placeholder="0.8 or a word" w={110} value={value} onChange={(e) => setValue(e.currentTarget.value)} />}
      </div>
      <Textarea aria-label="Why" placeholder="Why?" autosize minRows={2} maxRows={6} value={rationale} onChange={(e) => setRationale(e.currentTarget.value)} />
      <div className="row"><Button type="submit" variant="filled" loading={busy} disabled={!name.trim() || value === ""}>Save</Button><Button onClick={() => onDone(false)}>Cancel</Button></div>
    </form>
  );
}
