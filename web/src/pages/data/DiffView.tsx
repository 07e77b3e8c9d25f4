// What differs between two versions: rows, files, and each column's distribution; what moved most is first.
import { Select } from "@mantine/core";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import { CopyBlock } from "../../components/CopyId";
import { Empty, Loaded } from "../../components/Problem";
import { StatusMark } from "../../components/StatusMark";
import { useApi } from "../../lib/api";
import { formatBytes, formatCount, formatDate, formatDelta, formatMetric, fromUs } from "../../lib/format";
import classes from "./data.module.css";
import type { Diff, VersionPage } from "./types";

const route = getRouteApi("/shell/p/$project/data/$id/{-$tab}");
const SHOWN = 200;

export function DiffView({ page, dataRef }: { page: VersionPage; dataRef: string }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { version } = page;
  const others = page.versions.filter((v) => v.number !== version.number);
  const before = others.find((v) => String(v.number) === search.against) ?? others.find((v) => v.number < version.number) ?? others[0];
  const query = useApi<Diff>(`/pages/data/${encodeURIComponent(dataRef)}/diff`, { against: `${version.name}@${before?.number}` }, { enabled: before !== undefined });
  if (!before) return <Empty title="There is only one version" code="lathe run    # after the raw files changed, makes another">A difference needs two.</Empty>;
  return (
    <>
      <div className={classes.bar}>
        <span>From</span>
        <Select aria-label="Compare with version" w={230} value={String(before.number)} data={others.map((v) => ({ value: String(v.number), label: `${v.name}@${v.number} · ${formatDate(fromUs(v.created_us) ?? 0)}` }))} onChange={(v) => v && navigate({ search: (s) => ({ ...s, against: v }) })} allowDeselect={false} />
        <span>to <b>{version.name}@{version.number}</b></span>
      </div>
      <div className={classes.body} style={{ paddingTop: 0 }}><Loaded query={query} what="The difference">{(d) => <Shown d={d} />}</Loaded></div>
    </>
  );
}

function Shown({ d }: { d: Diff }) {
  const columns = useMemo(() => d.columns.toSorted((a, b) => Number(b.change !== "") - Number(a.change !== "") || b.distance - a.distance), [d.columns]);
  const part = (name: string) => [d.before.rows[name] ?? 0, d.after.rows[name] ?? 0] as const;
  const parts = [...new Set([...Object.keys(d.before.rows), ...Object.keys(d.after.rows)])];
  const r = d.rows;
  return (
    <>
      <dl className={classes.parts}>
        {([["Rows", `${formatCount(r.before)} → ${formatCount(r.after)}`], ["Added", formatCount(r.added)], ["Removed", formatCount(r.removed)], ["Other label", formatCount(r.relabelled)], ["Moved to another part", formatCount(r.moved)]] as const).map(([name, value]) => <div key={name} className={classes.part}><dt>{name}</dt><dd>{value}</dd></div>)}
      </dl>
      <div className={classes.two}>
        <div className="panel"><header><h2>Parts</h2></header>
          <table className="plain"><thead><tr><th>Part</th><th className="num">Before</th><th className="num">After</th><th className="num">Change</th></tr></thead>
            <tbody>{parts.map((name) => { const [a, b] = part(name); return <tr key={name}><td>{name}</td><td className="num">{formatCount(a)}</td><td className="num">{formatCount(b)}</td><td className="num">{a === b ? "" : formatDelta(b - a)}</td></tr>; })}</tbody>
          </table>
        </div>
        <div className="panel"><header><h2>Files</h2></header>
          <table className="plain"><thead><tr><th>File</th><th>Change</th><th className="num">Before</th><th className="num">After</th></tr></thead>
            <tbody>{d.files.map((f) => <tr key={f.path}><td className="mono">{f.path}</td><td>{f.change || <span className="muted">same</span>}</td><td className="num">{f.change === "added" ? "–" : formatBytes(f.size_before)}</td><td className="num">{f.change === "removed" ? "–" : formatBytes(f.size_after)}</td></tr>)}</tbody>
          </table>
        </div>
      </div>
      <div className="panel"><header><h2>Columns</h2><span className="muted small">distance: Kolmogorov-Smirnov for numbers, total variation for text; p is of that column alone</span></header>
        <table className="plain">
          <thead><tr><th>Column</th><th>Change</th><th className="num">Distance</th><th className="num">p</th><th className="num">Mean before</th><th className="num">Mean after</th><th className="num">Missing before</th><th className="num">Missing after</th></tr></thead>
          <tbody>
            {columns.slice(0, SHOWN).map((c) => (
              <tr key={c.name}>
                <td><b>{c.name}</b></td><td>{c.change ? <StatusMark status="warning" label={c.change} /> : c.p < 0.01 ? "moved" : <span className="muted">like before</span>}</td>
                <td className="num">{formatMetric(c.distance)}</td><td className="num">{formatMetric(c.p)}</td><td className="num">{formatMetric(c.mean_before)}</td><td className="num">{formatMetric(c.mean_after)}</td><td className="num">{formatCount(c.missing_before)}</td><td className="num">{formatCount(c.missing_after)}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {columns.length > SHOWN && <p className="muted small panel-body">The {SHOWN} of {formatCount(columns.length)} columns that moved most.</p>}
      </div>
      <CopyBlock text={`lathe data diff ${d.before.name}@${d.before.number} ${d.after.name}@${d.after.number}`} />
    </>
  );
}
