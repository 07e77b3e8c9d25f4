// What moved the answer: a bar for each feature, to the right for and to the left against it; where the input is an
// image, the same over its pixels.
import { Button, useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { formatDelta, formatMetric, plural } from "../../lib/format";
import type { ImageShape } from "../../lib/image";
import classes from "./endpoints.module.css";
import type { Explanation } from "./explain";
import { largest } from "./explain";

const FIRST = 10;
const METHODS: Record<Explanation["method"], string> = {
  tree: "TreeSHAP: exact Shapley values of the model's own trees",
  kernel: "Kernel SHAP: Shapley values, estimated by hiding sets of features",
  occlusion: "Occlusion: what changes when one feature is hidden",
};

export function Explained({ e, image }: { e: Explanation; image?: ImageShape }) {
  const [all, setAll] = useState(false);
  const { shown, rest, others } = largest(e.parts, all ? e.parts.length : FIRST);
  const most = Math.max(...e.parts.map((p) => Math.abs(p.value)), 1e-12);
  const unit = e.margin ? "log-odds" : "of the score";
  return (
    <div className="stack">
      <p className="muted small">
        {e.of && <>For <b>{e.of}</b>: </>}without knowing the input the model answers {formatMetric(e.base)}{e.margin && " (log-odds)"}; this input makes it {formatMetric(e.total)}. <span title={METHODS[e.method]} className="hint">{METHODS[e.method].split(":")[0]}</span>
      </p>
      <div className={classes.explained}>
        {image && <Heat shape={image} parts={e.parts} most={most} of={e.of} />}
        <table className="plain" aria-label={`What each feature added${e.of ? ` to ${e.of}` : ""}`}>
          <thead><tr><th>Feature</th><th className={classes.sides}><span>against</span><span>for it</span></th><th className="num" title={`Added ${unit}`}>Added</th></tr></thead>
          <tbody>
            {shown.map((p) => (
              <tr key={p.name}>
                <td className="cut" style={{ maxWidth: 160 }} title={p.name}>{p.name}</td>
                <td className={classes.signed} aria-hidden><i data-against={p.value < 0 || undefined} style={{ width: `${(Math.abs(p.value) / most) * 50}%` }} /></td>
                <td className="num" title={String(p.value)}>{formatDelta(p.value)}</td>
              </tr>
            ))}
            {others > 0 && <tr><td colSpan={2} className="muted">{plural(others, "other feature")} together</td><td className="num muted">{formatDelta(rest)}</td></tr>}
          </tbody>
        </table>
      </div>
      {(all || others > 0) && <span><Button variant="subtle" onClick={() => setAll(!all)}>{all ? `The ${FIRST} that say most` : "Every feature"}</Button></span>}
    </div>
  );
}

const HEAT = 160;
function Heat({ shape, parts, most, of }: { shape: ImageShape; parts: Explanation["parts"]; most: number; of: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const theme = useComputedColorScheme("light");
  // biome-ignore lint/correctness/useExhaustiveDependencies: the theme has colours of its own
  useEffect(() => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context) return;
    const style = getComputedStyle(element);
    context.clearRect(0, 0, shape.width, shape.height);
    shape.order.forEach((column, i) => {
      const value = parts[column]?.value ?? 0;
      context.globalAlpha = Math.min(1, Math.abs(value) / most);
      context.fillStyle = style.getPropertyValue(value < 0 ? "--series-2" : "--series-1");
      context.fillRect(i % shape.width, Math.floor(i / shape.width), 1, 1);
    });
  }, [shape, parts, most, theme]);
  return (
    <figure className={classes.heat}>
      <canvas ref={canvas} width={shape.width} height={shape.height} role="img" aria-label={`What each pixel added${of ? ` to ${of}` : ""}; the table has the numbers`} style={{ width: HEAT, height: (HEAT * shape.height) / shape.width }} />
      <figcaption className="muted small"><i style={{ background: "var(--series-1)" }} />for it <i style={{ background: "var(--series-2)" }} />against it</figcaption>
    </figure>
  );
}
