// Traces: what an application was asked and answered, how long each took, what failed and how it was judged.
import { SegmentedControl } from "@mantine/core";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import { type Column, DataGrid } from "../components/DataGrid";
import { ExperimentSelect } from "../components/ExperimentSelect";
import { FilterBar, SearchInput } from "../components/FilterBar";
import { PageHead } from "../components/PageHead";
import { Empty } from "../components/Problem";
import { StatusMark } from "../components/StatusMark";
import { formatAgo, formatCount, formatDuration, formatInstant } from "../lib/format";
import { listOf, listText } from "../lib/search";
import { MOST_EXPERIMENTS, type TraceInfo, durationMs, maybeJson, tokensOf, traceFilter, traceName, useTraces } from "../lib/traces";
import { type Experiment, usePage } from "../lib/tracking";
import { messagesIn } from "./traces/SpanDetail";
import { TracePeek } from "./traces/TracePeek";
import { Verdicts } from "./traces/Verdicts";
import classes from "./traces/traces.module.css";

const route = getRouteApi("/shell/p/$project/traces");
const FIRST = `import mlflow
mlflow.set_tracking_uri("${location.origin}")

@mlflow.trace
def answer(question):
    return "42"

answer("What is the question?")`;

/** What a person would read first: the last message of a chat, the one text of an object; else the JSON as it is. */
export function preview(text: string | undefined): string {
  const flat = (s: string) => s.replace(/\s+/g, " ");
  const value = maybeJson(text ?? "");
  const messages = messagesIn(value);
  const last = messages?.at(-1)?.content;
  if (typeof last === "string") return flat(last);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    const words = Object.values(value).find((v) => typeof v === "string" && v !== "");
    if (words) return flat(words as string);
  }
  return flat(text ?? "");
}
export const traceHref = (project: string, id: string): string => `/p/${encodeURIComponent(project)}/traces/${encodeURIComponent(id)}`;

export function traceColumns(most: number): Column<TraceInfo>[] {
  return [
    { key: "state", label: "State", width: "92px", cell: (t) => <StatusMark status={t.state === "OK" ? "finished" : t.state === "ERROR" ? "failed" : t.state === "IN_PROGRESS" ? "running" : "unknown"} label={t.state === "OK" ? "OK" : undefined} />, sort: "status", raw: (t) => t.state },
    { key: "name", label: "Trace", width: "minmax(90px, 0.5fr)", cell: (t) => <a href={traceHref(location.pathname.split("/")[2] ?? "", t.trace_id)} tabIndex={-1}>{traceName(t)}</a>, title: (t) => t.trace_id, raw: (t) => t.trace_id },
    { key: "request", label: "Request", width: "minmax(140px, 1.3fr)", cell: (t) => preview(t.request_preview), title: (t) => t.request_preview, raw: (t) => t.request_preview ?? "" },
    { key: "response", label: "Response", width: "minmax(120px, 1.1fr)", cell: (t) => (t.response_preview ? preview(t.response_preview) : <span className="muted">–</span>), title: (t) => t.response_preview, raw: (t) => t.response_preview ?? "" },
    {
      key: "duration", label: "Duration", width: "132px", sort: "execution_time_ms", hint: "How long it took; the bar is its share of the longest in the list",
      cell: (t) => { const ms = durationMs(t); return <span className={classes.latency}><span className={classes.track}><i style={{ width: `${ms === null ? 0 : Math.max(1.5, (ms / most) * 100)}%` }} data-failed={t.state === "ERROR" || undefined} /></span><span className="num">{formatDuration(ms)}</span></span>; },
      raw: (t) => String(durationMs(t) ?? ""),
    },
    { key: "tokens", label: "Tokens", width: "62px", right: true, hint: "Input and output tokens together", cell: (t) => { const k = tokensOf(t); return k ? formatCount(k.total_tokens ?? (k.input_tokens ?? 0) + (k.output_tokens ?? 0)) : <span className="muted">–</span>; }, title: (t) => { const k = tokensOf(t); return k ? `${k.input_tokens ?? 0} in, ${k.output_tokens ?? 0} out` : undefined; }, raw: (t) => String(tokensOf(t)?.total_tokens ?? "") },
    { key: "assessed", label: "Assessments", width: "minmax(110px, 0.8fr)", cell: (t) => <Verdicts assessments={t.assessments} />, title: (t) => t.assessments?.map((a) => a.assessment_name).join(", "), raw: (t) => t.assessments?.map((a) => a.assessment_name).join(" ") ?? "" },
    { key: "time", label: "When", width: "82px", right: true, sort: "timestamp_ms", cell: (t) => <span className="muted">{formatAgo(Date.parse(t.request_time))}</span>, title: (t) => formatInstant(Date.parse(t.request_time)), raw: (t) => t.request_time },
  ];
}

export function Traces() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { project } = route.useParams();
  const set = (change: Partial<typeof search>, replace = false) => void navigate({ search: (s) => ({ ...s, ...change }), replace });
  const experiments = usePage<{ experiments: Experiment[] }>("/experiments", {}, { topics: ["experiment"] });
  const chosen = useMemo(() => listOf(search.exp), [search.exp]);
  const all = useMemo(() => (experiments.data?.experiments ?? []).map((e) => e.id), [experiments.data]);
  const ids = chosen.length ? chosen : all;
  const sort = search.sort || "timestamp_ms DESC";
  const list = useTraces(ids, traceFilter(search.q, search.state), sort, experiments.data !== undefined);
  const most = Math.max(1, ...list.loaded.map((t) => durationMs(t) ?? 0));
  const columns = useMemo(() => traceColumns(most), [most]);
  const wrong = list.error && (search.q || search.sort) && list.error.status === 400 ? list.error.message : undefined;
  const peeked = list.loaded.find((t) => t.trace_id === search.peek);
  const filtered = search.q || search.state || chosen.length > 0;
  const [key = "", way] = sort.split(" ");
  return (
    <section className="page">
      <PageHead title="Traces" note={list.count ? `${formatCount(list.loaded.length)}${list.exact ? "" : " or more"}` : undefined}>
        <SegmentedControl aria-label="State" value={search.state} data={[{ value: "", label: "All" }, { value: "ERROR", label: "Failed" }, { value: "OK", label: "OK" }, { value: "IN_PROGRESS", label: "Running" }]} onChange={(v) => set({ state: v as "" })} />
      </PageHead>
      <FilterBar>
        <ExperimentSelect experiments={experiments.data?.experiments} value={chosen} onChange={(v) => set({ exp: listText(v) })} />
        <SearchInput label="Filter traces" placeholder="Words in a trace, or tags.release = 'r1' AND trace.execution_time_ms > 500" width="min(100%, 560px)" mono value={search.q} error={wrong} onChange={(v) => set({ q: v }, true)} />
        {all.length > MOST_EXPERIMENTS && chosen.length === 0 && <span className="muted small">Searches the first {MOST_EXPERIMENTS} experiments; choose some to search others.</span>}
      </FilterBar>
      <DataGrid
        label="Traces" columns={columns} rows={wrong ? { ...list, error: null, count: 0, loading: false } : list} id={(t) => t.trace_id} href={(t) => traceHref(project, t.trace_id)} name={traceName}
        sort={{ key, descending: way !== "ASC" }} onSort={(k, descending) => set({ sort: k === "timestamp_ms" && descending ? "" : `${k} ${descending ? "DESC" : "ASC"}` })}
        peek={search.peek} onPeek={(id) => set({ peek: id ?? "" }, true)} mark={(t) => (t.state === "ERROR" ? "attention" : undefined)}
        empty={wrong ? <Empty title="The filter cannot be read">{wrong}</Empty> : filtered ? <Empty title="No trace matches">Search other words, or all experiments.</Empty> : <Empty title="No trace yet" code={FIRST} label="Copy the snippet">A trace is one call of an application with all that it called. This makes the first one:</Empty>}
        panel={search.peek ? <TracePeek id={search.peek} known={peeked} onClose={() => set({ peek: "" }, true)} /> : undefined}
      />
    </section>
  );
}
