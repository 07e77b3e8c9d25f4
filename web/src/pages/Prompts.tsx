// Prompts: texts for language models, each with its versions.
import { getRouteApi, Link } from "@tanstack/react-router";
import { FilterBar, SearchInput } from "../components/FilterBar";
import { PageHead } from "../components/PageHead";
import { Empty, Loaded } from "../components/Problem";
import { formatAgo, formatCount, formatInstant } from "../lib/format";
import { usePrompts } from "../lib/prompts";
import { WORDS } from "../lib/words";

const route = getRouteApi("/shell/p/$project/prompts");
const FIRST = `import mlflow
mlflow.set_tracking_uri("${location.origin}")
mlflow.genai.register_prompt("answer", "Answer in one sentence: {{question}}")`;

export function Prompts() {
  const { q } = route.useSearch();
  const { project } = route.useParams();
  const navigate = route.useNavigate();
  const query = usePrompts(q);
  return (
    <section className="page">
      <PageHead title="Prompts" note={query.data ? `${formatCount(query.data.prompts.length)}${query.data.more ? " +" : ""}` : undefined} />
      <FilterBar><SearchInput label="Filter prompts" placeholder="Part of a name" value={q} width={280} onChange={(v) => void navigate({ search: (s) => ({ ...s, q: v }), replace: true })} /></FilterBar>
      <div className="page-fill">
        <div style={{ flex: 1, overflow: "auto" }}>
          <Loaded query={query} what="The list of prompts">
            {({ prompts }) => prompts.length === 0 ? (q ? <Empty title="No prompt matches">No name has “{q}” in it.</Empty> : <Empty title="No prompt is registered yet" code={FIRST} label="Copy the snippet">A prompt is a text with variables, kept in versions, so that what an application asks can be changed and compared without changing its code.</Empty>) : (
              <table className="plain" aria-label="Prompts">
                <thead><tr><th>Prompt</th><th title={WORDS.alias}>Aliases</th><th>Description</th><th>Tags</th><th className="num">Created</th><th className="num">Changed</th></tr></thead>
                <tbody>
                  {prompts.map((p) => (
                    <tr key={p.name}>
                      <td><Link className="quiet" to="/p/$project/prompts/$name" params={{ project, name: p.name }}>{p.name}</Link></td>
                      <td>{Object.entries(p.aliases).map(([alias, v]) => <span key={alias} className="tag" style={{ marginRight: 4 }}>{alias} → v{v}</span>)}{Object.keys(p.aliases).length === 0 && <span className="muted">–</span>}</td>
                      <td className="cut" style={{ maxWidth: 360 }} title={p.description}>{p.description || <span className="muted">–</span>}</td>
                      <td className="cut" style={{ maxWidth: 260 }}>{Object.entries(p.tags).map(([k, v]) => <span key={k} className="tag" style={{ marginRight: 4 }}>{k}: {v}</span>)}</td>
                      <td className="num muted" title={formatInstant(p.created_ms)}>{formatAgo(p.created_ms)}</td>
                      <td className="num muted" title={formatInstant(p.updated_ms)}>{formatAgo(p.updated_ms)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )}
          </Loaded>
        </div>
      </div>
    </section>
  );
}
