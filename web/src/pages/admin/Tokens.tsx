// Tokens: what may be done with them, until when, and when they were last used. A secret is shown once.
import { Button, Select, TextInput } from "@mantine/core";
import { IconPlus } from "@tabler/icons-react";
import { useState } from "react";
import { ConfirmSheet } from "../../components/ConfirmSheet";
import { CopyBlock } from "../../components/CopyId";
import { type Column, DataGrid } from "../../components/DataGrid";
import { FilterBar } from "../../components/FilterBar";
import { Empty } from "../../components/Problem";
import { refresh, send, useApi } from "../../lib/api";
import { formatAgo, formatIn, formatInstant, fromUs, plural } from "../../lib/format";
import type { Me } from "../../lib/me";
import { useArrayRows } from "../../lib/rows";
import { toast } from "../../lib/toast";
import { ROLES, ROLE_WORDS, type Token } from "./types";

const DAYS = [{ value: "1", label: "1 day" }, { value: "30", label: "30 days" }, { value: "90", label: "90 days" }, { value: "365", label: "1 year" }, { value: "", label: "Never" }];

export function Tokens({ all, me }: { all: boolean; me?: Me }) {
  const tokens = useApi<{ tokens: Token[] }>("/tokens", all ? { all: true } : {}, { topics: ["token", "principal", "user"] });
  const rows = useArrayRows(tokens.data?.tokens, { error: tokens.error, retry: () => void tokens.refetch() });
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Token>();
  const columns: Column<Token>[] = [
    { key: "label", label: "Label", width: "minmax(140px, 1.4fr)", cell: (t) => <b>{t.label || "–"}</b>, raw: (t) => t.label },
    { key: "user", label: "User", width: "minmax(100px, 1fr)", cell: (t) => t.user },
    { key: "role", label: "May", width: "minmax(130px, 1fr)", cell: (t) => t.role || "all its user may", title: (t) => ROLE_WORDS[t.role] },
    { key: "project", label: "Project", width: "110px", cell: (t) => t.project || "all" },
    { key: "used", label: "Last used", width: "100px", right: true, cell: (t) => (t.last_used_us ? formatAgo(fromUs(t.last_used_us)) : "never"), title: (t) => formatInstant(fromUs(t.last_used_us)) },
    { key: "expires", label: "Expires", width: "110px", right: true, cell: (t) => (!t.expires_us ? "never" : t.expires_us / 1000 < Date.now() ? "expired" : formatIn(t.expires_us / 1000)), title: (t) => formatInstant(fromUs(t.expires_us)) },
    { key: "created", label: "Made", width: "100px", right: true, cell: (t) => formatAgo(fromUs(t.created_us)), title: (t) => formatInstant(fromUs(t.created_us)) },
    { key: "act", label: <span className="hidden">Revoke</span>, width: "70px", right: true, cell: (t) => <button type="button" tabIndex={-1} className="plain" onClick={() => setRevoking(t)}>Revoke</button> },
  ];
  return (
    <>
      <FilterBar>
        <span className="muted">{tokens.data && plural(tokens.data.tokens.length, "token")}{all ? " of everybody" : " of yours"}</span>
        <span className="spacer" />
        <Button variant="filled" leftSection={<IconPlus size={14} />} onClick={() => setMaking(true)}>Make a token</Button>
      </FilterBar>
      <DataGrid label="Tokens" columns={columns} rows={rows} id={(t) => t.id} empty={<Empty title="No tokens" code="lathe token create ann --label laptop --role editor --expires 90d">Scripts, other machines and Prometheus use a token where people sign in.</Empty>} />
      <MakeToken opened={making} onClose={() => setMaking(false)} me={me} others={all} />
      {revoking && (
        <ConfirmSheet
          opened onClose={() => setRevoking(undefined)} title={`Revoke ${revoking.label || "the token"} of ${revoking.user}`} confirm="Revoke" danger
          run={async () => {
            await send(`/tokens/${encodeURIComponent(revoking.id)}`, undefined, "DELETE");
            await refresh("/tokens");
            toast("The token is revoked; connections that it opened end within a second.");
          }}
        >
          <p>Whatever uses it is refused from now on. {revoking.last_used_us ? `It was last used ${formatAgo(fromUs(revoking.last_used_us))}.` : "It was never used."} A revoked token cannot be brought back.</p>
        </ConfirmSheet>
      )}
    </>
  );
}

function MakeToken({ opened, onClose, me, others }: { opened: boolean; onClose: () => void; me?: Me; others: boolean }) {
  const users = useApi<{ users: { name: string }[] }>("/users", undefined, { enabled: opened && others });
  const [user, setUser] = useState("");
  const [label, setLabel] = useState("");
  const [role, setRole] = useState("");
  const [project, setProject] = useState("");
  const [days, setDays] = useState("90");
  const [secret, setSecret] = useState("");
  const owner = user || (me?.kind === "user" ? me.name : "");
  const close = () => {
    setSecret("");
    onClose();
  };
  if (secret) {
    return (
      <ConfirmSheet opened={opened} onClose={close} title="The token, shown this once" confirm="Done" run={async () => {}}>
        <p className="muted">Copy it now: only its digest is kept.</p>
        <CopyBlock text={secret} label="Copy the token" />
        <CopyBlock text={`export LATHE_SERVER=${location.origin}\nexport LATHE_TOKEN=${secret}\nexport MLFLOW_TRACKING_URI=${location.origin} MLFLOW_TRACKING_TOKEN=${secret}`} label="Copy the variables" />
      </ConfirmSheet>
    );
  }
  return (
    <ConfirmSheet
      opened={opened} onClose={close} title="Make a token" confirm="Make" disabled={!owner ? "Whose token it is must be said" : !label ? "A label says what it is for" : undefined}
      run={async () => {
        const made = await send<{ token: string }>("/tokens", { user: owner, label, ...(role ? { role } : {}), ...(project ? { project } : {}), ...(days ? { expires_in_s: Number(days) * 86_400 } : {}) });
        await refresh("/tokens");
        setSecret(made.token);
        return "stay"; // the secret is shown in its place
      }}
    >
      {others && <Select label="User" searchable value={owner || null} data={users.data?.users.map((u) => u.name) ?? []} onChange={(v) => setUser(v ?? "")} />}
      <TextInput label="Label" placeholder="laptop, nightly training, Prometheus" value={label} onChange={(e) => setLabel(e.currentTarget.value)} />
      <Select label="May" value={role} data={[{ value: "", label: "All that its user may" }, ...ROLES.map((r) => ({ value: r as string, label: r }))]} onChange={(v) => setRole(v ?? "")} description={ROLE_WORDS[role]} allowDeselect={false} />
      <Select label="Project" value={project} data={[{ value: "", label: "Every project of its user" }, ...(me?.projects ?? []).map((p) => ({ value: p, label: p }))]} onChange={(v) => setProject(v ?? "")} allowDeselect={false} />
      <Select label="Expires after" value={days} data={DAYS} onChange={(v) => setDays(v ?? "")} allowDeselect={false} />
    </ConfirmSheet>
  );
}
