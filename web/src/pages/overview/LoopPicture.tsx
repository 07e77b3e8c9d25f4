// The loop as a picture: data → pipeline → model → endpoint → monitor, and back. Each card is the newest of its kind and
// links to it; the arrow that moves now is strong. In a list of many loops the same cards are one row.
import { IconActivity, IconCube, IconDatabase, IconPlayerPlay, IconPlugConnected, IconRotateClockwise2 } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { Sparkline } from "../../components/charts/Sparkline";
import { StatusMark } from "../../components/StatusMark";
import { formatAgo, formatCount, formatDuration, formatIn, formatInterval, formatMetric, formatPercent, fromUs, plural } from "../../lib/format";
import { placeOf } from "../../lib/places";
import { WORDS } from "../../lib/words";
import { alertSentence, causeWords, nextStep } from "./attention";
import type { Environment, Loop } from "./types";
import classes from "./overview.module.css";

interface CardProps { kind: string; icon: ReactNode; title: string; note?: string; href?: string; state?: ReactNode; children?: ReactNode; grey?: boolean }
function Card({ kind, icon, title, note, href, state, children, grey }: CardProps) {
  return (
    <article className={classes.card} data-grey={grey || undefined}>
      <header><span className={classes.kind}>{icon} {kind}</span>{state}</header>
      <h2>{href ? <Link to={href as "/"} className="quiet cut">{title}</Link> : <span className="cut muted">{title}</span>}{note && <span className="tag" data-strong>{note}</span>}</h2>
      <div className={classes.lines}>{children}</div>
    </article>
  );
}

const Arrow = ({ moving, label }: { moving: boolean; label?: string }) => (
  <svg className={classes.arrow} data-moving={moving || undefined} viewBox="0 0 28 20" role="img" aria-label={moving ? (label ?? "moving now") : "then"}><path d="M2 10H22" /><path d="M18 5.5 23.5 10 18 14.5" /></svg>
);

const rowsOf = (rows: Record<string, number>) => Object.entries(rows).filter(([part]) => part !== "rejected" && part !== "duplicates").reduce((sum, [, n]) => sum + n, 0);

export function DataCard({ project, loop, now }: { project: string; loop: Loop; now: number }) {
  const d = loop.data;
  if (!d) return <Card kind="Data" icon={<IconDatabase size={15} aria-hidden />} title="No version yet" grey>The first run prepares it.</Card>;
  const rejected = d.rows.rejected ?? 0;
  return (
    <Card kind="Data" icon={<IconDatabase size={15} aria-hidden />} title={d.name} note={`v${d.number}`} href={placeOf(project, "data_version", d.id)}>
      <span>{formatCount(rowsOf(d.rows))} rows{d.rows.test !== undefined && <span className="muted"> · {formatCount(d.rows.test)} held back</span>}</span>
      <span className="muted">{formatAgo(fromUs(d.created_us), now)}{rejected > 0 && ` · ${plural(rejected, "row")} rejected`}{d.rows.recent ? ` · ${formatCount(d.rows.recent)} from traffic` : ""}</span>
    </Card>
  );
}

export function PipelineCard({ project, loop, now }: { project: string; loop: Loop; now: number }) {
  const r = loop.run;
  const icon = <IconPlayerPlay size={15} aria-hidden />;
  if (!r) return <Card kind="Pipeline" icon={icon} title={loop.pipeline} href={placeOf(project, "pipeline", loop.pipeline)}><span className="muted">Never run</span></Card>;
  const took = (fromUs(r.ended_us) ?? now) - r.created_us / 1000;
  return (
    <Card kind="Pipeline" icon={icon} title={loop.pipeline} note={`#${r.number}`} href={`${placeOf(project, "pipeline", loop.pipeline)}/runs/${r.number}`} state={<StatusMark status={r.state} />}>
      {r.ended_us ? <span>{plural(r.stages, "task")} in {formatDuration(took)}</span> : (
        <span className={classes.progress}><span className={classes.bar}><i style={{ width: `${(r.done / Math.max(1, r.stages)) * 100}%` }} /></span>{r.done}/{r.stages}</span>
      )}
      <span className="muted cut" title={r.problem?.reason}>{r.problem ? `${r.problem.stage}: ${r.problem.reason}` : `${causeWords(r.cause)} · ${formatAgo(fromUs(r.ended_us ?? r.created_us), now)}`}</span>
    </Card>
  );
}

export function ModelCard({ project, loop, env, now }: { project: string; loop: Loop; env?: Environment; now: number }) {
  const live = env?.live;
  const icon = <IconCube size={15} aria-hidden />;
  if (!live) return <Card kind="Model" icon={icon} title={loop.model || "No model"} grey>{loop.verdict && !loop.verdict.passed ? "The gate refused the challenger." : "None has passed the gate yet."}</Card>;
  const refused = loop.verdict && !loop.verdict.passed && loop.verdict.run === loop.run?.id;
  return (
    <Card kind="Model" icon={icon} title={live.model} note={`v${live.version}`} href={placeOf(project, "model_version", `${live.model}/${live.version}`)} state={refused ? <StatusMark status="refused" label="Challenger refused" /> : <StatusMark status="passed" label="Champion" />}>
      {live.value ? <span className="cut" title={`${loop.metric} ${formatInterval(live.value.value, live.value.low, live.value.high)} on ${live.value.part}. ${WORDS.interval}`}>{loop.metric} <b>{formatInterval(live.value.value, null, null)}</b> <span className="muted small">{formatInterval(live.value.value, live.value.low, live.value.high).replace(/^\S+ /, "")}</span></span> : <span className="muted">not measured by the gate</span>}
      <span className="muted">{live.by === "rolled_back" ? "rolled back" : "promoted"} {formatAgo(fromUs(live.since_us), now)}</span>
    </Card>
  );
}

export function EndpointCard({ project, env, now }: { project: string; env?: Environment; now: number }) {
  const e = env?.endpoint;
  const icon = <IconPlugConnected size={15} aria-hidden />;
  if (!e) return <Card kind="Endpoint" icon={icon} title="None" grey>lathe.yaml names no environment.</Card>;
  const state = e.problem ? "failed" : e.revision ? "serving" : "idle";
  const t = e.traffic;
  const steps = t ? Math.max(1, Math.floor((now - t.from_us / 1000) / (t.step_us / 1000))) : 0;
  const values = Array.from({ length: steps }, (_, i) => t?.points.filter(([at]) => Math.floor((at - t.from_us) / t.step_us) === i).reduce((sum, [, n]) => sum + n, 0) ?? 0);
  return (
    <Card kind="Endpoint" icon={icon} title={e.name} note={env.name} href={placeOf(project, "endpoint", e.name)} state={<StatusMark status={state} label={e.revision ? undefined : "Nothing serves"} />}>
      {t && t.requests > 0 ? (
        <>
          <span>{formatCount(t.requests)} requests <span className="muted" title={`${WORDS.p99} Of the last 15 minutes.`}>· p99 {formatDuration(t.p99 === null ? null : t.p99 * 1000)}</span>{t.failures > 0 && <b className={classes.bad}> · {formatCount(t.failures)} failed</b>}</span>
          <Sparkline values={values} width={150} height={18} fromZero area label="Requests in the last 15 minutes" format={formatCount} />
        </>
      ) : <><span className="muted">No request in 15 minutes</span><span className="muted">revision {e.revision || "–"}</span></>}
    </Card>
  );
}

export function MonitorCard({ project, env, now }: { project: string; env?: Environment; now: number }) {
  const m = env?.monitor;
  const icon = <IconActivity size={15} aria-hidden />;
  if (!m || !env.endpoint) return <Card kind="Monitor" icon={icon} title="Not watched" grey>Nothing is monitored here.</Card>;
  const alert = m.alerts[0];
  const newest = m.windows[0];
  const once = !alert && newest?.judged && (newest.drifted || newest.bad_quality) && newest.revision === env.endpoint.revision;
  const state = alert ? "drifted" : once ? "warning" : newest?.judged ? "healthy" : "idle";
  const labelled = m.windows.find((w) => w.labelled > 0 && w.revision === env.endpoint?.revision);
  return (
    <Card kind="Monitor" icon={icon} title={env.endpoint.name} href={placeOf(project, "monitor", env.endpoint.name)} state={<StatusMark status={state} label={alert ? (alert.kind === "drift" ? "Drifted" : alert.kind === "accuracy" ? "Accuracy fell" : "Bad quality") : once ? "Drifted once" : state === "idle" ? "No window judged" : undefined} />}>
      <span className={classes.windows} role="img" aria-label={`The last ${m.windows.length} windows: ${m.windows.filter((w) => w.drifted).length} drifted`}>
        {m.windows.toReversed().map((w) => <i key={w.id} data-old={w.revision !== env.endpoint?.revision || undefined} data-state={!w.judged ? "idle" : w.drifted ? "drifted" : w.bad_quality ? "bad" : "clean"} title={`Window ${w.number}: ${plural(w.rows, "row")}, ${!w.judged ? "not judged" : w.drifted ? "drifted" : w.bad_quality ? "bad quality" : "clean"}, ${formatAgo(fromUs(w.closed_us), now)}`} />)}
        {m.windows.length === 0 && <span className="muted">No window yet</span>}
      </span>
      <span className="muted cut">{alert ? alertSentence(alert) : labelled ? `accuracy ${formatPercent(labelled.correct / labelled.labelled)} on ${plural(labelled.labelled, "label")}` : plural(m.labels, "label")}</span>
    </Card>
  );
}

export function LoopPicture({ project, loop, env, now }: { project: string; loop: Loop; env?: Environment; now: number }) {
  const running = !!loop.run && !loop.run.ended_us;
  const stages = running ? (loop.run?.running ?? []) : [];
  const promoting = stages.includes("promote");
  const judging = stages.some((s) => s === "evaluate" || s === "gate");
  const flowing = (env?.endpoint?.traffic?.points ?? []).some(([at]) => now - at / 1000 < 60_000);
  const retraining = running && !!loop.run?.cause.startsWith("alert:");
  const why = env?.retrains_on.length ? `retrains on ${env.retrains_on.join(", ")}` : "no alert retrains";
  const cool = env?.cooldown_until_us ? ` · cool-down ends ${formatIn(fromUs(env.cooldown_until_us) as number, now)}` : "";
  const schedule = loop.cron_next_us ? ` · on schedule ${formatIn(fromUs(loop.cron_next_us) as number, now)}` : "";
  return (
    <section className={classes.loop} aria-label={`Loop of ${loop.pipeline}${env ? `, ${env.name}` : ""}`}>
      <div className={classes.cards}>
        <DataCard project={project} loop={loop} now={now} />
        <Arrow moving={running && !judging && !promoting} />
        <PipelineCard project={project} loop={loop} now={now} />
        <Arrow moving={judging} label="being judged now" />
        <ModelCard project={project} loop={loop} env={env} now={now} />
        <Arrow moving={promoting} label="being promoted now" />
        <EndpointCard project={project} env={env} now={now} />
        <Arrow moving={flowing} label="traffic now" />
        <MonitorCard project={project} env={env} now={now} />
      </div>
      <div className={classes.back} data-moving={retraining || undefined}>
        <svg viewBox="0 0 1000 34" preserveAspectRatio="none" aria-hidden><path d="M900 0V14Q900 22 888 22H112Q100 22 100 14V6" vectorEffect="non-scaling-stroke" /></svg>
        <svg className={classes.tip} viewBox="0 0 12 9" aria-hidden><path d="M1 8 6 1.5 11 8" /></svg>
        <span><IconRotateClockwise2 size={14} aria-hidden /> {retraining ? "Retraining now" : `${why}${cool}${schedule}`}</span>
      </div>
      <p className={classes.next}><b>Next</b> {nextStep(loop, env, now)}</p>
    </section>
  );
}

/** One line of a list of many: the same facts in words. */
export function metricWords(loop: Loop, env?: Environment): string {
  const v = env?.live?.value;
  return v ? `${loop.metric} ${formatMetric(Number(v.value.toPrecision(3)))}` : "–";
}
