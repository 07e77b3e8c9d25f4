// Alerts: what crossed which line by how much, and what that started.
import { Link, getRouteApi } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { StatusMark } from "../../components/StatusMark";
import { formatAgo, formatDurationUs, formatInstant, formatMetric, formatPercent, fromUs, plural } from "../../lib/format";
import { placeOf } from "../../lib/places";
import classes from "./monitors.module.css";
import type { Alert, MonitorPage } from "./types";

const route = getRouteApi("/shell/p/$project/monitors/$name");
interface StoryFeature { name: string; psi?: number; p_holm?: number; drifted: boolean; bad_quality: boolean }
interface StoryWindow { id: string; number: number; rows: number; drifted_share?: number; crossed?: number; features?: StoryFeature[]; accuracy?: number; interval?: [number, number]; labelled?: number }

export function Alerts({ page, chosen, onChoose }: { page: MonitorPage; chosen: string; onChoose: (id: string) => void }) {
  const { project } = route.useParams();
  const row = useRef<HTMLTableRowElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: to the alert of the address, once
  useEffect(() => row.current?.scrollIntoView({ block: "nearest" }), [chosen]);
  return (
    <div className="panel">
      <header><h2>Alerts</h2><span className="muted small">{page.alerts.length ? plural(page.alerts.length, "alert") : "none so far"}</span></header>
      {page.alerts.length > 0 && (
        <table className="plain">
          <thead><tr><th>Alert</th><th>Raised</th><th>Lasted</th><th>What crossed the line</th><th>What it started</th><th><span className="hidden">Lineage</span></th></tr></thead>
          <tbody>
            {page.alerts.map((a) => (
              <tr key={a.id} ref={a.id === chosen ? row : undefined} className={classes.alert} data-on={a.id === chosen || undefined} onClick={() => onChoose(a.id === chosen ? "" : a.id)}>
                <td><StatusMark status={a.ended_us ? "ended" : "raised"} label={a.ended_us ? `${a.kind}, over` : a.kind} /></td>
                <td title={formatInstant(fromUs(a.raised_us))}>{formatAgo(fromUs(a.raised_us))}</td>
                <td>{a.ended_us ? formatDurationUs(a.ended_us - a.raised_us) : "open"}</td>
                <td><Story alert={a} all={a.id === chosen} /></td>
                <td><StartedBy alert={a} project={project} /></td>
                <td><Link to={placeOf(project, "", a.id) as "/"} aria-label={`Lineage of the ${a.kind} alert`} onClick={(e) => e.stopPropagation()}>Lineage</Link></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}

function Story({ alert, all }: { alert: Alert; all: boolean }) {
  const windows = (alert.numbers.windows ?? []) as unknown as StoryWindow[];
  const line = (w: StoryWindow): string => {
    if (w.accuracy !== undefined) return `window ${w.number}: accuracy ${formatPercent(w.accuracy)}${w.interval ? ` [${formatPercent(w.interval[0])}, ${formatPercent(w.interval[1])}]` : ""} on ${plural(w.labelled ?? w.rows, "label")}`;
    const most = (w.features ?? []).toSorted((a, b) => (b.psi ?? 0) - (a.psi ?? 0)).slice(0, all ? 8 : 2);
    return `window ${w.number}: ${plural(w.crossed ?? 0, "feature")} moved (${formatPercent(w.drifted_share, 0)})${most.length ? `, ${most.map((f) => `${f.name} ${f.psi === undefined ? "" : `PSI ${formatMetric(f.psi)}`}`).join(", ")}` : ""}`;
  };
  return <>{windows.map((w) => <div key={w.id ?? w.number} className="small">{line(w)}</div>)}</>;
}

function StartedBy({ alert, project }: { alert: Alert; project: string }) {
  const s = alert.started;
  if (!s) return <span className="muted small">nothing{alert.ended_us ? "" : " yet: it waits for labels, its cool-down, or is not told to retrain"}</span>;
  return (
    <div className="small">
      <span className="row" style={{ gap: 6 }}>{s.pipeline ? <Link to={placeOf(project, "pipeline_run", String(s.number), { pipeline: s.pipeline }) as "/"}>{s.pipeline} #{s.number}</Link> : s.run}{s.state && <StatusMark status={s.state} />}</span>
      <span className="muted">with {plural(s.labels, "label")}</span>
      {s.verdict && <div className="row" style={{ gap: 6 }} title={s.verdict.reason}><StatusMark status={s.verdict.passed ? "passed" : "refused"} label={s.verdict.passed ? "gate passed" : "gate refused"} /></div>}
    </div>
  );
}
