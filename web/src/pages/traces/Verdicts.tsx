// Assessments in short: "relevance 0.14", "helpful ✓". Shape and words, never colour alone.
import { formatMetric } from "../../lib/format";
import { type Assessment, assessedValue } from "../../lib/traces";

export function shortValue(v: unknown): string {
  if (v === null || v === undefined) return "–";
  if (typeof v === "boolean") return v ? "✓ yes" : "✕ no";
  if (typeof v === "number") return formatMetric(v);
  const text = typeof v === "string" ? v : JSON.stringify(v);
  return text.length > 24 ? `${text.slice(0, 24)}…` : text;
}

export function Verdicts({ assessments }: { assessments?: readonly Assessment[] }) {
  const shown = (assessments ?? []).filter((a) => a.feedback && a.valid !== false);
  if (shown.length === 0) return <span className="muted">{assessments?.some((a) => a.expectation) ? "expectation" : "–"}</span>;
  return <>{shown.slice(0, 3).map((a) => { const v = assessedValue(a); return <span key={a.assessment_id} className="tag" style={{ marginRight: 4, color: v === false ? "var(--fail)" : undefined }}>{a.assessment_name} {shortValue(v)}</span>; })}{shown.length > 3 && <span className="muted">+{shown.length - 3}</span>}</>;
}
