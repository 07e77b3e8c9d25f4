// One trace: its spans as a waterfall, the chosen span's inputs and outputs beside it, and how the trace was judged.
import { Button } from "@mantine/core";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { CopyId } from "../components/CopyId";
import { PageHead } from "../components/PageHead";
import { Loaded } from "../components/Problem";
import { StatusMark } from "../components/StatusMark";
import { type ApiError, ask, currentProject, get } from "../lib/api";
import { formatAgo, formatCount, formatDuration, formatInstant, plural } from "../lib/format";
import { type Span, type TraceInfo, durationMs, ownPairs, readSpans, tokensOf, traceName } from "../lib/traces";
import { Assessments } from "./traces/Assessments";
import { SpanDetail } from "./traces/SpanDetail";
import { Waterfall } from "./traces/Waterfall";
import classes from "./traces/traces.module.css";

const route = getRouteApi("/shell/p/$project/traces/$id");
interface Whole { info: TraceInfo; spans: Span[] }

/** The trace with its spans; an older client keeps the spans as an artifact, which has its own address. */
async function fetchTrace(id: string, signal: AbortSignal): Promise<Whole> {
  const { trace } = await get<{ trace: { trace_info: TraceInfo; spans?: Record<string, unknown>[] } }>("/ajax-api/3.0/mlflow/traces/get", { trace_id: id }, signal).catch(async (e: ApiError) => {
    if (e.status !== 404 && e.status !== 400) throw e;
    const info = await get<{ trace: { trace_info: TraceInfo } }>(`/ajax-api/3.0/mlflow/traces/${encodeURIComponent(id)}`, undefined, signal);
    return { trace: { trace_info: info.trace.trace_info, spans: undefined } };
  });
  if (trace.spans?.length) return { info: trace.trace_info, spans: readSpans(trace.spans) };
  const file = await ask("/ajax-api/3.0/mlflow/get-trace-artifact", { params: { request_id: id }, signal }).then((r) => r.json() as Promise<{ spans?: Record<string, unknown>[] }>).catch(() => ({ spans: [] }));
  return { info: trace.trace_info, spans: readSpans(file.spans ?? []) };
}

export function Trace() {
  const { id } = route.useParams();
  const query = useQuery<Whole, ApiError>({ queryKey: [currentProject(), "trace", id], queryFn: ({ signal }) => fetchTrace(id, signal), meta: { topics: ["trace"] } });
  return <section className="page"><Loaded query={query} what="The trace">{(data) => <Body {...data} refetch={() => void query.refetch()} />}</Loaded></section>;
}

function Body({ info, spans, refetch }: Whole & { refetch: () => void }) {
  const { project } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const failed = useMemo(() => spans.find((s) => s.status === "ERROR" && !spans.some((c) => c.parent === s.id && c.status === "ERROR")), [spans]);
  const root = spans.find((s) => !s.parent) ?? spans[0];
  const chosen = spans.find((s) => s.id === search.span) ?? (search.span ? undefined : (failed ?? root));
  const tokens = tokensOf(info);
  const meta = info.trace_metadata ?? {};
  const experiment = info.trace_location?.mlflow_experiment?.experiment_id;
  const run = meta["mlflow.sourceRun"];
  return (
    <>
      <PageHead
        kind="Trace" title={traceName(info)} note={<><StatusMark status={info.state === "OK" ? "finished" : info.state === "ERROR" ? "failed" : "running"} label={info.state === "OK" ? "OK" : undefined} /><CopyId id={info.trace_id} /></>}
        facts={<>
          <span title={formatInstant(Date.parse(info.request_time))}>{formatAgo(Date.parse(info.request_time))}</span><span>{formatDuration(durationMs(info))}</span><span>{plural(spans.length, "span")}</span>
          {tokens && <span title={`${tokens.input_tokens ?? 0} in, ${tokens.output_tokens ?? 0} out`}>{formatCount((tokens.input_tokens ?? 0) + (tokens.output_tokens ?? 0))} tokens</span>}
          {experiment && <Link to="/p/$project/traces" params={{ project }} search={{ exp: experiment }}>its experiment's traces</Link>}
          {run && <Link to="/p/$project/runs/$id/{-$tab}" params={{ project, id: run, tab: undefined }}>its run</Link>}
          {meta["mlflow.trace.session"] && <Link to="/p/$project/traces" params={{ project }} search={{ q: `metadata.\`mlflow.trace.session\` = '${meta["mlflow.trace.session"]}'` }}>session {meta["mlflow.trace.session"]}</Link>}
          {meta["mlflow.trace.user"] && <span>{meta["mlflow.trace.user"]}</span>}
          {ownPairs(info.tags).slice(0, 8).map(([k, v]) => <span key={k} className="tag" title={`${k}: ${v}`}>{k}: {v.length > 40 ? `${v.slice(0, 40)}…` : v}</span>)}
        </>}
      >
        {failed && <Button onClick={() => void navigate({ search: (s) => ({ ...s, span: failed.id }), replace: true })}>To the failure</Button>}
      </PageHead>
      <div className={classes.frame}>
        {spans.length === 0 ? <p className="muted panel-body">{info.state === "IN_PROGRESS" ? "Its spans have not come yet." : "No span of this trace is stored here."}</p> : (
          <Waterfall spans={spans} chosen={chosen?.id} closed={closed} onChoose={(span) => void navigate({ search: (s) => ({ ...s, span }), replace: true })} onFold={(s) => setClosed((old) => { const next = new Set(old); if (!next.delete(s)) next.add(s); return next; })} />
        )}
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys */}
        <div className={classes.detail} tabIndex={0} role="region" aria-label="The chosen span">
          {chosen && <SpanDetail span={chosen} />}
          <Assessments info={info} span={chosen} onChanged={refetch} />
        </div>
      </div>
    </>
  );
}
