// Spans over time: the tree at the left, when each ran at the right. Only rows in view are in the DOM.
import { IconBolt, IconBrain, IconChevronDown, IconChevronRight, IconCircleDot, IconDatabaseSearch, IconLink, IconRobot, IconTool, IconVector } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type ComponentType, type KeyboardEvent, type MouseEvent, useMemo, useRef } from "react";
import { formatDuration } from "../../lib/format";
import { type Span, treeOf } from "../../lib/traces";
import classes from "./traces.module.css";

const KINDS: Record<string, [ComponentType<{ size?: number; "aria-hidden"?: boolean }>, string]> = {
  CHAIN: [IconLink, "--series-1"], AGENT: [IconRobot, "--series-4"], LLM: [IconBrain, "--series-2"], CHAT_MODEL: [IconBrain, "--series-2"], TOOL: [IconTool, "--series-5"], RETRIEVER: [IconDatabaseSearch, "--series-6"], EMBEDDING: [IconVector, "--series-7"], RERANKER: [IconDatabaseSearch, "--series-6"], PARSER: [IconBolt, "--series-8"],
};
export const kindOf = (type: string) => KINDS[type] ?? [IconCircleDot, "--series-8"];

interface Props { spans: readonly Span[]; chosen?: string; closed: ReadonlySet<string>; onChoose: (id: string) => void; onFold: (id: string) => void }

export function Waterfall({ spans, chosen, closed, onChoose, onFold }: Props) {
  const viewport = useRef<HTMLDivElement>(null);
  const rows = useMemo(() => treeOf(spans, closed), [spans, closed]);
  const end = useMemo(() => Math.max(1e-6, ...spans.map((s) => s.start + s.ms)), [spans]);
  const virtual = useVirtualizer({ count: rows.length, getScrollElement: () => viewport.current, estimateSize: () => 28, overscan: 12 });
  function onKeyDown(e: KeyboardEvent) {
    const at = rows.findIndex((r) => r.span.id === chosen);
    const row = rows[at];
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 15, PageUp: -15, Home: -rows.length, End: rows.length }[e.key];
    if (step !== undefined) {
      const next = Math.min(rows.length - 1, Math.max(0, at + step));
      const to = rows[next];
      if (to) onChoose(to.span.id);
      virtual.scrollToIndex(next);
    } else if ((e.key === "ArrowRight" || e.key === "ArrowLeft") && row?.children) {
      if (closed.has(row.span.id) === (e.key === "ArrowRight")) onFold(row.span.id);
    } else return;
    e.preventDefault();
  }
  function onClick(e: MouseEvent) {
    const target = e.target as HTMLElement;
    const row = rows[Number(target.closest<HTMLElement>("[data-index]")?.dataset.index ?? -1)];
    if (!row) return;
    if (target.closest("[data-fold]") && row.children) onFold(row.span.id);
    else onChoose(row.span.id);
  }
  return (
    <div className={classes.fall}>
      <div className={classes.scale} aria-hidden><div style={{ position: "absolute", left: "46%", right: 12, top: 0, bottom: 0 }}>{[0, 0.5, 1].map((s) => <span key={s} style={{ left: `${s * 100}%` }}>{formatDuration(s * end)}</span>)}</div></div>
      <div ref={viewport} className={classes.rows} role="tree" aria-label="Spans" tabIndex={0} onKeyDown={onKeyDown} onClick={onClick} aria-activedescendant={chosen ? `span-${chosen}` : undefined}>
        <div style={{ height: virtual.getTotalSize(), position: "relative" }} role="presentation">
          {virtual.getVirtualItems().map((item) => {
            const { span, depth, children } = rows[item.index] as (typeof rows)[number];
            const [Icon, color] = kindOf(span.type);
            const [left, width] = [(span.start / end) * 100, (span.ms / end) * 100];
            const right = left + width > 70;
            return (
              <div
                key={span.id} id={`span-${span.id}`} role="treeitem" tabIndex={-1} aria-level={depth + 1} aria-selected={span.id === chosen} aria-expanded={children ? !closed.has(span.id) : undefined} data-index={item.index} data-on={span.id === chosen || undefined}
                className={classes.row} style={{ transform: `translateY(${item.start}px)` }} title={`${span.name}\n${span.type}\n${formatDuration(span.ms)}, begins at ${formatDuration(span.start)}${span.message ? `\n${span.message.slice(0, 300)}` : ""}`}
              >
                <span className={classes.label} style={{ paddingLeft: 6 + Math.min(depth, 12) * 14 }}>
                  <span className={classes.fold} data-fold>{children > 0 && (closed.has(span.id) ? <IconChevronRight size={13} aria-hidden /> : <IconChevronDown size={13} aria-hidden />)}</span>
                  <Icon size={14} aria-hidden /><span className="cut">{span.name}</span>{span.status === "ERROR" && <span role="img" aria-label="failed" style={{ color: "var(--fail)" }}>✕</span>}
                </span>
                <span className={classes.time}>
                  <i className={classes.bar} data-failed={span.status === "ERROR" || undefined} style={{ left: `${left}%`, width: `${width}%`, "--c": `var(${color})` } as never} />
                  <span className={classes.ms} style={right ? { right: `${100 - left}%`, paddingRight: 6 } : { left: `${left + width}%`, paddingLeft: 6 }}>{formatDuration(span.ms)}</span>
                </span>
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
