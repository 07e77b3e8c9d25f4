// Events as sentences: what happened, to what, and the page of it.
import { Link } from "@tanstack/react-router";
import { StatusMark } from "../../components/StatusMark";
import { formatAgo, formatClock, formatCount, formatDate, formatInstant, formatMetric, shortId } from "../../lib/format";
import { placeOf } from "../../lib/places";
import { CROWDS, together } from "./events";
import type { PastEvent } from "./types";
import classes from "./overview.module.css";

interface Told { status: string; text: string; href: string; detail?: string }

export const KINDS: Record<string, string> = {
  "": "", runs: "run,pipeline_run,stage,retraining,experiment", data: "data_version", models: "registered_model,model_version,alias,evaluation,verdict",
  endpoints: "endpoint,revision,baseline", alerts: "alert,monitor,feedback,metric_rule",
};

/** One sentence for one event; unknown kinds say their own name, so nothing is hidden. */
export function tell(project: string, e: PastEvent): Told {
  const { subject, body } = e;
  const text = (key: string) => (body[key] === undefined || body[key] === null ? "" : String(body[key]));
  const number = (key: string) => (typeof body[key] === "number" ? (body[key] as number) : 0);
  const at = (kind: string, id: string, extra: Record<string, string> = {}) => placeOf(project, kind, id, extra);
  const run = () => `/p/${encodeURIComponent(project)}/pipelines/${encodeURIComponent(text("pipeline"))}/runs/${encodeURIComponent(text("number") || subject.id)}`;
  const own = at(subject.kind, subject.id, { pipeline: text("pipeline"), endpoint: text("endpoint") });
  switch (e.kind) {
    case "pipeline_run.created": return { status: "queued", text: `${text("pipeline")} run ${text("number")} created`, href: run(), detail: text("cause").startsWith("alert:") ? "by an alert" : text("cause") };
    case "pipeline_run.started": return { status: "running", text: `${text("pipeline")} run ${text("number")} started`, href: run() };
    case "pipeline_run.succeeded": return { status: "finished", text: `${text("pipeline")} run ${text("number")} finished`, href: run() };
    case "pipeline_run.failed": return { status: "failed", text: `${text("pipeline")} run ${text("number")} failed`, href: run() };
    case "pipeline_run.cancelled": return { status: "canceled", text: `${text("pipeline")} run ${text("number")} cancelled`, href: run() };
    case "stage.started": return { status: "running", text: `${text("stage")} started`, href: own, detail: text("pipeline") };
    case "stage.succeeded": return { status: "finished", text: `${text("stage")} finished`, href: own, detail: text("pipeline") };
    case "stage.skipped": return { status: "skipped", text: `${text("stage")} skipped`, href: own, detail: text("reason") };
    case "stage.failed": return { status: "failed", text: `${text("stage")} failed`, href: own, detail: text("reason") };
    case "data_version.created": {
      const rows = Object.entries((body.rows ?? {}) as Record<string, number>).filter(([part]) => part !== "duplicates" && part !== "rejected").reduce((sum, [, n]) => sum + n, 0);
      return { status: "finished", text: `Data ${text("name")} version ${text("number")}`, href: own, detail: rows ? `${formatCount(rows)} rows` : undefined };
    }
    case "evaluation.stored": return { status: "finished", text: `${text("side") === "candidate" ? "Candidate" : text("side") === "champion" ? "Champion" : "Challenger"} measured: ${text("metric")} ${formatMetric(number("value"))}`, href: own, detail: `on ${text("part")}` };
    case "verdict.passed": return { status: "passed", text: `The gate passed a challenger for ${text("endpoint")}`, href: own, detail: text("reason") };
    case "verdict.failed": case "verdict.refused": return { status: "refused", text: `The gate refused a challenger for ${text("endpoint")}`, href: own, detail: text("reason") };
    case "endpoint.promoted": return { status: "serving", text: `${subject.id} serves ${text("model")} version ${text("version")}`, href: own, detail: number("previous") ? `revision ${number("previous")} before` : "the first" };
    case "endpoint.rolled_back": return { status: "warning", text: `${subject.id} went back to ${text("model")} version ${text("version")}`, href: own };
    case "endpoint.created": return { status: "idle", text: `Endpoint ${subject.id} made`, href: own };
    case "alert.raised": return { status: "drifted", text: `${text("kind") === "drift" ? "Drift" : text("kind") === "quality" ? "Bad quality" : text("kind") === "accuracy" ? "Accuracy" : "An"} alert${text("endpoint") ? ` at ${text("endpoint")}` : ""}`, href: own };
    case "run.alerted": return { status: "warning", text: `Run alert: ${text("name")}`, href: at("run", subject.id), detail: shortId(subject.id) };
    case "metric_rule.created": case "metric_rule.deleted": return { status: "finished", text: `Alert rule ${text("name")} ${e.kind.endsWith("created") ? "made" : "removed"}`, href: at("metric_rule", subject.id) };
    case "alert.ended": return { status: "healthy", text: `Alert ended${text("endpoint") ? ` at ${text("endpoint")}` : ""}`, href: own, detail: text("reason") };
    case "retraining.started": return { status: "running", text: `Retraining started for ${text("endpoint")}`, href: own, detail: `${formatCount(number("labels"))} labels` };
    case "feedback.received": return { status: "finished", text: `${formatCount(number("labels"))} labels received`, href: own, detail: Object.keys((body.endpoints ?? {}) as object).join(", ") };
    case "config.applied": return { status: "finished", text: `lathe.yaml applied: ${subject.id}`, href: at("pipeline", subject.id), detail: `generation ${text("generation")}` };
    case "alias.set": return { status: "finished", text: `${subject.id} is @${text("alias")}`, href: own };
    case "model_version.created": return { status: "finished", text: `Version ${subject.id} registered`, href: own };
    case "registered_model.created": return { status: "finished", text: `Model ${subject.id} registered`, href: own };
    case "run.created": return { status: "running", text: `Run ${shortId(subject.id)} began`, href: own };
    case "trace.logged": return { status: "finished", text: "A trace was logged", href: own, detail: shortId(subject.id) };
    case "logged_model.created": return { status: "finished", text: `A model was logged`, href: own, detail: shortId(subject.id) };
    default: {
      const [what = "", act = ""] = e.kind.split(".");
      return { status: "finished", text: `${capital(what.replaceAll("_", " "))} ${act.replaceAll("_", " ")}`, href: own, detail: subject.id.length > 24 ? shortId(subject.id) : subject.id };
    }
  }
}
const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

export function Happened({ project, events, now }: { project: string; events: readonly PastEvent[]; now: number }) {
  let day = "";
  return (
    <ol className={classes.events}>
      {together(events).map(({ event: e, count }) => {
        const crowd = count > 1 ? CROWDS[e.kind] : undefined;
        const told: Told = crowd ? { status: tell(project, e).status, text: `${formatCount(count)} ${crowd.many}`, href: `/p/${encodeURIComponent(project)}/${crowd.page}` } : tell(project, e);
        const ms = e.at_us / 1000;
        const date = formatDate(ms);
        const first = date !== day;
        day = date;
        return (
          <li key={e.id}>
            <time className="muted mono" dateTime={new Date(ms).toISOString()} title={`${formatInstant(ms)}, ${formatAgo(ms, now)}`}>{first && now - ms > 86_400_000 ? date : formatClock(ms).slice(0, 8)}</time>
            <StatusMark status={told.status} bare />
            <Link to={told.href as "/"} className="quiet cut" title={told.text}>{told.text}</Link>
            {told.detail && <span className="muted cut" title={told.detail}>{told.detail}</span>}
          </li>
        );
      })}
    </ol>
  );
}
