// How a metric spreads in each group of runs: the box holds the middle half, the line in it is the median, the points are the runs.
import { useCallback, useMemo } from "react";
import { formatMetric, plural } from "../../lib/format";
import { type Axis, axisOf, spreadOf } from "./axis";
import { Plot, boxOf } from "./Plot";
import { drawAxes } from "./Scatter";

export interface BoxGroup { name: string; color: string; values: readonly { id: string; name: string; value: number }[] }
interface Props { groups: readonly BoxGroup[]; xLabel: string; yLabel: string; height?: number; onPick?: (id: string) => void }

/** The same place for the same run each time it is drawn. */
const jitter = (id: string): number => { let h = 7; for (const c of id) h = (h * 31 + c.charCodeAt(0)) >>> 0; return (h % 1000) / 1000 - 0.5; };

export function BoxPlot({ groups, xLabel, yLabel, height = 260, onPick }: Props) {
  const { x, y, boxes } = useMemo(() => {
    const names = groups.map((g) => g.name);
    const x: Axis = { kind: "category", low: 0, high: 1, names, ticks: names.map((label, i) => ({ at: (i + 0.5) / names.length, label })), at: () => null, number: () => null };
    return { x, y: axisOf(groups.flatMap((g) => g.values.map((v) => v.value)), "linear"), boxes: groups.map((g) => spreadOf(g.values.map((v) => v.value))) };
  }, [groups]);
  const geometry = (width: number, height: number) => {
    const box = boxOf(width, height);
    const step = (box.right - box.left) / Math.max(1, groups.length);
    return { box, step, half: Math.min(34, step * 0.3), center: (i: number) => box.left + (i + 0.5) * step, up: (v: number) => box.bottom - (y.at(v) ?? 0) * (box.bottom - box.top) };
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: `geometry` is made of what is listed
  const draw = useCallback(({ ctx, width, height, color }: Parameters<React.ComponentProps<typeof Plot>["draw"]>[0]) => {
    const { box, half, center, up } = geometry(width, height);
    drawAxes(ctx, box, x, y, xLabel, yLabel, color);
    groups.forEach((g, i) => {
      const s = boxes[i];
      if (!s) return;
      const at = center(i);
      ctx.fillStyle = ctx.strokeStyle = color(g.color);
      ctx.globalAlpha = g.values.length > 200 ? 0.25 : 0.5;
      for (const v of g.values) {
        ctx.beginPath();
        ctx.arc(at + jitter(v.id) * half * 1.3, up(v.value), 2.2, 0, 7);
        ctx.fill();
      }
      ctx.globalAlpha = 0.16;
      ctx.fillRect(at - half, up(s.q3), half * 2, up(s.q1) - up(s.q3));
      ctx.globalAlpha = 1;
      ctx.lineWidth = 1.2;
      ctx.strokeRect(at - half, up(s.q3), half * 2, up(s.q1) - up(s.q3));
      ctx.beginPath();
      ctx.moveTo(at, up(s.q3)); ctx.lineTo(at, up(s.high)); ctx.moveTo(at, up(s.q1)); ctx.lineTo(at, up(s.low));
      ctx.moveTo(at - half / 2, up(s.high)); ctx.lineTo(at + half / 2, up(s.high)); ctx.moveTo(at - half / 2, up(s.low)); ctx.lineTo(at + half / 2, up(s.low));
      ctx.stroke();
      ctx.lineWidth = 2.4;
      ctx.beginPath();
      ctx.moveTo(at - half, up(s.median)); ctx.lineTo(at + half, up(s.median));
      ctx.stroke();
    });
  }, [groups, boxes, x, y, xLabel, yLabel]);
  const hover = (mx: number, my: number, width: number, height: number) => {
    const { box, step, half, center, up } = geometry(width, height);
    const i = Math.floor((mx - box.left) / step);
    const [g, s] = [groups[i], boxes[i]];
    if (!g || !s || my > box.bottom) return null;
    const near = g.values.find((v) => Math.abs(up(v.value) - my) < 4 && Math.abs(center(i) + jitter(v.id) * half * 1.3 - mx) < 5);
    const content = near ? <><b>{near.name}</b>{yLabel} {formatMetric(near.value)}</> : <><b>{g.name}</b>{plural(s.count, "run")}<br />median {formatMetric(s.median)}, half between {formatMetric(s.q1)} and {formatMetric(s.q3)}<br />from {formatMetric(s.least)} to {formatMetric(s.most)}</>;
    return { x: mx, y: my, id: near?.id, content };
  };
  return (
    <Plot
      label={`${yLabel} by ${xLabel}: ${groups.slice(0, 6).map((g, i) => `${g.name} median ${formatMetric(boxes[i]?.median ?? null)}`).join(", ")}`} height={height} draw={draw} hover={hover} onPick={onPick} file={`${yLabel} by ${xLabel}`}
      table={() => ({ head: [xLabel, "runs", "least", "lower quartile", "median", "upper quartile", "greatest", "mean"], rows: groups.map((g, i) => { const s = boxes[i]; return [g.name, s?.count ?? 0, ...[s?.least, s?.q1, s?.median, s?.q3, s?.most, s?.mean].map((v) => v ?? null)]; }) })}
    />
  );
}
