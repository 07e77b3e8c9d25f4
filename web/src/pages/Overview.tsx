// Who comes: anyone, first. The question: does the loop turn, and what wants me? Next: the one thing that needs attention.
import { SegmentedControl } from "@mantine/core";
import { IconActivity, IconCube, IconDatabase, IconPlayerPlay, IconPlugConnected, IconScale, IconTopologyRing } from "@tabler/icons-react";
import { Link, getRouteApi, useNavigate } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { CopyBlock } from "../components/CopyId";
import { PageHead } from "../components/PageHead";
import { Loaded } from "../components/Problem";
import { StatusMark } from "../components/StatusMark";
import type { MetricAlert } from "../lib/alerts";
import { useApi } from "../lib/api";
import { formatAgo, formatCount, formatInstant, fromUs, plural } from "../lib/format";
import { placeOf } from "../lib/places";
import { type Item, allAttention, runAttention } from "./overview/attention";
import { Happened, KINDS } from "./overview/happened";
import { LoopPicture } from "./overview/LoopPicture";
import { LoopTable } from "./overview/LoopTable";
import classes from "./overview/overview.module.css";
import type { Overview as Answer, PastEvent } from "./overview/types";

const route = getRouteApi("/shell/p/$project/");
const TOPICS = ["pipeline_run", "data_version", "endpoint", "revision", "alert", "window", "monitor", "verdict", "pipeline", "feedback", "evaluation", "registered_model", "run"];
const MOST_PICTURES = 2;

/** "3 m ago" moves on by itself, the data does not: nothing is fetched for it. */
function useNow(everyMs: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => document.hidden || setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

export function Overview() {
  const { project } = route.useParams();
  const overview = useApi<Answer>("/pages/overview", undefined, { topics: TOPICS });
  const now = Math.max(useNow(10_000), (overview.data?.now_us ?? 0) / 1000);
  const counts = overview.data?.counts;
  return (
    <section className="page">
      <PageHead title="Overview" facts={counts && counts.pipelines + counts.runs + counts.models > 0 ? <Counts project={project} counts={counts} /> : undefined} />
      <div className={classes.body}>
        <Loaded query={overview} what="The overview">
          {(data) => (data.loops.length === 0 ? <FirstSteps project={project} data={data} now={now} /> : <Everything project={project} data={data} now={now} />)}
        </Loaded>
      </div>
    </section>
  );
}

function Counts({ project, counts }: { project: string; counts: Answer["counts"] }) {
  const p = `/p/${encodeURIComponent(project)}`;
  const all: [number, string, string][] = [[counts.pipelines, "pipeline", "pipelines"], [counts.data, "data set", "data"], [counts.runs, "run", "runs"], [counts.models, "model", "models"], [counts.endpoints, "endpoint", "endpoints"]];
  return <>{all.filter(([n]) => n > 0).map(([n, word, path]) => <Link key={path} to={`${p}/${path}` as "/"} className="muted">{n >= 100_000 ? `${formatCount(n)} or more ${word}s` : plural(n, word)}</Link>)}</>;
}

const RAISED = 50;
/** Alerts of runs. Whose rights are by experiment is refused here, and sees them on the page of each. */
const useRaised = (): readonly MetricAlert[] => useApi<{ alerts: MetricAlert[] }>("/metric-alerts", { limit: RAISED }, { topics: ["metric_rule", "run"] }).data?.alerts ?? [];

function Everything({ project, data, now }: { project: string; data: Answer; now: number }) {
  const raised = useRaised();
  const lines = data.loops.flatMap((loop) => (loop.environments.length ? loop.environments : [undefined]).map((env) => ({ loop, env })));
  return (
    <>
      {lines.length <= MOST_PICTURES ? (
        lines.map(({ loop, env }) => (
          <div key={`${loop.pipeline} ${env?.name ?? ""}`}>
            {lines.length > 1 && <h2 className="panel-title">{loop.pipeline}{env && <span className="muted" style={{ fontWeight: 400 }}> · {env.name}</span>}</h2>}
            <LoopPicture project={project} loop={loop} env={env} now={now} />
          </div>
        ))
      ) : <LoopTable project={project} loops={data.loops} now={now} />}
      {data.truncated && <p className="muted">The first {data.loops.length} pipelines; the others are on the Pipelines page.</p>}
      <div className={classes.below}>
        <div className="stack">
          <Attention items={[...allAttention(project, data, now), ...runAttention(project, raised, now)]} now={now} />
          <Doing project={project} data={data} />
        </div>
        <Past project={project} data={data} now={now} />
      </div>
    </>
  );
}

function Attention({ items, now }: { items: readonly Item[]; now: number }) {
  return (
    <section className="panel" aria-label="Needs attention">
      <header><h2>Needs attention</h2>{items.length > 0 && <span className="muted">{items.length}</span>}</header>
      {items.length === 0 ? <p className={`${classes.quiet} muted`}><StatusMark status="healthy" label="Nothing waits for you." /></p> : (
        <ul className={classes.attention}>
          {items.map((i) => (
            <li key={i.id}>
              <StatusMark status={i.status} bare />
              <div><b>{i.title}</b><span className="muted">{i.detail}</span></div>
              {i.at_us > 0 && <time className="muted small" title={formatInstant(fromUs(i.at_us))}>{formatAgo(fromUs(i.at_us), now)}</time>}
              <Link to={i.href as "/"} className={classes.act}>{i.act}</Link>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** What one comes here to do: the pages of the first loop's newest things. */
function Doing({ project, data }: { project: string; data: Answer }) {
  const loop = data.loops[0];
  const env = loop?.environments[0];
  if (!loop) return null;
  const p = `/p/${encodeURIComponent(project)}`;
  const links: [typeof IconCube, string, string][] = [];
  if (env?.endpoint?.revision) links.push([IconPlugConnected, `Try a prediction at ${env.endpoint.name}`, `${placeOf(project, "endpoint", env.endpoint.name)}/try`]);
  if (loop.verdict) links.push([IconScale, "See what the gate compared", `${p}/models/${encodeURIComponent(loop.model)}`]);
  if (env?.live) links.push([IconTopologyRing, `Trace ${env.live.model} version ${env.live.version} back to its data`, `${p}/lineage?id=${encodeURIComponent(`${env.live.model}/${env.live.version}`)}`]);
  if (loop.data) links.push([IconDatabase, `Look at the rows of ${loop.data.name} version ${loop.data.number}`, `${placeOf(project, "data_version", loop.data.id)}/rows`]);
  links.push([IconPlayerPlay, `Run ${loop.pipeline}, or change its parameters`, placeOf(project, "pipeline", loop.pipeline)]);
  return (
    <section className="panel" aria-label="From here">
      <header><h2>From here</h2></header>
      <ul className={classes.doing}>{links.map(([Icon, words, to]) => <li key={to}><Link to={to as "/"}><Icon size={15} aria-hidden /> {words}</Link></li>)}</ul>
    </section>
  );
}

function Past({ project, data, now }: { project: string; data: Answer; now: number }) {
  const { kind } = route.useSearch();
  const navigate = useNavigate();
  const filtered = useApi<{ events: PastEvent[] }>("/pages/events", { kinds: KINDS[kind] ?? "" }, { topics: ["*"], enabled: !!KINDS[kind], keep: true });
  const events = KINDS[kind] ? filtered.data?.events : data.events;
  return (
    <section className="panel" aria-label="What happened">
      <header>
        <h2>What happened</h2><span className="spacer" />
        <SegmentedControl aria-label="Which events" value={kind in KINDS ? kind : ""} onChange={(k) => void navigate({ to: ".", search: { kind: k } as never, replace: true })} data={[{ value: "", label: "All" }, { value: "data", label: "Data" }, { value: "runs", label: "Runs" }, { value: "models", label: "Models" }, { value: "endpoints", label: "Endpoints" }, { value: "alerts", label: "Alerts" }]} />
      </header>
      {events && (events.length ? <Happened project={project} events={events} now={now} /> : <p className={`${classes.quiet} muted`}>Nothing of this kind yet.</p>)}
    </section>
  );
}

const STEPS = [
  [IconDatabase, "Data", "raw files become a version: split, checked, profiled"],
  [IconPlayerPlay, "Pipeline", "your stages train candidates, each logged as a run"],
  [IconCube, "Model", "the gate compares the best with the champion"],
  [IconPlugConnected, "Endpoint", "what passes serves, without a gap"],
  [IconActivity, "Monitor", "drift and accuracy, and a retraining when they move"],
] as const;

/** Nothing is applied: the loop in grey, and the two lines that make it turn. */
function FirstSteps({ project, data, now }: { project: string; data: Answer; now: number }) {
  const { counts } = data;
  const waiting = runAttention(project, useRaised(), now);
  return (
    <>
      <section className={classes.loop} aria-label="The loop, not begun">
        <div className={classes.cards}>
          {STEPS.map(([Icon, name, what], i) => (
            <span key={name} style={{ display: "contents" }}>
              {i > 0 && <svg className={classes.arrow} viewBox="0 0 28 20" aria-hidden><path d="M2 10H22" /><path d="M18 5.5 23.5 10 18 14.5" /></svg>}
              <article className={classes.card} data-grey><header><span className={classes.kind}><Icon size={15} aria-hidden /> {name}</span></header><div className={classes.lines}><span className="muted">{what}</span></div></article>
            </span>
          ))}
        </div>
      </section>
      <div className={classes.first}>
        <section>
          <h2 className="panel-title">Turn a folder into a loop</h2>
          <p className="muted">A lathe.yaml names the data, the stage that trains, the metric and the endpoint. Applying it prepares the data, trains, judges, deploys and watches.</p>
          <CopyBlock text={`export LATHE_SERVER=${location.origin}\ncd examples/digits        # or your own folder with a lathe.yaml\nlathe apply               # shows what changes, then runs it\nlathe runs                # follows it`} label="Copy the commands" />
        </section>
        <section>
          <h2 className="panel-title">{counts.runs > 0 ? "Your runs are here" : "Or only log runs, with MLflow's own client"}</h2>
          <p className="muted">{counts.runs > 0 ? <>{plural(counts.runs, "run")} and {plural(counts.models, "registered model")} were logged. <Link to={`/p/${encodeURIComponent(project)}/runs` as "/"}>See the runs</Link></> : "Any script that logs to MLflow logs here; nothing else changes."}</p>
          <CopyBlock text={`export MLFLOW_TRACKING_URI=${location.origin}\npython train.py`} label="Copy the commands" />
        </section>
      </div>
      {data.events.length > 0 && <div className={classes.below}>{waiting.length > 0 ? <Attention items={waiting} now={now} /> : <span />}<Past project={project} data={data} now={now} /></div>}
    </>
  );
}
