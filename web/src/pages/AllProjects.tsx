// All projects that one may see: what each holds, and one filter over the runs of all of them.
import { getRouteApi, Link } from "@tanstack/react-router";
import { useQueries } from "@tanstack/react-query";
import { useMemo } from "react";
import { type Column, DataGrid } from "../components/DataGrid";
import { FilterBar, SearchInput } from "../components/FilterBar";
import { PageHead } from "../components/PageHead";
import { Empty } from "../components/Problem";
import { StatusMark } from "../components/StatusMark";
import { type ApiError, ask, currentProject } from "../lib/api";
import { columnLabel } from "../lib/columns";
import { formatAgo, formatCount, formatDuration, formatInstant, formatMetric, plural } from "../lib/format";
import { useMe } from "../lib/me";
import { useArrayRows } from "../lib/rows";
import { type Experiment, type ModelSummary, type RunRow, type RunWindow, readColumn, runDuration, runStatus, withQuery } from "../lib/tracking";

const route = getRouteApi("/shell/projects");
const MOST_PROJECTS = 50;
const EACH = 100; // runs taken of each project
const COLUMNS = 5;

interface Found { project: string; run: RunRow; values: Map<string, RunRow["cells"][number]> }
const href = (r: Found): string => `/p/${encodeURIComponent(r.project)}/runs/${r.run.id}`;
/** Asks another project than the one the page stands in; the server decides what may be seen. */
const askProject = async <T,>(project: string, path: string, signal: AbortSignal): Promise<T> => (await (await ask(path, { signal, headers: { "x-lathe-project": project } })).json()) as T;

export function AllProjects() {
  const { q } = route.useSearch();
  const navigate = route.useNavigate();
  const me = useMe(currentProject());
  const projects = (me.data?.projects ?? []).slice(0, MOST_PROJECTS);
  return (
    <section className="page">
      <PageHead title="All projects" note={me.data ? formatCount(me.data.projects.length) : undefined} />
      <FilterBar>
        <SearchInput label="Filter the runs of all projects" placeholder="metrics.accuracy > 0.9 AND params.model = 'svm'" width="min(100%, 620px)" mono value={q} onChange={(v) => void navigate({ search: (s) => ({ ...s, q: v }), replace: true })} />
        {(me.data?.projects.length ?? 0) > MOST_PROJECTS && <span className="muted small">the first {MOST_PROJECTS} of {me.data?.projects.length}</span>}
      </FilterBar>
      {q ? <RunsOfAll projects={projects} q={q} /> : <ProjectTable projects={projects} />}
    </section>
  );
}

function ProjectTable({ projects }: { projects: readonly string[] }) {
  const answers = useQueries({
    queries: projects.map((p) => ({
      queryKey: [p, "all-projects", "summary"],
      queryFn: async ({ signal }: { signal: AbortSignal }) => ({
        experiments: (await askProject<{ experiments: Experiment[] }>(p, "/pages/experiments", signal)).experiments,
        models: (await askProject<{ models: ModelSummary[]; next?: string }>(p, "/pages/models?limit=500", signal)).models,
      }),
    })),
  });
  return (
    <div className="page-fill"><div style={{ flex: 1, overflow: "auto" }}>
      <table className="plain" aria-label="Projects">
        <thead><tr><th>Project</th><th className="num">Experiments</th><th className="num">Runs</th><th className="num">Newest run</th><th className="num">Models</th><th>Serves</th></tr></thead>
        <tbody>
          {projects.map((p, i) => {
            const a = answers[i];
            const runs = a?.data?.experiments.reduce((n, e) => n + e.runs, 0);
            const newest = a?.data?.experiments.reduce((n, e) => Math.max(n, e.newest_ms ?? 0), 0);
            const serving = a?.data?.models.flatMap((m) => m.deployed.filter((d) => d.live).map((d) => `${d.endpoint} v${d.version}`)) ?? [];
            return (
              <tr key={p}>
                <td><Link className="quiet" to="/p/$project" params={{ project: p }}>{p}</Link></td>
                {a?.isError ? <td colSpan={5} className="muted">{(a.error as ApiError).message}</td> : <>
                  <td className="num">{a?.data ? formatCount(a.data.experiments.length) : ""}</td>
                  <td className="num">{a?.data ? <Link to="/p/$project/runs" params={{ project: p }}>{formatCount(runs)}</Link> : ""}</td>
                  <td className="num muted" title={formatInstant(newest)}>{a?.data ? formatAgo(newest) : ""}</td>
                  <td className="num">{a?.data ? <Link to="/p/$project/models" params={{ project: p }}>{formatCount(a.data.models.length)}</Link> : ""}</td>
                  <td>{serving.slice(0, 4).map((s) => <span key={s} className="tag" style={{ marginRight: 4 }}>{s}</span>)}{serving.length > 4 && <span className="muted">+{serving.length - 4}</span>}{a?.data && serving.length === 0 && <span className="muted">–</span>}</td>
                </>}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div></div>
  );
}

function RunsOfAll({ projects, q }: { projects: readonly string[]; q: string }) {
  const answers = useQueries({
    queries: projects.map((p) => ({ queryKey: [p, "all-projects", "runs", q], queryFn: ({ signal }: { signal: AbortSignal }) => askProject<RunWindow>(p, withQuery("/pages/runs", { q, limit: EACH }), signal), retry: false })),
    combine: (all) => ({ windows: all.map((a) => a.data), error: (all.find((a) => a.isError)?.error ?? null) as ApiError | null, busy: all.some((a) => a.isPending), more: all.filter((a) => a.data?.next).length, retry: () => { for (const a of all) void a.refetch(); } }),
  });
  const { windows } = answers;
  const columns = useMemo(() => [...new Set(windows.flatMap((w) => w?.columns ?? []))].slice(0, COLUMNS), [windows]);
  const rows = useMemo(() => windows.flatMap((w, i) => (w?.rows ?? []).map((run): Found => ({ project: projects[i] ?? "", run, values: new Map(w?.columns.map((c, k) => [c, run.cells[k] ?? null])) }))).sort((a, b) => b.run.start_ms - a.run.start_ms), [windows, projects]);
  const grid = useArrayRows(answers.busy && rows.length === 0 ? undefined : rows, { error: rows.length ? null : answers.error, retry: answers.retry });
  const shown = useMemo((): Column<Found>[] => [
    { key: "project", label: "Project", width: "minmax(90px, 0.6fr)", cell: (r) => r.project, raw: (r) => r.project },
    { key: "name", label: "Run", width: "minmax(150px, 1.4fr)", cell: (r) => <a href={href(r)} tabIndex={-1}>{r.run.name}</a>, title: (r) => r.run.name, raw: (r) => r.run.name },
    { key: "status", label: "Status", width: "88px", cell: (r) => <StatusMark status={runStatus(r.run)} />, raw: (r) => r.run.status },
    ...columns.map((c): Column<Found> => { const metric = readColumn(c)?.kind === "metric"; return { key: c, label: columnLabel(c), width: metric ? "84px" : "minmax(68px, 0.6fr)", right: metric, cell: (r) => { const v = r.values.get(c); return v === null || v === undefined ? <span className="muted">–</span> : metric ? formatMetric(v) : String(v); }, raw: (r) => String(r.values.get(c) ?? "") }; }),
    { key: "duration", label: "Duration", width: "80px", right: true, cell: (r) => formatDuration(runDuration(r.run)), raw: (r) => String(runDuration(r.run) ?? "") },
    { key: "start", label: "Started", width: "80px", right: true, cell: (r) => <span className="muted">{formatAgo(r.run.start_ms)}</span>, title: (r) => formatInstant(r.run.start_ms), raw: (r) => formatInstant(r.run.start_ms) },
  ], [columns]);
  return (
    <>
      <DataGrid label="Runs of all projects" columns={shown} rows={grid} id={(r) => `${r.project}/${r.run.id}`} href={href} name={(r) => r.run.name} empty={<Empty title="No run matches">The filter is {q}.</Empty>} />
      <p className="muted small" style={{ padding: "4px 14px" }}>{plural(rows.length, "run")} of {plural(projects.length, "project")}, the newest first{answers.more > 0 && `; ${EACH} of each project at most`}.</p>
    </>
  );
}
