// A table of any length: only rows in view are in the DOM; what has not come yet is grey.
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef } from "react";
import { formatCount } from "../../lib/format";
import classes from "./viewers.module.css";

const ROW = 26;
const MOST_ROWS = 1_000_000; // what a browser can scroll
const MOST_COLUMNS = 200;

interface Props { label: string; head: readonly string[]; types?: readonly string[]; count: number; at: (row: number) => readonly unknown[] | undefined; want?: (from: number, to: number) => void; note?: string }

export function cellText(v: unknown): string {
  if (v === null || v === undefined) return "";
  if (v instanceof Date) return Number.isNaN(v.getTime()) ? "" : v.toISOString().replace("T", " ").replace(/(\.000)?Z$/, "");
  if (typeof v === "object") return v instanceof Uint8Array ? `${v.length} bytes` : JSON.stringify(v, (_, x: unknown) => (typeof x === "bigint" ? String(x) : x));
  return String(v);
}

export function TableGrid({ label, head, types, count, at, want, note }: Props) {
  const viewport = useRef<HTMLDivElement>(null);
  const columns = head.slice(0, MOST_COLUMNS);
  const rows = Math.min(count, MOST_ROWS);
  const virtual = useVirtualizer({ count: rows, getScrollElement: () => viewport.current, estimateSize: () => ROW, overscan: 20, paddingStart: 30 });
  const items = virtual.getVirtualItems();
  const [first, last] = [items[0]?.index ?? 0, items.at(-1)?.index ?? 0];
  useEffect(() => want?.(first, last), [want, first, last]);
  // The first rows say how wide a column is and whether it holds numbers; later ones do not move it.
  const ready = at(0) !== undefined;
  // biome-ignore lint/correctness/useExhaustiveDependencies: measured once the first rows are there
  const shape = useMemo(() => columns.map((h, c) => {
    const sample = Array.from({ length: Math.min(rows, 60) }, (_, r) => at(r)?.[c]).filter((v) => v !== undefined && v !== null && v !== "");
    const widest = Math.max(h.length + 2, ...sample.map((v) => cellText(v).length));
    return { width: Math.round(Math.min(320, Math.max(56, widest * 7.9 + 24))), right: sample.length > 0 && sample.every((v) => typeof v === "bigint" || (typeof v !== "object" && typeof v !== "boolean" && String(v).trim() !== "" && !Number.isNaN(Number(v)))) };
  }), [head, ready]);
  const template = `56px ${shape.map((s) => `${s.width}px`).join(" ")}`;
  const width = 56 + shape.reduce((n, s) => n + s.width, 0);
  return (
    <>
      <div ref={viewport} className={classes.grid} role="grid" aria-label={label} aria-rowcount={count + 1} aria-colcount={head.length} tabIndex={0}>
        <div className={classes.gridHead} role="row" aria-rowindex={1} style={{ gridTemplateColumns: template, width }}>
          <span role="columnheader" className="num muted">row</span>
          {columns.map((h, c) => <span key={`${h}${c.toString()}`} role="columnheader" className={shape[c]?.right ? "num" : undefined} title={types?.[c] ? `${h}: ${types[c]}` : h}>{h}</span>)}
        </div>
        <div style={{ height: virtual.getTotalSize() - 30, width, position: "relative" }} role="presentation">
          {items.map((item) => {
            const row = at(item.index);
            return (
              <div key={item.index} role="row" aria-rowindex={item.index + 2} className={classes.gridRow} style={{ gridTemplateColumns: template, width, transform: `translateY(${item.start - 30}px)` }}>
                <span role="gridcell" className="num muted">{item.index}</span>
                {columns.map((h, c) => { const v = row?.[c]; return <span key={`${h}${c.toString()}`} role="gridcell" className={shape[c]?.right ? "num" : undefined} title={row ? cellText(v) : undefined}>{row === undefined ? <i className={classes.ghost} /> : v === null || v === undefined ? <span className="muted">–</span> : cellText(v)}</span>; })}
              </div>
            );
          })}
        </div>
      </div>
      <p className={`muted small ${classes.foot}`}>{formatCount(count)} {count === 1 ? "row" : "rows"}, {formatCount(head.length)} {head.length === 1 ? "column" : "columns"}{head.length > MOST_COLUMNS && `, the first ${MOST_COLUMNS} shown`}{count > MOST_ROWS && `, the first ${formatCount(MOST_ROWS)} rows shown`}{note && `. ${note}`}</p>
    </>
  );
}
