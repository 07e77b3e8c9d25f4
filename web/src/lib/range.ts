// A page's time range as instants. A relative range moves with the clock: while the page is looked at it is read again at
// the pace of its own steps, because the passing of time is no event of the server's.
import { useEffect, useState } from "react";
import { readInstant } from "./search";

export interface Range { fromUs: number; toUs: number; relative: boolean }

const STEP_MS = 10_000; // of the server's traffic counts
const STEPS = 240; // of a chart: a longer range moves on by longer steps

export function useRange(from: string, to: string, fallbackMs: number): Range {
  const relative = to === "now" || from.startsWith("now");
  const span = Date.now() - (readInstant(from, Date.now()) ?? Date.now() - fallbackMs);
  const step = Math.max(1, Math.round(span / STEPS / STEP_MS)) * STEP_MS;
  const rounded = () => Math.ceil(Date.now() / step) * step;
  const [now, setNow] = useState(rounded);
  useEffect(() => {
    if (!relative) return;
    const tick = () => {
      if (!document.hidden) setNow(Math.ceil(Date.now() / step) * step);
    };
    tick();
    const timer = setInterval(tick, step);
    document.addEventListener("visibilitychange", tick);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", tick);
    };
  }, [relative, step]);
  const end = readInstant(to, now) ?? now;
  const begin = readInstant(from, now) ?? end - fallbackMs;
  return { fromUs: Math.round(Math.min(begin, end - STEP_MS) * 1000), toUs: Math.round(end * 1000), relative };
}
