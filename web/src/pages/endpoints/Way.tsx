// In the panel of a request to a graph: which models it asked.
import { StatusMark } from "../../components/StatusMark";
import { currentProject } from "../../lib/api";
import { placeOf } from "../../lib/places";
import type { Route } from "./types";

export function Way({ way, href }: { way: Route; href: string }) {
  const project = currentProject();
  const headers = Object.entries(way.headers ?? {});
  return (
    <section aria-label="Its way through the graph">
      <div className="row"><h2>Its way</h2><span className="spacer" /><a href={href}>In the graph</a></div>
      <table className="plain">
        <thead><tr><th>Step</th><th>Model</th><th><span className="hidden">Asked</span></th></tr></thead>
        <tbody>
          {way.steps.map((s) => (
            <tr key={s.path}>
              <td title={s.path} className={s.ran ? undefined : "muted"}>{s.path.replace(/^root\//, "")}</td>
              <td>{s.ran ? <a href={placeOf(project, "model_version", `${s.model}/${s.version}`)}>{s.model}/{s.version}</a> : <span className="muted">not asked</span>}</td>
              <td><StatusMark status={s.ran ? "finished" : "skipped"} bare label={s.ran ? "Asked" : "Not asked"} /></td>
            </tr>
          ))}
        </tbody>
      </table>
      {headers.length > 0 && <p className="muted small">It read the headers {headers.map(([k, v]) => `${k}: ${v || "(none)"}`).join(", ")}</p>}
    </section>
  );
}
