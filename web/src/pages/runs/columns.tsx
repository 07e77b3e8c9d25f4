// The columns of the table of runs: what every run has, and the metrics, parameters and tags that were chosen.
import type { Column } from "../../components/DataGrid";
import { StatusMark } from "../../components/StatusMark";
import { columnLabel } from "../../lib/columns";
import { formatAgo, formatDuration, formatInstant, formatMetric } from "../../lib/format";
import { type RunRow, better, readColumn, runDuration, runHref, runStatus } from "../../lib/tracking";
import classes from "../Runs.module.css";

export const columnHint = (text: string): string => {
  const c = readColumn(text);
  if (!c) return text;
  const what = c.kind === "metric" ? { last: "Last value", min: "Lowest value", max: "Highest value" }[c.pick] : c.kind === "param" ? "Parameter" : "Tag";
  const way = c.kind === "metric" ? better(c.key) : 0;
  return `${what}: ${c.key}${way ? `. ${way > 0 ? "Higher" : "Lower"} is better.` : ""}`;
};

interface Options { chosen: readonly string[]; experiments?: ReadonlyMap<string, string>; hidden: ReadonlySet<string>; pinned: ReadonlySet<string>; narrow: boolean; color: (run: RunRow) => string; numeric: ReadonlySet<string> }

export function runColumns({ chosen, experiments, hidden, pinned, narrow, color, numeric }: Options): Column<RunRow>[] {
  const own: Column<RunRow>[] = [
    {
      key: "name", label: "Run", width: narrow ? "minmax(90px, 1fr)" : "minmax(150px, 1.5fr)", sort: "run_name", title: (r) => r.name, raw: (r) => r.name,
      cell: (r) => (
        <>
          <button type="button" tabIndex={-1} data-eye={r.id} className={classes.swatch} style={{ "--c": color(r) } as never} data-off={hidden.has(r.id) || undefined} title={hidden.has(r.id) ? "Not in charts; click to show" : "Its colour in charts; click to hide"} aria-label={`${hidden.has(r.id) ? "Show" : "Hide"} ${r.name} in charts`} />
          <a href={runHref(r.id)} tabIndex={-1}>{r.name}</a>
          {!narrow && <button type="button" tabIndex={-1} data-pin={r.id} className={classes.pin} data-on={pinned.has(r.id) || undefined} title={pinned.has(r.id) ? "Unpin" : "Pin to the top"} aria-label={`${pinned.has(r.id) ? "Unpin" : "Pin"} ${r.name}`} />}
        </>
      ),
    },
    { key: "status", label: "Status", width: "88px", cell: (r) => <StatusMark status={runStatus(r)} />, sort: "status", raw: (r) => r.status },
  ];
  const values = chosen.map((text, i): Column<RunRow> => {
    const metric = readColumn(text)?.kind === "metric";
    const right = metric || numeric.has(text);
    return {
      key: text, label: columnLabel(text), width: metric ? (narrow ? "60px" : "80px") : right ? "minmax(64px, 0.4fr)" : "minmax(68px, 0.7fr)", right, sort: text, hint: columnHint(text),
      cell: (r) => (r.cells[i] === null || r.cells[i] === undefined ? <span className="muted">–</span> : metric ? formatMetric(r.cells[i]) : String(r.cells[i])),
      title: (r) => (r.cells[i] === null || r.cells[i] === undefined ? undefined : String(r.cells[i])), raw: (r) => String(r.cells[i] ?? ""),
    };
  });
  const short = experiments && shortNames(experiments);
  const where: Column<RunRow>[] = experiments ? [{ key: "exp", label: "Experiment", width: "minmax(86px, 0.8fr)", cell: (r) => <span className="muted">{short?.get(r.experiment) ?? r.experiment}</span>, title: (r) => experiments.get(r.experiment), raw: (r) => experiments.get(r.experiment) ?? r.experiment }] : [];
  const when: Column<RunRow>[] = [
    { key: "duration", label: "Duration", width: "76px", right: true, cell: (r) => formatDuration(runDuration(r)), raw: (r) => String(runDuration(r) ?? "") },
    { key: "start", label: "Started", width: "74px", right: true, sort: "start_time", cell: (r) => <span className="muted">{formatAgo(r.start_ms)}</span>, title: (r) => formatInstant(r.start_ms), raw: (r) => formatInstant(r.start_ms) },
  ];
  return narrow ? [own[0] as Column<RunRow>, ...values.slice(0, 1)] : [...own, ...values, ...where, ...when];
}

/** The last part of each name, or the last two where that alone would not tell them apart. */
export function shortNames(names: ReadonlyMap<string, string>): Map<string, string> {
  const tail = (name: string, parts: number) => name.split("/").slice(-parts).join("/");
  const count = new Map<string, number>();
  for (const name of names.values()) count.set(tail(name, 1), (count.get(tail(name, 1)) ?? 0) + 1);
  return new Map([...names].map(([id, name]) => [id, tail(name, (count.get(tail(name, 1)) ?? 0) > 1 ? 2 : 1)]));
}

/** Columns of text whose values all read as numbers stand right, as numbers do. */
export function numericColumns(chosen: readonly string[], rows: readonly RunRow[]): Set<string> {
  return new Set(chosen.filter((_, i) => {
    const known = rows.map((r) => r.cells[i]).filter((v) => v !== null && v !== undefined && v !== "");
    return known.length > 0 && known.every((v) => Number.isFinite(Number(v)));
  }));
}
