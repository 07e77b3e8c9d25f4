// A canvas that keeps its size, its sharpness and the theme's colours; what is drawn on it comes from outside. Under the
// pointer it says what is there; the same facts stand in a table one click away.
import { useComputedColorScheme } from "@mantine/core";
import { type PointerEvent, type ReactNode, useEffect, useRef, useState } from "react";
import classes from "./charts.module.css";

export interface Pen { ctx: CanvasRenderingContext2D; width: number; height: number; color: (token: string) => string }
export interface Hover { x: number; y: number; content: ReactNode; id?: string }
export interface TableOf { head: readonly string[]; rows: readonly (readonly (string | number | null)[])[] }

interface Props {
  label: string; // one sentence on what is seen
  height: number;
  draw: (pen: Pen) => void; // a new function when what is drawn changes
  hover?: (x: number, y: number, width: number, height: number) => Hover | null;
  onHover?: (id: string | undefined) => void;
  onPick?: (id: string) => void;
  onDrag?: (from: [number, number], to: [number, number], done: boolean, width: number, height: number) => void;
  table: () => TableOf;
  file: string; // name of the CSV
}

const MOST_TABLE_ROWS = 500;

export function Plot({ label, height, draw, hover, onHover, onPick, onDrag, table, file }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [shown, setShown] = useState<Hover | null>(null);
  const [asTable, setAsTable] = useState(false);
  const from = useRef<[number, number] | null>(null);
  const scheme = useComputedColorScheme("light");

  useEffect(() => {
    const node = canvas.current?.parentElement;
    if (!node || asTable) return;
    const watch = new ResizeObserver(() => setWidth(node.clientWidth));
    watch.observe(node);
    return () => watch.disconnect();
  }, [asTable]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: drawn again when the theme changes
  useEffect(() => {
    const node = canvas.current;
    const ctx = node?.getContext("2d");
    if (!node || !ctx || width === 0) return;
    const ratio = devicePixelRatio;
    node.width = width * ratio;
    node.height = height * ratio;
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, height);
    ctx.font = "12px 'Inter Variable'";
    const css = getComputedStyle(document.documentElement);
    draw({ ctx, width, height, color: (token) => (token.startsWith("--") ? css.getPropertyValue(token).trim() : token) });
  }, [draw, width, height, scheme, asTable]);

  const place = (e: PointerEvent): [number, number] => {
    const box = (canvas.current as HTMLCanvasElement).getBoundingClientRect();
    return [e.clientX - box.left, e.clientY - box.top];
  };
  function onMove(e: PointerEvent) {
    const [x, y] = place(e);
    if (from.current && onDrag) return onDrag(from.current, [x, y], false, width, height);
    const next = hover?.(x, y, width, height) ?? null;
    if (next?.id !== shown?.id) onHover?.(next?.id);
    setShown(next);
  }
  if (asTable) return <PlotTable label={label} of={table()} file={file} height={height} onBack={() => setAsTable(false)} />;
  return (
    <figure className={classes.plot} style={{ height }} aria-label={label}>
      <canvas
        ref={canvas} style={{ width: "100%", height, touchAction: onDrag ? "none" : undefined, cursor: shown?.id && onPick ? "pointer" : onDrag ? "crosshair" : undefined }} role="img" aria-label={label}
        onPointerMove={onMove} onPointerLeave={() => { if (shown?.id) onHover?.(undefined); setShown(null); }}
        onPointerDown={(e) => { if (onDrag) { from.current = place(e); (e.target as HTMLElement).setPointerCapture(e.pointerId); } }}
        onPointerUp={(e) => {
          const [x, y] = place(e);
          const began = from.current;
          from.current = null;
          if (began && onDrag && Math.abs(began[1] - y) + Math.abs(began[0] - x) > 3) onDrag(began, [x, y], true, width, height);
          else if (shown?.id && onPick) onPick(shown.id);
          else if (began && onDrag) onDrag(began, began, true, width, height);
        }}
      />
      {shown && <div className={classes.tip} style={{ left: Math.min(shown.x + 12, width - 200), top: Math.min(shown.y + 12, height - 40), maxWidth: 260 }} role="status">{shown.content}</div>}
      <button type="button" className={`plain small ${classes.asTable}`} onClick={() => setAsTable(true)}>As table</button>
    </figure>
  );
}

const csvCell = (v: string | number | null) => { const text = String(v ?? ""); return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };

function PlotTable({ label, of, file, height, onBack }: { label: string; of: TableOf; file: string; height: number; onBack: () => void }) {
  const csv = () => [of.head, ...of.rows].map((r) => r.map(csvCell).join(",")).join("\n");
  return (
    <div className={classes.tableBox} style={{ height }}>
      <div className="row small">
        <button type="button" className="plain" onClick={onBack}>As chart</button>
        <a download={`${file}.csv`} href={URL.createObjectURL(new Blob([csv()], { type: "text/csv" }))}>CSV</a>
        {of.rows.length > MOST_TABLE_ROWS && <span className="muted">the first {MOST_TABLE_ROWS} of {of.rows.length} rows; the CSV has all</span>}
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys */}
      <div className={classes.scroll} tabIndex={0}>
        <table className="plain" aria-label={label}>
          <thead><tr>{of.head.map((h, i) => <th key={h} className={i ? "num" : undefined}>{h}</th>)}</tr></thead>
          <tbody>{of.rows.slice(0, MOST_TABLE_ROWS).map((r, i) => <tr key={`r${i.toString()}`}>{r.map((v, c) => <td key={of.head[c]} className={c ? "num" : undefined}>{v ?? "–"}</td>)}</tr>)}</tbody>
        </table>
      </div>
    </div>
  );
}

/** The frame of a chart with a left and a bottom axis; answers where its inside is. */
export interface Box { left: number; top: number; right: number; bottom: number }
export const boxOf = (width: number, height: number): Box => ({ left: 58, top: 10, right: width - 12, bottom: height - 40 });
export function cut(ctx: CanvasRenderingContext2D, text: string, width: number): string {
  if (ctx.measureText(text).width <= width) return text;
  let short = text;
  while (short.length > 1 && ctx.measureText(`${short}…`).width > width) short = short.slice(0, -1);
  return `${short}…`;
}
