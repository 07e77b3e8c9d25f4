import { expect, test } from "vitest";
import { safeNext } from "./next";
import { mlflowTarget, placeOf } from "./places";

test("MLflow's own links find our pages", () => {
  expect(mlflowTarget("#/experiments/3/runs/ab12")).toBe("/p/default/runs/ab12");
  expect(mlflowTarget("#/experiments/3")).toBe("/p/default/runs?exp=3");
  expect(mlflowTarget("#/models/digits/versions/4")).toBe("/p/default/models/digits/4");
  expect(mlflowTarget('#/compare-runs?runs=["a","b"]&experiments=["0"]')).toBe("/p/default/runs/compare?ids=a,b");
  expect(mlflowTarget("")).toBeNull();
  expect(mlflowTarget("#%E0%A4%A")).toBeNull();
});

test("every kind of object has a page, names are encoded", () => {
  expect(placeOf("default", "model_version", "my/model/3")).toBe("/p/default/models/my%2Fmodel/3");
  expect(placeOf("a b", "run", "x")).toBe("/p/a%20b/runs/x");
  expect(placeOf("default", "something_new", "id_1")).toBe("/p/default/lineage?id=id_1");
});

test("after signing in one comes back to this server only", () => {
  const origin = "http://127.0.0.1:8000";
  expect(safeNext("/p/x?q=1#a", origin)).toBe("/p/x?q=1#a");
  for (const bad of ["//evil.example", "/\\evil.example", "https://evil.example/", "javascript:alert(1)", "/login?next=/login", "", "/\t/evil.example"]) expect(safeNext(bad, origin), bad).toBe("/");
});
