// An inference graph laid open: every way to a step by its path, as records and numbers name it; what is drawn of it.
import type { GraphItem } from "../../components/Graph";
import { MISSING, formatDuration, formatPercent } from "../../lib/format";
import type { GraphFacts, GraphNode, GraphStep, Route, StepNumbers } from "./types";

const ROUTERS = {
  sequence: "Sequence: its steps one after the other, until a condition does not hold",
  switch: "Switch: the first step whose condition holds",
  ensemble: "Ensemble: all its steps, their answers combined",
  splitter: "Splitter: one step, by weight",
} as const;
export const routerText = (n: GraphNode): string => ROUTERS[n.router];

/** A step where it stands: a node that is reached in two ways is there twice. */
export interface PlacedStep { path: string; depth: number; step: GraphStep; parent: GraphNode; node?: GraphNode; numbers?: StepNumbers; before: string[] }

const MOST_DEPTH = 16; // the server allows 8

/** All steps in the order in which they are asked, and the paths behind which the answer is ready. */
export function placed(graph: GraphFacts): { steps: PlacedStep[]; ends: string[] } {
  const nodes = new Map(graph.nodes.map((n) => [n.name, n]));
  const numbers = new Map(graph.steps?.map((s) => [s.path, s]));
  const steps: PlacedStep[] = [];
  function walk(node: GraphNode, path: string, depth: number): string[] {
    if (depth > MOST_DEPTH) return [path];
    const ends: string[] = [];
    let before = [path];
    node.steps.forEach((step, i) => {
      const own = `${path}/${step.name}`;
      const inner = step.node ? nodes.get(step.node) : undefined;
      steps.push({ path: own, depth, step, parent: node, node: inner, numbers: numbers.get(own), before: node.router === "sequence" ? before : [path] });
      const last = inner ? walk(inner, own, depth + 1) : [own];
      if (node.router !== "sequence") ends.push(...last);
      else {
        // Where the next step has a condition, or may fail, the answer may stand here.
        const next = node.steps[i + 1];
        if (!next || next.condition || next.dependency === "soft") ends.push(...last);
        before = last;
      }
    });
    return ends;
  }
  const root = nodes.get("root");
  return { ends: root ? walk(root, "root", 0) : [], steps };
}

/** When the step is asked, in words; with the condition where there is one. */
export const whenText = (s: PlacedStep): string => [s.step.condition && `if ${s.step.condition}`, ruleText(s)].filter(Boolean).join(", ");

export function ruleText({ step, parent }: PlacedStep): string {
  const parts: string[] = [];
  if (!step.condition && parent.router === "switch") parts.push("otherwise");
  if (parent.router === "splitter") parts.push(`${step.weight ?? 0} % of requests`);
  if (parent.router === "ensemble" && step.weight && step.weight !== 1) parts.push(`weight ${step.weight}`);
  if (step.data === "$response") parts.push("is given the answer before");
  if (step.dependency === "soft") parts.push("may fail");
  return parts.join(", ");
}

export const targetText = ({ step }: PlacedStep): string =>
  step.node ? "" : step.endpoint ? (step.model ? `${step.model}/${step.version}` : "serves nothing") : `${step.model}/${step.version}`;

export const shareText = (part: number | undefined, all: number | undefined): string => (part === undefined || !all ? MISSING : formatPercent(part / all));
const seconds = (v: number | null | undefined) => (v === null || v === undefined ? MISSING : formatDuration(v * 1000));

/** Whether the request came to a step: a model says so itself, a node by what lies in it. */
export const came = (route: Route, path: string): boolean => route.steps.some((s) => s.ran && (s.path === path || s.path.startsWith(`${path}/`)));

/** The drawing: with a route, the way that one request took; else what each step has done. */
export function graphItems(graph: GraphFacts, route?: Route): GraphItem[] {
  const { steps, ends } = placed(graph);
  const root = graph.nodes.find((n) => n.name === "root");
  const items: GraphItem[] = [{ id: "root", label: "request", needs: [], detail: root && (root.router === "ensemble" ? `ensemble, ${root.combine}` : root.router), title: root && routerText(root), note: route ? undefined : graph.requests === undefined ? undefined : `${graph.requests}` }];
  for (const s of steps) {
    const on = route && came(route, s.path);
    const ready = s.node || s.step.ready !== false;
    const ran = route?.steps.find((r) => r.path === s.path && r.ran);
    const kind = s.node && (s.node.router === "ensemble" ? `ensemble, ${s.node.combine}` : s.node.router);
    const when = whenText(s);
    const target = ran ? `${ran.model}/${ran.version}` : targetText(s);
    items.push({
      id: s.path, label: s.step.name, needs: s.before, moving: !!on,
      status: route ? (on ? "finished" : "skipped") : s.numbers && s.numbers.failures > 0 && s.numbers.failures === s.numbers.requests ? "failed" : ready ? "serving" : "failed",
      note: route ? undefined : s.numbers ? shareText(s.numbers.requests, graph.requests) : undefined,
      detail: when || kind || target,
      title: [target && `Answers with ${target}`, s.node && routerText(s.node), when, s.numbers && !route && `${s.numbers.requests} requests, p50 ${seconds(s.numbers.p50)}, ${s.numbers.failures} failed`].filter(Boolean).join("\n"),
    });
  }
  items.push({ id: "answer", label: "answer", needs: ends.length ? ends : ["root"] });
  return items;
}
