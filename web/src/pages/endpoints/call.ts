// The call that the Try form makes, and the same call as curl and Python.
import type { EndpointPage, Signature } from "./types";

export interface Call { path: string; body: unknown; kind: "tensor" | "rows" | "json" }

/** One tensor of rows × features is asked in the Open Inference Protocol, which also answers scores; named columns as rows. */
export function kindOf(signature: Signature): Call["kind"] {
  const input = signature.inputs[0];
  const flat = signature.inputs.length === 1 && input && /^FP|^INT|^UINT/.test(input.datatype) && input.shape.length === 2 && input.shape[1] === signature.features.length;
  if (flat && signature.features.every((f) => !f.text)) return "tensor";
  return signature.features.length > 0 && signature.features_named ? "rows" : "json";
}

export function callOf(page: EndpointPage, values: readonly string[], json: string): Call {
  const signature = page.signature as Signature;
  const kind = kindOf(signature);
  const input = signature.inputs[0];
  if (kind === "tensor" && input)
    return { kind, path: `/v2/models/${encodeURIComponent(page.name)}/infer`, body: { inputs: [{ name: input.name, shape: [1, values.length], datatype: input.datatype, data: values.map(Number) }] } };
  if (kind === "rows") {
    const data = signature.features.map((f, i) => (values[i] === "" || values[i] === undefined ? null : f.text ? values[i] : Number(values[i])));
    return { kind, path: `/endpoints/${encodeURIComponent(page.name)}/invocations`, body: { dataframe_split: { columns: signature.features.map((f) => f.name), data: [data] } } };
  }
  return { kind, path: `/v2/models/${encodeURIComponent(page.name)}/infer`, body: JSON.parse(json) as unknown };
}

export function template(signature: Signature): string {
  return JSON.stringify({ inputs: signature.inputs.map((t) => ({ name: t.name, shape: t.shape.map((n) => (n < 0 ? 1 : n)), datatype: t.datatype, data: new Array(t.shape.reduce((a, n) => a * Math.max(1, n), 1)).fill(t.datatype === "BYTES" ? "" : 0) })) }, null, 1);
}

const shell = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
export const asCurl = (call: Call): string => `curl ${location.origin}${call.path} \\\n  -H 'content-type: application/json' \\\n  -d ${shell(JSON.stringify(call.body))}`;
export const asPython = (call: Call): string => `import requests\n\nanswer = requests.post(\n    "${location.origin}${call.path}",\n    json=${python(call.body)},\n)\nprint(answer.headers["X-Lathe-Prediction-Id"], answer.json())`;

function python(value: unknown): string {
  return JSON.stringify(value).replace(/\bnull\b/g, "None").replace(/\btrue\b/g, "True").replace(/\bfalse\b/g, "False");
}

export interface Answer { label: string; scores: { name: string; value: number }[]; id: string; version: string; tookMs: number; outlier: number | null; instance: unknown; raw: unknown }

/** Labels and class scores inside an answer of either protocol. */
export function readAnswer(call: Call, body: unknown, classes: readonly string[]): Pick<Answer, "label" | "scores"> {
  if (call.kind === "rows") {
    const first = (body as { predictions?: unknown[] }).predictions?.[0];
    return { label: typeof first === "object" ? JSON.stringify(first) : String(first), scores: [] };
  }
  const outputs = (body as { outputs?: { name: string; data: (number | string)[] }[] }).outputs ?? [];
  const label = outputs.find((o) => /label|class|predict/i.test(o.name) && o.data.length === 1) ?? outputs.find((o) => o.data.length === 1);
  const scores = outputs.find((o) => o !== label && o.data.length > 1 && o.data.length <= 1000 && o.data.every((v) => typeof v === "number"));
  return { label: label ? String(label.data[0]) : "", scores: (scores?.data ?? []).map((v, i) => ({ name: classes[i] ?? String(i), value: Number(v) })) };
}
