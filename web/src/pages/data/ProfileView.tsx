// Every column in one line: its kind, what is missing, its spread, and its distribution; one chosen is drawn large.
import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import { type Column, DataGrid } from "../../components/DataGrid";
import { SearchInput } from "../../components/FilterBar";
import { Facts, Peek } from "../../components/Peek";
import { Empty } from "../../components/Problem";
import { Bars } from "../../components/charts/Bars";
import { MISSING, formatCount, formatMetric, formatPercent } from "../../lib/format";
import { useArrayRows } from "../../lib/rows";
import classes from "./data.module.css";
import type { ProfileColumn, SchemaColumn, VersionPage } from "./types";

const route = getRouteApi("/shell/p/$project/data/$id/{-$tab}");
interface Line { profile: ProfileColumn; schema?: SchemaColumn }

export function ProfileView({ page }: { page: VersionPage }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const lines = useMemo(() => {
    const schema = new Map(page.schema?.columns.map((c) => [c.name, c]));
    return (page.profile?.columns ?? []).map((profile): Line => ({ profile, schema: schema.get(profile.name) })).filter((l) => l.profile.name.toLowerCase().includes(search.q.toLowerCase()));
  }, [page, search.q]);
  const rows = useArrayRows(lines);
  const chosen = lines.find((l) => l.profile.name === search.column);
  const choose = (column: string | null) => navigate({ search: (s) => ({ ...s, column: column ?? "" }), replace: true });
  const columns = useMemo<Column<Line>[]>(() => [
    { key: "name", label: "Column", width: "minmax(120px, 1fr)", cell: (l) => <b>{l.profile.name}</b>, raw: (l) => l.profile.name },
    { key: "role", label: "Role", width: "80px", cell: (l) => (l.schema?.role === "feature" ? <span className="muted">feature</span> : (l.schema?.role ?? MISSING)) },
    { key: "type", label: "Type", width: "80px", cell: (l) => (l.schema?.integer ? "integer" : l.profile.type) },
    { key: "dist", label: "Distribution", width: "130px", cell: (l) => <MiniHistogram column={l.profile} /> },
    { key: "missing", label: "Missing", width: "80px", right: true, cell: (l) => (l.profile.missing ? formatPercent(l.profile.missing / (l.profile.count + l.profile.missing)) : <span className="muted">none</span>), title: (l) => `${formatCount(l.profile.missing)} rows` },
    { key: "distinct", label: "Distinct", width: "80px", right: true, cell: (l) => formatCount(l.profile.distinct) },
    { key: "min", label: "Min", width: "80px", right: true, cell: (l) => formatMetric(l.profile.min) },
    { key: "mean", label: "Mean", width: "80px", right: true, cell: (l) => formatMetric(l.profile.mean) },
    { key: "max", label: "Max", width: "80px", right: true, cell: (l) => formatMetric(l.profile.max) },
    { key: "std", label: "Std", width: "80px", right: true, cell: (l) => formatMetric(l.profile.std) },
    { key: "top", label: "Most frequent", width: "minmax(140px, 1.4fr)", cell: (l) => <span className="mono muted">{l.profile.top.slice(0, 4).map((t) => `${t.value} ×${t.count}`).join("  ")}</span> },
  ], []);
  if (!page.profile) return <Empty title="This version has no profile">It was not made by preparation, or it has too many columns for a page. Its files are in the Files tab.</Empty>;
  return (
    <>
      <div className={classes.bar}><SearchInput label="Column" value={search.q} onChange={(q) => navigate({ search: (s) => ({ ...s, q }), replace: true })} /><span className="muted small">{formatCount(lines.length)} columns, over all parts</span></div>
      <DataGrid label="Columns" columns={columns} rows={rows} id={(l) => l.profile.name} peek={search.column || undefined} onPeek={choose} empty={<Empty title={`No column is called like "${search.q}"`} />} panel={chosen && <ColumnPeek line={chosen} page={page} onClose={() => choose(null)} />} />
    </>
  );
}

function MiniHistogram({ column }: { column: ProfileColumn }) {
  const counts = column.histogram?.counts ?? column.top.map((t) => t.count);
  const most = Math.max(1, ...counts);
  return <span className={classes.hist} aria-hidden>{counts.slice(0, 20).map((c, i) => <i key={`${i.toString()}`} data-zero={c === 0 || undefined} style={{ height: `${(c / most) * 100}%` }} />)}</span>;
}

function ColumnPeek({ line: { profile: c, schema }, page, onClose }: { line: Line; page: VersionPage; onClose: () => void }) {
  const edges = c.histogram?.edges ?? [];
  const bars = c.histogram
    ? c.histogram.counts.map((n, i) => ({ label: formatMetric(edges[i]), values: [n], title: `${formatMetric(edges[i])} to ${formatMetric(edges[i + 1])}: ${formatCount(n)} rows` }))
    : c.top.map((t) => ({ label: String(t.value), values: [t.count] }));
  const labels = schema?.role === "label" ? Object.entries(page.profile?.parts ?? {}).filter(([, p]) => p.labels) : [];
  const classesOf = [...new Set(labels.flatMap(([, p]) => Object.keys(p.labels ?? {})))].toSorted((a, b) => a.localeCompare(b, "en", { numeric: true }));
  return (
    <Peek title={c.name} onClose={onClose} width={400}>
      {labels.length > 0 ? (
        <>
          <p className="muted small">Share of each class in {labels.map(([name]) => name).join(", ")}</p>
          <Bars label={`Classes of ${c.name}`} names={labels.map(([name]) => name)} colors={["var(--series-1)", "var(--series-2)", "var(--series-7)", "var(--series-8)"]} format={(v) => formatPercent(v)} bars={classesOf.map((k) => ({ label: k, values: labels.map(([, p]) => (p.labels?.[k] ?? 0) / Math.max(1, p.rows)) }))} />
        </>
      ) : bars.length > 0 && <Bars label={`Distribution of ${c.name}`} bars={bars} names={["rows"]} height={150} />}
      <Facts
        facts={[
          ["Role", schema?.role ?? MISSING], ["Type", schema?.integer ? "integer" : c.type], ["Present", formatCount(c.count)], ["Missing", formatCount(c.missing)], ["Distinct", formatCount(c.distinct)],
          c.mean !== undefined && ["Mean ± std", `${formatMetric(c.mean)} ± ${formatMetric(c.std)}`],
          schema?.min !== undefined && ["Allowed", `${formatMetric(schema.min)} to ${formatMetric(schema.max)}`],
          schema?.values && ["Allowed", schema.values.join(", ")],
        ]}
      />
      {c.quantiles && <table className="plain"><thead><tr><th>Quantile</th><th className="num">Value</th></tr></thead><tbody>{Object.entries(c.quantiles).toSorted((a, b) => Number(a[0]) - Number(b[0])).map(([q, v]) => <tr key={q}><td>{formatPercent(Number(q), 0)}</td><td className="num">{formatMetric(v)}</td></tr>)}</tbody></table>}
      {!labels.length && c.top.length > 0 && <table className="plain"><thead><tr><th>Most frequent</th><th className="num">Rows</th><th className="num">Share</th></tr></thead><tbody>{c.top.slice(0, 10).map((t) => <tr key={String(t.value)}><td className="mono">{String(t.value)}</td><td className="num">{formatCount(t.count)}</td><td className="num">{formatPercent(t.count / Math.max(1, c.count))}</td></tr>)}</tbody></table>}
    </Peek>
  );
}
