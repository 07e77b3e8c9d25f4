// Tasks × the last runs: one mark a cell; choose one to see that task in that run. Newest run at the right.
import { useRouter } from "@tanstack/react-router";
import { StatusMark, statusColor, statusLabel } from "../../components/StatusMark";
import { formatAgo, fromUs } from "../../lib/format";
import classes from "./pipelines.module.css";
import type { Cell, GridData } from "./types";
import { causeText, elapsedUs, formatElapsed, runHref } from "./words";

export function TaskGrid({ grid, current }: { grid: GridData; current?: number }) {
  const router = useRouter();
  const runs = grid.runs.map((run, i) => ({ run, cells: grid.cells[i] as (Cell | null)[] })).toReversed();
  const longest = Math.max(1, ...runs.map(({ run }) => elapsedUs(run.created_us, run.ended_us) ?? 0));
  return (
    <table className={classes.grid} aria-label="Tasks and runs">
      <thead>
        <tr>
          <th scope="col">Task</th>
          {runs.map(({ run }) => (
            <th key={run.id} scope="col">
              <a className={classes.gridRun} href={runHref(run)} aria-label={`Run ${run.number}: ${statusLabel(run.state)}`} title={`Run ${run.number}: ${statusLabel(run.state)}, ${formatElapsed(run.created_us, run.ended_us)}, ${causeText(run.cause)}, ${formatAgo(fromUs(run.created_us))}`}>
                <i style={{ height: Math.max(3, ((elapsedUs(run.created_us, run.ended_us) ?? 0) / longest) * 30), background: statusColor(run.state) }} />
                <span style={run.number === current ? { color: "var(--accent)", fontWeight: 550 } : undefined}>{run.number}</span>
              </a>
            </th>
          ))}
          <th aria-hidden style={{ width: "100%" }} />
        </tr>
      </thead>
      <tbody>
        {grid.stages.map((stage, s) => (
          <tr key={stage}>
            <th scope="row" className="cut" title={stage}>{stage}</th>
            {runs.map(({ run, cells }) => {
              const cell = cells[s];
              return (
                <td key={run.id}>
                  {cell && (
                    <button type="button" className={classes.gridCell} onClick={() => router.history.push(`${runHref(run)}?task=${encodeURIComponent(stage)}`)} title={`${stage}, run ${run.number}: ${statusLabel(cell.state)}${cell.started_us ? `, ${formatElapsed(cell.started_us, cell.ended_us)}` : ""}${cell.reason ? `\n${cell.reason}` : ""}`}>
                      <StatusMark status={cell.state} bare />
                    </button>
                  )}
                </td>
              );
            })}
            <td />
          </tr>
        ))}
      </tbody>
    </table>
  );
}
