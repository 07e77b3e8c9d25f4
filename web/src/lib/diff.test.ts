import { expect, test } from "vitest";
import { type Change, diffWords } from "./diff";

const side = (changes: readonly Change[], not: string) => changes.filter((c) => c.kind !== not).map((c) => c.text).join("");

test("both texts can be read out of the changes", () => {
  let seed = 1;
  const random = () => { seed = (seed * 16807) % 2147483647; return seed / 2147483647; };
  const make = () => Array.from({ length: Math.floor(random() * 30) }, () => ["a", "b", "the", "{{x}}", ",", "\n"][Math.floor(random() * 6)]).join(" ");
  for (let i = 0; i < 300; i++) {
    const [before, after] = [make(), make()];
    const changes = diffWords(before, after);
    expect(side(changes, "added")).toBe(before);
    expect(side(changes, "removed")).toBe(after);
  }
});

test("only the word that changed is marked", () => {
  expect(diffWords("Answer the question.", "Answer every question.")).toEqual([
    { kind: "same", text: "Answer " }, { kind: "removed", text: "the" }, { kind: "added", text: "every" }, { kind: "same", text: " question." },
  ]);
  expect(diffWords("same", "same")).toEqual([{ kind: "same", text: "same" }]);
  expect(diffWords("", "new")).toEqual([{ kind: "added", text: "new" }]);
});
