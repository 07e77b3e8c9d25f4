// One value of runs against another, a point a run.
import { useCallback, useMemo } from "react";
import { type Axis, type Raw, axisOf } from "./axis";
import { type Box, Plot, boxOf, cut } from "./Plot";

export interface Point { id: string; name: string; color: string; x: Raw; y: Raw }
interface Props { points: readonly Point[]; xLabel: string; yLabel: string; height?: number; strong?: ReadonlySet<string>; onPick?: (id: string) => void; show: (v: Raw) => string }

const REACH = 12; // pixels

export function Scatter({ points, xLabel, yLabel, height = 260, strong, onPick, show }: Props) {
  const { x, y, placed } = useMemo(() => {
    const x = axisOf(points.map((p) => p.x));
    const y = axisOf(points.map((p) => p.y), "linear");
    const placed = points.flatMap((p) => {
      const [px, py] = [x.at(p.x), y.at(p.y)];
      return px === null || py === null ? [] : [{ ...p, px, py }];
    });
    return { x, y, placed };
  }, [points]);
  const draw = useCallback(({ ctx, width, height, color }: Parameters<React.ComponentProps<typeof Plot>["draw"]>[0]) => {
    const box = boxOf(width, height);
    drawAxes(ctx, box, x, y, xLabel, yLabel, color);
    const many = placed.length > 300;
    for (const p of placed) {
      const on = strong?.has(p.id);
      ctx.globalAlpha = strong?.size && !on ? 0.25 : many ? 0.6 : 0.85;
      ctx.fillStyle = color(p.color);
      ctx.beginPath();
      ctx.arc(box.left + p.px * (box.right - box.left), box.bottom - p.py * (box.bottom - box.top), on ? 5 : many ? 3 : 4, 0, 7);
      ctx.fill();
    }
    ctx.globalAlpha = 1;
  }, [placed, x, y, xLabel, yLabel, strong]);
  const hover = (mx: number, my: number, width: number, height: number) => {
    const box = boxOf(width, height);
    let best: (typeof placed)[number] | undefined;
    let least = REACH * REACH;
    for (const p of placed) {
      const d = (box.left + p.px * (box.right - box.left) - mx) ** 2 + (box.bottom - p.py * (box.bottom - box.top) - my) ** 2;
      if (d < least) [best, least] = [p, d];
    }
    return best ? { x: mx, y: my, id: best.id, content: <><b>{best.name}</b>{xLabel} {show(best.x)}<br />{yLabel} {show(best.y)}</> } : null;
  };
  return (
    <Plot
      label={`${yLabel} against ${xLabel} of ${placed.length} runs`} height={height} draw={draw} hover={hover} onPick={onPick} file={`${yLabel} by ${xLabel}`}
      table={() => ({ head: ["Run", xLabel, yLabel], rows: placed.map((p) => [p.name, p.x, p.y]) })}
    />
  );
}

export function drawAxes(ctx: CanvasRenderingContext2D, box: Box, x: Axis, y: Axis, xLabel: string, yLabel: string, color: (t: string) => string): void {
  ctx.strokeStyle = color("--grid");
  ctx.fillStyle = color("--muted");
  ctx.lineWidth = 1;
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  for (const t of y.ticks) {
    const at = Math.round(box.bottom - t.at * (box.bottom - box.top)) + 0.5;
    line(ctx, box.left, at, box.right, at);
    ctx.fillText(cut(ctx, t.label, box.left - 14), box.left - 8, at);
  }
  ctx.textBaseline = "top";
  ctx.textAlign = "center";
  let free = -1e9;
  const room = x.kind === "category" ? (box.right - box.left) / Math.max(1, x.names.length) - 6 : 90;
  for (const t of x.ticks) {
    const at = Math.round(box.left + t.at * (box.right - box.left)) + 0.5;
    if (x.kind !== "category") line(ctx, at, box.top, at, box.bottom);
    const text = cut(ctx, t.label, Math.max(30, room));
    const half = ctx.measureText(text).width / 2;
    if (at - half < free) continue;
    ctx.fillText(text, at, box.bottom + 6);
    free = at + half + 6;
  }
  ctx.strokeStyle = color("--line");
  line(ctx, box.left, box.bottom + 0.5, box.right, box.bottom + 0.5);
  ctx.fillText(`${xLabel}${x.kind === "log" ? " (log)" : ""}`, (box.left + box.right) / 2, box.bottom + 24);
  ctx.save();
  ctx.translate(10, (box.top + box.bottom) / 2);
  ctx.rotate(-Math.PI / 2);
  ctx.textBaseline = "middle";
  ctx.fillText(cut(ctx, yLabel, box.bottom - box.top), 0, 0);
  ctx.restore();
}
function line(ctx: CanvasRenderingContext2D, x1: number, y1: number, x2: number, y2: number): void {
  ctx.beginPath();
  ctx.moveTo(x1, y1);
  ctx.lineTo(x2, y2);
  ctx.stroke();
}
