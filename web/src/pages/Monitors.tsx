// Monitors: is each endpoint's traffic still like what its model was judged on, and is it still right.
import { Button } from "@mantine/core";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import { type Column, DataGrid } from "../components/DataGrid";
import { FilterBar, SearchInput } from "../components/FilterBar";
import { PageHead } from "../components/PageHead";
import { Empty } from "../components/Problem";
import { StatusMark } from "../components/StatusMark";
import { currentProject, useApi } from "../lib/api";
import { MISSING, formatAgo, formatCount, formatDurationUs, formatInstant, formatInterval, fromUs } from "../lib/format";
import { placeOf } from "../lib/places";
import { useArrayRows } from "../lib/rows";
import { WORDS } from "../lib/words";
import classes from "./monitors/monitors.module.css";
import type { MonitorCard, Window } from "./monitors/types";

const route = getRouteApi("/shell/p/$project/monitors");

export function healthOf(m: Pick<MonitorCard, "open_alerts" | "windows">): { status: string; label: string } {
  const kinds = [...new Set(m.open_alerts.map((a) => a.kind))];
  if (kinds.length) return { status: "drifted", label: kinds.join(", ") };
  const newest = m.windows[0];
  if (!newest) return { status: "idle", label: "No window yet" };
  return newest.drifted || newest.bad_quality ? { status: "warning", label: newest.drifted ? "Drifted once" : "Bad rows" } : { status: "healthy", label: "Healthy" };
}

const place = (m: MonitorCard) => placeOf(currentProject(), "monitor", m.endpoint);

export function Monitors() {
  const { q } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useApi<{ monitors: MonitorCard[] }>("/pages/monitors", undefined, { topics: ["monitor", "window", "alert", "feedback", "endpoint"] });
  const all = query.data?.monitors;
  const shown = useMemo(() => all?.filter((m) => m.endpoint.toLowerCase().includes(q.toLowerCase())), [all, q]);
  const rows = useArrayRows(shown, { error: query.error, retry: () => void query.refetch() });
  const columns = useMemo<Column<MonitorCard>[]>(() => [
    { key: "name", label: "Endpoint", width: "minmax(140px, 1.2fr)", cell: (m) => <a className="quiet" tabIndex={-1} href={place(m)}>{m.endpoint}</a>, raw: (m) => m.endpoint },
    { key: "health", label: "State", width: "140px", cell: (m) => <StatusMark {...healthOf(m)} /> },
    { key: "windows", label: "Last 40 windows", width: "260px", hint: "Oldest at the left; tall: drifted", cell: (m) => <WindowBars windows={m.windows} /> },
    { key: "accuracy", label: "Accuracy", width: "170px", hint: "Of the newest window with labels; 95 % interval", cell: (m) => { const w = m.windows.find((x) => x.accuracy); return w?.accuracy ? formatInterval(w.accuracy.value, w.accuracy.low, w.accuracy.high) : <span className="muted">no labels</span>; } },
    { key: "labels", label: "Labels", width: "80px", right: true, cell: (m) => formatCount(m.labels) },
    { key: "window", label: "Window", width: "110px", hint: WORDS.window, cell: (m) => (m.spec.window_rows ? `${formatCount(m.spec.window_rows)} rows` : formatDurationUs(m.spec.window_us)) },
    { key: "newest", label: "Newest", width: "90px", right: true, cell: (m) => formatAgo(fromUs(m.windows[0]?.closed_us)), title: (m) => formatInstant(fromUs(m.windows[0]?.closed_us)) },
    { key: "alerts", label: "Open alerts", width: "100px", right: true, cell: (m) => (m.open_alerts.length ? <b>{m.open_alerts.length}</b> : MISSING) },
  ], []);
  return (
    <section className="page">
      <PageHead title="Monitors" note={all && formatCount(all.length)} />
      <FilterBar><SearchInput label="Endpoint" value={q} onChange={(v) => navigate({ search: (s) => ({ ...s, q: v }), replace: true })} /></FilterBar>
      <DataGrid
        label="Monitors" columns={columns} rows={rows} id={(m) => m.endpoint} href={place}
        empty={q ? <Empty title={`No monitor matches "${q}"`}><Button onClick={() => navigate({ search: {}, replace: true })}>Clear the filter</Button></Empty> : <Empty title="No monitor yet" code={"monitor: {window: 200 rows, labels: feedback}    # in lathe.yaml, then: lathe apply"}>A monitor compares an endpoint's traffic with what its model was judged on, and raises an alert when it drifts.</Empty>}
      />
    </section>
  );
}

function WindowBars({ windows }: { windows: readonly Window[] }) {
  return (
    <span className={classes.bars} role="img" aria-label={`${windows.filter((w) => w.drifted).length} of ${windows.length} windows drifted`}>
      {windows.toReversed().map((w) => <i key={w.id} data-state={w.drifted ? "drifted" : w.bad_quality ? "bad" : w.judged ? "fine" : "unjudged"} title={`Window ${w.number}: ${w.drifted ? "drifted" : w.bad_quality ? "bad rows" : w.judged ? "fine" : "not judged"}, ${formatCount(w.rows)} rows`} />)}
    </span>
  );
}
