// What a task is: its command, what it needs and makes.
import { CopyBlock } from "../../components/CopyId";
import { Facts } from "../../components/Peek";
import { formatDurationUs } from "../../lib/format";
import type { StageSpec } from "./types";

const list = (values: readonly string[]) => (values.length ? <span className="mono">{values.join(", ")}</span> : "nothing");

export function TaskFacts({ stage: s }: { stage: StageSpec }) {
  return (
    <>
      {s.desc && <p>{s.desc}</p>}
      <CopyBlock text={s.cmd} label="Copy the command" />
      <Facts
        facts={[
          ["After", s.after.length ? s.after.join(", ") : "nothing"],
          ["Data", list(s.data)],
          ["Files", list(s.deps)],
          ["Makes", list([...s.outs, ...s.metrics])],
          ["Parameters", Object.keys(s.params).length ? <span key="p" className="mono">{Object.entries(s.params).map(([k, v]) => `${k}=${v}`).join(", ")}</span> : "none"],
          ["Retries", s.retries],
          ["Time limit", s.timeout_us ? formatDurationUs(s.timeout_us) : "none"],
          ["Skipped", s.always ? "never: it always runs" : "when its inputs are unchanged"],
        ]}
      />
    </>
  );
}
