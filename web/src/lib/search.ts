// Search parameters: the address is the view. A page declares what it keeps in the URL; a bad or missing value falls to the
// default without an error, and defaults are left out of the address.
import type { SearchMiddleware, SearchSchemaInput } from "@tanstack/react-router";

export interface Param<T> {
  fallback: T;
  read: (raw: string) => T | undefined; // undefined: not a value of this parameter
}

export const text = (fallback = ""): Param<string> => ({ fallback, read: (raw) => raw });
export const oneOf = <const T extends string>(values: readonly T[], fallback: NoInfer<T>): Param<T> => ({
  fallback,
  read: (raw) => values.find((v) => v === raw),
});
export const number = (fallback: number, least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY): Param<number> => ({
  fallback,
  read: (raw) => {
    const n = Number(raw);
    return raw.trim() !== "" && Number.isFinite(n) ? Math.min(Math.max(n, least), most) : undefined;
  },
});
export const flag = (fallback = false): Param<boolean> => ({
  fallback,
  read: (raw) => (raw === "true" || raw === "1" ? true : raw === "false" || raw === "0" ? false : undefined),
});

/** Lists are kept as one text with commas ("acc,loss"): short, and readable in the address bar. */
export const listOf = (value: string): string[] => value.split(",").filter(Boolean);
export const listText = (values: readonly string[]): string => values.join(",");

type Values<S extends Record<string, Param<unknown>>> = { [K in keyof S]: S[K]["fallback"] };

/** The route options for a set of parameters: `...searchParams({ q: text(), log: flag() })`. */
export function searchParams<S extends Record<string, Param<unknown>>>(schema: S) {
  const defaults = Object.fromEntries(Object.entries(schema).map(([key, p]) => [key, p.fallback])) as Values<S>;
  const strip: SearchMiddleware<Values<S>> = ({ search, next }) => {
    const out = next(search);
    return Object.fromEntries(Object.entries(out).filter(([key, value]) => value !== defaults[key])) as Values<S>;
  };
  return {
    validateSearch: (raw: Partial<Values<S>> & SearchSchemaInput): Values<S> => {
      const out: Record<string, unknown> = { ...defaults };
      for (const [key, p] of Object.entries(schema)) {
        const value = (raw as Record<string, unknown>)[key];
        if (value !== undefined && value !== null) out[key] = p.read(String(value)) ?? p.fallback;
      }
      return out as Values<S>;
    },
    search: { middlewares: [strip] },
  };
}

/** Plain text in the address, not JSON: ?q=accuracy > 0.9, not ?q="accuracy > 0.9". */
export function parseSearch(search: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(search));
}
export function stringifySearch(search: Record<string, unknown>): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(search)) if (value !== undefined && value !== null && value !== "") query.set(key, String(value));
  // Characters that are safe in a query stay readable.
  const out = query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":").replaceAll("%40", "@").replaceAll("%2F", "/");
  return out ? `?${out}` : "";
}

// Time ranges: "now-6h" or an ISO instant.
const UNITS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 };
/** Milliseconds of "now-6h", "now" or an instant; undefined when it is neither. */
export function readInstant(value: string, now: number): number | undefined {
  if (value === "now") return now;
  const relative = /^now-(\d+)([mhd])$/.exec(value);
  if (relative) return now - Number(relative[1]) * (UNITS[relative[2] as string] as number);
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? undefined : ms;
}
