import { expect, test } from "vitest";
import { formatAgo, formatBytes, formatCount, formatDelta, formatDuration, formatIn, formatInterval, formatMetric, formatRate, numberOf, plural, shortId } from "./format";

test("metrics keep four digits and show what is not a number", () => {
  expect(formatMetric(0.94119)).toBe("0.9412");
  expect(formatMetric(-0.00000012)).toBe("−1.20e−7");
  expect(formatMetric(null)).toBe("–");
  expect(formatMetric(undefined)).toBe("–");
  expect(formatMetric(Number.NaN)).toBe("NaN");
  expect(formatMetric("NaN")).toBe("NaN");
  expect(formatMetric("-Infinity")).toBe("−∞");
  expect(formatMetric(0)).toBe("0");
  expect(formatMetric(12)).toBe("12");
  expect(formatMetric(1_234_567)).toBe("1.23e6");
  expect(numberOf("Infinity")).toBe(Number.POSITIVE_INFINITY);
});

test("differences carry their sign, intervals their bounds", () => {
  expect(formatDelta(0.0012)).toBe("+0.001200");
  expect(formatDelta(-0.03)).toBe("−0.03000");
  expect(formatInterval(0.9759, 0.9484, 0.9889)).toBe("0.976 [0.948, 0.989]");
  expect(formatInterval(null, null, null)).toBe("–");
});

test("durations use two units at most", () => {
  expect(formatDuration(0.178)).toBe("178 µs");
  expect(formatDuration(3.14)).toBe("3.1 ms");
  expect(formatDuration(840)).toBe("840 ms");
  expect(formatDuration(999.7)).toBe("1.0 s");
  expect(formatDuration(59_990)).toBe("59 s");
  expect(formatDuration(185_000)).toBe("3 m 05 s");
  expect(formatDuration(7_800_000)).toBe("2 h 10 m");
  expect(formatDuration(null)).toBe("–");
});

test("counts, sizes, rates and ages", () => {
  expect(formatCount(100_000)).toBe("100,000");
  expect(formatCount(1_234_567, false)).toBe("≈ 1.23 M");
  expect(plural(1, "row")).toBe("1 row");
  expect(plural(1200, "row")).toBe("1,200 rows");
  expect(formatBytes(1023)).toBe("1023 B");
  expect(formatBytes(1_503_238_553)).toBe("1.4 GiB");
  expect(formatRate(0.4)).toBe("0.40 /s");
  expect(formatAgo(1, 3 * 3_600_000)).toBe("2 h ago");
  expect(formatAgo(null)).toBe("–");
  expect(formatIn(38 * 60_000, 0)).toBe("in 38 m 00 s");
});

test("short ids tell neighbours apart", () => {
  expect(shortId("b1b02cf4650fefa47b6ce708f6ad3ba9")).toBe("b1b02cf4");
  expect(shortId("pl_01m88b2jkhetxaz4npf7493syk")).toBe("f7493syk");
  expect(shortId("digits")).toBe("digits");
});
