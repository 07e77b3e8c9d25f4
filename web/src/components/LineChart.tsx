// uPlot in React: the canvas is made once per shape of the chart; new points go through setData and never re-render React.
import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatInstant, formatMetric, timeZone } from "../lib/format";
import classes from "./LineChart.module.css";

export interface Series {
  label: string;
  color: string; // a token: "--series-1"
  width?: number;
  alpha?: number;
  dash?: number[];
  points?: boolean;
  /** The index of the series that this one's area reaches down to: bands between minimum and maximum. */
  bandTo?: number;
  bars?: boolean;
  format?: (value: number | null) => string;
}
/** A vertical line at an x: a promotion, an alert. */
export interface ChartMark { x: number; label: string; color?: string }

interface Props {
  label: string; // one sentence on what is seen, for screen readers: "loss of 2 runs, last 0.18"
  series: readonly Series[];
  data: uPlot.AlignedData; // x in seconds when `time`
  time?: boolean;
  log?: boolean; // of y
  logx?: boolean;
  fromZero?: boolean; // counts, rates
  unit?: string;
  xLabel?: string;
  height?: number; // else it fills its parent
  legend?: boolean;
  marks?: readonly ChartMark[];
  range?: [number, number]; // of x; else what the data has
  onZoom?: (range: [number, number] | null) => void; // drag; double-click is null
  sync?: string; // charts of the same name share the cursor
  format?: (value: number | null) => string;
}

export function LineChart(props: Props) {
  const { label, series, data, time = false, log = false, logx = false, fromZero = false, unit, xLabel, height, legend = true, marks, range, onZoom, sync, format = formatMetric } = props;
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const scheme = useComputedColorScheme("light");
  const [table, setTable] = useState(false);
  const shape = JSON.stringify([series.map(({ format: _, ...s }) => s), time, log, logx, fromZero, unit, xLabel, legend, sync, scheme, timeZone()]);
  const latest = useRef({ data, marks, onZoom, range, format, series });
  latest.current = { data, marks, onZoom, range, format, series };

  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` is all that makes a new canvas; the rest goes through setData
  useEffect(() => {
    const node = host.current;
    if (!node || table) return;
    const css = getComputedStyle(document.documentElement);
    const color = (token: string) => (token.startsWith("--") ? css.getPropertyValue(token).trim() : token);
    const axis: uPlot.Axis = { stroke: color("--muted"), font: "12px 'Inter Variable'", grid: { stroke: color("--grid"), width: 1 }, ticks: { show: false } };
    const box = () => ({ width: Math.max(80, node.clientWidth), height: Math.max(60, node.clientHeight - (legend ? legendHeight(series.length, node.clientWidth) : 0)) });
    const made = new uPlot(
      {
        ...box(),
        ...(time ? { tzDate: (ts: number) => (timeZone() === "utc" ? uPlot.tzDate(new Date(ts * 1000), "Etc/UTC") : new Date(ts * 1000)) } : {}),
        scales: {
          x: { time, ...(logx ? { distr: 3 as const } : {}), ...(range ? { range: () => latest.current.range ?? range } : {}) },
          y: log ? { distr: 3 } : { range: (_, min, max) => spread(min, max, fromZero) },
        },
        axes: [
          { ...axis, size: time ? 42 : xLabel ? 26 : 28, ...(xLabel ? { label: xLabel, labelFont: "12px 'Inter Variable'", labelSize: 18, labelGap: 0 } : {}), space: 70, ...(time ? { values: TIME_TICKS } : {}) },
          { ...axis, size: (_, values) => Math.max(36, 14 + 7 * Math.max(0, ...(values ?? []).map((v) => v?.length ?? 0))), space: 34, values: (_, ticks) => ticks.map((v) => (v === null ? "" : latest.current.format === formatMetric ? tickText(v) : latest.current.format(v))), ...(unit ? { label: unit, labelFont: "12px 'Inter Variable'", labelSize: 18, labelGap: 0 } : {}) },
        ],
        series: [
          { label: xLabel ?? (time ? "time" : "x"), value: (_, v) => (v === null ? "–" : time ? formatInstant(v * 1000).slice(0, 19) : String(v)) },
          ...series.map((s, i): uPlot.Series => ({
            label: s.label, stroke: color(s.color), width: s.width ?? 1.5, alpha: s.alpha ?? 1, dash: s.dash, spanGaps: false,
            fill: s.bars ? color(s.color) : undefined, paths: s.bars ? uPlot.paths.bars?.({ size: [0.8, 40] }) : undefined,
            points: { show: s.points ?? (_shown(data, i + 1) < 2 ? true : undefined), size: 5 },
            value: (_, v) => (s.format ?? latest.current.format)(v),
          })),
        ],
        bands: series.flatMap((s, i) => (s.bandTo === undefined ? [] : [{ series: [i + 1, s.bandTo + 1] as [number, number], fill: `color-mix(in srgb, ${color(s.color)} 16%, transparent)` }])),
        cursor: { drag: { x: true, y: false, setScale: !onZoom }, points: { size: 6 }, ...(sync ? { sync: { key: sync, setSeries: false } } : {}) },
        legend: { show: legend, live: true },
        hooks: {
          setSelect: [(u) => {
            if (!latest.current.onZoom || u.select.width < 4) return;
            const zoom: [number, number] = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            latest.current.onZoom(zoom);
          }],
          draw: [(u) => drawMarks(u, latest.current.marks ?? [], color)],
          ready: [(u) => u.over.addEventListener("dblclick", () => latest.current.onZoom?.(null))],
        },
      },
      latest.current.data, node,
    );
    plot.current = made;
    const resize = new ResizeObserver(() => made.setSize(box()));
    resize.observe(node);
    return () => {
      resize.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [shape, table]);

  useEffect(() => {
    const u = plot.current;
    if (!u || u.data === data) return;
    // A view that was zoomed stays where it was put while points arrive: only the data and the y range change.
    const [x, xs] = [u.scales.x as uPlot.Scale, u.data[0]];
    const whole = !xs.length || (x.min === xs[0] && x.max === xs[xs.length - 1]) || range !== undefined;
    u.setData(data, whole);
    if (!whole) u.redraw();
  }, [data, range]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: redrawn when the marks change
  useEffect(() => plot.current?.redraw(false), [marks]);

  if (table) return <ChartTable {...props} onBack={() => setTable(false)} />;
  return (
    <figure className={classes.figure} style={height ? { height } : undefined} aria-label={label}>
      <div ref={host} className={classes.host} />
      <button type="button" className={`plain small ${classes.asTable}`} onClick={() => setTable(true)}>As table</button>
    </figure>
  );
}

/** Ticks are round: no zeros behind them that say nothing. */
const tickText = (v: number): string => (v !== 0 && (Math.abs(v) < 1e-4 || Math.abs(v) >= 1e5) ? formatMetric(v) : String(Number(v.toPrecision(10))).replace("-", "−"));

const _shown = (data: uPlot.AlignedData, i: number) => {
  let n = 0;
  for (const v of data[i] ?? []) if (v !== null && v !== undefined && ++n > 1) break;
  return n;
};
const LEGEND_LINE = 29;
const legendHeight = (n: number, width: number) => LEGEND_LINE * Math.max(1, Math.ceil(((n + 1) * 150) / Math.max(150, width - 40)));

/** A little air above and below; from zero where the amount is what counts. */
function spread(min: number | null, max: number | null, fromZero: boolean): [number, number] {
  if (min === null || max === null) return [0, 1];
  const low = fromZero ? Math.min(0, min) : min;
  const air = (max - low || Math.abs(max) || 1) * 0.06;
  return [fromZero && low === 0 ? 0 : low - air, max + air];
}

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;
// increment, what is shown, and what is added where the day changes; all in 24 hours
const TIME_TICKS: uPlot.Axis.DynamicValues | uPlot.Axis.Values = [
  [DAY, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 1],
  [HOUR, "{HH}:{mm}", null, null, "\n{MM}-{DD}", null, null, null, 1],
  [MINUTE, "{HH}:{mm}", null, null, "\n{MM}-{DD}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", null, null, "\n{MM}-{DD}", null, null, null, 1],
  [0.001, "{HH}:{mm}:{ss}.{fff}", null, null, null, null, null, null, 1],
] as never;

function drawMarks(u: uPlot, marks: readonly ChartMark[], color: (token: string) => string): void {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.font = `${12 * devicePixelRatio}px 'Inter Variable'`;
  const ends: number[] = []; // of the words so far, by line: those that would touch stand one line lower
  for (const mark of marks) {
    const x = u.valToPos(mark.x, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = color(mark.color ?? "--muted");
    ctx.fillStyle = color(mark.color ?? "--muted");
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const gap = 4 * devicePixelRatio;
    const width = ctx.measureText(mark.label).width;
    const right = x + gap + width > bbox.left + bbox.width;
    const from = right ? x - gap - width : x + gap;
    let line = 0;
    while ((ends[line] ?? Number.NEGATIVE_INFINITY) > from) line++;
    ends[line] = from + width + gap;
    ctx.textAlign = "left";
    ctx.fillText(mark.label, from, bbox.top + (12 + 15 * line) * devicePixelRatio);
  }
  ctx.restore();
}

const MOST_TABLE_ROWS = 500;
/** The same facts for copying and for screen readers. */
function ChartTable({ series, data, time, xLabel, label, height, format = formatMetric, onBack }: Props & { onBack: () => void }) {
  const csv = useMemo(() => {
    const lines = [[xLabel ?? (time ? "time" : "x"), ...series.map((s) => s.label)].join(",")];
    for (let i = 0; i < data[0].length; i++) lines.push([time ? new Date((data[0][i] as number) * 1000).toISOString() : data[0][i], ...series.map((_, s) => data[s + 1]?.[i] ?? "")].join(","));
    return lines.join("\n");
  }, [series, data, time, xLabel]);
  const n = Math.min(data[0].length, MOST_TABLE_ROWS);
  return (
    <div className={classes.table} style={height ? { height } : undefined}>
      <div className="row small">
        <button type="button" className="plain" onClick={onBack}>As chart</button>
        <a download={`${label}.csv`} href={URL.createObjectURL(new Blob([csv], { type: "text/csv" }))}>CSV</a>
        {n < data[0].length && <span className="muted">the first {n} of {data[0].length} rows; the CSV has all</span>}
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys */}
      <div className={classes.scroll} tabIndex={0}>
        <table className="plain" aria-label={label}>
          <thead><tr><th>{xLabel ?? (time ? "time" : "x")}</th>{series.map((s) => <th key={s.label} className="num">{s.label}</th>)}</tr></thead>
          <tbody>
            {Array.from({ length: n }, (_, i) => (
              <tr key={String(data[0][i])}><td>{time ? formatInstant((data[0][i] as number) * 1000).slice(0, 19) : data[0][i]}</td>{series.map((s, k) => <td key={s.label} className="num">{(s.format ?? format)((data[k + 1]?.[i] as number | null) ?? null)}</td>)}</tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}
