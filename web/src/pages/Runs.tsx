// Runs: find the best of many, look at it, compare a few. The server filters, orders and hands out windows; the address is
// the view. Experiments at the left, the list or its groups in the middle, charts of what the list shows.
import { ActionIcon, Button, SegmentedControl, Tooltip } from "@mantine/core";
import { IconBell, IconChartLine, IconLayoutSidebarLeftExpand, IconTable } from "@tabler/icons-react";
import { getRouteApi, useLocation, useRouter } from "@tanstack/react-router";
import { type MouseEvent, Suspense, lazy, useCallback, useMemo, useState } from "react";
import { ColumnPicker } from "../components/ColumnPicker";
import { ColumnSelect } from "../components/ColumnSelect";
import { DataGrid } from "../components/DataGrid";
import { ExperimentTree } from "../components/ExperimentTree";
import { Chip, FilterBar } from "../components/FilterBar";
import { PageHead } from "../components/PageHead";
import { Empty, Waiting } from "../components/Problem";
import { RunFilter } from "../components/RunFilter";
import { SavedViews } from "../components/SavedViews";
import { useAction } from "../lib/actions";
import { OWN_COLUMNS, columnLabel, namesOf, namesText } from "../lib/columns";
import { formatCount, plural } from "../lib/format";
import { may, useMe } from "../lib/me";
import { useRunWindows } from "../lib/run-windows";
import { listOf, listText } from "../lib/search";
import { type Experiment, type RunRow, pageHref, runColor, runHref, usePage } from "../lib/tracking";
import { BulkBar } from "./runs/BulkBar";
import { numericColumns, runColumns } from "./runs/columns";
import { GroupTable } from "./runs/GroupTable";
import { RunPeek } from "./RunPeek";
import classes from "./Runs.module.css";

const RunCharts = lazy(() => import("./RunCharts").then((m) => ({ default: m.RunCharts })));
const route = getRouteApi("/shell/p/$project/runs");
const FIRST = `import mlflow
mlflow.set_tracking_uri("${location.origin}")
with mlflow.start_run():
    mlflow.log_param("lr", 0.1)
    mlflow.log_metric("accuracy", 0.97)`;
const MOST_PINNED = 8;
const SIDE = "lathe.experiments";

/** "metrics.loss DESC" ↔ what the grid marks. */
const readSort = (text: string) => ({ key: text.replace(/ (ASC|DESC)$/, ""), descending: / DESC$/.test(text) });

export function Runs() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const router = useRouter();
  const { searchStr } = useLocation();
  const { project } = route.useParams();
  const me = useMe(project).data;
  const writes = may(me, "own");
  const [picked, setPicked] = useState<ReadonlySet<string>>(new Set());
  const [side, setSide] = useState(() => localStorage.getItem(SIDE) !== "hidden");
  const { q, sort, cols, peek, view, deleted } = search;
  const exp = useMemo(() => listOf(search.exp), [search.exp]);
  const chosen = useMemo(() => namesOf(cols), [cols]);
  const by = useMemo(() => namesOf(search.group).slice(0, 2), [search.group]);
  const hidden = useMemo(() => new Set(listOf(search.hide)), [search.hide]);
  const pins = useMemo(() => listOf(search.pin).slice(0, MOST_PINNED), [search.pin]);
  const experiments = usePage<{ experiments: Experiment[] }>("/experiments", {}, { topics: ["experiment", "run"] });
  const names = useMemo(() => new Map(experiments.data?.experiments.map((e) => [e.id, e.name])), [experiments.data]);
  const query = useMemo(() => ({ exp, q, sort: sort || undefined, col: chosen, ...(deleted ? { view: "deleted" } : {}) }), [exp, q, sort, chosen, deleted]);
  const list = useRunWindows(query);
  const set = useCallback((change: Partial<typeof search>, replace = false) => void navigate({ search: (s) => ({ ...s, ...change }), replace }), [navigate]);
  const setColumns = (next: readonly string[]) => set({ cols: namesText(next) });
  const shownColumns = list.columns;
  const pinnedRows = usePage<{ rows: RunRow[] }>("/runs/rows", { id: pins, col: shownColumns }, { topics: ["run"], enabled: pins.length > 0, keep: true });
  const pinned = useMemo(() => (pins.length ? (pinnedRows.data?.rows ?? []).filter((r) => pins.includes(r.id)) : []), [pins, pinnedRows.data]);

  const [colors, setColors] = useState<ReadonlyMap<string, string>>(); // of the groups in the charts, by run
  const sample = Array.from({ length: Math.min(list.count, 50) }, (_, i) => list.at(i)).filter((r) => r !== undefined);
  const numeric = [...numericColumns(shownColumns, sample)].join("\n");
  const columns = useMemo(
    () => runColumns({ chosen: shownColumns, experiments: exp.length === 1 ? undefined : names, hidden, pinned: new Set(pins), narrow: view === "charts", numeric: new Set(numeric.split("\n")), color: (r) => `var(${(view === "charts" && colors?.get(r.id)) || runColor(r.id)})` }),
    [shownColumns, exp.length, names, hidden, pins, view, numeric, colors],
  );

  const filterError = list.error && (q || sort) && list.error.status === 400 ? list.error : null;
  const at = filterError ? /at character (\d+)/.exec(filterError.message) : null;
  const ids = [...picked];
  const compare = () => void navigate({ to: "/p/$project/runs/compare", params: { project }, search: { ids: listText(ids) } });
  const pin = (more: readonly string[]) => set({ pin: listText([...new Set([...more, ...pins])].slice(0, MOST_PINNED)) }, true);
  const showSide = (on: boolean) => { setSide(on); localStorage.setItem(SIDE, on ? "shown" : "hidden"); };
  useAction({ id: "charts", label: view === "table" ? "Show charts" : "Show the table", keys: "v", group: "Here", run: () => set({ view: view === "table" ? "charts" : "table" }) });
  useAction({ id: "experiments", label: side ? "Hide the experiments" : "Show the experiments", keys: "s", group: "Here", run: () => showSide(!side) });
  const differing = () => {
    const rows = Array.from({ length: Math.min(list.count, 200) }, (_, i) => list.at(i)).filter((r) => r !== undefined);
    setColumns(shownColumns.filter((_, i) => new Set(rows.map((r) => r.cells[i] ?? null)).size > 1));
  };

  /** The eye and the pin of a row, before the grid takes the click. */
  function onMark(e: MouseEvent) {
    const { eye, pin: pinOf } = (e.target as HTMLElement).closest<HTMLElement>("[data-eye], [data-pin]")?.dataset ?? {};
    if (!eye && !pinOf) return;
    e.stopPropagation();
    if (pinOf) return set({ pin: listText(pins.includes(pinOf) ? pins.filter((p) => p !== pinOf) : [pinOf, ...pins].slice(0, MOST_PINNED)) }, true);
    const next = new Set(hidden);
    if (eye && !next.delete(eye)) next.add(eye);
    set({ hide: listText([...next]) }, true);
  }

  const filtered = q || exp.length || deleted;
  const empty = filterError ? <Empty title="The filter cannot be read">{filterError.message}</Empty>
    : filtered ? <Empty title={deleted ? "No archived run matches" : "No run matches"}>{q ? <>The filter is <span className="mono">{q}</span>. </> : null}<Button onClick={() => set({ q: "", exp: "", deleted: false })}>Show all runs</Button></Empty>
    : <Empty title="No run yet" code={FIRST} label="Copy the snippet">A run is one execution that logs parameters, metrics and artifacts. This makes the first one:</Empty>;
  const grid = (
    <div className={classes.grid} onClickCapture={onMark}>
      <DataGrid
        label="Runs" columns={columns} rows={filterError ? { ...list, error: null, count: 0, loading: false } : list} pinned={filterError ? undefined : pinned}
        id={(r) => r.id} href={(r) => runHref(r.id)} name={(r) => r.name}
        sort={sort ? readSort(sort) : { key: "start_time", descending: true }} onSort={(key, descending) => set({ sort: key === "start_time" && descending ? "" : `${key} ${descending ? "DESC" : "ASC"}` })}
        peek={view === "table" ? peek : undefined} onPeek={view === "table" ? (id) => set({ peek: id ?? "" }, true) : undefined} picked={picked} onPick={setPicked}
        mark={(r) => (r.status === "FAILED" || r.status === "KILLED" ? "muted" : undefined)} empty={empty}
        panel={view === "table" && peek ? <RunPeek id={peek} onClose={() => set({ peek: "" }, true)} experiments={names} /> : undefined}
      />
    </div>
  );
  const body = view === "charts" ? (
    <div className={classes.charts}>
      <div className={classes.legend}>{grid}</div>
      <Suspense fallback={<Waiting rows={4} />}><RunCharts query={query} pinned={pinned} picked={ids} hidden={hidden} search={search} set={set} columns={shownColumns} experiments={exp} names={names} by={by[0] ?? ""} onColors={setColors} /></Suspense>
    </div>
  ) : by.length && !filterError ? <GroupTable query={query} by={by} columns={shownColumns} names={names} onOpen={(change) => set({ ...change, group: "" })} onClear={() => set({ group: "" })} /> : grid;

  return (
    <section className="page">
      <PageHead title="Runs" note={list.total === undefined ? undefined : <span title={list.exact ? undefined : "Counting stops at 10,000 matches"}>{formatCount(list.total)}{list.exact ? "" : " or more"}</span>}>
        <SavedViews page="runs" address={searchStr} experiments={exp} fallback={experiments.data?.experiments.at(-1)?.id} writes={writes} onOpen={(address) => router.history.push(`${location.pathname}${address === "?" ? "" : address}`)} />
        <Button variant="subtle" leftSection={<IconBell size={14} />} onClick={() => void navigate({ to: "/p/$project/runs/alerts", params: { project }, search: exp.length === 1 ? { exp: exp[0] } : {} })}>Alerts</Button>
        <SegmentedControl aria-label="View" data={[{ value: "table", label: <span className="row" style={{ gap: 5 }}><IconTable size={14} aria-hidden />Table</span> }, { value: "charts", label: <span className="row" style={{ gap: 5 }}><IconChartLine size={14} aria-hidden />Charts</span> }]} value={view} onChange={(v) => set({ view: v as "table" })} />
      </PageHead>
      <div className={classes.split}>
        {side && <ExperimentTree experiments={experiments.data?.experiments ?? []} chosen={exp} onChoose={(v) => set({ exp: listText(v) })} onHide={() => showSide(false)} />}
        <div className={classes.main}>
          <FilterBar>
            {!side && <Tooltip label="Experiments (s)"><ActionIcon aria-label="Show the experiments" onClick={() => showSide(true)}><IconLayoutSidebarLeftExpand size={16} /></ActionIcon></Tooltip>}
            {!side && exp.map((id) => <Chip key={id} label={names.get(id) ?? id} onRemove={() => set({ exp: listText(exp.filter((e) => e !== id)) })}>{names.get(id) ?? id}</Chip>).slice(0, 3)}
            <RunFilter value={q} experiments={exp} onChange={(v) => set({ q: v })} error={filterError ? { message: filterError.message, at: at ? Number(at[1]) - 1 : null } : undefined} />
            {list.fresh > 0 ? <Button variant="light" onClick={list.refresh}>{plural(list.fresh, "new run")}</Button> : list.moved && <Button variant="light" onClick={list.refresh} title="Runs have logged since this order was made">Order again</Button>}
            {picked.size > 0 ? (
              <BulkBar ids={ids} deleted={deleted} writes={writes} admin={may(me, "admin")} columns={shownColumns} onPicked={setPicked} onCompare={compare} onPin={() => pin(ids)} refresh={list.refresh} />
            ) : (
              <>
                <ColumnSelect label="Group by" prefix="Group" placeholder="by nothing" clearable width={178} kinds={["param", "tag"]} own={OWN_COLUMNS} experiments={exp} value={by[0] ?? ""} onChange={(v) => set({ group: namesText(v ? [v, ...by.slice(1)] : by.slice(1)) })} />
                {by.length > 0 && view === "table" && <ColumnSelect label="Then by" placeholder="then by" clearable width={130} kinds={["param", "tag"]} own={OWN_COLUMNS} experiments={exp} value={by[1] ?? ""} onChange={(v) => set({ group: namesText([by[0] ?? "", v].filter(Boolean)) })} />}
                <Button variant="subtle" onClick={() => set({ deleted: !deleted })}>{deleted ? "Active runs" : "Archived"}</Button>
                <Button variant="subtle" component="a" href={pageHref("/runs.csv", { exp, q, sort: sort || undefined, col: shownColumns, ...(deleted ? { view: "deleted" } : {}) })} download="runs.csv" title={`These rows, all of them, with ${shownColumns.map(columnLabel).join(", ") || "no further columns"}`}>CSV</Button>
              </>
            )}
            <ColumnPicker columns={shownColumns} experiments={exp} onChange={setColumns} onDiffering={by.length ? undefined : differing} />
          </FilterBar>
          {body}
        </div>
      </div>
    </section>
  );
}
