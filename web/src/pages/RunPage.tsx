// One run: what went in, what came out, the files, and how to do it again.
import { Button, TextInput } from "@mantine/core";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { Artifacts, loggedModelFiles, runFiles, useFolder } from "../components/Artifacts";
import { ChartControls } from "../components/ChartControls";
import { CopyBlock, CopyId } from "../components/CopyId";
import { Sparkline } from "../components/charts/Sparkline";
import { MetricChart } from "../components/MetricChart";
import { PageHead } from "../components/PageHead";
import { Facts } from "../components/Peek";
import { DataGrid } from "../components/DataGrid";
import { Empty, Loaded } from "../components/Problem";
import { StatusMark } from "../components/StatusMark";
import { Tabs } from "../components/Tabs";
import { type MetricAlert, crossedBy } from "../lib/alerts";
import { useApi } from "../lib/api";
import { formatAgo, formatCount, formatDuration, formatInstant, formatMetric, plural, shortId } from "../lib/format";
import { type Curve, type LoggedModel, type MetricSummary, type Pair, type RunDetail, type RunInfo, bestOf, better, runDuration, runHref, runStatus, usePage, versionHref } from "../lib/tracking";
import { durationMs, traceName, useTraces } from "../lib/traces";
import { DatasetsPanel } from "./runs/Datasets";
import { traceColumns, traceHref } from "./Traces";

const route = getRouteApi("/shell/p/$project/runs/$id/{-$tab}");
const TABS = ["overview", "metrics", "artifacts", "traces", "code"] as const;
type TabId = (typeof TABS)[number];

export function RunPage() {
  const { id, tab, project } = route.useParams();
  const query = usePage<RunDetail>(`/runs/${encodeURIComponent(id)}`, {}, { topics: ["run", "logged_model", "model_version"], keep: true });
  const active: TabId = TABS.find((t) => t === tab) ?? "overview";
  return (
    <section className="page">
      <Loaded query={query} what="The run">
        {(data) => {
          const { run, parent } = data;
          return (
            <>
              <PageHead
                kind="Run" title={run.name} note={<><StatusMark status={runStatus(run)} /><CopyId id={run.id} /></>}
                facts={<>
                  <Link to="/p/$project/runs" params={{ project }} search={{ exp: run.experiment }}>{run.experiment_name}</Link>
                  <span title={formatInstant(run.start_ms)}>started {formatAgo(run.start_ms)}</span><span>{formatDuration(runDuration(run))}</span>{run.user && <span>{run.user}</span>}
                  {data.stage && <Link to="/p/$project/pipelines/$name/runs/$run/{-$tab}" params={{ project, name: data.stage.pipeline, run: data.stage.pipeline_run, tab: undefined }}>{data.stage.pipeline} / {data.stage.stage}</Link>}
                  {parent && <a href={runHref(parent.id)}>child of {parent.name}</a>}{run.deleted && <b>archived</b>}
                </>}
              >
                <Button component={Link} {...({ to: "/p/$project/lineage", params: { project }, search: { id: `run:${run.id}` } } as object)}>Lineage</Button>
              </PageHead>
              <Tabs label="Run" active={active} to={(t) => `/p/${encodeURIComponent(project)}/runs/${id}${t === "overview" ? "" : `/${t}`}`} tabs={[
                { id: "overview", label: "Overview" }, { id: "metrics", label: "Metrics", count: data.metrics.length }, { id: "artifacts", label: "Artifacts" }, { id: "traces", label: "Traces" }, { id: "code", label: "Code and reuse" },
              ]} />
              {active === "overview" ? <OverviewTab data={data} /> : active === "metrics" ? <MetricsTab data={data} /> : active === "artifacts" ? <ArtifactsTab data={data} /> : active === "traces" ? <RunTraces run={run} /> : <CodeTab data={data} />}
            </>
          );
        }}
      </Loaded>
    </section>
  );
}

const COLUMNS = { display: "grid", gap: 12, gridTemplateColumns: "repeat(auto-fit, minmax(min(100%, 420px), 1fr))", alignItems: "start" } as const;

function OverviewTab({ data }: { data: RunDetail }) {
  const { run, params, metrics, datasets, models, children, tags, versions } = data;
  const note = tags.find((t) => t.key === "mlflow.note.content")?.value;
  return (
    <div className="page-body" style={COLUMNS}>
      <div className="stack">
        {note && <section className="panel"><header><h2>Note</h2></header><p className="panel-body" style={{ whiteSpace: "pre-wrap" }}>{note}</p></section>}
        <Raised run={run} />
        <Metrics title="Metrics" run={run} metrics={metrics.filter((m) => !isSystem(m))} />
        {metrics.some(isSystem) && <Metrics title="System metrics" run={run} metrics={metrics.filter(isSystem)} />}
        {models.length > 0 && <Models models={models} />}
        <Courses data={data} />
        {versions.length > 0 && <section className="panel"><header><h2>Registered from this run</h2></header><p className="panel-body row wrap">{versions.map((v) => <a key={`${v.name}${v.version}`} href={versionHref(v.name, v.version)}>{v.name} v{v.version}</a>)}</p></section>}
        {children.length > 0 && <Children runs={children} />}
      </div>
      <div className="stack">
        <Pairs title="Parameters" pairs={params} empty="This run logged no parameters." />
        {datasets.length > 0 && <DatasetsPanel datasets={datasets} />}
        <Pairs title="Tags" pairs={tags.filter((t) => !t.key.startsWith("mlflow."))} empty="" />
      </div>
    </div>
  );
}

/** What rules have found in this run; silent while there is nothing. */
function Raised({ run }: { run: RunInfo }) {
  const alerts = useApi<{ alerts: MetricAlert[] }>("/metric-alerts", { run: run.id, experiment: run.experiment }, { topics: ["metric_rule", "run"] }).data?.alerts ?? [];
  if (alerts.length === 0) return null;
  return (
    <section className="panel" aria-label="Alerts">
      <header><h2>Alerts</h2><span className="muted">{formatCount(alerts.length)}</span></header>
      <table className="plain"><tbody>{alerts.map((a) => <tr key={a.rule}><td><StatusMark status="warning" label={a.name} /></td><td>{crossedBy(a)}</td><td className="num muted" title={formatInstant(a.at_ms)}>{formatAgo(a.at_ms)}</td></tr>)}</tbody></table>
    </section>
  );
}

/** The two metrics that say most, as curves; all of them are in the next tab. */
function Courses({ data: { run, metrics } }: { data: RunDetail }) {
  const shown = metrics.filter((m) => !isSystem(m) && m.step > 0).sort((a, b) => Math.abs(better(b.key)) - Math.abs(better(a.key))).slice(0, 2);
  const runs = useMemo(() => [{ id: run.id, name: run.name }], [run.id, run.name]);
  const navigate = route.useNavigate();
  const { range } = route.useSearch();
  if (shown.length === 0) return null;
  return <div style={{ display: "grid", gap: 12, gridTemplateColumns: "repeat(auto-fit, minmax(min(100%, 260px), 1fr))" }}>{shown.map((m) => <MetricChart key={m.key} metric={m.key} runs={runs} x="step" smooth={0} log={false} legend={false} height={170} range={range} onRange={(r) => void navigate({ search: (s) => ({ ...s, range: r }) })} live={run.status === "RUNNING"} />)}</div>;
}

function Pairs({ title, pairs, empty }: { title: string; pairs: readonly Pair[]; empty: string }) {
  const [part, setPart] = useState("");
  if (pairs.length === 0 && !empty) return null;
  const shown = pairs.filter((p) => `${p.key} ${p.value}`.toLowerCase().includes(part.toLowerCase()));
  return (
    <section className="panel">
      <header><h2>{title}</h2><span className="muted">{formatCount(pairs.length)}</span><span className="spacer" />{pairs.length > 8 && <TextInput aria-label={`Find in ${title.toLowerCase()}`} placeholder="Find" w={130} value={part} onChange={(e) => setPart(e.currentTarget.value)} />}</header>
      {pairs.length === 0 ? <p className="panel-body muted">{empty}</p> : (
        <div style={{ maxHeight: 420, overflow: "auto" }}>
          <table className="plain" aria-label={title}><tbody>{shown.map((p) => <tr key={p.key}><td className="muted cut" style={{ maxWidth: 200, width: "40%" }} title={p.key}>{p.key}</td><td className="cut" style={{ maxWidth: 260 }} title={p.value}>{p.value}</td></tr>)}</tbody></table>
        </div>
      )}
    </section>
  );
}

const isSystem = (m: MetricSummary) => m.key.startsWith("system/");
const SPARKS = 40;
function Metrics({ title, run, metrics }: { title: string; run: RunInfo; metrics: readonly MetricSummary[] }) {
  const [part, setPart] = useState("");
  const shown = metrics.filter((m) => m.key.toLowerCase().includes(part.toLowerCase()));
  const keys = shown.slice(0, SPARKS).map((m) => m.key);
  const curves = usePage<{ curves: Curve[] }>("/runs/curves", { run: run.id, key: keys, pixels: "40" }, { enabled: keys.length > 0, keep: true, topics: ["run"] });
  const byKey = useMemo(() => new Map(curves.data?.curves.map((c) => [c.key, c])), [curves.data]);
  return (
    <section className="panel">
      <header><h2>{title}</h2><span className="muted">{formatCount(metrics.length)}</span><span className="spacer" />{metrics.length > 8 && <TextInput aria-label="Find a metric" placeholder="Find" w={130} value={part} onChange={(e) => setPart(e.currentTarget.value)} />}</header>
      {metrics.length === 0 ? <p className="panel-body muted">This run logged no metrics.</p> : (
        <div style={{ maxHeight: 520, overflow: "auto" }}>
          <table className="plain" aria-label={title}>
            <thead><tr><th>Metric</th><th>Course</th><th className="num">Last</th><th className="num" title="The highest or the lowest it ever was, by what the name says is better">Best</th><th className="num">Step</th></tr></thead>
            <tbody>
              {shown.map((m) => {
                const curve = byKey.get(m.key);
                return (
                  <tr key={m.key}>
                    <td className="cut" style={{ maxWidth: 200 }} title={m.key}>{m.key.replace(/^system\//, "")}</td>
                    <td>{curve && curve.value.length > 1 ? <Sparkline values={curve.value} label={m.key} /> : <span className="muted small">one value</span>}</td>
                    <td className="num" title={String(m.last)}>{formatMetric(m.last)}</td>
                    <td className="num" title={bestOf(m) === null ? `lowest ${m.min ?? "–"}, highest ${m.max ?? "–"}` : `${better(m.key) > 0 ? "highest" : "lowest"} ${bestOf(m)}`}>{formatMetric(bestOf(m))}</td>
                    <td className="num muted">{formatCount(m.step)}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Models({ models }: { models: readonly LoggedModel[] }) {
  return (
    <section className="panel">
      <header><h2>Logged models</h2><span className="muted">{formatCount(models.length)}</span></header>
      <table className="plain">
        <tbody>
          {models.map((m) => (
            <tr key={m.id}>
              <td><b>{m.name}</b></td>
              <td><StatusMark status={m.status === "LOGGED_MODEL_READY" ? "finished" : m.status === "LOGGED_MODEL_PENDING" ? "running" : "failed"} label={m.status.replace("LOGGED_MODEL_", "").toLowerCase()} /></td>
              <td>{m.versions.length ? m.versions.map((v) => <a key={`${v.name}${v.version}`} href={versionHref(v.name, v.version)}>{v.name} v{v.version}</a>) : <span className="muted">not registered</span>}</td>
              <td className="num"><CopyId id={m.id} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Children({ runs }: { runs: readonly RunInfo[] }) {
  return (
    <section className="panel">
      <header><h2>Child runs</h2><span className="muted">{formatCount(runs.length)}</span></header>
      <div style={{ maxHeight: 300, overflow: "auto" }}>
        <table className="plain"><tbody>{runs.map((r) => <tr key={r.id}><td><a className="quiet" href={runHref(r.id)}>{r.name}</a></td><td><StatusMark status={runStatus(r)} /></td><td className="num">{formatDuration(runDuration(r))}</td><td className="num muted" title={formatInstant(r.start_ms)}>{formatAgo(r.start_ms)}</td></tr>)}</tbody></table>
      </div>
    </section>
  );
}

function MetricsTab({ data }: { data: RunDetail }) {
  const { x, smooth, log, logx, range, q } = route.useSearch();
  const navigate = route.useNavigate();
  const set = (change: object, replace = false) => void navigate({ search: (s) => ({ ...s, ...change }), replace });
  const shown = data.metrics.filter((m) => m.key.toLowerCase().includes(q.toLowerCase()));
  const runs = useMemo(() => [{ id: data.run.id, name: data.run.name }], [data.run.id, data.run.name]);
  return (
    <div className="page-body">
      <div className="row wrap" style={{ marginBottom: 12, gap: 14 }}>
        <TextInput aria-label="Find a metric" placeholder="Find a metric" w={200} value={q} onChange={(e) => set({ q: e.currentTarget.value }, true)} />
        <ChartControls x={x} smooth={smooth} log={log} logx={logx} onChange={set} />
        <span className="spacer" /><span className="muted small">{shown.length === data.metrics.length ? plural(shown.length, "metric") : `${shown.length} of ${plural(data.metrics.length, "metric")}`}. Drag to zoom, double-click for the whole.</span>
      </div>
      {shown.length === 0 ? <p className="muted">{data.metrics.length ? "No metric has this name." : "This run logged no metrics."}</p> : (
        <div style={{ display: "grid", gap: 12, gridTemplateColumns: "repeat(auto-fill, minmax(min(100%, 420px), 1fr))" }}>
          {shown.map((m) => <MetricChart key={m.key} metric={m.key} runs={runs} x={x} smooth={smooth} log={log} logx={logx} range={range} onRange={(r) => set({ range: r })} live={data.run.status === "RUNNING"} />)}
        </div>
      )}
    </div>
  );
}

function ArtifactsTab({ data }: { data: RunDetail }) {
  const { path } = route.useSearch();
  const navigate = route.useNavigate();
  const own = useFolder(useMemo(() => runFiles(data.run.id), [data.run.id]), "");
  // Most runs keep nothing but their model: then that is what is shown first.
  const only = path === "" && own.data?.length === 0 ? data.models[0]?.id : undefined;
  const [model, file] = /^(m-[0-9a-f]+):(.*)$/.exec(only ? `${only}:` : path)?.slice(1) ?? ["", path];
  const set = (next: string) => void navigate({ search: (s) => ({ ...s, path: next }) });
  const source = useMemo(() => (model ? loggedModelFiles(model) : runFiles(data.run.id)), [model, data.run.id]);
  return (
    <div className="page-body" style={{ display: "flex", flexDirection: "column", gap: 10 }}>
      {data.models.length > 0 && (
        <div className="row wrap">
          <Button variant={model ? "default" : "light"} disabled={own.data?.length === 0} onClick={() => set("")}>Run's files</Button>
          {data.models.map((m) => <Button key={m.id} variant={model === m.id ? "light" : "default"} onClick={() => set(`${m.id}:`)}>Model {m.name}</Button>)}
        </div>
      )}
      <div style={{ flex: 1, minHeight: 0 }}><Artifacts key={source.key} source={source} path={file ?? ""} onPath={(p) => set(model ? `${model}:${p}` : p)} empty={data.models.length ? "The run logged no files beside its models; they are one click above." : "Log one with mlflow.log_artifact(\"plot.png\")."} /></div>
    </div>
  );
}

/** What the application was asked while this run was open. */
function RunTraces({ run }: { run: RunDetail["run"] }) {
  const { project } = route.useParams();
  const list = useTraces(useMemo(() => [run.experiment], [run.experiment]), `trace.run_id = '${run.id}'`, "timestamp_ms DESC");
  const most = Math.max(1, ...list.loaded.map((t) => durationMs(t) ?? 0));
  const columns = useMemo(() => traceColumns(most), [most]);
  return <DataGrid label="Traces of the run" columns={columns} rows={list} id={(t) => t.trace_id} href={(t) => traceHref(project, t.trace_id)} name={traceName} empty={<Empty title="No traces">Calls that are traced while a run is open belong to it: decorate a function with @mlflow.trace, or switch on mlflow.autolog for the library you use.</Empty>} />;
}

function CodeTab({ data: { run, tags, stage, models, params } }: { data: RunDetail }) {
  const tag = (key: string) => tags.find((t) => t.key === key)?.value;
  const commit = tag("mlflow.source.git.commit");
  const source = tag("mlflow.source.name");
  const model = models[0];
  const again = stage
    ? `lathe run ${stage.pipeline} --force   # the whole graph; this run was its stage ${stage.stage}`
    : [commit && `git checkout ${commit}`, `export MLFLOW_TRACKING_URI=${location.origin}`, `export MLFLOW_EXPERIMENT_ID=${run.experiment}`, source ? `python ${source}` : "python your_script.py"].filter(Boolean).join("\n");
  return (
    <div className="page-body" style={COLUMNS}>
      <div className="stack">
        <section className="panel"><header><h2>How to reproduce it</h2></header><div className="panel-body stack"><CopyBlock text={again} />{params.length > 0 && !stage && <p className="muted small">With {params.slice(0, 6).map((p) => `${p.key}=${p.value}`).join(", ")}{params.length > 6 ? " …" : ""}.</p>}</div></section>
        <section className="panel">
          <header><h2>How to load what it made</h2></header>
          <div className="panel-body stack">
            {model ? <CopyBlock text={`import mlflow\nmlflow.set_tracking_uri("${location.origin}")\nmodel = mlflow.pyfunc.load_model("models:/${model.id}")\nmodel.predict(rows)`} /> : <p className="muted">It logged no model.</p>}
            <CopyBlock text={`mlflow.artifacts.download_artifacts(run_id="${run.id}", dst_path=".")`} />
            <CopyBlock text={`curl -s '${location.origin}/api/2.0/mlflow/runs/get?run_id=${run.id}'`} />
          </div>
        </section>
      </div>
      <section className="panel">
        <header><h2>Where the code was</h2></header>
        <div className="panel-body">
          <Facts facts={[
            ["Source", source ? <span key="s" className="mono">{source}</span> : null], ["Entry point", tag("mlflow.project.entryPoint") ?? null], ["Commit", commit ? <CopyId key="c" id={commit} /> : null],
            ["Branch", tag("mlflow.source.git.branch") ?? null], ["Repository", tag("mlflow.source.git.repoURL") ?? null], stage ? ["Bundle", <CopyId key="b" id={stage.bundle} />] : null,
            stage ? ["Attempt", <CopyId key="a" id={stage.attempt} />] : null, ["User", run.user || null], ["Artifacts at", <span key="u" className="mono">{run.artifact_uri}</span>], ["Run", <span key="r" className="mono">{shortId(run.id)}</span>],
          ]} />
        </div>
      </section>
    </div>
  );
}
