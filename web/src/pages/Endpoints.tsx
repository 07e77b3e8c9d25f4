// Endpoints: what answers, how much and how fast in the last quarter of an hour.
import { Button, SegmentedControl } from "@mantine/core";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import { type Column, DataGrid } from "../components/DataGrid";
import { FilterBar, SearchInput } from "../components/FilterBar";
import { PageHead } from "../components/PageHead";
import { Empty } from "../components/Problem";
import { StatusMark } from "../components/StatusMark";
import { Sparkline } from "../components/charts/Sparkline";
import { currentProject, useApi } from "../lib/api";
import { MISSING, formatCount, formatDuration, formatPercent, formatRate } from "../lib/format";
import { placeOf } from "../lib/places";
import { useArrayRows } from "../lib/rows";
import { WORDS } from "../lib/words";
import { Loaded } from "./endpoints/Loaded";
import { Planes } from "./endpoints/Planes";
import type { EndpointCard, EndpointList } from "./endpoints/types";
import { filled, stateOf } from "./endpoints/words";

const route = getRouteApi("/shell/p/$project/endpoints");

export function Endpoints() {
  const { q, view, peek } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useApi<EndpointList>("/pages/endpoints", undefined, { topics: ["endpoint", "revision", "alert", "window"] });
  const list = query.data;
  const shown = useMemo(() => list?.endpoints.filter((e) => `${e.name} ${e.model} ${e.environment}`.toLowerCase().includes(q.toLowerCase())), [list, q]);
  const rows = useArrayRows(shown, { error: query.error, retry: () => void query.refetch() });
  const seconds = list ? (list.to_us - list.from_us) / 1e6 : 900;
  const columns = useMemo<Column<EndpointCard>[]>(() => [
    { key: "name", label: "Endpoint", width: "minmax(140px, 1.2fr)", cell: (e) => <a className="quiet" tabIndex={-1} href={placeOf(currentProject(), "endpoint", e.name)}>{e.name}</a>, raw: (e) => e.name },
    { key: "state", label: "State", width: "110px", cell: (e) => <StatusMark {...stateOf(e)} />, title: (e) => e.problem ?? undefined },
    { key: "model", label: "Serves", width: "minmax(120px, 1fr)", cell: (e) => (e.graph ? <a tabIndex={-1} href={`${placeOf(currentProject(), "endpoint", e.name)}/graph`}>a graph, revision {e.live_revision}</a> : e.model ? <a tabIndex={-1} href={placeOf(currentProject(), "model_version", e.model)}>{e.model}</a> : <span className="muted">nothing yet</span>) },
    { key: "environment", label: "Environment", width: "110px", hint: WORDS.environment, cell: (e) => e.environment },
    { key: "spark", label: "Requests, 15 m", width: "130px", cell: (e) => <Sparkline label={`Requests of ${e.name}`} values={filled(e.points, list?.from_us ?? 0, list?.to_us ?? 0, list?.step_us ?? 30e6).map((p) => p?.requests ?? 0)} width={110} fromZero area /> },
    { key: "rate", label: "Rate", width: "90px", right: true, cell: (e) => formatRate(e.requests / seconds), title: (e) => `${formatCount(e.requests)} requests in 15 minutes` },
    { key: "p50", label: "p50", width: "80px", right: true, hint: WORDS.p50, cell: (e) => (e.p50 === null ? MISSING : formatDuration(e.p50 * 1000)) },
    { key: "p99", label: "p99", width: "80px", right: true, hint: WORDS.p99, cell: (e) => (e.p99 === null ? MISSING : formatDuration(e.p99 * 1000)) },
    { key: "errors", label: "Errors", width: "80px", right: true, cell: (e) => (e.requests ? <span style={e.failures ? { color: "var(--fail)" } : undefined}>{formatPercent(e.failures / e.requests)}</span> : MISSING) },
    { key: "alerts", label: "Alerts", width: "100px", cell: (e) => (e.open_alerts ? <a tabIndex={-1} href={placeOf(currentProject(), "monitor", e.name)}><StatusMark status="drifted" label={`${e.open_alerts} open`} /></a> : <span className="muted">none</span>) },
  ], [list, seconds]);
  return (
    <section className="page">
      <PageHead title="Endpoints" note={view === "endpoints" && list ? formatCount(list.endpoints.length) : undefined} />
      <FilterBar>
        <SearchInput label={view === "planes" ? "Name, address" : "Name, model"} value={q} onChange={(v) => navigate({ search: (s) => ({ ...s, q: v }), replace: true })} />
        <SegmentedControl aria-label="What is listed" value={view} onChange={(v) => navigate({ search: (s) => ({ ...s, view: v as typeof view }) })} data={[{ value: "endpoints", label: "Endpoints" }, { value: "models", label: "Models in memory" }, { value: "planes", label: "Data planes" }]} />
      </FilterBar>
      {view === "models" ? <Loaded q={q} /> : view === "planes" ? <Planes q={q} peek={peek} /> : <DataGrid
        label="Endpoints" columns={columns} rows={rows} id={(e) => e.name} href={(e) => placeOf(currentProject(), "endpoint", e.name)}
        empty={q ? <Empty title={`No endpoint matches "${q}"`}><Button onClick={() => navigate({ search: (s) => ({ ...s, q: "" }), replace: true })}>Clear the filter</Button></Empty> : <Empty title="No endpoint yet" code={"endpoint: {name: digits, environment: production}    # in lathe.yaml, then: lathe apply"}>An endpoint answers predictions. A pipeline makes it when its first model passes the gate.</Empty>}
      />}
    </section>
  );
}
