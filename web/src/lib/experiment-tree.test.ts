import { expect, test } from "vitest";
import { buildTree, flatten, idsBelow } from "./experiment-tree";

const e = (id: string, name: string, runs = 1) => ({ id, name, runs, newest_ms: Number(id) });

test("slashes make folders, with the sums of what lies below", () => {
  const tree = buildTree([e("1", "vision/digits/svm", 5), e("2", "vision/digits/mlp", 3), e("3", "Default", 0)]);
  expect(tree.map((b) => b.name)).toEqual(["Default", "vision/digits"]);
  expect(tree[1]?.runs).toBe(8);
  expect(tree[1]?.newest).toBe(2);
  expect(idsBelow(tree[1] as never)).toEqual(["2", "1"]);
});

test("a folder that is an experiment keeps its row; folded folders hide what is below", () => {
  const tree = buildTree([e("1", "a"), e("2", "a/b")]);
  expect(flatten(tree, new Set()).map((r) => [r.branch.path, r.depth])).toEqual([["a", 0], ["a/b", 1]]);
  expect(flatten(tree, new Set(["a"]))).toHaveLength(1);
});

test("names with odd slashes lose no experiment", () => {
  const all = [e("1", "a/b"), e("2", "/a/b"), e("3", "/"), e("4", "a//b")];
  expect(buildTree(all).flatMap(idsBelow).sort()).toEqual(["1", "2", "3", "4"]);
});
