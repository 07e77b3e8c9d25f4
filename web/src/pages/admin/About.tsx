// The server itself: version, store, since when; and where its numbers are.
import { Facts } from "../../components/Peek";
import { Loaded } from "../../components/Problem";
import { useApi } from "../../lib/api";
import { formatAgo, formatCount, formatInstant, fromUs } from "../../lib/format";

interface Status { version: string; pid: number; started_us: number; dir: string; store: string; connections: number }

export function About() {
  const status = useApi<Status>("/status");
  return (
    <div className="page-body">
      <Loaded query={status} what="The server's state">
        {(s) => (
          <section className="panel" style={{ maxWidth: 640 }}>
            <header><h2>This server</h2></header>
            <div className="panel-body">
              <Facts facts={[
                ["Version", s.version],
                ["Running since", <span key="t" title={formatInstant(fromUs(s.started_us))}>{formatAgo(fromUs(s.started_us))}</span>],
                ["Store", s.store === "sqlite" ? "SQLite" : "PostgreSQL"],
                ["Folder", s.dir === undefined ? null : <span key="d" className="mono">{s.dir}</span>],
                ["Process", s.pid === undefined ? null : String(s.pid)],
                ["Connections", s.connections === undefined ? null : formatCount(s.connections)],
                ["Metrics", <a key="m" href="/metrics" target="_blank" rel="noreferrer">/metrics</a>],
                ["API", <a key="a" href="/api/lathe/v1/openapi.json" target="_blank" rel="noreferrer">openapi.json</a>],
                ["Licences", <a key="l" href="/licences.txt" target="_blank" rel="noreferrer">of what these pages are made of</a>],
              ]} />
            </div>
          </section>
        )}
      </Loaded>
    </div>
  );
}
