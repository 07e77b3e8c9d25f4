// Every number, time and id on screen goes through here, so that a value looks the same on every page. Missing is "–".

export const MISSING = "–";
type Maybe<T> = T | null | undefined;

/** The API writes what JSON cannot as text: "NaN", "Infinity", "-Infinity". */
export function numberOf(value: Maybe<number | string>): number | null {
  if (value === null || value === undefined || value === "") return null;
  if (typeof value === "number") return value;
  return value === "NaN" ? Number.NaN : value === "Infinity" ? Number.POSITIVE_INFINITY : value === "-Infinity" ? Number.NEGATIVE_INFINITY : Number(value);
}

/** Four significant digits, stable width: 0.9412, 12.35, 1.20e−7. Full precision belongs in the tooltip (`title`). */
export function formatMetric(raw: Maybe<number | string>): string {
  const value = numberOf(raw);
  if (value === null) return MISSING;
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e6) return value.toExponential(2).replace("e+", "e").replaceAll("-", "−");
  if (Number.isInteger(value) && size < 1e5) return String(value).replace("-", "−");
  return value.toPrecision(4).replace("-", "−");
}

/** A signed difference: +0.0012, −0.0300. */
export function formatDelta(raw: Maybe<number | string>): string {
  const value = numberOf(raw);
  if (value === null) return MISSING;
  return value > 0 ? `+${formatMetric(value)}` : formatMetric(value);
}

/** 0.972 [0.961, 0.981] */
export function formatInterval(value: Maybe<number>, low: Maybe<number>, high: Maybe<number>): string {
  if (value === null || value === undefined) return MISSING;
  const short = (n: number) => (n === 0 || Math.abs(n) >= 1000 || Math.abs(n) < 1e-3 ? formatMetric(n) : n.toPrecision(3).replace("-", "−"));
  return low === null || low === undefined || high === null || high === undefined ? short(value) : `${short(value)} [${short(low)}, ${short(high)}]`;
}

const groups = new Intl.NumberFormat("en", { useGrouping: true, maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
/** 12,345; past a million 1.2 M. Not exact: ≈ before it. */
export function formatCount(value: Maybe<number>, exact = true): string {
  if (value === null || value === undefined) return MISSING;
  const text = Math.abs(value) < 1e6 ? groups.format(value) : compact.format(value).replace(/([KMBT])$/, " $1");
  return exact ? text : `≈ ${text}`;
}
/** "1 row", "12 rows" */
export const plural = (n: number, one: string, many = `${one}s`): string => `${formatCount(n)} ${n === 1 ? one : many}`;

export function formatPercent(share: Maybe<number>, digits = 1): string {
  return share === null || share === undefined ? MISSING : `${(share * 100).toFixed(digits)} %`;
}

/** 48 /s, 0.4 /s, 12,300 /s */
export function formatRate(perSecond: Maybe<number>): string {
  if (perSecond === null || perSecond === undefined) return MISSING;
  return `${perSecond >= 100 ? groups.format(perSecond) : perSecond === 0 ? "0" : perSecond.toPrecision(2)} /s`;
}

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];
export function formatBytes(bytes: Maybe<number>): string {
  if (bytes === null || bytes === undefined) return MISSING;
  const step = bytes < 1024 ? 0 : Math.min(SIZES.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** step;
  return `${step === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${SIZES[step]}`;
}

/** 840 ms · 12.4 s · 3 m 05 s · 2 h 10 m · 4 d 3 h: two units at most, never bare seconds for long runs. */
export function formatDuration(ms: Maybe<number>): string {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return MISSING;
  if (ms < 1) return ms <= 0 ? "0 ms" : `${Math.max(1, Math.round(ms * 1000))} µs`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${s < 59.95 ? s.toFixed(1) : Math.floor(s)} s`;
  const pad = (n: number) => String(n).padStart(2, "0");
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} m ${pad(Math.floor(s % 60))} s`;
  const h = Math.floor(m / 60);
  return h < 24 ? `${h} h ${pad(m % 60)} m` : `${Math.floor(h / 24)} d ${h % 24} h`;
}
export const formatDurationUs = (us: Maybe<number>): string => formatDuration(us === null || us === undefined ? us : us / 1000);

/** "just now", "5 m ago", "3 h ago", "2 d ago", then the date. The exact instant is in the tooltip. */
export function formatAgo(then: Maybe<number>, now: number = Date.now()): string {
  if (then === null || then === undefined || then === 0) return MISSING;
  const m = Math.floor((now - then) / 60_000);
  if (m < 1) return m < -1 ? formatIn(then, now) : "just now";
  if (m < 60) return `${m} m ago`;
  if (m < 48 * 60) return `${Math.floor(m / 60)} h ago`;
  if (m < 30 * 24 * 60) return `${Math.floor(m / 1440)} d ago`;
  return formatDate(then);
}
/** "in 38 m" */
export const formatIn = (then: number, now: number = Date.now()): string => (then <= now ? "now" : `in ${formatDuration(then - now)}`);

export type Zone = "local" | "utc";
let zone: Zone = globalThis.localStorage?.getItem("lathe.zone") === "utc" ? "utc" : "local";
export const timeZone = (): Zone => zone;
export function setTimeZone(next: Zone): void {
  zone = next;
  localStorage.setItem("lathe.zone", next);
}
const offsetOf = (ms: number) => (zone === "utc" ? 0 : -new Date(ms).getTimezoneOffset());
const shifted = (ms: number) => new Date(ms + offsetOf(ms) * 60_000).toISOString();

export const formatDate = (ms: number): string => shifted(ms).slice(0, 10);
/** 14:05:09 */
export const formatClock = (ms: number): string => shifted(ms).slice(11, 19);
/** 14:05:09.120, for logs */
export const formatClockMs = (ms: number): string => shifted(ms).slice(11, 23);
/** 2026-03-01 14:05 */
export const formatMinute = (ms: number): string => shifted(ms).slice(0, 16).replace("T", " ");

/** ISO with the viewer's offset, for tooltips and copying: 2026-03-01 14:05:09.120 +01:00. */
export function formatInstant(ms: Maybe<number>): string {
  if (ms === null || ms === undefined || ms === 0) return MISSING;
  const offset = offsetOf(ms);
  const pad = (n: number) => String(Math.floor(Math.abs(n))).padStart(2, "0");
  return `${shifted(ms).replace("T", " ").slice(0, 23)} ${offset < 0 ? "-" : "+"}${pad(offset / 60)}:${pad(offset % 60)}`;
}

/** The API's instants are microseconds. */
export const fromUs = (us: Maybe<number>): number | null => (us === null || us === undefined || us === 0 ? null : us / 1000);

/** Eight characters that tell an id from its neighbours: the head of a digest or of MLflow's ids, the tail of ours, which begin with their time. */
export function shortId(id: string): string {
  const bare = id.replace(/^[a-z]+[_:]/, "");
  if (bare.length <= 12) return bare;
  return /^[0-9a-f]+$/i.test(bare) ? bare.slice(0, 8) : bare.slice(-8);
}
