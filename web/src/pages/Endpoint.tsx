// One endpoint: what it answers and how fast, what it was asked, and a form to ask it.
import { IconArrowBackUp } from "@tabler/icons-react";
import { Link, getRouteApi } from "@tanstack/react-router";
import { Suspense, lazy, useState } from "react";
import { ActButton } from "../components/ActButton";
import { ConfirmSheet } from "../components/ConfirmSheet";
import { PageHead } from "../components/PageHead";
import { Empty, Loaded, Waiting } from "../components/Problem";
import { StatusMark } from "../components/StatusMark";
import { Tabs } from "../components/Tabs";
import { useAction } from "../lib/actions";
import { currentProject, queries, send, useApi } from "../lib/api";
import { plural } from "../lib/format";
import { imageShape } from "../lib/image";
import { may, useMe } from "../lib/me";
import { placeOf } from "../lib/places";
import { useRange } from "../lib/range";
import { toast } from "../lib/toast";
import { Images } from "./endpoints/Images";
import { Live } from "./endpoints/Live";
import { Requests } from "./endpoints/Requests";
import { Revisions } from "./endpoints/Revisions";
import { Traffic } from "./endpoints/Traffic";
import { Try } from "./endpoints/Try";
import type { EndpointPage } from "./endpoints/types";
import { previousName, stateOf } from "./endpoints/words";

const GraphView = lazy(() => import("./endpoints/GraphView").then((m) => ({ default: m.GraphView }))); // drawing is a chunk of its own
const route = getRouteApi("/shell/p/$project/endpoints/$name/{-$tab}");
const TABS = ["live", "graph", "traffic", "requests", "images", "try", "settings"] as const;
const QUARTER_MS = 900_000;
const relative = (spanUs: number) => (spanUs < 3600e6 ? `now-${Math.round(spanUs / 60e6)}m` : `now-${Math.round(spanUs / 3600e6)}h`);

export function Endpoint() {
  const { project, name, tab: given } = route.useParams();
  const { from, to } = route.useSearch();
  const [suited, setSuited] = useState("now-15m"); // the server chooses the range that suits the traffic, unless the address says one
  const range = useRange(from || suited, to, QUARTER_MS);
  const tab = TABS.find((t) => t === given) ?? "live";
  const query = useApi<EndpointPage>(`/pages/endpoints/${encodeURIComponent(name)}`, { from_us: from ? range.fromUs : undefined, to_us: range.toUs }, { topics: ["endpoint", "revision", "alert"], keep: true });
  const [rollingBack, setRollingBack] = useState(false);
  const mayRun = may(useMe(currentProject()).data, "run-code");
  const e = query.data;
  const chosen = e ? relative(e.traffic.to_us - e.traffic.from_us) : suited;
  if (!from && !query.isPlaceholderData && chosen !== suited) setSuited(chosen);
  const before = e && previousName(e);
  const open = e?.alerts.filter((a) => a.ended_us === 0) ?? [];
  const image = e?.signature ? imageShape(e.signature.features.map((f) => f.name)) : undefined;
  useAction(e?.previous_revision && mayRun ? { id: "rollback", label: `Back to ${before}`, group: "Here", run: () => setRollingBack(true) } : null);
  return (
    <section className="page">
      <PageHead
        title={name} kind="Endpoint" note={e && <StatusMark {...stateOf(e)} />}
        facts={e && (
          <>
            <span>{e.graph ? <>a graph, revision {e.live_revision}</> : e.model ? <>serves <Link to={placeOf(project, "model_version", e.model) as "/"}>{e.model}</Link> since revision {e.live_revision}</> : "serves nothing yet"}</span>
            <span>{e.environment}{e.default && ", default"}</span>
            {e.pipeline && <span>made by <Link to={placeOf(project, "pipeline", e.pipeline) as "/"}>{e.pipeline}</Link></span>}
            {e.monitored && <Link to={placeOf(project, "monitor", name) as "/"}>{open.length ? <StatusMark status="drifted" label={plural(open.length, "open alert")} /> : "Monitor"}</Link>}
            {e.live_revision > 0 && <Link to={placeOf(project, "revision", `${name}/${e.live_revision}`) as "/"}>Lineage</Link>}
          </>
        )}
      >
        {e && e.previous_revision > 0 && <ActButton needs="run-code" leftSection={<IconArrowBackUp size={14} />} onClick={() => setRollingBack(true)}>Back to {before}</ActButton>}
      </PageHead>
      <Tabs
        label="Endpoint" active={tab} to={(id) => `/p/${encodeURIComponent(project)}/endpoints/${encodeURIComponent(name)}${id === "live" ? "" : `/${id}`}`}
        tabs={[{ id: "live", label: "Live" }, { id: "graph", label: "Graph", hidden: !e?.graph }, { id: "traffic", label: "Traffic", hidden: e?.graph }, { id: "requests", label: "Requests" }, { id: "images", label: "Images", hidden: !image }, { id: "try", label: "Try" }, { id: "settings", label: "Revisions", count: e?.revisions.length }]}
      />
      {/* A relative range moves on by itself: what is shown then is not stale, only a step old. */}
      <Loaded query={range.relative ? ({ ...query, isPlaceholderData: false } as typeof query) : query} what="The endpoint">
        {(page) => (
          <>
            {page.problem && <p className="panel-body" role="alert" style={{ color: "var(--fail)", whiteSpace: "pre-wrap" }}>{page.state === "failed" ? "It cannot serve" : "A worker failed"}: {page.problem}</p>}
            {tab === "live" && <Live page={page} image={image} from={from || suited} />}
            {tab === "graph" && (page.graph ? <Suspense fallback={<Waiting />}><GraphView page={page} /></Suspense> : <Empty title="This endpoint is no graph">It serves one model. Graphs are declared in lathe.yaml, under graphs.</Empty>)}
            {tab === "traffic" && <Traffic page={page} />}
            {tab === "requests" && <Requests page={page} image={image} />}
            {tab === "images" && image && <Images page={page} image={image} />}
            {tab === "try" && <Try page={page} image={image} />}
            {tab === "settings" && <Revisions page={page} />}
          </>
        )}
      </Loaded>
      {e && (
        <ConfirmSheet
          opened={rollingBack} onClose={() => setRollingBack(false)} title={`Back to ${before}`} confirm={`Back to ${before}`}
          run={async () => {
            await send(`/endpoints/${encodeURIComponent(name)}/rollback`);
            toast(`${name} serves ${before} again`);
            void queries.invalidateQueries({ predicate: (q) => ((q.meta?.topics ?? []) as string[]).includes("endpoint") });
          }}
        >
          <p>All traffic of <b>{name}</b> moves from {e.graph ? "this graph" : e.model} (revision {e.live_revision}) to {e.graph ? "the one before" : e.previous_model} (revision {e.previous_revision}). Its monitor compares with that revision's baseline again. Requests under way end where they began.</p>
        </ConfirmSheet>
      )}
    </section>
  );
}
