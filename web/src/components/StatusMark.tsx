// Status is never colour alone: shape + word + colour. One component, so that every page says it the same way.
import { IconAlertTriangle, IconCircleCheck, IconCircleDashed, IconCircleDot, IconCircleMinus, IconCircleX, IconPlayerSkipForward, IconProgress } from "@tabler/icons-react";
import { WORDS } from "../lib/words";

type Mark = [typeof IconProgress, string, string, string?];
const MARKS = {
  running: [IconProgress, "Running", "var(--run)"],
  finished: [IconCircleCheck, "Finished", "var(--ok)"],
  failed: [IconCircleX, "Failed", "var(--fail)"],
  queued: [IconCircleDashed, "Queued", "var(--wait)", WORDS.queued],
  skipped: [IconPlayerSkipForward, "Skipped", "var(--skip)", WORDS.skipped],
  lost: [IconAlertTriangle, "Lost", "var(--lost)", WORDS.lost],
  canceled: [IconCircleMinus, "Cancelled", "var(--skip)"],
  healthy: [IconCircleCheck, "Healthy", "var(--ok)"],
  warning: [IconAlertTriangle, "Warning", "var(--lost)"],
  drifted: [IconAlertTriangle, "Drifted", "var(--lost)"],
  serving: [IconCircleDot, "Serving", "var(--ok)"],
  loading: [IconProgress, "Loading", "var(--run)"],
  passed: [IconCircleCheck, "Passed", "var(--ok)"],
  refused: [IconCircleX, "Refused", "var(--fail)"],
  idle: [IconCircleDashed, "Idle", "var(--wait)"],
  unknown: [IconCircleDashed, "Unknown", "var(--skip)"],
} as const satisfies Record<string, Mark>;
export type Status = keyof typeof MARKS;

// The words that the protocols use for the same states.
const SAME: Record<string, Status> = {
  scheduled: "queued", waiting: "queued", pending: "queued", up_for_retry: "queued", ready: "queued", deferred: "queued",
  finished: "finished", success: "finished", succeeded: "finished", done: "finished", complete: "finished", completed: "finished",
  error: "failed", killed: "canceled", cancelled: "canceled", canceling: "canceled", upstream_failed: "skipped", up_to_date: "skipped", cached: "skipped",
  fail: "refused", rejected: "refused", pass: "passed", active: "serving", live: "serving", ok: "healthy", raised: "drifted", ended: "healthy",
};
export function statusOf(word: string | null | undefined): Status {
  const lower = (word ?? "").toLowerCase();
  return lower in MARKS ? (lower as Status) : (SAME[lower] ?? "unknown");
}
export const statusLabel = (s: string): string => MARKS[statusOf(s)][1];
export const statusColor = (s: string): string => MARKS[statusOf(s)][2];

/** `bare`: the shape alone, where the word stands beside it already. `label`: another word for the same state. */
export function StatusMark({ status, bare = false, label }: { status: string; bare?: boolean; label?: string }) {
  const [Icon, word, color, hint]: Mark = MARKS[statusOf(status)];
  return (
    <span style={{ display: "inline-flex", alignItems: "center", gap: 6, color, whiteSpace: "nowrap", verticalAlign: "top" }} title={hint}>
      <Icon size={15} stroke={2} aria-hidden={!bare} aria-label={bare ? (label ?? word) : undefined} role={bare ? "img" : undefined} style={{ flex: "none" }} />
      {!bare && <span style={{ color: "var(--text)" }}>{label ?? word}</span>}
    </span>
  );
}
