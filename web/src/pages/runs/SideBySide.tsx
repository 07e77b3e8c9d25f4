// One file of several runs beside one another: the same plot, the same report.
import { Select } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { type FileEntry, FileView, runFiles } from "../../components/Artifacts";
import { currentProject } from "../../lib/api";
import { type ComparedRun, runColor, runHref } from "../../lib/tracking";
import classes from "../Compare.module.css";

const MOST_RUNS = 6;
const MOST_FOLDERS = 40; // looked into for their files
const MOST_FILES = 400;

async function filesOf(id: string): Promise<string[]> {
  const source = runFiles(id);
  const files: string[] = [];
  let folders = [""];
  let asked = 0;
  while (folders.length && asked < MOST_FOLDERS && files.length < MOST_FILES) {
    asked += folders.length;
    const found: FileEntry[] = (await Promise.all(folders.slice(0, 8).map((f) => source.list(f)))).flat();
    files.push(...found.filter((f) => !f.is_dir).map((f) => f.path));
    folders = [...folders.slice(8), ...found.filter((f) => f.is_dir).map((f) => f.path)];
  }
  return files.slice(0, MOST_FILES);
}

export function SideBySide({ runs, path, onPath }: { runs: readonly ComparedRun[]; path: string; onPath: (path: string) => void }) {
  const shown = runs.slice(0, MOST_RUNS);
  const ids = shown.map((r) => r.id);
  const listed = useQuery({ queryKey: [currentProject(), "side-by-side", ids.join()], queryFn: async () => Promise.all(ids.map(filesOf)), meta: { topics: [] } });
  // Files that most of the runs have come first.
  const paths = useMemo(() => {
    const count = new Map<string, number>();
    for (const files of listed.data ?? []) for (const f of files) count.set(f, (count.get(f) ?? 0) + 1);
    return [...count].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  }, [listed.data]);
  if (paths.length === 0) return null;
  return (
    <section aria-label="A file of each run" className="stack">
      <div className="row wrap">
        <h2 className="panel-title">Files side by side</h2>
        <Select aria-label="File" placeholder="Choose a file" searchable clearable w={320} value={path || null} data={paths.map(([p, n]) => ({ value: p, label: n === ids.length ? p : `${p} (${n} of ${ids.length})` }))} onChange={(p) => onPath(p ?? "")} />
        {runs.length > MOST_RUNS && path && <span className="muted small">of the first {MOST_RUNS} runs</span>}
      </div>
      {path && (
        <div className={classes.beside}>
          {shown.map((r, i) => (
            <section key={r.id} className={`panel ${classes.file}`} aria-label={r.name}>
              <header><i className={classes.swatch} style={{ background: `var(${runColor(r.id)})` }} /><a className="quiet cut" href={runHref(r.id)}>{r.name}</a></header>
              {listed.data?.[i]?.includes(path) ? <FileView source={runFiles(r.id)} path={path} bare /> : <p className="muted panel-body">It has no such file.</p>}
            </section>
          ))}
        </div>
      )}
    </section>
  );
}
