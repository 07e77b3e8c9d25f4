// What each feature added to an answer: the call to :explain and its answer, read for the class that was predicted.
import { ask } from "../../lib/api";
import { kindOf } from "./call";
import type { EndpointPage, Signature } from "./types";

export interface Explanation {
  of: string; // the class that is explained, or "" where the model has one value
  base: number; // what the model answers when it knows no feature
  total: number; // base and all parts: the answer
  parts: { name: string; value: number }[]; // in the order of the features
  method: "tree" | "kernel" | "occlusion";
  margin: boolean; // sums of trees before the link (log-odds), not probabilities
}

/** The row as KServe's :explain takes it; null where the input is no row of features. */
export function instanceOf(signature: Signature, values: readonly string[]): unknown {
  const kind = kindOf(signature);
  if (kind === "json") return null;
  if (kind === "tensor") return values.map(Number);
  return Object.fromEntries(signature.features.map((f, i) => [f.name, values[i] === "" || values[i] === undefined ? null : f.text ? values[i] : Number(values[i])]));
}

interface Body {
  explanations: { base_values: (number | null)[]; values: (number | null)[][] }[];
  method: Explanation["method"];
  of: string;
  features: string[];
  classes?: string[];
}

/** `label`: the answer that is explained. A model of several classes has a row of parts for each. */
export function readExplanation(body: Body, label: string): Explanation {
  const first = body.explanations[0];
  if (!first) throw new Error("The answer explains no row.");
  const sums = first.values.map((parts, group) => parts.reduce<number>((sum, v) => sum + (v ?? 0), first.base_values[group] ?? 0));
  const named = body.classes?.indexOf(label) ?? -1;
  const group = named >= 0 ? named : sums.indexOf(Math.max(...sums));
  return {
    of: sums.length > 1 ? (body.classes?.[group] ?? `class ${group}`) : (body.classes?.[group] ?? ""), base: first.base_values[group] ?? 0, total: sums[group] ?? 0, method: body.method, margin: body.of === "margin",
    parts: body.features.map((name, i) => ({ name, value: first.values[group]?.[i] ?? 0 })),
  };
}

export async function explain(page: EndpointPage, instance: unknown, label: string): Promise<Explanation> {
  const response = await ask(`/v1/models/${encodeURIComponent(page.name)}:explain`, { json: { instances: [instance] } });
  return readExplanation((await response.json()) as Body, label);
}

/** The largest parts, and what the others come to together. */
export function largest(parts: Explanation["parts"], most: number): { shown: Explanation["parts"]; rest: number; others: number } {
  const sorted = parts.toSorted((a, b) => Math.abs(b.value) - Math.abs(a.value));
  const shown = sorted.slice(0, most).filter((p) => p.value !== 0);
  const others = sorted.slice(shown.length);
  return { shown, rest: others.reduce((sum, p) => sum + p.value, 0), others: others.length };
}

// The score is the largest of all features', so among many of them 3 is nothing unusual.
const UNUSUAL = 4;
const FAR = 8;
/** How unusual the row is, in words; the score is in standard deviations of a normal feature. */
export function unusual(score: number): { status: "healthy" | "warning"; label: string } {
  if (score >= FAR) return { status: "warning", label: "far outside of what the model was judged on" };
  if (score >= UNUSUAL) return { status: "warning", label: "unusual" };
  return { status: "healthy", label: "as the rows it was judged on" };
}
