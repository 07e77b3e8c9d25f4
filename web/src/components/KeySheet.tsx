// "?" lists the keys that count here: those of the page, of grids, and those that work everywhere.
import { Modal } from "@mantine/core";
import { useEffect, useState } from "react";
import { useAction, useActions } from "../lib/actions";
import classes from "./KeySheet.module.css";

const GRID: [string, string][] = [
  ["j k", "Next, previous row (or the arrows)"], ["PgUp PgDn", "A screen up or down"], ["Home End", "First, last row"], ["Enter", "Open"], ["Space", "Peek"],
  ["x", "Select; with Shift a range"], ["Esc", "Close the peek, clear the selection"],
];

export function KeySheet() {
  const [open, setOpen] = useState(false);
  const actions = useActions().filter((a) => a.keys && a.id !== "palette2");
  useAction({ id: "keys", label: "Keys", keys: "?", group: "View", run: () => setOpen(true) });
  useEffect(() => {
    const show = () => setOpen(true);
    document.addEventListener("lathe-keys", show);
    return () => document.removeEventListener("lathe-keys", show);
  }, []);
  const groups = [...new Set(actions.map((a) => a.group ?? "Here"))];
  return (
    <Modal.Root opened={open} onClose={() => setOpen(false)} size={640}>
      <Modal.Overlay />
      <Modal.Content>
        {/* not Modal.Header: a second <header> would be a second banner of the page */}
        <div className={classes.head}><Modal.Title><b>Keys</b></Modal.Title><Modal.CloseButton aria-label="Close" /></div>
        <Modal.Body>
          <div className={classes.sheet}>
            {groups.map((group) => <List key={group} title={group} keys={actions.filter((a) => (a.group ?? "Here") === group).map((a) => [a.keys as string, a.label])} />)}
            <List title="In a table" keys={GRID} />
          </div>
        </Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}

function List({ title, keys }: { title: string; keys: [string, string][] }) {
  return (
    <section>
      <h3>{title}</h3>
      <dl>{keys.map(([key, what]) => <div key={key + what}><dt>{key.split(" ").map((k) => <kbd className="key" key={k}>{k.replace("mod+", "Ctrl ")}</kbd>)}</dt><dd>{what}</dd></div>)}</dl>
    </section>
  );
}
