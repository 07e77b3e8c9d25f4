// Histograms and small bar charts: one or two series side by side over the same bins, from zero, with labels under the bars.
import { formatCount } from "../../lib/format";
import classes from "./charts.module.css";

export interface Bar { label: string; values: readonly (number | null)[]; title?: string; attention?: boolean }

interface Props {
  label: string;
  bars: readonly Bar[];
  names: readonly string[]; // of the series: ["baseline", "window"]
  colors?: readonly string[];
  height?: number;
  format?: (v: number) => string;
}

export function Bars({ label, bars, names, colors = ["var(--series-1)", "var(--series-2)"], height = 140, format = formatCount }: Props) {
  const most = Math.max(1e-12, ...bars.flatMap((b) => b.values.map((v) => v ?? 0)));
  const every = Math.max(1, Math.ceil(bars.length / 12));
  return (
    <figure className={classes.figure} aria-label={label}>
      {names.length > 1 && <figcaption className={classes.legend}>{names.map((n, i) => <span key={n}><i style={{ background: colors[i] }} />{n}</span>)}</figcaption>}
      <div className={classes.bars} style={{ height }} role="img" aria-label={`${label}. ${bars.length <= 12 ? bars.map((b) => `${b.label}: ${b.values.map((v) => (v === null ? "none" : format(v))).join(" and ")}`).join("; ") : `${bars.length} bars, the highest ${format(most)}`}`}>
        {bars.map((b) => (
          <span key={b.label} className={classes.group} title={b.title ?? `${b.label}\n${names.map((n, i) => `${n} ${b.values[i] === null ? "–" : format(b.values[i] ?? 0)}`).join("\n")}`}>
            {b.values.map((v, i) => <i key={names[i]} style={{ height: `${((v ?? 0) / most) * 100}%`, background: colors[i], minHeight: v ? 1 : 0 }} />)}
          </span>
        ))}
      </div>
      <div className={classes.labels} aria-hidden>{bars.map((b, i) => <span key={b.label}>{i % every === 0 ? b.label : ""}</span>)}</div>
    </figure>
  );
}
