// One metric of several runs as lines. The server hands out at most two points a pixel column, the least and the greatest
// (said under the chart), and smooths the whole series, so that zooming never changes a curve. Only drawn when in view.
import { ActionIcon, Tooltip } from "@mantine/core";
import { IconX, IconZoomReset } from "@tabler/icons-react";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { keepPreviousData, useQueries } from "@tanstack/react-query";
import type uPlot from "uplot";
import { type ApiError, currentProject, get } from "../lib/api";
import { type XAxis, bands, joined } from "../lib/curves";
import { formatCount, formatDuration, formatInstant, formatMetric, plural } from "../lib/format";
import { type Curve, better, runColor, withQuery } from "../lib/tracking";
import { LineChart, type Series } from "./LineChart";
import classes from "./MetricChart.module.css";
import { Problem, Waiting } from "./Problem";

export interface DrawnRun { id: string; name: string; group?: string }

interface Props {
  metric: string;
  runs: readonly DrawnRun[];
  x: XAxis;
  smooth: number;
  log: boolean;
  logx?: boolean;
  band?: boolean; // groups as mean ± standard deviation, instead of a line a run
  color?: (run: DrawnRun) => string; // a token; else the run's own
  range: string; // "100:200" of the axis, or ""
  onRange: (range: string) => void;
  onRemove?: () => void;
  height?: number;
  live?: boolean;
  legend?: boolean; // false: the page has one already
}

export const readRange = (range: string): [number, number] | undefined => {
  const [from, to] = range.split(":").map(Number);
  return from !== undefined && to !== undefined && Number.isFinite(from) && Number.isFinite(to) && from < to ? [from, to] : undefined;
};

/** A log scale has no place for what is not above zero. */
function positive(data: uPlot.AlignedData, log: boolean, logx: boolean): uPlot.AlignedData {
  if (!log && !logx) return data;
  const from = logx ? data[0].findIndex((v) => v > 0) : 0;
  const kept = from <= 0 ? data : data.map((column) => column.slice(from));
  return kept.map((column, i) => (i === 0 || !log ? column : Array.from(column, (v) => (typeof v === "number" && v <= 0 ? null : v)))) as uPlot.AlignedData;
}

/** Metrics that were logged once are no line: bars, from zero, the best at the top. */
function SingleValues({ curves, names, shade }: { curves: readonly Curve[]; names: ReadonlyMap<string, string>; shade: (id: string) => string }) {
  const way = better(curves[0]?.key ?? "") || 1;
  const rows = curves.map((c) => ({ id: c.run, name: names.get(c.run) ?? c.run.slice(0, 8), value: c.value[0] ?? null })).sort((a, b) => way * ((b.value ?? -way * Number.POSITIVE_INFINITY) - (a.value ?? -way * Number.POSITIVE_INFINITY)));
  const most = Math.max(1e-300, ...rows.map((r) => Math.abs(r.value ?? 0)));
  return (
    <ul className={classes.single}>
      {rows.map((r) => (
        <li key={r.id}>
          <span className="cut" title={r.name}>{r.name}</span>
          <span className={classes.track}><i style={{ width: `${(Math.abs(r.value ?? 0) / most) * 100}%`, background: `var(${shade(r.id)})` }} /></span>
          <span className="num" title={String(r.value)}>{formatMetric(r.value)}</span>
        </li>
      ))}
    </ul>
  );
}

const AT_ONCE = 100; // runs of one request: a link has a length
const POINTS = 240_000; // of all curves of a chart together

export function MetricChart({ metric, runs, x, smooth, log, logx = false, band = false, color, range, onRange, onRemove, height = 240, live = true, legend = true }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState(false);
  const [width, setWidth] = useState(600);
  useEffect(() => {
    const node = box.current;
    if (!node) return;
    const watch = new IntersectionObserver(([entry]) => { if (entry?.isIntersecting) { setSeen(true); setWidth(Math.ceil(node.clientWidth / 200) * 200); } }, { rootMargin: "200px" });
    watch.observe(node);
    return () => watch.disconnect();
  }, []);
  const zoom = readRange(range);
  // Of an axis that begins with each run the server knows no range: the whole is drawn and cut here.
  const cut = zoom && x !== "relative" ? { from: String(Math.floor(zoom[0])), to: String(Math.ceil(zoom[1])) } : {};
  const pixels = Math.round(Math.min(4000, Math.max(200, width), Math.max(60, POINTS / 2 / Math.max(1, runs.length))));
  const ask = { key: metric, axis: x === "step" ? "step" : "time", pixels: String(pixels), ...(smooth > 0 ? { smooth: String(smooth) } : {}), ...cut };
  const parts = useMemo(() => Array.from({ length: Math.ceil(runs.length / AT_ONCE) }, (_, i) => runs.slice(i * AT_ONCE, (i + 1) * AT_ONCE).map((r) => r.id)), [runs]);
  const query = useQueries({
    queries: parts.map((run) => {
      const path = withQuery("/pages/runs/curves", { run, ...ask });
      return { queryKey: [currentProject(), path, {}], queryFn: ({ signal }: { signal: AbortSignal }) => get<{ curves: Curve[] }>(path, undefined, signal), enabled: seen, meta: { topics: live ? ["run"] : [] }, placeholderData: keepPreviousData };
    }),
    combine: (all) => ({
      curves: all.every((q) => q.data) && all.length ? all.flatMap((q) => q.data?.curves ?? []) : undefined,
      error: (all.find((q) => q.isError)?.error ?? null) as ApiError | null,
      retry: () => { for (const q of all) if (q.isError) void q.refetch(); },
    }),
  });
  const { curves } = query;
  const byId = useMemo(() => new Map(runs.map((r) => [r.id, r])), [runs]);
  const names = useMemo(() => new Map(runs.map((r) => [r.id, r.name])), [runs]);
  const shade = useCallback((id: string) => { const run = byId.get(id); return color && run ? color(run) : runColor(id); }, [byId, color]);
  const drawnAs = useMemo((): { data: uPlot.AlignedData; series: Series[]; groups: { name: string; color: string; runs: number }[] } => {
    const all = curves ?? [];
    if (band) {
      const made = bands(all, (id) => byId.get(id)?.group ?? "all runs", x, smooth > 0);
      const first = new Map(runs.map((r) => [r.group ?? "all runs", r]).reverse() as [string, DrawnRun][]);
      const groups = made.bands.map((b) => { const run = first.get(b.name); return { name: b.name, runs: b.runs, color: color && run ? color(run) : "--series-1" }; });
      return {
        data: [made.x, ...made.bands.flatMap((b) => [b.high, b.low, b.mean])] as uPlot.AlignedData, groups,
        series: groups.flatMap((g, i): Series[] => [{ label: `${g.name} mean + sd`, color: g.color, width: 0, bandTo: i * 3 + 1 }, { label: `${g.name} mean − sd`, color: g.color, width: 0 }, { label: `${g.name} mean`, color: g.color, width: 1.8 }]),
      };
    }
    const thin = all.length > 20;
    const series = all.flatMap((c): Series[] => {
      const line = { label: names.get(c.run) ?? c.run.slice(0, 8), color: shade(c.run), alpha: thin ? 0.55 : 1, width: thin ? 1 : 1.5 };
      return smooth > 0 ? [{ ...line, label: `${line.label} raw`, alpha: thin ? 0.12 : 0.3, width: 1 }, { ...line, width: thin ? 1.2 : 1.8 }] : [line];
    });
    return { data: joined(all, x, smooth > 0), series, groups: [] };
  }, [curves, band, byId, names, runs, x, smooth, color, shade]);
  const { series, groups } = drawnAs;
  const data = useMemo(() => positive(drawnAs.data, log, logx), [drawnAs, log, logx]);
  const total = (curves ?? []).reduce((n, c) => n + c.total, 0);
  const drawn = (curves ?? []).reduce((n, c) => n + c.value.length, 0);
  const nans = (curves ?? []).reduce((n, c) => n + c.nans, 0);
  const sampled = curves?.some((c) => c.sampled);
  const last = curves?.map((c) => `${names.get(c.run) ?? c.run.slice(0, 8)} last ${formatMetric(c.value.at(-1))}`).slice(0, 6).join(", ");
  return (
    <section className={`panel ${classes.card}`} ref={box}>
      <header>
        <h2 className="cut" title={metric}>{metric}</h2>
        <span className="spacer" />
        {range && <Tooltip label="The whole range (or double-click)"><ActionIcon size={24} aria-label="The whole range" onClick={() => onRange("")}><IconZoomReset size={15} /></ActionIcon></Tooltip>}
        {onRemove && <ActionIcon size={24} aria-label={`Remove the chart of ${metric}`} onClick={onRemove}><IconX size={15} /></ActionIcon>}
      </header>
      <div className={classes.body} style={{ height }}>
        {query.error && !curves ? <Problem error={query.error} retry={query.retry} what={metric} />
          : !curves ? (runs.length === 0 ? <p className="muted">No run is chosen.</p> : seen ? <Waiting rows={4} /> : null)
          : curves.length === 0 ? <p className={`muted ${classes.none}`}>None of these runs logged {metric}.</p>
          : curves.every((c) => c.total < 2) ? <SingleValues curves={curves} names={names} shade={shade} />
          : <LineChart
              label={`${metric} of ${plural(curves.length, "run")}${band ? ` in ${plural(groups.length, "group")}, means` : ""}, ${last ?? ""}`} series={series} data={data} time={x === "time"} log={log} logx={logx && x !== "time"}
              xLabel={x === "step" ? "step" : x === "time" ? "time" : "seconds since the start"} sync={`runs-${x}`} legend={legend && !band && smooth === 0 && series.length <= 6}
              onZoom={(z) => onRange(z ? z.map((v) => (x === "time" ? Math.round(v * 1000) : x === "step" ? Math.round(v) : Number(v.toFixed(3)))).join(":") : "")}
              range={zoom && (x === "time" ? [zoom[0] / 1000, zoom[1] / 1000] : zoom)} format={formatMetric}
            />}
      </div>
      {groups.length > 0 && <div className={classes.groups}>{groups.slice(0, 12).map((g) => <span key={g.name}><i style={{ background: `var(${g.color})` }} />{g.name} <span className="muted">{formatCount(g.runs)}</span></span>)}<span className="muted">mean ± standard deviation</span></div>}
      <footer className="muted small">
        {sampled ? <span title="Of each pixel column the least and the greatest point are drawn, so that no outlier is lost.">{drawn.toLocaleString("en")} of {total.toLocaleString("en")} points, min and max kept</span> : total > 0 ? <span>{total === 1 ? "1 point" : `all ${total.toLocaleString("en")} points`}</span> : null}
        {nans > 0 && <span>{nans.toLocaleString("en")} NaN</span>}
        {curves?.some((c) => c.cut) && <span>cut at the server's limit</span>}
        {zoom && <span>{x === "time" ? `${formatInstant(zoom[0]).slice(0, 19)} to ${formatInstant(zoom[1]).slice(0, 19)}` : x === "step" ? `steps ${zoom[0]} to ${zoom[1]}` : `${formatDuration(zoom[0] * 1000)} to ${formatDuration(zoom[1] * 1000)}`}</span>}
      </footer>
    </section>
  );
}
