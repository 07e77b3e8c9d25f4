// One version: what it is made of, how it was judged, where it serves, and how to use it.
import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";
import { ActButton } from "../components/ActButton";
import { CopyBlock, CopyId } from "../components/CopyId";
import { PageHead } from "../components/PageHead";
import { Facts } from "../components/Peek";
import { Loaded } from "../components/Problem";
import { asked, type Promotable, PromoteSheet, RollbackSheet } from "../components/PromoteSheet";
import { VerdictTable } from "../components/Verdict";
import { useAction } from "../lib/actions";
import { formatAgo, formatInstant, fromUs, plural, shortId } from "../lib/format";
import { may, useMe } from "../lib/me";
import { type Evaluation, type VersionDetail, evaluationHref, runHref, usePage, interval } from "../lib/tracking";
import classes from "./Evaluation.module.css";
import { AliasTags, History, Served } from "./model-parts";

const route = getRouteApi("/shell/p/$project/models/$name/$version");

export function ModelVersion() {
  const { name, version } = route.useParams();
  const query = usePage<VersionDetail>(`/models/${encodeURIComponent(name)}/${encodeURIComponent(version)}`, {}, { topics: ["model_version", "endpoint", "verdict", "evaluation"], keep: true });
  return <section className="page"><Loaded query={query} what="The version">{(data) => <Body data={data} />}</Loaded></section>;
}

function Body({ data: { version: v, evaluations, verdicts, promotions, ready: all } }: { data: VersionDetail }) {
  const { project, name } = route.useParams();
  const writes = may(useMe(project).data, "write");
  const [promote, setPromote] = useState<Promotable | null>(null);
  const [back, setBack] = useState("");
  const live = v.deployed.filter((d) => d.live);
  const held = v.deployed.filter((d) => !d.live);
  const ready = all[0];
  useAction(ready && writes ? { id: "promote", label: `Promote v${v.version} to ${ready.environment}`, keys: "P", group: "Version", run: () => setPromote(asked(ready)) } : null);
  const verdict = verdicts[0];
  return (
    <>
      <PageHead kind={name} title={`v${v.version}`} note={<AliasTags aliases={v.aliases} />} facts={<><Served deployed={v.deployed} version={false} /><span title={formatInstant(v.created_ms)}>created {formatAgo(v.created_ms)}</span>{v.description && v.description !== verdict?.reason && <span className="cut" title={v.description}>{v.description}</span>}</>}>
        {live[0] && <ActButton needs="run-code" onClick={() => setBack(live[0]?.endpoint ?? "")}>Roll back</ActButton>}
        {held[0] && <ActButton needs="run-code" onClick={() => setBack(held[0]?.endpoint ?? "")}>Roll back to this</ActButton>}
        {ready && <ActButton needs="write" variant="filled" onClick={() => setPromote(asked(ready))}>Promote v{v.version} to {ready.environment}</ActButton>}
      </PageHead>
      <div className={`page-body ${classes.top}`}>
        <div className="stack">
          <section className="panel">
            <header><h2>The gate's verdict</h2>{verdict && <span className="muted" title={formatInstant(fromUs(verdict.at_us))}>{formatAgo(fromUs(verdict.at_us))}</span>}</header>
            <div className="panel-body">{verdict ? <VerdictTable verdict={verdict} challenger={`v${v.version}`} champion={verdict.champion ? `v${verdict.champion.split("/")[1] ?? ""}` : undefined} /> : <p className="muted">No gate has judged this version. A pipeline's evaluate and gate stages do.</p>}</div>
          </section>
          <section className="panel">
            <header><h2>Evaluations</h2><span className="muted">{plural(evaluations.length, "evaluation")}</span></header>
            {evaluations.length === 0 ? <p className="panel-body muted">None yet.</p> : <EvaluationTable evaluations={evaluations} />}
          </section>
          {promotions.length > 0 && <section className="panel"><header><h2>Promotions</h2></header><History promotions={promotions} /></section>}
        </div>
        <div className="stack">
          <section className="panel">
            <header><h2>Where it comes from</h2><span className="spacer" /><Link to="/p/$project/lineage" params={{ project }} search={{ id: `model_version:${name}/${v.version}` }}>Lineage</Link></header>
            <div className="panel-body">
              <Facts facts={[
                ["Run", v.run_id ? <a key="r" href={runHref(v.run_id)}>{v.run_name || shortId(v.run_id)}</a> : null],
                v.tags["lathe.pipeline_run"] ? ["Pipeline run", <Link key="p" to="/p/$project/lineage" params={{ project }} search={{ id: v.tags["lathe.pipeline_run"] }}>{shortId(v.tags["lathe.pipeline_run"])}</Link>] : null,
                ["Data", v.evaluation ? <Link key="d" className="mono" to="/p/$project/data/$id/{-$tab}" params={{ project, id: v.evaluation.data_version, tab: undefined }}>{shortId(v.evaluation.data_version)}</Link> : null],
                ["Logged model", v.model_id ? <CopyId key="m" id={v.model_id} /> : null],
                ["Source", <span key="s" className="mono">{v.source}</span>],
                ["Stage", v.stage === "None" ? null : v.stage],
                ["Changed", <span key="c" title={formatInstant(v.updated_ms)}>{formatAgo(v.updated_ms)}</span>],
                ...Object.entries(v.tags).filter(([k]) => !k.startsWith("lathe.")).map(([k, value]) => [k, value] as const),
              ]} />
            </div>
          </section>
          <section className="panel">
            <header><h2>How to use it</h2></header>
            <div className="panel-body stack">
              <CopyBlock label="Copy the Python" text={`import mlflow\nmlflow.set_tracking_uri("${location.origin}")\nmodel = mlflow.pyfunc.load_model("models:/${name}/${v.version}")\nmodel.predict(rows)`} />
              {live[0] && <CopyBlock label="Copy the curl" text={`curl ${location.origin}/endpoints/${live[0].endpoint}/invocations \\\n  -H 'Content-Type: application/json' -d '{"instances": [[…]]}'`} />}
              <CopyBlock label="Copy the command" text={`lathe lineage ${name}/${v.version}`} />
            </div>
          </section>
        </div>
      </div>
      <PromoteSheet of={promote} onClose={() => setPromote(null)} />
      <RollbackSheet endpoint={back} onClose={() => setBack("")} />
    </>
  );
}

function EvaluationTable({ evaluations }: { evaluations: readonly Evaluation[] }) {
  return (
    <table className="plain" aria-label="Evaluations of this version" style={{ whiteSpace: "nowrap" }}>
      <thead><tr><th>Rows</th><th>Why</th><th className="num">Value</th><th className="num">When</th></tr></thead>
      <tbody>
        {evaluations.map((e) => (
          <tr key={e.id}>
            <td><a className="quiet" href={evaluationHref(e.id)}>{e.part}</a> <span className="muted">{plural(e.rows, "row")}</span></td>
            <td>{e.purpose === "select" ? "candidate" : e.side}</td>
            <td className="num">{e.metric} {interval(e)}</td>
            <td className="num muted" title={formatInstant(fromUs(e.created_us))}>{formatAgo(fromUs(e.created_us))}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
