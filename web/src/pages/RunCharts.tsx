// Charts of the runs in the list: lines of metrics over time, and runs against one another (scatter, parallel coordinates,
// bars, boxes). The person adds the cards; each is drawn only when in view. The list beside them is the legend.
import { Button, Menu, Select } from "@mantine/core";
import { IconChevronDown, IconPlus } from "@tabler/icons-react";
import { useRouter } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useState } from "react";
import { ChartControls } from "../components/ChartControls";
import { type Brushes, axesOf, passing } from "../components/charts/Parallel";
import { Chip } from "../components/FilterBar";
import { type DrawnRun, MetricChart } from "../components/MetricChart";
import { Problem, Waiting } from "../components/Problem";
import { type Card, type CardKind, cardsOf, cardsText, escapeName, namesOf, namesText, unescapeName } from "../lib/columns";
import type { XAxis } from "../lib/curves";
import { formatCount, plural } from "../lib/format";
import { MOST_VALUES, useRunValues, cellOf } from "../lib/run-values";
import { listOf, listText } from "../lib/search";
import { type Query, type RunRow, readColumn, runColor, runHref, usePage } from "../lib/tracking";
import { ValueCard } from "./runs/ValueCard";
import classes from "./Runs.module.css";

interface State { metrics: string; charts: string; brush: string; n: number; band: "auto" | "lines" | "band"; x: XAxis; smooth: number; log: boolean; logx: boolean; range: string }
interface Props {
  query: Query;
  pinned: readonly RunRow[];
  picked: readonly string[];
  hidden: ReadonlySet<string>;
  search: State;
  set: (change: Partial<State>, replace?: boolean) => void;
  columns: readonly string[];
  experiments: readonly string[];
  names: ReadonlyMap<string, string>;
  by: string;
  onColors: (ofRun: ReadonlyMap<string, string> | undefined) => void; // what the list beside shows, when runs are grouped
}

const LINES = 50; // more are drawn as groups
const MOST_LINES = 500;
const CARDS: { kind: CardKind; name: string }[] = [{ kind: "scatter", name: "Scatter" }, { kind: "parallel", name: "Parallel coordinates" }, { kind: "bar", name: "Bars" }, { kind: "box", name: "Boxes" }];

/** "params.lr~0.1~0.6,…": the part of each axis that is kept, in shares of its length. */
export function readBrush(text: string): Brushes {
  return Object.fromEntries(listOf(text).flatMap((one) => {
    const [column = "", low, high] = one.split("~");
    const range = [Number(low), Number(high)] as const;
    return column && range.every((v) => Number.isFinite(v)) && range[0] < range[1] ? [[unescapeName(column), range]] : [];
  }));
}
export const writeBrush = (b: Brushes): string => listText(Object.entries(b).map(([column, [low, high]]) => `${escapeName(column)}~${low.toFixed(3)}~${high.toFixed(3)}`));

export function RunCharts({ query, pinned, picked, hidden, search, set, columns, experiments, names, by, onColors }: Props) {
  const router = useRouter();
  const [part, setPart] = useState("");
  const { x, smooth, log, logx, range, n } = search;
  const cards = useMemo(() => cardsOf(search.charts), [search.charts]);
  const metrics = useMemo(() => {
    const chosen = namesOf(search.metrics);
    return chosen.length ? chosen : [...new Set(columns.map(readColumn).filter((c) => c?.kind === "metric").map((c) => c?.key ?? ""))].slice(0, 4);
  }, [search.metrics, columns]);
  // One question for all cards: their columns of the runs in the list, and what the runs are grouped by.
  const wanted = useMemo(() => [...new Set([...cards.flatMap((c) => c.parts), by, ...(cards.length ? columns : [])])].filter((c) => readColumn(c)).slice(0, 100), [cards, by, columns]);
  const values = useRunValues({ ...query, col: undefined }, wanted, cards.length || picked.length ? MOST_VALUES : Math.min(MOST_LINES, Math.max(n, 10) + hidden.size));
  const { data } = values;

  const brush = useMemo(() => readBrush(search.brush), [search.brush]);
  const kept = useMemo(() => {
    const dimensions = Object.keys(brush).map((column) => ({ column, label: column }));
    if (!data || dimensions.length === 0) return undefined;
    const lines = data.rows.map((r) => ({ id: r.id, name: r.name, values: dimensions.map((d) => cellOf(data, r, d.column)) }));
    return passing(axesOf(dimensions, lines), dimensions, lines, brush);
  }, [data, brush]);
  const groupOf = useCallback((row: RunRow) => {
    const v = data && by ? cellOf(data, row, by) : null;
    return v === null ? "none" : by === "experiment" ? (names.get(String(v)) ?? String(v)) : String(v);
  }, [data, by, names]);
  const groupColors = useMemo(() => {
    const counts = new Map<string, number>();
    if (by) for (const row of data?.rows ?? []) counts.set(groupOf(row), (counts.get(groupOf(row)) ?? 0) + 1);
    return new Map([...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([name], i) => [name, i < 8 ? `--series-${i + 1}` : "--muted"]));
  }, [data, by, groupOf]);

  const drawn = useMemo((): DrawnRun[] => {
    const known = new Map((data?.rows ?? []).map((r) => [r.id, r]));
    for (const r of pinned) known.set(r.id, r);
    const as = (id: string, row?: RunRow): DrawnRun => ({ id, name: row?.name ?? id.slice(0, 8), ...(by && row ? { group: groupOf(row) } : {}) });
    if (picked.length) return picked.slice(0, MOST_LINES).map((id) => as(id, known.get(id)));
    const listed = (data?.rows ?? []).filter((r) => !hidden.has(r.id) && (!kept || kept.has(r.id))).slice(0, n);
    return [...new Map([...pinned.filter((r) => !hidden.has(r.id)), ...listed].map((r) => [r.id, as(r.id, r)])).values()];
  }, [data, pinned, picked, hidden, kept, n, by, groupOf]);
  const band = search.band === "band" || (search.band === "auto" && drawn.length > LINES);
  const lineColor = useCallback((run: DrawnRun) => (by ? (groupColors.get(run.group ?? "none") ?? "--muted") : runColor(run.id)), [by, groupColors]);

  useEffect(() => onColors(by && data ? new Map(data.rows.map((r) => [r.id, groupColors.get(groupOf(r)) ?? "--muted"])) : undefined), [by, data, groupColors, groupOf, onColors]);

  const putMetrics = (next: readonly string[]) => set({ metrics: namesText(next) });
  const putCards = (next: readonly Card[]) => set({ charts: cardsText(next) });
  const keys = usePage<{ keys: string[] }>("/runs/keys", { exp: experiments, kind: "metric", contains: part, limit: "50" }, { keep: true });
  const add = (kind: CardKind) => {
    const metric = columns.find((c) => readColumn(c)?.kind === "metric") ?? "";
    const params = columns.filter((c) => readColumn(c)?.kind === "param");
    const other = columns.find((c) => readColumn(c)?.kind === "metric" && c !== metric) ?? "";
    const parts = { scatter: [params[0] ?? other, metric], parallel: [...params.slice(0, 4), metric], bar: [metric], box: [metric, by || params[0] || "experiment"] }[kind];
    putCards([{ kind, parts: parts.filter(Boolean) }, ...cards]);
  };
  const open = (id: string) => router.history.push(runHref(id));
  const rows = useMemo(() => (data?.rows ?? []).filter((r) => !hidden.has(r.id)), [data, hidden]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
    <div className={classes.cards} tabIndex={0} role="region" aria-label="Charts">
      <div className={classes.tools}>
        <Select
          aria-label="Add a metric" placeholder="Add a metric" searchable w={150} value={null} searchValue={part} onSearchChange={setPart} nothingFoundMessage="No metric has this name"
          data={(keys.data?.keys ?? []).filter((k) => !metrics.includes(k))} onChange={(m) => { if (m) { putMetrics([...metrics, m]); setPart(""); } }}
        />
        <Menu position="bottom-start">
          <Menu.Target><Button leftSection={<IconPlus size={14} aria-hidden />} rightSection={<IconChevronDown size={13} aria-hidden />}>Chart</Button></Menu.Target>
          <Menu.Dropdown>{CARDS.map((c) => <Menu.Item key={c.kind} onClick={() => add(c.kind)}>{c.name}</Menu.Item>)}</Menu.Dropdown>
        </Menu>
        <span className="spacer" />
        {kept && <Chip label="the brush" onRemove={() => set({ brush: "" })}>{formatCount(kept.size)} of {formatCount(data?.rows.length)} brushed</Chip>}
        {picked.length ? <span className="muted small">The {plural(drawn.length, "selected run")}</span> : (
          <Select aria-label="How many runs are drawn as lines" w={124} allowDeselect={false} value={String(n)} data={[...new Set([5, 10, 25, 50, 100, 250, 500, n])].sort((a, b) => a - b).map((v) => ({ value: String(v), label: `First ${v} runs` }))} onChange={(v) => set({ n: Number(v) })} />
        )}
        <Select aria-label="How many runs are drawn" title={`Past ${LINES} runs lines hide one another: then groups are drawn as mean ± standard deviation`} w={116} allowDeselect={false} value={search.band} data={[{ value: "auto", label: band ? "Auto: bands" : "Auto: lines" }, { value: "lines", label: "Lines" }, { value: "band", label: "Mean ± sd" }]} onChange={(v) => set({ band: v as "auto" })} />
      </div>
      <div className={classes.tools}>
        <ChartControls x={x} smooth={smooth} log={log} logx={logx} onChange={set} />
      </div>
      {values.isError && !data ? <Problem error={values.error} retry={() => void values.refetch()} what="The runs" /> : !data ? <Waiting rows={4} /> : (
        <div className={classes.tiles}>
          {cards.map((card, i) => (
            <ValueCard
              key={`${card.kind}${i.toString()}`} card={card} values={data} rows={rows} kept={kept} picked={picked} experiments={experiments} by={by} names={names} brush={brush} groupOf={groupOf} groupColors={groupColors} onOpen={open}
              onBrush={(b, done) => set({ brush: writeBrush(b) }, !done)} onChange={(parts) => putCards(cards.map((c, k) => (k === i ? { ...c, parts } : c)))} onRemove={() => putCards(cards.filter((_, k) => k !== i))}
            />
          ))}
          {metrics.map((m) => (
            <MetricChart
              key={m} metric={m} runs={drawn} x={x} smooth={smooth} log={log} logx={logx} band={band} color={lineColor} range={range} onRange={(r) => set({ range: r })} legend={false} live={drawn.length <= 100}
              onRemove={metrics.length > 1 ? () => putMetrics(metrics.filter((o) => o !== m)) : undefined}
            />
          ))}
          {metrics.length + cards.length === 0 && <p className="muted">None of these runs has a metric.</p>}
        </div>
      )}
      {data?.more && cards.length > 0 && <p className="muted small" style={{ marginTop: 8 }}>Charts of values show the first {formatCount(data.rows.length)} runs of the list; filter or sort to see others.</p>}
    </div>
  );
}

