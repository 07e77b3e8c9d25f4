// Rows of a CSV file of any length: the server hands out windows, only what is in view is asked for and drawn.
import { useQueries } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef } from "react";
import { PixelImage } from "../../components/PixelImage";
import { Problem, Waiting } from "../../components/Problem";
import { currentProject, get, useApi } from "../../lib/api";
import { formatCount } from "../../lib/format";
import { imageShape } from "../../lib/image";
import classes from "./data.module.css";
import type { RowsAnswer } from "./types";

const WINDOW = 200;
const ROW = 24;
const MOST_ROWS = 1_300_000; // what a browser can scroll to
const MOST_COLUMNS = 120;

interface Props { dataRef: string; file: string; row?: number; onRow?: (row: number) => void; wide?: readonly string[] }

export function RowSheet({ dataRef, file, row, onRow, wide = [] }: Props) {
  const path = `/pages/data/${encodeURIComponent(dataRef)}/rows`;
  const first = useApi<RowsAnswer>(path, { file, from: 0, limit: WINDOW });
  const viewport = useRef<HTMLDivElement>(null);
  const total = first.data?.total ?? 0;
  const count = Math.min(total, MOST_ROWS);
  const virtual = useVirtualizer({ count, getScrollElement: () => viewport.current, estimateSize: () => ROW, overscan: 20, paddingStart: 28 });
  const items = virtual.getVirtualItems();
  const windows = [...new Set(items.map((i) => Math.floor(i.index / WINDOW)))];
  const parts = useQueries({
    queries: windows.map((w) => ({ queryKey: [currentProject(), path, { file, from: w * WINDOW, limit: WINDOW }], queryFn: ({ signal }: { signal: AbortSignal }) => get<RowsAnswer>(path, { file, from: w * WINDOW, limit: WINDOW }, signal) })),
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: to the row of the address, once it can be reached
  useEffect(() => {
    if (row && count >= row) virtual.scrollToIndex(row - 1, { align: "center" });
  }, [count > 0, file]);
  if (first.isError) return <Problem error={first.error} retry={() => void first.refetch()} what="The rows" />;
  if (!first.data) return <Waiting rows={14} />;
  if (total === 0) return <p className="muted" style={{ padding: 14 }}>{file} has no rows.</p>;
  const columns = first.data.columns.slice(0, MOST_COLUMNS);
  const image = imageShape(first.data.columns.filter((c) => /\d$/.test(c)));
  const imageColumns = image ? first.data.columns.map((c, i) => [c, i] as const).filter(([c]) => /\d$/.test(c)).map(([, i]) => i) : [];
  // With an image the label comes first: it is what one looks for beside it.
  const order = image ? [...columns.keys()].toSorted((a, b) => Number(imageColumns.includes(a)) - Number(imageColumns.includes(b)) || a - b) : [...columns.keys()];
  const template = `64px ${image ? "26px " : ""}${order.map((i) => (wide.includes(columns[i] as string) ? "minmax(160px, 420px)" : "minmax(56px, max-content)")).map((w) => (w.includes("max-content") ? "88px" : w)).join(" ")}`;
  const rowAt = (index: number): string[] | undefined => {
    const part = parts[windows.indexOf(Math.floor(index / WINDOW))];
    return part?.data?.rows[index % WINDOW];
  };
  return (
    <>
      {(count < total || first.data.columns.length > MOST_COLUMNS) && <p className="muted small" style={{ padding: "0 14px 6px" }}>{count < total && `The first ${formatCount(count)} of ${formatCount(total)} rows. `}{first.data.columns.length > MOST_COLUMNS && `The first ${MOST_COLUMNS} of ${formatCount(first.data.columns.length)} columns. `}The CSV has all.</p>}
      <div ref={viewport} className={classes.sheet} role="grid" aria-label={`Rows of ${file}`} aria-rowcount={total + 1} tabIndex={0}>
      <div role="row" className={classes.sheetHead} style={{ gridTemplateColumns: template }}>
        <span role="columnheader" className="num">row</span>
        {image && <span role="columnheader"><span className="hidden">image</span></span>}
        {order.map((i) => <span role="columnheader" key={columns[i]} title={columns[i]}>{columns[i]}</span>)}
      </div>
      <div role="rowgroup" style={{ height: virtual.getTotalSize() - 28 }}>
        {items.map((item) => {
          const fields = rowAt(item.index);
          return (
            <div role="row" key={item.index} aria-rowindex={item.index + 2} className={classes.sheetRow} data-on={item.index + 1 === row || undefined} style={{ gridTemplateColumns: template, transform: `translateY(${item.start}px)`, top: 0 }} onClick={() => onRow?.(item.index + 1)}>
              <span role="gridcell" className="num muted">{formatCount(item.index + 1)}</span>
              {image && <span role="gridcell">{fields && <PixelImage shape={image} values={imageColumns.map((i) => fields[i] ?? 0)} size={20} label={`Row ${item.index + 1}`} />}</span>}
              {order.map((i) => <span role="gridcell" key={columns[i]} title={fields?.[i]}>{fields ? (fields[i] === "" ? <span className="muted">–</span> : fields[i]) : "…"}</span>)}
            </div>
          );
        })}
      </div>
      </div>
    </>
  );
}
