// What the endpoint served, from one promotion to the next, and who moved it.
import { getRouteApi } from "@tanstack/react-router";
import { Empty } from "../../components/Problem";
import { StatusMark } from "../../components/StatusMark";
import { formatAgo, formatCount, formatDuration, formatInstant, formatPercent, fromUs } from "../../lib/format";
import { placeOf } from "../../lib/places";
import { WORDS } from "../../lib/words";
import classes from "./endpoints.module.css";
import type { EndpointPage, TensorInfo } from "./types";

const route = getRouteApi("/shell/p/$project/endpoints/$name/{-$tab}");

export function Revisions({ page }: { page: EndpointPage }) {
  const { project } = route.useParams();
  if (page.revisions.length === 0) return <Empty title="Nothing was deployed yet">The first promotion makes revision 1.</Empty>;
  const all = page.revisions.reduce((n, r) => n + r.traffic.requests, 0);
  return (
    <div className={classes.body}>
      <div className="panel"><header><h2 title={WORDS.revision}>Revisions</h2><span className="muted small">traffic of the chosen time</span></header>
        <table className="plain">
          <thead><tr><th>Revision</th><th>Model</th><th>State</th><th className="num">Share</th><th className="num">Requests</th><th className="num">p50</th><th className="num">p99</th><th className="num">Errors</th><th className="num">Made</th></tr></thead>
          <tbody>
            {page.revisions.map((r) => (
              <tr key={r.number}>
                <td><a href={placeOf(project, "revision", `${page.name}/${r.number}`)}>{r.number}</a></td>
                <td>{page.graph ? "a graph" : <a href={placeOf(project, "model_version", `${r.model}/${r.version}`)}>{r.model}/{r.version}</a>}</td>
                <td>{r.number === page.live_revision ? <StatusMark status="serving" label="Live" /> : r.number === page.previous_revision ? <span className="muted">before this one</span> : ""}</td>
                <td className="num">{all ? formatPercent(r.traffic.requests / all) : "–"}</td>
                <td className="num">{formatCount(r.traffic.requests)}</td>
                <td className="num">{formatDuration(r.traffic.p50 === null ? null : r.traffic.p50 * 1000)}</td>
                <td className="num">{formatDuration(r.traffic.p99 === null ? null : r.traffic.p99 * 1000)}</td>
                <td className="num">{r.traffic.requests ? formatPercent(r.traffic.failures / r.traffic.requests) : "–"}</td>
                <td className="num" title={formatInstant(fromUs(r.created_us))}>{formatAgo(fromUs(r.created_us))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div className="panel"><header><h2>What moved it</h2></header>
        <table className="plain">
          <thead><tr><th>When</th><th>Act</th><th>From</th><th>To</th><th>Verdict</th><th>By</th></tr></thead>
          <tbody>
            {page.promotions.map((p) => (
              <tr key={p.at_us}>
                <td title={formatInstant(fromUs(p.at_us))}>{formatAgo(fromUs(p.at_us))}</td><td>{ACTS[p.kind] ?? p.kind}</td>
                <td>{p.previous || <span className="muted">nothing</span>}</td><td>{p.revision}{!page.graph && ` · ${p.model}/${p.version}`}</td>
                <td>{p.verdict ? <a className="mono" href={placeOf(project, "verdict", p.verdict)}>{p.verdict.slice(-8)}</a> : "–"}</td><td className="muted cut" style={{ maxWidth: 260 }} title={p.actor}>{p.actor.startsWith("attempt:") ? "its pipeline" : p.actor}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {page.signature && (
        <div className="panel"><header><h2>Signature</h2><span className="muted small">{page.signature.platform}{page.signature.applies_transform && ", after the version's own transform"}</span></header>
          <table className="plain">
            <thead><tr><th>Tensor</th><th>Type</th><th>Shape</th></tr></thead>
            <tbody>
              {page.signature.inputs.map((t) => <Tensor key={t.name} way="in" tensor={t} />)}
              {page.signature.outputs.map((t) => <Tensor key={t.name} way="out" tensor={t} />)}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}
const ACTS: Record<string, string> = { promoted: "Promoted", rolled_back: "Rolled back", canary: "Canary", withdrawn: "Canary withdrawn" };
const Tensor = ({ tensor: t, way }: { tensor: TensorInfo; way: "in" | "out" }) => <tr><td><span className="muted">{way}</span> <span className="mono">{t.name}</span></td><td>{t.datatype}</td><td className="mono">[{t.shape.map((n) => (n < 0 ? "any" : n)).join(", ")}]</td></tr>;
