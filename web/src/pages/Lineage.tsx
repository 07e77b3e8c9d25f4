// What something was made from and what was made from it: from raw file to prediction, left to right, and the same as a table.
import { Button, SegmentedControl, TextInput } from "@mantine/core";
import { IconBell, IconBinaryTree2, IconChartDots3, IconCube, IconDatabase, IconFile, IconFileCode, IconFlask, IconGavel, IconPlayerPlay, IconPlugConnected, IconRuler, IconSparkles, IconTimeline } from "@tabler/icons-react";
import { getRouteApi, useRouter } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { CopyId } from "../components/CopyId";
import { type Column, DataGrid } from "../components/DataGrid";
import { FilterBar } from "../components/FilterBar";
import { Graph } from "../components/Graph";
import { PageHead } from "../components/PageHead";
import { Facts, Peek } from "../components/Peek";
import { Empty, Loaded } from "../components/Problem";
import { useAction } from "../lib/actions";
import { currentProject, useApi } from "../lib/api";
import { formatAgo, formatInstant, fromUs, shortId } from "../lib/format";
import { placeOf } from "../lib/places";
import { useArrayRows } from "../lib/rows";

const route = getRouteApi("/shell/p/$project/lineage");

interface LineageNode {
  kind: string;
  id: string;
  step: number; // below 0: it came before
  beyond: number; // edges that are not drawn
  facts: [string, string][];
  place: { pipeline?: string; number?: number; stage?: string; endpoint?: string; name?: string };
}
interface LineageEdge { from: { kind: string; id: string }; to: { kind: string; id: string }; role: string; at_us: number }
interface Answer { start: { kind: string; id: string }; nodes: LineageNode[]; edges: LineageEdge[]; truncated: boolean }
interface Start { kind: string; id: string; text: string; at_us: number }

const KINDS: Record<string, [string, typeof IconFile]> = {
  file: ["Raw file", IconFile],
  data_version: ["Data", IconDatabase],
  bundle: ["Code", IconFileCode],
  pipeline_run: ["Pipeline run", IconPlayerPlay],
  attempt: ["Task", IconBinaryTree2],
  run: ["Run", IconFlask],
  logged_model: ["Model", IconCube],
  model_version: ["Model version", IconCube],
  evaluation: ["Evaluation", IconRuler],
  verdict: ["Verdict", IconGavel],
  revision: ["Endpoint", IconPlugConnected],
  window: ["Window", IconTimeline],
  alert: ["Alert", IconBell],
  prediction: ["Prediction", IconSparkles],
};
const key = (n: { kind: string; id: string }) => `${n.kind}:${n.id}`;
const kindName = (kind: string) => KINDS[kind]?.[0] ?? kind;

/** What people call it. */
function nameOf(n: LineageNode): string {
  const fact = (name: string) => n.facts.find(([k]) => k === name)?.[1];
  switch (n.kind) {
    case "file": return n.id.replace(/^[^/]*\//, "").replace(/@[0-9a-f]+$/, "");
    case "data_version": return n.place.name ? `${n.place.name}@${n.place.number}` : shortId(n.id);
    case "bundle": return fact("commit")?.match(/^[0-9a-f]{8}/)?.[0] ?? shortId(n.id);
    case "pipeline_run": return n.place.pipeline ? `${n.place.pipeline} #${n.place.number}` : shortId(n.id);
    case "attempt": return n.place.stage ?? shortId(n.id);
    case "window": return n.place.number ? `window ${n.place.number}` : shortId(n.id);
    case "alert": return fact("kind") ?? shortId(n.id);
    case "run": case "logged_model": return fact("name") ?? shortId(n.id);
    case "revision": return n.place.endpoint ? `${n.place.endpoint}, revision ${n.id.slice(n.place.endpoint.length + 1)}` : n.id;
    case "model_version": return n.id;
    default: return shortId(n.id);
  }
}

/** The page of the thing itself; null where the lineage is all there is. */
function hrefOf(project: string, n: LineageNode): string | null {
  switch (n.kind) {
    case "data_version": return placeOf(project, "data_version", n.place.name ? `${n.place.name}@${n.place.number}` : n.id);
    case "pipeline_run": return n.place.pipeline ? placeOf(project, "pipeline_run", String(n.place.number), { pipeline: n.place.pipeline }) : null;
    case "attempt": return n.place.pipeline ? `${placeOf(project, "pipeline_run", String(n.place.number), { pipeline: n.place.pipeline })}?task=${encodeURIComponent(n.place.stage ?? "")}` : null;
    case "revision": return n.place.endpoint ? `${placeOf(project, "endpoint", n.place.endpoint)}/settings` : null;
    case "alert": return n.place.endpoint ? placeOf(project, "alert", n.id, { endpoint: n.place.endpoint }) : null;
    case "window": return n.place.endpoint ? `${placeOf(project, "monitor", n.place.endpoint)}?window=${n.id}` : null;
    case "run": case "model_version": case "evaluation": return placeOf(project, n.kind, n.id);
    default: return null;
  }
}

const MOST_STEPS = 10;
const SAID = new Set(["name", "data", "pipeline", "stage", "commit"]); // by the node's own name

export function Lineage() {
  const { id, depth, direction, view, peek } = route.useSearch();
  const navigate = route.useNavigate();
  const [typed, setTyped] = useState(id);
  const up = direction === "down" ? 0 : depth;
  const down = direction === "up" ? 0 : depth;
  const query = useApi<Answer>("/pages/lineage", { id, up, down }, { enabled: id !== "", keep: true, topics: ["pipeline_run", "stage", "data_version", "model_version", "endpoint", "alert", "verdict"] });
  const start = query.data?.nodes[0];
  const go = (next: string) => { setTyped(next); void navigate({ search: (s) => ({ ...s, id: next, peek: "", depth: 1 }) }); };
  useAction(id && depth < MOST_STEPS ? { id: "deeper", label: "One step further, both ways", keys: "+", group: "Here", run: () => void navigate({ search: (s) => ({ ...s, depth: s.depth + 1 }), replace: true }) } : null);
  useAction(id ? { id: "table", label: view === "graph" ? "As a table" : "As a graph", keys: "t", group: "Here", run: () => void navigate({ search: (s) => ({ ...s, view: s.view === "graph" ? "table" : "graph" }), replace: true }) } : null);
  return (
    <section className="page">
      <PageHead title={id && start ? nameOf(start) : "Lineage"} kind={id && start ? `${kindName(start.kind)}, lineage of` : undefined} note={id && query.data ? `${query.data.nodes.length} objects` : undefined} facts={id && start && start.facts.length > 0 ? start.facts.slice(0, 3).map(([k, v]) => <span key={k} className="cut" style={{ maxWidth: 420 }} title={v}>{k} {v}</span>) : undefined} />
      <FilterBar>
        <form onSubmit={(e) => { e.preventDefault(); if (typed.trim()) go(typed.trim()); }}>
          <TextInput aria-label="Id, version or path" placeholder="An id, digits/3, raw/batch-1.csv …" w={330} value={typed} onChange={(e) => setTyped(e.currentTarget.value)} classNames={{ input: "mono" }} />
        </form>
        {id && (
          <>
            <SegmentedControl aria-label="Direction" value={direction} onChange={(v) => navigate({ search: (s) => ({ ...s, direction: v as typeof direction }), replace: true })} data={[{ value: "up", label: "Where it comes from" }, { value: "both", label: "Both" }, { value: "down", label: "What depends on it" }]} />
            <span className="row"><span className="muted">Steps</span><Button aria-label="Fewer steps" disabled={depth <= 1} onClick={() => navigate({ search: (s) => ({ ...s, depth: s.depth - 1 }), replace: true })}>−</Button><b>{depth}</b><Button aria-label="More steps" disabled={depth >= MOST_STEPS} onClick={() => navigate({ search: (s) => ({ ...s, depth: s.depth + 1 }), replace: true })}>+</Button></span>
            <span className="spacer" />
            <SegmentedControl aria-label="View" value={view} onChange={(v) => navigate({ search: (s) => ({ ...s, view: v as typeof view }), replace: true })} data={[{ value: "graph", label: "Graph" }, { value: "table", label: "Table" }]} />
          </>
        )}
      </FilterBar>
      {id === "" ? <Starts onChoose={go} /> : (
        <Loaded query={query} what="The lineage">
          {(answer) => <Drawn answer={answer} view={view} peek={peek} onPeek={(n) => navigate({ search: (s) => ({ ...s, peek: n ?? "" }), replace: true })} onCentre={go} />}
        </Loaded>
      )}
    </section>
  );
}

function Starts({ onChoose }: { onChoose: (id: string) => void }) {
  const query = useApi<{ starts: Start[] }>("/pages/lineage/start", undefined, { topics: ["pipeline_run", "data_version", "endpoint", "alert"] });
  return (
    <div className="page-body">
      <Loaded query={query} what="The beginnings">
        {({ starts }) => starts.length === 0 ? <Empty title="Nothing has been made yet" code="lathe apply">Lineage joins raw files, data, code, runs, models, endpoints and predictions as they come to be.</Empty> : (
          <div className="panel" style={{ maxWidth: 760 }}>
            <header><h2>Begin with</h2><span className="muted small">or paste any id above: a run, a prediction, an alert, a file's path</span></header>
            <table className="plain"><tbody>
              {starts.map((s) => (
                <tr key={key(s)}><td style={{ width: 130 }} className="muted"><Kind kind={s.kind} /></td><td><button type="button" className="plain" onClick={() => onChoose(`${s.kind}:${s.id}`)}><b>{s.text}</b></button></td><td className="num muted" title={formatInstant(fromUs(s.at_us))}>{formatAgo(fromUs(s.at_us))}</td></tr>
              ))}
            </tbody></table>
          </div>
        )}
      </Loaded>
    </div>
  );
}

function Kind({ kind }: { kind: string }) {
  const Icon = KINDS[kind]?.[1] ?? IconChartDots3;
  return <span className="row" style={{ gap: 6 }}><Icon size={15} aria-hidden /> {kindName(kind)}</span>;
}

function Drawn({ answer, view, peek, onPeek, onCentre }: { answer: Answer; view: string; peek: string; onPeek: (key: string | null) => void; onCentre: (id: string) => void }) {
  const project = currentProject();
  const chosen = answer.nodes.find((n) => key(n) === peek);
  const items = useMemo(() => answer.nodes.map((n) => {
    const Icon = KINDS[n.kind]?.[1] ?? IconChartDots3;
    const facts = n.facts.filter(([k]) => !SAID.has(k));
    return {
      id: key(n), label: nameOf(n), icon: <Icon size={15} aria-hidden style={{ flex: "none", color: n.step === 0 ? "var(--accent)" : "var(--muted)" }} />, note: n.beyond > 0 ? `+${n.beyond}` : undefined,
      needs: answer.edges.filter((e) => key(e.to) === key(n)).map((e) => key(e.from)), detail: `${kindName(n.kind)}${facts[0] ? ` · ${facts[0][1]}` : ""}`, title: [`${kindName(n.kind)} ${n.id}`, ...n.facts.map(([k, v]) => `${k}: ${v}`)].join("\n"), moving: n.step === 0,
    };
  }), [answer]);
  const panel = chosen && <NodePeek node={chosen} project={project} onClose={() => onPeek(null)} onCentre={() => onCentre(key(chosen))} />;
  return (
    <>
      {answer.truncated && <p className="panel-body" role="status">There is more than can be drawn: fewer steps, or one direction, show all of it.</p>}
      {view === "table" ? <EdgeTable answer={answer} peek={peek} onPeek={onPeek} panel={panel} /> : (
        <div className="page-fill" style={{ position: "relative" }}>
          <Graph label={`Lineage of ${answer.start.id}`} items={items} direction="LR" chosen={peek || key(answer.start)} onChoose={onPeek} onOpen={onCentre} width={210} />
          {panel}
        </div>
      )}
    </>
  );
}

function NodePeek({ node, project, onClose, onCentre }: { node: LineageNode; project: string; onClose: () => void; onCentre: () => void }) {
  const router = useRouter();
  const page = hrefOf(project, node);
  return (
    <Peek title={nameOf(node)} onClose={onClose} footer={<>{page && <Button variant="filled" onClick={() => router.history.push(page)}>Open</Button>}{node.step !== 0 && <Button onClick={onCentre}>Put in the middle</Button>}</>}>
      <Facts facts={[["Kind", <Kind key="k" kind={node.kind} />], ["Id", <CopyId key="i" id={node.id} />], ...node.facts.map(([k, v]) => [k, v] as const), node.beyond > 0 && ["Not drawn", `${node.beyond} more edges`]]} />
    </Peek>
  );
}

function EdgeTable({ answer, peek, onPeek, panel }: { answer: Answer; peek: string; onPeek: (key: string | null) => void; panel: React.ReactNode }) {
  const nodes = useMemo(() => new Map(answer.nodes.map((n) => [key(n), n])), [answer]);
  const rows = useArrayRows(answer.edges);
  const name = (n: { kind: string; id: string }) => { const found = nodes.get(key(n)); return found ? nameOf(found) : n.id; };
  // biome-ignore lint/correctness/useExhaustiveDependencies: names come with the nodes
  const columns = useMemo<Column<LineageEdge>[]>(() => [
    { key: "fromKind", label: "Kind", width: "120px", cell: (e) => <span className="muted">{kindName(e.from.kind)}</span> },
    { key: "from", label: "From", width: "minmax(150px, 1fr)", cell: (e) => <b>{name(e.from)}</b>, raw: (e) => e.from.id, title: (e) => e.from.id },
    { key: "role", label: "As", width: "100px", cell: (e) => e.role },
    { key: "toKind", label: "Kind", width: "120px", cell: (e) => <span className="muted">{kindName(e.to.kind)}</span> },
    { key: "to", label: "To", width: "minmax(150px, 1fr)", cell: (e) => <b>{name(e.to)}</b>, raw: (e) => e.to.id, title: (e) => e.to.id },
    { key: "when", label: "When", width: "100px", right: true, cell: (e) => formatAgo(fromUs(e.at_us)), title: (e) => formatInstant(fromUs(e.at_us)) },
  ], [nodes]);
  const id = (e: LineageEdge) => `${key(e.from)}>${key(e.to)}>${e.role}`;
  return <DataGrid label="Edges of the lineage" columns={columns} rows={rows} id={id} peek={peek || undefined} onPeek={(row) => { const edge = answer.edges.find((e) => id(e) === row); onPeek(edge ? key(edge.to) : null); }} empty={<Empty title="It stands alone">Nothing is recorded before or after it, in this direction.</Empty>} panel={panel} />;
}
