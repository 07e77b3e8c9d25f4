// The one table of all lists: only rows in view are in the DOM, one tab stop, keys, selection, peek. Cells are plain
// elements (a library component in each row doubled the frame time), with one handler for all links.
import { useVirtualizer } from "@tanstack/react-virtual";
import { useRouter } from "@tanstack/react-router";
import { IconArrowDown, IconArrowUp } from "@tabler/icons-react";
import { type KeyboardEvent, type MouseEvent, type ReactNode, memo, useEffect, useMemo, useRef, useState } from "react";
import { copyText } from "../lib/copy";
import type { Rows } from "../lib/rows";
import { Problem, Waiting } from "./Problem";
import classes from "./DataGrid.module.css";

const ROW = 28;
const HEAD = 30;
// Chromium clips elements at 33.5 million pixels; past this many rows the list is cut and says so.
const MOST_ROWS = 1_000_000;

export interface Column<R> {
  key: string;
  label: ReactNode;
  width: string; // a track of CSS grid: "104px", "minmax(160px, 1.5fr)"
  cell: (row: R) => ReactNode;
  right?: boolean; // numbers
  sort?: string; // the name that onSort gets; without it the column has no order
  hint?: string; // what it means
  title?: (row: R) => string | undefined; // the exact value
  raw?: (row: R) => string; // for copying (c)
}

interface Props<R> {
  label: string; // of the grid, for screen readers
  columns: readonly Column<R>[];
  rows: Rows<R>;
  id: (row: R) => string;
  /** The page of a row: Enter and the link in the name column open it. */
  href?: (row: R) => string;
  sort?: { key: string; descending: boolean };
  onSort?: (key: string, descending: boolean) => void;
  peek?: string; // id of the row whose panel is open
  onPeek?: (id: string | null) => void;
  picked?: ReadonlySet<string>;
  onPick?: (ids: ReadonlySet<string>) => void;
  name?: (row: R) => string; // for "Select NAME"
  mark?: (row: R) => "muted" | "attention" | undefined;
  empty: ReactNode; // nothing is in the list
  pinned?: readonly R[]; // stay under the head while the others scroll
  panel?: ReactNode; // <Peek>, at the right
  autoFocus?: boolean;
}

const NONE: readonly never[] = [];

export function DataGrid<R>(props: Props<R>) {
  const { label, columns, rows, id, href, sort, onSort, peek, onPeek, picked, onPick, name, mark, empty, panel, pinned = NONE, autoFocus = true } = props;
  const router = useRouter();
  const viewport = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0);
  const anchor = useRef(0);
  const count = Math.min(rows.count, MOST_ROWS);
  const template = useMemo(() => `${onPick ? "30px " : ""}${columns.map((c) => c.width).join(" ")}`, [columns, onPick]);
  const least = useMemo(() => columns.reduce((sum, c) => sum + Number(/\d+/.exec(c.width)?.[0] ?? 80) + 12, onPick ? 70 : 28), [columns, onPick]);
  const top = HEAD + pinned.length * ROW;
  const virtual = useVirtualizer({ count, getScrollElement: () => viewport.current, estimateSize: () => ROW, overscan: 12, paddingStart: top, scrollPaddingStart: top });
  const items = virtual.getVirtualItems();
  const [first, last] = [items[0]?.index ?? 0, items.at(-1)?.index ?? 0];
  const { want } = rows;
  useEffect(() => want(first, last), [want, first, last]);
  const ready = !rows.loading && !rows.error;
  useEffect(() => {
    if (autoFocus && ready && document.activeElement === document.body) viewport.current?.focus({ preventScroll: true });
  }, [autoFocus, ready]);
  useEffect(() => {
    if (active >= count && count > 0) setActive(count - 1);
  }, [active, count]);

  // The pinned rows have the places before the first: −1 is the last of them.
  const rowAt = (index: number) => (index < 0 ? pinned[pinned.length + index] : rows.at(index));
  function move(to: number) {
    const next = Math.min(Math.max(to, 0), count - 1);
    setActive(next);
    virtual.scrollToIndex(next);
    const row = rowAt(next);
    if (peek && row && onPeek) onPeek(id(row));
  }
  function pick(index: number, range: boolean) {
    if (!onPick) return;
    const next = new Set(picked);
    const [from, to] = range ? [Math.min(anchor.current, index), Math.max(anchor.current, index)] : [index, index];
    const row = rowAt(index);
    const on = row !== undefined && (range || !next.has(id(row)));
    for (let i = from; i <= to; i++) {
      const r = rowAt(i);
      if (r !== undefined) on ? next.add(id(r)) : next.delete(id(r));
    }
    if (index >= 0) anchor.current = index;
    onPick(next);
  }

  function onKeyDown(e: KeyboardEvent) {
    if (e.ctrlKey || e.metaKey || e.altKey || count === 0) return;
    const screen = Math.max(1, Math.floor((viewport.current?.clientHeight ?? 0) / ROW) - 2);
    const steps: Record<string, number> = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: screen, PageUp: -screen, Home: -count, End: count };
    const step = steps[e.key];
    const row = rowAt(active);
    if (step !== undefined) {
      move(active + step);
      if (e.shiftKey && onPick) pick(Math.min(Math.max(active + step, 0), count - 1), true);
    } else if (e.key === "Enter" && row) {
      if (href) router.history.push(href(row));
      else onPeek?.(id(row));
    } else if (e.key === " " && row && onPeek) onPeek(peek === id(row) ? null : id(row));
    else if ((e.key === "x" || e.key === "X") && onPick) pick(active, e.shiftKey);
    else if (e.key === "c" && row) void copyText(columns.map((c) => c.raw?.(row) ?? "").filter(Boolean).join("\t") || id(row));
    else if (e.key === "Escape" && (peek || picked?.size)) {
      if (peek) onPeek?.(null);
      else onPick?.(new Set());
    } else return;
    e.preventDefault();
    e.stopPropagation();
  }

  /** One handler for the whole grid: links, the checkbox, and the row itself. Modified clicks stay the browser's. */
  function onClick(e: MouseEvent<HTMLElement>) {
    const target = e.target as HTMLElement;
    const link = target.closest<HTMLAnchorElement>("a[href]");
    if (link) {
      if (e.ctrlKey || e.metaKey || e.shiftKey || link.target || link.origin !== location.origin) return;
      e.preventDefault();
      router.history.push(link.pathname + link.search);
      return;
    }
    const line = target.closest<HTMLElement>("[data-index]");
    if (!line) return;
    const index = Number(line.dataset.index);
    const row = rowAt(index);
    if (!row) return;
    if (index >= 0) setActive(index);
    if (target.closest("[data-pick]")) return pick(index, e.shiftKey && index >= 0);
    if (target.closest("button, input")) return;
    if (onPeek) onPeek(id(row));
    else if (href) router.history.push(href(row));
  }

  if (rows.error) return <div className={classes.split}><div className={classes.single}><Problem error={rows.error} retry={rows.retry} what={label} /></div></div>;
  // What stands in an empty list is no row of a grid.
  if (ready && count === 0 && pinned.length === 0) return <div className={classes.split}><div className={classes.single} data-stale={rows.stale || undefined}>{empty}</div>{panel}</div>;
  return (
    <div className={classes.split}>
      <div
        ref={viewport} className={classes.viewport} role="grid" aria-label={label} aria-rowcount={(rows.total ?? count) + pinned.length + 1} aria-multiselectable={onPick ? true : undefined}
        aria-busy={rows.loading || rows.stale} tabIndex={0} onKeyDown={onKeyDown} onClick={onClick} data-stale={rows.stale || undefined}
      >
        <div role="rowgroup" className={classes.headGroup} style={{ minWidth: least }}>
          <div role="row" aria-rowindex={1} className={classes.head} style={{ gridTemplateColumns: template }}>
            {onPick && <span role="columnheader"><span className="hidden">Select</span></span>}
            {columns.map((c) => {
              const sorted = sort && c.sort === sort.key;
              return (
                <span key={c.key} role="columnheader" title={c.hint} className={c.right ? classes.right : undefined} aria-sort={sorted ? (sort.descending ? "descending" : "ascending") : undefined}>
                  {c.sort && onSort ? (
                    <button type="button" tabIndex={-1} className={classes.sort} onClick={() => onSort(c.sort as string, sorted ? !sort.descending : !!c.right)}>
                      <span className="cut">{c.label}</span>{sorted && (sort.descending ? <IconArrowDown size={12} aria-hidden /> : <IconArrowUp size={12} aria-hidden />)}
                    </button>
                  ) : <span className={`cut ${classes.plain}`}>{c.label}</span>}
                </span>
              );
            })}
          </div>
          {pinned.map((row, i) => (
            <Row
              key={id(row)} row={row} index={i - pinned.length} place={i + 2} top={HEAD + i * ROW} template={template} columns={columns as readonly Column<unknown>[]} active={false} pinned
              picked={onPick ? (picked?.has(id(row)) ?? false) : undefined} peeked={peek === id(row)} name={name?.(row) ?? id(row)} mark={mark?.(row)}
            />
          ))}
        </div>
        {rows.loading ? <Waiting rows={12} /> : (
          <div role="rowgroup" style={{ height: virtual.getTotalSize(), minWidth: least, position: "relative" }}>
            {items.map((item) => {
              const row = rowAt(item.index);
              const key = row === undefined ? `w${item.index}` : id(row);
              return (
                <Row
                  key={key} row={row} index={item.index} place={item.index + 2 + pinned.length} top={item.start} template={template} columns={columns as readonly Column<unknown>[]} active={item.index === active}
                  picked={onPick ? (picked?.has(key) ?? false) : undefined} peeked={peek === key} name={row === undefined ? "" : (name?.(row) ?? key)} mark={row === undefined ? undefined : mark?.(row)}
                />
              );
            })}
          </div>
        )}
        {rows.count > MOST_ROWS && <p className={classes.cut}>The first {MOST_ROWS.toLocaleString("en")} rows; filter to see the others.</p>}
      </div>
      {panel}
    </div>
  );
}

interface RowProps { row: unknown; index: number; place: number; top: number; template: string; columns: readonly Column<unknown>[]; active: boolean; picked?: boolean; peeked: boolean; name: string; mark?: string; pinned?: boolean }
const Row = memo(function Row({ row, index, place, top, template, columns, active, picked, peeked, name, mark, pinned }: RowProps) {
  return (
    <div
      role="row" aria-rowindex={place} aria-selected={picked} data-index={index} data-active={active || undefined} data-picked={picked || peeked || undefined} data-mark={mark} data-pinned={pinned}
      className={classes.row} style={{ gridTemplateColumns: template, transform: `translateY(${top}px)` }}
    >
      {picked !== undefined && <span role="gridcell" data-pick className={classes.pick}>{row !== undefined && <input type="checkbox" tabIndex={-1} checked={picked} readOnly aria-label={`Select ${name}`} />}</span>}
      {columns.map((c) => (
        <span key={c.key} role="gridcell" className={c.right ? "num" : undefined} title={row === undefined ? undefined : c.title?.(row)}>{row === undefined ? <span className={classes.ghost} /> : c.cell(row)}</span>
      ))}
    </div>
  );
});
