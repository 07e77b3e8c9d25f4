// Which experiments a list is of; none chosen is all of them.
import { MultiSelect } from "@mantine/core";
import { formatCount } from "../lib/format";
import type { Experiment } from "../lib/tracking";

interface Props { experiments?: readonly Experiment[]; value: readonly string[]; onChange: (ids: string[]) => void }

export function ExperimentSelect({ experiments = [], value, onChange }: Props) {
  return (
    <MultiSelect
      aria-label="Experiments" placeholder={value.length ? undefined : "All experiments"} searchable clearable hidePickedOptions w={value.length ? 300 : 190} maxDropdownHeight={360} limit={200} nothingFoundMessage="No experiment has this name"
      styles={{ input: { height: 28, minHeight: 28, overflow: "hidden" }, pillsList: { flexWrap: "nowrap" } }} value={[...value]} onChange={onChange}
      data={experiments.map((e) => ({ value: e.id, label: `${e.name} (${formatCount(e.runs)})` }))}
    />
  );
}
