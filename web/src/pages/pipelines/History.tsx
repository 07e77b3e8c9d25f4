// The last runs of a pipeline as bars: height is the duration, colour and pattern the state. Oldest at the left.
import { statusColor, statusLabel } from "../../components/StatusMark";
import { fromUs, formatAgo } from "../../lib/format";
import classes from "./pipelines.module.css";
import type { Run } from "./types";
import { causeText, elapsedUs, formatElapsed, runHref } from "./words";

export function History({ runs, most = 20 }: { runs: readonly Run[]; most?: number }) {
  const shown = runs.slice(0, most).toReversed();
  const longest = Math.max(1, ...shown.map((r) => elapsedUs(r.created_us, r.ended_us) ?? 0));
  return (
    <span className={classes.history}>
      {shown.map((r) => (
        <a
          key={r.id} href={runHref(r)} tabIndex={-1} className={classes.historyBar} data-state={r.state}
          title={`Run ${r.number}: ${statusLabel(r.state)}, ${formatElapsed(r.created_us, r.ended_us)}, ${causeText(r.cause)}, ${formatAgo(fromUs(r.created_us))}`}
          aria-label={`Run ${r.number}, ${statusLabel(r.state)}`}
        >
          <i style={{ height: `${Math.max(14, ((elapsedUs(r.created_us, r.ended_us) ?? 0) / longest) * 100)}%`, background: statusColor(r.state) }} />
        </a>
      ))}
    </span>
  );
}
