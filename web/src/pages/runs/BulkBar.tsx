// What can be done with the selected runs at once. Each act reports how many it did; those that failed stay selected.
import { Button, Menu, TextInput } from "@mantine/core";
import { IconChevronDown } from "@tabler/icons-react";
import { useState } from "react";
import { Dialog } from "../../components/Dialog";
import { useAction } from "../../lib/actions";
import { send } from "../../lib/api";
import { formatCount, plural } from "../../lib/format";
import { toast, toastError } from "../../lib/toast";
import { pageHref } from "../../lib/tracking";
import { type Act, ActSheet } from "./MoveSheet";
import classes from "../Runs.module.css";

const MOST_COMPARED = 300;
const MOST_CHANGED = 500;
const MOST_IN_ADDRESS = 300; // a download is a link, and a link has a length
const AT_ONCE = 8;

/** Runs `act` for each id, a few at a time; the ids that failed, and the first reason. */
export async function each(ids: readonly string[], act: (id: string) => Promise<unknown>): Promise<{ failed: string[]; reason?: unknown }> {
  const failed: string[] = [];
  let reason: unknown;
  let at = 0;
  const worker = async () => {
    while (at < ids.length) {
      const id = ids[at++] as string;
      try {
        await act(id);
      } catch (e) {
        failed.push(id);
        reason ??= e;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, ids.length) }, worker));
  return { failed, reason };
}

interface Props {
  ids: readonly string[];
  deleted: boolean;
  writes: boolean;
  admin: boolean;
  columns: readonly string[];
  onPicked: (ids: ReadonlySet<string>) => void;
  onCompare: () => void;
  onPin: () => void;
  refresh: () => void;
}

export function BulkBar({ ids, deleted, writes, admin, columns, onPicked, onCompare, onPin, refresh }: Props) {
  const [tagging, setTagging] = useState(false);
  const [sheet, setSheet] = useState<Act | null>(null);
  const many = ids.length > MOST_CHANGED;
  const why = !writes ? "Your role here may only look" : many ? `At most ${MOST_CHANGED} at once` : undefined;
  useAction({ id: "compare", label: ids.length === 1 ? "Look at 1 run" : `Compare ${ids.length} runs`, keys: "C", group: "Selection", run: onCompare, disabled: ids.length > MOST_COMPARED ? `At most ${MOST_COMPARED} at once` : undefined });
  useAction({ id: "tag", label: `Tag ${plural(ids.length, "run")}`, keys: "T", group: "Selection", disabled: why, run: () => setTagging(true) });

  async function all(act: (id: string) => Promise<unknown>, done: (n: string) => string, undo?: (id: string) => Promise<unknown>) {
    const { failed, reason } = await each(ids, act);
    const good = ids.filter((id) => !failed.includes(id));
    onPicked(new Set(failed));
    refresh();
    if (good.length) toast(done(plural(good.length, "run")), undo && { label: "Undo", run: () => void each(good, undo).then(refresh) });
    if (failed.length) toastError(`${plural(failed.length, "run")} could not be changed; still selected`, reason);
  }
  /** All or none, in one transaction of the server. */
  async function together(act: Act, experiment: string) {
    setSheet(null);
    try {
      await send(`/runs/${act}`, { runs: ids, ...(act === "purge" ? {} : { experiment }) });
      toast(`${plural(ids.length, "run")} ${{ move: "moved", copy: "copied", purge: "deleted for good" }[act]}`);
      onPicked(new Set());
      refresh();
    } catch (e) {
      toastError(`The runs could not be ${{ move: "moved", copy: "copied", purge: "deleted" }[act]}`, e);
    }
  }
  const remove = (run_id: string) => send("/ajax-api/2.0/mlflow/runs/delete", { run_id });
  const restore = (run_id: string) => send("/ajax-api/2.0/mlflow/runs/restore", { run_id });
  return (
    <span className={classes.bulk} role="status">
      <b>{formatCount(ids.length)}</b> selected
      <Button onClick={onCompare} disabled={ids.length > MOST_COMPARED} title={ids.length > MOST_COMPARED ? `At most ${MOST_COMPARED} at once` : undefined}>{ids.length === 1 ? "Look at" : "Compare"}</Button>
      <Button onClick={() => setTagging(true)} disabled={!!why} title={why}>Tag</Button>
      <Button disabled={!!why} title={why} onClick={() => void (deleted ? all(restore, (n) => `${n} restored`, remove) : all(remove, (n) => `${n} archived`, restore))}>{deleted ? "Restore" : "Archive"}</Button>
      <Menu position="bottom-end">
        <Menu.Target><Button rightSection={<IconChevronDown size={13} aria-hidden />}>More</Button></Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={onPin}>Pin to the top</Menu.Item>
          {!deleted && <Menu.Item disabled={!!why} onClick={() => setSheet("move")}>Move to an experiment…</Menu.Item>}
          {!deleted && <Menu.Item disabled={!!why} onClick={() => setSheet("copy")}>Copy to an experiment…</Menu.Item>}
          <Menu.Item component="a" href={pageHref("/runs.csv", { id: ids.slice(0, MOST_IN_ADDRESS), col: columns })} download="runs.csv">CSV of {ids.length > MOST_IN_ADDRESS ? `the first ${MOST_IN_ADDRESS}` : "these"}</Menu.Item>
          <Menu.Item onClick={() => void navigator.clipboard?.writeText(ids.join("\n")).then(() => toast(`${plural(ids.length, "id")} copied`))}>Copy their ids</Menu.Item>
          {deleted && <Menu.Item color="red" disabled={!admin || many} onClick={() => setSheet("purge")}>Delete for good…</Menu.Item>}
        </Menu.Dropdown>
      </Menu>
      <Button variant="subtle" onClick={() => onPicked(new Set())}>Clear</Button>
      <ActSheet act={sheet} count={ids.length} onClose={() => setSheet(null)} onRun={(act, experiment) => void together(act, experiment)} />
      <TagSheet
        opened={tagging} count={ids.length} onClose={() => setTagging(false)}
        onTag={(key, value) => { setTagging(false); void all((run_id) => send("/ajax-api/2.0/mlflow/runs/set-tag", { run_id, key, value }), (n) => `${n} tagged ${key} = ${value}`); }}
      />
    </span>
  );
}

function TagSheet({ opened, count, onClose, onTag }: { opened: boolean; count: number; onClose: () => void; onTag: (key: string, value: string) => void }) {
  const [key, setKey] = useState("");
  const [value, setValue] = useState("");
  return (
    <Dialog opened={opened} onClose={onClose} title={`Tag ${plural(count, "run")}`}>
      <form className="stack" onSubmit={(e) => { e.preventDefault(); onTag(key.trim(), value); }}>
        <TextInput data-autofocus label="Tag" placeholder="candidate" maxLength={250} value={key} onChange={(e) => setKey(e.currentTarget.value)} />
        <TextInput label="Value" placeholder="yes" value={value} onChange={(e) => setValue(e.currentTarget.value)} />
        <p className="muted small">A tag of this name that a run has already is replaced.</p>
        <div className="row" style={{ justifyContent: "flex-end" }}><Button onClick={onClose}>Cancel</Button><Button type="submit" variant="filled" disabled={!key.trim()}>Tag</Button></div>
      </form>
    </Dialog>
  );
}
