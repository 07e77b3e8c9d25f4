// The map of all pages. All view state lives in the URL: each page declares its search parameters here, validated once and
// typed everywhere else. Each page is its own chunk; pages read their parameters with getRouteApi("/p/$project/…").
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";
import { Gone } from "./components/Problem";
import { Root, Shell } from "./components/Shell";
import { setProject } from "./lib/api";
import { flag, number, oneOf, parseSearch, searchParams, stringifySearch, text } from "./lib/search";
import { lastProject, mlflowTarget } from "./lib/places";

const root = createRootRoute({ component: Root, notFoundComponent: () => <Gone /> });

const index = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: ({ location }) => {
    throw redirect({ href: mlflowTarget(location.hash) ?? `/p/${encodeURIComponent(lastProject())}`, replace: true });
  },
});
const login = createRoute({ getParentRoute: () => root, path: "/login", ...searchParams({ next: text() }), component: lazyRouteComponent(() => import("./pages/Login"), "Login") });

// "/p/PROJECT" and "/admin" share the shell.
const shell = createRoute({ getParentRoute: () => root, id: "shell", component: Shell });
const project = createRoute({ getParentRoute: () => shell, path: "/p/$project", beforeLoad: ({ params }) => setProject(params.project) });
const admin = createRoute({
  getParentRoute: () => shell,
  path: "/admin/{-$section}",
  ...searchParams({ q: text(), actor: text(), kind: text(), about: oneOf(["", "models"], ""), after: text(), peek: text(), state: oneOf(["", "waiting", "delivered", "dead"], "") }),
  component: lazyRouteComponent(() => import("./pages/Admin"), "Admin"),
});

const projects = createRoute({ getParentRoute: () => shell, path: "/projects", ...searchParams({ q: text() }), component: lazyRouteComponent(() => import("./pages/AllProjects"), "AllProjects") });

const within = { getParentRoute: () => project } as const;

const pages = [
  createRoute({ ...within, path: "/", component: lazyRouteComponent(() => import("./pages/Overview"), "Overview"), ...searchParams({ kind: text() }) }),

  createRoute({ ...within, path: "/data", component: lazyRouteComponent(() => import("./pages/Data"), "Data"), ...searchParams({ q: text(), peek: text() }) }),
  createRoute({
    ...within,
    path: "/data/$id/{-$tab}",
    component: lazyRouteComponent(() => import("./pages/DataVersion"), "DataVersion"),
    ...searchParams({ q: text(), against: text(), part: text(), column: text(), row: text() }),
  }),

  createRoute({ ...within, path: "/pipelines", component: lazyRouteComponent(() => import("./pages/Pipelines"), "Pipelines"), ...searchParams({ q: text(), peek: text() }) }),
  createRoute({
    ...within,
    path: "/pipelines/$name/{-$tab}",
    component: lazyRouteComponent(() => import("./pages/Pipeline"), "Pipeline"),
    ...searchParams({ task: text(), peek: text() }),
  }),
  createRoute({
    ...within,
    path: "/pipelines/$name/runs/$run/{-$tab}",
    component: lazyRouteComponent(() => import("./pages/PipelineRun"), "PipelineRun"),
    ...searchParams({ task: text(), try: number(0, 0), line: number(0, 0), level: text(), q: text() }),
  }),

  createRoute({
    ...within,
    path: "/runs",
    component: lazyRouteComponent(() => import("./pages/Runs"), "Runs"),
    ...searchParams({
      view: oneOf(["table", "charts"], "table"), exp: text(), q: text(), sort: text(), cols: text(), group: text(), pin: text(), hide: text(), peek: text(), deleted: flag(),
      metrics: text(), charts: text(), brush: text(), n: number(10, 1, 500), band: oneOf(["auto", "lines", "band"], "auto"),
      x: oneOf(["step", "time", "relative"], "step"), smooth: number(0, 0, 0.99), log: flag(), logx: flag(), range: text(),
    }),
  }),
  createRoute({
    ...within,
    path: "/runs/compare",
    component: lazyRouteComponent(() => import("./pages/Compare"), "Compare"),
    ...searchParams({ ids: text(), base: text(), metrics: text(), x: oneOf(["step", "time", "relative"], "step"), smooth: number(0, 0, 0.99), log: flag(), logx: flag(), all: flag(), range: text(), charts: text(), brush: text(), path: text(), tab: text() }),
  }),
  createRoute({ ...within, path: "/runs/alerts", component: lazyRouteComponent(() => import("./pages/RunAlerts"), "RunAlerts"), ...searchParams({ exp: text(), rule: text(), view: oneOf(["raised", "rules"], "raised") }) }),
  createRoute({
    ...within,
    path: "/runs/$id/{-$tab}",
    component: lazyRouteComponent(() => import("./pages/RunPage"), "RunPage"),
    ...searchParams({ q: text(), path: text(), metrics: text(), x: oneOf(["step", "time", "relative"], "step"), smooth: number(0, 0, 0.99), log: flag(), logx: flag(), range: text() }),
  }),

  createRoute({ ...within, path: "/models", component: lazyRouteComponent(() => import("./pages/Models"), "Models"), ...searchParams({ q: text(), sort: text(), peek: text() }) }),
  createRoute({ ...within, path: "/models/$name", component: lazyRouteComponent(() => import("./pages/Model"), "Model"), ...searchParams({ q: text(), sort: text(), peek: text(), against: text(), tab: oneOf(["", "audit"], ""), actor: text(), kind: text() }) }),
  createRoute({ ...within, path: "/models/$name/$version", component: lazyRouteComponent(() => import("./pages/ModelVersion"), "ModelVersion"), ...searchParams({ against: text(), tab: text() }) }),

  createRoute({ ...within, path: "/evaluations", component: lazyRouteComponent(() => import("./pages/Evaluations"), "Evaluations"), ...searchParams({ q: text(), model: text(), sort: text(), peek: text() }) }),
  createRoute({
    ...within,
    path: "/evaluations/$id",
    component: lazyRouteComponent(() => import("./pages/Evaluation"), "Evaluation"),
    ...searchParams({ slice: text(), against: text(), only: oneOf(["all", "wrong", "differ"], "all"), cell: text(), tab: text() }),
  }),

  createRoute({ ...within, path: "/traces", component: lazyRouteComponent(() => import("./pages/Traces"), "Traces"), ...searchParams({ exp: text(), q: text(), sort: text(), peek: text(), state: oneOf(["", "OK", "ERROR", "IN_PROGRESS"], "") }) }),
  createRoute({ ...within, path: "/traces/$id", component: lazyRouteComponent(() => import("./pages/Trace"), "Trace"), ...searchParams({ span: text() }) }),

  createRoute({ ...within, path: "/prompts", component: lazyRouteComponent(() => import("./pages/Prompts"), "Prompts"), ...searchParams({ q: text() }) }),
  createRoute({ ...within, path: "/prompts/$name", component: lazyRouteComponent(() => import("./pages/Prompt"), "Prompt"), ...searchParams({ version: number(0, 0), against: number(0, 0) }) }),

  createRoute({ ...within, path: "/endpoints", component: lazyRouteComponent(() => import("./pages/Endpoints"), "Endpoints"), ...searchParams({ q: text(), peek: text(), view: oneOf(["endpoints", "models", "planes"], "endpoints") }) }),
  createRoute({
    ...within,
    path: "/endpoints/$name/{-$tab}",
    component: lazyRouteComponent(() => import("./pages/Endpoint"), "Endpoint"),
    ...searchParams({ from: text(), to: text("now"), q: text(), peek: text(), replay: text(), version: text(), only: text(), role: oneOf(["", "shadow"], "") }),
  }),

  createRoute({ ...within, path: "/monitors", component: lazyRouteComponent(() => import("./pages/Monitors"), "Monitors"), ...searchParams({ q: text(), peek: text() }) }),
  createRoute({
    ...within,
    path: "/monitors/$name",
    component: lazyRouteComponent(() => import("./pages/Monitor"), "Monitor"),
    ...searchParams({ from: text("now-24h"), to: text("now"), feature: text(), alert: text(), window: text() }),
  }),

  createRoute({ ...within, path: "/lab", component: lazyRouteComponent(() => import("./pages/Lab"), "Lab"), ...searchParams({}) }),
  createRoute({
    ...within,
    path: "/lineage",
    component: lazyRouteComponent(() => import("./pages/Lineage"), "Lineage"),
    ...searchParams({ id: text(), depth: number(1, 1, 10), view: oneOf(["graph", "table"], "graph"), direction: oneOf(["both", "up", "down"], "both"), peek: text() }),
  }),
] as const;

// Tabs that ui.md's map spells as segments.
const chartsAlias = createRoute({ ...within, path: "/runs/charts", beforeLoad: ({ params }) => { throw redirect({ to: "/p/$project/runs", params, search: { view: "charts" }, replace: true }); } });
const tableAlias = createRoute({ ...within, path: "/runs/table", beforeLoad: ({ params }) => { throw redirect({ to: "/p/$project/runs", params, replace: true }); } });

export const router = createRouter({
  routeTree: root.addChildren([index, login, shell.addChildren([project.addChildren([...pages, chartsAlias, tableAlias]), projects, admin])]),
  defaultPreload: "intent",
  defaultPreloadDelay: 80,
  scrollRestoration: true,
  defaultNotFoundComponent: () => <Gone />,
  parseSearch,
  stringifySearch,
});
declare module "@tanstack/react-router" {
  interface Register { router: typeof router }
}
