// What a run took in: each data set's digest and source, its columns and what its logger counted.
import { useState } from "react";
import { JsonView } from "../../components/JsonView";
import { CopyId } from "../../components/CopyId";
import { Facts } from "../../components/Peek";
import { formatCount } from "../../lib/format";
import type { Dataset } from "../../lib/tracking";
import { maybeJson } from "../../lib/traces";

interface Column { name?: string; type?: string }
const columnsIn = (schema: unknown): Column[] => {
  const s = schema as { mlflow_colspec?: Column[]; mlflow_tensorspec?: { features?: unknown } } | null;
  return Array.isArray(s?.mlflow_colspec) ? s.mlflow_colspec : [];
};

export function DatasetsPanel({ datasets }: { datasets: readonly Dataset[] }) {
  const [open, setOpen] = useState(datasets.length === 1 ? 0 : -1);
  return (
    <section className="panel">
      <header><h2>Data</h2><span className="muted">{formatCount(datasets.length)}</span></header>
      <table className="plain" aria-label="Data">
        <tbody>
          {datasets.map((d, i) => {
            const source = maybeJson(d.source) as { uri?: string; url?: string; path?: string } | string | null;
            const place = typeof source === "object" && source ? (source.uri ?? source.url ?? source.path) : undefined;
            const schema = maybeJson(d.schema ?? null);
            const profile = maybeJson(d.profile ?? null);
            const columns = columnsIn(schema);
            return [
              <tr key={`${d.name}${d.digest}${d.context ?? ""}`}>
                <td><button type="button" className="plain" style={{ color: "var(--text)", fontWeight: 550 }} aria-expanded={open === i} onClick={() => setOpen(open === i ? -1 : i)}>{d.name}</button></td>
                <td><CopyId id={d.digest} /></td><td className="muted">{d.context ?? ""}</td><td className="muted">{d.source_type}</td>
              </tr>,
              open === i && (
                <tr key={`${d.name}${d.digest}${d.context ?? ""} more`}><td colSpan={4} style={{ padding: "8px 12px" }}>
                  <Facts facts={[
                    ["Source", <span key="s" className="mono" style={{ overflowWrap: "anywhere" }}>{place ?? d.source}</span>],
                    profile !== null && typeof profile === "object" ? ["Profile", <JsonView key="p" value={profile} depth={1} />] : null,
                    columns.length ? ["Columns", <span key="c">{columns.slice(0, 60).map((c) => <span key={c.name} className="tag" style={{ margin: "0 4px 4px 0" }}>{c.name} <span className="muted">{c.type}</span></span>)}{columns.length > 60 && <span className="muted">and {columns.length - 60} more</span>}</span>] : schema ? ["Schema", <JsonView key="j" value={schema} depth={1} />] : null,
                  ]} />
                </td></tr>
              ),
            ];
          })}
        </tbody>
      </table>
    </section>
  );
}
