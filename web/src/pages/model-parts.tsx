// What the pages about models share: aliases, where a version serves, what the gate said.
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { StatusMark } from "../components/StatusMark";
import { currentProject } from "../lib/api";
import { formatAgo, formatInstant, fromUs } from "../lib/format";
import { type Deployed, type Evaluation, type Promotion, type Verdict, evaluationHref, versionHref, interval } from "../lib/tracking";
import { WORDS } from "../lib/words";

export const AliasTags = ({ aliases }: { aliases: readonly string[] }) =>
  aliases.length === 0 ? <span className="muted">–</span> : <span className="row" style={{ gap: 4 }}>{aliases.map((a) => <span key={a} className="tag" data-strong={a.startsWith("champion") || undefined} title={WORDS.alias}>@{a}</span>)}</span>;

/** "digits v4 in production"; the one that a rollback goes back to is said so. */
export function Served({ deployed, version = true }: { deployed: readonly Deployed[]; version?: boolean }) {
  const live = deployed.filter((d) => d.live);
  const held = version ? [] : deployed.filter((d) => !d.live);
  if (live.length + held.length === 0) return <span className="muted">–</span>;
  return (
    <span className="row" style={{ gap: 10 }}>
      {live.map((d) => (
        <span key={d.endpoint} className="row" style={{ gap: 6 }} title={`Revision ${d.revision} of ${d.endpoint}, since ${formatInstant(fromUs(d.since_us))}`}>
          <StatusMark status="serving" bare /> <EndpointLink name={d.endpoint} />{version && ` v${d.version}`} <span className="muted">{d.environment}</span>
        </span>
      ))}
      {held.map((d) => <span key={d.endpoint} className="muted" title={`A rollback of ${d.endpoint} goes back to it`}>held for {d.endpoint}</span>)}
    </span>
  );
}
export const EndpointLink = ({ name }: { name: string }) => <Link to="/p/$project/endpoints/$name/{-$tab}" params={{ project: currentProject(), name, tab: undefined }}>{name}</Link>;

export function Quality({ evaluation: e }: { evaluation: Evaluation | null }) {
  if (!e) return <span className="muted">not evaluated</span>;
  return <a href={evaluationHref(e.id)} title={`${e.value} (${e.low} to ${e.high}), ${e.rows} rows. ${WORDS.interval}`}>{interval(e)}</a>;
}
export function VerdictMark({ verdict }: { verdict: Verdict | null }): ReactNode {
  if (!verdict) return <span className="muted">–</span>;
  return <span title={verdict.reason}><StatusMark status={verdict.passed ? "passed" : "refused"} /></span>;
}

export function History({ promotions }: { promotions: readonly Promotion[] }) {
  return (
    <table className="plain" aria-label="Promotions" style={{ whiteSpace: "nowrap" }}>
      <thead><tr><th>When</th><th>What</th><th>Version</th><th>Endpoint</th><th className="num">Revision</th><th>By</th></tr></thead>
      <tbody>
        {promotions.map((p) => (
          <tr key={`${p.endpoint}${p.at_us}`}>
            <td className="muted" title={formatInstant(fromUs(p.at_us))}>{formatAgo(fromUs(p.at_us))}</td>
            <td>{p.kind === "rolled_back" ? "Rolled back to" : "Promoted"}</td>
            <td><a href={versionHref(p.model, p.version)}>v{p.version}</a></td>
            <td><EndpointLink name={p.endpoint} /></td>
            <td className="num">{p.previous ? `${p.previous} → ${p.revision}` : p.revision}</td>
            <td className="cut" style={{ maxWidth: 180 }} title={p.actor}>{p.actor.startsWith("attempt:") ? "its pipeline" : p.actor}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
