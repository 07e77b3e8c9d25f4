// Where the selected runs go: moved, or copied, to another experiment. Removing them for good is here too: it has no way back.
import { Button, Select, TextInput } from "@mantine/core";
import { useState } from "react";
import { Dialog } from "../../components/Dialog";
import { plural } from "../../lib/format";
import { type Experiment, usePage } from "../../lib/tracking";

export type Act = "move" | "copy" | "purge";

interface Props { act: Act | null; count: number; onClose: () => void; onRun: (act: Act, experiment: string) => void }

export function ActSheet({ act, count, onClose, onRun }: Props) {
  const title = act === "purge" ? `Delete ${plural(count, "run")} for good` : `${act === "copy" ? "Copy" : "Move"} ${plural(count, "run")}`;
  return <Dialog opened={act !== null} onClose={onClose} title={title}>{act === "purge" ? <Purge count={count} onClose={onClose} onRun={() => onRun("purge", "")} /> : act && <Into act={act} onClose={onClose} onRun={(e) => onRun(act, e)} />}</Dialog>;
}

function Into({ act, onClose, onRun }: { act: "move" | "copy"; onClose: () => void; onRun: (experiment: string) => void }) {
  const [to, setTo] = useState<string | null>(null);
  const experiments = usePage<{ experiments: Experiment[] }>("/experiments", {}, { topics: ["experiment"] });
  return (
    <form className="stack" onSubmit={(e) => { e.preventDefault(); if (to) onRun(to); }}>
      <Select data-autofocus label="Experiment" placeholder="Choose one" searchable limit={200} value={to} onChange={setTo} data={(experiments.data?.experiments ?? []).map((e) => ({ value: e.id, label: e.name }))} nothingFoundMessage="No experiment has this name" />
      <p className="muted small">{act === "move" ? "Their ids, metrics and files stay as they are; links to them go on working." : "The copies have ids of their own; the originals stay where they are."}</p>
      <div className="row" style={{ justifyContent: "flex-end" }}><Button onClick={onClose}>Cancel</Button><Button type="submit" variant="filled" disabled={!to}>{act === "move" ? "Move" : "Copy"}</Button></div>
    </form>
  );
}

function Purge({ count, onClose, onRun }: { count: number; onClose: () => void; onRun: () => void }) {
  const [typed, setTyped] = useState("");
  const word = `delete ${count}`;
  return (
    <form className="stack" onSubmit={(e) => { e.preventDefault(); if (typed === word) onRun(); }}>
      <p>Their parameters, metrics and files are removed and cannot be brought back.</p>
      <TextInput data-autofocus label={`Type “${word}”`} value={typed} onChange={(e) => setTyped(e.currentTarget.value)} autoComplete="off" />
      <div className="row" style={{ justifyContent: "flex-end" }}><Button onClick={onClose}>Cancel</Button><Button type="submit" variant="filled" color="red" disabled={typed !== word}>Delete for good</Button></div>
    </form>
  );
}
