// A log: virtual lines of any number, colours, level filter, search with n and N, permalinks to a line, and following that
// stops when one scrolls up. Lines come from lib/log.ts as they are looked at.
import { Select } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { IconArrowDown, IconDownload } from "@tabler/icons-react";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { ansiPieces, levelOf } from "../lib/ansi";
import { formatCount, plural } from "../lib/format";
import type { Found, LogLines } from "../lib/log";
import { SearchInput } from "./FilterBar";
import classes from "./LogView.module.css";

const LINE = 19;
const ANSI = ["--muted", "--fail", "--ok", "--lost", "--run", "--series-5", "--series-6", "--text"];
const SEARCH_AGAIN_MS = 1500; // while lines come

interface Props {
  log: LogLines;
  line?: number; // the line of the address, from 1
  onLine?: (line: number) => void;
  query?: string;
  onQuery?: (query: string) => void;
  level?: string;
  onLevel?: (level: string) => void;
  download?: string; // address of the raw log
  empty?: string;
}

/** Numbers of the lines that match, asked of the server; asked again while the log grows. */
function useFound(log: LogLines, query: string, level: string): Found | undefined {
  const [found, setFound] = useState<Found & { of: string }>();
  const wanted = query || level ? `${level}\n${query}` : "";
  const { find, count } = log;
  const fresh = useRef("");
  // biome-ignore lint/correctness/useExhaustiveDependencies: asked again while the log grows
  useEffect(() => {
    if (!wanted) return setFound(undefined);
    let gone = false;
    const wait = fresh.current === wanted ? SEARCH_AGAIN_MS : 0;
    const timer = setTimeout(() => {
      fresh.current = wanted;
      find(query, level).then((f) => gone || setFound({ ...f, of: wanted }), () => undefined);
    }, wait);
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [find, query, level, wanted, count]);
  return found?.of === wanted ? found : undefined;
}

export function LogView({ log, line, onLine, query = "", onQuery, level = "", onLevel, download, empty = "Nothing was written." }: Props) {
  const viewport = useRef<HTMLDivElement>(null);
  const [follow, setFollow] = useState(!line);
  const [hit, setHit] = useState(0);
  const seen = useRef(0);
  const filtered = useFound(log, "", level);
  const hits = useFound(log, query, level)?.lines ?? [];
  const shown = level ? (filtered?.lines ?? []) : undefined;
  const count = shown ? shown.length : log.count;
  const numberAt = (index: number) => (shown ? (shown[index] as number) : index);
  const indexOf = (number: number) => (shown ? shown.indexOf(number) : number);
  const virtual = useVirtualizer({ count, getScrollElement: () => viewport.current, estimateSize: () => LINE, overscan: 30 });
  const items = virtual.getVirtualItems();
  const [first, last] = [items[0]?.index ?? 0, items.at(-1)?.index ?? 0];
  if (follow) seen.current = count;
  const unseen = count - seen.current;

  // biome-ignore lint/correctness/useExhaustiveDependencies: what is in view is asked for, again when more lines are there
  useEffect(() => {
    if (shown) for (let i = first; i <= last && i < shown.length; i++) log.want(numberAt(i), numberAt(i));
    else if (count > 0) log.want(first, last);
  }, [first, last, count, level]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: to the end with each new line
  useEffect(() => {
    if (follow && count) virtual.scrollToIndex(count - 1, { align: "end" });
  }, [follow, count]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: once the line is there
  useEffect(() => {
    if (line && indexOf(line - 1) >= 0) virtual.scrollToIndex(indexOf(line - 1), { align: "center" });
  }, [line, count >= (line ?? 0)]);

  function step(by: number) {
    if (!hits.length) return;
    const next = (hit + by + hits.length) % hits.length;
    setHit(next);
    setFollow(false);
    const at = indexOf(hits[next] as number);
    if (at >= 0) virtual.scrollToIndex(at, { align: "center" });
  }
  function onKeyDown(e: KeyboardEvent) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === "n" || e.key === "N") step(e.key === "n" ? 1 : -1);
    else if (e.key === "End") setFollow(true);
    else return;
    e.preventDefault();
    e.stopPropagation();
  }
  function onScroll() {
    const node = viewport.current as HTMLDivElement;
    const end = node.scrollHeight - node.scrollTop - node.clientHeight < LINE * 1.5;
    if (end !== follow) setFollow(end);
  }
  const current = hits[hit];
  return (
    <div className={classes.log}>
      <div className={classes.bar}>
        {onQuery && <SearchInput label="Search in the log" value={query} onChange={(q) => { setHit(0); onQuery(q); }} width={220} />}
        {query && <span className="muted small">{hits.length ? `${formatCount(Math.min(hit, hits.length - 1) + 1)} of ${formatCount(hits.length)} · n N` : "not found"}</span>}
        {onLevel && <Select aria-label="Level" w={150} value={level} onChange={(v) => onLevel(v ?? "")} data={[{ value: "", label: "All lines" }, { value: "warn", label: "Warnings, errors" }, { value: "error", label: "Errors" }]} allowDeselect={false} />}
        <span className="spacer" />
        <span className="muted small">{plural(count, "line")}{filtered?.truncated && " and more"}{log.live ? " · live" : ""}</span>
        {download && <a className="small row" style={{ gap: 4 }} href={download} download><IconDownload size={14} aria-hidden /> Raw</a>}
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys */}
      <div ref={viewport} className={classes.viewport} tabIndex={0} role="log" aria-label="Log" aria-live="off" onScroll={onScroll} onKeyDown={onKeyDown}>
        {count === 0 && <p className="muted" style={{ padding: "8px 14px" }}>{level && filtered ? "No line of this level." : log.live ? "Nothing was written yet." : empty}</p>}
        <div style={{ height: virtual.getTotalSize(), position: "relative" }}>
          {items.map((item) => {
            const number = numberAt(item.index);
            const text = log.at(number);
            return (
              <div key={number} className={classes.line} data-level={levelOf(text ?? "")} data-on={number + 1 === line || undefined} data-hit={(query && number === current) || undefined} style={{ transform: `translateY(${item.start}px)` }}>
                <button type="button" tabIndex={-1} className={classes.number} onClick={() => onLine?.(number + 1)} title="Link to this line">{number + 1}</button>
                <span>{ansiPieces(text ?? "").map((p, i) => <span key={`${number}:${i.toString()}`} style={p.color === undefined && !p.bold && !p.dim ? undefined : { color: p.color === undefined ? undefined : `var(${ANSI[p.color]})`, fontWeight: p.bold ? 620 : undefined, opacity: p.dim ? 0.75 : undefined }}>{p.text}</span>)}</span>
              </div>
            );
          })}
        </div>
      </div>
      {!follow && unseen > 0 && <button type="button" className={classes.more} onClick={() => setFollow(true)}><IconArrowDown size={13} aria-hidden /> {formatCount(unseen)} new lines</button>}
    </div>
  );
}
