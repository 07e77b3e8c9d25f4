// Draws an input image, one pixel a cell: the pointer paints, with Shift (or the right button) it wipes; arrows and Space by key.
import { useComputedColorScheme } from "@mantine/core";
import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from "react";
import type { ImageShape } from "../../lib/image";
import classes from "./endpoints.module.css";

interface Props { shape: ImageShape; values: readonly string[]; most: number; onChange: (values: string[]) => void }

export function DrawPad({ shape, values, most, onChange }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const dark = useComputedColorScheme("light") === "dark";
  const [cursor, setCursor] = useState<number>();
  const painting = useRef<"ink" | "wipe">(undefined);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const image = context.createImageData(shape.width, shape.height);
    shape.order.forEach((column, i) => {
      const share = Math.min(1, Math.max(0, Number(values[column] ?? 0) / most));
      const level = Math.round(dark ? 20 + share * 225 : 250 - share * 235);
      image.data.set(i === cursor ? [level * 0.6, level * 0.7, 255, 255] : [level, level, level, 255], i * 4);
    });
    context.putImageData(image, 0, 0);
  }, [shape, values, most, dark, cursor]);

  function ink(place: number, wipe: boolean, soft: boolean) {
    const next = [...values];
    const put = (x: number, y: number, share: number) => {
      if (x < 0 || y < 0 || x >= shape.width || y >= shape.height) return;
      const column = shape.order[y * shape.width + x] as number;
      const old = Number(next[column] ?? 0);
      next[column] = String(wipe ? 0 : Math.round(Math.max(old, share * most) * 100) / 100);
    };
    const [x, y] = [place % shape.width, Math.floor(place / shape.width)];
    put(x, y, 1);
    if (soft && !wipe) for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) put(x + dx, y + dy, 0.35);
    onChange(next);
  }
  function placeOf(e: PointerEvent): number {
    const box = (canvas.current as HTMLCanvasElement).getBoundingClientRect();
    const x = Math.min(shape.width - 1, Math.max(0, Math.floor(((e.clientX - box.left) / box.width) * shape.width)));
    const y = Math.min(shape.height - 1, Math.max(0, Math.floor(((e.clientY - box.top) / box.height) * shape.height)));
    return y * shape.width + x;
  }
  function onKeyDown(e: KeyboardEvent) {
    const by: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -shape.width, ArrowDown: shape.width };
    const step = by[e.key];
    if (step !== undefined) setCursor(Math.min(shape.order.length - 1, Math.max(0, (cursor ?? 0) + step)));
    else if (e.key === " " && cursor !== undefined) ink(cursor, Number(values[shape.order[cursor] as number] ?? 0) > 0, false);
    else return;
    e.preventDefault();
  }
  return (
    // biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: a drawing takes keys of its own
    <canvas
      ref={canvas} className={classes.pad} width={shape.width} height={shape.height} style={{ aspectRatio: `${shape.width} / ${shape.height}` }} tabIndex={0} role="application"
      aria-label={`Drawing of ${shape.width} by ${shape.height} pixels. Arrows move, Space paints.`} onKeyDown={onKeyDown} onBlur={() => setCursor(undefined)} onContextMenu={(e) => e.preventDefault()}
      onPointerDown={(e) => { painting.current = e.shiftKey || e.button === 2 ? "wipe" : "ink"; e.currentTarget.setPointerCapture(e.pointerId); ink(placeOf(e), painting.current === "wipe", true); }}
      onPointerMove={(e) => painting.current && ink(placeOf(e), painting.current === "wipe", true)}
      onPointerUp={() => { painting.current = undefined; }}
    />
  );
}
