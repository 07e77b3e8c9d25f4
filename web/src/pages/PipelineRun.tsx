// One run of a pipeline: what each task does and did, why it was skipped or failed, and its log as it is written.
import { Button, Menu } from "@mantine/core";
import { IconChevronDown, IconPlayerStop, IconRefresh } from "@tabler/icons-react";
import { Link, getRouteApi, useRouter } from "@tanstack/react-router";
import { useEffect, useMemo, useRef, useState } from "react";
import { ActButton } from "../components/ActButton";
import { ConfirmSheet } from "../components/ConfirmSheet";
import { CopyBlock, CopyId } from "../components/CopyId";
import { Graph, type GraphItem } from "../components/Graph";
import { LogView } from "../components/LogView";
import { PageHead } from "../components/PageHead";
import { Facts } from "../components/Peek";
import { Loaded, Problem } from "../components/Problem";
import { StatusMark, statusLabel } from "../components/StatusMark";
import { Tabs } from "../components/Tabs";
import { useAction } from "../lib/actions";
import { currentProject, href, queries, send, useApi } from "../lib/api";
import { formatAgo, formatBytes, formatInstant, fromUs, plural } from "../lib/format";
import { useLog } from "../lib/log";
import { denied, may, useMe } from "../lib/me";
import { placeOf } from "../lib/places";
import { toast } from "../lib/toast";
import { Gantt } from "./pipelines/Gantt";
import { type Again, RunSheet } from "./pipelines/RunSheet";
import { TaskFacts } from "./pipelines/TaskFacts";
import classes from "./pipelines/pipelines.module.css";
import type { Attempt, RunPage, StageRow } from "./pipelines/types";
import { Cause, formatElapsed, isDone, isLive, runHref, stateLabel } from "./pipelines/words";

const route = getRouteApi("/shell/p/$project/pipelines/$name/runs/$run/{-$tab}");
const TABS = ["graph", "gantt", "task", "about"] as const;
const COLLAPSED = 100; // more tasks than these: the members of a group are one node
const MANY = 300; // more than these: the list of bars comes first
const GROUP = "group:";

/** The time, each second while something runs. */
function useNow(live: boolean): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    setNow(Date.now());
    if (!live) return;
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, [live]);
  return now;
}

export function PipelineRun() {
  const { name, run } = route.useParams();
  const query = useApi<RunPage>(`/pages/pipelines/${encodeURIComponent(name)}/runs/${encodeURIComponent(run)}`, undefined, { topics: ["pipeline_run", "stage", "verdict"] });
  if (!query.data) return <section className="page"><PageHead title={`${name} #${run}`} kind="Pipeline run" /><Loaded query={query} what="The run">{() => null}</Loaded></section>;
  return <Page page={query.data} />;
}

/** What one comes for: the task that failed, else runs, else the last one that did something. */
function interesting(page: RunPage): string {
  const by = (state: string) => page.rows.find((r) => r.state === state)?.name;
  return by("failed") ?? by("running") ?? page.rows.findLast((r) => r.attempt && r.state !== "skipped")?.name ?? page.rows[0]?.name ?? "";
}

function Page({ page }: { page: RunPage }) {
  const { project, tab: given } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const router = useRouter();
  const { run } = page;
  const live = isLive(run.state);
  const now = useNow(live);
  const first = page.stages.length > MANY ? "gantt" : "graph";
  const tab = TABS.find((t) => t === given) ?? first;
  const [again, setAgain] = useState<Again>();
  const [cancelling, setCancelling] = useState(false);
  const [height, setHeight] = useState(() => Number(localStorage.getItem("lathe.log-height")) || 300);
  const mayRun = may(useMe(currentProject()).data, "run-code");
  const task = page.rows.some((r) => r.name === search.task) ? search.task : interesting(page);
  const choose = (id: string | null) => navigate({ search: (s) => ({ ...s, task: id ?? "", try: 0, line: 0, q: "" }), replace: true });
  const [expanded, setExpanded] = useState<ReadonlySet<string>>(new Set());
  const items = useMemo(() => graphItems(page, now, expanded), [page, now, expanded]);
  const chooseInGraph = (id: string | null) => {
    if (id?.startsWith(GROUP)) setExpanded((old) => new Set(old).add(id.slice(GROUP.length)));
    else if (id) choose(id);
  };
  const done = page.rows.filter((r) => isDone(r.state)).length;
  const doneNames = page.rows.filter((r) => isDone(r.state)).map((r) => r.name);
  const base = { pipeline: run.pipeline, params: run.params, bundle: run.bundle };
  const fromFailed = () => setAgain({ ...base, title: `Run ${run.pipeline} again from what failed`, done: doneNames });
  const all = () => setAgain({ ...base, title: `Run ${run.pipeline} again, every task`, force: true });
  const more = () => setAgain({ ...base, title: `Run ${run.pipeline} with other parameters` });
  useAction(mayRun ? { id: "again", label: "Run again from what failed", keys: "r", group: "Here", run: fromFailed } : null);
  useAction(mayRun && live ? { id: "cancel", label: `Cancel run ${run.number}`, group: "Here", run: () => setCancelling(true) } : null);
  useAction(run.number > 1 ? { id: "prev", label: "The run before", keys: "[", group: "Here", run: () => router.history.push(runHref({ pipeline: run.pipeline, number: run.number - 1 }, given)) } : null);
  useAction(run.number < page.newest_number ? { id: "next", label: "The next run", keys: "]", group: "Here", run: () => router.history.push(runHref({ pipeline: run.pipeline, number: run.number + 1 }, given)) } : null);

  return (
    <section className="page">
      <PageHead
        title={`${run.pipeline} #${run.number}`} kind="Pipeline run"
        note={<><StatusMark status={run.state} label={live && page.cancel_requested ? "Being cancelled" : stateLabel(run.state)} /><span>{done} of {plural(page.rows.length, "task")} · {formatElapsed(run.created_us, run.ended_us, now)}</span></>}
        facts={(
          <>
            <span>started by <Cause cause={run.cause} /> <span title={formatInstant(fromUs(run.created_us))}>{formatAgo(fromUs(run.created_us))}</span></span>
            {page.bundle?.commit && <span>commit <CopyId id={page.bundle.commit} />{page.bundle.dirty && " with changes"}</span>}
            {page.verdict && <span className="row" style={{ gap: 6 }}><StatusMark status={page.verdict.passed ? "passed" : "refused"} label={page.verdict.passed ? "Gate passed" : "Gate refused"} /> <span className="cut" style={{ maxWidth: "min(520px, 60vw)" }} title={page.verdict.reason}>{page.verdict.reason.replace(/^(passed|refused): /, "")}</span></span>}
            <Link to={placeOf(project, "", run.id) as "/"}>Lineage</Link>
          </>
        )}
      >
        {live && <ActButton needs="run-code" leftSection={<IconPlayerStop size={14} />} disabled={page.cancel_requested} onClick={() => setCancelling(true)}>Cancel</ActButton>}
        <Menu position="bottom-end">
          <Menu.Target><Button variant={live ? "default" : "filled"} disabled={!mayRun} title={mayRun ? undefined : denied("run-code")} leftSection={<IconRefresh size={14} />} rightSection={<IconChevronDown size={13} />}>Run again</Button></Menu.Target>
          <Menu.Dropdown>
            <Menu.Item onClick={fromFailed}>From what failed</Menu.Item>
            <Menu.Item onClick={all}>Every task</Menu.Item>
            <Menu.Item onClick={more}>With parameters…</Menu.Item>
          </Menu.Dropdown>
        </Menu>
      </PageHead>
      <Tabs label="Run" active={tab} to={(id) => `${runHref(run)}${id === first ? "" : `/${id}`}`} tabs={[{ id: "graph", label: "Graph" }, { id: "gantt", label: "Gantt" }, { id: "task", label: "Task" }, { id: "about", label: "Parameters, code" }]} />
      <div className={classes.run} style={{ gridTemplateRows: tab === "about" ? "minmax(0, 1fr)" : `minmax(120px, 1fr) ${height}px` }}>
        <div className={classes.upper}>
          {tab === "graph" && <Graph label={`Tasks of run ${run.number}`} items={items} chosen={task} onChoose={chooseInGraph} />}
          {tab === "gantt" && <Gantt page={page} now={now} chosen={task} onChoose={choose} />}
          {tab === "task" && <div className={classes.scroll}><div className="panel-body stack" style={{ maxWidth: 720 }}>{page.stages.filter((s) => s.name === task).map((s) => <TaskFacts key={s.name} stage={s} />)}</div></div>}
          {tab === "about" && <About page={page} />}
        </div>
        {tab !== "about" && <TaskLog page={page} task={task} now={now} onHeight={(h) => { setHeight(h); localStorage.setItem("lathe.log-height", String(h)); }} height={height} />}
      </div>
      {again && <RunSheet again={again} stages={page.stages} onClose={() => setAgain(undefined)} />}
      <ConfirmSheet
        opened={cancelling} onClose={() => setCancelling(false)} title={`Cancel run ${run.number}`} confirm="Cancel the run" danger
        run={async () => {
          await send(`/pipeline-runs/${run.id}/cancel`);
          toast(`Run ${run.number} is being cancelled`);
          void queries.invalidateQueries({ predicate: (q) => ((q.meta?.topics ?? []) as string[]).includes("pipeline_run") });
        }}
      >
        <p>{plural(page.rows.filter((r) => r.state === "running").length, "running task")} will be ended, {plural(page.rows.filter((r) => r.state === "queued").length, "queued task")} will not start. What {plural(done, "finished task")} made stays.</p>
      </ConfirmSheet>
    </section>
  );
}

const WORST = ["failed", "running", "queued", "upstream-failed", "cancelled", "succeeded", "skipped"];
/** One node a task; of a large graph, one node a group until it is opened. */
function graphItems(page: RunPage, now: number, expanded: ReadonlySet<string>) {
  if (page.stages.length <= COLLAPSED) return page.stages.map((s) => graphItem(page, s.name, s.after, now));
  const size = new Map<string, number>();
  for (const s of page.stages) size.set(s.group, (size.get(s.group) ?? 0) + 1);
  const node = new Map(page.stages.map((s) => [s.name, (size.get(s.group) ?? 0) > 1 && !expanded.has(s.group) ? `${GROUP}${s.group}` : s.name]));
  const state = new Map(page.rows.map((r) => [r.name, r.state]));
  const out = new Map<string, ReturnType<typeof graphItem>>();
  for (const s of page.stages) {
    const id = node.get(s.name) as string;
    const needs = [...new Set(s.after.map((a) => node.get(a) ?? a))].filter((n) => n !== id);
    const old = out.get(id);
    if (old) old.needs = [...new Set([...old.needs, ...needs])];
    else if (id === s.name) out.set(id, graphItem(page, s.name, needs, now));
    else {
      const members = page.stages.filter((m) => m.group === s.group).map((m) => state.get(m.name) ?? "queued");
      const status = WORST.find((w) => members.includes(w)) ?? "queued";
      const title = `${s.group}: ${plural(members.length, "task")}; choose it to see each`;
      out.set(id, { id, label: s.group, needs, status, moving: members.includes("running"), detail: undefined, note: `${members.filter(isDone).length}/${members.length}`, title });
    }
  }
  return [...out.values()];
}

function graphItem(page: RunPage, name: string, needs: readonly string[], now: number): GraphItem {
  const row = page.rows.find((r) => r.name === name);
  const why = row && (row.state === "skipped" || row.state === "failed" || row.state === "upstream-failed") ? row.reason : row?.state === "queued" ? (row.waits ?? "") : "";
  return {
    id: name, label: name, needs, status: row?.state ?? "queued", moving: row?.state === "running", detail: why || undefined,
    note: row?.started_us && row.attempt && row.state !== "skipped" ? formatElapsed(row.started_us, row.ended_us, now) : undefined, title: [name, why].filter(Boolean).join("\n"),
  };
}

function About({ page }: { page: RunPage }) {
  const { run, bundle } = page;
  return (
    <div className={classes.scroll}>
      <div className="panel-body stack" style={{ maxWidth: 760 }}>
        <Facts
          facts={[
            ["Id", <CopyId key="id" id={run.id} whole />],
            ["Parameters", Object.keys(run.params).length ? <span key="p" className="mono">{Object.entries(run.params).map(([k, v]) => `${k}=${v}`).join("  ")}</span> : "none"],
            ["Skipping", page.forced ? "off: every task was made to run" : "tasks with unchanged inputs"],
            ["Experiment", page.experiment || "–"],
            ["Code", bundle ? <span key="b"><CopyId id={bundle.id} /> {plural(bundle.files, "file")}, {formatBytes(bundle.bytes)}</span> : "–"],
            ["Commit", bundle?.commit ? <span key="c"><CopyId id={bundle.commit} whole />{bundle.dirty && <span className="muted"> with changes that are not committed</span>}</span> : "not under git"],
            ["Started", formatInstant(fromUs(run.created_us))],
            ["Ended", formatInstant(fromUs(run.ended_us))],
          ]}
        />
        <h2 className="panel-title">The same by command</h2>
        <CopyBlock text={`lathe run ${run.pipeline}${Object.entries(run.params).map(([k, v]) => ` --param ${k}=${v}`).join("")}\nlathe runs ${run.pipeline}\nlathe logs ${run.id}`} />
        <CopyBlock text={`curl -X POST ${location.origin}/api/lathe/v1/pipelines/${run.pipeline}/runs \\\n  -H 'content-type: application/json' -d '${JSON.stringify({ params: run.params, bundle: run.bundle })}'`} label="Copy as curl" />
      </div>
    </div>
  );
}

// --- the log of the chosen task -------------------------------------------------------------------------------------

function TaskLog({ page, task, now, height, onHeight }: { page: RunPage; task: string; now: number; height: number; onHeight: (h: number) => void }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const row = page.rows.find((r) => r.name === task);
  const attempts = page.attempts.filter((a) => a.stage === task);
  // A skipped task shows the log of the attempt whose results it took.
  const reused = row?.state === "skipped" && row.attempt && !attempts.some((a) => a.id === row.attempt) ? row.attempt : undefined;
  const attempt = attempts[search.try ? search.try - 1 : attempts.length - 1] ?? attempts.at(-1);
  const id = attempt?.id ?? reused;
  const log = useLog(id, attempt !== undefined && attempt.ended_us === 0);
  const set = (part: Partial<typeof search>) => navigate({ search: (s) => ({ ...s, task, ...part }), replace: true });
  return (
    <div className={classes.lower}>
      <Splitter height={height} onHeight={onHeight} />
      <div className={classes.lowerHead}>
        <b>{task}</b>
        {row && <StatusMark status={row.state} label={stateLabel(row.state)} />}
        {row && row.started_us > 0 && row.state !== "skipped" && <span className="muted">{formatElapsed(row.started_us, row.ended_us, now)}</span>}
        {attempts.length > 1 && <Tries attempts={attempts} chosen={attempt?.id} onChoose={(n) => set({ try: n, line: 0 })} />}
        <span className="spacer" />
        {id && <span className="muted small">attempt <CopyId id={id} /></span>}
      </div>
      {row && <Why row={row} attempt={attempt} reused={!!reused} />}
      {log.error ? <Problem error={log.error} what="The log" /> : id ? (
        <LogView
          key={id} log={log} line={search.line || undefined} onLine={(line) => set({ line })} query={search.q} onQuery={(q) => set({ q })}
          level={search.level} onLevel={(level) => set({ level })} download={href(`/attempts/${id}/log`)}
        />
      ) : <p className="muted" style={{ padding: "10px 14px" }}>No log: this task has not started.</p>}
    </div>
  );
}

function Tries({ attempts, chosen, onChoose }: { attempts: readonly Attempt[]; chosen?: string; onChoose: (n: number) => void }) {
  return (
    <span className={classes.tries} role="group" aria-label="Attempts">
      {attempts.map((a, i) => (
        <button key={a.id} type="button" className={classes.try} aria-pressed={a.id === chosen} onClick={() => onChoose(i + 1)} title={a.detail || statusLabel(a.outcome ?? "running")}>
          <StatusMark status={a.outcome ?? "running"} bare /> try {i + 1}
        </button>
      ))}
    </span>
  );
}

/** In a sentence: why it was skipped, why it failed, what it waits for. */
function Why({ row, attempt, reused }: { row: StageRow; attempt?: Attempt; reused: boolean }) {
  const text = row.state === "queued" ? row.waits : row.state === "failed" || row.state === "skipped" || row.state === "upstream-failed" || row.state === "cancelled" ? row.reason : attempt?.outcome && attempt.outcome !== "succeeded" ? attempt.detail : row.reason;
  if (!text) return null;
  return <p className={classes.why} data-state={row.state === "upstream-failed" ? "skipped" : row.state}>{row.state === "skipped" ? <>Skipped: {text}.{reused && <span className="muted"> Below is the log of the attempt whose results it took.</span>}</> : row.state === "running" || row.state === "succeeded" ? <span className="muted">Ran because {text}</span> : text}</p>;
}

/** Drag, or arrows when it has the focus. */
function Splitter({ height, onHeight }: { height: number; onHeight: (h: number) => void }) {
  const from = useRef<{ y: number; height: number }>(undefined);
  const to = (h: number) => onHeight(Math.round(Math.min(Math.max(h, 110), innerHeight - 320)));
  return (
    <button
      type="button" className={classes.splitter} aria-label="Height of the log; arrows change it"
      onKeyDown={(e) => {
        if (e.key !== "ArrowUp" && e.key !== "ArrowDown") return;
        to(height + (e.key === "ArrowUp" ? 30 : -30));
        e.preventDefault();
      }}
      onPointerDown={(e) => { from.current = { y: e.clientY, height }; e.currentTarget.setPointerCapture(e.pointerId); }}
      onPointerMove={(e) => from.current && to(from.current.height + from.current.y - e.clientY)}
      onPointerUp={() => { from.current = undefined; }}
    />
  );
}
