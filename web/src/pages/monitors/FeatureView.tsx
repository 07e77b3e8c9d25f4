// One feature: its baseline's distribution beside a window's, over the same bins, and what the tests said.
import { Select } from "@mantine/core";
import { Facts } from "../../components/Peek";
import { Loaded } from "../../components/Problem";
import { StatusMark } from "../../components/StatusMark";
import { type Bar, Bars } from "../../components/charts/Bars";
import { useApi } from "../../lib/api";
import { formatClock, formatCount, formatMetric, formatPercent } from "../../lib/format";
import { WORDS } from "../../lib/words";
import type { FeaturePage, MonitorPage } from "./types";

interface Props { page: MonitorPage; feature?: string; window: string; onWindow: (id: string) => void }

export function FeatureView({ page, feature, window, onWindow }: Props) {
  const judged = page.windows.filter((w) => w.judged).toReversed();
  const shown = judged.find((w) => w.id === window) ?? judged[0];
  const query = useApi<FeaturePage>(`/pages/monitors/${encodeURIComponent(page.endpoint)}/feature`, { name: feature, window: shown?.id }, { enabled: !!feature && !!shown, keep: true });
  return (
    <div className="panel">
      <header>
        <h2 className="cut">{feature ?? "Feature"}</h2><span className="spacer" />
        <Select aria-label="Window" w={190} value={shown?.id ?? null} data={judged.map((w) => ({ value: w.id, label: `window ${w.number}, ${formatClock(w.last_us / 1000)}${w.drifted ? " ▲" : ""}` }))} onChange={(id) => id && onWindow(id)} allowDeselect={false} />
      </header>
      <div className="panel-body stack">
        {feature && shown ? <Loaded query={query} what="The feature" rows={5}>{(f) => <Shown f={f} />}</Loaded> : <p className="muted">No window was judged yet.</p>}
      </div>
    </div>
  );
}

function Shown({ f }: { f: FeaturePage }) {
  const now = f.now;
  const bars = barsOf(f);
  return (
    <>
      {bars.length > 0 ? <Bars label={`${f.name}: baseline and window ${f.window.number}`} bars={bars} names={["baseline", `window ${f.window.number}`]} height={150} format={(v) => formatPercent(v)} /> : <p className="muted">{f.kind === "constant" ? `Constant in the baseline: ${formatMetric(f.baseline.low)}. ${formatCount(now.off_constant)} of ${formatCount(now.rows)} rows differ.` : "Too many categories, or never present: only its quality is watched."}</p>}
      <Facts
        facts={[
          ["Verdict", <StatusMark key="v" status={now.drifted ? "drifted" : now.bad_quality ? "warning" : "healthy"} label={now.drifted ? "Drifted" : now.bad_quality ? "Bad quality" : "Like the baseline"} />],
          now.tested && [<span key="psi" title={WORDS.psi}>PSI</span>, <span key="p"><b>{formatMetric(now.psi)}</b> {now.psi >= f.psi_threshold ? `≥ ${f.psi_threshold}` : `< ${f.psi_threshold}`}{now.psi >= f.psi_threshold && now.p_holm > f.ks_alpha && <span className="muted">, but p says it may be chance</span>}</span>],
          now.tested && [<span key="d" title={f.kind === "numeric" ? "Kolmogorov-Smirnov: the greatest distance of the two cumulative distributions" : "Chi-square of homogeneity"}>{f.kind === "numeric" ? "KS distance" : "Distance"}</span>, formatMetric(now.d)],
          now.tested && [<span key="p" title="Corrected for the number of features (Holm): the chance of so large a difference by accident">p, corrected</span>, `${formatMetric(now.p_holm)} ${now.p_holm <= f.ks_alpha ? "≤" : ">"} ${f.ks_alpha}`],
          ["Rows", `${formatCount(now.rows)} against ${formatCount(f.baseline.rows)}`],
          ["Missing", `${formatPercent(now.missing / Math.max(1, now.rows + now.missing))} against ${formatPercent(f.baseline.missing / Math.max(1, f.baseline.rows + f.baseline.missing))}`],
          f.kind === "numeric" && ["Baseline's range", `${formatMetric(f.baseline.low)} to ${formatMetric(f.baseline.high)}${now.out_of_range ? `; ${formatCount(now.out_of_range)} rows outside` : ""}`],
          now.unseen > 0 && ["Unseen categories", `${formatCount(now.unseen)} rows`],
          now.wrong_type > 0 && ["Wrong type", `${formatCount(now.wrong_type)} rows`],
        ]}
      />
    </>
  );
}

/** Shares, not counts: baseline and window have different numbers of rows. */
function barsOf(f: FeaturePage): Bar[] {
  const [before, after] = [f.baseline.counts, f.now.counts];
  const sum = (counts: readonly number[]) => Math.max(1, counts.reduce((a, b) => a + b, 0));
  const [n, m] = [sum(before), sum(after)];
  const edges = f.baseline.edges;
  const short = (v: number) => (Math.abs(v) >= 1e-3 && Math.abs(v) < 1e5 ? String(Number(v.toPrecision(3))) : formatMetric(v));
  const label = (i: number): string => {
    if (f.kind !== "numeric") return f.baseline.categories[i] ?? "unseen";
    if (i === 0) return `< ${short(edges[0] ?? f.baseline.high)}`;
    return i === edges.length ? `≥ ${short(edges[i - 1] as number)}` : short(edges[i - 1] as number);
  };
  const title = (i: number): string => {
    if (f.kind !== "numeric") return label(i);
    return i === 0 || i === edges.length ? label(i) : `${short(edges[i - 1] as number)} to ${short(edges[i] as number)}`;
  };
  if (f.kind === "constant" || f.kind === "opaque") return [];
  return Array.from({ length: Math.max(before.length, after.length) }, (_, i) => ({
    label: label(i), values: [(before[i] ?? 0) / n, (after[i] ?? 0) / m], title: `${title(i)}\nbaseline ${formatPercent((before[i] ?? 0) / n)} (${before[i] ?? 0} rows)\nwindow ${formatPercent((after[i] ?? 0) / m)} (${after[i] ?? 0} rows)`,
  }));
}
