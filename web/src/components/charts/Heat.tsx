// A heat map of rows × columns: HTML cells up to a few thousand, one button a cell, colour by one hue's strength, the number on hover.
import { formatMetric } from "../../lib/format";
import classes from "./charts.module.css";

interface Props {
  label: string;
  rows: readonly { id: string; label: string }[];
  columns: readonly { id: string; label: string; title?: string }[];
  value: (row: number, column: number) => number | null;
  /** Values at or past this are marked: drift's threshold. */
  threshold?: number;
  most?: number; // the value of the strongest colour; else the greatest there is
  chosen?: { row?: string; column?: string };
  onChoose?: (row: string, column: string) => void;
  numbers?: boolean; // write the value into the cells
  cell?: number; // height of a row
  labelWidth?: number;
}

export function Heat({ label, rows, columns, value, threshold, most, chosen, onChoose, numbers = false, cell = 20, labelWidth = 130 }: Props) {
  let high = most ?? 0;
  if (most === undefined) for (let r = 0; r < rows.length; r++) for (let c = 0; c < columns.length; c++) high = Math.max(high, value(r, c) ?? 0);
  return (
    <div className={classes.heat} style={{ gridTemplateColumns: `${labelWidth}px repeat(${columns.length}, minmax(${numbers ? 40 : 4}px, 1fr))` }} role="group" aria-label={label}>
      {rows.map((row, r) => (
        <div key={row.id} className={classes.heatRow} data-on={chosen?.row === row.id || undefined}>
          <span className="cut small" title={row.label}>{row.label}</span>
          {columns.map((column, c) => {
            const v = value(r, c);
            const share = v === null || high === 0 ? 0 : Math.min(1, Math.max(0, v / high));
            return (
              <button
                key={column.id} type="button" tabIndex={-1} className={classes.heatCell} data-on={(chosen?.row === row.id && chosen?.column === column.id) || undefined} data-past={threshold !== undefined && v !== null && v >= threshold ? true : undefined}
                style={{ height: cell, background: v === null ? undefined : `color-mix(in srgb, var(--heat) ${Math.round(share * 88)}%, var(--surface))`, color: share > 0.55 ? "var(--on-heat)" : undefined }}
                title={`${row.label}, ${column.title ?? column.label}: ${formatMetric(v)}`} onClick={() => onChoose?.(row.id, column.id)} aria-label={`${row.label}, ${column.label}: ${formatMetric(v)}`}
              >{numbers && v !== null ? formatMetric(v) : ""}</button>
            );
          })}
        </div>
      ))}
    </div>
  );
}
