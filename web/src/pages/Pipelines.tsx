// Pipelines: what there is, how its last runs went, when the next one is due; run one now.
import { Button } from "@mantine/core";
import { IconPlayerPlay } from "@tabler/icons-react";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { ActButton } from "../components/ActButton";
import { type Column, DataGrid } from "../components/DataGrid";
import { FilterBar, SearchInput } from "../components/FilterBar";
import { PageHead } from "../components/PageHead";
import { Facts, Peek } from "../components/Peek";
import { Empty } from "../components/Problem";
import { StatusMark } from "../components/StatusMark";
import { useAction } from "../lib/actions";
import { currentProject, useApi } from "../lib/api";
import { MISSING, formatAgo, formatCount, formatIn, formatInstant, fromUs, plural } from "../lib/format";
import { denied, may, useMe } from "../lib/me";
import { useArrayRows } from "../lib/rows";
import { History } from "./pipelines/History";
import { type Again, RunSheet } from "./pipelines/RunSheet";
import type { PipelineCard } from "./pipelines/types";
import { Cause, causeText, formatElapsed, isLive, runHref, stateLabel } from "./pipelines/words";

const route = getRouteApi("/shell/p/$project/pipelines");
const FIRST = "lathe apply    # in the folder of lathe.yaml: makes the pipeline and runs it once";

const pipelineHref = (name: string) => `/p/${encodeURIComponent(currentProject())}/pipelines/${encodeURIComponent(name)}`;
const last = (p: PipelineCard) => p.runs[0];

export function Pipelines() {
  const { q, peek } = route.useSearch();
  const navigate = route.useNavigate();
  const [again, setAgain] = useState<Again>();
  const query = useApi<{ pipelines: PipelineCard[] }>("/pages/pipelines", { runs: 20 }, { topics: ["pipeline", "pipeline_run", "stage"] });
  const me = useMe(currentProject());
  const mayRun = may(me.data, "run-code");
  const all = query.data?.pipelines;
  const shown = useMemo(() => all?.filter((p) => p.name.toLowerCase().includes(q.toLowerCase())), [all, q]);
  const rows = useArrayRows(shown, { error: query.error, retry: () => void query.refetch() });
  const opened = all?.find((p) => p.name === peek);
  const start = (p: PipelineCard) => setAgain({ pipeline: p.name, title: `Run ${p.name} now` });
  useAction(opened && mayRun ? { id: "run-now", label: `Run ${opened.name} now`, keys: "r", group: "Here", run: () => start(opened) } : null);

  // biome-ignore lint/correctness/useExhaustiveDependencies: start only sets state
  const columns = useMemo<Column<PipelineCard>[]>(() => [
    { key: "name", label: "Pipeline", width: "minmax(160px, 1.4fr)", cell: (p) => <a className="quiet" tabIndex={-1} href={pipelineHref(p.name)}>{p.name}</a>, raw: (p) => p.name },
    { key: "state", label: "Last run", width: "minmax(170px, 1fr)", cell: (p) => { const r = last(p); return r ? <span className="row"><StatusMark status={r.state} label={stateLabel(r.state)} /><a tabIndex={-1} href={runHref(r)}>#{r.number}</a>{isLive(r.state) && p.newest_progress && <span className="muted">{p.newest_progress.done}/{p.newest_progress.stages}</span>}</span> : <span className="muted">never run</span>; } },
    { key: "history", label: "Last 20 runs", width: "170px", hint: "Height is how long a run took, colour how it ended; oldest at the left", cell: (p) => <History runs={p.runs} /> },
    { key: "duration", label: "Took", width: "90px", right: true, cell: (p) => { const r = last(p); return r ? formatElapsed(r.created_us, r.ended_us) : MISSING; } },
    { key: "cause", label: "Started by", width: "100px", cell: (p) => { const r = last(p); return r ? causeText(r.cause) : MISSING; } },
    { key: "when", label: "Started", width: "90px", right: true, cell: (p) => formatAgo(fromUs(last(p)?.created_us)), title: (p) => formatInstant(fromUs(last(p)?.created_us)) },
    { key: "next", label: "Next", width: "minmax(120px, 0.8fr)", hint: "When its schedule starts it next", cell: (p) => (p.cron_next_us ? <>{formatIn(p.cron_next_us / 1000)} <span className="muted">{p.cron}</span></> : <span className="muted">no schedule</span>), title: (p) => (p.cron_next_us ? `${p.cron}: ${formatInstant(p.cron_next_us / 1000)}` : "Set retrain.on in lathe.yaml") },
    { key: "tasks", label: "Tasks", width: "60px", right: true, cell: (p) => formatCount(p.stages) },
    { key: "act", label: <span className="hidden">Run</span>, width: "86px", cell: (p) => <button type="button" className="plain" tabIndex={-1} disabled={!mayRun} title={mayRun ? undefined : denied("run-code")} onClick={() => start(p)}><IconPlayerPlay size={14} aria-hidden /> Run now</button> },
  ], [mayRun]);

  return (
    <section className="page">
      <PageHead title="Pipelines" note={all && formatCount(all.length)} />
      <FilterBar><SearchInput label="Name" value={q} onChange={(v) => navigate({ search: (s) => ({ ...s, q: v }), replace: true })} /></FilterBar>
      <DataGrid
        label="Pipelines" columns={columns} rows={rows} id={(p) => p.name} href={(p) => pipelineHref(p.name)} peek={peek || undefined}
        onPeek={(id) => navigate({ search: (s) => ({ ...s, peek: id ?? "" }), replace: true })}
        empty={q ? <Empty title={`No pipeline is called like "${q}"`}><Button onClick={() => navigate({ search: {}, replace: true })}>Clear the filter</Button></Empty> : <Empty title="No pipeline yet" code={FIRST}>A pipeline takes data through training, evaluation and the gate to an endpoint. lathe.yaml describes it.</Empty>}
        panel={opened && <PipelinePeek pipeline={opened} onRun={() => start(opened)} onClose={() => navigate({ search: (s) => ({ ...s, peek: "" }), replace: true })} />}
      />
      {again && <RunSheet again={again} onClose={() => setAgain(undefined)} />}
    </section>
  );
}

function PipelinePeek({ pipeline: p, onRun, onClose }: { pipeline: PipelineCard; onRun: () => void; onClose: () => void }) {
  return (
    <Peek title={p.name} onClose={onClose} footer={<ActButton needs="run-code" variant="filled" leftSection={<IconPlayerPlay size={14} />} onClick={onRun}>Run now</ActButton>}>
      <Facts
        facts={[
          ["Tasks", formatCount(p.stages)],
          ["Runs", formatCount(p.run_count)],
          ["Schedule", p.cron ? <span key="s" className="mono">{p.cron}</span> : "none"],
          !!p.cron_next_us && ["Next", <span key="n" title={formatInstant(p.cron_next_us / 1000)}>{formatIn(p.cron_next_us / 1000)}</span>],
          ["Experiment", p.experiment || MISSING],
          ["Changed", <span key="c" title={formatInstant(fromUs(p.changed_us))}>{formatAgo(fromUs(p.changed_us))}</span>],
        ]}
      />
      <table className="plain">
        <thead><tr><th>Run</th><th>State</th><th className="num">Took</th></tr></thead>
        <tbody>
          {p.runs.slice(0, 10).map((r) => (
            <tr key={r.id}><td><a href={runHref(r)}>#{r.number}</a></td><td><StatusMark status={r.state} label={stateLabel(r.state)} /> <span className="muted small"><Cause cause={r.cause} plain /></span></td><td className="num">{formatElapsed(r.created_us, r.ended_us)}</td></tr>
          ))}
        </tbody>
      </table>
      {p.runs.length === 0 && <p className="muted">Never run. {plural(p.stages, "task")} wait.</p>}
    </Peek>
  );
}
