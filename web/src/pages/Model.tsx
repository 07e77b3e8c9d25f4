// One model: what serves now, every version with how good it is and what the gate said, and what waits to be promoted.
import { Button } from "@mantine/core";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";
import { ActButton } from "../components/ActButton";
import { FilterBar, SearchInput } from "../components/FilterBar";
import { PageHead } from "../components/PageHead";
import { Empty, Loaded } from "../components/Problem";
import { asked, type Promotable, PromoteSheet, RollbackSheet } from "../components/PromoteSheet";
import { StatusMark } from "../components/StatusMark";
import { Tabs } from "../components/Tabs";
import { useAction } from "../lib/actions";
import { may, useMe } from "../lib/me";
import { formatAgo, formatInstant, fromUs, plural, shortId } from "../lib/format";
import { type ModelDetail, type Preview, runHref, usePage } from "../lib/tracking";
import { WORDS } from "../lib/words";
import { AuditLines, DID, WHEN, WHO } from "./audit/AuditLines";
import { AliasTags, EndpointLink, History, Quality, Served, VerdictMark } from "./model-parts";

const route = getRouteApi("/shell/p/$project/models/$name");

export function Model() {
  const { name } = route.useParams();
  const query = usePage<ModelDetail>(`/models/${encodeURIComponent(name)}`, {}, { topics: ["registered_model", "model_version", "endpoint", "verdict", "evaluation"], keep: true });
  return (
    <section className="page">
      <Loaded query={query} what="The model">{(data) => <Body data={data} />}</Loaded>
    </section>
  );
}

function Body({ data }: { data: ModelDetail }) {
  const { project, name } = route.useParams();
  const { tab } = route.useSearch();
  const me = useMe(project).data;
  const [writes, runs] = [may(me, "write"), may(me, "run-code")];
  const [promote, setPromote] = useState<Promotable | null>(null);
  const [back, setBack] = useState("");
  const { model, versions, promotions, ready } = data;
  const live = versions.flatMap((v) => v.deployed.filter((d) => d.live).map((d) => ({ ...d, v })));
  const canGoBack = new Set(versions.flatMap((v) => v.deployed.filter((d) => !d.live).map((d) => d.endpoint)));
  const next = ready[0];
  useAction(next && writes ? { id: "promote", label: `Promote v${next.then?.version ?? ""} to ${next.environment}`, keys: "P", group: "Model", run: () => setPromote(asked(next)) } : null);
  useAction(live[0] && canGoBack.has(live[0].endpoint) && runs ? { id: "rollback", label: `Roll back ${live[0].endpoint}`, group: "Model", run: () => setBack(live[0]?.endpoint ?? "") } : null);
  return (
    <>
      <PageHead
        kind="Model" title={name} note={plural(data.count, "version")}
        facts={<><AliasTags aliases={Object.entries(model.aliases).map(([a, v]) => `${a} → v${v}`)} />{model.description && <span className="cut" title={model.description}>{model.description}</span>}{Object.entries(model.tags).map(([k, v]) => <span key={k} className="tag">{k}: {v}</span>)}</>}
      >
        {live[0] && canGoBack.has(live[0].endpoint) && <ActButton needs="run-code" onClick={() => setBack(live[0]?.endpoint ?? "")}>Roll back</ActButton>}
        {next && <ActButton needs="write" variant="filled" onClick={() => setPromote(asked(next))}>Promote v{next.then?.version} to {next.environment}</ActButton>}
      </PageHead>
      <Tabs label="Model" active={tab || "versions"} to={() => `/p/${encodeURIComponent(project)}/models/${encodeURIComponent(name)}`} search={(id) => ({ tab: id === "audit" ? id : "", peek: "" })} tabs={[{ id: "versions", label: "Versions", count: data.count }, { id: "audit", label: "Audit" }]} />
      {tab === "audit" ? <ModelAudit name={name} /> : <div className="page-body stack">
        {ready.map((p) => <Ready key={p.endpoint} preview={p} onPromote={() => setPromote(asked(p))} disabled={!writes} />)}
        {live.length > 0 && (
          <section className="panel">
            <header><h2>Serving now</h2></header>
            <table className="plain">
              <thead><tr><th>Endpoint</th><th>Environment</th><th>Version</th><th>Quality</th><th className="num">Revision</th><th>Since</th><th><span className="hidden">What can be done</span></th></tr></thead>
              <tbody>
                {live.map((d) => (
                  <tr key={d.endpoint}>
                    <td><span className="row" style={{ gap: 6 }}><StatusMark status="serving" bare /><EndpointLink name={d.endpoint} /></span></td>
                    <td>{d.environment}</td>
                    <td><Link className="quiet" to="/p/$project/models/$name/$version" params={{ project, name, version: String(d.version) }}>v{d.version}</Link></td>
                    <td>{d.v.evaluation && `${d.v.evaluation.metric} `}<Quality evaluation={d.v.evaluation} /></td>
                    <td className="num">{d.revision}</td>
                    <td className="muted" title={formatInstant(fromUs(d.since_us))}>{formatAgo(fromUs(d.since_us))}</td>
                    <td className="num">{canGoBack.has(d.endpoint) && <ActButton needs="run-code" size="compact-xs" onClick={() => setBack(d.endpoint)} aria-label={`Roll back ${d.endpoint}`}>Roll back</ActButton>}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </section>
        )}
        <section className="panel" style={{ overflowX: "auto" }}>
          <header><h2>Versions</h2><span className="muted">newest first</span></header>
          {versions.length === 0 ? <Empty title="No version yet">The first one comes with a registration, or with a promotion of what passed the gate.</Empty> : (
            <table className="plain" aria-label="Versions">
              <thead><tr><th>Version</th><th title={WORDS.alias}>Aliases</th><th title={WORDS.interval}>Quality</th><th>On</th><th title={WORDS.verdict}>Gate</th><th>Data</th><th>Run</th><th>Serves</th><th className="num">Created</th></tr></thead>
              <tbody>
                {versions.map((v) => (
                  <tr key={v.version}>
                    <td><Link className="quiet" to="/p/$project/models/$name/$version" params={{ project, name, version: String(v.version) }}>v{v.version}</Link></td>
                    <td><AliasTags aliases={v.aliases} /></td>
                    <td><Quality evaluation={v.evaluation} /></td>
                    <td className="muted">{v.evaluation ? `${v.evaluation.metric}, ${v.evaluation.part}` : "–"}</td>
                    <td><VerdictMark verdict={v.verdict} /></td>
                    <td className="mono">{v.evaluation ? <Link to="/p/$project/data/$id/{-$tab}" params={{ project, id: v.evaluation.data_version, tab: undefined }}>{shortId(v.evaluation.data_version)}</Link> : "–"}</td>
                    <td>{v.run_id ? <a href={runHref(v.run_id)}>{v.run_name || shortId(v.run_id)}</a> : "–"}</td>
                    <td><Served deployed={v.deployed} version={false} /></td>
                    <td className="num muted" title={formatInstant(v.created_ms)}>{formatAgo(v.created_ms)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </section>
        {promotions.length > 0 && <section className="panel"><header><h2>Promotions and rollbacks</h2></header><History promotions={promotions} /></section>}
      </div>}
      <PromoteSheet of={promote} onClose={() => setPromote(null)} />
      <RollbackSheet endpoint={back} onClose={() => setBack("")} />
    </>
  );
}

const AUDIT_COLUMNS = [WHEN, WHO, DID];
const AUDIT_TOPICS = ["registered_model", "model_version", "endpoint"];
/** Who made it, tagged it, moved an alias or a stage, promoted or deleted, and when. */
function ModelAudit({ name }: { name: string }) {
  const { actor, kind, peek } = route.useSearch();
  const navigate = route.useNavigate();
  const go = (change: { actor?: string; kind?: string; peek?: string }) => void navigate({ search: (s) => ({ ...s, ...change }), replace: true });
  return (
    <>
      <FilterBar>
        <SearchInput label="Who" placeholder="Who: user:ann" value={actor} onChange={(value) => go({ actor: value })} width={200} />
        <SearchInput label="Did" placeholder="Did: alias.set, model_version" value={kind} onChange={(value) => go({ kind: value })} width={240} />
      </FilterBar>
      <AuditLines
        label={`Audit of ${name}`} path={`/models/${encodeURIComponent(name)}/audit`} params={{ actor, kind }} columns={AUDIT_COLUMNS} topics={AUDIT_TOPICS} peek={peek} onPeek={(id) => go({ peek: id })}
        empty={actor || kind ? <Empty title="No line matches">An actor is written whole, as in user:ann; an act whole or its first word, as in alias.</Empty> : <Empty title="Nothing is known of its past">Each change of the model leaves a line here.</Empty>}
      />
    </>
  );
}

function Ready({ preview: p, onPromote, disabled }: { preview: Preview; onPromote: () => void; disabled: boolean }) {
  return (
    <section className="panel" aria-label="Ready to promote">
      <div className="row panel-body" style={{ alignItems: "flex-start" }}>
        <StatusMark status="passed" bare />
        <div style={{ flex: 1, minWidth: 0 }}>
          <b>v{p.then?.version} passed the gate and does not serve in {p.environment} yet</b> <span className="muted">{formatAgo(fromUs(p.verdict?.at_us))}</span>
          <p className="muted">{p.verdict?.reason.replace(/^passed: /, "")}</p>
        </div>
        <Button disabled={disabled} onClick={onPromote}>Look and promote</Button>
      </div>
    </section>
  );
}
