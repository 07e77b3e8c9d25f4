// Webhooks: who is told of what, and how it arrived. Who comes: an administrator whose receiver heard nothing. Next: read why,
// mend it, send again.
import { Button, Checkbox, MultiSelect, PasswordInput, SegmentedControl, TextInput } from "@mantine/core";
import { IconPlus, IconRefresh } from "@tabler/icons-react";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { ConfirmSheet } from "../../components/ConfirmSheet";
import { CopyBlock, CopyId } from "../../components/CopyId";
import { type Column, DataGrid } from "../../components/DataGrid";
import { Chip, FilterBar } from "../../components/FilterBar";
import { Facts, Peek } from "../../components/Peek";
import { Empty } from "../../components/Problem";
import { type Status, StatusMark } from "../../components/StatusMark";
import { useAction } from "../../lib/actions";
import { refresh, send, useApi } from "../../lib/api";
import { MISSING, formatAgo, formatCount, formatIn, formatInstant, fromUs, plural } from "../../lib/format";
import { useArrayRows, useWindowRows } from "../../lib/rows";
import { toast, toastError } from "../../lib/toast";
import type { Delivery, Webhook } from "./types";

const route = getRouteApi("/shell/admin/{-$section}");
const STATES: Record<Delivery["state"], { status: Status; label: string }> = { waiting: { status: "queued", label: "Waiting" }, delivered: { status: "finished", label: "Delivered" }, dead: { status: "failed", label: "Dead letter" } };
interface Answer { webhooks: Webhook[]; events: string[] }
interface Page { deliveries: Delivery[]; next: string | null }
const readPage = (p: Page) => ({ rows: p.deliveries, next: p.next });

/** `q` holds the hook whose deliveries are listed; without one, all of them ("*") or the hooks themselves (""). */
export function Webhooks() {
  const { q } = route.useSearch();
  const query = useApi<Answer>("/webhooks", undefined, { topics: ["webhook"] });
  return q ? <Deliveries hooks={query.data?.webhooks ?? []} /> : <Hooks query={query} />;
}

function useGo() {
  const navigate = useNavigate();
  return (change: { q?: string; peek?: string; state?: string }, replace = false) => void navigate({ to: ".", search: (old: object) => ({ ...old, ...change }) as never, replace });
}

function Hooks({ query }: { query: ReturnType<typeof useApi<Answer>> }) {
  const { peek } = route.useSearch();
  const go = useGo();
  const hooks = query.data?.webhooks;
  const rows = useArrayRows(hooks, { error: query.error, retry: () => void query.refetch() });
  const [editing, setEditing] = useState<Webhook | "new">();
  const [removing, setRemoving] = useState<Webhook>();
  const chosen = hooks?.find((h) => h.id === peek);
  const dead = (hooks ?? []).reduce((n, h) => n + h.deliveries.dead, 0);
  useAction({ id: "hook", label: "Add a webhook", keys: "a", group: "Here", run: () => setEditing("new") });
  async function setActive(hook: Webhook, active: boolean) {
    try {
      await send(`/webhooks/${encodeURIComponent(hook.id)}`, { active }, "PATCH");
      await refresh("/webhooks");
      toast(active ? `${hook.name} is told again.` : `${hook.name} is told nothing until it is switched on.`, { label: "Undo", run: () => void setActive(hook, !active) });
    } catch (e) {
      toastError(`${hook.name} was not changed`, e);
    }
  }
  const columns: Column<Webhook>[] = [
    { key: "name", label: "Name", width: "minmax(130px, 1fr)", cell: (h) => <b>{h.name}</b>, raw: (h) => h.name, title: (h) => h.description || undefined },
    { key: "state", label: "State", width: "100px", cell: (h) => (h.active ? <StatusMark status="healthy" label="Active" /> : <StatusMark status="skipped" label="Off" />) },
    { key: "url", label: "Sends to", width: "minmax(200px, 1.8fr)", cell: (h) => <span className="mono">{h.url}</span>, raw: (h) => h.url, title: (h) => h.url },
    { key: "events", label: "When", width: "minmax(160px, 1.4fr)", cell: (h) => h.events.join(", "), title: (h) => h.events.join(", ") },
    { key: "waiting", label: "Waiting", width: "80px", right: true, cell: (h) => formatCount(h.deliveries.waiting) },
    { key: "delivered", label: "Delivered", width: "90px", right: true, cell: (h) => formatCount(h.deliveries.delivered) },
    { key: "dead", label: "Dead letters", width: "100px", right: true, hint: "What was given up: read why, mend the receiver, send it again", cell: (h) => (h.deliveries.dead ? <button type="button" tabIndex={-1} className="plain" style={{ color: "var(--fail)" }} onClick={() => go({ q: h.id, state: "dead", peek: "" })}>{formatCount(h.deliveries.dead)}</button> : "0") },
  ];
  return (
    <>
      <FilterBar>
        <span className="muted">{hooks && plural(hooks.length, "webhook")}</span>
        <Button variant="subtle" onClick={() => go({ q: "*", peek: "" })}>All deliveries</Button>
        {dead > 0 && <Button variant="subtle" color="red" onClick={() => go({ q: "*", state: "dead", peek: "" })}>{plural(dead, "dead letter")}</Button>}
        <span className="spacer" />
        <Button variant="filled" leftSection={<IconPlus size={14} />} onClick={() => setEditing("new")}>Add a webhook</Button>
      </FilterBar>
      <DataGrid
        label="Webhooks" columns={columns} rows={rows} id={(h) => h.id} peek={peek} onPeek={(id) => go({ peek: id ?? "" }, true)} mark={(h) => (h.deliveries.dead ? "attention" : h.active ? undefined : "muted")}
        empty={<Empty title="No webhook yet">A webhook tells a chat room, a pager or another program when something happens: an alert, a promotion, a new model version, a run that went wrong. <Button onClick={() => setEditing("new")}>Add a webhook</Button></Empty>}
        panel={chosen && (
          <Peek title={chosen.name} onClose={() => go({ peek: "" }, true)} footer={<><Button onClick={() => setEditing(chosen)}>Change</Button><Button onClick={() => void setActive(chosen, !chosen.active)}>{chosen.active ? "Switch off" : "Switch on"}</Button><Button variant="subtle" color="red" onClick={() => setRemoving(chosen)}>Remove</Button></>}>
            <Facts facts={[
              ["Sends to", <span key="u" className="mono">{chosen.url}</span>], chosen.description ? ["What for", chosen.description] : null, ["Signed", chosen.signed ? "yes, with its secret" : "no: the receiver cannot tell who sends"],
              ["When", <span key="e">{chosen.events.map((e) => <span key={e} className="tag mono" style={{ margin: "0 4px 4px 0" }}>{e}</span>)}</span>],
              ["Waiting", formatCount(chosen.deliveries.waiting)], ["Delivered", formatCount(chosen.deliveries.delivered)], ["Dead letters", formatCount(chosen.deliveries.dead)], ["Made", formatInstant(chosen.created_ms)], ["Id", <CopyId key="i" id={chosen.id} />],
            ]} />
            <span><Button onClick={() => go({ q: chosen.id, peek: "" })}>Its deliveries</Button></span>
          </Peek>
        )}
      />
      {editing && <Edit key={editing === "new" ? "new" : editing.id} hook={editing === "new" ? undefined : editing} events={query.data?.events ?? []} onClose={() => setEditing(undefined)} />}
      {removing && (
        <ConfirmSheet
          opened onClose={() => setRemoving(undefined)} title={`Remove the webhook ${removing.name}`} confirm="Remove" danger
          run={async () => {
            await send(`/webhooks/${encodeURIComponent(removing.id)}`, undefined, "DELETE");
            await refresh("/webhooks");
            go({ peek: "" }, true);
            toast("The webhook is removed.");
          }}
        >
          <p><span className="mono">{removing.url}</span> is told nothing more; {plural(removing.deliveries.waiting, "waiting delivery", "waiting deliveries")} and {plural(removing.deliveries.dead, "dead letter")} go with it.</p>
        </ConfirmSheet>
      )}
    </>
  );
}

function Edit({ hook, events, onClose }: { hook?: Webhook; events: readonly string[]; onClose: () => void }) {
  const [name, setName] = useState(hook?.name ?? "");
  const [url, setUrl] = useState(hook?.url ?? "");
  const [description, setDescription] = useState(hook?.description ?? "");
  const [chosen, setChosen] = useState<string[]>(hook?.events ?? []);
  const [secret, setSecret] = useState("");
  const [active, setActive] = useState(hook?.active ?? true);
  const data = useMemo(() => {
    const ours = events.filter((e) => /^(alert|endpoint|verdict|retraining|run)\./.test(e));
    return [{ group: "The loop and runs", items: ours }, { group: "Registry and prompts (as MLflow sends them)", items: events.filter((e) => !ours.includes(e)) }];
  }, [events]);
  const problem = !name.trim() ? "A name is needed" : !url.trim() ? "An address is needed" : chosen.length === 0 ? "Choose what it is told" : undefined;
  return (
    <ConfirmSheet
      opened onClose={onClose} title={hook ? `Change ${hook.name}` : "Add a webhook"} confirm={hook ? "Change" : "Add"} disabled={problem}
      run={async () => {
        const body = { name: name.trim(), url: url.trim(), description, events: chosen, active, ...(secret ? { secret } : {}) };
        await (hook ? send(`/webhooks/${encodeURIComponent(hook.id)}`, body, "PATCH") : send("/webhooks", body));
        await refresh("/webhooks");
        toast(hook ? `${name} is changed.` : `${name} is told from now on.`);
      }}
    >
      <TextInput label="Name" value={name} onChange={(e) => setName(e.currentTarget.value)} />
      <TextInput label="Sends to" description="https, to a public address, unless the server's settings allow others" placeholder="https://hooks.example.com/lathe" classNames={{ input: "mono" }} value={url} onChange={(e) => setUrl(e.currentTarget.value)} />
      <MultiSelect label="When" placeholder={chosen.length ? undefined : "Choose events"} searchable data={data} value={chosen} onChange={setChosen} />
      <PasswordInput label="Secret" description={hook?.signed ? "One is set; empty leaves it" : "Signs what is sent (X-MLflow-Signature), so that the receiver knows who sends"} autoComplete="off" value={secret} onChange={(e) => setSecret(e.currentTarget.value)} />
      <TextInput label="What for" value={description} onChange={(e) => setDescription(e.currentTarget.value)} />
      <Checkbox label="Active" checked={active} onChange={(e) => setActive(e.currentTarget.checked)} />
    </ConfirmSheet>
  );
}

function Deliveries({ hooks }: { hooks: readonly Webhook[] }) {
  const { q, state, peek } = route.useSearch();
  const go = useGo();
  const hook = hooks.find((h) => h.id === q);
  const rows = useWindowRows<Delivery, Page>("/webhooks/deliveries", { webhook: q === "*" ? undefined : q, state }, { topics: ["webhook"], limit: 100, read: readPage });
  const [busy, setBusy] = useState("");
  async function again(d: Delivery) {
    setBusy(d.id);
    try {
      await send(`/webhooks/deliveries/${encodeURIComponent(d.id)}/send`);
      toast("It is sent again now; this list shows how it went.");
      await refresh("/webhooks");
    } catch (e) {
      toastError("It was not sent again", e);
    } finally {
      setBusy("");
    }
  }
  const columns: Column<Delivery>[] = [
    { key: "state", label: "State", width: "120px", cell: (d) => <StatusMark {...STATES[d.state]} /> },
    { key: "event", label: "Event", width: "minmax(150px, 1fr)", cell: (d) => <span className="mono">{d.event}</span>, raw: (d) => d.event },
    { key: "hook", label: "Webhook", width: "minmax(120px, 1fr)", cell: (d) => d.webhook_name },
    { key: "answer", label: "Answer", width: "minmax(180px, 1.8fr)", cell: (d) => d.error || (d.status ? `${d.status}` : MISSING), title: (d) => d.error || undefined },
    { key: "attempts", label: "Tries", width: "60px", right: true, cell: (d) => formatCount(d.attempts) },
    { key: "created", label: "Made", width: "100px", right: true, cell: (d) => formatAgo(fromUs(d.created_us)), title: (d) => formatInstant(fromUs(d.created_us)) },
    { key: "next", label: "Next try", width: "100px", right: true, cell: (d) => (d.state === "waiting" && d.due_us ? formatIn(d.due_us / 1000) : MISSING) },
    { key: "act", label: <span className="hidden">Send again</span>, width: "90px", right: true, cell: (d) => d.state === "dead" && <button type="button" tabIndex={-1} className="plain" disabled={busy === d.id} onClick={() => void again(d)}>Send again</button> },
  ];
  const shown = Array.from({ length: rows.count }, (_, i) => rows.at(i)).find((d) => d?.id === peek);
  return (
    <>
      <FilterBar>
        <Chip label="webhook" onRemove={() => go({ q: "", state: "", peek: "" })}>{q === "*" ? "every webhook" : (hook?.name ?? q)}</Chip>
        <SegmentedControl aria-label="State" value={state} onChange={(s) => go({ state: s, peek: "" })} data={[{ value: "", label: "All" }, { value: "waiting", label: "Waiting" }, { value: "delivered", label: "Delivered" }, { value: "dead", label: "Dead letters" }]} />
        <Button variant="subtle" leftSection={<IconRefresh size={14} />} onClick={rows.retry}>Newer ones</Button>
      </FilterBar>
      <DataGrid
        label="Deliveries" columns={columns} rows={rows} id={(d) => d.id} peek={peek} onPeek={(id) => go({ peek: id ?? "" }, true)} mark={(d) => (d.state === "dead" ? "attention" : undefined)}
        empty={<Empty title={state === "dead" ? "No dead letter" : "Nothing was sent yet"}>{state === "dead" ? "All that was given up would stand here, with the receiver's answer." : "A delivery appears when something happens that a webhook listens to."}</Empty>}
        panel={shown && <DeliveryPeek d={shown} onClose={() => go({ peek: "" }, true)} onAgain={() => void again(shown)} />}
      />
    </>
  );
}

function DeliveryPeek({ d, onClose, onAgain }: { d: Delivery; onClose: () => void; onAgain: () => void }) {
  const whole = useApi<Delivery & { body: unknown }>(`/webhooks/deliveries/${encodeURIComponent(d.id)}`, undefined, { topics: ["webhook"] });
  return (
    <Peek title={<span className="mono">{d.event}</span>} onClose={onClose} width={400} footer={d.state === "dead" ? <Button variant="filled" onClick={onAgain}>Send again</Button> : undefined}>
      <Facts facts={[["State", <StatusMark key="s" {...STATES[d.state]} />], ["Webhook", d.webhook_name], ["Status", d.status || MISSING], d.error ? ["Why", d.error] : null, ["Tries", formatCount(d.attempts)], ["Made", formatInstant(fromUs(d.created_us))], d.finished_us ? ["Ended", formatInstant(fromUs(d.finished_us))] : null, ["Id", <CopyId key="i" id={d.id} />]]} />
      {whole.data && <CopyBlock text={JSON.stringify(whole.data.body, null, 1)} label="Copy the body" />}
    </Peek>
  );
}
