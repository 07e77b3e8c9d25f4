// Models: which exist, what serves where, how good it is and what the gate said last.
import { getRouteApi, Link } from "@tanstack/react-router";
import { FilterBar, SearchInput } from "../components/FilterBar";
import { PageHead } from "../components/PageHead";
import { Empty, Loaded } from "../components/Problem";
import { StatusMark } from "../components/StatusMark";
import { formatAgo, formatCount, formatInstant } from "../lib/format";
import { type ModelSummary, evaluationHref, quoteText, usePage, interval } from "../lib/tracking";
import { WORDS } from "../lib/words";
import { AliasTags, Served } from "./model-parts";

const route = getRouteApi("/shell/p/$project/models");
const FIRST = `import mlflow
mlflow.set_tracking_uri("${location.origin}")
mlflow.sklearn.log_model(model, name="model", registered_model_name="digits")`;

export function Models() {
  const { q } = route.useSearch();
  const navigate = route.useNavigate();
  // A plain word looks in names; anything with an operator is the registry's own filter language.
  const filter = !q ? "" : /[=<>]|like/i.test(q) ? q : `name ILIKE ${quoteText(`%${q}%`)}`;
  const query = usePage<{ models: ModelSummary[]; next?: string }>("/models", { q: filter, limit: 500 }, { topics: ["registered_model", "model_version", "endpoint", "verdict", "evaluation"], keep: true });
  const models = query.data?.models ?? [];
  return (
    <section className="page">
      <PageHead title="Models" note={query.data ? `${formatCount(models.length)}${query.data.next ? " +" : ""}` : undefined} />
      <FilterBar>
        <SearchInput label="Filter models" placeholder="Part of a name, or tags.team = 'vision'" value={q} width={340} error={query.isError && q ? query.error.message : undefined} onChange={(v) => void navigate({ search: (s) => ({ ...s, q: v }), replace: true })} />
      </FilterBar>
      <div className="page-fill">
        <div style={{ flex: 1, overflow: "auto" }}>
          <Loaded query={query} what="The list of models">
            {(data) => data.models.length === 0 ? (
              q ? <Empty title="No model matches">The filter is {q}.</Empty> : <Empty title="No model is registered yet" code={FIRST} label="Copy the snippet">A model gets its first version when a run registers one, or when a pipeline's gate passes and promotes it.</Empty>
            ) : (
              <table className="plain" aria-label="Models">
                <thead>
                  <tr>
                    <th>Model</th><th className="num">Versions</th><th title={WORDS.alias}>Aliases</th><th title="Endpoints and the version behind each">Serves</th>
                    <th title={`Of the version that serves, else of the newest. ${WORDS.interval}`}>Quality</th><th title={WORDS.verdict}>Last verdict</th><th className="num">Changed</th>
                  </tr>
                </thead>
                <tbody>{data.models.map((m) => <Row key={m.name} model={m} />)}</tbody>
              </table>
            )}
          </Loaded>
        </div>
      </div>
    </section>
  );
}

function Row({ model: m }: { model: ModelSummary }) {
  const e = m.evaluation;
  const { project } = route.useParams();
  return (
    <tr>
      <td><Link className="quiet" to="/p/$project/models/$name" params={{ project, name: m.name }}>{m.name}</Link></td>
      <td className="num">{formatCount(m.versions)}</td>
      <td><AliasTags aliases={Object.entries(m.aliases).map(([alias, v]) => `${alias} → v${v}`)} /></td>
      <td><Served deployed={m.deployed} /></td>
      <td>{e ? <a href={evaluationHref(e.id)}>{e.metric} {interval(e)} <span className="muted">on {e.part}</span></a> : <span className="muted">not evaluated</span>}</td>
      <td>{m.verdict ? <span title={m.verdict.reason}><StatusMark status={m.verdict.passed ? "passed" : "refused"} /> <span className="muted">{formatAgo(m.verdict.at_us / 1000)}</span></span> : <span className="muted">–</span>}</td>
      <td className="num muted" title={formatInstant(m.updated_ms)}>{formatAgo(m.updated_ms)}</td>
    </tr>
  );
}
