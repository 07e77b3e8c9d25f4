import { expect, test } from "vitest";
import { flag, number, oneOf, parseSearch, readInstant, searchParams, stringifySearch, text } from "./search";

const runs = searchParams({ q: text(), view: oneOf(["table", "charts"], "table"), smooth: number(0, 0, 0.99), log: flag() });

test("bad and missing values fall to the default without an error", () => {
  expect(runs.validateSearch({} as never)).toEqual({ q: "", view: "table", smooth: 0, log: false });
  expect(runs.validateSearch({ view: "pie", smooth: "much", log: "maybe" } as never)).toEqual({ q: "", view: "table", smooth: 0, log: false });
  expect(runs.validateSearch({ view: "charts", smooth: "7", log: "1", q: "a = 'b'" } as never)).toEqual({ q: "a = 'b'", view: "charts", smooth: 0.99, log: true });
});

test("an address reads as it was written, and keeps ids as text", () => {
  expect(parseSearch("?q=accuracy+%3E+0.9&ids=1,2")).toEqual({ q: "accuracy > 0.9", ids: "1,2" });
  expect(stringifySearch({ ids: "a,b", q: "x > 1", none: undefined, empty: "" })).toBe("?ids=a,b&q=x+%3E+1");
  expect(stringifySearch({})).toBe("");
  const odd = { q: "100% & \"quotes\" + plus # hash" };
  expect(parseSearch(stringifySearch(odd))).toEqual(odd);
});

test("time ranges are relative or instants", () => {
  const now = Date.parse("2026-03-01T12:00:00Z");
  expect(readInstant("now-6h", now)).toBe(now - 6 * 3_600_000);
  expect(readInstant("2026-03-01T11:00:00Z", now)).toBe(now - 3_600_000);
  expect(readInstant("yesterday", now)).toBeUndefined();
});
