// Curves as charts want them: many over one x, and groups of them as a mean with its spread.
import uPlot from "uplot";
import type { Curve } from "./tracking";

export type XAxis = "step" | "time" | "relative";
type Column = (number | null | undefined)[];

/** Shown x of a point: a step, seconds since 1970, or seconds since the run began. */
export const xOf = (curve: Curve, x: XAxis): number[] => (x === "step" ? curve.step : curve.at_ms.map((ms) => (x === "time" ? ms : ms - curve.start_ms) / 1000));

/** All curves over one x. A place that another run has and this one has not is undefined, not null: only NaN is a gap. */
export function joined(curves: readonly Curve[], x: XAxis, smooth: boolean): uPlot.AlignedData {
  const tables = curves.map((c): uPlot.AlignedData => {
    const xs = xOf(c, x);
    const keep = xs.map((_, i) => i).filter((i) => i === 0 || (xs[i] as number) > (xs[i - 1] as number)); // x must grow
    return [keep.map((i) => xs[i] as number), keep.map((i) => c.value[i] ?? null), ...(smooth ? [keep.map((i) => c.smooth?.[i] ?? null)] : [])] as uPlot.AlignedData;
  });
  if (tables.length === 0) return [[]];
  return tables.length === 1 ? (tables[0] as uPlot.AlignedData) : uPlot.join(tables);
}

export interface Band { name: string; runs: number; mean: Column; high: Column; low: Column }
const PLACES = 240;

/** Groups of curves over one grid of x: at each place the mean of the curves that reach it, ± their standard deviation. A curve counts from its first to its last point with the value before the place. */
export function bands(curves: readonly Curve[], groupOf: (run: string) => string, x: XAxis, smooth: boolean): { x: number[]; bands: Band[] } {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const xs = curves.map((c) => xOf(c, x));
  for (const one of xs) {
    if (one.length === 0) continue;
    low = Math.min(low, one[0] as number);
    high = Math.max(high, one.at(-1) as number);
  }
  if (!(high >= low)) return { x: [], bands: [] };
  const steps = x === "step" && high - low < PLACES ? high - low + 1 : PLACES;
  const grid = Array.from({ length: steps }, (_, i) => (steps === 1 ? low : low + ((high - low) * i) / (steps - 1)));
  const sums = new Map<string, { runs: number; n: number[]; mean: number[]; squares: number[] }>();
  curves.forEach((c, k) => {
    const name = groupOf(c.run);
    let sum = sums.get(name);
    if (!sum) {
      const zeros = () => new Array<number>(steps).fill(0);
      sum = { runs: 0, n: zeros(), mean: zeros(), squares: zeros() };
      sums.set(name, sum);
    }
    sum.runs++;
    const own = xs[k] as number[];
    const values = (smooth && c.smooth) || c.value;
    let at = -1;
    for (let i = 0; i < steps; i++) {
      const place = grid[i] as number;
      while (at + 1 < own.length && (own[at + 1] as number) <= place + 1e-9) at++;
      const v = at < 0 || place > (own.at(-1) as number) + 1e-9 ? null : values[at];
      if (v === null || v === undefined || !Number.isFinite(v)) continue;
      const n = (sum.n[i] as number) + 1;
      const away = v - (sum.mean[i] as number);
      sum.n[i] = n;
      sum.mean[i] = (sum.mean[i] as number) + away / n;
      sum.squares[i] = (sum.squares[i] as number) + away * (v - (sum.mean[i] as number));
    }
  });
  const out = [...sums].map(([name, s]): Band => {
    const sd = s.n.map((n, i) => (n > 1 ? Math.sqrt((s.squares[i] as number) / (n - 1)) : 0));
    const at = (f: (i: number) => number): Column => s.n.map((n, i) => (n ? f(i) : null));
    return { name, runs: s.runs, mean: at((i) => s.mean[i] as number), high: at((i) => (s.mean[i] as number) + (sd[i] as number)), low: at((i) => (s.mean[i] as number) - (sd[i] as number)) };
  });
  return { x: grid, bands: out.sort((a, b) => b.runs - a.runs) };
}
