// A run beside the list: what it is, its metrics and parameters, without leaving the place.
import { Button } from "@mantine/core";
import { useRouter } from "@tanstack/react-router";
import { CopyId } from "../components/CopyId";
import { Facts, Peek } from "../components/Peek";
import { Loaded } from "../components/Problem";
import { StatusMark } from "../components/StatusMark";
import { formatDuration, formatInstant, formatMetric } from "../lib/format";
import { type RunDetail, bestOf, runDuration, runHref, runStatus, usePage } from "../lib/tracking";

export function RunPeek({ id, onClose, experiments }: { id: string; onClose: () => void; experiments: ReadonlyMap<string, string> }) {
  const query = usePage<RunDetail>(`/runs/${id}`, {}, { topics: ["run"], keep: true });
  const router = useRouter();
  const d = query.data;
  return (
    <Peek title={d?.run.name ?? "Run"} onClose={onClose} footer={<Button variant="filled" onClick={() => router.history.push(runHref(id))}>Open run</Button>}>
      <Loaded query={query} what="The run">
        {({ run, metrics, params, datasets }) => (
          <div className="stack">
            <Facts facts={[
              ["Status", <StatusMark key="s" status={runStatus(run)} />], ["Experiment", experiments.get(run.experiment) ?? run.experiment_name], ["Started", formatInstant(run.start_ms)],
              ["Duration", formatDuration(runDuration(run))], run.user ? ["Owner", run.user] : null, datasets[0] ? ["Data", datasets.map((x) => `${x.name}@${x.digest.slice(0, 8)}`).join(", ")] : null, ["Id", <CopyId key="i" id={run.id} />],
            ]} />
            {metrics.length > 0 && (
              <table className="plain" aria-label="Metrics">
                <thead><tr><th style={{ padding: "0 8px 0 0" }}>Metric</th><th className="num">Last</th><th className="num" style={{ padding: "0 0 0 8px" }}>Best</th></tr></thead>
                <tbody>{metrics.slice(0, 40).map((m) => <tr key={m.key}><td className="cut" style={{ padding: 0, maxWidth: 140 }} title={m.key}>{m.key}</td><td className="num">{formatMetric(m.last)}</td><td className="num" style={{ padding: "0 0 0 8px" }}>{formatMetric(bestOf(m))}</td></tr>)}</tbody>
              </table>
            )}
            {params.length > 0 && <Facts facts={params.slice(0, 60).map((p) => [<span key={p.key} className="cut" title={p.key}>{p.key}</span>, p.value] as const)} />}
          </div>
        )}
      </Loaded>
    </Peek>
  );
}
