// Marks of a chart that would stand on each other become one, with all their words.
import type { ChartMark } from "../components/LineChart";

const APART = 0.05; // of the chart's width, about as much as a word takes

export function joined(marks: readonly ChartMark[], span: number): ChartMark[] {
  const out: ChartMark[] = [];
  for (const mark of marks.toSorted((a, b) => a.x - b.x)) {
    const last = out.at(-1);
    if (last && mark.x - last.x < span * APART) last.label = [...new Set([...last.label.split(", "), mark.label])].join(", ");
    else out.push({ ...mark });
  }
  return out;
}
