// Asks the endpoint: a form made from its signature, the answer with its scores, and the same call as curl and Python.
import { Button, NumberInput, SegmentedControl, TextInput, Textarea } from "@mantine/core";
import { IconEraser, IconSend, IconZoomQuestion } from "@tabler/icons-react";
import { getRouteApi } from "@tanstack/react-router";
import { useEffect, useMemo, useState } from "react";
import { ActButton } from "../../components/ActButton";
import { CopyBlock, CopyId } from "../../components/CopyId";
import { Facts } from "../../components/Peek";
import { Empty, Problem, Waiting } from "../../components/Problem";
import { StatusMark } from "../../components/StatusMark";
import { useAction } from "../../lib/actions";
import { ask, currentProject, useApi } from "../../lib/api";
import { formatDuration, formatMetric, formatPercent } from "../../lib/format";
import { denied, may, useMe } from "../../lib/me";
import type { ImageShape } from "../../lib/image";
import { placeOf } from "../../lib/places";
import { WORDS } from "../../lib/words";
import { DrawPad } from "./DrawPad";
import { type Answer, asCurl, asPython, callOf, kindOf, readAnswer, template } from "./call";
import classes from "./endpoints.module.css";
import { Explained } from "./Explained";
import { type Explanation, explain, instanceOf, unusual } from "./explain";
import type { EndpointPage, RequestsAnswer, Signature } from "./types";

const route = getRouteApi("/shell/p/$project/endpoints/$name/{-$tab}");
interface Prediction { id: string; rows: { features: Record<string, number | string> }[] }

export function Try({ page, image }: { page: EndpointPage; image?: ImageShape }) {
  const { replay } = route.useSearch();
  const newest = useApi<RequestsAnswer>(`/pages/endpoints/${encodeURIComponent(page.name)}/requests`, { limit: 1 }, { enabled: !replay });
  const again = useApi<Prediction>(`/predictions/${encodeURIComponent(replay)}`, undefined, { enabled: !!replay });
  if (!page.signature) return <Empty title="Nothing serves here yet">The form is made from the signature of the model that serves.</Empty>;
  if (replay && again.isError) return <Problem error={again.error} what="The request to ask again" />;
  if (replay ? !again.data : newest.isPending) return <Waiting />;
  return <Form key={replay} page={page} signature={page.signature} image={image} start={replay ? fromPrediction(again.data as Prediction) : fromNewest(newest.data)} from={replay ? `request ${replay.slice(-8)}` : newest.data?.requests.length ? "the newest request" : undefined} />;
}

const fromPrediction = (p: Prediction) => new Map(Object.entries(p.rows[0]?.features ?? {}));
function fromNewest(a?: RequestsAnswer): Map<string, number | string> {
  const request = a?.requests[0];
  const layout = request && a?.layouts[request.layout];
  const row = request?.rows[0];
  if (!layout || !row) return new Map();
  return new Map<string, number | string>([...layout.features.map((n, i) => [n, row.values[i] ?? 0] as const), ...layout.text_features.map((n, i) => [n, row.texts[i] ?? ""] as const)]);
}

function Form({ page, signature, image, start, from }: { page: EndpointPage; signature: Signature; image?: ImageShape; start: Map<string, number | string>; from?: string }) {
  const kind = kindOf(signature);
  const initial = useMemo(() => signature.features.map((f) => { const v = start.get(f.name); return v === undefined ? (f.text ? "" : "0") : v === "NaN" ? "" : String(v); }), [signature, start]);
  const mayAsk = may(useMe(currentProject()).data, "infer");
  const [values, setValues] = useState(initial);
  const [json, setJson] = useState(() => template(signature));
  const [answer, setAnswer] = useState<Answer>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const [form, setForm] = useState<"image" | "fields">(image ? "image" : "fields");
  const [code, setCode] = useState<"curl" | "python">("curl");
  useEffect(() => setValues(initial), [initial]);
  const most = useMemo(() => { const high = Math.max(...initial.map(Number).filter(Number.isFinite)); return high > 1 ? (high <= 16 ? 16 : 255) : 1; }, [initial]);
  const wrong = kind === "json" ? jsonProblem(json) : undefined;
  const call = wrong ? undefined : callOf(page, values, json);

  async function send() {
    if (!call || !mayAsk) return;
    setBusy(true);
    setError(undefined);
    const began = performance.now();
    try {
      const response = await ask(call.path, { json: call.body, headers: { "x-lathe-outlier-score": "1" } });
      const outlier = response.headers.get("x-lathe-outlier-score");
      const body: unknown = await response.json();
      setAnswer({ ...readAnswer(call, body, signature.classes), id: response.headers.get("x-lathe-prediction-id") ?? "", version: response.headers.get("x-lathe-model-version") ?? "", tookMs: performance.now() - began, outlier: outlier === null ? null : Number(outlier), instance: instanceOf(signature, values), raw: body });
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  }
  useAction({ id: "try", label: `Ask ${page.name}`, keys: "mod+Enter", group: "Here", disabled: mayAsk ? undefined : denied("infer"), run: () => void send() });
  const put = (i: number, value: string) => setValues((old) => old.map((v, k) => (k === i ? value : v)));
  return (
    <div className={classes.body}>
      <div className={classes.try}>
        <div className="stack">
          <form className="panel" onSubmit={(e) => { e.preventDefault(); void send(); }}>
          <header>
            <h2>Input</h2><span className="muted small">{from ? `filled from ${from}` : "one row"}</span><span className="spacer" />
            {image && <SegmentedControl aria-label="Form" value={form} onChange={(v) => setForm(v as typeof form)} data={[{ value: "image", label: "Draw" }, { value: "fields", label: "Numbers" }]} />}
          </header>
          <div className="panel-body stack">
            {kind === "json" ? <Textarea label="Body" aria-label="Body as JSON" autosize minRows={8} maxRows={24} value={json} error={wrong} onChange={(e) => setJson(e.currentTarget.value)} classNames={{ input: "mono" }} />
              : form === "image" && image ? <DrawPad shape={image} values={values} most={most} onChange={setValues} />
              : (
                <div className={classes.fields}>
                  {signature.features.map((f, i) => f.text
                    ? <TextInput key={f.name} label={f.name} value={values[i] ?? ""} onChange={(e) => put(i, e.currentTarget.value)} />
                    : <NumberInput key={f.name} label={f.name} value={values[i] === "" ? "" : Number(values[i])} onChange={(v) => put(i, String(v))} hideControls />)}
                </div>
              )}
            <div className="row">
              <ActButton needs="infer" type="submit" variant="filled" loading={busy} disabled={!!wrong} leftSection={<IconSend size={14} />}>Ask</ActButton>
              <span className="muted small">Ctrl Enter</span><span className="spacer" />
              {kind !== "json" && <Button variant="subtle" leftSection={<IconEraser size={14} />} onClick={() => setValues(signature.features.map((f) => (f.text ? "" : "0")))}>Clear</Button>}
              {kind !== "json" && <Button variant="subtle" onClick={() => setValues(initial)}>As it was</Button>}
            </div>
          </div>
        </form>
        {answer && answer.instance !== null && <Why key={`${answer.id}${answer.tookMs}`} page={page} answer={answer} image={image} />}
        </div>
        <div className="stack">
          <div className="panel" aria-live="polite">
            <header><h2>Answer</h2>{answer && <span className="muted small">in {formatDuration(answer.tookMs)}, from here and back</span>}</header>
            <div className="panel-body stack">
              {error ? <p role="alert" style={{ color: "var(--fail)" }}>{error instanceof Error ? error.message : String(error)}</p> : answer ? <Answered page={page} answer={answer} /> : <p className="muted">The answer of {page.graph ? "the graph" : page.model} shows here. Each ask counts as traffic of the endpoint, and its monitor sees it.</p>}
            </div>
          </div>
          {call && (
            <div className="panel">
              <header><h2>The same call</h2><span className="spacer" /><SegmentedControl aria-label="Language" value={code} onChange={(v) => setCode(v as typeof code)} data={[{ value: "curl", label: "curl" }, { value: "python", label: "Python" }]} /></header>
              <div className="panel-body"><CopyBlock text={code === "curl" ? asCurl(call) : asPython(call)} label={`Copy as ${code}`} /></div>
            </div>
          )}
        </div>
      </div>
    </div>
  );
}

function jsonProblem(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (e) {
    return e instanceof Error ? e.message : "not JSON";
  }
}

const SHOWN = 12;
function Answered({ page, answer }: { page: EndpointPage; answer: Answer }) {
  const project = currentProject();
  const top = answer.scores.toSorted((a, b) => b.value - a.value).slice(0, SHOWN);
  const share = top.every((s) => s.value >= 0 && s.value <= 1);
  return (
    <>
      {answer.label ? <p className={classes.answer} data-testid="answer">{answer.label}</p> : <CopyBlock text={JSON.stringify(answer.raw, null, 1)} />}
      {top.length > 0 && <div>{top.map((s) => (
        <div key={s.name} className={classes.score} data-top={s === top[0] || undefined}>
          <span>{s.name}</span><i style={{ width: `${(share ? s.value : s.value / (Math.abs(top[0]?.value ?? 1) || 1)) * 100}%` }} /><span className="num">{share ? formatPercent(s.value) : s.value.toPrecision(4)}</span>
        </div>
      ))}</div>}
      <Facts
        facts={[
          page.graph ? ["Graph", `revision ${answer.version || page.live_revision}`] : ["Version", answer.version ? <a key="v" href={placeOf(project, "model_version", `${page.model.slice(0, page.model.lastIndexOf("/"))}/${answer.version}`)}>{answer.version}</a> : "–"],
          answer.outlier === null ? null : ["Outlier score", <span key="o" className="row" title={WORDS.outlier}><b>{formatMetric(answer.outlier)}</b> <StatusMark {...unusual(answer.outlier)} /></span>],
          ["Request", answer.id ? <span key="i" className="row"><CopyId id={answer.id} /> {page.graph && <a href={`${placeOf(project, "endpoint", page.name)}/graph?peek=${answer.id}`}>its way</a>} <a href={placeOf(project, "prediction", answer.id, { endpoint: page.name })}>open</a> <a href={placeOf(project, "", answer.id)}>lineage</a></span> : "not captured"],
        ]}
      />
    </>
  );
}

/** Asked for by hand: an explanation asks the model some hundred times. */
function Why({ page, answer, image }: { page: EndpointPage; answer: Answer; image?: ImageShape }) {
  const [got, setGot] = useState<Explanation>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  async function run() {
    setBusy(true);
    setError(undefined);
    try {
      setGot(await explain(page, answer.instance, answer.label));
    } catch (e) {
      setError(e);
    } finally {
      setBusy(false);
    }
  }
  useAction(got ? null : { id: "why", label: "Explain this answer", keys: "e", group: "Here", run: () => void run() });
  return (
    <section className="panel" aria-label="Why">
      <header><h2>Why {answer.label || "this answer"}</h2></header>
      <div className="panel-body stack">
        {got ? <Explained e={got} image={image} /> : <span className="row wrap"><Button loading={busy} leftSection={<IconZoomQuestion size={14} />} onClick={() => void run()}>Explain this answer</Button><span className="muted small">asks the model some hundred times with parts of the input hidden</span></span>}
        {error !== undefined && <p role="alert" style={{ color: "var(--fail)" }}>{error instanceof Error ? error.message : String(error)}</p>}
      </div>
    </section>
  );
}
