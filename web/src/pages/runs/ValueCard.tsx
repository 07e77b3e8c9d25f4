// One card of runs against one another; what it shows is chosen in its head and kept in the address.
import { ActionIcon, MultiSelect } from "@mantine/core";
import { IconX } from "@tabler/icons-react";
import { useMemo } from "react";
import { BoxPlot } from "../../components/charts/BoxPlot";
import { type Brushes, Parallel } from "../../components/charts/Parallel";
import { Scatter } from "../../components/charts/Scatter";
import { numeric, type Raw } from "../../components/charts/axis";
import { ColumnSelect } from "../../components/ColumnSelect";
import { type Card, OWN_COLUMNS, columnLabel } from "../../lib/columns";
import { formatCount, formatMetric } from "../../lib/format";
import { type RunValues, cellOf } from "../../lib/run-values";
import { type RunRow, better, readColumn, runColor, usePage, writeColumn } from "../../lib/tracking";
import classes from "../Runs.module.css";

interface Props {
  card: Card;
  values: RunValues;
  rows: readonly RunRow[]; // those that are not hidden
  kept?: ReadonlySet<string>;
  picked: readonly string[];
  experiments: readonly string[];
  names: ReadonlyMap<string, string>;
  by: string;
  brush: Brushes;
  groupOf: (row: RunRow) => string;
  groupColors: ReadonlyMap<string, string>;
  onOpen: (id: string) => void;
  onBrush: (next: Brushes, done: boolean) => void;
  onChange: (parts: string[]) => void;
  onRemove: () => void;
}
const NAMES = { scatter: "Scatter", parallel: "Parallel coordinates", bar: "Bars", box: "Boxes" } as const;
const OWN_HUES = 50; // of more runs the colours would say nothing
const MOST_BARS = 60;
const MOST_BOXES = 16;
export const show = (v: Raw): string => (v === null ? "–" : typeof v === "number" ? formatMetric(v) : v);

export function ValueCard(props: Props) {
  const { card, experiments, onChange, onRemove } = props;
  const [a = "", b = ""] = card.parts;
  const select = (label: string, prefix: string, value: string, set: (v: string) => void, rest: object = {}) => <ColumnSelect label={label} prefix={prefix} width={150} value={value} onChange={set} experiments={experiments} {...rest} />;
  return (
    <section className={`panel ${classes.value}`} data-wide={card.kind === "parallel" || undefined}>
      <header>
        <h2>{NAMES[card.kind]}</h2><span className="spacer" />
        <ActionIcon size={24} aria-label={`Remove the chart ${NAMES[card.kind]}`} onClick={onRemove}><IconX size={15} /></ActionIcon>
      </header>
      <div className={classes.axes}>
        {card.kind === "scatter" && <>{select("Horizontal axis", "x", a, (v) => onChange([v, b]))}{select("Vertical axis", "y", b, (v) => onChange([a, v]))}</>}
        {card.kind === "bar" && select("Metric", "", a, (v) => onChange([v]), { kinds: ["metric"] })}
        {card.kind === "box" && <>{select("Metric", "", a, (v) => onChange([v, b]), { kinds: ["metric"] })}{select("Grouped by", "by", b, (v) => onChange([a, v]), { kinds: ["param", "tag"], own: OWN_COLUMNS })}</>}
        {card.kind === "parallel" && <Dimensions value={card.parts} experiments={experiments} onChange={onChange} />}
      </div>
      <div className={classes.drawn}>
        {card.kind === "scatter" ? <ScatterBody {...props} /> : card.kind === "parallel" ? <ParallelBody {...props} /> : card.kind === "bar" ? <BarBody {...props} /> : <BoxBody {...props} />}
      </div>
    </section>
  );
}

function Dimensions({ value, experiments, onChange }: { value: readonly string[]; experiments: readonly string[]; onChange: (v: string[]) => void }) {
  const params = usePage<{ keys: string[] }>("/runs/keys", { exp: experiments, kind: "param", limit: "200" }, { keep: true });
  const metrics = usePage<{ keys: string[] }>("/runs/keys", { exp: experiments, kind: "metric", limit: "200" }, { keep: true });
  const group = (title: string, kind: "param" | "metric", keys: readonly string[] = []) => ({ group: title, items: [...new Set([...keys.map((key) => writeColumn({ kind, key, pick: "last" })), ...value.filter((v) => readColumn(v)?.kind === kind)])].map((v) => ({ value: v, label: columnLabel(v) })) });
  return <MultiSelect aria-label="Axes" placeholder={value.length ? undefined : "Choose axes"} searchable hidePickedOptions w="min(100%, 520px)" maxDropdownHeight={320} value={[...value]} onChange={onChange} data={[group("Parameters", "param", params.data?.keys), group("Metrics", "metric", metrics.data?.keys)]} />;
}

const Choose = ({ children }: { children: string }) => <p className="muted" style={{ padding: 24, textAlign: "center" }}>{children}</p>;
const hue = (props: Props, row: RunRow, count: number): string => (props.by ? (props.groupColors.get(props.groupOf(row)) ?? "--muted") : count <= OWN_HUES ? runColor(row.id) : "--series-1");

function ScatterBody(props: Props) {
  const { card: { parts: [x, y] }, values, rows, kept, picked, onOpen } = props;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the colours follow from groupOf and groupColors
  const points = useMemo(() => (x && y ? rows.filter((r) => !kept || kept.has(r.id)).map((r) => ({ id: r.id, name: r.name, color: hue(props, r, rows.length), x: cellOf(values, r, x), y: cellOf(values, r, y) })) : []), [rows, kept, values, x, y, props.groupOf, props.groupColors]);
  const strong = useMemo(() => new Set(picked), [picked]);
  if (!x || !y) return <Choose>Choose what stands on each axis.</Choose>;
  return <Scatter points={points} xLabel={columnLabel(x)} yLabel={columnLabel(y)} strong={strong} onPick={onOpen} show={show} />;
}

function ParallelBody({ card: { parts }, values, rows, brush, onBrush, onOpen }: Props) {
  const dimensions = useMemo(() => parts.map((column) => ({ column, label: columnLabel(column) })), [parts]);
  // All runs that were read, so that an axis keeps its length when one is hidden.
  const lines = useMemo(() => rows.map((r) => ({ id: r.id, name: r.name, values: parts.map((p) => cellOf(values, r, p)) })).filter((l) => l.values.some((v) => v !== null)), [rows, values, parts]);
  if (parts.length < 2) return <Choose>Choose two axes or more. Drag along an axis to keep the runs that pass there.</Choose>;
  return <Parallel dimensions={dimensions} lines={lines} brushes={brush} onBrush={onBrush} onPick={onOpen} show={show} />;
}

function BarBody(props: Props) {
  const { card: { parts: [column] }, values, rows, kept, onOpen } = props;
  if (!column) return <Choose>Choose a metric.</Choose>;
  const way = better(readColumn(column)?.key ?? "") || 1;
  const bars = rows.filter((r) => !kept || kept.has(r.id)).flatMap((r) => { const v = numeric(cellOf(values, r, column)); return v === null ? [] : [{ row: r, v }]; }).sort((a, b) => way * (b.v - a.v));
  const [low, high] = [Math.min(0, ...bars.map((b) => b.v)), Math.max(0, ...bars.map((b) => b.v))];
  const at = (v: number) => ((v - low) / (high - low || 1)) * 100;
  if (bars.length === 0) return <Choose>None of these runs logged it.</Choose>;
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys */}
      <ol className={classes.bars} tabIndex={0} aria-label={`${columnLabel(column)} of ${bars.length} runs, the ${way > 0 ? "highest" : "lowest"} first`}>
        {bars.slice(0, MOST_BARS).map(({ row, v }) => (
          <li key={row.id}>
            <button type="button" className="plain cut" title={row.name} onClick={() => onOpen(row.id)}>{row.name}</button>
            <span className={classes.track}><i style={{ left: `${at(Math.min(0, v))}%`, width: `${Math.abs(at(v) - at(0))}%`, background: `var(${hue(props, row, Math.min(bars.length, MOST_BARS))})` }} /></span>
            <span className="num" title={String(v)}>{formatMetric(v)}</span>
          </li>
        ))}
      </ol>
      {bars.length > MOST_BARS && <p className="muted small" style={{ padding: "0 12px 6px" }}>The {way > 0 ? "highest" : "lowest"} {MOST_BARS} of {formatCount(bars.length)} runs.</p>}
    </>
  );
}

function BoxBody({ card: { parts: [column, by] }, values, rows, kept, names, onOpen }: Props) {
  const groups = useMemo(() => {
    if (!column) return [];
    const found = new Map<string, { id: string; name: string; value: number }[]>();
    for (const r of rows) {
      if (kept && !kept.has(r.id)) continue;
      const value = numeric(cellOf(values, r, column));
      if (value === null) continue;
      const raw = by ? cellOf(values, r, by) : "all runs";
      const name = raw === null ? "none" : by === "experiment" ? (names.get(String(raw)) ?? String(raw)) : String(raw);
      const list = found.get(name) ?? [];
      list.push({ id: r.id, name: r.name, value });
      found.set(name, list);
    }
    const ordered = [...found].sort((a, b) => b[1].length - a[1].length).slice(0, MOST_BOXES).sort((a, b) => a[0].localeCompare(b[0], undefined, { numeric: true }));
    return ordered.map(([name, list], i) => ({ name, values: list, color: `--series-${(i % 8) + 1}` }));
  }, [column, by, rows, kept, values, names]);
  if (!column) return <Choose>Choose a metric.</Choose>;
  if (groups.length === 0) return <Choose>None of these runs logged it.</Choose>;
  return <BoxPlot groups={groups} xLabel={by ? columnLabel(by) : ""} yLabel={columnLabel(column)} onPick={onOpen} />;
}
