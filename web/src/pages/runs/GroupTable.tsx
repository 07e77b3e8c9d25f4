// The runs of the filter by what they have in common: how many, and of each metric the mean ± its spread and the best.
import { Button } from "@mantine/core";
import { useMemo, useState } from "react";
import { type Column, DataGrid } from "../../components/DataGrid";
import { Empty } from "../../components/Problem";
import { columnLabel } from "../../lib/columns";
import { formatAgo, formatCount, formatInstant, formatMetric, plural } from "../../lib/format";
import { useArrayRows } from "../../lib/rows";
import { type GroupRow, type Groups, type Query, better, quoteText, readColumn, usePage } from "../../lib/tracking";

const best = (text: string): 1 | -1 | 0 => better(readColumn(text)?.key ?? "");
const keyOf = (g: GroupRow): string => JSON.stringify(g.key);

/** The filter that finds a group's runs; null where the language has no word for it (runs without the value). */
export function groupFilter(by: readonly string[], key: readonly (string | null)[]): string | null {
  const parts = by.map((column, i) => {
    const value = key[i];
    if (column === "experiment") return value ? "" : null;
    if (value === null || value === undefined) return readColumn(column) ? `${column} IS NULL` : null;
    if (column === "status") return `status = ${quoteText(value)}`;
    if (column === "user") return `user_id = ${quoteText(value)}`;
    if (column === "data") return `dataset.name = ${quoteText(value.slice(0, value.lastIndexOf("@")))}`;
    return readColumn(column)?.kind === "metric" ? `${column} = ${value}` : `${column} = ${quoteText(value)}`;
  });
  return parts.includes(null) ? null : parts.filter(Boolean).join(" AND ");
}

interface Props { query: Query; by: readonly string[]; columns: readonly string[]; names: ReadonlyMap<string, string>; onOpen: (change: { q?: string; exp?: string }) => void; onClear: () => void }

export function GroupTable({ query, by, columns, names, onOpen, onClear }: Props) {
  const metrics = columns.filter((c) => readColumn(c)?.kind === "metric");
  const answer = usePage<Groups>("/runs/groups", { ...query, sort: undefined, by, col: metrics }, { keep: true, topics: ["run"] });
  const [sort, setSort] = useState({ key: "runs", descending: true });
  const { data } = answer;
  const rows = useMemo(() => {
    if (!data) return undefined;
    const [what = "", at = ""] = sort.key.split("#");
    const value = (g: GroupRow): number | string => {
      if (what === "runs") return g.runs;
      if (what === "newest") return g.newest_ms;
      if (what === "key") { const k = g.key[Number(at)]; return k === null || k === undefined ? "" : Number.isNaN(Number(k)) || k === "" ? k : Number(k); }
      const cell = g.cells[Number(at)];
      if (!cell) return sort.descending ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
      return what === "mean" ? cell.mean : best(data.columns[Number(at)] ?? "") < 0 ? cell.min : cell.max;
    };
    const way = sort.descending ? -1 : 1;
    return [...data.groups].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      return way * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true }));
    });
  }, [data, sort]);
  const grid = useArrayRows(rows, { error: answer.error, retry: () => void answer.refetch(), stale: answer.isPlaceholderData });
  const columnsOf = useMemo((): Column<GroupRow>[] => {
    if (!data) return [{ key: "g", label: by.map(columnLabel).join(", "), width: "1fr", cell: () => null }];
    const word = (g: GroupRow, i: number) => { const v = g.key[i]; return v === null || v === undefined ? null : data.by[i] === "experiment" ? (names.get(v) ?? v) : v; };
    return [
      ...data.by.map((b, i): Column<GroupRow> => ({ key: `key#${i}`, label: columnLabel(b), width: "minmax(90px, 1fr)", sort: `key#${i}`, cell: (g) => (word(g, i) === null ? <span className="muted">none</span> : i === 0 ? <b>{word(g, i)}</b> : word(g, i)), title: (g) => word(g, i) ?? undefined, raw: (g) => word(g, i) ?? "" })),
      { key: "runs", label: "Runs", width: "72px", right: true, sort: "runs", cell: (g) => formatCount(g.runs), title: (g) => [plural(g.runs, "run"), g.running ? `${g.running} running` : "", g.failed ? `${g.failed} failed` : ""].filter(Boolean).join(", "), raw: (g) => String(g.runs) },
      { key: "bad", label: "Failed", width: "60px", right: true, cell: (g) => (g.failed ? formatCount(g.failed) : <span className="muted">–</span>), raw: (g) => String(g.failed) },
      ...data.columns.flatMap((c, i): Column<GroupRow>[] => [
        { key: `mean#${i}`, label: columnLabel(c), width: "128px", right: true, sort: `mean#${i}`, hint: `${columnLabel(c)}: mean ± standard deviation of the runs that logged it`, cell: (g) => { const s = g.cells[i]; return s ? <>{formatMetric(s.mean)} <span className="muted">{s.sd === null ? "" : `± ${formatMetric(s.sd)}`}</span></> : <span className="muted">–</span>; }, title: (g) => { const s = g.cells[i]; return s ? `mean ${s.mean}\nstandard deviation ${s.sd ?? "–"}\nfrom ${s.min} to ${s.max}\n${plural(s.count, "run")}` : undefined; }, raw: (g) => String(g.cells[i]?.mean ?? "") },
        { key: `best#${i}`, label: best(c) < 0 ? "lowest" : best(c) > 0 ? "best" : "highest", width: "64px", right: true, sort: `best#${i}`, hint: `${columnLabel(c)}: ${best(c) < 0 ? "the lowest" : "the highest"} of the group`, cell: (g) => { const s = g.cells[i]; return s ? formatMetric(best(c) < 0 ? s.min : s.max) : <span className="muted">–</span>; }, raw: (g) => { const s = g.cells[i]; return s ? String(best(c) < 0 ? s.min : s.max) : ""; } },
      ]),
      { key: "newest", label: "Newest", width: "88px", right: true, sort: "newest", cell: (g) => <span className="muted">{formatAgo(g.newest_ms)}</span>, title: (g) => formatInstant(g.newest_ms), raw: (g) => formatInstant(g.newest_ms) },
    ];
  }, [data, by, names]);
  function open(id: string | null) {
    const group = rows?.find((g) => keyOf(g) === id);
    if (!group || !data) return;
    const filter = groupFilter(data.by, group.key);
    if (filter === null) return;
    const at = data.by.indexOf("experiment");
    const q = query.q ? (filter ? `(${String(query.q)}) AND ${filter}` : String(query.q)) : filter;
    onOpen({ q, ...(at >= 0 ? { exp: group.key[at] ?? "" } : {}) });
  }
  return (
    <div style={{ flex: 1, minHeight: 0, minWidth: 0, display: "flex", flexDirection: "column" }}>
      <DataGrid
        label="Groups of runs" columns={columnsOf} rows={grid} id={keyOf} sort={sort} onSort={(key, descending) => setSort({ key, descending })} onPeek={open} name={(g) => g.key.join(", ")}
        empty={<Empty title="No run matches">There is nothing to group. <Button onClick={onClear}>Show the runs</Button></Empty>}
      />
      {data && <p className="muted small" style={{ padding: "4px 14px", borderTop: "1px solid var(--grid)" }}>
        {plural(data.groups.length, "group")} of {plural(data.runs, "run")}{data.cut && ", the first of them: the filter finds more than the server groups at once"}{data.others && `; ${plural(data.others.runs, "run")} in further groups are not shown`}. Click a group for its runs.
      </p>}
    </div>
  );
}
