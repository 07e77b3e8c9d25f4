import { describe, expect, it } from "vitest";
import { imageShape } from "./image";

const names = (n: number, of: (i: number) => string) => Array.from({ length: n }, (_, i) => of(i));

describe("imageShape", () => {
  it("sees a square of numbered columns", () => {
    const shape = imageShape(names(64, (i) => `p${i}`));
    expect(shape?.width).toBe(8);
    expect(shape?.order[9]).toBe(9);
  });
  it("sees rows and columns, in any order", () => {
    const columns = names(20, (i) => `pixel_${Math.floor(i / 5)}_${i % 5}`).toReversed();
    const shape = imageShape(columns);
    expect([shape?.width, shape?.height]).toEqual([5, 4]);
    expect(columns[shape?.order[7] as number]).toBe("pixel_1_2");
  });
  it("leaves plain tables alone", () => {
    expect(imageShape(["age", "income", "city"])).toBeUndefined();
    expect(imageShape(names(15, (i) => `x${i}`))).toBeUndefined();
    expect(imageShape(names(17, (i) => `x${i}`))).toBeUndefined();
    expect(imageShape(names(16, (i) => `x${i * 2}`))).toBeUndefined();
  });
});
