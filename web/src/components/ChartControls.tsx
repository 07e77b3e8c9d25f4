// How curves are drawn: the axis, smoothing, the scale. What is set here is in the address.
import { SegmentedControl, Slider, Switch } from "@mantine/core";
import { useState } from "react";
import type { XAxis } from "../lib/curves";

interface Props { x: XAxis; smooth: number; log: boolean; logx: boolean; onChange: (change: { x?: XAxis; smooth?: number; log?: boolean; logx?: boolean; range?: string }, replace?: boolean) => void }

export function ChartControls({ x, smooth, log, logx, onChange }: Props) {
  const [shown, setShown] = useState<number | null>(null);
  const value = shown ?? smooth;
  return (
    <span className="row" style={{ gap: 14, flexWrap: "wrap" }}>
      <SegmentedControl aria-label="Horizontal axis" data={[{ value: "step", label: "Step" }, { value: "time", label: "Time" }, { value: "relative", label: "Relative" }]} value={x} onChange={(v) => onChange({ x: v as XAxis, range: "" })} />
      <span className="row small muted" title="An exponential average of the whole series, over the faint raw line">
        Smoothing
        <Slider w={110} size="sm" min={0} max={0.99} step={0.01} value={value} label={(v) => v.toFixed(2)} thumbLabel="Smoothing" onChange={setShown} onChangeEnd={(v) => { setShown(null); onChange({ smooth: v }, true); }} />
        <span className="num" style={{ width: 28 }}>{value.toFixed(2)}</span>
      </span>
      <span className="row" style={{ gap: 10 }}>
        <Switch label="Log y" checked={log} onChange={(e) => onChange({ log: e.currentTarget.checked })} />
        <Switch label="Log x" checked={logx && x !== "time"} disabled={x === "time"} onChange={(e) => onChange({ logx: e.currentTarget.checked, range: "" })} />
      </span>
    </span>
  );
}
