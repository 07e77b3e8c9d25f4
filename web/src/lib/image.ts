// Is a row of numbers an image? Said by the names: one stem and numbers from 0 (or 1) on that fill a square (p0 … p63), or
// rows and columns that fill a rectangle (pixel_3_4).
export interface ImageShape { width: number; height: number; order: readonly number[] } // order: which column is at each place

const LEAST = 16; // fewer numbered columns are just numbered columns

export function imageShape(names: readonly string[]): ImageShape | undefined {
  if (names.length < LEAST) return undefined;
  return byRowAndColumn(names) ?? byNumber(names);
}

function byRowAndColumn(names: readonly string[]): ImageShape | undefined {
  const places = names.map((n) => /^(.*?)(\d+)[_x,.](\d+)$/.exec(n));
  const stem = places[0]?.[1];
  if (!places.every((p) => p && p[1] === stem)) return undefined;
  const [rows, columns] = [places.map((p) => Number(p?.[2])), places.map((p) => Number(p?.[3]))];
  const [top, left] = [Math.min(...rows), Math.min(...columns)];
  const [height, width] = [Math.max(...rows) - top + 1, Math.max(...columns) - left + 1];
  if (width * height !== names.length) return undefined;
  return filled(width, height, names.map((_, i) => ((rows[i] as number) - top) * width + (columns[i] as number) - left));
}

function byNumber(names: readonly string[]): ImageShape | undefined {
  const side = Math.sqrt(names.length);
  if (!Number.isInteger(side)) return undefined;
  const places = names.map((n) => /^(.*?)(\d+)$/.exec(n));
  const stem = places[0]?.[1];
  if (!places.every((p) => p && p[1] === stem)) return undefined;
  const numbers = places.map((p) => Number(p?.[2]));
  const first = Math.min(...numbers);
  return first > 1 ? undefined : filled(side, side, numbers.map((n) => n - first));
}

function filled(width: number, height: number, at: readonly number[]): ImageShape | undefined {
  const order = new Array<number>(width * height).fill(-1);
  at.forEach((place, column) => {
    if (place >= 0 && place < order.length) order[place] = column;
  });
  return order.includes(-1) ? undefined : { width, height, order };
}
