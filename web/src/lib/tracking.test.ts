import { expect, test } from "vitest";
import { parseCsv } from "../components/Artifacts";
import { typing } from "../components/RunFilter";
import { better, digits, quoteKey, readColumn, runColor, signed, withQuery, writeColumn } from "./tracking";

test("columns are read and written as the server names them", () => {
  for (const text of ["metrics.loss", "min(metrics.loss)", "max(metrics.`val/loss`)", "params.lr", "tags.`mlflow.user x`"]) expect(writeColumn(readColumn(text) as never)).toBe(text);
  expect(readColumn("max(metrics.`val/loss`)")).toEqual({ kind: "metric", key: "val/loss", pick: "max" });
  expect(readColumn("attributes.status")).toBeNull();
  expect(quoteKey("a`b c")).toBe("`ab c`");
});

test("which way is better is read from the name", () => {
  for (const up of ["accuracy", "val_accuracy", "roc_auc", "macro_f1", "test/precision", "bestScore"]) expect(better(up)).toBe(1);
  for (const down of ["loss", "val/loss", "rmse", "train_error", "p95_latency", "epoch_time"]) expect(better(down)).toBe(-1);
  for (const unknown of ["lr", "epoch", "glossary"]) expect(better(unknown)).toBe(0);
});

test("measured values show three digits and no more", () => {
  expect(digits(0.94)).toBe("0.940");
  expect(digits(0)).toBe("0");
  expect(digits("NaN")).toBe("NaN");
  expect(digits(null)).toBe("–");
  expect(signed(-0.0123, 2)).toBe("−0.012");
  expect(signed(0.5, 2)).toBe("+0.50");
});

test("a run keeps its colour, and the first eight differ", () => {
  const ids = Array.from({ length: 8 }, (_, i) => `${i}`.repeat(32));
  const colours = ids.map(runColor);
  expect(new Set(colours).size).toBe(8);
  expect(ids.map(runColor)).toEqual(colours);
});

test("what is being typed tells what to offer", () => {
  expect(typing("metrics.ac", 10)).toMatchObject({ kind: "metric", part: "ac", from: 8 });
  expect(typing("params.`a b", 11)).toMatchObject({ kind: "param", part: "a b" });
  expect(typing("params.model = 'sv", 18)).toMatchObject({ kind: "param", key: "model", part: "sv" });
  expect(typing("metrics.a > 1 AN", 16)).toMatchObject({ kind: "word", part: "AN", from: 14 });
});

test("lists repeat their name in a query", () => {
  expect(withQuery("/x", { a: ["1", "2 3"], b: "", c: undefined, d: 0 })).toBe("/x?a=1&a=2+3&d=0");
});

test("CSV with quotes, line ends of Windows and a torn end", () => {
  expect(parseCsv('a,b\r\n"x, ""y""",2\r\n3,')).toEqual([["a", "b"], ['x, "y"', "2"], ["3", ""]]);
  expect(parseCsv("")).toEqual([]);
});
