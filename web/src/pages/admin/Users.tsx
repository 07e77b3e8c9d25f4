// Users and what they may do in each project.
import { Button, Checkbox, Menu, MultiSelect, PasswordInput, SegmentedControl, TextInput } from "@mantine/core";
import { IconDots, IconPlus } from "@tabler/icons-react";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { ConfirmSheet } from "../../components/ConfirmSheet";
import { type Column, DataGrid } from "../../components/DataGrid";
import { FilterBar, SearchInput } from "../../components/FilterBar";
import { Facts, Peek } from "../../components/Peek";
import { Empty } from "../../components/Problem";
import { useAction } from "../../lib/actions";
import { refresh, send, useApi } from "../../lib/api";
import { formatAgo, formatInstant, fromUs, plural } from "../../lib/format";
import { useArrayRows } from "../../lib/rows";
import { toast, toastError } from "../../lib/toast";
import { ROLES, ROLE_WORDS, type User } from "./types";

const route = getRouteApi("/shell/admin/{-$section}");
const rolesText = (u: User) => Object.entries(u.roles).map(([project, roles]) => `${project === "*" ? "every project" : project}: ${roles.join(", ")}`).join(" · ");

const COLUMNS: Column<User>[] = [
  { key: "name", label: "Name", width: "minmax(140px, 1fr)", cell: (u) => <b>{u.name}</b>, raw: (u) => u.name },
  { key: "kind", label: "Kind", width: "90px", cell: (u) => (u.kind === "service" ? "Service" : "Person") },
  { key: "server", label: "Server", width: "110px", cell: (u) => (u.admin ? "Administrator" : "–"), hint: "An administrator of the server may do all in every project, and makes users" },
  { key: "roles", label: "Roles", width: "minmax(220px, 2fr)", cell: (u) => rolesText(u) || "–", title: rolesText, raw: rolesText },
  { key: "state", label: "State", width: "90px", cell: (u) => (u.disabled ? "Disabled" : "Active") },
  { key: "created", label: "Since", width: "100px", right: true, cell: (u) => formatAgo(fromUs(u.created_us)), title: (u) => formatInstant(fromUs(u.created_us)) },
];

export function Users() {
  const { q, peek } = route.useSearch();
  const navigate = useNavigate();
  const go = (change: { q?: string; peek?: string }) => void navigate({ to: ".", search: (old: object) => ({ ...old, ...change }) as never, replace: true });
  const users = useApi<{ users: User[] }>("/users", undefined, { topics: ["user", "principal"] });
  const shown = useMemo(() => users.data?.users.filter((u) => `${u.name} ${rolesText(u)}`.toLowerCase().includes(q.toLowerCase())), [users.data, q]);
  const rows = useArrayRows(shown, { error: users.error, retry: () => void users.refetch() });
  const [adding, setAdding] = useState(false);
  const [editing, setEditing] = useState<User>();
  const chosen = users.data?.users.find((u) => u.name === peek);
  useAction({ id: "user-add", label: "Add a user", keys: "a", group: "Here", run: () => setAdding(true) });

  async function setDisabled(user: User, disabled: boolean) {
    try {
      await send(`/users/${encodeURIComponent(user.name)}`, { disabled }, "PATCH");
      await refresh("/users");
      toast(disabled ? `${user.name} is disabled; their sessions and tokens ended.` : `${user.name} may sign in again.`, { label: "Undo", run: () => void setDisabled(user, !disabled) });
    } catch (e) {
      toastError(`${user.name} was not changed`, e);
    }
  }

  return (
    <>
      <FilterBar>
        <SearchInput label="Filter users" value={q} onChange={(value) => go({ q: value })} />
        <span className="muted small">{users.data && plural(users.data.users.length, "user")}</span>
        <span className="spacer" />
        <Button variant="filled" leftSection={<IconPlus size={14} />} onClick={() => setAdding(true)}>Add a user</Button>
      </FilterBar>
      <DataGrid
        label="Users" columns={COLUMNS} rows={rows} id={(u) => u.name} peek={peek} onPeek={(id) => go({ peek: id ?? "" })} mark={(u) => (u.disabled ? "muted" : undefined)}
        empty={q ? <Empty title="No user has this in their name or roles" /> : <Empty title="No users yet: this server trusts its own machine" code="lathe user add ann --admin">The first user switches the login on. From then on each request needs a session or a token.</Empty>}
        panel={chosen && (
          <Peek
            title={chosen.name} onClose={() => go({ peek: "" })}
            footer={<><Button onClick={() => setEditing(chosen)}>Change roles</Button><Menu><Menu.Target><Button aria-label="More"><IconDots size={14} /></Button></Menu.Target><Menu.Dropdown><Menu.Item onClick={() => void setDisabled(chosen, !chosen.disabled)}>{chosen.disabled ? "Enable" : "Disable"}</Menu.Item></Menu.Dropdown></Menu></>}
          >
            <Facts facts={[["Kind", chosen.kind === "service" ? "Service: tokens, no password" : "Person"], ["State", chosen.disabled ? "Disabled" : "Active"], ["Server", chosen.admin ? "Administrator" : "no"], ["Since", formatInstant(fromUs(chosen.created_us))], ...Object.entries(chosen.roles).map(([p, r]) => [p === "*" ? "Every project" : p, r.join(", ")] as const)]} />
          </Peek>
        )}
      />
      <AddUser opened={adding} onClose={() => setAdding(false)} />
      {editing && <ChangeUser key={editing.name} user={editing} onClose={() => setEditing(undefined)} />}
    </>
  );
}

type Roles = Record<string, string[]>;
function RoleRows({ roles, onChange }: { roles: Roles; onChange: (roles: Roles) => void }) {
  const known = useApi<{ projects: { name: string }[] }>("/projects", undefined, { topics: ["project"] });
  const projects = ["*", ...(known.data?.projects.map((p) => p.name) ?? ["default"])];
  return (
    <div className="stack" style={{ gap: 6 }}>
      {projects.map((p) => (
        <div className="row" key={p}>
          <span style={{ width: 130 }} className="cut">{p === "*" ? "Every project" : p}</span>
          <MultiSelect aria-label={`Roles in ${p === "*" ? "every project" : p}`} style={{ flex: 1 }} clearable placeholder={roles[p]?.length ? undefined : "No role"} value={roles[p] ?? []} data={ROLES.map((r) => ({ value: r, label: r }))} renderOption={({ option }) => <span><b>{option.label}</b> <span className="muted">{ROLE_WORDS[option.value]}</span></span>} onChange={(r) => onChange({ ...roles, [p]: r })} />
        </div>
      ))}
    </div>
  );
}

const given = (roles: Roles) => Object.fromEntries(Object.entries(roles).filter(([, r]) => r.length > 0));

function AddUser({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const [name, setName] = useState("");
  const [kind, setKind] = useState("user");
  const [password, setPassword] = useState("");
  const [admin, setAdmin] = useState(false);
  const [roles, setRoles] = useState<Roles>({ default: ["viewer"] });
  async function add() {
    await send("/users", { name, kind, ...(kind === "user" ? { password } : {}), admin, roles: given(roles) });
    setName("");
    setPassword("");
    await refresh("/users", "/me");
    toast(`${name} may ${kind === "user" ? "sign in" : "be given tokens"}.`);
  }
  return (
    <ConfirmSheet opened={opened} onClose={onClose} title="Add a user" confirm="Add" run={add} disabled={!name ? "A name is needed" : kind === "user" && !password ? "A password is needed" : undefined}>
      <SegmentedControl aria-label="Kind" value={kind} onChange={setKind} data={[{ value: "user", label: "Person" }, { value: "service", label: "Service" }]} />
      <TextInput label="Name" value={name} autoComplete="off" onChange={(e) => setName(e.currentTarget.value)} />
      {kind === "user" ? <PasswordInput label="Password" description="The server says what is too weak" autoComplete="new-password" value={password} onChange={(e) => setPassword(e.currentTarget.value)} /> : <p className="muted">A service has no password: make it a token afterwards.</p>}
      <RoleRows roles={roles} onChange={setRoles} />
      <Checkbox label="Administrator of the server" checked={admin} onChange={(e) => setAdmin(e.currentTarget.checked)} />
    </ConfirmSheet>
  );
}

function ChangeUser({ user, onClose }: { user: User; onClose: () => void }) {
  const [roles, setRoles] = useState<Roles>(user.roles);
  const [admin, setAdmin] = useState(user.admin);
  async function change() {
    await send(`/users/${encodeURIComponent(user.name)}`, { admin, roles }, "PATCH");
    await refresh("/users", "/me");
    toast(`${user.name} was changed. What is open of theirs is judged anew within a second.`);
  }
  return (
    <ConfirmSheet opened onClose={onClose} title={`Roles of ${user.name}`} confirm="Change" run={change}>
      <RoleRows roles={roles} onChange={setRoles} />
      <Checkbox label="Administrator of the server" checked={admin} onChange={(e) => setAdmin(e.currentTarget.checked)} />
    </ConfirmSheet>
  );
}
