// The project's data planes: where each is, whether it is in touch, what it still lacks, what it has yet to send.
import { Button } from "@mantine/core";
import { IconRefresh, IconTrash } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { ActButton } from "../../components/ActButton";
import { ConfirmSheet } from "../../components/ConfirmSheet";
import { CopyId } from "../../components/CopyId";
import { type Column, DataGrid } from "../../components/DataGrid";
import { Facts, Peek } from "../../components/Peek";
import { Empty } from "../../components/Problem";
import { StatusMark } from "../../components/StatusMark";
import { currentProject, refresh, send, useApi } from "../../lib/api";
import { formatAgo, formatCount, formatInstant, fromUs, plural } from "../../lib/format";
import { placeOf } from "../../lib/places";
import { useArrayRows } from "../../lib/rows";
import { toast } from "../../lib/toast";
import { WORDS } from "../../lib/words";
import { behind, certificateState, planeState } from "./planes";
import type { Plane } from "./types";

const START = `lathe user add edge --service --role plane
lathe token create --user edge                      # the secret is shown once
LATHE_TOKEN_FILE=token lathe serve --control ${location.origin}    # on the other machine`;

const COLUMNS: Column<Plane>[] = [
  { key: "name", label: "Plane", width: "minmax(110px, 1.2fr)", cell: (p) => <b>{p.name}</b>, raw: (p) => p.name },
  { key: "state", label: "State", width: "minmax(124px, 0.9fr)", hint: "Lost: it has not reported for 30 s. Behind: it does not serve what is promoted yet.", cell: (p) => <StatusMark {...planeState(p)} />, title: (p) => p.endpoints.find((e) => e.problem)?.problem },
  { key: "seen", label: "Last contact", width: "84px", right: true, cell: (p) => formatAgo(fromUs(p.seen_us)), title: (p) => formatInstant(fromUs(p.seen_us)) },
  { key: "endpoints", label: "Endpoints", width: "76px", right: true, hint: "Those that serve what is promoted, of all of the project", cell: (p) => `${p.endpoints.length - behind(p).length} of ${p.endpoints.length}` },
  { key: "address", label: "Address", width: "minmax(130px, 1.2fr)", cell: (p) => <span className="mono">{p.address}</span>, raw: (p) => p.address, title: (p) => p.address },
  { key: "version", label: "Version", width: "64px", cell: (p) => p.version },
  { key: "sent", label: "Captures sent", width: "92px", right: true, hint: "Requests, since it started", cell: (p) => formatCount(p.captures_sent) },
  { key: "waiting", label: "Waiting", width: "minmax(96px, 0.7fr)", hint: "Since when the oldest captured request waits to be sent; lost ones were refused here or did not fit its spool", cell: (p) => <>{p.captures_waiting_since_us ? <StatusMark status="queued" label={formatAgo(fromUs(p.captures_waiting_since_us))} /> : <span className="muted">none</span>}{p.captures_lost > 0 && <span style={{ color: "var(--fail)" }}> {formatCount(p.captures_lost)} lost</span>}</> },
  { key: "certificate", label: "Certificate ends", width: "minmax(110px, 0.8fr)", hint: "The first to end of its own certificates", cell: (p) => <Certificate p={p} />, title: (p) => (p.certificate_ends_us ? formatInstant(fromUs(p.certificate_ends_us)) : "It has none of its own") },
];

function Certificate({ p }: { p: Plane }) {
  const { status, label } = certificateState(p.certificate_ends_us, Date.now());
  return status ? <StatusMark status={status} label={label} /> : <span className="muted">{label}</span>;
}

export function Planes({ q, peek }: { q: string; peek: string }) {
  const navigate = useNavigate();
  const set = (part: { q?: string; peek?: string }) => void navigate({ to: ".", search: (s: object) => ({ ...s, ...part }) as never, replace: true });
  const query = useApi<{ planes: Plane[] }>("/planes", undefined, { topics: ["endpoint", "revision"] });
  const shown = useMemo(() => query.data?.planes.filter((p) => `${p.name} ${p.address} ${p.version}`.toLowerCase().includes(q.toLowerCase())), [query.data, q]);
  const rows = useArrayRows(shown, { error: query.error, retry: () => void query.refetch() });
  const chosen = query.data?.planes.find((p) => p.id === peek);
  const [forgetting, setForgetting] = useState<Plane>();
  return (
    <>
      <DataGrid
        label="Data planes" columns={COLUMNS} rows={rows} id={(p) => p.id} name={(p) => p.name} peek={peek || undefined} onPeek={(id) => set({ peek: id ?? "" })} mark={(p) => (p.connected && p.current ? undefined : "attention")}
        empty={q ? <Empty title={`No plane matches "${q}"`}><Button onClick={() => set({ q: "" })}>Clear the filter</Button></Empty> : <Empty title="No data plane yet" code={START}>A data plane answers this project's endpoints on another machine, follows each promotion and sends back what it was asked. It is there with its first report.</Empty>}
        panel={chosen && (
          <Peek title={chosen.name} onClose={() => set({ peek: "" })} width={360} footer={<><Button leftSection={<IconRefresh size={14} />} loading={query.isFetching} onClick={() => void query.refetch()}>Ask again</Button><ActButton needs="admin" leftSection={<IconTrash size={14} />} onClick={() => setForgetting(chosen)}>Forget…</ActButton></>}>
            <Facts
              facts={[
                ["State", <StatusMark key="s" {...planeState(chosen)} />], ["Last contact", `${formatAgo(fromUs(chosen.seen_us))}, ${formatInstant(fromUs(chosen.seen_us))}`], ["Address", <span key="a" className="mono">{chosen.address}</span>],
                ["Version", chosen.version], ["Started", formatInstant(fromUs(chosen.started_us))], ["Is", chosen.principal], [<span key="p" title="Events of this server up to this one are served there">Event</span>, <span key="e" className="mono">{chosen.position}</span>],
                ["Captures", `${plural(chosen.captures_sent, "request")} sent, ${formatCount(chosen.captures_lost)} lost since it started`], ["Waiting", chosen.captures_waiting_since_us ? `since ${formatInstant(fromUs(chosen.captures_waiting_since_us))}` : "nothing"],
                ["Certificate", <Certificate key="c" p={chosen} />], ["Id", <CopyId key="i" id={chosen.id} />],
              ]}
            />
            <table className="plain" aria-label={`Endpoints at ${chosen.name}`}>
              <thead><tr><th>Endpoint</th><th className="num" title={WORDS.revision}>Serves</th><th className="num">Wanted</th><th><span className="hidden">State</span></th></tr></thead>
              <tbody>
                {chosen.endpoints.map((e) => (
                  <tr key={e.name}>
                    <td><a href={placeOf(currentProject(), "endpoint", e.name)}>{e.name}</a>{e.problem && <div className="small" style={{ color: "var(--fail)" }}>{e.problem}</div>}</td>
                    <td className="num">{e.revision || "–"}</td><td className="num">{e.wanted_revision || "–"}</td><td><StatusMark status={e.problem ? "failed" : e.current ? "serving" : "queued"} bare label={e.problem ? "Cannot serve it" : e.current ? "Current" : "Behind"} /></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Peek>
        )}
      />
      {forgetting && (
        <ConfirmSheet
          opened onClose={() => setForgetting(undefined)} title={`Forget ${forgetting.name}`} confirm="Forget it"
          run={async () => {
            await send(`/planes/${forgetting.id}`, undefined, "DELETE");
            toast(`${forgetting.name} is forgotten`);
            set({ peek: "" });
            await refresh("/planes");
          }}
        >
          <p>{forgetting.connected ? "It is in touch: with its next report it is listed again. To keep it away, revoke its token." : "It is taken off this list. What it has captured and not sent comes when it reports again."}</p>
        </ConfirmSheet>
      )}
    </>
  );
}
