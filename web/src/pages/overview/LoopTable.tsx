// Many loops: one row each, the same five columns, what needs attention first.
import { Link } from "@tanstack/react-router";
import { StatusMark } from "../../components/StatusMark";
import { formatAgo, formatCount, formatDuration, formatInterval, fromUs, plural } from "../../lib/format";
import { placeOf } from "../../lib/places";
import { attentionOf, nextStep } from "./attention";
import type { Loop } from "./types";
import classes from "./overview.module.css";

export function LoopTable({ project, loops, now }: { project: string; loops: readonly Loop[]; now: number }) {
  const lines = loops
    .flatMap((loop) => (loop.environments.length ? loop.environments : [undefined]).map((env) => ({ loop, env, items: attentionOf(project, loop, now) })))
    .toSorted((a, b) => Math.max(0, ...b.items.map((i) => i.weight)) - Math.max(0, ...a.items.map((i) => i.weight)) || a.loop.pipeline.localeCompare(b.loop.pipeline));
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
    <div className={`panel ${classes.table}`} tabIndex={0}>
      <table className="plain" aria-label="Loops">
        <thead><tr><th>Data</th><th>Pipeline</th><th>Model</th><th>Endpoint</th><th>Monitor</th><th>Next</th></tr></thead>
        <tbody>
          {lines.map(({ loop, env }) => {
            const { data, run } = loop;
            const alert = env?.monitor?.alerts[0];
            const t = env?.endpoint?.traffic;
            return (
              <tr key={`${loop.pipeline} ${env?.name ?? ""}`}>
                <td>{data ? <><Link className="quiet" to={placeOf(project, "data_version", data.id) as "/"}>{data.name}</Link> <span className="muted">v{data.number} · {formatAgo(fromUs(data.created_us), now)}</span></> : <span className="muted">–</span>}</td>
                <td><Link className="quiet" to={(run ? `${placeOf(project, "pipeline", loop.pipeline)}/runs/${run.number}` : placeOf(project, "pipeline", loop.pipeline)) as "/"}>{loop.pipeline}{run ? ` #${run.number}` : ""}</Link> {run && <StatusMark status={run.state} label={run.ended_us ? undefined : `${run.done}/${run.stages}`} />}</td>
                <td>{env?.live ? <><Link className="quiet" to={placeOf(project, "model_version", `${env.live.model}/${env.live.version}`) as "/"}>{env.live.model} v{env.live.version}</Link>{env.live.value && <span className="muted"> {formatInterval(env.live.value.value, env.live.value.low, env.live.value.high)}</span>}</> : <span className="muted">–</span>}</td>
                <td>{env?.endpoint ? <><Link className="quiet" to={placeOf(project, "endpoint", env.endpoint.name) as "/"}>{env.endpoint.name}</Link> <span className="muted">{t?.requests ? `${formatCount(t.requests)} req · p99 ${formatDuration(t.p99 === null ? null : t.p99 * 1000)}` : "quiet"}</span></> : <span className="muted">–</span>}</td>
                <td>{env?.monitor ? <StatusMark status={alert ? "drifted" : env.monitor.windows[0]?.judged ? "healthy" : "idle"} label={alert ? `${alert.kind}${alert.crossed ? ` ${alert.crossed} of ${plural(alert.family ?? 0, "feature")}` : ""}` : env.monitor.windows[0]?.judged ? undefined : "Not judged"} /> : <span className="muted">–</span>}</td>
                <td className="muted">{nextStep(loop, env, now)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
