// Runs side by side: what differs first. Metrics with the best marked and the distance to the pinned run, parameters that
// differ, and the curves over one another.
import { ActionIcon, Button, Select, Switch, Tooltip } from "@mantine/core";
import { IconPin, IconPinFilled, IconX } from "@tabler/icons-react";
import { getRouteApi, Link } from "@tanstack/react-router";
import { type ReactNode, useMemo } from "react";
import { ChartControls } from "../components/ChartControls";
import { MetricChart } from "../components/MetricChart";
import { PageHead } from "../components/PageHead";
import { Empty, Loaded } from "../components/Problem";
import { StatusMark } from "../components/StatusMark";
import { useAction } from "../lib/actions";
import { formatDuration, formatMetric, numberOf, plural } from "../lib/format";
import { namesOf, namesText } from "../lib/columns";
import { listOf, listText } from "../lib/search";
import { type ComparedRun, type Experiment, type MetricSummary, better, runColor, runDuration, runHref, runStatus, signed, usePage } from "../lib/tracking";
import { SideBySide } from "./runs/SideBySide";
import classes from "./Compare.module.css";

const route = getRouteApi("/shell/p/$project/runs/compare");

export function Compare() {
  const search = route.useSearch();
  const { project } = route.useParams();
  const ids = listOf(search.ids);
  const query = usePage<{ runs: ComparedRun[] }>("/runs/compare", { id: ids }, { topics: ["run"], keep: true, enabled: ids.length > 0 });
  return (
    <section className="page">
      {ids.length === 0 ? (
        <><PageHead title="Compare runs" /><Empty title="No runs are chosen">Select some in the list with x, then press C. <Link to="/p/$project/runs" params={{ project }}>To the runs</Link></Empty></>
      ) : <Loaded query={query} what="The comparison">{(data) => <Body runs={data.runs} asked={ids.length} />}</Loaded>}
    </section>
  );
}

function Body({ runs, asked }: { runs: ComparedRun[]; asked: number }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { project } = route.useParams();
  const set = (change: Partial<typeof search>, replace = false) => void navigate({ search: (s) => ({ ...s, ...change }), replace });
  const base = runs.find((r) => r.id === search.base) ?? runs[0];
  const params = useMemo(() => table(runs, (r) => r.params.map((p) => [p.key, p.value])), [runs]);
  const metricKeys = useMemo(() => [...new Set(runs.flatMap((r) => r.metrics.map((m) => m.key)))].filter((k) => !k.startsWith("system/")).sort((a, b) => Math.abs(better(b)) - Math.abs(better(a)) || a.localeCompare(b)), [runs]);
  const tags = useMemo(() => table(runs, (r) => r.tags.filter((t) => !HIDDEN_TAGS.test(t.key)).map((t) => [TAG_NAMES[t.key] ?? t.key, t.value])).filter((t) => t.differs), [runs]);
  const experiments = usePage<{ experiments: Experiment[] }>("/experiments", {}, { topics: ["experiment"], enabled: new Set(runs.map((r) => r.experiment)).size > 1 });
  const experimentName = (id: string) => experiments.data?.experiments.find((e) => e.id === id)?.name ?? id;
  const differ = params.filter((p) => p.differs);
  const same = params.filter((p) => !p.differs);
  const drawn = useMemo(() => runs.map((r) => ({ id: r.id, name: r.name })), [runs]);
  const chosen = namesOf(search.metrics);
  // A course says more than one value: metrics with several steps come first.
  const charts = useMemo(() => (chosen.length ? chosen : [...metricKeys].sort((a, b) => Number(hasCourse(runs, b)) - Number(hasCourse(runs, a))).slice(0, 2)), [chosen, metricKeys, runs]);
  const put = (next: readonly string[]) => set({ metrics: namesText(next) });
  useAction({ id: "equal", label: search.all ? "Hide what is equal" : "Show what is equal", keys: "e", group: "Here", run: () => set({ all: !search.all }) });
  if (runs.length === 0) return <><PageHead title="Compare runs" /><Empty title="None of these runs exists">They may have been deleted for good. <Link to="/p/$project/runs" params={{ project }}>To the runs</Link></Empty></>;
  const without = (id: string) => set({ ids: listText(runs.map((r) => r.id).filter((i) => i !== id)), base: search.base === id ? "" : search.base });
  return (
    <>
      <PageHead title={`Compare ${plural(runs.length, "run")}`} note={asked > runs.length ? `${asked - runs.length} of those asked for do not exist` : undefined}>
        <Switch label={`Equal parameters (${same.length})`} checked={search.all} onChange={(e) => set({ all: e.currentTarget.checked })} />
      </PageHead>
      <div className="page-body stack">
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys */}
        <section className={`panel ${classes.scroll}`} tabIndex={0} aria-label="Runs side by side">
          <table className={classes.table}>
            <thead>
              <tr>
                <th scope="col"><span className="hidden">Value</span></th>
                {runs.map((r) => (
                  <th key={r.id} scope="col" data-base={r === base || undefined}>
                    <span className="row" style={{ gap: 6 }}>
                      <i className={classes.swatch} style={{ background: `var(${runColor(r.id)})` }} />
                      <a className="quiet cut" href={runHref(r.id)} title={r.name}>{r.name}</a>
                      <Tooltip label={r === base ? "The others are compared with this one" : "Compare the others with this one"}><ActionIcon size={24} aria-label={`Compare with ${r.name}`} aria-pressed={r === base} onClick={() => set({ base: r.id })}>{r === base ? <IconPinFilled size={14} /> : <IconPin size={14} />}</ActionIcon></Tooltip>
                      {runs.length > 1 && <ActionIcon size={24} aria-label={`Leave ${r.name} out`} onClick={() => without(r.id)}><IconX size={14} /></ActionIcon>}
                    </span>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {experiments.data && <Line head="Experiment" cells={runs.map((r) => <span key={r.id} title={experimentName(r.experiment)}>{experimentName(r.experiment)}</span>)} />}
              <Line head="Status" cells={runs.map((r) => <StatusMark key={r.id} status={runStatus(r)} />)} />
              <Line head="Duration" cells={runs.map((r) => formatDuration(runDuration(r)))} />
              <Section title="Metrics" span={runs.length} note="last value; ★ is the best, ▲ ▼ the distance to the pinned run" />
              {metricKeys.map((key) => <MetricLine key={key} metric={key} runs={runs} base={base} />)}
              {metricKeys.length === 0 && <Note span={runs.length}>None of these runs logged a metric.</Note>}
              <Section title={`Parameters that differ (${differ.length})`} span={runs.length} />
              {differ.map((p) => <Line key={p.key} head={p.key} cells={p.values.map((v, i) => (v === undefined ? <span key={runs[i]?.id} className="muted">–</span> : <span key={runs[i]?.id} data-other={v !== p.values[runs.indexOf(base as ComparedRun)] || undefined} title={v}>{v}</span>))} />)}
              {differ.length === 0 && <Note span={runs.length}>All parameters are equal.</Note>}
              {search.all && same.length > 0 && <><Section title={`Equal parameters (${same.length})`} span={runs.length} />{same.map((p) => <Line key={p.key} head={p.key} cells={p.values.map((v) => <span key={p.key} className="muted" title={v}>{v}</span>)} />)}</>}
              {tags.length > 0 && <><Section title={`Code and tags that differ (${tags.length})`} span={runs.length} />{tags.map((t) => <Line key={t.key} head={t.key} cells={t.values.map((v, i) => <span key={runs[i]?.id} className={v === undefined ? "muted" : undefined} data-other={v !== t.values[runs.indexOf(base as ComparedRun)] || undefined} title={v}>{v === undefined ? "–" : t.key === "commit" ? v.slice(0, 8) : v}</span>)} />)}</>}
              {runs.some((r) => r.datasets.length > 0) && <Section title="Data" span={runs.length} />}
              {runs.some((r) => r.datasets.length > 0) && <Line head="Logged as input" cells={runs.map((r) => <span key={r.id} className="mono">{r.datasets.map((d) => `${d.name}@${d.digest.slice(0, 8)}`).join(", ") || "–"}</span>)} />}
            </tbody>
          </table>
        </section>
        {metricKeys.length > 0 && (
          <>
            <div className="row wrap" style={{ gap: 14 }}>
              <Select aria-label="Add a chart" placeholder="Add a metric" searchable w={180} value={null} data={metricKeys.filter((k) => !charts.includes(k))} onChange={(m) => m && put([...charts, m])} />
              <ChartControls x={search.x} smooth={search.smooth} log={search.log} logx={search.logx} onChange={set} />
            </div>
            <div style={{ display: "grid", gap: 12, gridTemplateColumns: "repeat(auto-fill, minmax(min(100%, 460px), 1fr))" }}>
              {charts.map((m) => <MetricChart key={m} metric={m} runs={drawn} x={search.x} smooth={search.smooth} log={search.log} logx={search.logx} legend={false} range={search.range} onRange={(r) => set({ range: r })} onRemove={charts.length > 1 ? () => put(charts.filter((o) => o !== m)) : undefined} />)}
            </div>
          </>
        )}
        <SideBySide runs={runs} path={search.path} onPath={(path) => set({ path })} />
        <p><Button component={Link} {...({ to: "/p/$project/runs", params: { project } } as object)}>To the runs</Button></p>
      </div>
    </>
  );
}

const hasCourse = (runs: readonly ComparedRun[], key: string): boolean => runs.some((r) => r.metrics.some((m) => m.key === key && (m.step > 0 || (m.min !== null && m.min !== m.max))));
const TAG_NAMES: Record<string, string> = { "mlflow.source.git.commit": "commit", "mlflow.source.git.branch": "branch", "mlflow.source.name": "source", "mlflow.user": "user" };
const HIDDEN_TAGS = /^(mlflow\.(?!source\.(git\.(commit|branch)|name)$|user$)|lathe\.)/;

interface Compared { key: string; values: (string | undefined)[]; differs: boolean }
function table(runs: readonly ComparedRun[], pairs: (run: ComparedRun) => [string, string][]): Compared[] {
  const maps = runs.map((r) => new Map(pairs(r)));
  const keys = [...new Set(maps.flatMap((m) => [...m.keys()]))].sort();
  return keys.map((key) => {
    const values = maps.map((m) => m.get(key));
    return { key, values, differs: new Set(values).size > 1 };
  });
}

const Line = ({ head, cells }: { head: ReactNode; cells: readonly ReactNode[] }) => <tr><th scope="row"><span className="cut" title={typeof head === "string" ? head : undefined}>{head}</span></th>{cells.map((c, i) => <td key={`c${i.toString()}`}>{c}</td>)}</tr>;
const Section = ({ title, span, note }: { title: string; span: number; note?: string }) => <tr className={classes.section}><th scope="rowgroup" colSpan={span + 1}><span>{title} {note && <span className="muted">{note}</span>}</span></th></tr>;
const Note = ({ span, children }: { span: number; children: ReactNode }) => <tr><td colSpan={span + 1} className="muted">{children}</td></tr>;

function MetricLine({ metric, runs, base }: { metric: string; runs: readonly ComparedRun[]; base?: ComparedRun }) {
  const of = (r?: ComparedRun): MetricSummary | undefined => r?.metrics.find((m) => m.key === metric);
  const way = better(metric);
  const values = runs.map((r) => numberOf(of(r)?.last ?? null));
  const known = values.filter((v): v is number => v !== null && !Number.isNaN(v));
  const best = way === 0 || known.length < 2 ? null : way > 0 ? Math.max(...known) : Math.min(...known);
  const pinned = numberOf(of(base)?.last ?? null);
  return (
    <Line head={<span title={way === 0 ? metric : `${metric}: ${way > 0 ? "higher" : "lower"} is better`}>{metric}{way !== 0 && <span className="muted"> {way > 0 ? "↑" : "↓"}</span>}</span>} cells={runs.map((r, i) => {
      const v = values[i] ?? null;
      const d = v !== null && pinned !== null && r !== base ? v - pinned : null;
      return (
        <span key={r.id} className={classes.value}>
          <span data-best={(v !== null && v === best) || undefined} title={v === null ? undefined : String(v)}>{formatMetric(v)}{v !== null && v === best && <span role="img" aria-label="best"> ★</span>}</span>
          {d !== null && d !== 0 && <span className="muted small" data-better={way === 0 ? undefined : d * way > 0}>{d > 0 ? "▲" : "▼"} {signed(d)}</span>}
        </span>
      );
    })} />
  );
}
