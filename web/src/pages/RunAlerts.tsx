// Alerts on runs. Who comes: somebody whose training runs over night. The question: did a run go wrong, and how; next: make
// the rule that would have told. A rule looks at all runs of an experiment and fires once for each.
import { SegmentedControl, Select } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { ActButton } from "../components/ActButton";
import { ConfirmSheet } from "../components/ConfirmSheet";
import { type Column, DataGrid } from "../components/DataGrid";
import { Chip, FilterBar } from "../components/FilterBar";
import { PageHead } from "../components/PageHead";
import { Empty } from "../components/Problem";
import { StatusMark } from "../components/StatusMark";
import { useAction } from "../lib/actions";
import { type MetricAlert, type MetricRule, conditionOf, crossedBy } from "../lib/alerts";
import { ApiError, refresh, send, useApi } from "../lib/api";
import { formatAgo, formatInstant, plural } from "../lib/format";
import { denied, may, useMe } from "../lib/me";
import { useArrayRows } from "../lib/rows";
import { toast } from "../lib/toast";
import { type Experiment, runHref, usePage } from "../lib/tracking";
import { NewRule } from "./runs/NewRule";

const route = getRouteApi("/shell/p/$project/runs/alerts");
const MOST = 1000;

export function RunAlerts() {
  const { project } = route.useParams();
  const { exp, rule, view } = route.useSearch();
  const navigate = route.useNavigate();
  const writes = may(useMe(project).data, "own");
  const set = (change: Partial<{ exp: string; rule: string; view: "raised" | "rules" }>) => void navigate({ search: (s) => ({ ...s, ...change }) });
  const experiments = usePage<{ experiments: Experiment[] }>("/experiments", {}, { topics: ["experiment"] }).data?.experiments ?? [];
  const names = useMemo(() => new Map(experiments.map((e) => [e.id, e.name])), [experiments]);
  const rules = useApi<{ rules: MetricRule[] }>("/metric-rules", { experiment: exp }, { topics: ["metric_rule"], keep: true });
  const alerts = useApi<{ alerts: MetricAlert[] }>("/metric-alerts", { experiment: exp, rule, limit: MOST }, { topics: ["metric_rule", "run"], keep: true });
  const [making, setMaking] = useState(false);
  const [removing, setRemoving] = useState<MetricRule>();
  useAction({ id: "rule", label: "Make an alert rule", keys: "a", group: "Here", disabled: writes ? undefined : denied("own"), run: () => setMaking(true) });
  const chosen = rules.data?.rules.find((r) => r.id === rule);
  const fired = useMemo(() => {
    const out = new Map<string, number>();
    for (const a of alerts.data?.alerts ?? []) out.set(a.rule, (out.get(a.rule) ?? 0) + 1);
    return out;
  }, [alerts.data]);
  // Whose rights are by experiment must name one: that is a choice to be made, not a failure.
  const unnamed = !exp && rules.error instanceof ApiError && rules.error.status === 400;
  const alertRows = useArrayRows(unnamed ? [] : alerts.data?.alerts, { error: alerts.error, retry: () => void alerts.refetch(), stale: alerts.isPlaceholderData });
  const ruleRows = useArrayRows(unnamed ? [] : rules.data?.rules, { error: rules.error, retry: () => void rules.refetch(), stale: rules.isPlaceholderData });
  const experiment = (id: string) => names.get(id) ?? id;
  const make = <ActButton needs="own" variant="filled" leftSection={<IconPlus size={14} />} onClick={() => setMaking(true)}>Make a rule</ActButton>;

  const raisedColumns: Column<MetricAlert>[] = [
    { key: "at", label: "When", width: "100px", right: true, cell: (a) => formatAgo(a.at_ms), title: (a) => formatInstant(a.at_ms) },
    { key: "name", label: "Rule", width: "minmax(150px, 1.2fr)", cell: (a) => <StatusMark status="warning" label={a.name} />, raw: (a) => a.name },
    { key: "run", label: "Run", width: "minmax(130px, 1fr)", cell: (a) => <a className="quiet" tabIndex={-1} href={runHref(a.run)}>{a.run_name || a.run.slice(0, 8)}</a>, raw: (a) => a.run },
    { key: "what", label: "What crossed it", width: "minmax(200px, 1.8fr)", cell: crossedBy, raw: crossedBy, title: crossedBy },
    { key: "experiment", label: "Experiment", width: "minmax(120px, 1fr)", cell: (a) => experiment(a.experiment) },
  ];
  const ruleColumns: Column<MetricRule>[] = [
    { key: "name", label: "Rule", width: "minmax(150px, 1.2fr)", cell: (r) => <b>{r.name}</b>, raw: (r) => r.name },
    { key: "when", label: "Fires when", width: "minmax(180px, 1.4fr)", cell: conditionOf, title: conditionOf },
    { key: "filter", label: "Only for runs", width: "minmax(120px, 1fr)", cell: (r) => (r.filter ? <span className="mono">{r.filter}</span> : <span className="muted">all</span>), title: (r) => r.filter || undefined },
    { key: "experiment", label: "Experiment", width: "minmax(120px, 1fr)", cell: (r) => experiment(r.experiment) },
    { key: "fired", label: "Fired", width: "80px", right: true, hint: `Among the newest ${MOST} alerts`, cell: (r) => (fired.get(r.id) ? <button type="button" tabIndex={-1} className="plain" onClick={() => set({ rule: r.id, view: "raised" })}>{plural(fired.get(r.id) ?? 0, "run")}</button> : <span className="muted">never</span>) },
    { key: "by", label: "Made by", width: "100px", cell: (r) => r.created_by || "–", title: (r) => formatInstant(r.created_ms) },
    { key: "act", label: <span className="hidden">Remove</span>, width: "70px", right: true, cell: (r) => <button type="button" tabIndex={-1} className="plain" disabled={!writes} title={writes ? undefined : denied("own")} onClick={() => setRemoving(r)}>Remove</button> },
  ];
  const noRule = <Empty title="No rule yet" code="lathe alert add --experiment 1 --metric loss --not-finite">A rule tells when a run goes wrong: a metric above or below a bound, NaN, or a run that has stopped logging. Alerts show here and on the run, and go to webhooks that listen to run.alerted. {make}</Empty>;
  return (
    <section className="page">
      <PageHead title="Run alerts" note={rules.data && plural(rules.data.rules.length, "rule")}>{make}</PageHead>
      <FilterBar>
        <SegmentedControl aria-label="What is listed" value={view} onChange={(v) => set({ view: v as "raised" })} data={[{ value: "raised", label: "Raised" }, { value: "rules", label: "Rules" }]} />
        <Select aria-label="Experiment" placeholder="Every experiment" searchable clearable limit={200} w={220} value={exp || null} onChange={(v) => set({ exp: v ?? "", rule: "" })} data={experiments.map((e) => ({ value: e.id, label: e.name }))} nothingFoundMessage="No experiment has this name" />
        {rule && <Chip label="rule" onRemove={() => set({ rule: "" })}>{chosen?.name ?? rule}</Chip>}
      </FilterBar>
      {unnamed ? <Empty title="Choose an experiment">Your rights are by experiment: the alerts of one at a time can be shown.</Empty>
        : view === "rules" ? <DataGrid label="Rules" columns={ruleColumns} rows={ruleRows} id={(r) => r.id} empty={noRule} />
        : <DataGrid label="Alerts of runs" columns={raisedColumns} rows={alertRows} id={(a) => `${a.rule}/${a.run}`} href={(a) => runHref(a.run)} empty={rules.data?.rules.length === 0 ? noRule : <Empty title={rule ? "This rule has not fired" : "Nothing was raised"}>{rule ? "No run has crossed it yet." : `${plural(rules.data?.rules.length ?? 0, "rule looks", "rules look")} at runs as they log; what had ended before a rule was made is left alone.`}</Empty>} />}
      {making && <NewRule experiments={experiments} experiment={exp} onClose={() => setMaking(false)} />}
      {removing && (
        <ConfirmSheet
          opened onClose={() => setRemoving(undefined)} title={`Remove the rule ${removing.name}`} confirm="Remove" danger
          run={async () => {
            await send(`/metric-rules/${encodeURIComponent(removing.id)}`, undefined, "DELETE");
            await refresh("/metric-rules", "/metric-alerts");
            if (rule === removing.id) set({ rule: "" });
            toast("The rule is removed.");
          }}
        >
          <p>It fires no more, and {fired.get(removing.id) ? `the ${plural(fired.get(removing.id) ?? 0, "alert")} that it raised ${fired.get(removing.id) === 1 ? "goes" : "go"} with it` : "it has raised nothing that would go with it"}.</p>
        </ConfirmSheet>
      )}
    </section>
  );
}
