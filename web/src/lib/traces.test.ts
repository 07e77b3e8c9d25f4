import { expect, test } from "vitest";
import { anyValue, assessedValue, durationMs, readSpans, traceFilter, treeOf } from "./traces";

const span = (id: string, parent: string, start: number, end: number, extra = {}) => ({ span_id: id, ...(parent ? { parent_span_id: parent } : {}), name: id, start_time_unix_nano: start * 1e6, end_time_unix_nano: end * 1e6, ...extra });

test("typed values become plain ones", () => {
  expect(anyValue({ kvlist_value: { values: [{ key: "a", value: { array_value: { values: [{ int_value: "3" }, { double_value: 0.5 }, {}] } } }] } })).toEqual({ a: [3, 0.5, null] });
  expect(anyValue({ stringValue: "x" })).toBe("x");
});

test("spans of both forms are read", () => {
  const [typed] = readSpans([span("a", "", 10, 14, { attributes: [{ key: "mlflow.spanType", value: { string_value: "CHAIN" } }, { key: "mlflow.spanInputs", value: { string_value: "{\"q\": 1}" } }], status: { code: "STATUS_CODE_ERROR", message: "no" } })]);
  expect(typed).toMatchObject({ type: "CHAIN", inputs: { q: 1 }, ms: 4, start: 0, status: "ERROR", message: "no" });
  const [file] = readSpans([span("a", "", 10, 14, { parent_span_id: null, attributes: { "mlflow.spanType": "\"TOOL\"", "mlflow.spanOutputs": "[1]" } })]);
  expect(file).toMatchObject({ type: "TOOL", outputs: [1], parent: "" });
});

test("the tree is depth first by start; orphans stand at the root, rings end", () => {
  const spans = readSpans([span("root", "", 0, 9), span("late", "root", 5, 6), span("early", "root", 1, 4), span("leaf", "early", 2, 3), span("orphan", "gone", 4, 5)]);
  expect(treeOf(spans).map((r) => `${r.depth}${r.span.name}`)).toEqual(["0root", "1early", "2leaf", "1late", "0orphan"]);
  expect(treeOf(spans, new Set(["early"])).map((r) => r.span.name)).toEqual(["root", "early", "late", "orphan"]);
  expect(treeOf(readSpans([span("a", "b", 0, 1), span("b", "a", 0, 1)]))).toHaveLength(2);
});

test("durations, assessments and filters", () => {
  expect(durationMs({ execution_duration: "0.099s" } as never)).toBeCloseTo(99);
  expect(durationMs({} as never)).toBeNull();
  expect(assessedValue({ expectation: { serialized_value: { serialization_format: "JSON_FORMAT", value: "[1]" } } } as never)).toEqual([1]);
  expect(traceFilter("it's down", "ERROR")).toBe("trace.text ILIKE '%its down%' AND trace.status = 'ERROR'");
  expect(traceFilter("tags.release = 'r1'", "")).toBe("tags.release = 'r1'");
});
