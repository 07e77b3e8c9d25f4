import { describe, expect, it } from "vitest";
import { Kept } from "./log";

const window = (first: number, lines: string[], total: number, open_end = false) => ({ first, lines, total, open_end, bytes: 0, ended: false });

describe("Kept", () => {
  it("numbers lines as they come, in pieces that end anywhere", () => {
    const log = new Kept();
    log.append("one\ntw");
    expect([log.count, log.at(0), log.at(1)]).toEqual([2, "one", "tw"]);
    log.append("o\nthree\n");
    expect([log.count, log.at(1), log.at(2)]).toEqual([3, "two", "three"]);
  });
  it("goes on where a window ended, and fills what was not looked at later", () => {
    const log = new Kept();
    log.take(window(0, ["a"], 1201, true));
    log.ended = 1200;
    log.rest = "half";
    log.append(" a line\nnext\n");
    expect(log.count).toBe(1202);
    expect(log.at(1200)).toBeUndefined(); // its chunk was never asked for
    expect(log.whole(2)).toBe(202);
    log.take(window(1000, Array.from({ length: 150 }, (_, i) => `l${1000 + i}`), 1202));
    expect(log.have(2)).toBe(150);
    log.take(window(1150, Array.from({ length: 52 }, (_, i) => `l${1150 + i}`), 1202));
    expect([log.at(1000), log.at(1201)]).toEqual(["l1000", "l1201"]);
    log.append("live\n");
    expect(log.at(1202)).toBe("live");
  });
  it("never keeps the line that has no end as a whole one", () => {
    const log = new Kept();
    log.take(window(0, ["a", "b", "c…"], 3, true));
    expect(log.have(0)).toBe(2);
  });
});
