// Data sets: the newest version of each, how many rows, and when it was made.
import { Button } from "@mantine/core";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import { type Column, DataGrid } from "../components/DataGrid";
import { FilterBar, SearchInput } from "../components/FilterBar";
import { PageHead } from "../components/PageHead";
import { Empty } from "../components/Problem";
import { currentProject, useApi } from "../lib/api";
import { formatAgo, formatBytes, formatCount, formatInstant, fromUs } from "../lib/format";
import { placeOf } from "../lib/places";
import { useArrayRows } from "../lib/rows";
import type { DataSet } from "./data/types";

const route = getRouteApi("/shell/p/$project/data");
const place = (d: DataSet) => placeOf(currentProject(), "data_version", `${d.name}@${d.newest.number}`);

export function Data() {
  const { q } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useApi<{ data: DataSet[] }>("/pages/data", undefined, { topics: ["data_version"] });
  const all = query.data?.data;
  const shown = useMemo(() => all?.filter((d) => d.name.toLowerCase().includes(q.toLowerCase())), [all, q]);
  const rows = useArrayRows(shown, { error: query.error, retry: () => void query.refetch() });
  const columns = useMemo<Column<DataSet>[]>(() => {
    const part = (name: string, label: string): Column<DataSet> => ({ key: name, label, width: "84px", right: true, cell: (d) => formatCount(d.newest.rows[name]) });
    return [
      { key: "name", label: "Data set", width: "minmax(150px, 1.4fr)", cell: (d) => <a className="quiet" tabIndex={-1} href={place(d)}>{d.name}</a>, raw: (d) => d.name },
      { key: "version", label: "Newest", width: "80px", cell: (d) => <span className="mono">@{d.newest.number}</span> },
      part("train", "Train"), part("valid", "Valid"), part("test", "Test"),
      { key: "rejected", label: "Rejected", width: "84px", right: true, hint: "Rows that broke a declared rule", cell: (d) => (d.newest.rows.rejected ? <a tabIndex={-1} href={`${place(d)}/rejects`}>{formatCount(d.newest.rows.rejected)}</a> : "0") },
      { key: "features", label: "Features", width: "84px", right: true, cell: (d) => formatCount(d.newest.features) },
      { key: "label", label: "Label", width: "minmax(90px, 0.7fr)", cell: (d) => <span className="mono">{d.newest.label || "–"}</span> },
      { key: "versions", label: "Versions", width: "84px", right: true, cell: (d) => formatCount(d.versions) },
      { key: "bytes", label: "Size", width: "90px", right: true, cell: (d) => formatBytes(d.bytes) },
      { key: "made", label: "Made", width: "90px", right: true, cell: (d) => formatAgo(fromUs(d.newest.created_us)), title: (d) => formatInstant(fromUs(d.newest.created_us)) },
    ];
  }, []);
  return (
    <section className="page">
      <PageHead title="Data" note={all && formatCount(all.length)} />
      <FilterBar><SearchInput label="Name" value={q} onChange={(v) => navigate({ search: (s) => ({ ...s, q: v }), replace: true })} /></FilterBar>
      <DataGrid
        label="Data sets" columns={columns} rows={rows} id={(d) => d.name} href={place}
        empty={q ? <Empty title={`No data set is called like "${q}"`}><Button onClick={() => navigate({ search: {}, replace: true })}>Clear the filter</Button></Empty> : <Empty title="No data yet" code={"data: {digits: {path: raw/*.csv, label: digit}}    # in lathe.yaml, then: lathe apply"}>A data set is prepared from raw files: checked, split, and kept as immutable versions.</Empty>}
      />
    </section>
  );
}
