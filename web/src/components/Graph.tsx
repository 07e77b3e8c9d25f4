// A directed graph: laid out once per structure, recoloured by state. Nodes say their status by shape, word and colour.
import { Background, Controls, type Edge, Handle, type Node, type NodeProps, Position, ReactFlow, type ReactFlowInstance } from "@xyflow/react";
import "@xyflow/react/dist/base.css";
import { type ReactNode, useLayoutEffect, useMemo, useRef, useState } from "react";
import { type Direction, type Layout, layout, visibleNeeds } from "../lib/layout";
import { StatusMark, statusColor, statusLabel } from "./StatusMark";
import classes from "./Graph.module.css";

export interface GraphItem {
  id: string;
  label: string;
  needs: readonly string[]; // ids of what comes before it
  status?: string;
  icon?: ReactNode; // instead of the status' shape
  note?: string; // duration, count
  detail?: string; // second line: why skipped, the last error
  title?: string;
  moving?: boolean; // the edges into it are drawn strong
}

interface Props {
  label: string;
  items: readonly GraphItem[];
  chosen?: string;
  onChoose?: (id: string | null) => void;
  onOpen?: (id: string) => void; // Enter or double-click
  direction?: Direction;
  width?: number;
}

type ItemNode = Node<{ item: GraphItem; down: boolean; width: number; height: number }, "item">;
function ItemCard({ data: { item, down, width, height }, selected }: NodeProps<ItemNode>) {
  return (
    <div className={classes.node} data-selected={selected || undefined} style={{ width, height, borderLeftColor: item.status ? statusColor(item.status) : undefined }} title={item.title}>
      <Handle type="target" position={down ? Position.Top : Position.Left} isConnectable={false} />
      <span className={classes.line}>
        {item.icon ?? (item.status && <StatusMark status={item.status} bare />)}
        <span className={classes.label}>{item.label}</span>
        {item.note && <span className={classes.note}>{item.note}</span>}
      </span>
      {item.detail && <span className={`${classes.detail} cut`}>{item.detail}</span>}
      <Handle type="source" position={down ? Position.Bottom : Position.Right} isConnectable={false} />
    </div>
  );
}
const NODE_TYPES = { item: ItemCard };

export function Graph({ label, items, chosen, onChoose, onOpen, direction, width = 200 }: Props) {
  const canvas = useRef<HTMLDivElement>(null);
  const flow = useRef<ReactFlowInstance<ItemNode, Edge>>(undefined);
  const [drawn, setDrawn] = useState<Layout>();
  const height = items.some((i) => i.detail) ? 52 : 36;
  const structure = items.map((i) => `${i.id}<${i.needs.join(",")}`).join(";");
  // biome-ignore lint/correctness/useExhaustiveDependencies: the structure is what is laid out, not the state
  const needs = useMemo(() => visibleNeeds(items), [structure]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: as above
  useLayoutEffect(() => {
    const { clientWidth, clientHeight } = canvas.current as HTMLDivElement;
    setDrawn(layout(items, needs, { width: clientWidth, height: clientHeight }, { width, height }, direction));
    requestAnimationFrame(() => void flow.current?.fitView({ padding: 0.06, maxZoom: 1, minZoom: 0.7 }));
  }, [structure, direction, width, height]);
  const nodes = items.map(
    (item): ItemNode => ({
      id: item.id, type: "item", position: drawn?.places.get(item.id) ?? { x: 0, y: 0 }, data: { item, down: drawn?.direction === "TB", width, height }, selected: item.id === chosen,
      width, height, ariaLabel: [item.label, item.status && statusLabel(item.status), item.note, item.detail].filter(Boolean).join(", "),
    }),
  );
  const edges = items.flatMap((t) => (needs.get(t.id) ?? []).map((n): Edge => ({ id: `${n}>${t.id}`, source: n, target: t.id, className: t.moving ? classes.moving : undefined, focusable: false })));

  /** Arrows walk along the edges from the chosen node. */
  function onKeyDown(e: React.KeyboardEvent) {
    const here = items.find((i) => i.id === chosen);
    if (e.key === "Enter" && here) onOpen?.(here.id);
    if (!onChoose || !["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(e.key)) return;
    const down = drawn?.direction === "TB";
    const back = e.key === (down ? "ArrowUp" : "ArrowLeft");
    const on = e.key === (down ? "ArrowDown" : "ArrowRight");
    const siblings = here && drawn ? items.filter((i) => near(drawn, i.id, here.id, !!down)).toSorted((a, b) => along(drawn, a.id, !!down) - along(drawn, b.id, !!down)) : [];
    const at = siblings.findIndex((i) => i.id === chosen);
    const next = !here ? items[0]?.id
      : back ? here.needs[0]
      : on ? items.find((i) => needs.get(i.id)?.includes(here.id))?.id
      : siblings[at + (e.key === "ArrowUp" || e.key === "ArrowLeft" ? -1 : 1)]?.id;
    if (next) onChoose(next);
    e.preventDefault();
    e.stopPropagation();
  }
  return (
    <div className={classes.canvas} ref={canvas} onKeyDownCapture={onKeyDown}>
      {drawn && (
        <ReactFlow
          aria-label={label} nodes={nodes} edges={edges} nodeTypes={NODE_TYPES} fitView fitViewOptions={{ padding: 0.06, maxZoom: 1, minZoom: 0.7 }} minZoom={0.1} maxZoom={1.6}
          nodesDraggable={false} nodesConnectable={false} edgesFocusable={false} onlyRenderVisibleElements={items.length > 60} deleteKeyCode={null} zoomOnDoubleClick={false}
          onInit={(instance) => { flow.current = instance; }} onNodeClick={(_, n) => onChoose?.(n.id)} onNodeDoubleClick={(_, n) => onOpen?.(n.id)} onPaneClick={() => onChoose?.(null)}
        >
          <Background gap={20} size={1} color="var(--line)" /><Controls showInteractive={false} />
        </ReactFlow>
      )}
    </div>
  );
}

const at = (l: Layout, id: string) => l.places.get(id) ?? { x: 0, y: 0 };
const near = (l: Layout, a: string, b: string, down: boolean) => Math.abs(down ? at(l, a).y - at(l, b).y : at(l, a).x - at(l, b).x) < 8;
const along = (l: Layout, id: string, down: boolean) => (down ? at(l, id).x : at(l, id).y);
