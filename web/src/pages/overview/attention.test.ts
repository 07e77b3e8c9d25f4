import { expect, test } from "vitest";
import type { MetricAlert } from "../../lib/alerts";
import { runAttention } from "./attention";

const now = 1_800_000_000_000;
const alert = (rule: string, run: string, ageMs: number): MetricAlert => ({ rule, name: `rule ${rule}`, kind: "not_finite", run, run_name: run, experiment: "1", at_ms: now - ageMs, numbers: { metric: "loss", value: "NaN", step: 3 } });

test("a run that crossed a rule waits for somebody, for a day", () => {
  const items = runAttention("default", [alert("mr_1", "calm-heron", 60_000), alert("mr_2", "old", 25 * 3_600_000)], now);
  expect(items.map((i) => [i.title, i.href, i.detail])).toEqual([["Run calm-heron: rule mr_1", "/p/default/runs/calm-heron", "loss was NaN by step 3"]]);
});

test("many runs of one rule are one line, that leads to all of them", () => {
  const items = runAttention("default", [alert("mr_1", "a", 1), alert("mr_1", "b", 2)], now);
  expect(items.map((i) => [i.title, i.href, i.act])).toEqual([["2 runs: rule mr_1", "/p/default/runs/alerts?rule=mr_1", "See them"]]);
});
