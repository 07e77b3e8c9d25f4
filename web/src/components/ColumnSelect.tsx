// Chooses one metric, parameter or tag of the runs at hand; the names are searched on the server, since there may be thousands.
import { Select } from "@mantine/core";
import { useState } from "react";
import { columnLabel } from "../lib/columns";
import { type ColumnName, usePage, writeColumn } from "../lib/tracking";

const TITLES = { metric: "Metrics", param: "Parameters", tag: "Tags" } as const;
type Kind = ColumnName["kind"];

interface Props {
  label: string;
  value: string; // as the columns of the list are written, or one of `own`
  onChange: (value: string) => void;
  experiments: readonly string[];
  kinds?: readonly Kind[];
  own?: readonly { value: string; label: string }[]; // what is offered before the names
  placeholder?: string;
  clearable?: boolean;
  width?: number;
  prefix?: string; // before the name: "x", "Group by"
}

export function ColumnSelect({ label, value, onChange, experiments, kinds = ["metric", "param"], own = [], placeholder, clearable = false, width = 170, prefix }: Props) {
  const [part, setPart] = useState("");
  const [open, setOpen] = useState(false);
  const found = useKeys(kinds, part, experiments, open);
  const shown = own.find((o) => o.value === value)?.label ?? (value ? columnLabel(value) : "");
  const groups: { group: string; items: { value: string; label: string }[] }[] = found.map(({ kind, keys }) => ({ group: TITLES[kind], items: keys.map((key) => ({ value: writeColumn({ kind, key, pick: "last" }), label: key })) }));
  if (own.length) groups.unshift({ group: "Runs", items: own.map((o) => ({ ...o })) });
  const known = groups.some((g) => g.items.some((i) => i.value === value));
  if (value && !known) groups.unshift({ group: "Chosen", items: [{ value, label: shown }] });
  return (
    <Select
      aria-label={label} title={value ? `${label}: ${shown}` : label} placeholder={placeholder ?? label} searchable clearable={clearable} w={width} maxDropdownHeight={340} nothingFoundMessage="Nothing has this name"
      leftSection={prefix ? <span className="muted small">{prefix}</span> : undefined} leftSectionWidth={prefix ? 12 + prefix.length * 7 : undefined}
      value={value || null} data={groups} searchValue={open ? part : shown} onSearchChange={setPart} onDropdownOpen={() => { setPart(""); setOpen(true); }} onDropdownClose={() => setOpen(false)}
      filter={({ options }) => options} onChange={(v) => onChange(v ?? "")}
    />
  );
}

/** The names of each kind that contain a part. Three queries at most, shared with the picker of columns. */
function useKeys(kinds: readonly Kind[], part: string, exp: readonly string[], enabled: boolean): { kind: Kind; keys: readonly string[] }[] {
  const ask = (kind: Kind) => ({ exp, kind, contains: part, limit: "60" });
  const options = (kind: Kind) => ({ enabled: enabled && kinds.includes(kind), keep: true });
  const metric = usePage<{ keys: string[] }>("/runs/keys", ask("metric"), options("metric")).data?.keys;
  const param = usePage<{ keys: string[] }>("/runs/keys", ask("param"), options("param")).data?.keys;
  const tag = usePage<{ keys: string[] }>("/runs/keys", ask("tag"), options("tag")).data?.keys;
  const all = { metric, param, tag };
  return kinds.flatMap((kind) => {
    const keys = (all[kind] ?? []).filter((k) => kind !== "tag" || part || !k.startsWith("mlflow."));
    return keys.length ? [{ kind, keys }] : [];
  });
}
