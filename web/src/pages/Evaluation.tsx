// One evaluation: how good, how sure, where it fails, and row by row what it got wrong or where it disagrees with another.
import { Button, SegmentedControl, Select } from "@mantine/core";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { CopyId } from "../components/CopyId";
import { Chip } from "../components/FilterBar";
import { PageHead } from "../components/PageHead";
import { PixelImage } from "../components/PixelImage";
import { Loaded } from "../components/Problem";
import { VerdictTable } from "../components/Verdict";
import { formatAgo, formatCount, formatInstant, formatMetric, formatPercent, fromUs, plural, shortId } from "../lib/format";
import { imageShape } from "../lib/image";
import { type NamedEvaluation, type Summary, type Verdict, runHref, usePage, interval, digits } from "../lib/tracking";
import { WORDS } from "../lib/words";
import classes from "./Evaluation.module.css";

const route = getRouteApi("/shell/p/$project/evaluations/$id");
interface EvaluationPage { page: NamedEvaluation; others: NamedEvaluation[]; features: string[]; label: string; verdict: Verdict | null }
const nameOf = (n: NamedEvaluation) => n.version ? n.version.replace("/", " v") : n.run_name || n.model_name || shortId(n.evaluation.model);

export function Evaluation() {
  const { id } = route.useParams();
  const query = usePage<EvaluationPage>(`/evaluations/${encodeURIComponent(id)}`, {}, { topics: ["verdict"], keep: true });
  return <section className="page"><Loaded query={query} what="The evaluation">{(data) => <Body data={data} />}</Loaded></section>;
}

const METRICS: Record<string, [string, string]> = {
  accuracy: ["Accuracy", "Share of rows predicted right."],
  macro_precision: ["Precision, macro", "Of what was called a class, the share that is; the mean over classes."],
  macro_recall: ["Recall, macro", "Of a class, the share that was found; the mean over classes."],
  macro_f1: ["F1, macro", "Harmonic mean of precision and recall; the mean over classes."],
  weighted_f1: ["F1, weighted", "The same, weighted by how often each class occurs."],
  log_loss: ["Log loss", "Cross-entropy of the probabilities. Lower is better."],
  brier_score: ["Brier score", "Squared distance of the probabilities from the truth. Lower is better."],
  roc_auc_ovr: ["ROC AUC", "The chance that a row of a class scores higher for it than another row; the mean over classes."],
};

function Body({ data }: { data: EvaluationPage }) {
  const { page, others, verdict } = data;
  const e = page.evaluation;
  const s = e.summary as Summary;
  const { project } = route.useParams();
  return (
    <>
      <PageHead
        kind="Evaluation" title={nameOf(page)} note={<><span>{e.metric} <b>{interval(e)}</b></span><CopyId id={e.id} /></>}
        facts={<>
          <span>{e.purpose === "select" ? "candidate" : e.side} on {e.part}, {plural(e.rows, "row")}</span><Link to="/p/$project/data/$id/{-$tab}" params={{ project, id: e.data_version, tab: undefined }}>data {page.data_name} v{page.data_number}</Link>
          {page.run_id && <a href={runHref(page.run_id)}>run {page.run_name || shortId(page.run_id)}</a>}<span title={formatInstant(fromUs(e.created_us))}>{formatAgo(fromUs(e.created_us))}</span>
        </>}
      >
        <Button component={Link} {...({ to: "/p/$project/lineage", params: { project }, search: { id: `evaluation:${e.id}` } } as object)}>Lineage</Button>
      </PageHead>
      <div className={`page-body ${classes.top}`}>
        <div className="stack">
          <section className="panel">
            <header><h2>How good</h2><span className="muted small" title={WORDS.interval}>{Math.round(s.confidence * 100)} % interval of {s.metric}: {s.interval === "wilson" ? "Wilson" : "bootstrap"}</span></header>
            <div className={`panel-body ${classes.metrics}`}>
              {Object.entries(s.metrics).map(([key, value]) => (
                <div key={key} title={`${METRICS[key]?.[1] ?? key} ${value}`} data-main={key === s.metric || undefined}>
                  <span className="muted small">{METRICS[key]?.[0] ?? key}</span>
                  <b>{key === s.metric ? interval(s) : digits(value, 3)}</b>
                </div>
              ))}
            </div>
            <ClassTable summary={s} />
          </section>
          {s.slices.length > 0 && <Slices summary={s} />}
          {verdict && e.purpose === "gate" && <section className="panel"><header><h2>The gate's verdict</h2></header><div className="panel-body"><VerdictTable verdict={verdict} /></div></section>}
        </div>
        <div className="stack">
          <Confusion summary={s} />
          <Rows data={data} others={others} />
        </div>
      </div>
    </>
  );
}

function ClassTable({ summary }: { summary: Summary }) {
  const worst = Math.min(...summary.classes.map((c) => c.f1));
  return (
    <div style={{ maxHeight: 320, overflow: "auto", borderTop: "1px solid var(--grid)" }}>
      <table className="plain" aria-label="By class">
        <thead><tr><th>Class</th><th className="num">Rows</th><th className="num">Precision</th><th className="num">Recall</th><th className="num">F1</th></tr></thead>
        <tbody>{summary.classes.map((c) => <tr key={c.label}><td>{c.label}{c.f1 === worst && summary.classes.length > 2 && worst < 1 && <span className="muted small"> weakest</span>}</td><td className="num">{formatCount(c.support)}</td><td className="num">{digits(c.precision, 3)}</td><td className="num">{digits(c.recall, 3)}</td><td className="num">{digits(c.f1, 3)}</td></tr>)}</tbody>
      </table>
    </div>
  );
}

const MOST_CELLS = 40;
function Confusion({ summary }: { summary: Summary }) {
  const { cell } = route.useSearch();
  const navigate = route.useNavigate();
  const { labels, counts } = summary.confusion;
  const [truth, predicted] = cell ? cell.split("→") : ["", ""];
  const most = Math.max(1, ...counts.flatMap((row, t) => row.map((n, p) => (t === p ? 0 : n))));
  const choose = (t: string, p: string) => void navigate({ search: (s) => ({ ...s, cell: t === truth && p === predicted ? "" : `${t}→${p}`, slice: "" }) });
  if (labels.length > MOST_CELLS) return <section className="panel"><header><h2>Confusion</h2></header><p className="panel-body muted">With {labels.length} classes the matrix is too large to draw; use the rows below.</p></section>;
  return (
    <section className="panel">
      <header><h2>Confusion</h2><span className="muted small">rows are the truth, columns what was said; choose a cell</span></header>
      <div className="panel-body" style={{ overflow: "auto" }}>
        <table className={classes.confusion} aria-label="Confusion matrix">
          <thead><tr><th><span className="hidden">Truth</span></th>{labels.map((l) => <th key={l} scope="col">{l}</th>)}</tr></thead>
          <tbody>
            {labels.map((t, i) => (
              <tr key={t}>
                <th scope="row">{t}</th>
                {labels.map((p, j) => {
                  const n = counts[i]?.[j] ?? 0;
                  const share = i === j ? 0 : n / most;
                  return (
                    <td key={p}>
                      <button type="button" disabled={n === 0} data-on={(t === truth && p === predicted) || undefined} data-right={i === j || undefined} style={share > 0 ? { background: `color-mix(in srgb, var(--fail) ${Math.round(12 + share * 34)}%, var(--surface))` } : undefined} aria-label={`${formatCount(n)} rows of ${t} called ${p}`} onClick={() => choose(t, p)}>{n === 0 ? "" : formatCount(n)}</button>
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** Harm: how many rows more are wrong than if the slice were as good as the whole. */
function Slices({ summary }: { summary: Summary }) {
  const { slice } = route.useSearch();
  const navigate = route.useNavigate();
  const rows = useMemo(() => summary.slices.map((s) => ({ ...s, key: `${s.column}=${s.value}`, metric: Number(s[summary.metric]), harm: (summary.value - Number(s[summary.metric])) * Number(s.rows) })).sort((a, b) => b.harm - a.harm), [summary]);
  return (
    <section className="panel">
      <header><h2>Slices</h2><span className="muted small" title="Rows of the slice times how much worse it is than the whole">by harm</span></header>
      <div style={{ maxHeight: 360, overflow: "auto" }}>
        <table className="plain" aria-label="Slices">
          <thead><tr><th>Slice</th><th className="num">Rows</th><th className="num">{summary.metric}</th><th className="num">Against the whole</th><th className="num">Harm</th></tr></thead>
          <tbody>{rows.map((s) => <tr key={s.key} data-on={slice === s.key || undefined}><td><button type="button" className="plain" aria-pressed={slice === s.key} onClick={() => void navigate({ search: (o) => ({ ...o, slice: slice === s.key ? "" : s.key, cell: "" }) })}><span style={{ color: "var(--accent)" }}>{s.column} = {s.value}</span></button></td><td className="num">{formatCount(Number(s.rows))}</td><td className="num">{digits(s.metric, 3)}</td><td className="num">{s.harm > 0 ? "▼" : s.harm < 0 ? "▲" : ""} {formatMetric(Number(Math.abs(summary.value - s.metric).toPrecision(2)))}</td><td className="num">{s.harm > 0 ? s.harm.toFixed(1) : "–"}</td></tr>)}</tbody>
        </table>
      </div>
    </section>
  );
}

interface RowsAnswer { matches: number; rows_total: number; features: string[]; rows: { row: number; label: string; predicted: string; score?: number; other?: string; other_score?: number; input: (number | string | null)[] }[] }
const PAGE = 60;

function Rows({ data, others }: { data: EvaluationPage; others: NamedEvaluation[] }) {
  const { only, cell, slice, against } = route.useSearch();
  const navigate = route.useNavigate();
  const [limit, setLimit] = useState(PAGE);
  const set = (change: object) => { setLimit(PAGE); void navigate({ search: (s) => ({ ...s, ...change }) }); };
  const [truth, predicted] = cell ? cell.split("→") : [];
  const cut = slice.indexOf("=");
  const differ = only === "differ" && against;
  const query = usePage<RowsAnswer>(`/evaluations/${encodeURIComponent(data.page.evaluation.id)}/rows`, {
    ...(truth !== undefined ? { label: truth, predicted: predicted ?? "" } : {}), ...(cut > 0 ? { slice: slice.slice(0, cut), value: slice.slice(cut + 1) } : {}),
    ...(only === "wrong" ? { wrong: "1" } : {}), ...(differ ? { disagree: "1" } : {}), against, limit: String(limit),
  }, { keep: true });
  const other = others.find((o) => o.evaluation.id === against);
  const wrongFirst = only !== "all" || !!cell;
  return (
    <section className="panel" aria-label="Rows">
      <header style={{ flexWrap: "wrap", padding: "4px 12px" }}>
        <h2>{cell ? "Rows of the cell" : only === "differ" ? "Where they disagree" : only === "wrong" ? "What it got wrong" : "Rows"}</h2>
        <span className="muted">{query.data ? `${formatCount(query.data.matches)} of ${formatCount(query.data.rows_total)} (${formatPercent(query.data.matches / Math.max(1, query.data.rows_total))})` : ""}</span>
        {cell && <Chip label="cell" onRemove={() => set({ cell: "" })}>{truth} called {predicted}</Chip>}
        {slice && <Chip label="slice" onRemove={() => set({ slice: "" })}>{slice.replace("=", " = ")}</Chip>}
        <span className="spacer" />
        <SegmentedControl aria-label="Which rows" value={only} onChange={(v) => set({ only: v, ...(v === "differ" && !against && others[0] ? { against: others[0].evaluation.id } : {}) })} data={[{ value: "all", label: "All, worst first" }, { value: "wrong", label: "Wrong" }, { value: "differ", label: "Disagree", disabled: others.length === 0 }]} />
        <Select aria-label="Beside another evaluation of the same rows" placeholder="Beside another model" clearable w={220} value={against || null} onChange={(v) => set({ against: v ?? "", ...(only === "differ" && !v ? { only: "all" } : {}) })} data={others.map((o) => ({ value: o.evaluation.id, label: `${nameOf(o)} (${o.evaluation.side}, ${digits(o.evaluation.value, 3)})` }))} disabled={others.length === 0} />
      </header>
      <Loaded query={query} what="The rows">
        {(answer) => {
          const shape = imageShape(answer.features);
          if (answer.rows.length === 0) return <p className="panel-body muted">{only === "wrong" ? "Not one row is wrong here." : only === "differ" ? "The two say the same on every row." : "No row."}</p>;
          return (
            <>
              {shape ? (
                <ul className={classes.tiles}>
                  {answer.rows.map((r) => (
                    <li key={r.row} data-wrong={r.label !== r.predicted || undefined} title={`Row ${r.row}`}>
                      <PixelImage shape={shape} values={r.input.map((v) => v ?? 0)} size={56} label={`Row ${r.row}: ${r.label}`} />
                      <span><b>{r.label}</b> {r.label === r.predicted ? <span className="muted">right</span> : <>called <b className={classes.wrong}>{r.predicted}</b></>}</span>
                      <span className="muted small">{r.score === undefined ? `row ${r.row}` : `${formatPercent(r.score, 0)} sure`}</span>
                      {other && <span className="small">{nameOf(other).slice(0, 18)}: <b className={r.other === r.label ? classes.right : classes.wrong}>{r.other}</b></span>}
                    </li>
                  ))}
                </ul>
              ) : (
                <div style={{ overflow: "auto", maxHeight: 520 }}>
                  <table className="plain" aria-label="Rows">
                    <thead><tr><th className="num">Row</th><th>Is</th><th>Said</th><th className="num">Score</th>{other && <th>{nameOf(other)}</th>}{answer.features.slice(0, 30).map((f) => <th key={f} className="num">{f}</th>)}</tr></thead>
                    <tbody>{answer.rows.map((r) => <tr key={r.row}><td className="num muted">{r.row}</td><td>{r.label}</td><td>{r.predicted === r.label ? r.predicted : <b className={classes.wrong}>✕ {r.predicted}</b>}</td><td className="num">{r.score === undefined ? "–" : digits(r.score, 3)}</td>{other && <td>{r.other === r.label ? r.other : <b className={classes.wrong}>✕ {r.other}</b>}</td>}{r.input.slice(0, 30).map((v, i) => <td key={answer.features[i]} className="num">{typeof v === "number" ? formatMetric(v) : (v ?? "–")}</td>)}</tr>)}</tbody>
                  </table>
                </div>
              )}
              <div className="row panel-body" style={{ paddingTop: 6 }}>
                {answer.matches > answer.rows.length && limit < 500 && <Button onClick={() => setLimit(Math.min(500, limit + 120))}>Show more</Button>}
                <span className="muted small">{wrongFirst ? "The surest mistakes first." : "Mistakes first, the surest of them at the top."} {answer.matches > answer.rows.length ? `${plural(answer.rows.length, "row")} shown.` : ""}</span>
              </div>
            </>
          );
        }}
      </Loaded>
    </section>
  );
}
