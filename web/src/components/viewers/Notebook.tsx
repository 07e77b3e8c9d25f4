// A Jupyter notebook as it was saved: Markdown is cleaned, HTML outputs stand in frames that may do nothing, pictures are
// drawn from their own bytes. Nothing in it runs and nothing is loaded for it.
import { useMemo } from "react";
import { ansiPieces } from "../../lib/ansi";
import { plural } from "../../lib/format";
import { cleanHtml } from "../../lib/markdown";
import { JsonView } from "../JsonView";
import { Markdown } from "./Markdown";
import classes from "./viewers.module.css";

type Text = string | string[];
interface Output { output_type: string; name?: string; text?: Text; data?: Record<string, unknown>; ename?: string; evalue?: string; traceback?: string[] }
interface Cell { cell_type: string; source?: Text; execution_count?: number | null; outputs?: Output[]; attachments?: Record<string, Record<string, string>> }
interface Book { cells?: Cell[]; worksheets?: { cells?: (Cell & { input?: Text })[] }[]; metadata?: { language_info?: { name?: string }; kernelspec?: { display_name?: string } } }

const MOST_CELLS = 500;
const MOST_TEXT = 200_000;
const text = (t: Text | undefined): string => (Array.isArray(t) ? t.join("") : (t ?? ""));

export function readNotebook(raw: string): { cells: Cell[]; language: string } | string {
  try {
    const book = JSON.parse(raw) as Book;
    const cells = book.cells ?? book.worksheets?.flatMap((w) => (w.cells ?? []).map((c) => ({ ...c, source: c.source ?? c.input }))); // version 3
    if (!Array.isArray(cells)) return "This file has no cells: it is not a notebook.";
    return { cells, language: book.metadata?.language_info?.name ?? book.metadata?.kernelspec?.display_name ?? "" };
  } catch (e) {
    return `This is not a notebook that can be read: ${(e as Error).message}`;
  }
}

export function Notebook({ raw }: { raw: string }) {
  const book = useMemo(() => readNotebook(raw), [raw]);
  if (typeof book === "string") return <p className="muted panel-body">{book}</p>;
  return (
    <div className={classes.notebook}>
      <p className="muted small">{plural(book.cells.length, "cell")}{book.language ? `, ${book.language}` : ""}, as it was saved</p>
      {book.cells.slice(0, MOST_CELLS).map((cell, i) => <CellView key={`c${i.toString()}`} cell={cell} />)}
      {book.cells.length > MOST_CELLS && <p className="muted">The first {MOST_CELLS} cells. Download the notebook for the rest.</p>}
    </div>
  );
}

function CellView({ cell }: { cell: Cell }) {
  if (cell.cell_type === "markdown") return <Markdown text={text(cell.source)} resolve={(name) => attachment(cell, name)} />;
  if (cell.cell_type !== "code") return <pre className={classes.out}>{text(cell.source)}</pre>;
  return (
    <section aria-label={`Code cell ${cell.execution_count ?? ""}`} className={classes.cell}>
      <span className={`mono muted ${classes.prompt}`}>{cell.execution_count ? `[${cell.execution_count}]` : "[ ]"}</span>
      <div className={classes.inner}>
        <pre className={classes.code}>{text(cell.source)}</pre>
        {(cell.outputs ?? []).map((o, i) => <OutputView key={`o${i.toString()}`} output={o} />)}
      </div>
    </section>
  );
}

function attachment(cell: Cell, name: string): string {
  const found = Object.entries(cell.attachments?.[name.replace(/^attachment:/, "")] ?? {}).find(([type]) => /^image\/(png|jpeg|gif|webp)$/.test(type));
  return found ? `data:${found[0]};base64,${found[1]}` : "";
}

function OutputView({ output }: { output: Output }) {
  if (output.output_type === "stream") return <Terminal text={text(output.text)} error={output.name === "stderr"} />;
  if (output.output_type === "error" || output.output_type === "pyerr") return <Terminal text={(output.traceback ?? [`${output.ename}: ${output.evalue}`]).join("\n")} error />;
  const data = output.data ?? {};
  const image = ["image/png", "image/jpeg", "image/gif", "image/webp"].find((t) => data[t]);
  if (image) return <img className={classes.picture} alt={text(data["text/plain"] as Text) || "Output"} src={`data:${image};base64,${text(data[image] as Text).replace(/\s/g, "")}`} />;
  // An image element runs no script of an SVG.
  if (data["image/svg+xml"]) return <img className={classes.picture} alt="Output" src={`data:image/svg+xml;charset=utf-8,${encodeURIComponent(text(data["image/svg+xml"] as Text))}`} />;
  if (data["text/html"]) return <Framed html={text(data["text/html"] as Text)} />;
  if (data["text/markdown"]) return <Markdown text={text(data["text/markdown"] as Text)} />;
  if (data["application/json"]) return <div className={classes.out}><JsonView value={data["application/json"]} /></div>;
  if (data["text/plain"]) return <Terminal text={text(data["text/plain"] as Text)} />;
  const kinds = Object.keys(data);
  return kinds.length ? <p className="muted small">An output of the kind {kinds.join(", ")} has no view here.</p> : null;
}

/** HTML of a stranger, cleaned, in a frame with no rights at all under the page's own CSP. Its height is a guess: it cannot be asked. */
export function Framed({ html, whole = false }: { html: string; whole?: boolean }) {
  const clean = useMemo(() => cleanHtml(html), [html]);
  const rows = (html.match(/<(tr|li|p|br|h\d|div)\b/gi) ?? []).length;
  return <iframe className={classes.frame} sandbox="" title="Output" srcDoc={whole ? clean : STYLE + clean} style={whole ? { flex: 1, minHeight: 400, border: 0, borderRadius: 0 } : { height: Math.min(520, 34 + rows * 24) }} />;
}
const STYLE = "<style>body{font:13px/20px sans-serif;margin:8px;color:#1a2129;background:#fff}table{border-collapse:collapse;font-size:12px}td,th{padding:2px 8px;border:1px solid #dfe3e8;text-align:right}img{max-width:100%}</style>";

export function Terminal({ text: all, error = false }: { text: string; error?: boolean }) {
  const shown = (all.length > MOST_TEXT ? all.slice(0, MOST_TEXT) : all).replace(/\n$/, "");
  return <pre className={classes.out} data-error={error || undefined}>{shown.split("\n").map((line, i) => <span key={`l${i.toString()}`}>{ansiPieces(line).map((p, k) => <span key={`p${k.toString()}`} data-ansi={p.color} style={p.bold ? { fontWeight: 620 } : undefined}>{p.text}</span>)}{"\n"}</span>)}{all.length > MOST_TEXT && <span className="muted">… {all.length - MOST_TEXT} more characters</span>}</pre>;
}
