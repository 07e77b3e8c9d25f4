import { expect, test } from "vitest";
import { type Draft, bodyOf, conditionOf, crossedBy, problemOf } from "./alerts";

const draft: Draft = { experiment: "1", kind: "above", metric: "loss", threshold: "2", minutes: "10", filter: "", name: "" };

test("a rule and what crossed it read as sentences", () => {
  expect(conditionOf({ kind: "below", metric: "accuracy", threshold: 0.9 })).toBe("accuracy below 0.9000");
  expect(conditionOf({ kind: "stalled", metric: "", silent_s: 600 })).toBe("any metric silent for 10 m 00 s");
  expect(conditionOf({ kind: "not_finite", metric: "loss" })).toBe("loss is NaN or infinite");
  expect(crossedBy({ kind: "above", numbers: { metric: "loss", value: 3.5, threshold: 2, step: 40 } })).toBe("loss 3.500, above 2 by step 40");
  expect(crossedBy({ kind: "not_finite", numbers: { metric: "loss", value: "NaN" } })).toBe("loss was NaN");
  expect(crossedBy({ kind: "stalled", numbers: { metric: "", silent_s: 90, allowed_s: 60 } })).toBe("any metric silent for 1 m 30 s, 1 m 00 s allowed");
});

test("what a rule lacks is said, and nothing else is asked for", () => {
  expect(problemOf(draft)).toBeUndefined();
  expect(problemOf({ ...draft, experiment: "" })).toMatch(/experiment/);
  expect(problemOf({ ...draft, metric: "" })).toMatch(/metric/);
  expect(problemOf({ ...draft, threshold: " " })).toMatch(/number/);
  expect(problemOf({ ...draft, kind: "not_finite", metric: "", threshold: "" })).toBeUndefined();
  expect(problemOf({ ...draft, kind: "stalled", metric: "", minutes: "0" })).toMatch(/minutes/);
});

test("only what belongs to its kind is sent; a rule without a name is called by its words", () => {
  expect(bodyOf(draft)).toEqual({ experiment: "1", name: "loss above 2", kind: "above", metric: "loss", threshold: 2 });
  expect(bodyOf({ ...draft, kind: "stalled", metric: "", filter: " tags.x = '1' ", name: "asleep" })).toEqual({ experiment: "1", name: "asleep", kind: "stalled", silent_s: 600, filter: "tags.x = '1'" });
  expect(bodyOf({ ...draft, kind: "not_finite" })).toEqual({ experiment: "1", name: "loss is NaN or infinite", kind: "not_finite", metric: "loss" });
});
