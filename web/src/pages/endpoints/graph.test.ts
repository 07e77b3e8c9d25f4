import { describe, expect, test } from "vitest";
import { came, graphItems, placed, whenText } from "./graph";
import type { GraphFacts, GraphStep } from "./types";

const step = (name: string, part: Partial<GraphStep> = {}): GraphStep => ({ name, endpoint: name, model: name, version: 1, ready: true, data: "$request", dependency: "hard", ...part });
const graph: GraphFacts = {
  endpoint: "triage", revision: 1, ready: true, problem: "", requests: 10, failures: 0, rows: 10,
  nodes: [
    { name: "root", router: "sequence", steps: [step("screen"), { name: "experts", node: "experts", condition: "response.score < 0.8", data: "$request", dependency: "hard" }, step("last")] },
    { name: "experts", router: "ensemble", combine: "average", steps: [step("forest", { weight: 3 }), step("boosted", { dependency: "soft" })] },
  ],
  steps: [{ path: "root/screen", requests: 10, failures: 0, rows: 10, p50: 0.001, p99: 0.002 }, { path: "root/experts/forest", requests: 4, failures: 0, rows: 4, p50: 0.001, p99: 0.002 }],
};

describe("a graph", () => {
  test("has a path for each step, and what is asked before it", () => {
    const { steps, ends } = placed(graph);
    expect(steps.map((s) => [s.path, s.before])).toEqual([
      ["root/screen", ["root"]], ["root/experts", ["root/screen"]], ["root/experts/forest", ["root/experts"]], ["root/experts/boosted", ["root/experts"]],
      ["root/last", ["root/experts/forest", "root/experts/boosted"]],
    ]);
    expect(ends).toEqual(["root/screen", "root/last"]); // where the condition does not hold, the first answer stands
  });
  test("says when a step is asked", () => {
    const { steps } = placed(graph);
    expect(steps.map(whenText)).toEqual(["", "if response.score < 0.8", "weight 3", "may fail", ""]);
  });
  test("shows its shares, or one request's way", () => {
    expect(graphItems(graph).find((i) => i.id === "root/experts/forest")?.note).toBe("40.0 %");
    const route = { steps: [{ path: "root/screen", model: "screen", version: 1, ran: true }, { path: "root/experts/forest", model: "forest", version: 2 }] };
    expect(came(route, "root/experts")).toBe(false);
    expect(graphItems(graph, route).map((i) => [i.id, i.status])).toContainEqual(["root/experts/forest", "skipped"]);
    expect(came({ steps: [{ path: "root/experts/forest", model: "forest", version: 2, ran: true }] }, "root/experts")).toBe(true);
  });
});
