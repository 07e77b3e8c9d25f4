// What a graph is made of, and what each of its steps does: drawn, and as a table; or the way that one request took.
import { Button } from "@mantine/core";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { Graph } from "../../components/Graph";
import { Problem, Waiting } from "../../components/Problem";
import { StatusMark } from "../../components/StatusMark";
import { currentProject, useApi } from "../../lib/api";
import { MISSING, formatCount, formatDuration, formatPercent } from "../../lib/format";
import { placeOf } from "../../lib/places";
import classes from "./endpoints.module.css";
import { came, graphItems, placed, routerText, ruleText, shareText } from "./graph";
import type { EndpointPage, GraphFacts, RequestsAnswer, Route } from "./types";

const route = getRouteApi("/shell/p/$project/endpoints/$name/{-$tab}");
const seconds = (v: number | null | undefined) => (v === null || v === undefined ? MISSING : formatDuration(v * 1000));

export function GraphView({ page }: { page: EndpointPage }) {
  const { peek } = route.useSearch();
  const navigate = route.useNavigate();
  const name = encodeURIComponent(page.name);
  const query = useApi<GraphFacts>(`/endpoints/${name}/graph`, undefined, { topics: ["endpoint", "revision", "window"] });
  const request = useApi<RequestsAnswer>(`/pages/endpoints/${name}/requests`, { id: peek, limit: 1 }, { enabled: !!peek });
  const way = peek ? request.data?.requests[0]?.route : undefined;
  if (query.isError) return <Problem error={query.error} retry={() => void query.refetch()} what="The graph" />;
  if (!query.data || (peek && request.isPending)) return <Waiting />;
  return <Drawn graph={query.data} way={way} peek={peek} onAll={() => navigate({ search: (s) => ({ ...s, peek: "" }) })} />;
}

function Drawn({ graph, way, peek, onAll }: { graph: GraphFacts; way?: Route; peek: string; onAll: () => void }) {
  const items = useMemo(() => graphItems(graph, way), [graph, way]);
  const [chosen, setChosen] = useState<string | null>(null);
  return (
    <div className={classes.body}>
      {graph.problem && <p role="alert" style={{ color: "var(--fail)" }}>It cannot answer: {graph.problem}</p>}
      {peek && (
        <div className={classes.bar}>
          <span>{way ? <>The way of request <a className="mono" href={`${placeOf(currentProject(), "endpoint", graph.endpoint)}/requests?peek=${peek}`}>{peek.slice(-8)}</a></> : "Nothing is known of this request's way"}</span>
          <Button onClick={onAll}>All requests</Button>
        </div>
      )}
      <div className={`panel ${classes.graph}`}><Graph label={`Graph of ${graph.endpoint}`} items={items} chosen={chosen ?? undefined} onChoose={setChosen} width={176} /></div>
      <Steps graph={graph} way={way} chosen={chosen} />
    </div>
  );
}

function Steps({ graph, way, chosen }: { graph: GraphFacts; way?: Route; chosen: string | null }) {
  const { steps } = useMemo(() => placed(graph), [graph]);
  const project = currentProject();
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
    <section className={`panel ${classes.wide}`} tabIndex={0} aria-label="Steps">
      <header><h2>Steps</h2><span className="muted small">{way ? "of this request" : graph.requests === undefined ? "" : `${formatCount(graph.requests)} requests, ${formatCount(graph.rows)} rows since the server started`}</span></header>
      <table className="plain">
        <thead><tr><th>Step</th><th>Answers with</th><th>When</th>{way ? <th>Asked</th> : <><th className="num" title="Of the graph's requests, those that came to it">Requests</th><th className="num" title="Of the graph's rows, those that it answered">Rows</th><th className="num">p50</th><th className="num">p99</th><th className="num">Errors</th></>}</tr></thead>
        <tbody>
          {steps.map((s) => {
            const { path, step, node, numbers: n } = s;
            const ran = way?.steps.find((r) => r.path === path);
            const model = ran ?? step;
            return (
              <tr key={path} data-on={path === chosen || undefined}>
                <td style={{ paddingLeft: 12 + s.depth * 18 }} title={path}>{node ? <span title={routerText(node)}><b>{step.name}</b> <span className="muted">{node.router}{node.combine && node.router === "ensemble" && `, ${node.combine}`}</span></span> : step.endpoint ? <a href={placeOf(project, "endpoint", step.endpoint)}>{step.name}</a> : step.name}</td>
                <td>{!node && (model.model ? <a href={placeOf(project, "model_version", `${model.model}/${model.version}`)}>{model.model}/{model.version}</a> : <StatusMark status="failed" label="serves nothing" />)}{!way && step.ready === false && step.model && <StatusMark status="failed" label="not ready" />}</td>
                <td className={classes.when}>{step.condition && <>if <code>{step.condition}</code>{ruleText(s) && ", "}</>}{ruleText(s) || (!step.condition && <span className="muted">always</span>)}</td>
                {way ? <td><StatusMark status={came(way, path) ? "finished" : "skipped"} label={came(way, path) ? "Yes" : "No"} /></td> : (
                  <>
                    <td className="num" title={n && formatCount(n.requests)}>{shareText(n?.requests, graph.requests)}</td><td className="num" title={n && formatCount(n.rows)}>{shareText(n?.rows, graph.rows)}</td>
                    <td className="num">{seconds(n?.p50)}</td><td className="num">{seconds(n?.p99)}</td><td className="num">{n?.requests ? <span style={n.failures ? { color: "var(--fail)" } : undefined}>{formatPercent(n.failures / n.requests)}</span> : MISSING}</td>
                  </>
                )}
              </tr>
            );
          })}
        </tbody>
      </table>
    </section>
  );
}
