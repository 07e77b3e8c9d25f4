// What changed between two texts, word by word: the shortest list of words taken out and put in (Myers' greedy algorithm).
export type Change = { kind: "same" | "added" | "removed"; text: string };

const MOST_EDITS = 3000; // past it the texts have little in common: all of one, then all of the other

export const words = (text: string): string[] => text.match(/\{\{\s*[\w.]+\s*\}\}|[\p{L}\p{N}_]+|\s+|[^\s\p{L}\p{N}_]/gu) ?? [];

export function diffWords(before: string, after: string): Change[] {
  return merged(diffLists(words(before), words(after)));
}

function diffLists(a: readonly string[], b: readonly string[]): Change[] {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const same = (text: string): Change => ({ kind: "same", text });
  return [...a.slice(0, head).map(same), ...middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail)), ...a.slice(a.length - tail).map(same)];
}

function middle(a: readonly string[], b: readonly string[]): Change[] {
  const most = Math.min(a.length + b.length, MOST_EDITS);
  const reach = new Map<number, number>([[1, 0]]); // diagonal → how far in a
  const trace: Map<number, number>[] = [];
  for (let d = 0; d <= most; d++) {
    trace.push(new Map(reach));
    for (let k = -d; k <= d; k += 2) {
      let x = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1)) ? (reach.get(k + 1) ?? 0) : (reach.get(k - 1) ?? 0) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      reach.set(k, x);
      if (x >= a.length && x - k >= b.length) return back(a, b, trace, d);
    }
  }
  return [...a.map((text): Change => ({ kind: "removed", text })), ...b.map((text): Change => ({ kind: "added", text }))];
}

function back(a: readonly string[], b: readonly string[], trace: readonly Map<number, number>[], edits: number): Change[] {
  const out: Change[] = [];
  let [x, y] = [a.length, b.length];
  for (let d = edits; d >= 0; d--) {
    const reach = trace[d] as Map<number, number>;
    const k = x - y;
    const from = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1)) ? k + 1 : k - 1;
    const px = reach.get(from) ?? 0;
    const py = px - from;
    while (x > px && y > py && x > 0 && y > 0) { out.push({ kind: "same", text: a[--x] as string }); y--; }
    if (d === 0) break;
    if (x === px) out.push({ kind: "added", text: b[--y] as string });
    else out.push({ kind: "removed", text: a[--x] as string });
  }
  return out.reverse();
}

function merged(changes: readonly Change[]): Change[] {
  const out: Change[] = [];
  for (const c of changes) {
    const last = out.at(-1);
    if (last && last.kind === c.kind) last.text += c.text;
    else out.push({ ...c });
  }
  return out;
}
