// Rate, errors and latency over the chosen time, with what happened drawn into it.
import { Fragment, useMemo } from "react";
import { getRouteApi } from "@tanstack/react-router";
import { type ChartMark, LineChart } from "../../components/LineChart";
import { Empty } from "../../components/Problem";
import { PixelImage } from "../../components/PixelImage";
import { StatusMark } from "../../components/StatusMark";
import { RangePicker } from "../../components/RangePicker";
import { MISSING, formatClock, formatCount, formatDuration, formatDurationUs, formatInstant, formatMetric, formatPercent, formatRate, plural } from "../../lib/format";
import type { ImageShape } from "../../lib/image";
import { placeOf } from "../../lib/places";
import { joined } from "../../lib/marks";
import { WORDS } from "../../lib/words";
import classes from "./endpoints.module.css";
import type { EndpointPage, Queue } from "./types";
import { type RequestRow, useRequests } from "./useRequests";
import { filled, revisionName } from "./words";

const route = getRouteApi("/shell/p/$project/endpoints/$name/{-$tab}");
const seconds = (v: number | null) => (v === null ? MISSING : formatDuration(v * 1000));

export function Live({ page, image, from }: { page: EndpointPage; image?: ImageShape; from: string }) {
  const { to } = route.useSearch();
  const navigate = route.useNavigate();
  const { traffic } = page;
  const step = traffic.step_us / 1e6;
  const places = useMemo(() => filled(traffic.points, traffic.from_us, traffic.to_us, traffic.step_us), [traffic]);
  const xs = useMemo(() => places.map((_, i) => (Math.floor(traffic.from_us / traffic.step_us) + i) * step), [places, traffic, step]);
  const rate = useMemo(() => [xs, places.map((p) => (p?.requests ?? 0) / step), places.map((p) => (p?.failures ?? 0) / step)] as [number[], number[], number[]], [xs, places, step]);
  const latency = useMemo(() => [xs, places.map((p) => p?.p50 ?? null), places.map((p) => p?.p95 ?? null), places.map((p) => p?.p99 ?? null)] as [number[], ...(number | null)[][]], [xs, places]);
  const marks = useMemo<ChartMark[]>(() => joined([
    ...page.promotions.map((p) => ({ x: p.at_us / 1e6, label: `${p.kind === "rolled_back" ? "back to" : ""} v${p.version}`.trim(), color: "--ok" })),
    ...page.alerts.map((a) => ({ x: a.raised_us / 1e6, label: a.kind, color: "--lost" })),
  ], (traffic.to_us - traffic.from_us) / 1e6), [page.promotions, page.alerts, traffic]);
  const zoom = (range: [number, number] | null) => navigate({ search: (s) => ({ ...s, ...(range ? { from: new Date(range[0] * 1000).toISOString(), to: new Date(range[1] * 1000).toISOString() } : { from: "", to: "now" }) }) });
  const span = (traffic.to_us - traffic.from_us) / 1e6;
  return (
    <div className={classes.body}>
      <div className={classes.bar}><RangePicker from={from} to={to} fallback="" onChange={(r) => navigate({ search: (s) => ({ ...s, ...r }) })} /><span className="muted small">steps of {formatDuration(step * 1000)}; drag over a chart to zoom</span></div>
      <dl className={classes.stats}>
        <Stat name="Requests" value={formatCount(traffic.requests)} hint={`${formatCount(traffic.rows)} rows`} />
        <Stat name="Mean rate" value={formatRate(traffic.requests / span)} />
        <Stat name="p50" value={seconds(traffic.p50)} hint={WORDS.p50} />
        <Stat name="p95" value={seconds(traffic.p95)} hint={WORDS.p95} />
        <Stat name="p99" value={seconds(traffic.p99)} hint={`${WORDS.p99} Read from counted buckets, so a fifth off at most.`} />
        <Stat name="Errors" value={traffic.requests ? formatPercent(traffic.failures / traffic.requests, 2) : MISSING} hint={`${plural(traffic.failures, "request was", "requests were")} answered with an error, ${formatCount(traffic.faults)} by a fault of the model or the server; the others were the clients'`} />
        <Stat name="Rows a request" value={traffic.requests ? formatCount(Math.round(traffic.rows / Math.max(1, traffic.requests - traffic.failures))) : MISSING} />
      </dl>
      {traffic.requests === 0 ? <NoTraffic page={page} /> : (
        <div className={classes.charts}>
          <div className="panel"><header><h2>Requests</h2></header><div className={classes.chart}>
            <LineChart label={`Requests a second of ${page.name}, ${formatCount(traffic.requests)} in all`} time fromZero series={[{ label: "requests", color: "--series-1" }, { label: "errors", color: "--series-2" }]} data={rate} format={formatRate} marks={marks} range={[traffic.from_us / 1e6, traffic.to_us / 1e6]} onZoom={zoom} sync="endpoint" height={240} />
          </div></div>
          <div className="panel"><header><h2>Latency</h2><span className="muted small">computation of the answer</span></header><div className={classes.chart}>
            <LineChart label={`Latency of ${page.name}, p99 ${seconds(traffic.p99)}`} time fromZero series={[{ label: "p50", color: "--series-1" }, { label: "p95", color: "--series-7" }, { label: "p99", color: "--series-2" }]} data={latency} format={seconds} marks={marks} range={[traffic.from_us / 1e6, traffic.to_us / 1e6]} onZoom={zoom} sync="endpoint" height={240} />
          </div></div>
        </div>
      )}
      {traffic.requests > 0 && <div className={classes.charts}><Newest page={page} image={image} /><div className="stack"><Split page={page} />{page.queue && <QueuePanel queue={page.queue} />}</div></div>}
    </div>
  );
}

/** What waits, and how requests were put together, of a model in worker processes or one that batches. */
function QueuePanel({ queue }: { queue: Queue }) {
  const most = Math.max(1, ...queue.batches.map((b) => b.executions));
  return (
    <div className="panel"><header><h2>Queue and batches</h2><span className="muted small">since this revision serves</span></header>
      <div className="panel-body stack">
        <dl className="facts">
          {queue.workers !== undefined && <><dt>Workers</dt><dd>{formatCount(queue.workers)} ready, {formatCount(queue.busy)} busy{queue.crashed ? <>, <b>{plural(queue.crashed, "failure")}</b></> : null}</dd><dt>Waiting now</dt><dd>{plural(queue.waiting ?? 0, "request")}</dd></>}
          {queue.executions !== undefined && <><dt>Runs of the model</dt><dd>{formatCount(queue.executions)} for {plural(queue.requests ?? 0, "request")}</dd><dt>Mean wait</dt><dd>{queue.requests ? formatDuration(((queue.waited_s ?? 0) * 1000) / queue.requests) : MISSING}</dd></>}
        </dl>
        {queue.batches.length > 0 && (
          <div className={classes.batches} role="img" aria-label={`Rows in a run of the model: ${queue.batches.map((b) => `up to ${b.rows}: ${b.executions}`).join(", ")}`}>
            {queue.batches.map((b) => <Fragment key={b.rows}><span>{b.rows === 1 ? "1 row" : `up to ${b.rows} rows`}</span><i style={{ width: `${(b.executions / most) * 100}%` }} /><span className="num">{formatCount(b.executions)}</span></Fragment>)}
          </div>
        )}
      </div>
    </div>
  );
}

/** One bar split by revision: how much of the traffic each answered. */
function Split({ page }: { page: EndpointPage }) {
  const { project } = route.useParams();
  const shown = page.revisions.filter((r) => r.traffic.requests > 0);
  const all = shown.reduce((n, r) => n + r.traffic.requests, 0);
  return (
    <div className="panel"><header><h2 title={WORDS.revision}>Traffic by revision</h2></header>
      <div className="panel-body stack">
        <div className={classes.split} role="img" aria-label={shown.map((r) => `revision ${r.number}: ${formatPercent(r.traffic.requests / all)}`).join(", ")}>
          {shown.map((r, i) => <i key={r.number} style={{ width: `${(r.traffic.requests / all) * 100}%`, background: `var(--series-${(i % 8) + 1})` }} title={`${revisionName(page, r)}: ${formatCount(r.traffic.requests)} requests`} />)}
        </div>
        <table className="plain"><thead><tr><th>Revision</th><th>Model</th><th className="num">Share</th><th className="num">p50</th><th className="num">p99</th><th className="num">Errors</th></tr></thead>
          <tbody>
            {shown.map((r, i) => (
              <tr key={r.number}>
                <td><i className={classes.dot} style={{ background: `var(--series-${(i % 8) + 1})` }} />{r.number}{r.number === page.live_revision && <span className="muted"> live</span>}</td>
                <td>{page.graph ? <a href={`${placeOf(project, "endpoint", page.name)}/graph`}>the graph</a> : <a href={placeOf(project, "model_version", `${r.model}/${r.version}`)}>{r.model}/{r.version}</a>}</td>
                <td className="num">{formatPercent(r.traffic.requests / all)}</td><td className="num">{seconds(r.traffic.p50)}</td><td className="num">{seconds(r.traffic.p99)}</td><td className="num">{formatPercent(r.traffic.failures / r.traffic.requests)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

const NEWEST = 8;
/** The last few requests, as a way into all of them. */
function Newest({ page, image }: { page: EndpointPage; image?: ImageShape }) {
  const { project } = route.useParams();
  const rows = useRequests(page.name, { toUs: page.traffic.to_us }, NEWEST); // again with each step of time
  const shown = Array.from({ length: NEWEST }, (_, i) => rows.at(i)).filter((r): r is RequestRow => r !== undefined);
  const versions = new Map(page.revisions.map((r) => [r.number, revisionName(page, r)]));
  const here = `${placeOf(project, "endpoint", page.name)}/requests`;
  return (
    <div className="panel"><header><h2>Newest requests</h2><span className="spacer" /><a href={`${here}?only=wrong`}>Wrong ones</a><a href={here}>All</a></header>
      <table className={`plain ${classes.tight}`}><thead><tr>{image && <th>Input</th>}<th>Time</th><th>Prediction</th><th>True label</th><th className="num">Score</th><th className="num">Latency</th><th>Version</th></tr></thead>
        <tbody>
          {shown.map(({ request: r }) => (
            <tr key={r.id}>
              {image && <td>{r.rows[0] && <PixelImage shape={image} values={r.rows[0].values} size={22} label="Input" />}</td>}
              <td><a href={`${here}?peek=${r.id}`} title={formatInstant(r.at_us / 1000)}>{formatClock(r.at_us / 1000)}</a></td><td><b>{r.rows[0]?.prediction ?? MISSING}</b></td>
              <td>{r.rows[0]?.label ? <StatusMark status={r.rows[0].wrong ? "failed" : "finished"} label={r.rows[0].label} /> : MISSING}</td>
              <td className="num">{formatMetric(r.rows[0]?.score)}</td><td className="num">{formatDurationUs(r.duration_us)}</td><td>{versions.get(r.revision)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export const Stat = ({ name, value, hint }: { name: string; value: React.ReactNode; hint?: string }) => <div className={classes.stat} title={hint}><dt>{name}</dt><dd>{value}</dd></div>;

function NoTraffic({ page }: { page: EndpointPage }) {
  const row = page.signature?.features.slice(0, 4).map((f) => (f.text ? '"text"' : "0")).join(", ") ?? "0";
  const dots = (page.signature?.features.length ?? 0) > 4 ? ", …" : "";
  return (
    <Empty title="No request in this time" code={`curl ${location.origin}/endpoints/${page.name}/invocations \\\n  -H 'content-type: application/json' \\\n  -d '{"dataframe_split": {"columns": ${JSON.stringify(page.signature?.features.slice(0, 4).map((f) => f.name) ?? [])}${dots}, "data": [[${row}${dots}]]}}'`} label="Copy as curl">
      Choose a longer time, or ask it: the Try tab has a form, and the same call as curl and Python.
    </Empty>
  );
}
