// One pipeline: its runs, tasks over the last runs, its graph, and what its tasks are.
import { Button } from "@mantine/core";
import { IconPlayerPlay } from "@tabler/icons-react";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { ActButton } from "../components/ActButton";
import { type Column, DataGrid } from "../components/DataGrid";
import { Graph } from "../components/Graph";
import { PageHead } from "../components/PageHead";
import { Peek } from "../components/Peek";
import { Empty, Loaded } from "../components/Problem";
import { StatusMark } from "../components/StatusMark";
import { Tabs } from "../components/Tabs";
import { useAction } from "../lib/actions";
import { currentProject, useApi } from "../lib/api";
import { formatAgo, formatCount, formatIn, formatInstant, fromUs, plural } from "../lib/format";
import { may, useMe } from "../lib/me";
import { useArrayRows } from "../lib/rows";
import { type Again, RunSheet } from "./pipelines/RunSheet";
import { TaskFacts } from "./pipelines/TaskFacts";
import { TaskGrid } from "./pipelines/TaskGrid";
import type { PipelinePage, Run, StageSpec } from "./pipelines/types";
import { causeText, formatElapsed, runHref, stateLabel } from "./pipelines/words";
import classes from "./pipelines/pipelines.module.css";

const route = getRouteApi("/shell/p/$project/pipelines/$name/{-$tab}");
const TABS = ["runs", "grid", "graph", "code"] as const;
const SHOWN_RUNS = 60;

export function Pipeline() {
  const { name, tab: given, project } = route.useParams();
  const tab = TABS.find((t) => t === given) ?? "runs";
  const query = useApi<PipelinePage>(`/pages/pipelines/${encodeURIComponent(name)}`, { runs: SHOWN_RUNS }, { topics: ["pipeline", "pipeline_run", "stage"] });
  const [again, setAgain] = useState<Again>();
  const me = useMe(currentProject());
  const mayRun = may(me.data, "run-code");
  const start = () => setAgain({ pipeline: name, title: `Run ${name} now` });
  useAction(mayRun ? { id: "run-now", label: `Run ${name} now`, keys: "r", group: "Here", run: start } : null);
  const p = query.data;
  const newest = p?.grid.runs[0];
  return (
    <section className="page">
      <PageHead
        title={name} kind="Pipeline" note={newest && <StatusMark status={newest.state} label={stateLabel(newest.state)} />}
        facts={p && (
          <>
            <span>{plural(p.stages.length, "task")}</span>
            <span>{plural(p.run_count, "run-code")}</span>
            {p.cron ? <span title={p.cron_next_us ? formatInstant(p.cron_next_us / 1000) : undefined}>schedule <span className="mono">{p.cron}</span>{p.cron_next_us && `, next ${formatIn(p.cron_next_us / 1000)}`}</span> : <span>no schedule</span>}
            {p.experiment && <span>logs to experiment {p.experiment}</span>}
          </>
        )}
      >
        <ActButton needs="run-code" variant="filled" leftSection={<IconPlayerPlay size={14} />} onClick={start}>Run now</ActButton>
      </PageHead>
      <Tabs
        label="Pipeline" active={tab} to={(id) => `/p/${encodeURIComponent(project)}/pipelines/${encodeURIComponent(name)}${id === "runs" ? "" : `/${id}`}`}
        tabs={[{ id: "runs", label: "Runs", count: p && formatCount(p.run_count) }, { id: "grid", label: "Grid" }, { id: "graph", label: "Graph" }, { id: "code", label: "Tasks", count: p && formatCount(p.stages.length) }]}
      />
      <Loaded query={query} what="The pipeline">
        {(page) => (
          <>
            {tab === "runs" && <RunList page={page} onRun={start} />}
            {tab === "grid" && <div className={classes.scroll}>{page.grid.runs.length ? <TaskGrid grid={page.grid} /> : <NeverRun name={name} />}</div>}
            {tab === "graph" && <SpecGraph page={page} />}
            {tab === "code" && <TaskTable stages={page.stages} />}
          </>
        )}
      </Loaded>
      {again && <RunSheet again={again} stages={p?.stages} onClose={() => setAgain(undefined)} />}
    </section>
  );
}

const NeverRun = ({ name }: { name: string }) => <Empty title="Never run" code={`lathe run ${name}`}>Its first run shows here what each task did.</Empty>;

function RunList({ page, onRun }: { page: PipelinePage; onRun: () => void }) {
  const rows = useArrayRows(page.grid.runs);
  const columns = useMemo<Column<Run>[]>(() => [
    { key: "number", label: "Run", width: "80px", cell: (r) => <a className="quiet" tabIndex={-1} href={runHref(r)}>#{r.number}</a> },
    { key: "state", label: "State", width: "130px", cell: (r) => <StatusMark status={r.state} label={stateLabel(r.state)} /> },
    { key: "cause", label: "Started by", width: "130px", cell: (r) => causeText(r.cause) },
    { key: "when", label: "Started", width: "100px", right: true, cell: (r) => formatAgo(fromUs(r.created_us)), title: (r) => formatInstant(fromUs(r.created_us)) },
    { key: "took", label: "Took", width: "100px", right: true, cell: (r) => formatElapsed(r.created_us, r.ended_us) },
    { key: "params", label: "Parameters", width: "minmax(160px, 1fr)", cell: (r) => <span className="mono">{Object.entries(r.params).map(([k, v]) => `${k}=${v}`).join(" ")}</span> },
    { key: "id", label: "Id", width: "260px", cell: (r) => <span className="mono muted">{r.id}</span>, raw: (r) => r.id },
  ], []);
  return (
    <>
      {page.run_count > page.grid.runs.length && <p className="muted small" style={{ padding: "6px 14px" }}>The newest {page.grid.runs.length} of {formatCount(page.run_count)}.</p>}
      <DataGrid label="Runs" columns={columns} rows={rows} id={(r) => r.id} href={runHref} empty={<Empty title="Never run"><Button variant="filled" onClick={onRun}>Run now</Button></Empty>} />
    </>
  );
}

function SpecGraph({ page }: { page: PipelinePage }) {
  const { task } = route.useSearch();
  const navigate = route.useNavigate();
  const chosen = page.stages.find((s) => s.name === task);
  const latest = new Map(page.grid.stages.map((s, i) => [s, page.grid.cells[0]?.[i]]));
  const choose = (id: string | null) => navigate({ search: (s) => ({ ...s, task: id ?? "" }), replace: true });
  return (
    <div className="page-fill" style={{ position: "relative" }}>
      <Graph
        label={`Tasks of ${page.name}`} chosen={task || undefined} onChoose={choose}
        items={page.stages.map((s) => { const cell = latest.get(s.name); return { id: s.name, label: s.name, needs: s.after, status: cell?.state ?? "idle", note: cell?.started_us ? formatElapsed(cell.started_us, cell.ended_us) : undefined, title: s.cmd }; })}
      />
      {chosen && <Peek title={chosen.name} onClose={() => choose(null)}><TaskFacts stage={chosen} /></Peek>}
    </div>
  );
}

function TaskTable({ stages }: { stages: readonly StageSpec[] }) {
  const { task } = route.useSearch();
  const navigate = route.useNavigate();
  const rows = useArrayRows(stages);
  const chosen = stages.find((s) => s.name === task);
  const choose = (id: string | null) => navigate({ search: (s) => ({ ...s, task: id ?? "" }), replace: true });
  const columns = useMemo<Column<StageSpec>[]>(() => [
    { key: "name", label: "Task", width: "minmax(140px, 0.7fr)", cell: (s) => <b>{s.name}</b>, raw: (s) => s.name },
    { key: "after", label: "After", width: "minmax(120px, 0.8fr)", cell: (s) => s.after.join(", ") || <span className="muted">nothing</span>, title: (s) => s.after.join("\n") },
    { key: "cmd", label: "Command", width: "minmax(220px, 2fr)", cell: (s) => <span className="mono">{s.cmd}</span>, title: (s) => s.cmd, raw: (s) => s.cmd },
    { key: "params", label: "Parameters", width: "minmax(100px, 0.8fr)", cell: (s) => <span className="mono">{Object.entries(s.params).map(([k, v]) => `${k}=${v}`).join(" ")}</span> },
    { key: "kind", label: "Kind", width: "90px", cell: (s) => (s.internal ? <span className="muted">Lathe's own</span> : "yours"), hint: "Lathe's own steps prepare data, evaluate, judge and promote" },
  ], []);
  return <DataGrid label="Tasks" columns={columns} rows={rows} id={(s) => s.name} peek={task || undefined} onPeek={choose} empty={<Empty title="No task" />} panel={chosen && <Peek title={chosen.name} onClose={() => choose(null)} width={380}><TaskFacts stage={chosen} /></Peek>} />;
}

