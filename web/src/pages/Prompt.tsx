// One prompt: its versions at the left, the chosen one's text, and what changed since another, word by word.
import { Select } from "@mantine/core";
import { getRouteApi } from "@tanstack/react-router";
import { type ReactNode, useMemo } from "react";
import { CopyBlock } from "../components/CopyId";
import { JsonView } from "../components/JsonView";
import { PageHead } from "../components/PageHead";
import { Empty, Loaded } from "../components/Problem";
import { copyText } from "../lib/copy";
import { diffWords } from "../lib/diff";
import { formatAgo, formatInstant, plural } from "../lib/format";
import { type Prompt as PromptInfo, type PromptVersion, asText, usePrompt, variablesOf } from "../lib/prompts";
import { maybeJson } from "../lib/traces";
import classes from "./prompts/prompts.module.css";

const route = getRouteApi("/shell/p/$project/prompts/$name");

export function Prompt() {
  const { name } = route.useParams();
  const query = usePrompt(name);
  return <section className="page"><Loaded query={query} what="The prompt">{(data) => <Body {...data} />}</Loaded></section>;
}

function Body({ prompt, versions }: { prompt: PromptInfo; versions: PromptVersion[] }) {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const set = (change: Partial<typeof search>) => void navigate({ search: (s) => ({ ...s, ...change }) });
  const version = versions.find((v) => v.version === search.version) ?? versions[0];
  const against = versions.find((v) => v.version === search.against && v !== version);
  return (
    <>
      <PageHead kind="Prompt" title={prompt.name} note={plural(versions.length, "version")} facts={<>{prompt.description && <span>{prompt.description}</span>}{Object.entries(prompt.tags).map(([k, v]) => <span key={k} className="tag">{k}: {v}</span>)}<span title={formatInstant(prompt.created_ms)}>created {formatAgo(prompt.created_ms)}</span></>} />
      {!version ? <Empty title="No version yet">The prompt has a name and no text.</Empty> : (
        <div className={classes.split}>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys */}
          <ol className={classes.versions} aria-label="Versions" tabIndex={0}>
            {versions.map((v) => (
              <li key={v.version}>
                <button type="button" aria-pressed={v === version} data-on={v === version || undefined} onClick={() => set({ version: v === versions[0] ? 0 : v.version, against: search.against === v.version ? 0 : search.against })}>
                  <span className="row" style={{ gap: 6 }}><b>v{v.version}</b>{v.aliases.map((a) => <span key={a} className="tag" data-strong>{a}</span>)}<span className="spacer" /><span className="muted small" title={formatInstant(v.created_ms)}>{formatAgo(v.created_ms)}</span></span>
                  {v.message && <span className="muted small cut">{v.message}</span>}
                </button>
              </li>
            ))}
          </ol>
          <Version version={version} against={against} versions={versions} name={prompt.name} onAgainst={(n) => set({ against: n })} />
        </div>
      )}
    </>
  );
}

function Version({ version: v, against, versions, name, onAgainst }: { version: PromptVersion; against?: PromptVersion; versions: PromptVersion[]; name: string; onAgainst: (n: number) => void }) {
  const variables = variablesOf(v.text);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
    <div className={classes.body} tabIndex={0} role="region" aria-label={`Version ${v.version}`}>
      <section className="panel">
        <header>
          <h2>Version {v.version}</h2>{v.message && <span className="muted cut" title={v.message}>{v.message}</span>}<span className="spacer" />
          <button type="button" className="plain small" onClick={() => void copyText(v.text)}>Copy the text</button>
          <Select aria-label="Compare with" placeholder="Compare with" clearable w={150} value={against ? String(against.version) : null} data={versions.filter((o) => o !== v).map((o) => ({ value: String(o.version), label: `against v${o.version}` }))} onChange={(o) => onAgainst(Number(o ?? 0))} />
        </header>
        {against ? <Diff from={against} to={v} /> : v.chat ? <div className={classes.chat}>{v.chat.map((m, i) => <section key={`m${i.toString()}`} aria-label={m.role}><b className="small muted">{m.role}</b><p className={classes.text}><Marked text={m.content} /></p></section>)}</div> : <p className={`${classes.text} panel-body`}><Marked text={v.text} /></p>}
      </section>
      <div className={classes.below}>
        <section className="panel"><header><h2>Variables</h2><span className="muted">{variables.length}</span></header><p className="panel-body row wrap">{variables.length ? variables.map((x) => <span key={x} className={`mono ${classes.variable}`}>{x}</span>) : <span className="muted">It has none.</span>}</p></section>
        {Object.keys(v.tags).length > 0 && <section className="panel"><header><h2>Tags</h2></header><p className="panel-body row wrap">{Object.entries(v.tags).map(([k, value]) => <span key={k} className="tag">{k}: {value}</span>)}</p></section>}
        {v.format && <section className="panel"><header><h2>Form of the answer</h2></header><div className="panel-body"><JsonView value={maybeJson(v.format)} /></div></section>}
        {v.model && <section className="panel"><header><h2>Model settings</h2></header><div className="panel-body"><JsonView value={maybeJson(v.model)} /></div></section>}
        <section className="panel"><header><h2>How to use it</h2></header><div className="panel-body"><CopyBlock label="Copy the Python" text={`import mlflow\nmlflow.set_tracking_uri("${location.origin}")\nprompt = mlflow.genai.load_prompt("prompts:/${name}${v.aliases[0] ? `@${v.aliases[0]}` : `/${v.version}`}")\nprompt.format(${variables.map((x) => `${x.replaceAll(".", "_")}=…`).join(", ")})`} /></div></section>
      </div>
    </div>
  );
}

/** The text with its variables marked. */
function Marked({ text }: { text: string }): ReactNode {
  return text.split(/(\{\{\s*[\w.]+\s*\}\})/).map((part, i) => (i % 2 ? <mark key={`p${i.toString()}`} className={classes.variable}>{part}</mark> : part));
}

function Diff({ from, to }: { from: PromptVersion; to: PromptVersion }) {
  const changes = useMemo(() => diffWords(asText(from), asText(to)), [from, to]);
  const [added, removed] = (["added", "removed"] as const).map((kind) => changes.filter((c) => c.kind === kind).length);
  return (
    <>
      <p className="muted small" style={{ padding: "6px 12px 0" }}>{added || removed ? <>From v{from.version} to v{to.version}: <ins>put in</ins> and <del>taken out</del>.</> : `The same text as v${from.version}.`}</p>
      <p className={`${classes.text} ${classes.diff} panel-body`}>{changes.map((c, i) => (c.kind === "added" ? <ins key={`c${i.toString()}`}>{c.text}</ins> : c.kind === "removed" ? <del key={`c${i.toString()}`}>{c.text}</del> : c.text))}</p>
    </>
  );
}
