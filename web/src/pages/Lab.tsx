// Who comes: somebody who wants a notebook beside the data. Next: start it, open it, stop it.
import { Button, NumberInput, TextInput } from "@mantine/core";
import { IconExternalLink, IconPlayerPlay, IconPlayerStop } from "@tabler/icons-react";
import { getRouteApi } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { ActButton } from "../components/ActButton";
import { PageHead } from "../components/PageHead";
import { Facts } from "../components/Peek";
import { Loaded } from "../components/Problem";
import { StatusMark } from "../components/StatusMark";
import { ask, refresh, send, useApi } from "../lib/api";
import { formatAgo, formatDuration, formatInstant, fromUs, plural } from "../lib/format";
import { may, useMe } from "../lib/me";
import { toastError } from "../lib/toast";

const route = getRouteApi("/shell/p/$project/lab");
interface Report {
  owner: string; state: "stopped" | "starting" | "running" | "stopping" | "failed"; url: string; id: string; root: string; program: string; memory_mib: number;
  idle_minutes: number; started_us: number; ended_us: number; active_us: number; kernels: number; busy: number; terminals: number; detail: string;
}
const MARKS = { stopped: "idle", starting: "loading", running: "running", stopping: "loading", failed: "failed" } as const;
const WORDS = { stopped: "Stopped", starting: "Starting", running: "Running", stopping: "Stopping", failed: "Failed" };

export function Lab() {
  const { project } = route.useParams();
  const me = useMe(project);
  const lab = useApi<Report>("/lab", undefined, { topics: ["lab", "notebook"] });
  const [root, setRoot] = useState("");
  const [idle, setIdle] = useState<number | string>("");
  const [busy, setBusy] = useState(false);
  const state = lab.data?.state;
  const runs = state === "running" || state === "starting" || state === "stopping";
  const allowed = may(me.data, "run-code");
  async function act(what: () => Promise<unknown>, failed: string) {
    setBusy(true);
    try {
      await what();
      await refresh("/lab");
    } catch (e) {
      toastError(failed, e);
    }
    setBusy(false);
  }
  const start = () => act(() => send("/lab", { ...(root ? { root } : {}), ...(idle ? { idle_minutes: Number(idle) } : {}) }), "The notebook server was not started");
  const stop = () => act(() => send("/lab", undefined, "DELETE"), "The notebook server was not stopped");
  return (
    <section className="page">
      <PageHead title="Lab" note={state && <StatusMark status={MARKS[state]} label={WORDS[state]} />}>
        {runs ? (
          <>
            <Button leftSection={<IconPlayerStop size={14} />} loading={busy} disabled={state === "stopping"} onClick={() => void stop()}>Stop</Button>
            <Button component="a" variant="filled" href={lab.data?.url} target="_blank" rel="noreferrer" leftSection={<IconExternalLink size={14} />} disabled={state !== "running"}>Open JupyterLab</Button>
          </>
        ) : <ActButton needs="run-code" variant="filled" leftSection={<IconPlayerPlay size={14} />} loading={busy} disabled={!lab.data} onClick={() => void start()}>Start</ActButton>}
      </PageHead>
      <div className="page-body stack">
        <Loaded query={lab} what="The notebook server">
          {(report) => (
            <>
              <section className="panel" style={{ maxWidth: 760 }}>
                <header><h2>Your notebook server</h2></header>
                <div className="panel-body stack">
                  {runs ? (
                    <Facts facts={[
                      ["Address", <a key="u" href={report.url} target="_blank" rel="noreferrer">{report.url}</a>],
                      ["Folder", <span key="r" className="mono">{report.root}</span>],
                      ["Kernels", `${plural(report.kernels, "kernel")}, ${report.busy} busy · ${plural(report.terminals, "terminal")}`],
                      ["Started", <span key="s" title={formatInstant(fromUs(report.started_us))}>{formatAgo(fromUs(report.started_us))}</span>],
                      ["Last work", formatAgo(fromUs(report.active_us))],
                      ["Stops after", `${formatDuration(report.idle_minutes * 60_000)} without work; a kernel that computes is work, an open tab is not`],
                      ["Memory", report.memory_mib ? `${report.memory_mib} MiB at most` : "no limit"],
                      !!report.detail && ["Note", report.detail],
                    ]} />
                  ) : (
                    <>
                      <p className="muted">JupyterLab as you have installed it, started on the server's machine behind this login. Its kernels find this server: MLflow's and Lathe's addresses and a token are set.</p>
                      {(report.detail || report.ended_us > 0) && <p><StatusMark status={state === "failed" ? "failed" : "idle"} label={report.detail || "stopped"} /> <span className="muted">{formatAgo(fromUs(report.ended_us))}</span></p>}
                      <div className="row wrap">
                        <TextInput label="Folder" description="Whole path; else the server's own" placeholder={report.root || undefined} value={root} onChange={(e) => setRoot(e.currentTarget.value)} w={360} />
                        <NumberInput label="Stop after" description="Minutes without work" placeholder={String(report.idle_minutes || 180)} min={1} value={idle} onChange={setIdle} w={160} />
                      </div>
                    </>
                  )}
                </div>
              </section>
              {allowed && report.id && <LabLog key={`${report.id} ${report.state}`} />}
            </>
          )}
        </Loaded>
      </div>
    </section>
  );
}

/** The end of its log, as it was when its state last changed. */
function LabLog() {
  const [text, setText] = useState("");
  useEffect(() => {
    const end = new AbortController();
    ask("/lab/log", { signal: end.signal, headers: { accept: "text/plain" } }).then((r) => r.text()).then(setText).catch(() => {});
    return () => end.abort();
  }, []);
  if (!text) return null;
  return <section className="panel" aria-label="Log" style={{ flex: 1, minHeight: 260, display: "flex", flexDirection: "column" }}><header><h2>Log</h2></header><pre style={{ margin: 0, padding: "0 12px 12px", overflow: "auto", maxHeight: 420, fontSize: 12 }}>{text}</pre></section>;
}
