// When each task ran, on one time axis: what the run waited for is where the bars are long.
import { StatusMark, statusColor } from "../../components/StatusMark";
import { formatDurationUs } from "../../lib/format";
import classes from "./pipelines.module.css";
import type { RunPage } from "./types";
import { formatElapsed } from "./words";

interface Props { page: RunPage; now: number; chosen: string; onChoose: (task: string) => void }

export function Gantt({ page, now, chosen, onChoose }: Props) {
  const from = page.run.created_us;
  const to = Math.max(page.run.ended_us || now * 1000, from + 1);
  const place = (us: number) => ((us - from) / (to - from)) * 100;
  return (
    <div className={classes.scroll}>
      <div className={classes.gantt} role="group" aria-label="Tasks in time">
        <span className={classes.ganttAxis} aria-hidden><span>0</span><span>{formatDurationUs((to - from) / 2)}</span><span>{formatDurationUs(to - from)}</span></span>
        {page.rows.map((r) => {
          const attempts = page.attempts.filter((a) => a.stage === r.name);
          return (
            <button type="button" key={r.name} className={classes.ganttRow} data-on={r.name === chosen || undefined} onClick={() => onChoose(r.name)} title={r.reason || r.waits || undefined}>
              <span className={classes.ganttName}><StatusMark status={r.state} bare /><span className="cut">{r.name}</span></span>
              <span className={classes.ganttTrack}>
                {attempts.map((a) => <i key={a.id} data-live={a.ended_us === 0 || undefined} style={{ left: `${place(a.started_us)}%`, width: `${Math.max(0, place(a.ended_us || now * 1000) - place(a.started_us))}%`, background: statusColor(a.outcome ?? "running"), opacity: a.id === r.attempt ? 1 : 0.5 }} />)}
                {attempts.length === 0 && <span style={{ left: 4 }}>{r.reason || r.waits}</span>}
              </span>
              <span className="num">{attempts.length ? formatElapsed(r.started_us, r.ended_us, now) : ""}</span>
            </button>
          );
        })}
      </div>
    </div>
  );
}
