// A curve the size of a word, for tables and cards: plain SVG, no axes; the exact values are in its title.
import { formatMetric } from "../../lib/format";

interface Props { values: readonly (number | null)[]; width?: number; height?: number; color?: string; fromZero?: boolean; label: string; area?: boolean; format?: (v: number) => string }

export function Sparkline({ values, width = 90, height = 20, color = "var(--series-1)", fromZero = false, label, area = false, format = formatMetric }: Props) {
  const known = values.filter((v): v is number => v !== null && Number.isFinite(v));
  if (known.length === 0) return <svg width={width} height={height} role="img" aria-label={`${label}: no values`} />;
  const low = fromZero ? Math.min(0, ...known) : Math.min(...known);
  const high = Math.max(...known);
  const x = (i: number) => 1.5 + (i / Math.max(1, values.length - 1)) * (width - 3);
  const y = (v: number) => height - 2 - ((v - low) / (high - low || 1)) * (height - 4);
  let path = "";
  let pen = false;
  values.forEach((v, i) => {
    if (v === null || !Number.isFinite(v)) {
      pen = false;
      return;
    }
    path += `${pen ? "L" : "M"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
    pen = true;
  });
  const lastAt = values.findLastIndex((v) => v !== null && Number.isFinite(v));
  return (
    <svg width={width} height={height} role="img" aria-label={`${label}: from ${format(known[0] as number)} to ${format(known.at(-1) as number)}`} style={{ display: "block", overflow: "visible" }}>
      {area && known.length > 1 && <path d={`${path}L${x(lastAt)} ${height}L${x(values.findIndex((v) => v !== null))} ${height}Z`} fill={color} opacity={0.13} />}
      <path d={path} fill="none" stroke={color} strokeWidth={1.5} strokeLinejoin="round" />
      <circle cx={x(lastAt)} cy={y(values[lastAt] as number)} r={2} fill={color} />
    </svg>
  );
}
