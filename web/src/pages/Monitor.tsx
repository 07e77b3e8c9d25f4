// One monitor: healthy or not, in a sentence with numbers; drift per feature over windows; one feature beside its baseline;
// accuracy from labels; alerts with what they started.
import { Select } from "@mantine/core";
import { Link, getRouteApi, useRouter } from "@tanstack/react-router";
import { useMemo } from "react";
import { type ChartMark, LineChart } from "../components/LineChart";
import { PageHead } from "../components/PageHead";
import { Empty, Loaded } from "../components/Problem";
import { RangePicker } from "../components/RangePicker";
import { StatusMark } from "../components/StatusMark";
import { Heat } from "../components/charts/Heat";
import { useAction } from "../lib/actions";
import { useApi } from "../lib/api";
import { formatAgo, formatClock, formatCount, formatDurationUs, formatInstant, formatMetric, formatPercent, fromUs, plural } from "../lib/format";
import { joined } from "../lib/marks";
import { placeOf } from "../lib/places";
import { readInstant } from "../lib/search";
import { WORDS } from "../lib/words";
import { Alerts } from "./monitors/Alerts";
import { FeatureView } from "./monitors/FeatureView";
import classes from "./monitors/monitors.module.css";
import type { Feature, MonitorPage, Window } from "./monitors/types";

const route = getRouteApi("/shell/p/$project/monitors/$name");

export function Monitor() {
  const { project, name } = route.useParams();
  const { from, to } = route.useSearch();
  // The range is read once per address: windows come by events, and a relative range only says how far back to look.
  const range = useMemo(() => {
    const now = Date.now();
    return { from_us: Math.round((readInstant(from, now) ?? now - 86_400_000) * 1000), to_us: to === "now" ? undefined : Math.round((readInstant(to, now) ?? now) * 1000) };
  }, [from, to]);
  const query = useApi<MonitorPage>(`/pages/monitors/${encodeURIComponent(name)}`, { ...range, windows: 80, features: 100 }, { topics: ["monitor", "window", "alert", "feedback", "endpoint", "pipeline_run", "verdict"], keep: true });
  const m = query.data;
  return (
    <section className="page">
      <PageHead
        title={name} kind="Monitor" note={m && <Health page={m} />}
        facts={m && (
          <>
            <span title={WORDS.window}>windows of {m.spec.window_rows ? plural(m.spec.window_rows, "row") : formatDurationUs(m.spec.window_us)}</span>
            <span>{plural(m.labels, "label")}{!m.spec.labels_from_feedback && " (not used)"}</span>
            <span title={WORDS.baseline}>{m.baseline ? <>baseline of <Link to={placeOf(project, "revision", `${name}/${m.live_revision}`) as "/"}>revision {m.live_revision}</Link>, {formatAgo(fromUs(m.baseline.set_us))}</> : "no baseline yet"}</span>
            <span title="An alert needs this many drifted windows in a row">alert after {m.spec.consecutive} in a row</span>
            <Link to={placeOf(project, "endpoint", name) as "/"}>Endpoint</Link>
          </>
        )}
      />
      <Loaded query={query} what="The monitor">{(page) => <Page page={page} />}</Loaded>
    </section>
  );
}

function Health({ page }: { page: MonitorPage }) {
  const open = page.alerts.filter((a) => a.ended_us === 0);
  if (open.length) return <StatusMark status="drifted" label={plural(open.length, "open alert")} />;
  const newest = page.windows.at(-1);
  if (!newest) return <StatusMark status="idle" label="No window yet" />;
  return newest.drifted || newest.bad_quality ? <StatusMark status="warning" label="Drifted once" /> : <StatusMark status="healthy" />;
}

/** "2 of 64 features drifted: p42 PSI 0.41 past 0.25, in window 17 since 14:05." */
function sentence(page: MonitorPage): { state: string; text: string } {
  const at = page.windows.findLastIndex((w) => w.judged);
  const newest = page.windows[at];
  if (!newest) return { state: "idle", text: page.windows.length ? "Windows are recorded, but none was judged: there is no baseline, or they are too small." : `No window has closed in this time. The next closes after ${page.spec.window_rows ? plural(page.spec.window_rows, "row") : formatDurationUs(page.spec.window_us)} of traffic.` };
  const moved = page.features.filter((f) => ((f.flags[at] ?? 0) & 1) === 1).toSorted((a, b) => (b.psi[at] ?? 0) - (a.psi[at] ?? 0));
  const bad = page.features.filter((f) => (f.flags[at] ?? 0) >= 2);
  if (!newest.drifted && !newest.bad_quality) return { state: "healthy", text: `Healthy: window ${newest.number} is like the baseline. ${moved.length ? `${moved.length} of ${page.feature_count} features moved, too few for drift.` : `None of ${page.feature_count} features moved.`}` };
  const first = newest.drifted ? firstOf(page.windows, at, (w) => w.drifted) : newest;
  const most = moved[0];
  const parts: string[] = [];
  if (newest.drifted) {
    const past = most && (most.psi[at] ?? 0) >= page.spec.psi_threshold ? ` past ${page.spec.psi_threshold}` : "";
    parts.push(most
      ? `${moved.length} of ${page.feature_count} features drifted, most ${most.name} with PSI ${formatMetric(most.psi[at])}${past}`
      : `${formatPercent(newest.drifted_share, 0)} of the features moved together, each a little`);
  }
  if (newest.bad_quality) parts.push(`rows of bad quality in ${bad.slice(0, 3).map((f) => f.name).join(", ") || "some features"}`);
  return { state: "drifted", text: `${parts.join("; ")}; since ${formatClock(first.first_us / 1000)} (window ${first.number}).` };
}
function firstOf(windows: readonly Window[], from: number, is: (w: Window) => boolean): Window {
  let at = from;
  while (at > 0 && is(windows[at - 1] as Window)) at--;
  return windows[at] as Window;
}

function Page({ page }: { page: MonitorPage }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const router = useRouter();
  const { project } = route.useParams();
  const health = sentence(page);
  const chosen = page.features.find((f) => f.name === search.feature) ?? page.features[0];
  const set = (part: Partial<typeof search>, replace = true) => navigate({ search: (s) => ({ ...s, ...part }), replace });
  const at = page.features.findIndex((f) => f.name === chosen?.name);
  const step = (by: number) => { const next = page.features[Math.min(Math.max(at + by, 0), page.features.length - 1)]; if (next) set({ feature: next.name }); };
  useAction(page.features.length ? { id: "feature-next", label: "The next feature", keys: "j", group: "Here", run: () => step(1) } : null);
  useAction(page.features.length ? { id: "feature-before", label: "The feature before", keys: "k", group: "Here", run: () => step(-1) } : null);
  const newestAlert = page.alerts[0];
  useAction(newestAlert ? { id: "alert-lineage", label: "What the newest alert came from and started", keys: "a", group: "Here", run: () => router.history.push(placeOf(project, "lineage", newestAlert.id)) } : null);
  return (
    <div className={classes.body}>
      <div className={classes.health} data-state={health.state} role="status"><b>{health.text}</b><span className="spacer" /><RangePicker from={search.from} to={search.to} fallback="now-24h" onChange={(r) => set(r, false)} /></div>
      {page.windows.length === 0 ? <Empty title="No window in this time">Choose a longer time, or wait for traffic: a window closes after {page.spec.window_rows ? plural(page.spec.window_rows, "row") : formatDurationUs(page.spec.window_us)}.</Empty> : (
        <>
          <div className={classes.upper}>
            <DriftMap page={page} chosen={chosen} window={search.window} onChoose={(feature, window) => set({ feature, window })} />
            <FeatureView page={page} feature={chosen?.name} window={search.window} onWindow={(window) => set({ window })} />
          </div>
          <div className={classes.charts}><AccuracyChart page={page} /><ShareChart page={page} /></div>
        </>
      )}
      <Alerts page={page} chosen={search.alert} onChoose={(alert) => set({ alert })} />
    </div>
  );
}

function DriftMap({ page, chosen, window, onChoose }: { page: MonitorPage; chosen?: Feature; window: string; onChoose: (feature: string, window: string) => void }) {
  const columns = page.windows.map((w) => ({ id: w.id, label: String(w.number), title: `window ${w.number}, ${formatInstant(w.last_us / 1000).slice(0, 19)}${w.drifted ? ", drifted" : ""}` }));
  const [first, last] = [page.windows[0] as Window, page.windows.at(-1) as Window];
  return (
    <div className="panel">
      <header>
        <h2 title={WORDS.psi}>Drift of each feature (PSI)</h2>
        <span className={classes.legend}>0 <i /> {page.spec.psi_threshold * 2} or more <b /> past {page.spec.psi_threshold}</span>
        <span className="spacer" />
        <Select aria-label="Feature" searchable w={150} value={chosen?.name ?? null} data={page.features.map((f) => f.name)} onChange={(f) => f && onChoose(f, window)} allowDeselect={false} />
      </header>
      <div className={classes.heat}>
        <Heat
          label={`PSI of ${page.features.length} features over ${page.windows.length} windows; what drifted most is first`} labelWidth={118} cell={17} threshold={page.spec.psi_threshold} most={page.spec.psi_threshold * 2}
          rows={page.features.map((f) => ({ id: f.name, label: f.name }))} columns={columns} value={(r, c) => page.features[r]?.psi[c] ?? null}
          chosen={{ row: chosen?.name, column: window || undefined }} onChoose={onChoose}
        />
        {page.feature_count > page.features.length && <p className="muted small">The {page.features.length} of {formatCount(page.feature_count)} features that drifted most.</p>}
      </div>
      <div className={classes.axis} aria-hidden><span>window {first.number}</span><span>{formatClock(first.first_us / 1000)} to {formatClock(last.last_us / 1000)}</span><span>window {last.number}</span></div>
    </div>
  );
}

function alertMarks(page: MonitorPage): ChartMark[] {
  const [first, last] = [page.windows[0], page.windows.at(-1)];
  return first && last ? joined(page.alerts.map((a) => ({ x: a.raised_us / 1e6, label: a.kind, color: "--lost" })), (last.last_us - first.last_us) / 1e6) : [];
}

function AccuracyChart({ page }: { page: MonitorPage }) {
  const known = useMemo(() => page.windows.filter((w) => w.accuracy), [page.windows]);
  const data = useMemo(() => [known.map((w) => w.last_us / 1e6), known.map((w) => w.accuracy?.value ?? null), known.map((w) => w.accuracy?.low ?? null), known.map((w) => w.accuracy?.high ?? null)] as [number[], ...(number | null)[][]], [known]);
  const marks = useMemo(() => alertMarks(page), [page]);
  const newest = known.at(-1);
  return (
    <div className="panel"><header><h2 title={WORDS.interval}>Accuracy from labels</h2>{newest && <span className="muted small">window {newest.number}: {formatCount(newest.correct)} of {formatCount(newest.labelled)} right, with its 95 % interval</span>}</header>
      <div className={classes.chart}>
        {known.length === 0 ? <p className="muted">No label for these windows yet. <code>lathe feedback</code> or POST /api/lathe/v1/feedback brings them, however late.</p> : (
          <LineChart label={`Accuracy of ${plural(known.length, "window")} with labels, newest ${formatMetric(newest?.accuracy?.value)}`} time data={data} marks={marks} format={(v) => formatPercent(v, 0)} sync="monitor" height={200}
            series={[{ label: "accuracy", color: "--series-1", points: true }, { label: "low", color: "--series-1", width: 1, dash: [3, 3], alpha: 0.7 }, { label: "high", color: "--series-1", width: 1, dash: [3, 3], alpha: 0.7, bandTo: 1 }]} />
        )}
      </div>
    </div>
  );
}

function ShareChart({ page }: { page: MonitorPage }) {
  const judged = useMemo(() => page.windows.filter((w) => w.judged), [page.windows]);
  const data = useMemo(() => [judged.map((w) => w.last_us / 1e6), judged.map((w) => w.drifted_share ?? 0), judged.map(() => page.spec.drifted_share)] as [number[], number[], number[]], [judged, page.spec.drifted_share]);
  const marks = useMemo(() => alertMarks(page), [page]);
  return (
    <div className="panel"><header><h2 title="Of the varying features, by Benjamini-Hochberg">Share of features that moved</h2><span className="muted small">drift from {formatPercent(page.spec.drifted_share, 0)} on, or one feature alone past its PSI</span></header>
      <div className={classes.chart}>
        {judged.length === 0 ? <p className="muted">No window was judged.</p> : <LineChart label={`Share of features that moved, newest ${formatPercent(judged.at(-1)?.drifted_share, 0)}`} time fromZero data={data} marks={marks} format={(v) => formatPercent(v, 0)} series={[{ label: "moved", color: "--series-1", points: true }, { label: "threshold", color: "--lost", width: 1, dash: [6, 4], points: false }]} sync="monitor" height={200} />}
      </div>
    </div>
  );
}
