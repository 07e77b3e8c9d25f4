// What the endpoint was asked and answered, newest first; one row opened shows all of it.
import { Button, SegmentedControl, Select, TextInput } from "@mantine/core";
import { IconRefresh } from "@tabler/icons-react";
import { getRouteApi, useRouter } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { ActButton } from "../../components/ActButton";
import { CopyId } from "../../components/CopyId";
import { type Column, DataGrid } from "../../components/DataGrid";
import { Chip, SearchInput } from "../../components/FilterBar";
import { Facts, Peek } from "../../components/Peek";
import { PixelImage } from "../../components/PixelImage";
import { Empty } from "../../components/Problem";
import { StatusMark } from "../../components/StatusMark";
import { currentProject, queries, send } from "../../lib/api";
import { MISSING, formatAgo, formatClockMs, formatCount, formatDurationUs, formatInstant, formatMetric, formatMinute, plural } from "../../lib/format";
import type { ImageShape } from "../../lib/image";
import { placeOf } from "../../lib/places";
import { toast, toastError } from "../../lib/toast";
import classes from "./endpoints.module.css";
import { Way } from "./Way";
import type { EndpointPage, ReplayAnswer } from "./types";
import { type Filter, type RequestRow, useRequests } from "./useRequests";
import { revisionName } from "./words";

const route = getRouteApi("/shell/p/$project/endpoints/$name/{-$tab}");
export const ONLY = [{ value: "", label: "All" }, { value: "labelled", label: "With a label" }, { value: "wrong", label: "Wrong" }, { value: "unsure", label: "Unsure" }];

interface Search { only: string; q: string; version: string; role: string; from: string; to: string }
/** What the address says; a range chosen in a chart counts here too, one that moves with the clock does not. */
export function filterOf({ only, q, version, role, from, to }: Search): Filter {
  const [a, b] = [Date.parse(from), Date.parse(to)];
  return { only, q, version, role, ...(Number.isNaN(a) || Number.isNaN(b) ? {} : { fromUs: a * 1000, toUs: b * 1000 }) };
}

export function RequestFilters({ page, first, onNewer }: { page: EndpointPage; first?: { scanned: number; oldest_us: number }; onNewer: () => void }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const filter = filterOf(search);
  const set = (part: Partial<typeof search>) => navigate({ search: (s) => ({ ...s, peek: "", ...part }), replace: true });
  return (
    <div className={classes.filters}>
      <SearchInput label="Prediction, >5ms, pr_…" value={search.q} onChange={(q) => set({ q })} width={220} mono />
      <SegmentedControl aria-label="Which requests" value={search.only} onChange={(only) => set({ only })} data={ONLY} />
      <Select aria-label="Revision" w={170} value={search.version} onChange={(version) => set({ version: version ?? "" })} data={[{ value: "", label: "Every revision" }, ...page.revisions.map((r) => ({ value: String(r.number), label: page.graph ? `Revision ${r.number}` : `${r.number} · ${r.model}/${r.version}` }))]} allowDeselect={false} />
      <Select aria-label="Whose answers" w={150} value={search.role} onChange={(role) => set({ role: (role ?? "") as typeof search.role })} data={[{ value: "", label: "Answers given" }, { value: "shadow", label: "Shadow's copies" }]} allowDeselect={false} />
      {filter.fromUs !== undefined && filter.toUs !== undefined && <Chip label="time" onRemove={() => set({ from: "", to: "now" })}>{formatMinute(filter.fromUs / 1000)} to {formatMinute(filter.toUs / 1000)}</Chip>}
      <Button variant="subtle" leftSection={<IconRefresh size={14} />} onClick={onNewer}>Newer ones</Button>
      {first && first.scanned >= 40_000 && <span className="muted small">looked at {formatCount(first.scanned)} requests, back to {formatInstant(first.oldest_us / 1000)}</span>}
    </div>
  );
}

export function Requests({ page, image }: { page: EndpointPage; image?: ImageShape }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const rows = useRequests(page.name, filterOf(search));
  const versions = useMemo(() => new Map(page.revisions.map((r) => [r.number, revisionName(page, r)])), [page]);
  const columns = useMemo<Column<RequestRow>[]>(() => [
    ...(image ? [{ key: "image", label: "Input", width: "52px", cell: (r: RequestRow) => r.request.rows[0] && <PixelImage shape={image} values={r.request.rows[0].values} size={24} label={`Input of ${r.request.id}`} /> }] : []),
    { key: "time", label: "Time", width: "104px", cell: (r) => formatClockMs(r.request.at_us / 1000), title: (r) => formatInstant(r.request.at_us / 1000) },
    { key: "ago", label: "Age", width: "84px", cell: (r) => formatAgo(r.request.at_us / 1000) },
    { key: "prediction", label: "Prediction", width: "minmax(90px, 1fr)", cell: (r) => <><b>{r.request.rows[0]?.prediction ?? MISSING}</b>{r.request.row_count > 1 && <span className="muted"> and {r.request.row_count - 1} more</span>}</>, raw: (r) => r.request.rows.map((row) => row.prediction).join(",") },
    { key: "label", label: "True label", width: "minmax(110px, 1fr)", hint: "From feedback; it may come late", cell: (r) => <Label row={r} /> },
    { key: "score", label: "Score", width: "74px", right: true, hint: "The highest class probability", cell: (r) => formatMetric(r.request.rows[0]?.score) },
    { key: "latency", label: "Latency", width: "84px", right: true, hint: "Computation of the answer", cell: (r) => formatDurationUs(r.request.duration_us) },
    ...(page.graph ? [{ key: "way", label: "Its way", width: "minmax(140px, 1.6fr)", hint: "The steps of the graph that it asked", cell: (r: RequestRow) => wayText(r), title: wayText, raw: wayText }] : []),
    { key: "version", label: page.graph ? "Graph" : "Version", width: "minmax(100px, 0.8fr)", cell: (r) => versions.get(r.request.revision) ?? `revision ${r.request.revision}` },
    ...(image ? [] : [{ key: "input", label: "Input", width: "minmax(200px, 2.4fr)", cell: (r: RequestRow) => <span className="mono muted">{inputText(r)}</span>, title: inputText }]),
    { key: "id", label: "Id", width: "110px", cell: (r) => <span className="mono muted">{r.request.id.slice(-8)}</span>, raw: (r) => r.request.id, title: (r) => r.request.id },
  ], [image, versions, page.graph]);
  const peeked = useMemo(() => {
    for (let i = 0; i < rows.count; i++) if (rows.at(i)?.request.id === search.peek) return rows.at(i);
    return undefined;
  }, [rows, search.peek]);
  const peek = (id: string | null) => navigate({ search: (s) => ({ ...s, peek: id ?? "" }), replace: true });
  return (
    <>
      <RequestFilters page={page} first={rows.first} onNewer={rows.retry} />
      <DataGrid
        label="Requests" columns={columns} rows={rows} id={(r) => r.request.id} peek={search.peek || undefined} onPeek={peek} mark={(r) => (r.request.rows.some((row) => row.wrong) ? "attention" : undefined)}
        empty={search.only || search.q || search.version || search.role || filterOf(search).fromUs !== undefined ? <Empty title="No captured request matches"><Button onClick={() => navigate({ search: (s) => ({ ...s, only: "", q: "", version: "", role: "", from: "", to: "now", peek: "" }), replace: true })}>Clear the filters</Button></Empty> : <Empty title="No request yet">Each answered request is kept here, with the label that feedback brings later. The Try tab makes the first.</Empty>}
        panel={peeked && <RequestPeek key={peeked.request.id} row={peeked} page={page} image={image} onClose={() => peek(null)} />}
      />
    </>
  );
}

function Label({ row }: { row: RequestRow }) {
  const first = row.request.rows[0];
  if (!first?.label) return <span className="muted">{MISSING}</span>;
  return first.wrong ? <StatusMark status="failed" label={first.label} /> : <StatusMark status="finished" label={first.label} />;
}
const wayText = ({ request }: RequestRow): string => request.route?.steps.filter((s) => s.ran).map((s) => s.path.split("/").at(-1)).join(", ") ?? "";
const inputText = ({ request, layout }: RequestRow): string => {
  const row = request.rows[0];
  if (!row) return "";
  return [...layout.features.map((n, i) => `${n}=${formatMetric(row.values[i])}`), ...layout.text_features.map((n, i) => `${n}=${row.texts[i]}`)].slice(0, 12).join("  ");
};

function Replayed({ r }: { r: ReplayAnswer }) {
  const skipped = Object.keys(r.skipped)[0];
  if (skipped) return <p role="status">Not replayed: {skipped}</p>;
  if (r.identical === r.requests) return <p role="status"><StatusMark status="finished" label="Bit-identical" /> with {r.model}/{r.version}: the same labels and scores</p>;
  return (
    <div role="status">
      <p>{plural(r.changed_labels, "row has", "rows have")} another label with {r.model}/{r.version}</p>
      <table className="plain">
        <thead><tr><th className="num">Row</th><th>Was</th><th>Now</th><th>What differs</th></tr></thead>
        <tbody>{r.differing.slice(0, 20).map((d) => <tr key={d.row}><td className="num">{d.row}</td><td>{d.was} <span className="muted">{formatMetric(d.was_score)}</span></td><td>{d.now} <span className="muted">{formatMetric(d.now_score)}</span></td><td className="muted small">{d.detail}</td></tr>)}</tbody>
      </table>
    </div>
  );
}

export function RequestPeek({ row, page, image, onClose }: { row: RequestRow; page: EndpointPage; image?: ImageShape; onClose: () => void }) {
  const { request, layout } = row;
  const router = useRouter();
  const project = currentProject();
  const [label, setLabel] = useState("");
  const first = request.rows[0];
  async function tell() {
    try {
      await send("/feedback", [{ id: request.id, label, row: 0 }]);
      toast(`The label ${label} is kept for this request`);
      void queries.invalidateQueries({ predicate: (q) => ((q.meta?.topics ?? []) as string[]).includes("feedback") });
    } catch (e) {
      toastError("The label was not kept", e);
    }
  }
  const [replayed, setReplayed] = useState<ReplayAnswer>();
  const [replaying, setReplaying] = useState(false);
  const [through, setThrough] = useState("");
  async function again() {
    setReplaying(true);
    try {
      setReplayed(await send<ReplayAnswer>("/replays", { prediction: request.id, revision: through ? Number(through) : undefined }));
    } catch (e) {
      toastError("It was not replayed", e);
    } finally {
      setReplaying(false);
    }
  }
  const replay = () => router.history.push(`${placeOf(project, "endpoint", page.name)}/try?replay=${request.id}`);
  return (
    <Peek
      title={<span className="mono">{request.id.slice(-8)}</span>} onClose={onClose}
      footer={<><Button variant="filled" onClick={replay}>Ask again…</Button><Button onClick={() => router.history.push(placeOf(project, "", request.id))}>Lineage</Button></>}
    >
      {image && first && <PixelImage shape={image} values={first.values} size={160} label="The input" />}
      <Facts
        facts={[
          ["Prediction", <b key="p">{first?.prediction ?? MISSING}</b>],
          ["Score", formatMetric(first?.score)],
          ["True label", first?.label ? <span key="l" className={first.wrong ? classes.wrong : undefined}>{first.label}{first.wrong && " (the prediction is wrong)"}</span> : "not known"],
          ["Time", formatInstant(request.at_us / 1000)],
          ["Latency", formatDurationUs(request.duration_us)],
          ["Revision", `${request.revision}`],
          request.client_id ? ["Client's id", <span key="c" className="mono">{request.client_id}</span>] : null,
          ["Id", <CopyId key="i" id={request.id} />],
        ]}
      />
      <div className="row">
        <Select aria-label="Replay with" w={190} value={through} onChange={(v) => setThrough(v ?? "")} allowDeselect={false} data={[{ value: "", label: "The revision that answered" }, ...page.revisions.filter(() => !page.graph).map((r) => ({ value: String(r.number), label: `${r.number} · ${r.model}/${r.version}` }))]} />
        <ActButton needs="run-code" loading={replaying} onClick={() => void again()}>Replay</ActButton>
      </div>
      {replayed && <Replayed r={replayed} />}
      {request.route && <Way way={request.route} href={`${placeOf(project, "endpoint", page.name)}/graph?peek=${request.id}`} />}
      <form className="row" onSubmit={(e) => { e.preventDefault(); if (label) void tell(); }}>
        <TextInput aria-label="The true label" placeholder="True label" value={label} onChange={(e) => setLabel(e.currentTarget.value)} w={120} /><ActButton needs="infer" type="submit" disabled={!label}>Tell the label</ActButton>
      </form>
      {request.row_count > 1 && <p className="muted small">{plural(request.row_count, "row")}; {request.rows.length < request.row_count ? `the first ${request.rows.length} are here` : "all are here"}: predicted {request.rows.map((r) => r.prediction).join(", ")}</p>}
      {first && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
        <div className={classes.values} tabIndex={0}>
          <table className="plain">
            <thead><tr><th>Feature</th><th className="num">Value</th></tr></thead>
            <tbody>
              {layout.features.map((n, i) => <tr key={n}><td>{n}</td><td className="num">{formatMetric(first.values[i])}</td></tr>)}
              {layout.text_features.map((n, i) => <tr key={n}><td>{n}</td><td>{first.texts[i]}</td></tr>)}
            </tbody>
          </table>
        </div>
      )}
    </Peek>
  );
}
