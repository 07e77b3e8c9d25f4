import { describe, expect, test } from "vitest";
import { instanceOf, largest, readExplanation, unusual } from "./explain";
import type { Signature } from "./types";

const body = {
  explanations: [{ base_values: [0.5, 0.3, 0.2], values: [[-0.2, -0.1], [0.1, 0.2], [0.1, null]] }],
  method: "kernel" as const, of: "score", features: ["a", "b"], classes: ["x", "y", "z"],
};

describe("an explanation", () => {
  test("is of the class that was answered", () => {
    const e = readExplanation(body, "z");
    expect([e.of, e.base, e.margin]).toEqual(["z", 0.2, false]);
    expect(e.parts).toEqual([{ name: "a", value: 0.1 }, { name: "b", value: 0 }]);
    expect(e.total).toBeCloseTo(0.3);
  });
  test("is of the highest class where the label names none", () => {
    expect(readExplanation(body, "unknown").of).toBe("y");
    expect(readExplanation({ ...body, classes: undefined }, "1").of).toBe("class 1");
  });
  test("of one value has no class", () => {
    const e = readExplanation({ ...body, explanations: [{ base_values: [2], values: [[1, 0.5]] }], classes: undefined, of: "margin", method: "kernel" }, "3.5");
    expect([e.of, e.total, e.margin]).toEqual(["", 3.5, true]);
  });
  test("without a row says so", () => {
    expect(() => readExplanation({ ...body, explanations: [] }, "x")).toThrow("explains no row");
  });
});

test("the largest parts come first, either sign, and the others are summed", () => {
  const parts = [{ name: "a", value: 0.1 }, { name: "b", value: -0.5 }, { name: "c", value: 0 }, { name: "d", value: 0.2 }];
  const { shown, rest, others } = largest(parts, 2);
  expect(shown.map((p) => p.name)).toEqual(["b", "d"]);
  expect(others).toBe(2);
  expect(rest).toBeCloseTo(0.1);
});

test("a row is sent as the model takes it", () => {
  const tensor = { inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }], features: [{ name: "a", text: false }, { name: "b", text: false }], features_named: true } as Signature;
  expect(instanceOf(tensor, ["1", "2.5"])).toEqual([1, 2.5]);
  const mixed = { inputs: [{ name: "a", datatype: "FP32", shape: [-1, 1] }, { name: "b", datatype: "BYTES", shape: [-1, 1] }], features: [{ name: "a", text: false }, { name: "b", text: true }], features_named: true } as Signature;
  expect(instanceOf(mixed, ["", "red"])).toEqual({ a: null, b: "red" });
  expect(instanceOf({ ...mixed, features_named: false }, ["", "red"])).toBeNull();
});

test("an outlier is told in words", () => {
  expect(unusual(1.2).status).toBe("healthy");
  expect(unusual(5).label).toBe("unusual");
  expect(unusual(12).status).toBe("warning");
});
