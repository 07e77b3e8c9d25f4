// The files of a run or of a model: a tree at the left, the chosen file at the right. Nothing of a file is trusted: images
// are drawn as images, HTML and notebooks' outputs in frames without rights, Markdown after cleaning, tables as text. Large
// files are read in part and say so; Parquet by the windows that are looked at.
import { Button } from "@mantine/core";
import { IconChevronDown, IconChevronRight, IconFile, IconFolder } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Suspense, lazy, useMemo, useState } from "react";
import { type ApiError, ask, currentProject, get, href } from "../lib/api";
import { formatBytes } from "../lib/format";
import classes from "./Artifacts.module.css";
import { JsonView } from "./JsonView";
import { Empty, Loaded, Problem, Waiting } from "./Problem";
import { TableGrid } from "./viewers/TableGrid";

// Each with its own chunk: most people look at pictures and text.
const Markdown = lazy(() => import("./viewers/Markdown").then((m) => ({ default: m.Markdown })));
const Notebook = lazy(() => import("./viewers/Notebook").then((m) => ({ default: m.Notebook })));
const Framed = lazy(() => import("./viewers/Notebook").then((m) => ({ default: m.Framed })));
const Terminal = lazy(() => import("./viewers/Notebook").then((m) => ({ default: m.Terminal })));
const Parquet = lazy(() => import("./viewers/Parquet").then((m) => ({ default: m.Parquet })));

export interface FileEntry { path: string; is_dir: boolean; file_size?: number }
/** Where the files are: how to list a folder and how to get one file. */
export interface FileSource { key: string; list: (path: string) => Promise<FileEntry[]>; file: (path: string) => { path: string; params: Record<string, string> } }

export const runFiles = (runId: string): FileSource => ({
  key: `run:${runId}`,
  list: async (path) => (await get<{ files?: FileEntry[] }>("/ajax-api/2.0/mlflow/artifacts/list", { run_id: runId, path })).files ?? [],
  file: (path) => ({ path: "/get-artifact", params: { run_id: runId, path } }),
});
export const loggedModelFiles = (modelId: string): FileSource => ({
  key: `model:${modelId}`,
  list: async (path) => (await get<{ files?: FileEntry[] }>(`/ajax-api/2.0/mlflow/logged-models/${modelId}/artifacts/directories`, { artifact_directory_path: path })).files ?? [],
  file: (path) => ({ path: `/ajax-api/2.0/mlflow/logged-models/${modelId}/artifacts/files`, params: { artifact_file_path: path } }),
});

const TEXT_PART = 256 * 1024;
const TABLE_PART = 2 * 1024 * 1024;
const TABLE_ROWS = 50_000;
const NOTEBOOK_PART = 16 * 1024 * 1024;

export const useFolder = (source: FileSource, path: string, enabled = true) =>
  useQuery<FileEntry[], ApiError>({ queryKey: [currentProject(), "artifacts", source.key, path], queryFn: () => source.list(path), enabled, meta: { topics: ["run", "logged_model"] } });

export function Artifacts({ source, path, onPath, empty }: { source: FileSource; path: string; onPath: (path: string) => void; empty: string }) {
  const root = useFolder(source, "");
  const files = root.data;
  const first = files?.find((f) => !f.is_dir)?.path;
  const shown = path || first || "";
  return (
    <Loaded query={root} what="The artifacts">
      {(all) => all.length === 0 ? <Empty title="No artifacts">{empty}</Empty> : (
        <div className={classes.split}>
          <div className={classes.tree} role="tree" aria-label="Artifacts">{all.map((f) => <Node key={f.path} source={source} entry={f} depth={0} shown={shown} onPath={onPath} />)}</div>
          <div className={classes.view}>{shown ? <FileView key={shown} source={source} path={shown} /> : <p className="muted panel-body">Choose a file.</p>}</div>
        </div>
      )}
    </Loaded>
  );
}

function Node({ source, entry, depth, shown, onPath }: { source: FileSource; entry: FileEntry; depth: number; shown: string; onPath: (path: string) => void }) {
  const [open, setOpen] = useState(shown.startsWith(`${entry.path}/`) || depth < 1);
  const folder = useFolder(source, entry.path, entry.is_dir && open);
  const name = entry.path.split("/").at(-1);
  return (
    <>
      <button type="button" role="treeitem" aria-selected={shown === entry.path} aria-expanded={entry.is_dir ? open : undefined} aria-level={depth + 1} className={classes.node} data-on={shown === entry.path || undefined} style={{ paddingLeft: 8 + depth * 14 }} onClick={() => (entry.is_dir ? setOpen(!open) : onPath(entry.path))}>
        {entry.is_dir ? (open ? <IconChevronDown size={13} aria-hidden /> : <IconChevronRight size={13} aria-hidden />) : <span style={{ width: 13 }} />}
        {entry.is_dir ? <IconFolder size={15} aria-hidden /> : <IconFile size={15} aria-hidden />}
        <span className="cut" title={entry.path}>{name}</span>
        {!entry.is_dir && <span className="muted small num" style={{ marginLeft: "auto" }}>{formatBytes(entry.file_size)}</span>}
      </button>
      {entry.is_dir && open && folder.data?.map((f) => <Node key={f.path} source={source} entry={f} depth={depth + 1} shown={shown} onPath={onPath} />)}
      {entry.is_dir && open && folder.isError && <p className="muted small" style={{ paddingLeft: 36 + depth * 14 }}>{folder.error.message}</p>}
    </>
  );
}

const IMAGES = /\.(png|jpe?g|gif|webp|bmp|svg|ico|avif)$/i;
const TABLES = /\.(csv|tsv)$/i;
const NOTEBOOKS = /\.ipynb$/i;
const PARQUET = /\.(parquet|pq)$/i;
const BINARY = /\.(onnx|pkl|pt|pth|bin|npy|npz|zip|gz|tar|h5|safetensors|joblib|db|pdf|mp4|mp3|wav|parquet|pq)$/i;

interface Part { text: string; size: number; cut: boolean }

/** One file as it can be seen. Its size is not always known before it is asked for. */
export function FileView({ source, path, bare = false }: { source: FileSource; path: string; bare?: boolean }) {
  const { path: at, params } = source.file(path);
  const link = href(at, params);
  const plain = !IMAGES.test(path) && !BINARY.test(path);
  const part = NOTEBOOKS.test(path) ? NOTEBOOK_PART : TABLES.test(path) ? TABLE_PART : TEXT_PART;
  const parquet = PARQUET.test(path);
  const query = useQuery<Part, ApiError>({
    queryKey: [currentProject(), "artifact", source.key, path],
    queryFn: async ({ signal }) => {
      const answer = await ask(at, { params, signal, headers: { range: `bytes=0-${parquet ? 3 : part - 1}` } });
      const size = Number(/\/(\d+)$/.exec(answer.headers.get("content-range") ?? "")?.[1] ?? answer.headers.get("content-length") ?? 0);
      return { text: await answer.text(), size, cut: size > part };
    },
    enabled: plain || parquet,
    retry: false,
  });
  const { data } = query;
  return (
    <>
      {!bare && (
        <div className={classes.bar}>
          <span className="mono cut" title={path}>{path}</span>
          <span className="spacer" />
          {data?.cut && !parquet && <span className="muted small">the first {formatBytes(part)} of {formatBytes(data.size)}</span>}
          <Button component="a" href={link} download={path.split("/").at(-1)}>Download</Button>
        </div>
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys */}
      <div className={classes.body} tabIndex={0}>
        {IMAGES.test(path) ? <img className={classes.image} src={link} alt={path} />
          : !plain && !parquet ? <p className="muted panel-body">This kind of file has no view here. Download it, or load it in Python.</p>
          : query.isError ? (query.error.status === 416 ? <p className="muted panel-body">The file is empty.</p> : <Problem error={query.error} retry={() => void query.refetch()} what={path} />)
          : !data ? <Waiting rows={6} />
          : <Suspense fallback={<Waiting rows={6} />}><Shown source={source} path={path} data={data} at={at} params={params} /></Suspense>}
      </div>
    </>
  );
}

function Shown({ source, path, data, at, params }: { source: FileSource; path: string; data: Part; at: string; params: Record<string, string> }) {
  if (data.size === 0 && data.text === "") return <p className="muted panel-body">The file is empty.</p>;
  if (PARQUET.test(path)) return <Parquet at={at} params={params} size={data.size} name={path} id={`${source.key} ${path}`} />;
  if (TABLES.test(path)) return <CsvView text={data.text} separator={/\.tsv$/i.test(path) ? "\t" : ","} cut={data.cut} name={path} />;
  if (NOTEBOOKS.test(path)) return data.cut ? <p className="muted panel-body">The notebook is larger than {formatBytes(NOTEBOOK_PART)}. Download it to read it.</p> : <Notebook raw={data.text} />;
  if (/\.(md|markdown)$/i.test(path)) return <Markdown text={data.text} resolve={(relative) => { const f = source.file(beside(path, relative)); return href(f.path, f.params); }} />;
  if (/\.html?$/i.test(path)) return <Framed html={data.text} whole />;
  if (/\.(json|geojson)$/i.test(path) && !data.cut) return <JsonText text={data.text} />;
  if (data.text.includes("\u001b[")) return <Terminal text={data.text} />;
  return <pre className={classes.text}>{data.text}</pre>;
}

/** "a.png" beside "reports/x.md" → "reports/a.png"; never above the root. */
function beside(file: string, relative: string): string {
  const parts = file.split("/").slice(0, -1);
  for (const part of (relative.split(/[?#]/)[0] ?? "").split("/")) {
    if (part === "..") parts.pop();
    else if (part && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

function JsonText({ text }: { text: string }) {
  const value = useMemo(() => {
    try {
      return { json: JSON.parse(text) as unknown };
    } catch {
      return null;
    }
  }, [text]);
  return value ? <div style={{ padding: "10px 12px" }}><JsonView value={value.json} depth={3} /></div> : <pre className={classes.text}>{text}</pre>;
}

/** RFC 4180, as far as a look at a table needs it. */
export function parseCsv(text: string, separator = ",", most = TABLE_ROWS + 1): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let field = "";
  let quoted = false;
  for (let i = 0; i <= text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c === '"' && text[i + 1] === '"') { field += '"'; i++; } else if (c === '"') quoted = false;
      else if (c === undefined) break;
      else field += c;
    } else if (c === '"' && field === "") quoted = true;
    else if (c === separator) { row.push(field); field = ""; } else if (c === "\n" || c === undefined) {
      if (field.endsWith("\r")) field = field.slice(0, -1);
      if (row.length || field) rows.push([...row, field]);
      row = [];
      field = "";
      if (rows.length >= most) break;
    } else field += c;
  }
  return rows;
}

function CsvView({ text, separator, cut, name }: { text: string; separator: string; cut: boolean; name: string }) {
  const { head, rows } = useMemo(() => {
    const [head = [], ...rows] = parseCsv(text, separator);
    if (cut && rows.length < TABLE_ROWS) rows.pop(); // the last line is torn
    return { head, rows: rows.slice(0, TABLE_ROWS) };
  }, [text, separator, cut]);
  return <TableGrid label={name} head={head} count={rows.length} at={(i) => rows[i]?.map((v) => (v === "" ? null : v))} note={cut || rows.length >= TABLE_ROWS ? "These are the first; download the file for the rest" : undefined} />;
}
