// Writes a rule on a metric of an experiment's runs; says beside it what it will do.
import { NumberInput, Select, TextInput } from "@mantine/core";
import { useState } from "react";
import { ColumnSelect } from "../../components/ColumnSelect";
import { ConfirmSheet } from "../../components/ConfirmSheet";
import { type Draft, type RuleKind, bodyOf, conditionOf, problemOf } from "../../lib/alerts";
import { refresh, send } from "../../lib/api";
import { toast } from "../../lib/toast";
import { type Experiment, readColumn, writeColumn } from "../../lib/tracking";

const KINDS: { value: RuleKind; label: string }[] = [
  { value: "above", label: "rises above a number" }, { value: "below", label: "falls below a number" },
  { value: "not_finite", label: "is NaN or infinite" }, { value: "stalled", label: "is not logged for some minutes" },
];
const COMPARES = (kind: RuleKind) => kind === "above" || kind === "below";

interface Props { experiments: readonly Experiment[]; experiment?: string; metric?: string; onClose: () => void }

export function NewRule({ experiments, experiment = "", metric = "", onClose }: Props) {
  const only = experiments.length === 1 ? (experiments[0]?.id ?? "") : "";
  const [draft, setDraft] = useState<Draft>({ experiment: experiment || only, kind: metric ? "above" : "not_finite", metric, threshold: "", minutes: "10", filter: "", name: "" });
  const set = (change: Partial<Draft>) => setDraft((d) => ({ ...d, ...change }));
  const problem = problemOf(draft);
  const condition = conditionOf({ kind: draft.kind, metric: draft.metric, threshold: Number(draft.threshold), silent_s: Number(draft.minutes) * 60 });
  return (
    <ConfirmSheet
      opened onClose={onClose} title="Make an alert rule" confirm="Make the rule" disabled={problem}
      run={async () => {
        await send("/metric-rules", bodyOf(draft));
        await refresh("/metric-rules", "/metric-alerts");
        toast("The rule looks at these runs from now on.");
      }}
    >
      <Select label="Runs of" placeholder="An experiment" searchable limit={200} value={draft.experiment || null} onChange={(v) => set({ experiment: v ?? "" })} data={experiments.map((e) => ({ value: e.id, label: e.name }))} nothingFoundMessage="No experiment has this name" />
      <Select label="It fires when the metric" value={draft.kind} allowDeselect={false} onChange={(v) => set({ kind: v as RuleKind })} data={KINDS} />
      <div>
        <span className="small">Metric</span>
        <ColumnSelect label="Metric" placeholder={COMPARES(draft.kind) ? "Choose a metric" : "Any metric"} clearable width={440} kinds={["metric"]} experiments={draft.experiment ? [draft.experiment] : []} value={draft.metric ? writeColumn({ kind: "metric", key: draft.metric, pick: "last" }) : ""} onChange={(v) => set({ metric: readColumn(v)?.key ?? "" })} />
      </div>
      {COMPARES(draft.kind) && <NumberInput label="Number" value={draft.threshold === "" ? "" : Number(draft.threshold)} onChange={(v) => set({ threshold: String(v) })} />}
      {draft.kind === "stalled" && <NumberInput label="Minutes" description="Of a run that is still RUNNING" min={1} value={draft.minutes === "" ? "" : Number(draft.minutes)} onChange={(v) => set({ minutes: String(v) })} />}
      <TextInput label="Only for runs that match" description="A filter as above the table of runs; empty: all" placeholder="tags.stage = 'prod'" classNames={{ input: "mono" }} value={draft.filter} onChange={(e) => set({ filter: e.currentTarget.value })} />
      <TextInput label="Name" placeholder={problem ? "By its condition" : condition} value={draft.name} onChange={(e) => set({ name: e.currentTarget.value })} />
      {!problem && <p className="muted">Fires once for a run: {condition}{draft.filter && <>, where <span className="mono">{draft.filter}</span></>}. Runs that go on now count; those that had ended before it was made do not.</p>}
    </ConfirmSheet>
  );
}
