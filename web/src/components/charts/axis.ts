// What a set of values needs as an axis: numbers on a line or on a log line, or names side by side. Parameters are text;
// those that all read as numbers are numbers, and a learning rate from 1e-5 to 0.1 is best seen on a log line.
import { formatMetric } from "../../lib/format";

export type Raw = number | string | null;
export interface Tick { at: number; label: string } // at: 0 … 1
export interface Axis {
  kind: "linear" | "log" | "category";
  low: number;
  high: number;
  names: readonly string[];
  at: (value: Raw) => number | null; // 0 … 1; null: not on the axis
  ticks: readonly Tick[];
  number: (value: Raw) => number | null; // what brushing compares
}

const MOST_NAMES = 24;
const LOG_FROM = 200; // greatest ÷ least

export function numeric(value: Raw): number | null {
  if (value === null || value === "") return null;
  const n = typeof value === "number" ? value : value === "NaN" ? Number.NaN : Number(value);
  return Number.isFinite(n) ? n : null;
}
const isText = (value: Raw) => typeof value === "string" && value !== "" && !/^(NaN|-?Infinity)$/.test(value) && !Number.isFinite(Number(value));

export function axisOf(values: readonly Raw[], scale: "auto" | "linear" = "auto"): Axis {
  if (values.some(isText)) return categoryAxis(values);
  const numbers = values.map(numeric).filter((n): n is number => n !== null);
  const [least, most] = [numbers.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY), numbers.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)];
  if (numbers.length === 0) return { kind: "linear", low: 0, high: 1, names: [], at: () => null, ticks: [], number: numeric };
  if (scale === "auto" && least > 0 && most / least >= LOG_FROM) return logAxis(least, most);
  const air = most === least ? Math.abs(most) * 0.1 || 1 : (most - least) * 0.04;
  return linearAxis(least - air, most + air);
}

export function linearAxis(low: number, high: number, count = 5): Axis {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((m) => m * power >= rough) ?? 10) * power;
  const ticks: Tick[] = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9 && ticks.length < 12; v += step) {
    const exact = Math.abs(v) < step * 1e-9 ? 0 : Number(v.toPrecision(12));
    ticks.push({ at: (exact - low) / (high - low), label: shortNumber(exact) });
  }
  return { kind: "linear", low, high, names: [], ticks, number: numeric, at: (value) => { const n = numeric(value); return n === null ? null : (n - low) / (high - low); } };
}
const shortNumber = (v: number): string => (Math.abs(v) >= 1e-3 && Math.abs(v) < 1e5) || v === 0 ? String(v).replace("-", "−") : formatMetric(v);

function logAxis(least: number, most: number): Axis {
  const [low, high] = [Math.log10(least), Math.log10(most)];
  const air = (high - low) * 0.03 || 0.5;
  const [from, to] = [low - air, high + air];
  const ticks: Tick[] = [];
  const every = Math.max(1, Math.ceil((to - from) / 6));
  for (let p = Math.ceil(from); p <= to; p += every) ticks.push({ at: (p - from) / (to - from), label: p >= -3 && p <= 4 ? String(10 ** p) : `1e${String(p).replace("-", "−")}` });
  return { kind: "log", low: 10 ** from, high: 10 ** to, names: [], ticks, number: numeric, at: (value) => { const n = numeric(value); return n === null || n <= 0 ? null : (Math.log10(n) - from) / (to - from); } };
}

function categoryAxis(values: readonly Raw[]): Axis {
  const counts = new Map<string, number>();
  for (const v of values) if (v !== null) counts.set(String(v), (counts.get(String(v)) ?? 0) + 1);
  let names = [...counts.keys()];
  if (names.length > MOST_NAMES) names = [...counts].sort((a, b) => b[1] - a[1]).slice(0, MOST_NAMES).map(([n]) => n);
  names.sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  const place = new Map(names.map((n, i) => [n, (i + 0.5) / names.length]));
  return {
    kind: "category", low: 0, high: 1, names, ticks: names.map((n, i) => ({ at: (i + 0.5) / names.length, label: n })),
    at: (value) => (value === null ? null : (place.get(String(value)) ?? null)),
    number: (value) => (value === null ? null : (place.get(String(value)) ?? null)),
  };
}

export interface Spread { least: number; q1: number; median: number; q3: number; most: number; low: number; high: number; mean: number; count: number }
/** Quartiles as numpy's default has them; the whiskers end at the last value within 1.5 × the box. */
export function spreadOf(values: readonly number[]): Spread | null {
  const v = values.filter(Number.isFinite).sort((a, b) => a - b);
  if (v.length === 0) return null;
  const at = (share: number) => {
    const i = share * (v.length - 1);
    const below = v[Math.floor(i)] as number;
    return below + ((v[Math.ceil(i)] as number) - below) * (i - Math.floor(i));
  };
  const [q1, median, q3] = [at(0.25), at(0.5), at(0.75)];
  const reach = 1.5 * (q3 - q1);
  return {
    least: v[0] as number, most: v.at(-1) as number, q1, median, q3, count: v.length, mean: v.reduce((a, b) => a + b, 0) / v.length,
    low: v.find((x) => x >= q1 - reach) ?? (v[0] as number), high: v.findLast((x) => x <= q3 + reach) ?? (v.at(-1) as number),
  };
}
