import { expect, test } from "vitest";
import { groupFilter } from "../pages/runs/GroupTable";
import { numericColumns, shortNames } from "../pages/runs/columns";
import { readBrush, writeBrush } from "../pages/RunCharts";
import { cardsOf, cardsText, namesOf, namesText } from "./columns";

test("names and cards go into the address and come back, whatever is in them", () => {
  const names = ["metrics.loss", "params.`a,b`", "tags.`50% ~ x`"];
  expect(namesOf(namesText(names))).toEqual(names);
  const cards = [{ kind: "scatter" as const, parts: ["params.`a~b,c`", "max(metrics.acc)"] }, { kind: "bar" as const, parts: [] }];
  expect(cardsOf(cardsText(cards))).toEqual(cards);
  expect(cardsOf("pie~x,scatter~%E0%A4%A")).toEqual([{ kind: "scatter", parts: ["%E0%A4%A"] }]); // unknown kinds fall away
});

test("a brush that makes no sense is none", () => {
  expect(readBrush(writeBrush({ "params.lr": [0.1, 0.5] }))).toEqual({ "params.lr": [0.1, 0.5] });
  expect(readBrush("params.lr~0.5~0.1,x,params.a~a~b")).toEqual({});
});

test("a group is found by a filter that quotes its values", () => {
  expect(groupFilter(["params.model", "status"], ["o'brien", "FINISHED"])).toBe("params.model = \"o'brien\" AND status = 'FINISHED'");
  expect(groupFilter(["experiment", "user"], ["3", "ana"])).toBe("user_id = 'ana'");
  expect(groupFilter(["params.lr"], [null])).toBe("params.lr IS NULL");
  expect(groupFilter(["user"], [null])).toBeNull();
});

test("experiments are named by what tells them apart; numbers are told from words", () => {
  expect([...shortNames(new Map([["1", "vision/mlp"], ["2", "text/mlp"], ["3", "a/b/svm"]])).values()]).toEqual(["vision/mlp", "text/mlp", "svm"]);
  const rows = [{ cells: ["1e-3", "adam", null] }, { cells: ["2", "1", null] }] as never;
  expect([...numericColumns(["a", "b", "c"], rows)]).toEqual(["a"]);
});
