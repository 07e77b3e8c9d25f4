// How the traffic is divided: weights, the shadow and how it compares, the rollout under way. A change shows its effect
// in numbers before it happens.
import { NumberInput, Select, Slider, TextInput } from "@mantine/core";
import { useState } from "react";
import { ActButton } from "../../components/ActButton";
import { ConfirmSheet } from "../../components/ConfirmSheet";
import { Empty, Loaded } from "../../components/Problem";
import { type Status, StatusMark } from "../../components/StatusMark";
import { currentProject, queries, send, useApi } from "../../lib/api";
import { formatAgo, formatCount, formatDuration, formatDurationUs, formatIn, formatInstant, formatMetric, formatPercent, fromUs, plural, shortId } from "../../lib/format";
import { placeOf } from "../../lib/places";
import { toast } from "../../lib/toast";
import classes from "./endpoints.module.css";
import type { EndpointPage, Rollout, TrafficFacts, TrafficRevision } from "./types";

const percent = (p: number) => `${Math.round(p * 100) / 100} %`;
const seriesOf = (index: number) => `var(--series-${(index % 6) + 1})`;
const touched = () => queries.invalidateQueries({ predicate: (q) => ((q.meta?.topics ?? []) as string[]).includes("endpoint") });

export function Traffic({ page }: { page: EndpointPage }) {
  const query = useApi<TrafficFacts>(`/endpoints/${encodeURIComponent(page.name)}/traffic`, {}, { topics: ["endpoint", "feedback"], keep: true });
  return (
    <Loaded query={query} what="The traffic">
      {(t) => t.live_revision === 0 ? <Empty title="Nothing was deployed yet">The first promotion has all of the traffic.</Empty> : <Divided key={t.generation} page={page} t={t} />}
    </Loaded>
  );
}

function Divided({ page, t }: { page: EndpointPage; t: TrafficFacts }) {
  const [acting, setActing] = useState(false);
  const live = t.revisions.find((r) => r.live) as TrafficRevision;
  const others = t.revisions.filter((r) => !r.live);
  const split = others.filter((r) => r.weight > 0);
  const [challenger, setChallenger] = useState(String(split[0]?.revision ?? others[0]?.revision ?? ""));
  const [share, setShare] = useState(split[0]?.weight ?? 0);
  const [shadow, setShadow] = useState(t.shadow ? String(t.shadow.revision) : "");
  const [sampled, setSampled] = useState(t.shadow?.percent ?? 100);
  const [sticky, setSticky] = useState(t.sticky);
  const chosen = others.find((r) => String(r.revision) === challenger);
  const weights = share > 0 && chosen ? { [live.revision]: 100 - share, [chosen.revision]: share } : {};
  const perMinute = page.traffic.requests / Math.max(1, (page.traffic.to_us - page.traffic.from_us) / 60e6);
  const running = t.rollouts.find((r) => r.state === "running");
  const same = share === (split[0]?.weight ?? 0) && (share === 0 || challenger === String(split[0]?.revision)) && shadow === (t.shadow ? String(t.shadow.revision) : "") && sampled === (t.shadow?.percent ?? 100) && sticky === t.sticky;
  const problem = split.length > 1 ? "More than two revisions share it: lathe traffic changes that." : shadow && shadow === challenger && share > 0 ? "The shadow must be another revision than the one that answers." : undefined;
  const options = others.map((r) => ({ value: String(r.revision), label: `${r.revision} · ${r.model}/${r.version}` }));
  return (
    <div className={classes.body}>
      {running && <RolloutPanel r={running} />}
      <div className="panel"><header><h2>Who answers</h2><span className="muted small">the last day; generation {t.generation}</span></header>
        <div style={{ padding: "10px 14px 0" }}>
          <div className={classes.split} role="img" aria-label={`Weights: ${t.describe}`}>
            {[live, ...split].map((r, i) => <i key={r.revision} style={{ flexGrow: r.weight, background: seriesOf(i) }} title={`${r.revision}: ${percent(r.weight)}`} />)}
          </div>
        </div>
        <table className="plain">
          <thead><tr><th>Revision</th><th>Model</th><th className="num">Weight</th><th className="num">Requests</th><th className="num">Errors</th><th className="num">Model's faults</th><th className="num">p50</th><th className="num">p95</th><th className="num">Labels</th><th className="num">Accuracy</th></tr></thead>
          <tbody>
            {t.revisions.filter((r) => r.live || r.shadow || r.weight > 0 || r.requests > 0).map((r) => (
              <tr key={r.revision}>
                <td>{r.live || r.weight > 0 ? <i className={classes.dot} style={{ background: seriesOf([live, ...split].indexOf(r)) }} /> : null}{r.revision} {r.live ? <StatusMark status="serving" label="Live" /> : r.weight > 0 ? <span className="muted">canary</span> : r.shadow ? <span className="muted">shadow</span> : null}</td>
                <td><a href={placeOf(currentProject(), "model_version", `${r.model}/${r.version}`)}>{r.model}/{r.version}</a></td>
                <td className="num"><b>{percent(r.weight)}</b></td>
                <td className="num">{formatCount(r.requests)}</td>
                <td className="num">{r.requests ? formatPercent(r.failures / r.requests) : "–"}</td>
                <td className="num">{formatCount(r.faults)}</td>
                <td className="num">{formatDuration(r.p50 === null ? null : r.p50 * 1000)}</td>
                <td className="num">{formatDuration(r.p95 === null ? null : r.p95 * 1000)}</td>
                <td className="num">{formatCount(r.labelled)}</td>
                <td className="num">{r.labelled ? formatPercent(r.correct / r.labelled) : "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {t.accuracy.map((a) => {
          const known = (t.revisions.find((r) => r.revision === a.challenger)?.labelled ?? 0) > 0 && live.labelled > 0;
          return (
            <p key={a.challenger} className="panel-body" style={{ margin: 0 }}>
              {known
                ? <>By the labels that arrived, revision {a.challenger} is <b>{formatMetric(Math.abs(100 * a.difference))} points</b> {a.difference < 0 ? "below" : "above"} revision {a.champion} ({formatMetric(100 * a.low)} to {formatMetric(100 * a.high)}); p = {formatMetric(a.p)}: {a.p < 0.05 ? <b>significant</b> : "it could be chance"}.</>
                : <span className="muted">Labels of both revisions are needed before their accuracy is compared.</span>}
            </p>
          );
        })}
      </div>
      <div className="panel"><header><h2>Divide it</h2></header>
        <div className="panel-body" style={{ display: "grid", gap: 14, maxWidth: 720 }}>
          {others.length === 0 ? <p className="muted">There is one revision; a second one comes with the next promotion, or <span className="mono">lathe promote --traffic 10</span>.</p> : (
            <>
              <div className={classes.bar}>
                <Select label="Canary" w={220} value={challenger} onChange={(v) => setChallenger(v ?? "")} data={options} allowDeselect={false} />
                <NumberInput label="Percent" w={110} value={share} onChange={(v) => setShare(Math.min(99, Math.max(0, Number(v) || 0)))} min={0} max={99} step={5} suffix=" %" />
              </div>
              <Slider thumbLabel="Share of the canary" value={share} onChange={setShare} min={0} max={99} label={(v) => `${v} %`} marks={[{ value: 0, label: "0" }, { value: 10, label: "10" }, { value: 50, label: "50" }, { value: 90, label: "90" }]} mb={14} />
              <div className={classes.bar}>
                <Select label="Shadow" description="Answers copies; nobody gets them" w={220} value={shadow} onChange={(v) => setShadow(v ?? "")} data={[{ value: "", label: "None" }, ...options]} allowDeselect={false} />
                {shadow && <NumberInput label="Of the requests" description="The others are not copied" w={150} value={sampled} onChange={(v) => setSampled(Math.min(100, Math.max(1, Number(v) || 1)))} min={1} max={100} suffix=" %" />}
                <TextInput label="Sticky by header" description="The same value, the same revision" w={220} value={sticky} onChange={(e) => setSticky(e.currentTarget.value)} placeholder="x-user" />
              </div>
              {chosen && <VerdictLine page={page} revision={chosen.revision} />}
              <div className={classes.bar}><ActButton needs="run-code" variant="filled" disabled={same || !!problem} onClick={() => setActing(true)}>See the effect…</ActButton>{problem && <span className="muted small">{problem}</span>}</div>
            </>
          )}
        </div>
      </div>
      <Mirror t={t} />
      {t.rollouts.filter((r) => r.state !== "running").length > 0 && (
        <div className="panel"><header><h2>Earlier rollouts</h2></header>
          <table className="plain">
            <thead><tr><th>Began</th><th>Revision</th><th>Ended as</th><th>Why</th></tr></thead>
            <tbody>{t.rollouts.filter((r) => r.state !== "running").map((r) => <tr key={r.started_us}><td title={formatInstant(fromUs(r.started_us))}>{formatAgo(fromUs(r.started_us))}</td><td>{r.revision}</td><td><StatusMark status={OUTCOME[r.state] ?? "unknown"} label={r.state} /></td><td>{r.reason}</td></tr>)}</tbody>
          </table>
        </div>
      )}
      <ConfirmSheet
        opened={acting} onClose={() => setActing(false)} title={`Divide the traffic of ${page.name}`} confirm="Divide it"
        run={async () => {
          await send(`/endpoints/${encodeURIComponent(page.name)}/traffic`, { weights, shadow: Number(shadow) || 0, shadow_percent: shadow ? sampled : undefined, sticky, generation: t.generation }, "PUT");
          toast(`${page.name}: ${share > 0 && chosen ? `${percent(share)} go to ${chosen.model}/${chosen.version}` : "one revision answers all"}`);
          void touched();
        }}
      >
        <ul>
          <li>Revision {live.revision} ({live.model}/{live.version}): {percent(live.weight)} becomes <b>{percent(100 - share)}</b></li>
          {chosen && <li>Revision {chosen.revision} ({chosen.model}/{chosen.version}): {percent(chosen.weight)} becomes <b>{percent(share)}</b>, about {plural(Math.round((perMinute * share) / 100), "request")} a minute at the present rate</li>}
          <li>{shadow ? <>Revision {shadow} answers copies of <b>{percent(sampled)}</b> of the requests, after their answers were sent</> : t.shadow ? "Nothing is mirrored any more" : "Nothing is mirrored"}</li>
          <li>{sticky ? <>Clients that send the same <span className="mono">{sticky}</span> get the same revision</> : "Each request is divided by its own id"}</li>
        </ul>
        {chosen && <VerdictLine page={page} revision={chosen.revision} />}
        {running && <p>The rollout of revision {running.revision} stops: it is no longer the one that moves the traffic.</p>}
        <p className="muted small">The alias and the monitor stay with revision {live.revision}; a promotion moves them.</p>
      </ConfirmSheet>
    </div>
  );
}

/** What the gate said of a revision, where a verdict made it. */
function VerdictLine({ page, revision }: { page: EndpointPage; revision: number }) {
  const id = page.promotions.find((p) => p.revision === revision && p.verdict)?.verdict ?? "";
  const verdict = useApi<{ passed: boolean; reason: string }>(`/verdicts/${id}`, {}, { enabled: id !== "" }).data;
  if (!id) return <p className="muted">No verdict of the gate stands behind revision {revision}: it was not made by a pipeline.</p>;
  return <p>The gate on revision {revision}: {verdict && <StatusMark status={verdict.passed ? "passed" : "refused"} />} <a href={placeOf(currentProject(), "verdict", id)}>{verdict?.reason.replace(/^(passed|failed|refused): /, "") ?? shortId(id)}</a></p>;
}

const OUTCOME: Record<string, Status> = { done: "finished", reverted: "failed", stopped: "canceled", running: "running" };

function RolloutPanel({ r }: { r: Rollout }) {
  const bakes = r.phase === "bake";
  const ends = (r.since_us + (bakes ? r.bake_us : r.wait_us)) / 1000;
  const sides = r.numbers ? ([[`Revision ${r.revision}`, r.numbers.challenger], [`Revision ${r.champion}`, r.numbers.champion]] as const) : [];
  return (
    <div className="panel"><header><h2>{bakes ? "Baking" : `Canary, step ${r.step + 1} of ${r.steps.length}`}</h2><StatusMark status="running" label={`${bakes ? "ends" : "next step"} ${formatIn(ends)}`} /></header>
      <p className="panel-body" style={{ margin: 0 }}>
        Revision {r.revision} {bakes ? "has all of the traffic" : <>has {percent(r.steps[r.step] ?? 0)}; then {[...r.steps.slice(r.step + 1), 100].map(percent).join(", ")}</>}. It goes back by itself when more than {formatPercent(r.max_errors)} of its requests fail, when its p95 is more than {r.max_slowdown} times the champion's, or when its accuracy by feedback is significantly more than {formatMetric(100 * r.max_regression)} points below. A step takes {formatDurationUs(r.wait_us)} and {plural(r.min_requests, "request")} at least.
      </p>
      {sides.length > 0 && (
        <table className="plain">
          <thead><tr><th>In this step</th><th className="num">Requests</th><th className="num">Faults</th><th className="num">p95</th><th className="num">Labels</th><th className="num">Right</th></tr></thead>
          <tbody>{sides.map(([name, s]) => <tr key={name}><td>{name}</td><td className="num">{formatCount(s.requests)}</td><td className="num">{formatCount(s.faults)}</td><td className="num">{formatDuration(s.p95 === null ? null : s.p95 * 1000)}</td><td className="num">{formatCount(s.labelled)}</td><td className="num">{s.labelled ? formatPercent(s.correct / s.labelled) : "–"}</td></tr>)}</tbody>
        </table>
      )}
    </div>
  );
}

function Mirror({ t }: { t: TrafficFacts }) {
  if (!t.shadow && t.mirrored.length === 0) return null;
  return (
    <div className="panel"><header><h2>Mirror</h2><span className="muted small">{t.shadow ? `revision ${t.shadow.revision} answers copies of ${percent(t.shadow.percent)} of the requests` : "of the last day; nothing is mirrored now"}</span></header>
      {t.mirrored.length === 0 ? <p className="panel-body muted">No copy was compared yet: they are counted every ten seconds.</p> : (
        <table className="plain">
          <thead><tr><th>Shadow</th><th>Against</th><th className="num">Rows</th><th className="num">Agreement</th><th className="num">Mean score difference</th><th className="num">Largest</th><th className="num">Failed</th><th className="num">Dropped</th><th className="num">Mean latency</th></tr></thead>
          <tbody>
            {t.mirrored.map((m) => (
              <tr key={`${m.revision}-${m.shadow}`}>
                <td>{m.shadow}</td><td>{m.revision}</td><td className="num">{formatCount(m.rows)}</td><td className="num"><b>{formatPercent(m.agreement, 2)}</b></td>
                <td className="num">{formatMetric(m.score_difference)}</td><td className="num">{formatMetric(m.largest_difference)}</td><td className="num">{formatCount(m.failures)}</td><td className="num">{formatCount(m.dropped)}</td><td className="num">{formatDuration(m.mean_seconds === null ? null : m.mean_seconds * 1000)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {t.paired && t.paired.rows > 0 && <p className="panel-body" style={{ margin: 0 }}>Of {plural(t.paired.rows, "labelled row")} that both predicted, the answers that were given are right on {formatCount(t.paired.primary_correct)}, the shadow on {formatCount(t.paired.shadow_correct)}; only one of the two on {formatCount(t.paired.primary_only)} and {formatCount(t.paired.shadow_only)} (McNemar p = {formatMetric(t.paired.p)}: {t.paired.p < 0.05 ? <b>significant</b> : "it could be chance"}).</p>}
    </div>
  );
}
