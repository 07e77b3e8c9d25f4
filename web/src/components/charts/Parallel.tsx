// Runs as lines over several axes side by side. Dragging along an axis keeps the runs that pass there; the colour is the last axis.
import { useCallback, useMemo, useState } from "react";
import { type Axis, type Raw, axisOf } from "./axis";
import { type Pen, Plot, cut } from "./Plot";

export interface Dimension { column: string; label: string }
export interface Line { id: string; name: string; values: readonly Raw[] }
export type Brushes = Readonly<Record<string, readonly [number, number]>>; // column → share of its axis, from the bottom

interface Props { dimensions: readonly Dimension[]; lines: readonly Line[]; brushes: Brushes; onBrush: (next: Brushes, done: boolean) => void; height?: number; onPick?: (id: string) => void; show: (v: Raw) => string }

const TOP = 34;
const BOTTOM = 14;
const GRAB = 22; // pixels beside an axis

/** Where the axes of these runs lie, and which lines pass all brushes. */
export function passing(axes: readonly Axis[], dimensions: readonly Dimension[], lines: readonly Line[], brushes: Brushes): Set<string> {
  const ranges = dimensions.map((d) => brushes[d.column]);
  return new Set(lines.filter((l) => ranges.every((r, i) => {
    if (!r) return true;
    const at = axes[i]?.at(l.values[i] ?? null);
    return at !== null && at !== undefined && at >= r[0] && at <= r[1];
  })).map((l) => l.id));
}
export const axesOf = (dimensions: readonly Dimension[], lines: readonly Line[]): Axis[] => dimensions.map((_, i) => axisOf(lines.map((l) => l.values[i] ?? null)));

export function Parallel({ dimensions, lines, brushes, onBrush, height = 320, onPick, show }: Props) {
  const [held, setHeld] = useState<string>();
  const axes = useMemo(() => axesOf(dimensions, lines), [dimensions, lines]);
  const kept = useMemo(() => passing(axes, dimensions, lines, brushes), [axes, dimensions, lines, brushes]);
  const n = dimensions.length;
  const xOf = useCallback((i: number, width: number) => (n === 1 ? width / 2 : 54 + (i / (n - 1)) * (width - 54 - 70)), [n]);
  const yOf = useCallback((share: number, height: number) => height - BOTTOM - share * (height - TOP - BOTTOM), []);

  const draw = useCallback(({ ctx, width, height, color }: Pen) => {
    const [low, high, faint] = [rgb(color("--series-4"), ctx), rgb(color("--series-2"), ctx), color("--line")];
    const shade = (l: Line) => {
      const at = axes[n - 1]?.at(l.values[n - 1] ?? null);
      return at === null || at === undefined ? faint : `rgb(${low.map((c, k) => Math.round(c + ((high[k] as number) - c) * at)).join(" ")})`;
    };
    const stroke = (l: Line, style: string, w: number, alpha: number) => {
      ctx.strokeStyle = style;
      ctx.lineWidth = w;
      ctx.globalAlpha = alpha;
      ctx.beginPath();
      let pen = false;
      for (let i = 0; i < n; i++) {
        const at = axes[i]?.at(l.values[i] ?? null);
        if (at === null || at === undefined) { pen = false; continue; }
        const [x, y] = [xOf(i, width), yOf(at, height)];
        if (!pen) ctx.moveTo(x, y);
        else { const px = xOf(i - 1, width); const py = yOf(axes[i - 1]?.at(l.values[i - 1] ?? null) ?? 0, height); const mid = (px + x) / 2; ctx.bezierCurveTo(mid, py, mid, y, x, y); }
        pen = true;
      }
      ctx.stroke();
    };
    for (const l of lines) if (!kept.has(l.id)) stroke(l, faint, 1, 0.5);
    const alpha = Math.max(0.16, Math.min(0.85, 60 / Math.max(1, kept.size)));
    for (const l of lines) if (kept.has(l.id) && l.id !== held) stroke(l, shade(l), 1.2, alpha);
    const chosen = lines.find((l) => l.id === held);
    if (chosen) stroke(chosen, color("--text"), 2.2, 1);
    ctx.globalAlpha = 1;
    dimensions.forEach((d, i) => { drawAxis(ctx, d, axes[i] as Axis, xOf(i, width), height, i === n - 1, brushes[d.column], color, (width - 124) / Math.max(1, n - 1)); });
  }, [lines, axes, kept, held, dimensions, brushes, n, xOf, yOf]);

  const nearest = (x: number, width: number) => dimensions.map((_, i) => [i, Math.abs(xOf(i, width) - x)] as const).sort((a, b) => a[1] - b[1])[0];
  const hover = (mx: number, my: number, width: number, height: number) => {
    const right = dimensions.findIndex((_, i) => xOf(i, width) >= mx);
    const i = Math.max(1, right < 0 ? n - 1 : right);
    const share = (mx - xOf(i - 1, width)) / (xOf(i, width) - xOf(i - 1, width));
    if (n < 2 || share < -0.05 || share > 1.05) return null;
    const s = Math.min(1, Math.max(0, share));
    const bend = s * s * (3 - 2 * s); // close to the curve that is drawn
    let best: Line | undefined;
    let least = 7;
    for (const l of lines) {
      if (!kept.has(l.id)) continue;
      const [a, b] = [axes[i - 1]?.at(l.values[i - 1] ?? null), axes[i]?.at(l.values[i] ?? null)];
      if (a === null || b === null || a === undefined || b === undefined) continue;
      const d = Math.abs(yOf(a + (b - a) * bend, height) - my);
      if (d < least) [best, least] = [l, d];
    }
    return best ? { x: mx, y: my, id: best.id, content: <><b>{best.name}</b>{dimensions.map((d, k) => <span key={d.column} style={{ display: "block" }}>{d.label} {show(best?.values[k] ?? null)}</span>)}</> } : null;
  };
  function onDrag(from: [number, number], to: [number, number], done: boolean, width: number, height: number) {
    const near = nearest(from[0], width);
    const d = near && dimensions[near[0]];
    if (!d || near[1] > GRAB) return;
    const share = (y: number) => Math.min(1, Math.max(0, (height - BOTTOM - y) / (height - TOP - BOTTOM)));
    const [a, b] = [share(from[1]), share(to[1])];
    const next = { ...brushes };
    if (Math.abs(a - b) < 0.01) { if (done) delete next[d.column]; else return; } else next[d.column] = [Math.min(a, b), Math.max(a, b)];
    onBrush(next, done);
  }
  return (
    <Plot
      label={`${lines.length} runs over ${dimensions.map((d) => d.label).join(", ")}${Object.keys(brushes).length ? `; ${kept.size} pass the brushes` : ""}`} height={height} draw={draw} hover={hover} onHover={setHeld} onPick={onPick} onDrag={onDrag} file="runs"
      table={() => ({ head: ["Run", ...dimensions.map((d) => d.label)], rows: lines.filter((l) => kept.has(l.id)).map((l) => [l.name, ...l.values]) })}
    />
  );
}

function drawAxis(ctx: CanvasRenderingContext2D, d: Dimension, axis: Axis, x: number, height: number, last: boolean, brush: readonly [number, number] | undefined, color: (t: string) => string, room: number): void {
  const y = (share: number) => height - BOTTOM - share * (height - TOP - BOTTOM);
  ctx.strokeStyle = color("--muted");
  ctx.lineWidth = 1;
  ctx.beginPath();
  ctx.moveTo(Math.round(x) + 0.5, y(0));
  ctx.lineTo(Math.round(x) + 0.5, y(1));
  ctx.stroke();
  if (brush) {
    ctx.fillStyle = color("--accent");
    ctx.globalAlpha = 0.3;
    ctx.fillRect(x - 7, y(brush[1]), 14, y(brush[0]) - y(brush[1]));
    ctx.globalAlpha = 1;
    ctx.fillRect(x - 7, y(brush[1]), 14, 2);
    ctx.fillRect(x - 7, y(brush[0]) - 2, 14, 2);
  }
  ctx.textBaseline = "middle";
  ctx.textAlign = last ? "left" : "right";
  const beside = last ? x + 8 : x - 6;
  let free = 1e9;
  for (const t of axis.ticks) {
    const at = y(t.at);
    if (free - at < 15) continue;
    free = at;
    const text = cut(ctx, t.label, last ? 60 : Math.min(room * 0.5, 90));
    const wide = ctx.measureText(text).width;
    ctx.fillStyle = color("--surface");
    ctx.globalAlpha = 0.75;
    ctx.fillRect(last ? beside - 2 : beside - wide - 2, at - 8, wide + 4, 16);
    ctx.globalAlpha = 1;
    ctx.fillStyle = color("--muted");
    ctx.fillText(text, beside, at);
  }
  ctx.fillStyle = color("--text");
  ctx.textAlign = last ? "right" : "center";
  ctx.fillText(cut(ctx, `${d.label}${axis.kind === "log" ? " (log)" : ""}`, Math.max(60, room - 8)), last ? x + 62 : Math.max(x, 40), 12);
}

/** Any CSS colour as three numbers. */
function rgb(css: string, ctx: CanvasRenderingContext2D): number[] {
  ctx.fillStyle = css;
  const hex = String(ctx.fillStyle);
  return [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16));
}
