import { expect, test } from "vitest";
import { axisOf, linearAxis, spreadOf } from "./axis";

test("text that reads as numbers is numbers; one word makes names of all", () => {
  expect(axisOf(["1", "2", "3"]).kind).toBe("linear");
  expect(axisOf(["0.00001", "0.1"]).kind).toBe("log");
  expect(axisOf(["1", "adam"]).names).toEqual(["1", "adam"]);
  expect(axisOf([null, "NaN", 2]).at("NaN")).toBeNull();
  expect(axisOf([]).at(1)).toBeNull();
});

test("ticks are round and inside", () => {
  expect(linearAxis(0, 1).ticks.map((t) => t.label)).toEqual(["0", "0.2", "0.4", "0.6", "0.8", "1"]);
  expect(linearAxis(-0.3, 0.25).ticks.every((t) => t.at >= 0 && t.at <= 1)).toBe(true);
});

test("a single value has an axis around it", () => {
  const axis = axisOf([5, 5]);
  expect(axis.at(5)).toBeCloseTo(0.5);
});

test("quartiles as numpy has them, whiskers within 1.5 boxes", () => {
  // numpy.percentile([1, 2, 3, 4, 100], [25, 50, 75]) = [2, 3, 4]
  expect(spreadOf([100, 4, 3, 2, 1])).toMatchObject({ q1: 2, median: 3, q3: 4, low: 1, high: 4, most: 100 });
  // numpy.percentile([1, 2, 3, 4], 25) = 1.75
  expect(spreadOf([1, 2, 3, 4])?.q1).toBeCloseTo(1.75);
  expect(spreadOf([])).toBeNull();
});
