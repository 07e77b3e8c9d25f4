import { expect, test } from "vitest";
import { bands } from "./curves";
import type { Curve } from "./tracking";

const curve = (run: string, value: (number | null)[], from = 0): Curve => ({ run, key: "loss", start_ms: 0, total: value.length, nans: 0, sampled: false, cut: false, step: value.map((_, i) => from + i), at_ms: value.map((_, i) => i * 1000), value });

test("a band is the mean ± the standard deviation of the curves that reach a place", () => {
  const { x, bands: [band] } = bands([curve("a", [1, 2, 3]), curve("b", [3, 4])], () => "all", "step", false);
  expect(x).toEqual([0, 1, 2]);
  expect(band?.mean).toEqual([2, 3, 3]); // b ended before 2
  expect(band?.high[0]).toBeCloseTo(2 + Math.SQRT2);
  expect(band?.low[2]).toBe(3);
});

test("groups are told apart, the largest first; NaN counts for nothing", () => {
  const { bands: found } = bands([curve("a", [1, null]), curve("b", [5, 5]), curve("c", [7, 7])], (r) => (r === "a" ? "x" : "y"), "step", false);
  expect(found.map((b) => [b.name, b.runs])).toEqual([["y", 2], ["x", 1]]);
  expect(found[1]?.mean).toEqual([1, null]);
});

test("no curve, no band", () => expect(bands([], () => "", "time", false)).toEqual({ x: [], bands: [] }));
