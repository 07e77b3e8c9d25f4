// A row of numbers drawn as the image that it is: dark is high in light theme, light is high in dark theme.
import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef } from "react";
import type { ImageShape } from "../lib/image";

interface Props { shape: ImageShape; values: readonly (number | string)[]; size: number; label: string; most?: number }

export function PixelImage({ shape, values, size, label, most }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const dark = useComputedColorScheme("light") === "dark";
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const numbers = shape.order.map((column) => Number(values[column] ?? 0));
    const known = numbers.filter(Number.isFinite);
    const [low, high] = [Math.min(0, ...known), most ?? Math.max(1e-9, ...known)];
    const image = context.createImageData(shape.width, shape.height);
    numbers.forEach((n, i) => {
      const share = Number.isFinite(n) ? Math.min(1, Math.max(0, (n - low) / (high - low || 1))) : 0;
      const level = Math.round(dark ? 20 + share * 225 : 250 - share * 235);
      image.data.set([level, level, level, 255], i * 4);
    });
    context.putImageData(image, 0, 0);
  }, [shape, values, dark, most]);
  return <canvas ref={canvas} width={shape.width} height={shape.height} role="img" aria-label={label} style={{ width: size, height: (size * shape.height) / shape.width, imageRendering: "pixelated", border: "1px solid var(--line)", borderRadius: 2, display: "block", flex: "none" }} />;
}
