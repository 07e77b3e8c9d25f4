// Every model that is in memory to answer: how it is, how large, how busy, when it was last asked.
import { Button } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { useMemo } from "react";
import { type Column, DataGrid } from "../../components/DataGrid";
import { Empty } from "../../components/Problem";
import { StatusMark } from "../../components/StatusMark";
import { currentProject, useApi } from "../../lib/api";
import { MISSING, formatAgo, formatBytes, formatCount, formatInstant, formatPercent } from "../../lib/format";
import { placeOf } from "../../lib/places";
import { useArrayRows } from "../../lib/rows";
import { WORDS } from "../../lib/words";
import type { LoadedModel } from "./types";

const STATES = { ready: { status: "serving", label: "Ready" }, cold: { status: "idle", label: "Cold" }, failed: { status: "failed", label: "Cannot serve" } } as const;
const ROLES = { live: "live", canary: "canary", shadow: "shadow" } as const;
const idOf = (m: LoadedModel) => `${m.endpoint}/${m.revision}/${m.role}`;

const COLUMNS: Column<LoadedModel>[] = [
  { key: "model", label: "Model", width: "minmax(100px, 1.2fr)", cell: (m) => <a className="quiet" tabIndex={-1} href={placeOf(currentProject(), "model_version", `${m.model}/${m.version}`)}>{m.model}/{m.version}</a>, raw: (m) => `${m.model}/${m.version}` },
  { key: "state", label: "State", width: "112px", hint: "Cold: loaded at its first request", cell: (m) => <StatusMark {...STATES[m.state]} />, title: (m) => m.problem || undefined },
  { key: "endpoint", label: "Answers at", width: "minmax(90px, 1fr)", cell: (m) => <a tabIndex={-1} href={placeOf(currentProject(), "endpoint", m.endpoint)}>{m.endpoint}</a>, raw: (m) => m.endpoint },
  { key: "role", label: "Role", width: "64px", hint: "Live: the promoted one. Canary: has a share of the traffic. Shadow: answers copies that nobody gets.", cell: (m) => ROLES[m.role] },
  { key: "revision", label: "Revision", width: "66px", right: true, hint: WORDS.revision, cell: (m) => m.revision },
  { key: "platform", label: "Runs in", width: "minmax(112px, 0.8fr)", cell: (m) => (m.platform ? <span className="mono">{m.platform}</span> : MISSING) },
  { key: "size", label: "Files", width: "70px", right: true, hint: "Size of the model's files; what it takes of memory is more or less than that", cell: (m) => formatBytes(m.file_bytes), title: (m) => `${formatCount(m.file_bytes)} bytes` },
  { key: "workers", label: "Workers", width: "minmax(90px, 0.6fr)", hint: "Of a Python model: processes that are ready, and those busy now", cell: (m) => (m.workers ? <span>{formatCount(m.workers.ready)} ready, {formatCount(m.workers.busy)} busy</span> : <span className="muted">in the server</span>), title: (m) => (m.workers ? `${m.workers.waiting} requests wait; ${m.workers.crashed} workers failed` : undefined) },
  { key: "requests", label: "Requests", width: "72px", right: true, hint: "Since the server started", cell: (m) => formatCount(m.requests) },
  { key: "errors", label: "Errors", width: "60px", right: true, cell: (m) => (m.requests ? <span style={m.failures ? { color: "var(--fail)" } : undefined}>{formatPercent(m.failures / m.requests)}</span> : MISSING), title: (m) => `${m.failures} of ${m.requests}` },
  { key: "used", label: "Last used", width: "80px", right: true, hint: "To the minute, within the last day", cell: (m) => (m.used_us ? formatAgo(m.used_us / 1000) : <span className="muted">not today</span>), title: (m) => formatInstant(m.used_us && m.used_us / 1000) },
];

export function Loaded({ q }: { q: string }) {
  const navigate = useNavigate();
  const query = useApi<{ models: LoadedModel[] }>("/pages/loaded", undefined, { topics: ["endpoint", "revision", "window"] });
  const shown = useMemo(() => query.data?.models.filter((m) => `${m.model} ${m.endpoint} ${m.platform}`.toLowerCase().includes(q.toLowerCase())), [query.data, q]);
  const rows = useArrayRows(shown, { error: query.error, retry: () => void query.refetch() });
  return (
    <DataGrid
      label="Models in memory" columns={COLUMNS} rows={rows} id={idOf} href={(m) => placeOf(currentProject(), "endpoint", m.endpoint)} name={(m) => `${m.model}/${m.version}`} mark={(m) => (m.state === "failed" ? "attention" : undefined)}
      empty={q ? <Empty title={`No model matches "${q}"`}><Button onClick={() => void navigate({ to: ".", search: (s: object) => ({ ...s, q: "" }) as never, replace: true })}>Clear the filter</Button></Empty> : <Empty title="No model is in memory" code="lathe serve --model-repository models    # a folder of models, without endpoints">A model is loaded when it is promoted to an endpoint. A folder of models is served by a process of its own:</Empty>}
    />
  );
}
