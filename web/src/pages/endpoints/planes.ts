// What a data plane's report means, in words.
import { formatDuration, plural } from "../../lib/format";
import type { Plane } from "./types";

/** Endpoints of which it does not serve what is promoted. */
export const behind = (p: Plane): Plane["endpoints"] => p.endpoints.filter((e) => !e.current || e.problem);

export function planeState(p: Plane): { status: string; label: string } {
  if (!p.connected) return { status: "lost", label: "Lost" };
  if (p.endpoints.some((e) => e.problem)) return { status: "failed", label: "Cannot serve all" };
  const late = behind(p).length;
  return late ? { status: "loading", label: `Behind by ${plural(late, "endpoint")}` } : { status: "healthy", label: "In touch" };
}

const SOON_MS = 14 * 86_400_000;
/** Without a status: nothing to be done about it. */
export function certificateState(endsUs: number | null | undefined, nowMs: number): { status: string; label: string } {
  if (!endsUs) return { status: "", label: "none" };
  const left = endsUs / 1000 - nowMs;
  if (left <= 0) return { status: "failed", label: "Has ended" };
  return { status: left < SOON_MS ? "warning" : "", label: `in ${left < 86_400_000 ? formatDuration(left) : plural(Math.floor(left / 86_400_000), "day")}` };
}
