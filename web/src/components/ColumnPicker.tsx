// Which columns a table of runs has: any metric (its last, least or greatest value), parameter or tag, searched on the
// server, since there may be thousands.
import { ActionIcon, Button, Checkbox, Popover, SegmentedControl, TextInput, Tooltip } from "@mantine/core";
import { IconColumns3, IconX } from "@tabler/icons-react";
import { useState } from "react";
import { useAction } from "../lib/actions";
import { columnLabel } from "../lib/columns";
import { type ColumnName, better, usePage, writeColumn } from "../lib/tracking";
import classes from "./ColumnPicker.module.css";

interface Props {
  columns: readonly string[];
  onChange: (columns: string[]) => void;
  experiments: readonly string[];
  onDiffering?: () => void; // keeps only the columns that differ in the rows at hand
}
const PICKS = { last: "last", min: "lowest", max: "highest" } as const;
const SECTIONS = [["metric", "Metrics"], ["param", "Parameters"], ["tag", "Tags"]] as const;

export function ColumnPicker({ columns, onChange, experiments, onDiffering }: Props) {
  const [open, setOpen] = useState(false);
  const [part, setPart] = useState("");
  const [pick, setPick] = useState<ColumnName["pick"]>("last");
  useAction({ id: "columns", label: "Choose columns", keys: "e", group: "Here", run: () => setOpen(true) });
  const toggle = (name: string) => onChange(columns.includes(name) ? columns.filter((c) => c !== name) : [...columns, name]);
  return (
    <Popover opened={open} onChange={setOpen} position="bottom-end" width={420} trapFocus returnFocus shadow="md">
      <Popover.Target>
        <Tooltip label="Columns (e)"><ActionIcon aria-label="Columns" onClick={() => setOpen(!open)}><IconColumns3 size={16} /></ActionIcon></Tooltip>
      </Popover.Target>
      <Popover.Dropdown p={10}>
        <div className={classes.chosen}>
          {columns.map((c) => <span key={c} className="tag">{columnLabel(c)}<button type="button" className="plain" aria-label={`Remove ${columnLabel(c)}`} onClick={() => toggle(c)}><IconX size={12} aria-hidden /></button></span>)}
        </div>
        <div className="row" style={{ margin: "8px 0" }}>
          <TextInput data-autofocus aria-label="Find a column" placeholder="Part of a name" value={part} onChange={(e) => setPart(e.currentTarget.value)} style={{ flex: 1 }} />
          <SegmentedControl aria-label="Which of a metric's values" data={Object.entries(PICKS).map(([value, label]) => ({ value, label }))} value={pick} onChange={(v) => setPick(v as ColumnName["pick"])} />
        </div>
        {(onDiffering || columns.length > 0) && (
          <div className="row" style={{ marginBottom: 8 }}>
            {onDiffering && <Button size="compact-xs" disabled={columns.length === 0} onClick={onDiffering} title="Drops the columns whose value is the same in all rows at hand">Only those that differ</Button>}
            <Button size="compact-xs" variant="subtle" onClick={() => onChange([])} title="The columns that are shown when none is chosen">The usual ones</Button>
          </div>
        )}
        <div className={classes.lists}>
          {open && SECTIONS.map(([kind, title]) => <Section key={kind} kind={kind} title={title} part={part} pick={kind === "metric" ? pick : "last"} columns={columns} toggle={toggle} experiments={experiments} />)}
        </div>
      </Popover.Dropdown>
    </Popover>
  );
}

function Section({ kind, title, part, pick, columns, toggle, experiments }: { kind: ColumnName["kind"]; title: string; part: string; pick: ColumnName["pick"]; columns: readonly string[]; toggle: (name: string) => void; experiments: readonly string[] }) {
  const query = usePage<{ keys: string[] }>("/runs/keys", { exp: experiments, kind, contains: part, limit: "60" }, { keep: true });
  const keys = (query.data?.keys ?? []).filter((k) => kind !== "tag" || !k.startsWith("mlflow.") || part);
  if (keys.length === 0) return null;
  return (
    <section>
      <h3>{title}{query.data?.keys.length === 60 && <span className="muted"> the first 60; search for others</span>}</h3>
      {keys.map((key) => {
        const name = writeColumn({ kind, key, pick });
        return <Checkbox key={key} label={<>{key}{kind === "metric" && better(key) !== 0 && <span className="muted"> {better(key) > 0 ? "higher is better" : "lower is better"}</span>}</>} checked={columns.includes(name)} onChange={() => toggle(name)} />;
      })}
    </section>
  );
}
