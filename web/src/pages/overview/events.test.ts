import { expect, test } from "vitest";
import { together } from "./events";
import type { PastEvent } from "./types";

let next = 0;
const event = (kind: string, body: Record<string, unknown> = {}): PastEvent => ({ id: String(++next), at_us: next, kind, subject: { kind: "x", id: String(next) }, actor: "", body });

test("traces that follow each other are one line, at the newest of them", () => {
  const lines = together([event("trace.logged"), event("trace.logged"), event("alias.set"), event("trace.logged")]);
  expect(lines.map((l) => [l.event.kind, l.count])).toEqual([["trace.logged", 2], ["alias.set", 1], ["trace.logged", 1]]);
  expect(lines[0]?.event.id).toBe("1");
});
test("labels that follow each other are summed", () => {
  const lines = together([event("feedback.received", { labels: 3 }), event("feedback.received", { labels: 4 })]);
  expect(lines.map((l) => [l.event.body.labels, l.count])).toEqual([[7, 1]]);
});
test("what happens seldom is told each time", () => expect(together([event("verdict.passed"), event("verdict.passed")])).toHaveLength(2));
