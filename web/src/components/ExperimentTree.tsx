// The experiments as folders, by the "/" in their names. A click shows one, Ctrl-click or the box adds another: runs of
// several experiments side by side are usual. A folder stands for all below it.
import { ActionIcon, CloseButton, TextInput, Tooltip } from "@mantine/core";
import { IconChevronDown, IconChevronRight, IconFlask, IconFolder, IconLayoutSidebarLeftCollapse } from "@tabler/icons-react";
import { type KeyboardEvent, type MouseEvent, useMemo, useRef, useState } from "react";
import { formatCount, formatInstant } from "../lib/format";
import { type Branch, buildTree, flatten, idsBelow, without } from "../lib/experiment-tree";
import type { Experiment } from "../lib/tracking";
import classes from "./ExperimentTree.module.css";

const MOST_SHOWN = 500;
const ROW = 28;

interface Props { experiments: readonly Experiment[]; chosen: readonly string[]; onChoose: (ids: string[]) => void; onHide: () => void }

export function ExperimentTree({ experiments, chosen, onChoose, onHide }: Props) {
  const [part, setPart] = useState("");
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const [active, setActive] = useState("");
  const list = useRef<HTMLDivElement>(null);
  const picked = useMemo(() => new Set(chosen), [chosen]);
  const shown = useMemo(() => experiments.filter((e) => e.name.toLowerCase().includes(part.toLowerCase())), [experiments, part]);
  const tree = useMemo(() => buildTree(shown), [shown]);
  const rows = useMemo(() => flatten(tree, closed), [tree, closed]);
  const total = experiments.reduce((n, e) => n + e.runs, 0);

  const fold = (path: string) => setClosed((old) => { const next = new Set(old); if (!next.delete(path)) next.add(path); return next; });
  function choose(branch: Branch, add: boolean) {
    const ids = idsBelow(branch);
    const all = ids.every((id) => picked.has(id));
    if (!add) onChoose(all && chosen.length === ids.length ? [] : ids);
    else onChoose(all ? without(chosen, ids) : [...new Set([...chosen, ...ids])]);
  }
  function onKeyDown(e: KeyboardEvent) {
    const at = Math.max(0, rows.findIndex((r) => r.branch.path === active));
    const row = rows[at];
    if (!row) return;
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      const next = rows[Math.min(rows.length - 1, Math.max(0, at + (e.key === "ArrowDown" ? 1 : -1)))];
      if (next) { setActive(next.branch.path); list.current?.querySelector(`[data-path="${CSS.escape(next.branch.path)}"]`)?.scrollIntoView({ block: "nearest" }); }
    } else if (e.key === "ArrowRight" || e.key === "ArrowLeft") {
      if (row.branch.children.length && closed.has(row.branch.path) === (e.key === "ArrowRight")) fold(row.branch.path);
    } else if (e.key === "Enter") choose(row.branch, false);
    else if (e.key === " ") choose(row.branch, true);
    else return;
    e.preventDefault();
    e.stopPropagation();
  }
  function onClick(e: MouseEvent<HTMLElement>) {
    const target = e.target as HTMLElement;
    const path = target.closest<HTMLElement>("[data-path]")?.dataset.path;
    const row = rows.find((r) => r.branch.path === path);
    if (!row) return;
    setActive(row.branch.path);
    if (target.closest("[data-fold]")) fold(row.branch.path);
    else choose(row.branch, e.ctrlKey || e.metaKey || e.shiftKey || !!target.closest("[data-box]"));
  }
  return (
    <section className={classes.side} aria-label="Experiments">
      <header>
        <b>Experiments</b><span className="muted small">{formatCount(experiments.length)}</span><span className="spacer" />
        <Tooltip label="Hide the experiments"><ActionIcon size={24} aria-label="Hide the experiments" onClick={onHide}><IconLayoutSidebarLeftCollapse size={16} /></ActionIcon></Tooltip>
      </header>
      {experiments.length > 6 && <div className={classes.find}><TextInput aria-label="Find an experiment" placeholder="Find" value={part} onChange={(e) => setPart(e.currentTarget.value)} rightSection={part ? <CloseButton size="xs" aria-label="Clear" onClick={() => setPart("")} /> : null} /></div>}
      <button type="button" className={classes.all} aria-pressed={chosen.length === 0} data-on={chosen.length === 0 || undefined} onClick={() => onChoose([])}><span>All experiments</span><span className="muted small num">{formatCount(total)}</span></button>
      {/* One tab stop; arrows move, Enter chooses, Space adds. */}
      <div ref={list} className={classes.list} role="tree" aria-label="Experiments by folder" aria-multiselectable tabIndex={0} onKeyDown={onKeyDown} onClick={onClick} aria-activedescendant={active ? `exp-${active}` : undefined}>
        {rows.slice(0, MOST_SHOWN).map(({ branch, depth }) => {
          const ids = idsBelow(branch);
          const on = ids.filter((id) => picked.has(id)).length;
          const open = !closed.has(branch.path);
          const folder = branch.children.length > 0;
          return (
            <div
              key={branch.path} id={`exp-${branch.path}`} data-path={branch.path} className={classes.row} role="treeitem" tabIndex={-1} aria-level={depth + 1} aria-selected={on === ids.length} aria-expanded={folder ? open : undefined}
              data-on={on === ids.length || undefined} data-active={branch.path === active || undefined} style={{ height: ROW, paddingLeft: 4 + depth * 14 }}
              title={`${branch.path}\n${formatCount(branch.runs)} runs${branch.newest ? `, the newest ${formatInstant(branch.newest)}` : ""}`}
            >
              {folder ? <span data-fold className={classes.fold}>{open ? <IconChevronDown size={13} aria-hidden /> : <IconChevronRight size={13} aria-hidden />}</span> : <span className={classes.fold} />}
              {folder && !branch.experiment ? <IconFolder size={14} aria-hidden /> : <IconFlask size={14} aria-hidden />}
              <span className="cut">{branch.name}</span>
              <span className={`muted small num ${classes.count}`}>{formatCount(branch.runs)}</span>
              <i data-box className={classes.box} data-state={on === 0 ? undefined : on === ids.length ? "on" : "some"} title={on === ids.length ? "Leave out" : "Add"} />
            </div>
          );
        })}
        {rows.length > MOST_SHOWN && <p className="muted small" style={{ padding: "4px 8px" }}>The first {MOST_SHOWN} of {formatCount(rows.length)}; find the others by name.</p>}
        {shown.length === 0 && part && <p className="muted small" style={{ padding: "4px 8px" }}>No experiment has this name.</p>}
      </div>
    </section>
  );
}
