// One version of a data set: what its columns are like, its rows, what was refused and why, and what changed.
import { Button, Select } from "@mantine/core";
import { IconDownload } from "@tabler/icons-react";
import { Link, getRouteApi, useRouter } from "@tanstack/react-router";
import { CopyBlock, CopyId } from "../components/CopyId";
import { PageHead } from "../components/PageHead";
import { Loaded } from "../components/Problem";
import { Tabs } from "../components/Tabs";
import { useAction } from "../lib/actions";
import { href, useApi } from "../lib/api";
import { formatAgo, formatBytes, formatCount, formatInstant, fromUs, plural } from "../lib/format";
import { placeOf } from "../lib/places";
import { DiffView } from "./data/DiffView";
import { ProfileView } from "./data/ProfileView";
import { RowSheet } from "./data/RowSheet";
import classes from "./data/data.module.css";
import type { Edge, VersionPage } from "./data/types";

const route = getRouteApi("/shell/p/$project/data/$id/{-$tab}");
const TABS = ["profile", "rows", "rejects", "diff", "files"] as const;
const PARTS = ["train", "valid", "test", "recent"];

export function DataVersion() {
  const { project, id, tab: given } = route.useParams();
  const tab = TABS.find((t) => t === given) ?? "profile";
  const router = useRouter();
  const query = useApi<VersionPage>(`/pages/data/${encodeURIComponent(id)}`, undefined, { topics: ["data_version"] });
  const page = query.data;
  const v = page?.version;
  const to = (number: number, where: string = tab) => `${placeOf(project, "data_version", `${v?.name}@${number}`)}${where === "profile" ? "" : `/${where}`}`;
  const at = page?.versions.findIndex((x) => x.number === v?.number) ?? -1;
  const [newer, older] = [page?.versions[at - 1], page?.versions[at + 1]];
  useAction(older ? { id: "older", label: "The version before", keys: "[", group: "Here", run: () => router.history.push(to(older.number)) } : null);
  useAction(newer ? { id: "newer", label: "The next version", keys: "]", group: "Here", run: () => router.history.push(to(newer.number)) } : null);
  const total = v ? PARTS.reduce((n, p) => n + (v.rows[p] ?? 0), 0) : 0;
  return (
    <section className="page">
      <PageHead
        title={v ? `${v.name}@${v.number}` : id} kind="Data" note={v && `${formatCount(total)} rows`}
        facts={v && page && (
          <>
            <span>{PARTS.filter((p) => v.rows[p] !== undefined).map((p) => `${p} ${formatCount(v.rows[p])}`).join(" · ")}</span>
            <span>{plural(v.features, "feature")}, label <span className="mono">{v.label || "none"}</span></span>
            <span title={formatInstant(fromUs(v.created_us))}>made {formatAgo(fromUs(v.created_us))}</span>
            <span>used {plural(page.uses, "time")}</span>
            <CopyId id={v.id} />
            <Link to={placeOf(project, "", v.id) as "/"}>Lineage</Link>
          </>
        )}
      >
        {page && v && page.versions.length > 1 && <Select aria-label="Version" w={200} value={String(v.number)} data={page.versions.map((x) => ({ value: String(x.number), label: `@${x.number} · ${formatAgo(fromUs(x.created_us))}` }))} onChange={(n) => n && router.history.push(to(Number(n)))} allowDeselect={false} />}
      </PageHead>
      <Tabs
        label="Data" active={tab} to={(t) => `${placeOf(project, "data_version", id)}${t === "profile" ? "" : `/${t}`}`}
        tabs={[{ id: "profile", label: "Profile" }, { id: "rows", label: "Rows" }, { id: "rejects", label: "Rejected", count: v && formatCount(v.rows.rejected ?? 0) }, { id: "diff", label: "Difference" }, { id: "files", label: "Files, lineage", count: page?.files.length }]}
      />
      <Loaded query={query} what="The version">
        {(data) => (
          <>
            {tab === "profile" && <ProfileView page={data} />}
            {tab === "rows" && <Rows page={data} dataRef={id} />}
            {tab === "rejects" && <Rejects page={data} dataRef={id} />}
            {tab === "diff" && <DiffView page={data} dataRef={id} />}
            {tab === "files" && <Files page={data} />}
          </>
        )}
      </Loaded>
    </section>
  );
}

function Rows({ page, dataRef }: { page: VersionPage; dataRef: string }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const files = page.files.map((f) => f.path).filter((p) => p.endsWith(".csv") && p !== "rejects.csv");
  const file = files.find((f) => f === search.part) ?? files.find((f) => f === "train.csv") ?? files[0];
  if (!file) return <p className="muted panel-body">This version has no CSV file.</p>;
  const size = page.files.find((f) => f.path === file)?.size;
  return (
    <>
      <div className={classes.bar}>
        <Select aria-label="File" w={200} value={file} data={files} onChange={(part) => part && navigate({ search: (s) => ({ ...s, part, row: "" }) })} allowDeselect={false} />
        <span className="muted small">{formatBytes(size)}</span><span className="spacer" />
        <a className="small row" style={{ gap: 4 }} href={fileHref(page, file)} download><IconDownload size={14} aria-hidden /> CSV</a>
      </div>
      <RowSheet key={file} dataRef={dataRef} file={file} row={Number(search.row) || undefined} onRow={(row) => navigate({ search: (s) => ({ ...s, row: String(row) }), replace: true })} />
    </>
  );
}

const fileHref = (page: VersionPage, path: string) => href(`/data/${encodeURIComponent(page.version.name)}/versions/${page.version.id}/files/${path}`);

function Rejects({ page, dataRef }: { page: VersionPage; dataRef: string }) {
  const rejected = page.version.rows.rejected ?? 0;
  const dropped = page.version.rows.duplicates ?? 0;
  if (!page.files.some((f) => f.path === "rejects.csv")) return <p className="muted panel-body">This version was not prepared from raw files: nothing was checked.</p>;
  return (
    <>
      <div className={classes.bar}><span>{rejected === 0 ? "No row broke a rule." : `${plural(rejected, "row")} broke a rule of prepare.yaml or were malformed; each with its file, line and reason.`}{dropped > 0 && ` ${plural(dropped, "duplicate")} left out.`}</span></div>
      {rejected > 0 && <RowSheet dataRef={dataRef} file="rejects.csv" wide={["reason", "row", "file"]} />}
    </>
  );
}

function Files({ page }: { page: VersionPage }) {
  const { project } = route.useParams();
  const router = useRouter();
  return (
    <div className={classes.body}>
      <div className={classes.two}>
        <div className="panel"><header><h2>Files</h2></header>
          <table className="plain"><thead><tr><th>File</th><th className="num">Size</th><th>SHA-256</th></tr></thead>
            <tbody>{page.files.map((f) => <tr key={f.path}><td className="mono"><a href={fileHref(page, f.path)} download>{f.path}</a></td><td className="num">{formatBytes(f.size)}</td><td><CopyId id={f.digest} /></td></tr>)}</tbody>
          </table>
        </div>
        <div className="stack">
          <Edges title="Made from" edges={page.from} project={project} />
          <Edges title="Used by" edges={page.used_by} project={project} more={page.uses - page.used_by.length} />
          <div><Button onClick={() => router.history.push(placeOf(project, "", page.version.id))}>Draw the lineage</Button></div>
          <CopyBlock text={`lathe data get ${page.version.name}@${page.version.number} --to data/`} label="Copy the command" />
        </div>
      </div>
      <div className="panel"><header><h2>How it was made</h2></header><div className="panel-body"><CopyBlock text={JSON.stringify(page.source, null, 1)} label="Copy the source" /></div></div>
    </div>
  );
}

const WORD: Record<string, string> = { file: "raw file", attempt: "task", data_version: "data version", evaluation: "evaluation", logged_model: "model", run: "run" };
function Edges({ title, edges, project, more = 0 }: { title: string; edges: readonly Edge[]; project: string; more?: number }) {
  return (
    <div className="panel"><header><h2>{title}</h2><span className="muted small">{edges.length + more}</span></header>
      {edges.length === 0 ? <p className="muted panel-body">Nothing yet.</p> : (
        <table className="plain"><tbody>{edges.slice(0, 30).map((e) => <tr key={`${e.kind}${e.id}${e.role}`}><td style={{ width: 110 }} className="muted cut">{WORD[e.kind] ?? e.kind}</td><td className="cut" style={{ maxWidth: 260 }}><a className="mono" href={placeOf(project, "", e.kind === "file" ? `file:${e.id}` : e.id)} title={e.id}>{e.kind === "file" ? e.id.replace(/@.*/, "") : e.id.slice(-12)}</a></td><td className="num muted">{formatAgo(fromUs(e.at_us))}</td></tr>)}</tbody></table>
      )}
      {(more > 0 || edges.length > 30) && <p className="muted small panel-body">and {formatCount(more + Math.max(0, edges.length - 30))} more</p>}
    </div>
  );
}
