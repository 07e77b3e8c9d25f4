// Evaluations: one model on one part of one data version, measured by the server, newest first.
import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import { type Column, DataGrid } from "../components/DataGrid";
import { Chip, FilterBar } from "../components/FilterBar";
import { PageHead } from "../components/PageHead";
import { Empty } from "../components/Problem";
import { formatAgo, formatCount, formatInstant, fromUs, shortId } from "../lib/format";
import { useWindowRows } from "../lib/rows";
import { type NamedEvaluation, evaluationHref, runHref, interval } from "../lib/tracking";
import { WORDS } from "../lib/words";

const route = getRouteApi("/shell/p/$project/evaluations");
const read = (a: { evaluations: NamedEvaluation[]; next?: string }) => ({ rows: a.evaluations, next: a.next });
const title = (n: NamedEvaluation) => n.version ? n.version.replace("/", " v") : n.run_name ? `${n.model_name} of ${n.run_name}` : n.model_name || n.evaluation.model;

export function Evaluations() {
  const { model } = route.useSearch();
  const navigate = route.useNavigate();
  const rows = useWindowRows<NamedEvaluation, { evaluations: NamedEvaluation[]; next?: string }>("/pages/evaluations", { model }, { topics: ["evaluation"], read });
  const columns = useMemo((): Column<NamedEvaluation>[] => [
    { key: "model", label: "Model", width: "minmax(180px, 1.4fr)", cell: (n) => <a href={evaluationHref(n.evaluation.id)} tabIndex={-1}>{title(n)}</a>, raw: title },
    { key: "why", label: "Why", width: "120px", hint: "Select: to pick among candidates. Gate: challenger and champion on the rows that judge.", cell: (n) => (n.evaluation.purpose === "select" ? "candidate" : n.evaluation.side) },
    { key: "data", label: "Data", width: "minmax(110px, 0.7fr)", cell: (n) => <span>{n.data_name} <span className="muted">v{n.data_number}</span></span>, title: (n) => n.evaluation.data_version },
    { key: "part", label: "Part", width: "80px", cell: (n) => n.evaluation.part },
    { key: "rows", label: "Rows", width: "70px", right: true, cell: (n) => formatCount(n.evaluation.rows) },
    { key: "metric", label: "Metric", width: "110px", cell: (n) => n.evaluation.metric },
    { key: "value", label: "Value", width: "170px", right: true, hint: WORDS.interval, cell: (n) => interval(n.evaluation), title: (n) => String(n.evaluation.value), raw: (n) => String(n.evaluation.value) },
    { key: "run", label: "Run", width: "minmax(120px, 1fr)", cell: (n) => n.run_id ? <a href={runHref(n.run_id)} tabIndex={-1}>{n.run_name || shortId(n.run_id)}</a> : <span className="muted">–</span> },
    { key: "when", label: "When", width: "90px", right: true, cell: (n) => <span className="muted">{formatAgo(fromUs(n.evaluation.created_us))}</span>, title: (n) => formatInstant(fromUs(n.evaluation.created_us)) },
  ], []);
  return (
    <section className="page">
      <PageHead title="Evaluations" note={rows.loading ? undefined : `${formatCount(rows.total ?? rows.count - 1)}${rows.total === undefined ? " +" : ""}`} />
      {model && <FilterBar><Chip label="model" onRemove={() => void navigate({ search: (s) => ({ ...s, model: "" }) })}>model {shortId(model)}</Chip></FilterBar>}
      <DataGrid
        label="Evaluations" columns={columns} rows={rows} id={(n) => n.evaluation.id} href={(n) => evaluationHref(n.evaluation.id)} name={title}
        empty={<Empty title="No evaluation yet" code="lathe apply && lathe evaluations" label="Copy the command">A pipeline's evaluate stage makes them: every candidate on the rows that select, then the best and the champion on the frozen test.</Empty>}
      />
    </section>
  );
}
