// Experiments as folders: "vision/digits/svm" lies in "digits", which lies in "vision". A folder may be an experiment itself.
import type { Experiment } from "./tracking";

export interface Branch {
  name: string; // the last part
  path: string;
  experiment?: Experiment;
  children: Branch[];
  runs: number; // its own and those of all below
  newest: number | null;
}

/** A path of one child after another is folded into one row, as file managers do, unless a step is an experiment. */
export function buildTree(experiments: readonly Experiment[]): Branch[] {
  const root: Branch = { name: "", path: "", children: [], runs: 0, newest: null };
  const byPath = new Map<string, Branch>([["", root]]);
  for (const e of [...experiments].sort((a, b) => a.name.localeCompare(b.name))) {
    const parts = e.name.split("/").filter(Boolean);
    let at = root;
    let path = "";
    for (const part of parts.length ? parts : [e.name || e.id]) {
      path = path ? `${path}/${part}` : part;
      let next = byPath.get(path);
      if (!next) {
        next = { name: part, path, children: [], runs: 0, newest: null };
        byPath.set(path, next);
        at.children.push(next);
      }
      at = next;
    }
    // "/a/b" and "a/b" are two experiments at one place: the second keeps its full name.
    if (at.experiment) {
      const twin: Branch = { name: e.name, path: `${path} (${e.id})`, children: [], runs: 0, newest: null, experiment: e };
      byPath.set(twin.path, twin);
      root.children.push(twin);
    } else at.experiment = e;
  }
  for (const top of root.children) sum(top);
  return root.children.map(folded);
}

function sum(b: Branch): void {
  b.runs = b.experiment?.runs ?? 0;
  b.newest = b.experiment?.newest_ms ?? null;
  for (const c of b.children) {
    sum(c);
    b.runs += c.runs;
    b.newest = Math.max(b.newest ?? 0, c.newest ?? 0) || null;
  }
}

function folded(b: Branch): Branch {
  const [only] = b.children;
  if (!b.experiment && only && b.children.length === 1) return folded({ ...only, name: `${b.name}/${only.name}` });
  return { ...b, children: b.children.map(folded) };
}

export function flatten(tree: readonly Branch[], closed: ReadonlySet<string>, depth = 0): { branch: Branch; depth: number }[] {
  return tree.flatMap((branch) => [{ branch, depth }, ...(closed.has(branch.path) ? [] : flatten(branch.children, closed, depth + 1))]);
}
export const idsBelow = (b: Branch): string[] => [...(b.experiment ? [b.experiment.id] : []), ...b.children.flatMap(idsBelow)];
export const without = (ids: readonly string[], gone: readonly string[]): string[] => ids.filter((id) => !gone.includes(id));
