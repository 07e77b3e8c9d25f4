// The gate's answer with the numbers it rests on: metric, champion, challenger, difference with its interval, both tests,
// and the checks in words. The same table in the promotion sheet, on a version's page and beside an evaluation.
import { IconCircleCheck, IconCircleX } from "@tabler/icons-react";
import { formatCount } from "../lib/format";
import { type JudgedRows, type Verdict, digits, signed } from "../lib/tracking";
import { WORDS } from "../lib/words";
import { StatusMark } from "./StatusMark";
import classes from "./Verdict.module.css";

const CHECKS: Record<string, string> = {
  absolute: "Reaches the bound",
  no_regression: "Loses nothing on the frozen test",
  recent_rows: "Enough recent labelled rows",
  better_on_recent: "Better on recent rows",
};
const KINDS: Record<string, string> = {
  first: "First promotion: nothing served before, so there is nothing to compare with.",
  update: "Update: it must lose nothing on the frozen test.",
  retraining: "Retraining: it must lose nothing on the frozen test and be better on recent labelled rows.",
  unchanged: "Unchanged: the best candidate is what serves already.",
};

const pText = (p: number) => (p < 0.001 ? "< 0.001" : digits(p, 2));

/** ▲ +0.012 [0.004, 0.020]: better is up, whatever the sign; metrics of the gate grow. */
export function Difference({ d }: { d: JudgedRows["difference"] }) {
  if (!d) return <>–</>;
  const word = d.value > 0 ? "▲" : d.value < 0 ? "▼" : "＝";
  return <span title={`${d.value} (${d.low} to ${d.high})`}><b>{word} {signed(d.value, 2)}</b><br /><span className="muted small">{signed(d.low, 2)} to {signed(d.high, 2)}</span></span>;
}

/** The value over its interval: narrow enough that all columns are seen at once. */
const Measured = ({ m }: { m?: { value: number; low: number; high: number } }) => (m ? <span title={`${m.value} (${m.low} to ${m.high})`}><b>{digits(m.value)}</b><br /><span className="muted small">{digits(m.low)} to {digits(m.high)}</span></span> : <>–</>);

export function VerdictTable({ verdict, challenger = "Challenger", champion = "Champion" }: { verdict: Verdict; challenger?: string; champion?: string }) {
  const { numbers } = verdict;
  const rows = numbers.rows ?? [];
  return (
    <div className={classes.verdict}>
      <p className={classes.words}><StatusMark status={verdict.passed ? "passed" : "refused"} label={verdict.passed ? "The gate passed" : "The gate refused"} /></p>
      <p>{verdict.reason.replace(/^(not )?passed: /, "").replace(/^./, (c) => c.toUpperCase())}.</p>
      {rows.length > 0 && (
        <div className={classes.scroll}>
          <table className="plain" aria-label="The gate's numbers">
            <thead>
              <tr>
                <th>{numbers.metric} on</th>
                <th className="num" title={WORDS.champion}>{champion}</th>
                <th className="num" title={WORDS.challenger}>{challenger}</th>
                <th className="num" title={WORDS.interval}>Difference</th>
                <th className="num" title="One-sided paired bootstrap: the chance of such a gain if the challenger were no better.">p better</th>
                <th className="num" title={WORDS.mcnemar}>McNemar</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((r) => (
                <tr key={r.part}>
                  <td title={`Data version ${r.data_version}`}>{r.part}<br /><span className="muted small">{formatCount(r.rows)} rows</span></td>
                  <td className="num"><Measured m={r.champion} /></td>
                  <td className="num"><Measured m={r.challenger} /></td>
                  <td className="num"><Difference d={r.difference} /></td>
                  <td className="num">{r.difference ? pText(r.difference.p_greater) : "–"}</td>
                  <td className="num" title={r.mcnemar ? `Only the champion right: ${r.mcnemar.champion_only} rows; only the challenger: ${r.mcnemar.challenger_only} rows` : undefined}>
                    {r.mcnemar ? pText(r.mcnemar.exact_p) : "–"}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {(numbers.checks ?? []).length > 0 && (
        <ul className={classes.checks}>
          {numbers.checks?.map((c) => (
            <li key={c.check} data-passed={c.passed}>
              {c.passed ? <IconCircleCheck size={15} aria-label="passed" role="img" /> : <IconCircleX size={15} aria-label="not passed" role="img" />}
              <span>{CHECKS[c.check] ?? c.check}</span>
              <span className="muted">found {digits(c.found, 2)}, bound {digits(c.bound, 2)}</span>
            </li>
          ))}
        </ul>
      )}
      <p className="muted small">{KINDS[verdict.kind] ?? verdict.kind}</p>
    </div>
  );
}
