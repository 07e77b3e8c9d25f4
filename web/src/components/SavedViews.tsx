// Views that people keep by name: an address of this page, stored as a tag of an experiment, so that everyone who may see
// the experiment finds it, in other servers too after an export.
import { ActionIcon, Button, Menu, TextInput, Tooltip } from "@mantine/core";
import { IconBookmark, IconTrash } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Dialog } from "./Dialog";
import { type ApiError, ask, currentProject, queries, send } from "../lib/api";
import { toast, toastError } from "../lib/toast";

const PREFIX = "lathe.view.";
const MOST = 1000; // experiments whose tags are looked at
const MOST_ADDRESS = 5000; // what every MLflow server takes as a tag

interface WireExperiment { experiment_id: string; name: string; tags?: { key: string; value?: string }[] }
interface View { name: string; address: string; experiment: string; experimentName: string }

interface Props {
  page: string; // which page's views: "runs"
  address: string; // "?exp=1&q=…", as it is now
  experiments: readonly string[]; // chosen ones; the view is kept at the first
  fallback?: string; // the experiment that keeps the others
  writes: boolean;
  onOpen: (address: string) => void;
}

export function SavedViews({ page, address, experiments, fallback, writes, onOpen }: Props) {
  const [open, setOpen] = useState(false);
  const [naming, setNaming] = useState(false);
  const key = [currentProject(), "views", page];
  const views = useQuery<View[], ApiError>({
    queryKey: key, enabled: open, meta: { topics: ["experiment"] },
    queryFn: async ({ signal }) => {
      const answer = (await (await ask("/ajax-api/2.0/mlflow/experiments/search", { json: { max_results: MOST }, signal })).json()) as { experiments?: WireExperiment[] };
      return (answer.experiments ?? []).flatMap((e) => (e.tags ?? []).filter((t) => t.key.startsWith(`${PREFIX}${page}.`)).map((t) => ({ name: t.key.slice(PREFIX.length + page.length + 1), address: t.value ?? "", experiment: e.experiment_id, experimentName: e.name }))).sort((a, b) => a.name.localeCompare(b.name));
    },
  });
  const at = experiments[0] ?? fallback;
  const again = () => void queries.invalidateQueries({ queryKey: key });
  async function save(name: string) {
    try {
      if (address.length > MOST_ADDRESS) throw new Error(`The address of this view has ${address.length} characters; at most ${MOST_ADDRESS} can be kept. Pin or select fewer runs.`);
      await send("/ajax-api/2.0/mlflow/experiments/set-experiment-tag", { experiment_id: at, key: `${PREFIX}${page}.${name}`, value: address || "?" });
      toast(`View ${name} saved`);
      again();
      setNaming(false);
    } catch (e) {
      toastError("The view could not be saved", e);
    }
  }
  async function remove(v: View) {
    const of = { experiment_id: v.experiment, key: `${PREFIX}${page}.${v.name}` };
    try {
      await send("/ajax-api/2.0/mlflow/experiments/delete-experiment-tag", of);
      again();
      toast(`View ${v.name} removed`, { label: "Undo", run: () => void send("/ajax-api/2.0/mlflow/experiments/set-experiment-tag", { ...of, value: v.address }).then(again) });
    } catch (e) {
      toastError("The view could not be removed", e);
    }
  }
  return (
    <>
      <Menu position="bottom-end" width={300} opened={open} onChange={setOpen}>
        <Menu.Target><Tooltip label="Saved views"><ActionIcon aria-label="Saved views"><IconBookmark size={16} /></ActionIcon></Tooltip></Menu.Target>
        <Menu.Dropdown>
          <Menu.Item disabled={!writes || !at} onClick={() => setNaming(true)}>Save this view…</Menu.Item>
          <Menu.Divider />
          {views.isError && <Menu.Label>{views.error.message}</Menu.Label>}
          {views.data?.length === 0 && <Menu.Label>No view is saved yet. A view is the whole page: filter, columns, order, groups and charts.</Menu.Label>}
          {views.data?.map((v) => (
            <Menu.Item
              key={`${v.experiment} ${v.name}`} onClick={() => onOpen(v.address)} title={`${v.experimentName}: ${v.address}`}
              rightSection={writes ? <ActionIcon component="span" size={24} aria-hidden onClick={(e) => { e.stopPropagation(); void remove(v); }} title={`Remove ${v.name}`}><IconTrash size={13} /></ActionIcon> : undefined}
            ><span className="cut" style={{ display: "block", maxWidth: 220 }}>{v.name} <span className="muted small">{v.experimentName}</span></span></Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
      <NameSheet opened={naming} onClose={() => setNaming(false)} onSave={(name) => void save(name)} />
    </>
  );
}

function NameSheet({ opened, onClose, onSave }: { opened: boolean; onClose: () => void; onSave: (name: string) => void }) {
  const [name, setName] = useState("");
  return (
    <Dialog opened={opened} onClose={onClose} title="Save this view">
      <form className="stack" onSubmit={(e) => { e.preventDefault(); onSave(name.trim()); }}>
        <TextInput data-autofocus label="Name" placeholder="best by learning rate" maxLength={100} value={name} onChange={(e) => setName(e.currentTarget.value)} description="A view of the same name is replaced. Everyone in the project sees it." />
        <div className="row" style={{ justifyContent: "flex-end" }}><Button onClick={onClose}>Cancel</Button><Button type="submit" variant="filled" disabled={!/^[\w .()/-]+$/.test(name.trim())}>Save</Button></div>
      </form>
    </Dialog>
  );
}
